#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::alert::Alert;
use crate::alert::model::Disposition;
use crate::db::Db;
use crate::db::alerts::{Change, TriageStep};
use crate::db::maintenance::Window;
use crate::db::outbox::Message;
use crate::notify::commit::{commit_incident_triage, commit_silence};
use crate::notify::config::{Group, NotifyConfig};
use crate::notify::quiet::QuietHours;
use crate::notify::testing::{START_MS, alert, commit_at, messages};
use bartizan_core::{EntityKind, Role, Subject};

const NOW_MS: i64 = START_MS + 5_000;

struct World {
    db: Db,
    routing: Routing,
}

fn route(name: &str) -> Route {
    Route { group: Group::Incident, ..Route::people(name, Severity::Medium) }
}

/// An alert about the same attacker at each call, of a victim of its own.
fn of_attack(id: &str, severity: Severity, hit: bool) -> Alert {
    let victim = Subject::new(EntityKind::User, format!("victim-{id}"), Role::Victim);
    let subjects = vec![Subject::new(EntityKind::Ip, "198.51.100.7", Role::Attacker), if hit { victim.hit() } else { victim }];
    Alert { severity, subjects, actions: Vec::new(), ..alert(id) }
}

impl World {
    fn new(channels: impl IntoIterator<Item = Route>) -> Self {
        Self { db: Db::in_memory().unwrap(), routing: Routing { channels: channels.into_iter().collect(), ..Routing::default() } }
    }

    fn commit(&self, alert: &Alert, now_ms: i64) -> String {
        let alert = Alert { detected_time: TimeMs(now_ms), ..alert.clone() };
        commit_at(&self.db, &alert, &self.routing, now_ms).unwrap().alert.incident.unwrap()
    }

    fn waiting(&self, channel: &str) -> Vec<Message> {
        messages(&self.db, channel, State::Pending)
    }

    fn kinds(&self, channel: &str) -> Vec<String> {
        self.waiting(channel).into_iter().map(|message| message.kind).collect()
    }

    /// Everything that is due by then is on its way.
    fn send(&self, channel: &str, now_ms: i64) -> usize {
        self.db
            .write::<_, DbError>(|tx| {
                let due = outbox::due(tx, channel, now_ms, 1_000)?;
                for message in &due {
                    outbox::claim(tx, message.id)?;
                    outbox::finish(tx, message.id, State::Delivered, None, now_ms)?;
                }
                Ok(due.len())
            })
            .unwrap()
    }

    fn triage(&self, id: &str, status: Status, now_ms: i64) {
        let disposition = (status == Status::Resolved).then_some(Disposition::TruePositive);
        let change = Change { status: Some(status), disposition, ..Change::default() };
        let step = TriageStep { id, tenant: None, expected_version: None, change: &change, actor: "kim" };
        self.db.write(|tx| commit_incident_triage(tx, &step, &self.routing, now_ms)).unwrap();
    }
}

fn shown(message: &Message) -> Incident {
    serde_json::from_str::<Payload<Incident>>(&message.body).unwrap().data
}

#[test]
fn what_comes_together_is_one_message_and_critical_ones_wait_for_nothing() {
    let world = World::new([route("oncall")]);
    world.commit(&of_attack("a1", Severity::Medium, false), NOW_MS);
    assert_eq!(world.send("oncall", NOW_MS), 0, "it waits for company");
    world.commit(&of_attack("a2", Severity::High, true), NOW_MS + 500);
    let [message] = world.waiting("oncall").try_into().unwrap();
    assert_eq!((message.kind.as_str(), shown(&message).alert_count, shown(&message).severity), (OPENED, 2, Severity::High));
    world.commit(&of_attack("a3", Severity::Critical, true), NOW_MS + 600);
    assert_eq!(world.send("oncall", NOW_MS + 600), 1, "no longer");
    assert_eq!(world.kinds("oncall"), [""; 0]);
}

