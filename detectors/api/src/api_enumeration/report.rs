//! What is told of a walk.

use super::Config;
use super::walks::Walk;
use bartizan_core::{EntityKind, Event, Finding, KeyKind, Role, Severity, Subject};

/// What makes it a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nearly all is refused or not there.
    Refused,
    /// One number after the other; where others do so as well, more than this.
    InOrder { allowed: u32 },
    /// Far more than ever.
    Volume,
    /// Far more than peers, 99 of 100 days of whom stay below this.
    BeyondPeers { usual: u32 },
}

/// Who walks: one principal, or several of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    One,
    /// So many.
    Several(u8),
}

impl Who {
    /// What the alert is about.
    pub fn key(self, event: &Event<'_>) -> String {
        match (self, event.user(), event.session()) {
            (Self::One, Some(user), _) => format!("user:{user}"),
            (Self::One, None, Some(session)) => format!("session:{session}"),
            _ => format!("ip:{}", event.ip().map(|ip| ip.to_string()).unwrap_or_default()),
        }
    }

    fn of_one_address(self) -> String {
        if let Self::Several(members) = self { format!(" by {members} new accounts of one address") } else { String::new() }
    }
}

/// A walk over objects.
pub(super) fn walked(event: &Event<'_>, who: Who, walk: &Walk, rule: Rule, writes: bool, config: &Config) -> Finding {
    let (hour, day) = (&walk.hour, &walk.day);
    let is_hit = u32::from(day.granted) >= config.granted_min;
    let severity = match (is_hit, writes) {
        (true, true) => Severity::Critical,
        (true, false) => Severity::High,
        (false, _) => Severity::Medium,
    };
    let in_order = hour.in_order_share().max(day.in_order_share());
    let mut finding = finding(event, who, severity);
    "Objects asked for one after the other".clone_into(&mut finding.title);
    let (of_hour, of_day, several, granted) = (hour.objects(), day.objects(), who.of_one_address(), day.granted);
    finding.reason = match rule {
        Rule::Refused => format!(
            "{of_hour} different objects of one route within an hour and {of_day} within a day{several} (limits {} and {}), {:.0} % of the requests refused (limit {:.0} %).",
            config.refused_min,
            config.refused_day_min,
            100.0 * hour.refused_share().max(day.refused_share()),
            100.0 * config.refused_share_min
        ),
        Rule::InOrder { allowed } => format!(
            "{of_hour} different objects of one route within an hour and {of_day} within a day{several} (limits {} and {}{}), {:.0} % of them one after the other by number (limit {:.0} %), {granted} requests granted.",
            config.sequential_min,
            config.sequential_day_min,
            if allowed > 0 { format!(", {allowed} where others go in order as well") } else { String::new() },
            100.0 * in_order,
            100.0 * config.sequential_share_min,
        ),
        Rule::Volume => format!(
            "{of_day} different objects of one route within a day (limit {}), {} on a usual day (limit {:.0} times that), {granted} requests granted.",
            config.volume_min,
            walk.habit().unwrap_or(0),
            config.habit_factor,
        ),
        Rule::BeyondPeers { usual } => format!(
            "{of_day} different objects of one route within a day (limit {}), where 99 of 100 days of others stay below {usual} (limit {:.0} times that), {granted} requests granted.",
            config.peer_volume_min, config.habit_factor,
        ),
    };
    finding.confidence = if matches!(rule, Rule::Volume | Rule::BeyondPeers { .. }) { 0.6 } else { 0.85 };
    finding
        .note("objects_hour", of_hour)
        .note("objects_day", of_day)
        .note("requests_day", day.requests)
        .note("refused_day", day.refused)
        .note("granted_day", granted)
        .note("granted_min", config.granted_min)
        .note("sequential_share", (in_order * 100.0).round() / 100.0)
        .note("usual_objects_day", walk.habit().unwrap_or(0))
        .note("writes", writes);
    if let Rule::BeyondPeers { usual } = rule {
        finding.note("peers_objects_day", usual);
    }
    if let Who::Several(members) = who {
        finding.note("accounts", members);
    }
    finding
}

/// Different paths that are not there.
pub(super) fn scanned(event: &Event<'_>, who: Who, paths: u32, config: &Config) -> Finding {
    let mut finding = finding(event, who, Severity::Medium);
    "Paths tried that are not there".clone_into(&mut finding.title);
    (finding.confidence, finding.reason) = (0.8, missing(who, paths, config));
    finding.note("missing_paths", paths).note("missing_min", config.missing_min);
    finding
}

/// How many paths were not there.
pub(super) fn missing(who: Who, paths: u32, config: &Config) -> String {
    format!("{paths} different routes within an hour{} that are not there or closed (limit {}).", who.of_one_address(), config.missing_min)
}

/// Who walks is the attacker, and so is the session it is done with.
fn finding(event: &Event<'_>, who: Who, severity: Severity) -> Finding {
    let mut finding = Finding::new(event, who.key(event), severity);
    if let Some(user) = event.user() {
        finding.involve(Subject::new(EntityKind::User, user, Role::Attacker));
    }
    if let Some(session) = event.session() {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Attacker));
    }
    if let (Some(ip), Some(_)) = (event.ip(), event.key(KeyKind::Address)) {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    finding
}
