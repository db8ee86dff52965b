#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::by_hand::Hand;
use super::model::Resolution;
use super::{Incident, IncidentConfig, by_hand, quiet};
use crate::alert::Alert;
use crate::alert::model::{Attack, Disposition, Status};
use crate::db::alerts::{Change, TriageError, TriageStep};
use crate::db::{Db, DbError, alerts, incidents};
use crate::notify::commit::commit_merge;
use crate::notify::testing::{self, START_MS, commit_at};
use crate::notify::{Routing, Triaged, commit_incident_triage, commit_triage, follow_incident};
use bartizan_core::time::{HOUR_MS, MINUTE_MS};
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};

struct World {
    db: Db,
    routing: Routing,
}

fn attacker(ip: &str) -> Subject {
    Subject::new(EntityKind::Ip, ip, Role::Attacker)
}

fn hit(user: &str) -> Subject {
    Subject::new(EntityKind::User, user, Role::Victim).hit()
}

fn tried(user: &str) -> Subject {
    Subject::new(EntityKind::User, user, Role::Victim)
}

/// An alert of these subjects, `after_ms` from the start.
fn alert(id: &str, severity: Severity, after_ms: i64, subjects: &[Subject]) -> Alert {
    let time = TimeMs(START_MS + after_ms);
    Alert {
        severity,
        key: format!("key:{id}"),
        first_event_time: time,
        last_event_time: time,
        detected_time: time,
        entities: crate::alert::Entities::of(subjects),
        subjects: subjects.to_vec(),
        ..testing::alert(id)
    }
}

impl World {
    fn new() -> Self {
        Self { db: Db::in_memory().unwrap(), routing: Routing::default() }
    }

    /// Commits it; the incident that it belongs to.
    fn commit(&self, alert: &Alert) -> Option<Incident> {
        let effects = commit_at(&self.db, alert, &self.routing, alert.detected_time.0).unwrap();
        assert_eq!(self.alert(&alert.id).incident, effects.alert.incident, "what is stored says the same");
        effects.alert.incident.map(|id| self.get(&id))
    }

    fn one(&self, id: &str, severity: Severity, after_ms: i64, subjects: &[Subject]) -> Incident {
        self.commit(&alert(id, severity, after_ms, subjects)).unwrap()
    }

    fn get(&self, id: &str) -> Incident {
        self.db.read(|tx| incidents::get(tx, id)).unwrap().unwrap()
    }

    fn alert(&self, id: &str) -> Alert {
        self.db.read(|tx| alerts::get(tx, id)).unwrap().unwrap()
    }

    fn triage(&self, id: &str, change: &Change) -> Result<Incident, TriageError> {
        let step = TriageStep { id, tenant: None, expected_version: None, change, actor: "kim" };
        let triaged = self.db.write(|tx| commit_incident_triage(tx, &step, &self.routing, START_MS));
        triaged.map(|Triaged { incident, .. }| incident)
    }

    fn triage_alert(&self, id: &str, change: &Change) {
        let step = TriageStep { id, tenant: None, expected_version: None, change, actor: "kim" };
        self.db.write(|tx| commit_triage(tx, &step, &self.routing, START_MS)).unwrap();
    }

    fn silence(&self, after_ms: i64) -> Vec<Incident> {
        self.db.write(|tx| quiet::resolve_silent(tx, &IncidentConfig::default(), 100, START_MS + after_ms)).unwrap()
    }

    fn courses(&self, id: &str) -> Vec<String> {
        let history = self.db.read(|tx| incidents::history(tx, id, 100)).unwrap();
        history.iter().filter_map(|entry| Some(entry.change.get("course")?.as_str()?.to_owned())).collect()
    }
}

fn resolved(disposition: Disposition) -> Change {
    Change { status: Some(Status::Resolved), disposition: Some(disposition), ..Change::default() }
}