#[test]
fn what_gets_worse_is_told_at_once_and_the_rest_in_a_digest() {
    let world = World::new([route("oncall")]);
    world.commit(&of_attack("a1", Severity::Medium, false), NOW_MS);
    assert_eq!(world.send("oncall", NOW_MS + HOLD_MS), 1);
    for number in 0..20 {
        world.commit(&of_attack(&format!("b{number}"), Severity::Medium, false), NOW_MS + MINUTE_MS + number);
    }
    assert_eq!(world.kinds("oncall"), ["incident.digest"]);
    world.commit(&of_attack("c", Severity::High, true), NOW_MS + 2 * MINUTE_MS);
    assert_eq!(world.kinds("oncall"), ["incident.digest", UPDATED]);
    assert_eq!(world.send("oncall", NOW_MS + 2 * MINUTE_MS), 1);
    let digest: Payload<Notice> = serde_json::from_str(&world.waiting("oncall")[0].body).unwrap();
    assert_eq!((digest.data.details["incidents"].as_u64(), digest.data.details["samples"][0]["alert_count"].as_u64()), (Some(1), Some(21)));
    assert_eq!(world.send("oncall", NOW_MS + MINUTE_MS + DIGEST.hold_ms), 1);
    world.commit(&of_attack("d", Severity::Medium, false), NOW_MS + HOUR_MS);
    assert_eq!(world.kinds("oncall"), ["incident.digest"], "the next one");
}

#[test]
fn a_channel_meets_an_incident_when_it_is_bad_enough_for_it_and_of_its_tenant_and_detector() {
    let world = World::new([
        Route { min_severity: Severity::Critical, ..route("pager") },
        Route { tenants: vec!["other".to_owned()], ..route("other") },
        Route { detectors: vec!["brute_force".to_owned()], ..route("guesses") },
    ]);
    world.commit(&of_attack("a1", Severity::High, true), NOW_MS);
    let none: [String; 0] = [];
    assert_eq!((world.kinds("pager"), world.kinds("other"), world.kinds("guesses")), (none.to_vec(), none.to_vec(), none.to_vec()));
    world.commit(&Alert { detector: "brute_force".to_owned(), ..of_attack("a2", Severity::Critical, true) }, NOW_MS);
    assert_eq!((world.kinds("pager"), world.kinds("guesses")), (vec![OPENED.to_owned()], vec![OPENED.to_owned()]));
    assert_eq!(world.kinds("other"), none);
}

#[test]
fn a_channel_meets_what_names_somebody_it_is_about_and_what_hit_them() {
    let of = |entities: &[&str], only_hits| {
        let entities = entities.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect();
        crate::alert::Concern { entities, only_hits }
    };
    let world = World::new([
        Route { concern: of(&["user:*@board.example"], false), ..route("board") },
        Route { concern: of(&["ip:198.51.100.0/24", "user:x"], true), ..route("hits") },
        Route { concern: of(&[], true), ..route("all-hits") },
    ]);
    world.commit(&of_attack("a1", Severity::High, false), NOW_MS);
    let of_all = |world: &World| ["board", "hits", "all-hits"].map(|channel| world.kinds(channel).len());
    assert_eq!(of_all(&world), [0, 0, 0]);
    let member = Subject::new(EntityKind::User, "kim@board.example", Role::Victim);
    let mut second = of_attack("a2", Severity::High, true);
    second.subjects.push(member);
    world.commit(&second, NOW_MS + 1);
    assert_eq!(of_all(&world), [1, 0, 1], "the address that is meant was not hit");
}

