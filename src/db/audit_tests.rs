//! The chain holds through everything that the program does, and through nothing else.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;
use proptest::prelude::*;
use serde_json::json;

const NOW_MS: i64 = 1_772_366_400_000;

fn write(db: &Db, at_ms: i64, number: i64) {
    let detail = json!({"tenant": if number % 2 == 0 { "acme" } else { "globex" }, "number": number, "note": "é\u{1f}\"\\"});
    db.write(|tx| record(tx, at_ms, "ann", "alert.triage", &format!("a{number}"), &detail)).unwrap();
}

fn trail(records: i64) -> Db {
    let db = Db::in_memory().unwrap();
    (0..records).for_each(|number| write(&db, NOW_MS + number, number));
    db
}

fn broken(db: &Db) -> Option<i64> {
    match verify(db, None) {
        Ok(_) => None,
        Err(TrailError::Broken(broken)) => Some(broken.id),
        Err(error) => panic!("{error}"),
    }
}

fn lines(db: &Db, span_ms: (i64, i64)) -> Vec<String> {
    let mut lines = Vec::new();
    export(db, span_ms, |line| {
        lines.push(line);
        Ok(())
    })
    .unwrap();
    lines
}

fn newest(db: &Db) -> Link {
    db.read(head).unwrap()
}

#[test]
fn a_trail_holds_and_knows_its_heads() {
    let db = Db::in_memory().unwrap();
    assert_eq!((verify(&db, None).unwrap().records(), newest(&db)), (0, Link::origin()));
    let db = trail(3);
    let noted = newest(&db);
    write(&db, NOW_MS, 9);
    let verified = verify(&db, Some(noted.hash)).unwrap();
    assert!(verified.met_wanted());
    assert_eq!((verified.records(), verified.head()), (4, Some(&newest(&db))));
    assert!(!verify(&db, Some("f".repeat(64))).unwrap().met_wanted());
}

