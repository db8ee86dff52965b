#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::db::{Db, DbError};

fn new(id: &str, about: &str) -> NewMessage {
    NewMessage {
        channel: "oncall".into(),
        message_id: id.into(),
        kind: "alert.opened".into(),
        about: about.into(),
        version: 1,
        body: "{}".into(),
        state: State::Pending,
        next_ms: 10,
        not_after_ms: None,
    }
}

fn ids(db: &Db, now_ms: i64) -> Vec<String> {
    let due: Result<_, DbError> = db.read(|tx| Ok(due(tx, "oncall", now_ms, 10)?));
    due.unwrap().into_iter().map(|message| message.message_id).collect()
}

#[test]
fn a_message_is_written_once_and_goes_in_its_alerts_order() {
    let db = Db::in_memory().unwrap();
    db.write::<_, DbError>(|tx| {
        assert!(enqueue(tx, &new("m1", "a"), 10)?);
        assert!(!enqueue(tx, &new("m1", "a"), 10)?);
        assert!(enqueue(tx, &new("m2", "a"), 10)?);
        assert!(enqueue(tx, &new("m3", "b"), 10)?);
        Ok(())
    })
    .unwrap();
    assert_eq!(ids(&db, 9), Vec::<String>::new());
    assert_eq!(ids(&db, 10), ["m1", "m3"]);
    db.write::<_, DbError>(|tx| {
        claim(tx, 1)?;
        retry(tx, 1, 500, "no")?;
        Ok(())
    })
    .unwrap();
    assert_eq!(ids(&db, 20), ["m3"], "a later message waits for the earlier one of its alert");
    db.write::<_, DbError>(|tx| Ok(wake(tx, "oncall", 20)?)).unwrap();
    assert_eq!(ids(&db, 20), ["m3", "m1"]);
    db.write::<_, DbError>(|tx| {
        assert!(finish(tx, 1, State::Delivered, None, 30)?);
        assert!(!finish(tx, 1, State::Failed, None, 30)?);
        Ok(())
    })
    .unwrap();
    assert_eq!(ids(&db, 30), ["m2", "m3"]);
}

#[test]
fn failed_rows_are_visible_can_be_tried_again_and_are_pruned_at_last() {
    let db = Db::in_memory().unwrap();
    db.write::<_, DbError>(|tx| {
        enqueue(tx, &new("m1", "a"), 10)?;
        finish(tx, 1, State::Failed, Some(&"é".repeat(1000)), 20)?;
        assert_eq!(counts(tx)?, [("oncall".to_owned(), "failed".to_owned(), 1)]);
        let failed = in_state(tx, "oncall", State::Failed, 10)?;
        assert!(failed.iter().all(|m| m.last_error.as_ref().is_some_and(|e| e.len() <= ERROR_BYTES_MAX)));
        assert_eq!(retry_failed(tx, "oncall", 30)?, 1);
        assert_eq!(next_due_ms(tx, "oncall", 0)?, Some(30));
        assert_eq!(fail_all(tx, "oncall", "gone", 40)?, 1);
        assert_eq!(prune(tx, 40, 10)?, 0);
        assert_eq!(prune(tx, 41, 10)?, 1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_claimed_message_is_not_rewritten() {
    let db = Db::in_memory().unwrap();
    db.write::<_, DbError>(|tx| {
        enqueue(tx, &new("m1", ""), 10)?;
        assert!(rewrite(tx, "oncall", "m1", "[1]", i64::MAX)?);
        assert_eq!(find(tx, "oncall", "m1")?, Some(("[1]".to_owned(), true)));
        claim(tx, 1)?;
        assert!(!rewrite(tx, "oncall", "m1", "[2]", i64::MAX)?);
        assert_eq!(find(tx, "oncall", "m1")?, Some(("[1]".to_owned(), false)));
        Ok(())
    })
    .unwrap();
}