#[test]
fn steps_are_told_to_those_who_know_and_silence_only_to_those_who_keep_a_state() {
    let world = World::new([route("oncall"), Route { min_severity: Severity::Critical, ..route("pager") }]);
    let id = world.commit(&of_attack("a1", Severity::High, true), NOW_MS);
    assert_eq!(world.send("oncall", NOW_MS + HOLD_MS), 1);
    world.triage(&id, Status::Acknowledged, NOW_MS + MINUTE_MS);
    world.triage(&id, Status::Resolved, NOW_MS + 2 * MINUTE_MS);
    assert_eq!(world.kinds("oncall"), [ACKNOWLEDGED, RESOLVED]);
    assert_eq!(world.kinds("pager"), [""; 0]);
    let world = World::new([route("oncall"), Route { keeps_state: true, ..route("pager") }]);
    world.commit(&of_attack("a1", Severity::Medium, false), NOW_MS);
    assert_eq!([world.send("oncall", NOW_MS + HOLD_MS), world.send("pager", NOW_MS + HOLD_MS)], [1, 1]);
    world.commit(&of_attack("b", Severity::Medium, false), NOW_MS + MINUTE_MS);
    assert_eq!((world.kinds("oncall"), world.kinds("pager")), (vec![DIGEST.kind.to_owned()], vec![UPDATED.to_owned()]));
    let later = NOW_MS + HOUR_MS;
    assert_eq!([world.send("oncall", later), world.send("pager", later)], [1, 1]);
    let ended = world.db.write(|tx| commit_silence(tx, &world.routing, 10, NOW_MS + 7 * HOUR_MS)).unwrap();
    assert_eq!((ended, world.kinds("oncall"), world.kinds("pager")), (1, vec![DIGEST.kind.to_owned()], vec![RESOLVED.to_owned()]));
    assert_eq!(world.send("pager", NOW_MS + 7 * HOUR_MS), 1);
    world.commit(&of_attack("a2", Severity::Medium, false), NOW_MS + 8 * HOUR_MS);
    assert_eq!(world.kinds("pager"), [OPENED], "a further wave opens it again");
}

#[test]
fn who_keeps_a_state_gets_no_digest_of_what_it_never_heard_of() {
    let world = World::new([Route { keeps_state: true, ..route("pager") }, route("oncall")]);
    let id = world.commit(&of_attack("a1", Severity::High, true), NOW_MS);
    world.triage(&id, Status::Resolved, NOW_MS + 1);
    assert_eq!((world.kinds("pager").len(), world.kinds("oncall")), (0, vec![DIGEST.kind.to_owned()]));
}

#[test]
fn who_escalates_hears_only_of_what_nobody_acknowledged() {
    let manager = || Route { escalate_after_ms: 15 * MINUTE_MS, ..route("manager") };
    let world = World::new([manager()]);
    let id = world.commit(&of_attack("a1", Severity::Critical, true), NOW_MS);
    assert_eq!(world.send("manager", NOW_MS + 14 * MINUTE_MS), 0);
    world.commit(&of_attack("a2", Severity::Critical, true), NOW_MS + 14 * MINUTE_MS);
    assert_eq!(world.send("manager", NOW_MS + 15 * MINUTE_MS), 1, "news put nothing off");
    world.triage(&id, Status::Acknowledged, NOW_MS + HOUR_MS);
    assert_eq!(world.kinds("manager"), [ACKNOWLEDGED]);
    let world = World::new([manager()]);
    let id = world.commit(&of_attack("a1", Severity::Critical, true), NOW_MS);
    world.triage(&id, Status::Acknowledged, NOW_MS + MINUTE_MS);
    assert_eq!((world.kinds("manager").len(), world.send("manager", NOW_MS + HOUR_MS)), (0, 0));
}

#[test]
fn at_night_only_what_is_bad_enough_is_told_and_the_rest_as_it_is_in_the_morning() {
    // The alerts come at noon.
    let hours = QuietHours { from: "10:00".to_owned(), to: "18:00".to_owned(), zone: "UTC".to_owned(), below: Severity::Critical };
    let world = World::new([Route { quiet: hours.read().ok(), ..route("oncall") }]);
    world.commit(&of_attack("a1", Severity::Medium, false), NOW_MS);
    world.commit(&of_attack("a2", Severity::High, true), NOW_MS + HOUR_MS);
    assert_eq!(world.send("oncall", NOW_MS + 5 * HOUR_MS), 0);
    let [message] = world.waiting("oncall").try_into().unwrap();
    assert_eq!(shown(&message).alert_count, 2);
    world.commit(&of_attack("a3", Severity::Critical, true), NOW_MS + 5 * HOUR_MS);
    assert_eq!(world.send("oncall", NOW_MS + 5 * HOUR_MS), 1, "it became bad enough");
}

