//! What a list holds back, and how it is counted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::db::{Db, suppressions};
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, Severity};

fn entry(kind: Kind, value: &str) -> Suppression {
    Suppression {
        id: format!("sup_{value}"),
        tenant: "acme".into(),
        detector: None,
        kind,
        value: kind.normal(value).unwrap(),
        owner: "ann".into(),
        reason: "a scanner that is paid for".into(),
        created_ms: 0,
        expires_ms: 1_000,
        added: 1,
        removed: None,
    }
}

/// Who holds back what `detector` says of an event with all that an entry can be about.
fn by(entries: Vec<Suppression>, tenant: &str, detector: Option<&str>, arrival_ms: i64) -> Option<String> {
    let mut draft = EventDraft { ip: Some("203.0.113.7".parse().unwrap()), ..EventDraft::default() };
    for (field, text) in [(Field::Tenant, tenant), (Field::User, "ann"), (Field::Device, "d1"), (Field::App, "ios")] {
        draft.texts.set(field, text.to_owned());
    }
    let mut batch = EventBatch::default();
    let record = batch.push(&draft);
    (record.asn, record.arrival_ms) = (64_496, arrival_ms);
    Suppressions::new(entries).of(&batch.get(0).unwrap(), detector).map(|entry| entry.id.clone())
}

#[test]
fn each_kind_holds_back_what_it_names() {
    let held = [
        (Kind::User, "ann"),
        (Kind::Ip, "203.0.113.7"),
        (Kind::Ip, "203.0.113.99/24"),
        (Kind::Ip, "::ffff:203.0.113.7"),
        (Kind::Network, "64496"),
        (Kind::Network, "AS64496"),
        (Kind::Device, "d1"),
        (Kind::App, "ios"),
    ];
    for (kind, value) in held {
        assert_eq!(by(vec![entry(kind, value)], "acme", Some("any"), 5), Some(format!("sup_{value}")), "{kind:?} {value}");
    }
    for (kind, value) in [(Kind::User, "bob"), (Kind::Ip, "203.0.114.0/24"), (Kind::Session, "ann"), (Kind::UserAgent, "ios")] {
        assert_eq!(by(vec![entry(kind, value)], "acme", Some("any"), 5), None, "{kind:?} {value}");
    }
}

#[test]
fn an_entry_is_for_its_tenant_its_detector_and_its_time() {
    let all = || vec![entry(Kind::User, "ann")];
    let one = || vec![Suppression { detector: Some("token_reuse".into()), ..entry(Kind::User, "ann") }];
    assert_eq!(by(all(), "globex", Some("token_reuse"), 5), None);
    assert_eq!(by(all(), "acme", None, 5).as_deref(), Some("sup_ann"));
    assert_eq!(by(all(), "acme", None, 1_000), None, "it ended");
    assert_eq!(by(one(), "acme", Some("token_reuse"), 5).as_deref(), Some("sup_ann"));
    assert_eq!(by(one(), "acme", Some("brute_force"), 5), None);
    assert_eq!(by(one(), "acme", None, 5), None, "what one detector must not tell may be learnt all the same");
}

#[test]
fn values_have_one_form() {
    for (kind, value) in [(Kind::Ip, "203.0.113.300"), (Kind::Ip, ""), (Kind::Network, "AS0"), (Kind::Network, "x"), (Kind::User, " ")] {
        assert!(kind.normal(value).is_err(), "{kind:?} {value:?}");
    }
    assert_eq!(Kind::Ip.normal("2001:db8::1/32").unwrap(), "2001:db8::/32");
    assert!(Kind::ALL.into_iter().all(|kind| Kind::parse(kind.as_str()) == Some(kind)));
}

fn of(tenant: &str) -> suppressions::LineFilter {
    suppressions::LineFilter { tenant: Some(tenant.to_owned()), ..Default::default() }
}

fn held(event: &str, severity: Severity, time_ms: i64, seq: u64) -> Held {
    Held {
        by: By::Suppression("sup_1".into()),
        tenant: "acme".into(),
        detector: "token_reuse",
        key: "session:s".into(),
        severity,
        reason: format!("because of {event}"),
        event_id: event.into(),
        time_ms,
        seq,
    }
}

#[test]
fn the_ledger_counts_each_finding_once_however_often_it_is_repeated() {
    let db = Db::in_memory().unwrap();
    let count = |all: &[Held]| db.write(|tx| suppressions::count_held(tx, &Tally::of(all))).unwrap();
    let first = [held("e1", Severity::Medium, 10, 1), held("e2", Severity::High, 20, 2), held("e3", Severity::Low, 30, 3)];
    count(&first);
    count(&first);
    count(&[held("e4", Severity::Medium, 5, 4), held("later", Severity::Low, Tally::HOUR_MS, 5)]);
    let lines = db.read(|tx| suppressions::held(tx, &of("acme"), i64::MAX, 10)).unwrap();
    assert_eq!(lines.len(), 2, "an hour each");
    let line = &lines[1];
    assert_eq!((line.findings, line.first_event_ms, line.last_event_ms, line.event_id.as_str()), (4, 5, 30, "e2"));
    assert_eq!((line.severity, line.reason.as_str()), (Severity::High as u8, "because of e2"));
    assert_eq!(db.read(|tx| suppressions::held(tx, &of("globex"), i64::MAX, 10)).unwrap(), []);
    assert_eq!(db.write(|tx| suppressions::prune_held(tx, 0, 1, 10)).unwrap(), 1, "the oldest beyond the limit");
}

#[test]
fn earlier_versions_of_the_list_are_there_again() {
    let db = Db::in_memory().unwrap();
    let add = |value: &str, max| db.write(|tx| suppressions::add(tx, entry(Kind::User, value), max, 5)).unwrap();
    assert_eq!(add("ann", 2).unwrap().added, 1);
    assert_eq!(add("bob", 2).unwrap().added, 2);
    assert!(add("eve", 2).is_none(), "the list is full");
    db.write(|tx| suppressions::remove(tx, "sup_ann")).unwrap();
    let lists = Lists::open(&db).unwrap();
    let names = |version| lists.of_version(version).entries.iter().map(|entry| entry.value.clone()).collect::<Vec<_>>();
    assert_eq!(
        (lists.newest(), names(0), names(1), names(2), names(3)),
        (3, vec![], vec!["ann".into()], vec!["ann".into(), "bob".into()], vec!["bob".into()])
    );
    assert_eq!(add("eve", 2).unwrap().added, 4, "there is room again, and the numbers go on");
    db.write(|tx| suppressions::prune(tx, 2_000, 10)).unwrap();
    lists.renew(&db).unwrap();
    assert_eq!((lists.newest(), names(4)), (4, vec!["eve".into()]), "the newest stays, so that numbers go on");
}
