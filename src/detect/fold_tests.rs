//! A feed whose session ids change: what the engine makes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::breaker::{CIRCUIT_BREAKER, Closing};
use super::checkpoint::{Checkpoints, Parts};
use super::engine::{Engine, Outcome};
use super::{DetectConfig, Enabled};
use crate::alert::Alert;
use crate::flow::{Change, EventFlow};
use crate::suppress::By;
use bartizan_core::batch::Field;
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{
    Action, Budget, Detector, EntityKind, Event, EventBatch, EventDraft, Finding, Findings, Key, KeyHasher, KeyKind, Kind, Parameters,
    Role, Severity, Spec, State, Subject,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const START_MS: i64 = 1_780_272_000_000;

/// Takes each sign-in for a stolen session.
struct Reused;

impl Detector for Reused {
    fn observe(&mut self, _key: Key, event: &Event<'_>, findings: &mut Findings) {
        let session = event.session().unwrap_or_default();
        let mut finding = Finding::new(event, format!("session:{session}"), Severity::High);
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim).hit());
        finding.involve(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim).hit());
        finding.actions.push(Action::RevokeSessions);
        findings.push(finding);
    }
    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        event == Kind::Login
    }
    fn each_state(&mut self, _visit: &mut dyn FnMut(&mut dyn State)) {}
}

static REUSED: Spec = Spec {
    id: "reused",
    title: "Session used elsewhere",
    looks_for: "",
    blind_spots: "",
    innocent_causes: "",
    keys: &[KeyKind::Session],
    parameters: &[],
    attack: &[],
    yields: false,
    quiet_gap_ms: 30 * MINUTE_MS,
    state_version: 1,
    build: |_: &Parameters, _: &Arc<Budget>| Box::new(Reused),
};

fn engine(threads: usize) -> Engine {
    let enabled = Enabled { detectors: vec![(&REUSED, Parameters::defaults(&[]))] };
    Engine::new(&DetectConfig { threads, ..DetectConfig::default() }, &enabled, KeyHasher::new([3; 16]))
}

#[derive(Clone)]
struct Line {
    time_ms: i64,
    kind: Kind,
    tenant: &'static str,
    session: String,
}

/// A sign-in so many milliseconds after the beginning.
fn login(after_ms: i64, session: impl ToString) -> Line {
    Line { time_ms: START_MS + after_ms, kind: Kind::Login, tenant: "acme", session: session.to_string() }
}

/// Nothing but time, for so many hours.
fn quiet(from_ms: i64, hours: i64) -> impl Iterator<Item = Line> {
    (1..=hours * 12).map(move |n| Line { kind: Kind::Logout, ..login(from_ms + n * 5 * MINUTE_MS, "q") })
}

/// A few alerts, then 5,000 within twenty minutes, then none, then a few again.
fn feed() -> Vec<Line> {
    let mut lines: Vec<_> = (0..24).map(|hour| login(hour * HOUR_MS, format!("usual-{hour}"))).collect();
    let flood_ms = 24 * HOUR_MS;
    for number in 0..5_000 {
        lines.push(login(flood_ms + number * 240, format!("s{number}")));
        if number % 100 == 0 {
            lines.push(login(flood_ms + number * 240 + 1, "s0"));
            lines.push(Line { tenant: "globex", ..login(flood_ms + number * 240 + 2, format!("g{}", number % 1_000)) });
        }
    }
    lines.extend(quiet(25 * HOUR_MS, 3));
    lines.extend((0..10).map(|number| login(29 * HOUR_MS + number * SECOND_MS, format!("again-{number}"))));
    lines.extend(quiet(29 * HOUR_MS + MINUTE_MS, 3));
    lines
}

fn batch(lines: &[Line]) -> EventBatch {
    let mut batch = EventBatch::default();
    for line in lines {
        let mut draft = EventDraft { time_ms: line.time_ms, kind: line.kind, ..EventDraft::default() };
        draft.texts.set(Field::Tenant, line.tenant);
        draft.texts.set(Field::User, format!("user-{}", line.session));
        draft.texts.set(Field::Session, line.session.clone());
        draft.texts.set(Field::Id, format!("{}-{}", line.session, line.time_ms));
        batch.push(&draft);
    }
    batch
}

/// What came of lines, in batches of `size`.
fn take(engine: &mut Engine, lines: &[Line], size: usize, into: &mut Outcome) {
    for lines in lines.chunks(size) {
        let outcome = engine.process(&mut EventFlow::replayed(batch(lines), engine.next_seq()));
        into.alerts.extend(outcome.alerts);
        into.held.extend(outcome.held);
    }
}

fn bytes(outcome: &Outcome) -> String {
    let alerts = outcome.alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect::<String>();
    alerts + &format!("{:?}", outcome.held)
}

fn through_checkpoint(engine: &mut Engine, threads: usize) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path()).unwrap();
    let mut writing = checkpoints.begin(engine.next_seq()).unwrap();
    let mut parts = Parts::default();
    engine.begin_checkpoint(&mut parts).unwrap();
    while !engine.save_some(5_000, &mut parts).unwrap() {}
    writing.write(&parts).unwrap();
    writing.finish().unwrap();
    let mut loaded = self::engine(threads);
    assert!(loaded.restore(checkpoints.newest_first().unwrap().next().unwrap().unwrap()).unwrap().is_empty());
    loaded
}

