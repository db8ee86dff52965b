#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::Db;
use crate::db::alert_list::{Filter, list};
use crate::notify::testing::alert;
use bartizan_core::{Role, Subject, TimeMs};

fn db() -> Db {
    Db::in_memory().unwrap()
}

fn apply(db: &Db, alert: &Alert) -> Option<Applied> {
    db.write(|tx| {
        let applied = apply_detection(tx, alert, alert.detected_time.0)?;
        if let Some(applied) = applied.as_ref().filter(|applied| applied.news) {
            mark_told(tx, &applied.alert)?;
        }
        Ok::<_, DbError>(applied)
    })
    .unwrap()
}

fn later(of: &Alert, version: u32, minutes: i64) -> Alert {
    let time = TimeMs(of.detected_time.0 + minutes * MINUTE_MS);
    Alert { version, detected_time: time, last_event_time: time, event_count: of.event_count * 2, ..of.clone() }
}

#[test]
fn a_repeated_version_does_nothing() {
    let (db, first) = (db(), alert("a1"));
    assert!(apply(&db, &first).unwrap().told.is_none());
    assert!(apply(&db, &first).is_none());
    assert!(apply(&db, &later(&first, 2, 1)).is_some());
    assert!(apply(&db, &first).is_none());
}

#[test]
fn growth_is_told_every_five_minutes_and_worse_at_once() {
    let (db, first) = (db(), alert("a1"));
    assert!(apply(&db, &first).unwrap().news);
    assert!(!apply(&db, &later(&first, 2, 4)).unwrap().news);
    assert!(apply(&db, &later(&first, 3, 5)).unwrap().news);
    let mut worse = later(&first, 4, 6);
    worse.severity = Severity::Critical;
    assert!(apply(&db, &worse).unwrap().news);
    let mut hit = Alert { version: 5, ..worse.clone() };
    hit.subjects.push(Subject::new(EntityKind::User, "u2", Role::Victim).hit());
    assert!(apply(&db, &hit).unwrap().news);
    let closed = Alert { ongoing: false, ..later(&hit, 6, 60) };
    assert!(!apply(&db, &closed).unwrap().news, "the end of an episode is no news");
}

#[test]
fn triage_survives_detection_and_both_count() {
    let (db, first) = (db(), alert("a1"));
    apply(&db, &first).unwrap();
    let change =
        Change { status: Some(Status::Acknowledged), assignee: Some("kim".into()), note: Some("looking".into()), ..Change::default() };
    let triaged = db
        .write(|tx| triage(tx, &TriageStep { id: "a1", tenant: None, expected_version: Some(1), change: &change, actor: "kim-token" }, 5))
        .unwrap();
    assert_eq!((triaged.version, triaged.status, triaged.assignee.as_deref()), (2, Status::Acknowledged, Some("kim")));
    let applied = apply(&db, &later(&first, 2, 10)).unwrap();
    assert_eq!((applied.alert.version, applied.alert.status, applied.alert.assignee.as_deref()), (3, Status::Acknowledged, Some("kim")));
    let conflict = db
        .write(|tx| triage(tx, &TriageStep { id: "a1", tenant: None, expected_version: Some(2), change: &change, actor: "kim-token" }, 6));
    assert!(matches!(conflict, Err(TriageError::Conflict { current: 3 })));
    assert!(matches!(
        db.write(|tx| triage(tx, &TriageStep { id: "none", tenant: None, expected_version: None, change: &change, actor: "k" }, 6)),
        Err(TriageError::NotFound)
    ));
    let history = db.read(|tx| history(tx, "a1", 10)).unwrap();
    let actors: Vec<_> = history.iter().map(|entry| (entry.version, entry.actor.as_str())).collect();
    assert_eq!(actors, [(1, "detection"), (2, "kim-token"), (3, "detection")]);
    assert_eq!(history[1].change["note"], "looking");
}

