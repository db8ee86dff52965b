//! What a list holds back, and how it is counted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::db::{Db, suppressions};
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, Place, Severity};
use serde_json::{Value, json};

fn entry(kind: Kind, value: &str) -> Suppression {
    about(value, About::Entity { kind, value: kind.normal(value).unwrap() })
}

fn about(id: &str, about: About) -> Suppression {
    Suppression {
        id: format!("sup_{id}"),
        tenant: "acme".into(),
        detector: None,
        about,
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
    let agent = (Field::UserAgent, "Monitor/1.0");
    for (field, text) in [(Field::Tenant, tenant), (Field::User, "ann"), (Field::Device, "d1"), (Field::App, "ios"), agent] {
        draft.texts.set(field, text.to_owned());
    }
    draft.texts.set(Field::Region, "Bavaria");
    let mut batch = EventBatch::default();
    let record = batch.push(&draft);
    (record.asn, record.arrival_ms) = (64_496, arrival_ms);
    record.place = Some(Place { country: *b"DE", latitude: 48.1, longitude: 11.6, accuracy_km: 20 });
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
        (Kind::UserAgent, "Monitor/1.0"),
        (Kind::Place, "de"),
        (Kind::Place, "DE/Bavaria"),
    ];
    for (kind, value) in held {
        assert_eq!(by(vec![entry(kind, value)], "acme", Some("any"), 5), Some(format!("sup_{value}")), "{kind:?} {value}");
    }
    let others = [(Kind::User, "bob"), (Kind::Ip, "203.0.114.0/24"), (Kind::Session, "ann"), (Kind::UserAgent, "ios")];
    for (kind, value) in others.into_iter().chain([(Kind::Place, "FR"), (Kind::Place, "DE/Berlin"), (Kind::UserAgent, "Monitor")]) {
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
    let wrong = [(Kind::Ip, "203.0.113.300"), (Kind::Ip, ""), (Kind::Network, "AS0"), (Kind::Network, "x"), (Kind::User, " ")];
    let no_places = ["", "D", "DEU", "D1", "DE/", "DE/ ", "ß", "DE Bavaria"].map(|value| (Kind::Place, value));
    for (kind, value) in wrong.into_iter().chain(no_places).chain([(Kind::User, "x".repeat(1_025).as_str())]) {
        assert!(kind.normal(value).is_err(), "{kind:?} {value:?}");
    }
    assert_eq!(Kind::Ip.normal("2001:db8::1/32").unwrap(), "2001:db8::/32");
    assert_eq!(Kind::Place.normal("de/Bavaria").unwrap(), "DE/Bavaria");
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

fn holds(list: &Suppressions, user: &str) -> bool {
    let mut draft = EventDraft::default();
    [(Field::Tenant, "acme"), (Field::User, user)].into_iter().for_each(|(field, text)| draft.texts.set(field, text));
    let mut batch = EventBatch::default();
    batch.push(&draft);
    list.of(&batch.get(0).unwrap(), None).is_some()
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
    let names = |version| ["ann", "bob", "eve"].into_iter().filter(|user| holds(&lists.of_version(version), user)).collect::<Vec<_>>();
    assert_eq!((lists.newest(), names(0), names(1), names(2), names(3)), (3, vec![], vec!["ann"], vec!["ann", "bob"], vec!["bob"]));
    assert_eq!(add("eve", 2).unwrap().added, 4, "there is room again, and the numbers go on");
    db.write(|tx| suppressions::prune(tx, 2_000, 10)).unwrap();
    lists.renew(&db).unwrap();
    assert_eq!((lists.newest(), names(4)), (4, vec!["eve"]), "the newest stays, so that numbers go on");
}

fn expression(when: Value) -> Result<Expression, Wrong> {
    Expression::new(serde_json::from_value(when).unwrap())
}

/// Does an entry of this expression hold back what is said of the event with all that one can be about?
fn is_held(when: &Value) -> bool {
    by(vec![about("when", About::When(expression(when.clone()).unwrap()))], "acme", Some("any"), 5).is_some()
}

#[test]
fn an_expression_holds_where_its_conditions_do() {
    let is = |kind: &str, value: &str| json!({"type": kind, "value": value});
    let one_of = |kind: &str, values: &[&str]| json!({"type": kind, "values": values});
    let begins = |kind: &str, values: &[&str]| json!({"type": kind, "values": values, "match": "prefix"});
    let (network, agent, bob) = (is("network", "AS64496"), is("user_agent", "Monitor/1.0"), is("user", "bob"));
    for (when, held) in [
        (json!({"all": [network, agent]}), true),
        (json!({"all": [agent, bob]}), false),
        (json!({"all": [agent, {"not": bob}]}), true),
        (json!({"all": [{"not": bob}, agent]}), true),
        (json!({"all": [agent, {"not": network}]}), false),
        (json!({"all": [agent, {"not": is("session", "s1")}]}), true),
        (json!({"any": [bob, agent]}), true),
        (json!({"any": [bob, is("session", "s1")]}), false),
        (json!({"all": [{"any": [bob, {"not": {"all": [bob, agent]}}]}, network]}), true),
        (json!({"not": {"not": agent}}), true),
        (one_of("user", &["bob", "ann"]), true),
        (one_of("user", &["bob", "an"]), false),
        (one_of("ip", &["198.51.100.1", "2001:db8::/32", "203.0.112.0/22"]), true),
        (one_of("ip", &["203.0.113.7", "203.0.113.8"]), true),
        (one_of("ip", &["203.0.113.8", "203.0.114.0/24", "cb00:7107::/32"]), false),
        (one_of("network", &["64497", "64496"]), true),
        (one_of("device", &["d2", "d1"]), true),
        (one_of("app", &["android", "web"]), false),
        (one_of("place", &["FR", "DE/Bavaria"]), true),
        (one_of("place", &["FR", "DE/Berlin"]), false),
        (json!({"all": [is("place", "DE"), {"not": is("place", "DE/Berlin")}]}), true),
        (begins("user_agent", &["Monitor/"]), true),
        (begins("user_agent", &["Curl/", "Mon", "Monitor/2"]), true),
        (begins("user_agent", &["Monitor/1.0.1", "Monitor/0", "onitor"]), false),
        (begins("user", &["ann"]), true),
        (json!({"all": [begins("user", &["an"]), network]}), true),
        // A star is a star.
        (is("user_agent", "Monitor/*"), false),
        (begins("user_agent", &["Monitor/*"]), false),
    ] {
        assert_eq!(is_held(&when), held, "{when}");
    }
}

#[test]
fn of_several_entries_the_oldest_is_named_however_they_are_found() {
    let prefix = expression(json!({"type": "user", "value": "a", "match": "prefix"})).unwrap();
    let tied = expression(json!({"all": [{"type": "app", "value": "ios"}, {"type": "place", "value": "DE"}]})).unwrap();
    let all = |ages: [u64; 3]| {
        let entries =
            [entry(Kind::Ip, "203.0.113.7"), about("prefix", About::When(prefix.clone())), about("tied", About::When(tied.clone()))];
        let aged = entries.into_iter().zip(ages).map(|(entry, added)| Suppression { added, ..entry }).collect();
        by(aged, "acme", Some("any"), 5).unwrap()
    };
    assert_eq!([all([1, 2, 3]), all([2, 1, 3]), all([3, 2, 1])], ["sup_203.0.113.7", "sup_prefix", "sup_tied"]);
    let for_one = Suppression { detector: Some("token_reuse".into()), ..about("prefix", About::When(prefix.clone())) };
    assert_eq!(by(vec![for_one.clone()], "acme", Some("brute_force"), 5), None);
    assert_eq!(by(vec![for_one], "acme", Some("token_reuse"), 1_000), None, "it ended");
}

#[test]
fn what_is_wrong_with_an_expression_is_named() {
    let user = || json!({"type": "user", "value": "ann"});
    let nested = |levels: usize| (0..levels).fold(user(), |inner, _| json!({"all": [inner]}));
    let users = |count: usize| json!({"type": "user", "values": (0..count).map(|n| n.to_string()).collect::<Vec<_>>()});
    for (when, at) in [
        (json!({}), "when"),
        (json!({"all": [user()], "any": [user()]}), "when"),
        (json!({"all": [user()], "type": "user", "value": "ann"}), "when"),
        (json!({"all": []}), "when.all"),
        (json!({"any": [user(), {"not": {"any": []}}]}), "when.any[1].not.any"),
        (json!({"value": "ann"}), "when"),
        (json!({"all": [user()], "match": "prefix"}), "when"),
        (json!({"type": "user"}), "when"),
        (json!({"type": "user", "value": "ann", "values": ["bob"]}), "when"),
        (json!({"type": "user", "values": []}), "when.values"),
        (json!({"all": [user(), {"type": "ip", "values": ["203.0.113.7", "here"]}]}), "when.all[1].values[1]"),
        (json!({"all": [user(), {"type": "place", "value": "Bavaria"}]}), "when.all[1].value"),
        (json!({"type": "ip", "value": "203.0.113.7", "match": "prefix"}), "when.match"),
        (json!({"type": "user", "value": "", "match": "prefix"}), "when.value"),
        (json!({"any": vec![user(); 33]}), "when.any[32]"),
        (users(1_001), "when"),
        (json!({"any": [users(600), users(401)]}), "when.any[1]"),
        (nested(5), "when.all[0].all[0].all[0].all[0]"),
        // They hold of what nothing is known of, too.
        (json!({"not": user()}), "when"),
        (json!({"any": [user(), {"not": user()}]}), "when"),
    ] {
        assert_eq!(expression(when.clone()).unwrap_err().at, at, "{when}");
    }
    for when in [json!({"any": vec![user(); 32]}), users(1_000), nested(4)] {
        expression(when).unwrap();
    }
}

#[test]
fn an_expression_is_the_same_again_from_the_database_and_from_a_recording() {
    let when =
        json!({"any": [{"type": "ip", "values": ["203.0.113.0/24"]}, {"not": {"not": {"type": "user", "value": "a", "match": "prefix"}}}]});
    let entry = about("when", About::When(expression(when.clone()).unwrap()));
    let db = Db::in_memory().unwrap();
    let added = db.write(|tx| suppressions::add(tx, entry, 1, 5)).unwrap().unwrap();
    assert_eq!(db.read(suppressions::all).unwrap(), std::slice::from_ref(&added));
    let bytes = postcard::to_stdvec(&added).unwrap();
    let again: Suppression = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(again, added);
    let About::When(expression) = again.about else { panic!("{again:?}") };
    assert_eq!(serde_json::to_value(expression.when()).unwrap(), when, "as it was written");
}