/// The newest version of each alert, and how many versions it has.
fn newest(alerts: &[Alert]) -> BTreeMap<&str, (&Alert, u32)> {
    let mut newest = BTreeMap::new();
    for alert in alerts {
        let (latest, versions) = newest.entry(alert.id.as_str()).or_insert((alert, 0));
        (*latest, *versions) = (alert, *versions + 1);
    }
    newest
}

#[test]
fn a_flood_becomes_one_campaign_and_single_alerts_come_again_afterwards() {
    let (mut engine, mut all) = (engine(1), Outcome::default());
    let lines = feed();
    let end = lines.iter().position(|line| line.kind == Kind::Logout).unwrap();
    take(&mut engine, &lines[..end], 1_000, &mut all);
    let open = engine.open_breakers();
    assert_eq!((open.len(), open[0].tenant.as_str(), open[0].alerts_opened, open[0].findings_folded), (1, "acme", 50, 4_950));
    assert!(open[0].sessions_hit.abs_diff(4_950) < 700 && open[0].usual < 1.5, "{open:?}");
    take(&mut engine, &lines[end..], 1_000, &mut all);
    assert_eq!(engine.open_breakers(), []);

    let alerts = newest(&all.alerts);
    let of = |tenant: &str, prefix: &str| {
        alerts.values().filter(|(alert, _)| alert.tenant == tenant && alert.key.starts_with(prefix)).collect::<Vec<_>>()
    };
    assert_eq!((of("acme", "session:usual-").len(), of("acme", "session:s").len(), of("acme", "session:again-").len()), (24, 50, 10));
    assert_eq!(of("globex", "").len(), 10, "other tenants are not concerned");
    let campaigns = of("acme", "campaign:");
    let [(campaign, versions)] = campaigns[..] else { unreachable!("{campaigns:?}") };
    assert!(campaign.is_campaign() && *versions < 60, "{versions} versions");
    assert_eq!((campaign.event_count, campaign.severity, campaign.ongoing), (4_950, Severity::High, false));
    assert!(campaign.reason.contains("after 50 within an hour"), "{}", campaign.reason);
    assert_eq!(campaign.subjects.len(), 1_000, "of what was hit a bounded list");
    assert!(campaign.subjects.iter().all(|subject| subject.hit) && campaign.actions == [Action::RevokeSessions]);
    assert!(campaign.evidence["users_hit"].as_u64().unwrap() > 4_000 && campaign.event_ids.len() <= 150);
    let (goes_on, _) = of("acme", "session:s0")[0];
    assert_eq!(goes_on.event_count, 51, "what is open already goes on as before");

    let folded = all.held.iter().filter(|held| held.by == By::Gate(CIRCUIT_BREAKER));
    assert_eq!((folded.clone().count(), folded.clone().all(|held| held.key.starts_with("session:s"))), (4_950, true), "nothing is lost");
}

#[test]
fn batches_threads_and_a_checkpoint_midway_do_not_change_a_byte() {
    let lines = feed();
    let mut reference = Outcome::default();
    take(&mut engine(1), &lines, 10_000, &mut reference);
    let reference = bytes(&reference);
    for (threads, size) in [(1, 1), (2, 777), (8, 100)] {
        let mut all = Outcome::default();
        take(&mut engine(threads), &lines, size, &mut all);
        assert!(bytes(&all) == reference, "{threads} threads, batches of {size}");
    }
    for middle in [20, 60, 2_500, lines.len() - 60] {
        let (mut first, mut all) = (engine(1), Outcome::default());
        take(&mut first, &lines[..middle], 500, &mut all);
        take(&mut through_checkpoint(&mut first, 2), &lines[middle..], 333, &mut all);
        assert!(bytes(&all) == reference, "cut at {middle}");
    }
}

#[test]
fn a_breaker_that_a_person_closes_stays_closed_through_a_restart() {
    let lines = feed();
    let closings: Arc<[Closing]> = vec![Closing { number: 1, detector: "reused".into(), tenant: "acme".into() }].into();
    let (mut first, mut before) = (engine(1), Outcome::default());
    take(&mut first, &lines[..2_000], 1_000, &mut before);
    assert_eq!(first.open_breakers().len(), 1);
    let go_on = |engine: &mut Engine, from: usize| {
        let mut all = Outcome::default();
        let mut flow = EventFlow::replayed(batch(&lines[from..2_100]), engine.next_seq());
        flow.order.changes = vec![Change::BreakersClosed(Arc::clone(&closings))];
        all.alerts.extend(engine.process(&mut flow).alerts);
        assert_eq!(engine.open_breakers(), []);
        let mut engine = through_checkpoint(engine, 1);
        assert_eq!(engine.in_force(), [Change::BreakersClosed(Arc::clone(&closings))]);
        take(&mut engine, &lines[2_100..], 1_000, &mut all);
        assert_eq!(engine.open_breakers(), []);
        all
    };
    let mut again = through_checkpoint(&mut first, 2);
    let after = go_on(&mut first, 2_000);
    assert_eq!(bytes(&after), bytes(&go_on(&mut again, 2_000)), "a restart judges the same");
    let single = newest(&after.alerts).into_values().filter(|(alert, _)| alert.version > 0 && alert.key.starts_with("session:s")).count();
    assert!(single > 2_900, "{single} alerts of their own");
    assert!(after.held.is_empty());
}