#[test]
fn a_disposition_goes_with_resolved_alone() {
    let (db, first) = (db(), alert("a1"));
    apply(&db, &first).unwrap();
    let step = |change: Change| {
        db.write(|tx| triage(tx, &TriageStep { id: "a1", tenant: None, expected_version: None, change: &change, actor: "t" }, 5))
    };
    let disposition = Some(Disposition::FalsePositive);
    assert!(matches!(step(Change { disposition, ..Change::default() }), Err(TriageError::Invalid { .. })));
    assert!(matches!(step(Change::default()), Err(TriageError::Invalid { .. })));
    let resolved = step(Change { status: Some(Status::Resolved), disposition, ..Change::default() }).unwrap();
    assert_eq!(resolved.disposition, disposition);
    let open = step(Change { status: Some(Status::Open), ..Change::default() }).unwrap();
    assert_eq!(open.disposition, None);
    assert!(matches!(step(Change { note: Some("x".repeat(NOTE_BYTES_MAX + 1)), ..Change::default() }), Err(TriageError::Invalid { .. })));
}

#[test]
fn lists_filter_and_page_newest_first() {
    let db = db();
    for number in 0..5 {
        let mut one = later(&alert(&format!("a{number}")), 1, number);
        if number == 3 {
            one.severity = Severity::Low;
            one.tenant = "other".into();
            one.entities.users = vec!["zoe".into()];
        }
        apply(&db, &one).unwrap();
    }
    let ids = |filter: &Filter| {
        let page = db.read(|tx| list(tx, filter)).unwrap();
        (page.items.iter().map(|alert| alert.id.clone()).collect::<Vec<_>>(), page.next)
    };
    let all = Filter { limit: 2, ..Filter::default() };
    let (first, next) = ids(&all);
    assert_eq!(first, ["a4", "a3"]);
    let (second, next) = ids(&Filter { cursor: next, ..all.clone() });
    assert_eq!(second, ["a2", "a1"]);
    let (third, next) = ids(&Filter { cursor: next, ..all.clone() });
    assert_eq!((third, next), (vec!["a0".to_owned()], None));
    let ten = Filter { limit: 10, ..Filter::default() };
    assert_eq!(ids(&Filter { tenant: Some("other".into()), ..ten.clone() }).0, ["a3"]);
    assert_eq!(ids(&Filter { severities: vec![Severity::Low, Severity::Critical], ..ten.clone() }).0, ["a3"]);
    assert_eq!(ids(&Filter { entities: vec![(EntityKind::User, "zoe".into())], ..ten.clone() }).0, ["a3"]);
    assert_eq!(ids(&Filter { entities: vec![(EntityKind::User, "' OR 1=1 --".into())], ..ten.clone() }).0.len(), 0);
    assert_eq!(ids(&Filter { statuses: vec![Status::Resolved], ..ten.clone() }).0.len(), 0);
    assert_eq!(ids(&Filter { detector: Some("token_reuse".into()), ..ten.clone() }).0.len(), 5);
    let start = alert("x");
    let since = Some(start.detected_time.0 + 4 * MINUTE_MS);
    assert_eq!(ids(&Filter { since_ms: since, ..ten.clone() }).0, ["a4"]);
    assert_eq!(ids(&Filter { until_ms: Some(start.first_event_time.0), ..ten }).0.len(), 0);
}

#[test]
fn pruning_takes_all_that_hangs_on_an_alert() {
    let (db, first) = (db(), alert("a1"));
    apply(&db, &first).unwrap();
    apply(&db, &later(&alert("a2"), 1, 10)).unwrap();
    let before = first.detected_time.0 + MINUTE_MS;
    assert_eq!(db.write(|tx| prune(tx, before, 100)).unwrap(), 1);
    let left: i64 = db
        .read::<_, DbError>(|tx| Ok(tx.query_row("SELECT count(*) FROM alert_entities WHERE alert_id = 'a1'", [], |row| row.get(0))?))
        .unwrap();
    assert_eq!(left, 0);
    assert!(db.read(|tx| get(tx, "a2")).unwrap().is_some());
}