#[test]
fn alerts_of_one_attacker_are_one_incident_and_others_are_not() {
    let world = World::new();
    let first = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1"), tried("u2")]);
    let second = world.one("b", Severity::High, HOUR_MS, &[attacker("203.0.113.7"), hit("u9"), hit("u8")]);
    assert_eq!((second.id.as_str(), second.alert_count, second.hit_count), (first.id.as_str(), 2, 2));
    assert_eq!((second.severity, second.version), (Severity::High, 2));
    let other = world.one("c", Severity::High, HOUR_MS, &[attacker("198.51.100.9"), hit("u9"), hit("u8")]);
    assert_ne!(other.id, first.id, "two attacks on the same people stay two");
    let elsewhere = Alert { tenant: "other".to_owned(), ..alert("d", Severity::High, HOUR_MS, &[attacker("203.0.113.7")]) };
    assert_ne!(world.commit(&elsewhere).unwrap().id, first.id, "another tenant's");
    assert_eq!(world.courses(&first.id), ["opened", "changed"]);
}

#[test]
fn what_many_share_joins_nothing() {
    let world = World::new();
    let office = |user| {
        [Subject::new(EntityKind::Ip, "192.0.2.1", Role::Shared), Subject::new(EntityKind::Network, "AS64500", Role::Attacker), hit(user)]
    };
    let first = world.one("a", Severity::High, 0, &office("u1"));
    assert_ne!(world.one("b", Severity::High, 0, &office("u2")).id, first.id);
}

#[test]
fn what_follows_on_one_victim_joins_the_attack_that_hit_it() {
    let world = World::new();
    let stuffing = world.one("a", Severity::Critical, 0, &[attacker("203.0.113.7"), hit("u1"), hit("u2"), tried("u3")]);
    let takeover = alert("b", Severity::Critical, HOUR_MS, &[attacker("198.51.100.9"), hit("u1")]);
    let takeover = Alert {
        title: "Account taken over".to_owned(),
        attack: vec![Attack { tactic: "TA0003".to_owned(), technique: "T1098".to_owned() }],
        ..takeover
    };
    let joined = world.commit(&takeover).unwrap();
    assert_eq!(joined.id, stuffing.id);
    assert_eq!(joined.title, "Account taken over: u1, u2 and 1 more", "the alert furthest in its course gives the title");
    assert_eq!(joined.attack.iter().map(|attack| attack.tactic.as_str()).collect::<Vec<_>>(), ["TA0006", "TA0003"]);
    assert_ne!(world.one("c", Severity::High, HOUR_MS, &[attacker("192.0.2.77"), hit("u3")]).id, stuffing.id, "u3 was only tried");
}

#[test]
fn an_alert_between_two_incidents_joins_the_attackers_and_relates_the_other() {
    let world = World::new();
    let of_attacker = world.one("a", Severity::High, 0, &[attacker("203.0.113.7"), hit("u1")]);
    let of_victim = world.one("b", Severity::High, MINUTE_MS, &[attacker("198.51.100.9"), hit("u2")]);
    let between = world.one("c", Severity::High, 2 * MINUTE_MS, &[attacker("203.0.113.7"), hit("u2")]);
    assert_eq!((between.id.clone(), between.related), (of_attacker.id.clone(), vec![of_victim.id.clone()]));
    assert_eq!(world.get(&of_victim.id).related, [of_attacker.id]);
}

