//! The switch as a file, and what is told of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::alert::Alert;
use crate::db::actions;
use crate::db::outbox::State;
use crate::notify::testing::{START_MS, alert, commit_at, messages, people};
use crate::respond::record;
use bartizan_core::{EntityKind, Role, Severity, Subject};
use serde_json::json;

struct House {
    folder: tempfile::TempDir,
    switch: StopSwitch,
    db: Db,
    routing: Routing,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let routing = Routing { channels: vec![people("oncall", Severity::Critical)], ..Routing::default() };
        Self { switch: StopSwitch::of(folder.path()), folder, db: Db::in_memory().unwrap(), routing }
    }

    fn tell(&self, now_ms: i64) -> bool {
        self.switch.tell(&self.db, &self.routing, now_ms).unwrap()
    }

    /// Who did what, by the trail.
    fn recorded(&self) -> Vec<(String, String)> {
        let (found, _) = self.db.read(|tx| audit::list(tx, &audit::Filter::default(), i64::MAX, 100)).unwrap();
        found.into_iter().rev().map(|record| (record.actor, record.action)).collect()
    }

    fn told(&self) -> Vec<String> {
        messages(&self.db, "oncall", State::Pending).into_iter().map(|message| message.kind).collect()
    }
}

fn pair(by: &str, action: &str) -> (String, String) {
    (by.to_owned(), action.to_owned())
}

#[test]
fn who_stops_first_counts_and_it_is_told_once() {
    let house = House::new();
    assert!(!house.switch.is_thrown() && !house.tell(START_MS));
    assert!(house.switch.stop("ann", "a wrong detector", START_MS).unwrap());
    assert!(!house.switch.stop("bob", "me too", START_MS + 1).unwrap());
    let stopped = house.switch.stopped().unwrap();
    assert_eq!((stopped.by.as_str(), stopped.reason.as_str(), stopped.time), ("ann", "a wrong detector", Some(TimeMs(START_MS))));
    assert_eq!([house.tell(START_MS + 2), house.tell(START_MS + 3)], [true, false]);
    assert!(house.switch.start(&house.db, &house.routing, "kim", START_MS + 4).unwrap());
    assert!(!house.switch.is_thrown() && !house.tell(START_MS + 5));
    assert!(!house.switch.start(&house.db, &house.routing, "kim", START_MS + 6).unwrap());
    assert_eq!(house.recorded(), [pair("ann", "response.stopped"), pair("kim", "response.started")]);
    assert_eq!(house.told(), ["response.stopped", "response.started"]);
    assert_eq!(std::fs::read_dir(house.folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn an_address_is_not_blocked_while_machines_are_stopped() {
    let mut house = House::new();
    let policy = json!({"name": "p", "actions": ["block_address"], "shadow": false, "min_severity": "info"});
    house.routing.policies = vec![serde_json::from_value(policy).unwrap()];
    let block_of = |house: &House, alert: &Alert| {
        commit_at(&house.db, alert, &house.routing, START_MS + 5).unwrap();
        let found = house.db.read(|tx| actions::of_alert(tx, &alert.id, &[record::State::InForce, record::State::Held])).unwrap();
        found.into_iter().map(|action| (action.state, action.brake)).collect::<Vec<_>>()
    };
    house.switch.stop("ann", "a wrong detector", START_MS).unwrap();
    house.tell(START_MS + 1);
    assert_eq!(block_of(&house, &alert("a1")), [(record::State::Held, Some("stopped".to_owned()))]);
    house.switch.start(&house.db, &house.routing, "ann", START_MS + 2).unwrap();
    let other = Subject::new(EntityKind::Ip, "198.51.100.9", Role::Attacker);
    assert_eq!(block_of(&house, &Alert { subjects: vec![other], ..alert("a2") }), [(record::State::InForce, None)]);
}

#[test]
fn a_stop_that_nobody_saw_is_on_record_when_it_ends() {
    let house = House::new();
    house.switch.stop("ann", "the daemon was down", START_MS).unwrap();
    house.switch.start(&house.db, &house.routing, "kim", START_MS + 1).unwrap();
    assert_eq!(house.recorded(), [pair("ann", "response.stopped"), pair("kim", "response.started")]);
}

#[test]
fn a_file_made_and_removed_by_hand_counts_as_well() {
    let house = House::new();
    let file = house.folder.path().join("response.stopped");
    std::fs::write(&file, "!").unwrap();
    assert!(house.switch.is_thrown() && house.tell(START_MS));
    std::fs::remove_file(&file).unwrap();
    assert!(!house.switch.is_thrown() && house.tell(START_MS + 1));
    assert_eq!(house.recorded(), [pair("unknown", "response.stopped"), pair("unknown", "response.started")]);
    // A link to nowhere and a folder are there, too.
    std::os::unix::fs::symlink("/nowhere", &file).unwrap();
    assert!(house.switch.is_thrown() && house.switch.stopped().is_some());
    assert!(house.switch.remove().unwrap());
    std::fs::create_dir(&file).unwrap();
    assert!(house.switch.is_thrown() && !house.switch.stop("ann", "r", START_MS).unwrap());
}

#[test]
fn where_it_cannot_be_told_machines_do_not_act() {
    let house = House::new();
    let file = house.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Within what is no folder nothing can be looked up.
    let switch = StopSwitch::of(&file);
    assert!(switch.is_thrown());
    assert!(switch.stop("ann", "r", START_MS).is_err());
}