#[test]
fn any_change_is_found_at_the_record_that_was_changed() {
    for (change, first) in [
        ("UPDATE audit SET actor = 'bob' WHERE id = 3", 3),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE id = 1", 1),
        ("UPDATE audit SET detail = '{}' WHERE id = 5", 5),
        ("UPDATE audit SET hash = previous WHERE id = 2", 2),
        ("UPDATE audit SET previous = hash WHERE id = 2", 2),
        ("DELETE FROM audit WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("INSERT INTO audit SELECT 6, at_ms, actor, action, subject, detail, previous, hash FROM audit WHERE id = 5", 6),
        ("INSERT INTO facts VALUES ('audit.pruned_until', CAST('{\"id\":0,\"hash\":\"x\"}' AS BLOB))", 1),
    ] {
        let db = trail(5);
        assert_eq!(broken(&db), None);
        db.write::<_, DbError>(|tx| Ok(tx.execute(change, [])?)).unwrap();
        assert_eq!(broken(&db), Some(first), "{change}");
    }
}

#[test]
fn a_beginning_that_is_cut_off_shows_even_with_the_fact_changed() {
    let db = trail(5);
    let cut = lines(&db, (i64::MIN, i64::MAX)).remove(1);
    let cut: Record = serde_json::from_str(&cut).unwrap();
    let fact = serde_json::to_vec(&Link { id: cut.id, hash: cut.hash }).unwrap();
    db.write::<_, DbError>(|tx| {
        tx.execute("DELETE FROM audit WHERE id <= ?1", [cut.id])?;
        Ok(tx.execute("INSERT INTO facts (name, value) VALUES (?1, ?2)", (PRUNED_UNTIL, fact))?)
    })
    .unwrap();
    assert_eq!(broken(&db), Some(cut.id));
}

#[test]
fn retention_leaves_a_chain_that_holds_and_says_what_it_removed() {
    let db = trail(10);
    let prune = |before_ms, rows_max| db.write(|tx| prune(tx, NOW_MS + 100, before_ms, rows_max)).unwrap();
    let old = newest(&db);
    assert_eq!(prune(NOW_MS, 100), 0, "nothing is older");
    assert_eq!(newest(&db), old, "and nothing is recorded");
    assert_eq!([prune(NOW_MS + 7, 4), prune(NOW_MS + 7, 100), prune(NOW_MS + 7, 100)], [4, 3, 0]);
    let verified = verify(&db, Some(old.hash)).unwrap();
    assert_eq!((verified.records(), verified.met_wanted(), verified.pruned().unwrap().id), (5, true, 7));
    assert_eq!(prune(i64::MAX, 100), 5, "all of it");
    let verified = verify(&db, None).unwrap();
    assert_eq!((verified.records(), verified.head().unwrap().id), (1, 13));
}

#[test]
fn a_step_of_the_clock_removes_nothing_out_of_turn() {
    let db = trail(1);
    write(&db, NOW_MS + 1_000, 1);
    write(&db, NOW_MS - 1_000, 2);
    assert_eq!(db.write(|tx| prune(tx, NOW_MS, NOW_MS + 1, 100)).unwrap(), 1, "the third waits for the second");
    assert_eq!(broken(&db), None);
}

#[test]
fn an_export_of_any_days_can_be_verified_by_itself() {
    let db = trail(10);
    let exported = lines(&db, (NOW_MS + 3, NOW_MS + 7));
    let check = |lines: &[String]| {
        let mut verifier = Verifier::new(None, Some(serde_json::from_str::<Record>(&exported[1]).unwrap().hash));
        lines.iter().try_for_each(|line| verifier.check(line)).map(|()| (verifier.records(), verifier.met_wanted()))
    };
    assert_eq!(check(&exported), Ok((4, true)));
    assert_eq!(check(&exported[2..]), Ok((2, true)), "what the first one follows is known, too");
    let mut changed = exported.clone();
    changed[2] = changed[2].replace("globex", "acme");
    assert_eq!(check(&changed).unwrap_err().id, 6);
    assert_eq!(check(&[&exported[..1], &exported[2..]].concat()).unwrap_err().id, 5);
    assert_eq!(check(&[&exported[..1], &["{}".to_owned()]].concat()).unwrap_err().id, 5);
    assert!(lines(&db, (NOW_MS + 50, NOW_MS + 60)).is_empty());
}

#[test]
fn lists_are_of_one_tenant_and_page_by_page() {
    let db = trail(9);
    let acme = Filter { tenant: Some("acme".to_owned()), ..Filter::default() };
    let page = |filter: &Filter, below, limit| {
        let (found, next) = db.read(|tx| list(tx, filter, below, limit)).unwrap();
        (found.into_iter().map(|record| record.id).collect::<Vec<_>>(), next)
    };
    assert_eq!(page(&acme, i64::MAX, 3), (vec![9, 7, 5], Some(5)));
    assert_eq!(page(&acme, 5, 3), (vec![3, 1], None));
    assert_eq!(page(&Filter { subject: Some("a4".to_owned()), ..acme.clone() }, i64::MAX, 3).0, [5]);
    assert_eq!(page(&Filter { actor: Some("bob".to_owned()), ..Filter::default() }, i64::MAX, 3), (vec![], None));
    let span = Filter { since_ms: Some(NOW_MS + 2), until_ms: Some(NOW_MS + 4), ..Filter::default() };
    assert_eq!(page(&span, i64::MAX, 10).0, [4, 3]);
}

#[test]
fn a_trail_from_before_the_chain_is_taken_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("work.db");
    let before = Connection::open(&path).unwrap();
    before.execute_batch(include_str!("../../deploy/sqlite/0001_initial.sql")).unwrap();
    before.execute_batch(include_str!("../../deploy/sqlite/0002_incidents.sql")).unwrap();
    before
        .execute_batch("INSERT INTO audit VALUES (7, 1, 'ann', 'token.create', 't1', '{\"tenant\":null}'); PRAGMA user_version = 2;")
        .unwrap();
    drop(before);
    let db = Db::open(&path).unwrap();
    assert_eq!(verify(&db, None).unwrap().records(), 1);
    assert_eq!(db.read(|tx| list(tx, &Filter::default(), i64::MAX, 5)).unwrap().0[0].subject, "t1");
}

proptest! {
    /// No byte of an export can be another one.
    #[test]
    fn no_byte_of_an_export_can_change(at in 0..1_000usize, byte in 0x20..0x7fu8) {
        let whole = lines(&trail(2), (i64::MIN, i64::MAX));
        let mut bytes = whole[0].clone().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != byte && bytes[at].is_ascii());
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        let mut verifier = Verifier::new(Some(Link::origin()), None);
        prop_assert!(verifier.check(&changed).and_then(|()| verifier.check(&whole[1])).is_err());
    }
}
