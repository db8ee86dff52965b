//! API enumeration: somebody asks for one object after the other that is not theirs (OWASP API1, BOLA; ATT&CK T1087,
//! T1213), or for path after path that is not there.
//!
//! A principal (the user; without one the session, the token, at last the address) is watched route by route, with the
//! ids in the path taken out. Three things make a walk of many requests: nearly all are refused or not there, as with
//! guessed ids; one number follows the other; or there are many times more different objects in a day than this principal ever
//! asked for. The first and the second are counted within an hour and within a day, for whoever is patient.
//!
//! What is not a walk: one object over and over (a broken link, a client that tries again), pages of a list, a route
//! that is broken for everybody (nobody asks for thirty different objects of theirs in an hour), and what this principal does
//! each day: a support desk, an export job. Programs are left alone unless they are refused: their first day looks like a walk.
//!
//! Refused walks are attempts; where objects were handed out it is a hit, and critical where they were changed.

mod route;
mod walks;

use bartizan_core::time::HOUR_MS;
use bartizan_core::{
    Budget, Detector, EntityKind, Event, Finding, Findings, Key, KeyKind, KeyedState, Kind, Parameter, Parameters, Role, Severity, Spec,
    State, Subject, UserKind,
};
use route::Asked;
use std::sync::Arc;
use walks::{HABIT, Request, Rule, Seen, Tally, Walks};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "api_enumeration",
    title: "API enumeration",
    looks_for: "One principal that asks for many different objects of a route which are refused, follow each other by number, or are far \
                more than it ever asked for; and many different paths that are not there.",
    blind_spots: "Fewer objects than its limits a day (with the defaults 59 refused ones, or 199 in order), ids that do not look like ids \
                  (names), ids in the query or the body; a walk over several accounts from several addresses; programs that get what they ask for.",
    innocent_causes: "Support desks, export jobs (own habit), pages of lists, retries of one object, broken routes (not told).",
    keys: &[KeyKind::Principal, KeyKind::Address],
    parameters: PARAMETERS,
    attack: &[("TA0007", "T1087"), ("TA0009", "T1213")],
    yields: false,
    quiet_gap_ms: 2 * HOUR_MS,
    state_version: 1,
    build: |parameters, budget| Box::new(ApiEnumeration::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::int("refused_min", 30, 5, 1_000, "Different objects within an hour of which most are refused."),
    Parameter::int("refused_day_min", 60, 5, 1_000, "The same within a day."),
    Parameter::float("refused_share_min", 0.5, 0.1, 1.0, "Share of requests that most are."),
    Parameter::int("sequential_min", 60, 5, 1_000, "Different objects within an hour, most of them one after the other by number."),
    Parameter::int("sequential_day_min", 200, 5, 1_000, "The same within a day."),
    Parameter::float("sequential_share_min", 0.7, 0.1, 1.0, "Share of requests that follow the one before by number."),
    Parameter::int("volume_min", 500, 20, 3_000, "Different objects within a day that are far more than ever."),
    Parameter::float("habit_factor", 10.0, 2.0, 1_000.0, "How many times the objects of a usual day that is."),
    Parameter::int("granted_min", 5, 1, 1_000, "Requests of a walk that were granted from which on it is a hit."),
    Parameter::int("missing_min", 25, 5, 1_000, "Different paths without an object, within an hour, that are not there."),
];

/// The limits, read once.
pub(crate) struct Config {
    refused_min: u32,
    refused_day_min: u32,
    refused_share_min: f64,
    sequential_min: u32,
    sequential_day_min: u32,
    sequential_share_min: f64,
    volume_min: u32,
    habit_factor: f64,
    granted_min: u32,
    missing_min: u32,
}

struct ApiEnumeration {
    config: Config,
    principals: KeyedState<Walks>,
    addresses: KeyedState<Walks>,
}