#[test]
fn more_than_so_many_an_hour_come_in_the_digest_but_for_critical_ones() {
    let mut world = World::new([route("oncall")]);
    world.routing.limits = NotifyConfig { mild_incidents_per_hour_max: 2, ..NotifyConfig::default() };
    let from = |ip: &str, severity| {
        let subjects = vec![Subject::new(EntityKind::Ip, ip, Role::Attacker)];
        Alert { subjects, ..of_attack(ip, severity, false) }
    };
    for number in 0..5 {
        world.commit(&from(&format!("192.0.2.{number}"), Severity::Medium), NOW_MS);
    }
    assert_eq!(world.kinds("oncall"), [OPENED, OPENED, DIGEST.kind]);
    let digest: Payload<Notice> = serde_json::from_str(&world.waiting("oncall")[2].body).unwrap();
    assert_eq!(digest.data.details["held_back"], 3);
    world.commit(&from("192.0.2.9", Severity::Critical), NOW_MS);
    assert_eq!(world.kinds("oncall").len(), 4);
    world.commit(&from("192.0.2.10", Severity::Medium), NOW_MS + 2 * HOUR_MS);
    assert_eq!(world.kinds("oncall").len(), 5, "the hour is over");
}

#[test]
fn an_incident_that_only_grows_is_not_told_again() {
    let world = World::new([route("oncall")]);
    let first = of_attack("a1", Severity::Medium, false);
    world.commit(&first, NOW_MS);
    world.send("oncall", NOW_MS + HOLD_MS);
    world.commit(&Alert { version: 2, event_count: 900, ..first.clone() }, NOW_MS + 6 * MINUTE_MS);
    assert_eq!(world.kinds("oncall"), [""; 0]);
}

#[test]
fn maintenance_lets_a_tenants_incidents_wait_and_what_is_over_by_then_is_a_line_of_the_digest() {
    let world = World::new([route("oncall")]);
    let window = |tenant: &str| Window {
        tenant: tenant.to_owned(),
        from_ms: NOW_MS,
        until_ms: NOW_MS + 2 * HOUR_MS,
        owner: "kim".to_owned(),
        reason: "penetration test".to_owned(),
    };
    world.db.write(|tx| maintenance::set(tx, &window("acme"), NOW_MS)).unwrap();
    let from = |id: &str, tenant: &str| {
        let subjects = vec![Subject::new(EntityKind::Ip, format!("192.0.2.{}", id.len()), Role::Attacker)];
        Alert { subjects, tenant: tenant.to_owned(), ..of_attack(id, Severity::Critical, false) }
    };
    let over = world.commit(&from("a", "acme"), NOW_MS);
    world.commit(&from("bb", "acme"), NOW_MS);
    world.commit(&from("ccc", "other"), NOW_MS);
    assert_eq!((world.send("oncall", NOW_MS + 1), world.kinds("oncall")), (1, vec![OPENED.to_owned(); 2]), "the other tenant's alone");
    world.triage(&over, Status::Resolved, NOW_MS + HOUR_MS);
    assert_eq!(world.kinds("oncall"), [OPENED, DIGEST.kind]);
    let early = NOW_MS + HOUR_MS + 1;
    world.db.write(|tx| Ok::<_, DbError>(outbox::hasten(tx, "acme", NOW_MS + 2 * HOUR_MS, early)?)).unwrap();
    assert_eq!(world.send("oncall", early), 1, "it is ended early");
}
