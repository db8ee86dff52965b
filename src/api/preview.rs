//! `POST /api/v1/suppressions?preview=true`: what a suppression would have held back of the last day.
//!
//! A suppression is asked for each event; what is kept of findings is less: alerts name users, addresses, sessions,
//! devices and networks, lines of the ledger their key alone. What cannot be judged by that is counted as unknown.

use super::suppressions::{SuppressedView, SuppressionView};
use crate::alert::Alert;
use crate::db::suppressions::{self, Line, LineFilter};
use crate::db::{DbError, alert_list};
use crate::suppress::{Condition, Kind, Suppression};
use bartizan_core::TimeMs;
use bartizan_core::time::DAY_MS;
use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;

/// Alerts, and lines of the ledger, that are looked at.
const LOOKED_AT_MAX: u32 = 1_000;
/// Alerts, and lines, that are named of each verdict.
const NAMED_MAX: usize = 100;

/// What a suppression would have held back.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressionPreview {
    /// The suppression as it would be made; its id is not kept.
    pub suppression: SuppressionView,
    /// Alerts and lines with events from here on are looked at.
    #[schema(value_type = String, format = DateTime)]
    pub since: TimeMs,
    /// Alerts of its tenant and detector.
    pub alerts: PreviewedAlerts,
    /// Lines of the ledger: what other suppressions hold back already.
    pub ledger: PreviewedLines,
    /// Conditions that no alert can be judged by. What depends on them is unknown.
    pub unknown: Vec<UnknownCondition>,
}

/// What would have become of alerts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct PreviewedAlerts {
    /// Alerts looked at, newest first.
    pub judged: u64,
    /// Were there more, which were not looked at?
    pub more: bool,
    /// Alerts that it would have held back: all that they name fits.
    pub held_back: u64,
    /// Alerts of which that cannot be known: they do not say what it is about, or only some of what they name fits.
    pub unknown: u64,
    /// Ids of those held back, 100 at most.
    pub held_back_ids: Vec<String>,
    /// Ids of those unknown, 100 at most.
    pub unknown_ids: Vec<String>,
}

/// What would have become of lines of the ledger.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct PreviewedLines {
    /// Lines looked at, newest first.
    pub judged: u64,
    /// Were there more, which were not looked at?
    pub more: bool,
    /// Lines that it would have held back as well.
    pub held_back: u64,
    /// Lines of which that cannot be known: their key is of another kind.
    pub unknown: u64,
    /// Those held back, 100 at most.
    pub held_back_lines: Vec<SuppressedView>,
}

/// A condition that no alert can be judged by.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnknownCondition {
    /// Where it stands, e.g. `when.all[1]`.
    pub condition: String,
    /// What it looks at.
    #[serde(rename = "type")]
    pub kind: Kind,
}

/// What `entry` would have held back of the day before `now_ms`.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn of(connection: &Connection, entry: Suppression, now_ms: i64) -> Result<SuppressionPreview, DbError> {
    let (rule, since_ms) = (entry.about.rule(), now_ms.saturating_sub(DAY_MS));
    let mut unknown = Vec::new();
    rule.each(&mut |condition| {
        if !is_named_by_alerts(condition.kind) {
            unknown.push(UnknownCondition { condition: condition.at.clone(), kind: condition.kind });
        }
    });

    let filter = alert_list::Filter {
        since_ms: Some(since_ms),
        detector: entry.detector.clone(),
        tenant: Some(entry.tenant.clone()),
        limit: LOOKED_AT_MAX,
        ..alert_list::Filter::default()
    };
    let page = alert_list::list(connection, &filter)?;
    let mut alerts = PreviewedAlerts { judged: page.items.len() as u64, more: page.next.is_some(), ..PreviewedAlerts::default() };
    for alert in page.items {
        let (count, ids) = match rule.judge(&|condition| of_alert(condition, &alert)) {
            Some(true) => (&mut alerts.held_back, &mut alerts.held_back_ids),
            None => (&mut alerts.unknown, &mut alerts.unknown_ids),
            Some(false) => continue,
        };
        *count += 1;
        if ids.len() < NAMED_MAX {
            ids.push(alert.id);
        }
    }

    let filter = LineFilter {
        tenant: Some(entry.tenant.clone()),
        detector: entry.detector.clone(),
        since_ms: Some(since_ms),
        by_suppressions: true,
        ..LineFilter::default()
    };
    let mut lines = suppressions::held(connection, &filter, i64::MAX, LOOKED_AT_MAX + 1)?;
    let more = lines.len() > LOOKED_AT_MAX as usize;
    lines.truncate(LOOKED_AT_MAX as usize);
    let mut ledger = PreviewedLines { judged: lines.len() as u64, more, ..PreviewedLines::default() };
    for line in lines {
        match rule.judge(&|condition| of_line(condition, &line)) {
            Some(true) => {
                ledger.held_back += 1;
                if ledger.held_back_lines.len() < NAMED_MAX {
                    ledger.held_back_lines.push(line.into());
                }
            }
            None => ledger.unknown += 1,
            Some(false) => {}
        }
    }
    Ok(SuppressionPreview { suppression: entry.into(), since: TimeMs(since_ms), alerts, ledger, unknown })
}

fn is_named_by_alerts(kind: Kind) -> bool {
    !matches!(kind, Kind::UserAgent | Kind::App | Kind::Place)
}

fn of_alert(condition: &Condition, alert: &Alert) -> Option<bool> {
    let entities = &alert.entities;
    let named = match condition.kind {
        Kind::User => &entities.users,
        Kind::Ip => &entities.ips,
        Kind::Network => &entities.networks,
        Kind::Device => &entities.devices,
        Kind::Session => &entities.sessions,
        Kind::UserAgent | Kind::App | Kind::Place => return None,
    };
    // Networks may be named by their addresses instead: that says nothing of their number.
    let names = || named.iter().filter(|name| condition.kind != Kind::Network || name.starts_with("AS"));
    match names().filter(|name| condition.has(name)).count() {
        _ if names().next().is_none() => None,
        0 => Some(false),
        fitting => (fitting == names().count()).then_some(true),
    }
}

fn of_line(condition: &Condition, line: &Line) -> Option<bool> {
    let (kind, value) = line.key.split_once(':')?;
    (kind == condition.kind.as_str()).then(|| condition.has(value))
}