impl ApiEnumeration {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let count = |name| u32::try_from(parameters.int(name)).unwrap_or(u32::MAX);
        let config = Config {
            refused_min: count("refused_min"),
            refused_day_min: count("refused_day_min"),
            refused_share_min: parameters.float("refused_share_min"),
            sequential_min: count("sequential_min"),
            sequential_day_min: count("sequential_day_min"),
            sequential_share_min: parameters.float("sequential_share_min"),
            volume_min: count("volume_min"),
            habit_factor: parameters.float("habit_factor"),
            granted_min: count("granted_min"),
            missing_min: count("missing_min"),
        };
        Self { config, principals: KeyedState::new(budget), addresses: KeyedState::new(budget) }
    }

    fn walked(&self, event: &Event<'_>, seen: &Seen, rule: Rule, writes: bool) -> Finding {
        let (hour, day) = (&seen.hour, &seen.day);
        let is_hit = day.granted >= self.config.granted_min;
        let severity = match (is_hit, writes) {
            (true, true) => Severity::Critical,
            (true, false) => Severity::High,
            (false, _) => Severity::Medium,
        };
        let mut finding = finding(event, severity);
        "Objects asked for one after the other".clone_into(&mut finding.title);
        let config = &self.config;
        finding.reason = match rule {
            Rule::Refused => format!(
                "{} different objects of one route within an hour and {} within a day (limits {} and {}), {:.0} % of the requests refused (limit {:.0} %).",
                hour.objects,
                day.objects,
                config.refused_min,
                config.refused_day_min,
                100.0 * share(day),
                100.0 * config.refused_share_min
            ),
            Rule::InOrder => format!(
                "{} different objects of one route within an hour and {} within a day (limits {} and {}), {:.0} % of them one after the other by number (limit {:.0} %), {} requests granted.",
                hour.objects,
                day.objects,
                config.sequential_min,
                config.sequential_day_min,
                100.0 * hour.sequential.max(day.sequential),
                100.0 * config.sequential_share_min,
                day.granted
            ),
            Rule::Volume => format!(
                "{} different objects of one route within a day (limit {}), {} on a usual day (limit {:.0} times that), {} requests granted.",
                day.objects,
                config.volume_min,
                seen.habit.unwrap_or(0),
                config.habit_factor,
                day.granted
            ),
        };
        finding.confidence = if rule == Rule::Volume { 0.6 } else { 0.85 };
        finding
            .note("objects_hour", hour.objects)
            .note("objects_day", day.objects)
            .note("requests_day", day.requests)
            .note("refused_day", day.refused)
            .note("granted_day", day.granted)
            .note("granted_min", config.granted_min)
            .note("sequential_share", (hour.sequential.max(day.sequential) * 100.0).round() / 100.0)
            .note("usual_objects_day", seen.habit.unwrap_or(0))
            .note("writes", writes);
        finding
    }
}

fn share(tally: &Tally) -> f64 {
    f64::from(tally.refused) / f64::from(tally.requests.max(1))
}

/// Different paths that are not there.
fn scanned(event: &Event<'_>, paths: u32, config: &Config, findings: &mut Findings) {
    let reason = format!("{paths} different paths within an hour that are not there (limit {}).", config.missing_min);
    if paths < config.missing_min {
        return findings.remark("below_limit", || reason);
    }
    let mut finding = finding(event, Severity::Medium);
    "Paths tried that are not there".clone_into(&mut finding.title);
    (finding.confidence, finding.reason) = (0.8, reason);
    finding.note("missing_paths", paths).note("missing_min", config.missing_min);
    findings.push(finding);
}

fn key_of(event: &Event<'_>) -> String {
    match (event.user(), event.session()) {
        (Some(user), _) => format!("user:{user}"),
        (None, Some(session)) => format!("session:{session}"),
        (None, None) => format!("ip:{}", event.ip().map(|ip| ip.to_string()).unwrap_or_default()),
    }
}

/// Who walks is the attacker, and so is the session it is done with.
fn finding(event: &Event<'_>, severity: Severity) -> Finding {
    let address = event.ip().map(|ip| ip.to_string()).unwrap_or_default();
    let mut finding = Finding::new(event, key_of(event), severity);
    if let Some(user) = event.user() {
        finding.involve(Subject::new(EntityKind::User, user, Role::Attacker));
    }
    if let Some(session) = event.session() {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Attacker));
    }
    if !address.is_empty() {
        finding.involve(Subject::new(EntityKind::Ip, address, Role::Attacker));
    }
    finding
}

impl Detector for ApiEnumeration {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let (Some(path), Some(status)) = (event.path(), event.status()) else {
            return findings.remark("no_request", || "Has no path or no status.".to_owned());
        };
        let states = match key.kind {
            KeyKind::Principal => &mut self.principals,
            // An address stands for whoever has no name.
            _ if event.key(KeyKind::Principal).is_none() => &mut self.addresses,
            _ => return,
        };
        let asked = Asked::of(path);
        let Some(object) = asked.object else {
            if status == 404 {
                let missing = states.entry(key.hash, event.watermark_ms(), Walks::default).miss(event.time_ms(), asked.route);
                scanned(event, missing.objects, &self.config, findings);
            } else {
                findings.remark("no_object", || "The path names no object by an id.".to_owned());
            }
            return;
        };
        let writes = matches!(event.method(), Some("PUT" | "POST" | "PATCH" | "DELETE"));
        let request = Request::new(&asked, object, writes, status);
        let seen = states.entry(key.hash, event.watermark_ms(), Walks::default).ask(event.time_ms(), &request);
        match seen.rule(&self.config) {
            Ok(rule) if rule == Rule::Refused || event.user_kind() == UserKind::Human => {
                findings.push(self.walked(event, &seen, rule, writes));
            }
            Ok(_) => findings.excuse("service", key_of(event), Severity::Medium, seen.sentence()),
            Err(HABIT) => findings.excuse(HABIT, key_of(event), Severity::Medium, seen.sentence()),
            Err(gate) => findings.remark(gate, || seen.sentence()),
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        event == Kind::ApiRequest
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.principals);
        visit(&mut self.addresses);
    }
}
