//! How much an entity is at risk, from the alerts that name it. Simple and explained: each cause (an incident, or what
//! one detector says of one key) of which an alert was not judged false or harmless adds what the severity and age of its
//! weightiest alert are worth, and says so.

use crate::alert::Alert;
use crate::alert::model::{Disposition, Status};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use bartizan_core::{EntityKind, Role, Severity};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// After this long an alert counts half.
const HALF_LIFE_MS: f64 = (7 * DAY_MS) as f64;
/// An alert that was resolved as an attack counts less than one that is open.
const RESOLVED_WEIGHT: f64 = 0.5;
/// An entity that took part without being hit, or whose address many share.
const NOT_HIT_WEIGHT: f64 = 0.6;
const SHARED_WEIGHT: f64 = 0.3;
/// Reasons that are given, the heaviest first.
const REASONS_MAX: usize = 10;
/// Alerts that add less than this share give no reason.
const SHARE_MIN: f64 = 0.01;

/// How much an entity is at risk, and why.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Risk {
    /// 0 to 100.
    #[schema(maximum = 100)]
    pub score: u8,
    /// The score as a severity.
    #[schema(value_type = String)]
    pub level: Severity,
    /// What adds to it, the heaviest first.
    #[schema(max_items = 10)]
    pub reasons: Vec<String>,
}

/// The risk of an entity that `alerts` name, at `now_ms`.
#[must_use]
pub fn of<'a>(alerts: impl IntoIterator<Item = &'a Alert>, kind: EntityKind, value: &str, now_ms: i64) -> Risk {
    let mut shares: Vec<(f64, &Alert)> = alerts.into_iter().map(|alert| (share(alert, kind, value, now_ms), alert)).collect();
    shares.retain(|(share, _)| *share >= SHARE_MIN);
    shares.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let mut causes = BTreeSet::new();
    shares.retain(|(_, alert)| causes.insert(cause(alert)));
    // As if each were the chance of a compromise of its own.
    let sound = shares.iter().fold(1.0, |sound, (share, _)| sound * (1.0 - share));
    let score = (100.0 * (1.0 - sound)).round() as u8;
    let reasons = shares.iter().take(REASONS_MAX).map(|(_, alert)| reason(alert, kind, value, now_ms)).collect();
    Risk { score, level: level(score), reasons }
}

/// Alerts of one cause count once.
fn cause(alert: &Alert) -> (&str, &str) {
    alert.incident.as_deref().map_or((alert.detector.as_str(), alert.key.as_str()), |incident| ("", incident))
}

fn level(score: u8) -> Severity {
    match score {
        85.. => Severity::Critical,
        60.. => Severity::High,
        30.. => Severity::Medium,
        10.. => Severity::Low,
        _ => Severity::Info,
    }
}

fn share(alert: &Alert, kind: EntityKind, value: &str, now_ms: i64) -> f64 {
    let judged = match (alert.status, alert.disposition) {
        (_, Some(Disposition::FalsePositive | Disposition::Benign)) => return 0.0,
        (Status::Resolved, _) => RESOLVED_WEIGHT,
        (Status::Open | Status::Acknowledged, _) => 1.0,
    };
    let severity = match alert.severity {
        Severity::Info => 0.03,
        Severity::Low => 0.12,
        Severity::Medium => 0.35,
        Severity::High => 0.65,
        Severity::Critical => 0.9,
    };
    let subject = alert.subjects.iter().find(|subject| subject.kind == kind && subject.value == value);
    let part = match subject {
        Some(subject) if subject.hit || subject.role == Role::Attacker => 1.0,
        Some(subject) if subject.role == Role::Shared => SHARED_WEIGHT,
        _ => NOT_HIT_WEIGHT,
    };
    let age_ms = now_ms.saturating_sub(alert.last_event_time.0).max(0) as f64;
    severity * part * judged * 0.5_f64.powf(age_ms / HALF_LIFE_MS)
}

fn reason(alert: &Alert, kind: EntityKind, value: &str, now_ms: i64) -> String {
    let subject = alert.subjects.iter().find(|subject| subject.kind == kind && subject.value == value);
    let part = match subject {
        Some(subject) if subject.hit => "hit in",
        Some(subject) if subject.role == Role::Attacker => "attacker in",
        Some(subject) if subject.role == Role::Shared => "shared address in",
        _ => "named in",
    };
    let age = age(now_ms.saturating_sub(alert.last_event_time.0));
    let state = if alert.status == Status::Resolved { ", resolved" } else { "" };
    format!("{part} “{}” ({}{state}), {age}", alert.title, alert.severity)
}

fn age(ms: i64) -> String {
    let (count, unit) = match ms {
        ..HOUR_MS => (ms.max(0) / MINUTE_MS, "minute"),
        HOUR_MS..DAY_MS => (ms / HOUR_MS, "hour"),
        _ => (ms / DAY_MS, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use bartizan_core::{Subject, TimeMs};

    fn alert(severity: Severity, time_ms: i64) -> Alert {
        let mut alert = crate::notify::testing::alert("a1");
        (alert.severity, alert.last_event_time) = (severity, TimeMs(time_ms));
        alert.subjects = vec![Subject::new(EntityKind::User, "u1", Role::Victim).hit()];
        alert
    }

    #[test]
    fn risk_decays_adds_up_and_says_why() {
        let now = 100 * DAY_MS;
        let of = |alerts: &[Alert]| of(alerts, EntityKind::User, "u1", now);
        assert_eq!(of(&[]), Risk { score: 0, level: Severity::Info, reasons: vec![] });
        let fresh = of(&[alert(Severity::Critical, now - 10 * MINUTE_MS)]);
        assert_eq!((fresh.score, fresh.level), (90, Severity::Critical));
        assert!(fresh.reasons[0].starts_with("hit in") && fresh.reasons[0].ends_with("10 minutes ago"), "{fresh:?}");
        let week = of(&[alert(Severity::Critical, now - 7 * DAY_MS)]);
        assert_eq!(week.score, 45);
        assert_eq!(of(&[alert(Severity::High, now), alert(Severity::High, now)]).score, 65, "one cause counts once");
        let other = Alert { key: "session:ses-2".to_owned(), ..alert(Severity::High, now) };
        assert!(of(&[alert(Severity::High, now), other.clone()]).score > 65);
        let together = [alert(Severity::High, now), other].map(|alert| Alert { incident: Some("i1".to_owned()), ..alert });
        assert_eq!(of(&together).score, 65, "so does one incident");
        let mut harmless = alert(Severity::Critical, now);
        (harmless.status, harmless.disposition) = (Status::Resolved, Some(Disposition::Benign));
        assert_eq!(of(&[harmless]).score, 0);
    }
}