#[test]
fn a_version_of_an_alert_stays_in_its_incident_and_counts_once() {
    let world = World::new();
    let first = alert("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    let opened = world.commit(&first).unwrap();
    let grown = Alert { version: 2, last_event_time: TimeMs(START_MS + MINUTE_MS), ..first.clone() };
    let grown = world.commit(&grown).unwrap();
    assert_eq!((grown.version, grown.alert_count, grown.last_event_time.0), (1, 1, START_MS + MINUTE_MS), "growth alone is no version");
    let worse = Alert { version: 3, severity: Severity::High, subjects: vec![attacker("203.0.113.7"), hit("u1")], ..first };
    let worse = world.commit(&worse).unwrap();
    assert_eq!((worse.id, worse.version, worse.alert_count, worse.hit_count), (opened.id, 2, 1, 1));
}

#[test]
fn mild_alerts_wait_and_come_along_or_open_one_together() {
    let world = World::new();
    let mild = |id: &str, after_ms| alert(id, Severity::Low, after_ms, &[attacker("203.0.113.7"), tried("u1")]);
    assert!(world.commit(&mild("a", 0)).is_none());
    let opened = world.one("b", Severity::High, HOUR_MS, &[attacker("203.0.113.7"), hit("u1")]);
    assert_eq!((opened.alert_count, opened.first_event_time.0), (2, START_MS));
    assert_eq!(world.alert("a").incident, Some(opened.id.clone()));
    assert_eq!(world.commit(&mild("c", 2 * HOUR_MS)).unwrap().id, opened.id, "into what is open");

    let world = World::new();
    let opens = (0..20).find(|number| world.commit(&mild(&format!("m{number}"), number * MINUTE_MS)).is_some());
    assert_eq!(opens, Some(5), "six mild ones of 0.12 each are a risk of 54");
    let world =
        World { routing: Routing { incidents: IncidentConfig { risk_opens: 0, ..<_>::default() }, ..<_>::default() }, ..World::new() };
    assert!((0..20).all(|number| world.commit(&mild(&format!("m{number}"), number * MINUTE_MS)).is_none()));
}

#[test]
fn silence_ends_what_nobody_has_to_look_at_and_another_wave_opens_it_again() {
    let world = World::new();
    let tried_only = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    let with_hit = world.one("b", Severity::High, 0, &[attacker("198.51.100.9"), hit("u2")]);
    assert!(world.silence(6 * HOUR_MS).is_empty());
    let ended = world.silence(6 * HOUR_MS + 1);
    assert_eq!(ended.iter().map(|incident| &incident.id).collect::<Vec<_>>(), [&tried_only.id]);
    assert_eq!(ended[0].resolution, Some(Resolution::Silence));
    world.triage(&with_hit.id, &Change { status: Some(Status::Acknowledged), ..Change::default() }).unwrap();
    assert_eq!(world.silence(7 * HOUR_MS).len(), 1, "what somebody acknowledged ends");
    let again = world.one("c", Severity::Medium, 20 * HOUR_MS, &[attacker("203.0.113.7"), tried("u5")]);
    assert_eq!((again.id.as_str(), again.status, again.resolution), (tried_only.id.as_str(), Status::Open, None));
    assert_eq!(world.courses(&tried_only.id), ["opened", "reopened"]);
    let late = world.one("d", Severity::Medium, 80 * HOUR_MS, &[attacker("203.0.113.7"), tried("u5")]);
    assert_ne!(late.id, tried_only.id, "after a day it is another one");
}

#[test]
fn what_a_person_resolved_stays_so_and_the_next_wave_names_it() {
    let world = World::new();
    let first = world.one("a", Severity::High, 0, &[attacker("203.0.113.7"), hit("u1")]);
    world.triage(&first.id, &resolved(Disposition::TruePositive)).unwrap();
    assert_eq!(world.alert("a").disposition, Some(Disposition::TruePositive));
    let next = world.one("b", Severity::High, HOUR_MS, &[attacker("203.0.113.7"), hit("u1")]);
    assert_ne!(next.id, first.id);
    assert_eq!((next.previous.as_deref(), next.alert_count), (Some(first.id.as_str()), 1));
    assert_eq!(world.get(&first.id).status, Status::Resolved);
}

#[test]
fn alerts_follow_their_incident_and_it_follows_the_last_of_them() {
    let world = World::new();
    let first = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    world.one("b", Severity::High, 1, &[attacker("203.0.113.7"), hit("u2")]);
    world.triage(&first.id, &Change { status: Some(Status::Acknowledged), note: Some("mine".to_owned()), ..Change::default() }).unwrap();
    assert_eq!((world.alert("a").status, world.alert("b").status), (Status::Acknowledged, Status::Acknowledged));
    world.triage_alert("b", &resolved(Disposition::FalsePositive));
    let milder = world.get(&first.id);
    assert_eq!((milder.status, milder.severity), (Status::Acknowledged, Severity::Medium), "what was judged wrong counts no more");
    world.triage_alert("a", &resolved(Disposition::Benign));
    let ended = world.get(&first.id);
    assert_eq!(
        (ended.status, ended.resolution, ended.disposition),
        (Status::Resolved, Some(Resolution::Alerts), Some(Disposition::Benign))
    );
    world.triage_alert("a", &Change { status: Some(Status::Open), ..Change::default() });
    assert_eq!((world.get(&first.id).status, world.get(&first.id).disposition), (Status::Open, None));
}

#[test]
fn many_alerts_follow_in_pieces() {
    let world = World::new();
    let first = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    for number in 0..250 {
        world.one(&format!("m{number}"), Severity::Medium, number, &[attacker("203.0.113.7"), tried("u1")]);
    }
    let ended = world.triage(&first.id, &resolved(Disposition::FalsePositive)).unwrap();
    assert_eq!((ended.alerts.len(), ended.alert_count), (200, 251));
    let mut pieces = Vec::new();
    while let Some((incident, actor)) = world.db.read(incidents::to_follow).unwrap() {
        pieces.push(world.db.write(|tx| follow_incident(tx, &incident, &actor, &world.routing, START_MS)).unwrap().len());
    }
    assert_eq!(pieces, [100, 51]);
    let open: i64 = world
        .db
        .read::<_, DbError>(|tx| Ok(tx.query_row("SELECT count(*) FROM alerts WHERE status <> 'resolved'", [], |row| row.get(0))?))
        .unwrap();
    assert_eq!(open, 0);
    assert_eq!(world.get(&first.id).resolution, Some(Resolution::Person), "the last alert changes nothing of whose word it was");
}

#[test]
fn a_step_that_makes_no_sense_is_refused() {
    let world = World::new();
    let first = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    assert!(matches!(world.triage("none", &resolved(Disposition::Benign)), Err(TriageError::NotFound)));
    assert!(matches!(world.triage(&first.id, &Change::default()), Err(TriageError::Invalid { .. })));
    let open = Change { disposition: Some(Disposition::Benign), ..Change::default() };
    assert!(matches!(world.triage(&first.id, &open), Err(TriageError::Invalid { member: Some("disposition"), .. })));
    let step = TriageStep { id: &first.id, tenant: None, expected_version: Some(7), change: &resolved(Disposition::Benign), actor: "kim" };
    let late = world.db.write(|tx| commit_incident_triage(tx, &step, &world.routing, START_MS));
    assert!(matches!(late, Err(TriageError::Conflict { current: 1 })));
}

#[test]
fn lists_are_bounded_and_hits_come_first() {
    let world = World {
        routing: Routing { incidents: IncidentConfig { entities_max: 3, subjects_max: 2, ..<_>::default() }, ..<_>::default() },
        ..World::new()
    };
    let subjects: Vec<Subject> =
        (0..5).map(|number| tried(&format!("t{number}"))).chain((0..5).map(|number| hit(&format!("h{number}")))).collect();
    let incident = world.one("a", Severity::High, 0, &subjects);
    assert_eq!((incident.hit_count, incident.subjects.len()), (3, 2));
    assert!(incident.subjects.iter().all(|subject| subject.hit));
    let found: i64 =
        world.db.read::<_, DbError>(|tx| Ok(tx.query_row("SELECT count(*) FROM incident_entities", [], |row| row.get(0))?)).unwrap();
    assert_eq!(found, 3);
}

const HAND: Hand<'static> = Hand { actor: "kim", tenant: None, note: Some("one attacker"), now_ms: START_MS };

impl World {
    fn merge(&self, id: &str, others: &[&str]) -> Result<Incident, TriageError> {
        let others: Vec<String> = others.iter().map(|other| (*other).to_owned()).collect();
        self.db.write(|tx| commit_merge(tx, (id, &others), &self.routing, HAND))
    }

    fn split(&self, id: &str, taken: &[&str]) -> Result<Incident, TriageError> {
        let taken: Vec<String> = taken.iter().map(|alert| (*alert).to_owned()).collect();
        self.db.write(|tx| by_hand::split(tx, id, &taken, &self.routing.incidents, HAND))
    }
}

#[test]
fn what_is_merged_is_one_incident_that_is_found_by_all_of_it() {
    let world = World::new();
    let first = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    let second = world.one("b", Severity::High, HOUR_MS, &[attacker("198.51.100.9"), hit("u2")]);
    let merged = world.merge(&first.id, &[&second.id]).unwrap();
    assert_eq!((merged.alert_count, merged.hit_count, merged.severity), (2, 1, Severity::High));
    assert_eq!((merged.first_event_time.0, merged.last_event_time.0), (START_MS, START_MS + HOUR_MS));
    assert_eq!(world.alert("b").incident.as_deref(), Some(first.id.as_str()));
    let gone = world.get(&second.id);
    assert_eq!(
        (gone.status, gone.resolution, gone.merged_into.as_deref()),
        (Status::Resolved, Some(Resolution::Merged), Some(first.id.as_str()))
    );
    let next = world.one("c", Severity::High, 2 * HOUR_MS, &[attacker("198.51.100.9"), hit("u3")]);
    assert_eq!(next.id, first.id, "the other's attacker leads here now");
    assert!(matches!(world.merge(&first.id, &[&second.id]), Err(TriageError::Invalid { .. })), "it was merged");
    assert!(matches!(world.merge(&first.id, &[&first.id]), Err(TriageError::Invalid { .. })), "with itself");
    assert!(matches!(world.merge(&first.id, &["none"]), Err(TriageError::NotFound)));
    let change = Change { status: Some(Status::Acknowledged), ..Change::default() };
    assert!(matches!(world.triage(&second.id, &change), Err(TriageError::Invalid { .. })));
    let elsewhere = Alert { tenant: "other".to_owned(), ..alert("d", Severity::High, 0, &[attacker("203.0.113.7")]) };
    let elsewhere = world.commit(&elsewhere).unwrap();
    assert!(matches!(world.merge(&first.id, &[&elsewhere.id]), Err(TriageError::Invalid { .. })), "another tenant's");
    assert_eq!(world.alert("d").incident, Some(elsewhere.id), "nothing of a refused step is kept");
}

#[test]
fn what_is_taken_out_is_an_incident_of_its_own_and_both_are_what_their_alerts_say() {
    let world = World::new();
    let all = world.one("a", Severity::Medium, 0, &[attacker("203.0.113.7"), tried("u1")]);
    world.one("b", Severity::Critical, HOUR_MS, &[attacker("203.0.113.7"), attacker("198.51.100.9"), hit("u2")]);
    let own = world.split(&all.id, &["b"]).unwrap();
    let rest = world.get(&all.id);
    assert_eq!((rest.alert_count, rest.hit_count, rest.severity, rest.related), (1, 0, Severity::Medium, vec![own.id.clone()]));
    assert_eq!((own.alert_count, own.hit_count, own.severity, own.status), (1, 1, Severity::Critical, Status::Open));
    assert_eq!(world.alert("b").incident.as_deref(), Some(own.id.as_str()));
    let next = world.one("c", Severity::High, 2 * HOUR_MS, &[attacker("198.51.100.9"), hit("u3")]);
    assert_eq!(next.id, own.id);
    let back = world.merge(&all.id, &[&own.id]).unwrap();
    assert_eq!((back.alert_count, back.hit_count), (3, 2), "and together again");
    assert!(matches!(world.split(&all.id, &["none"]), Err(TriageError::Invalid { member: Some("alerts"), .. })));
    assert!(matches!(world.split(&all.id, &["a", "b", "c"]), Err(TriageError::Invalid { member: Some("alerts"), .. })), "none would stay");
    assert_eq!(world.get(&all.id).alert_count, 3, "nothing of a refused step is kept");
}
