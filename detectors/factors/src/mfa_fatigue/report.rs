//! What push bombing looks like to its reader.

use super::Config;
use super::pushes::Record;
use super::reading::{Sign, Verdict};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{Action, EntityKind, Event, Finding, Role, Severity, Subject};

/// Events named in one finding.
const EVENTS_MAX: usize = 20;

/// The finding that an event adds.
pub(super) fn finding(event: &Event<'_>, verdict: &Verdict, records: &[Record], config: &Config) -> Finding {
    let user = event.user().unwrap_or_default();
    let mut finding = Finding::new(event, format!("user:{user}"), verdict.severity);
    let told = || verdict.fresh.iter().filter_map(|number| records.get(*number));
    finding.first_time_ms = told().map(|record| record.time_ms).fold(event.time_ms(), i64::min);
    let earlier: Vec<&Record> = told().filter(|record| *record.event != *event.id()).collect();
    finding.event_count = earlier.len() as u64 + 1;
    let left_out = earlier.len().saturating_sub(EVENTS_MAX - 1);
    finding.event_ids.splice(0..0, earlier.iter().skip(left_out).map(|record| record.event.to_string()));

    let (title, ahead) = match verdict.sign {
        Sign::OwnDenials => ("Own sign-ins refused", "The person refused pushes of the own client: "),
        Sign::Attempt if verdict.reported > 0 => ("Push reported by its receiver", "A push was reported as not asked for: "),
        Sign::Attempt => ("Push bombing", "Pushes came from clients that are not this person's: "),
        Sign::Hit => ("Push bombing, and a push was accepted", "A push was accepted from a client that is not this person's, after "),
        Sign::Used => (
            "Push bombing, and what it opened was used",
            "A push was accepted from a client that is not this person's, and its client changed something or got a token, after ",
        ),
    };
    title.clone_into(&mut finding.title);
    let counts = [(verdict.denied, "denied"), (verdict.reported, "reported"), (verdict.ignored, "unanswered")];
    let counts: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    let limits = if verdict.sign == Sign::OwnDenials {
        format!("limit {} denials in two hours", config.own_denials_min)
    } else {
        let (sum, least) = (hundredths(verdict.suspicion), hundredths(config.suspicion_min));
        format!("weight {sum:.2} (limit {least:.2}), limit {} pushes for an attempt", config.pushes_min)
    };
    finding.reason = format!("{ahead}{} within {}; {limits}.", counts.join(", "), span(verdict.span_ms));
    finding.confidence = match (verdict.sign, verdict.severity) {
        (Sign::OwnDenials, _) => 0.3,
        (Sign::Attempt, Severity::Low) => 0.4,
        (Sign::Attempt, _) if verdict.denied + verdict.reported > 0 => 0.85,
        (Sign::Attempt, _) => 0.65,
        (Sign::Hit | Sign::Used, _) if verdict.denied + verdict.reported >= 2 => 0.95,
        (Sign::Hit | Sign::Used, _) => 0.8,
    };
    finding
        .note("denied", verdict.denied)
        .note("unanswered", verdict.ignored)
        .note("reported", verdict.reported)
        .note("suspicion", hundredths(verdict.suspicion))
        .note("suspicion_min", hundredths(config.suspicion_min))
        .note("pushes_min", config.pushes_min)
        .note("span_ms", verdict.span_ms);
    involve(&mut finding, event, verdict, records);
    finding
}

fn involve(finding: &mut Finding, event: &Event<'_>, verdict: &Verdict, records: &[Record]) {
    let hit_or_not = |subject: Subject| if verdict.is_hit() { subject.hit() } else { subject };
    finding.involve(hit_or_not(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim)));
    for ip in verdict.askers.iter().filter_map(|number| records.get(*number)?.ip) {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    // Only a hit's answer, sign-in and changes have one.
    for session in verdict.fresh.iter().filter_map(|number| records.get(*number)).map(|record| &*record.session) {
        if verdict.is_hit() && !session.is_empty() {
            finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
        }
    }
    if finding.subjects.iter().any(|subject| subject.kind == EntityKind::Session) {
        finding.actions.push(Action::RevokeSessions);
    }
    if verdict.severity > Severity::Low {
        finding.actions.push(Action::StepUp);
    }
}

fn hundredths(value: i64) -> f64 {
    value as f64 / 100.0
}

/// A span of time for people.
fn span(ms: i64) -> String {
    if ms < 2 * MINUTE_MS {
        format!("{} seconds", ms / SECOND_MS)
    } else if ms < 2 * HOUR_MS {
        format!("{} minutes", ms / MINUTE_MS)
    } else {
        format!("{} hours", ms / HOUR_MS)
    }
}
