//! Lessons: what was noted of alerts that were resolved as harmless, and what became of it.

use super::DbError;
use crate::teach::Lesson;
use rusqlite::{Connection, Row, params};

/// What is to be fetched: the events of an alert as it was when it was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// Its number: later ones are larger.
    pub id: i64,
    /// Tenant.
    pub tenant: String,
    /// The alert.
    pub alert_id: String,
    /// Ids of its events.
    pub event_ids: Vec<String>,
    /// Event times of its first and its last event.
    pub span_ms: (i64, i64),
    /// Users that it names.
    pub users: Vec<String>,
    /// Name of the token that resolved it.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub created_ms: i64,
}

/// Notes what there is to learn; its number is set here.
///
/// # Errors
/// SQLite says no.
pub fn note(tx: &Connection, new: &Noted) -> Result<(), DbError> {
    let sql = "INSERT INTO lessons (tenant, alert_id, event_ids, first_ms, last_ms, users, actor, created_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let Noted { tenant, alert_id, event_ids, span_ms: (first_ms, last_ms), users, actor, created_ms, .. } = new;
    let (event_ids, users) = (serde_json::to_string(event_ids)?, serde_json::to_string(users)?);
    tx.execute(sql, params![tenant, alert_id, event_ids, first_ms, last_ms, users, actor, created_ms])?;
    Ok(())
}

/// What was noted after the number `after` and is still to be fetched, oldest first.
///
/// # Errors
/// SQLite says no, or a row does not read.
pub fn waiting(connection: &Connection, after: i64, limit: u32) -> Result<Vec<Noted>, DbError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, tenant, alert_id, event_ids, first_ms, last_ms, users, actor, created_ms FROM lessons
         WHERE added IS NULL AND id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map((after, limit), |row| {
        let noted = Noted {
            id: row.get(0)?,
            tenant: row.get(1)?,
            alert_id: row.get(2)?,
            event_ids: Vec::new(),
            span_ms: (row.get(4)?, row.get(5)?),
            users: Vec::new(),
            actor: row.get(7)?,
            created_ms: row.get(8)?,
        };
        Ok((noted, row.get::<_, String>(3)?, row.get::<_, String>(6)?))
    })?;
    let mut all = Vec::new();
    for row in rows {
        let (noted, event_ids, users) = row?;
        all.push(Noted { event_ids: serde_json::from_str(&event_ids)?, users: serde_json::from_str(&users)?, ..noted });
    }
    Ok(all)
}

/// Makes a lesson of what was noted, with these events: the version of the list that has it first. `None`: it was taken
/// back meanwhile.
///
/// # Errors
/// SQLite says no.
pub fn add(tx: &Connection, id: i64, events: &str) -> Result<Option<u64>, DbError> {
    let version = newest(tx)? + 1;
    let sql = "UPDATE lessons SET events = ?2, added = ?3, event_ids = '[]' WHERE id = ?1 AND added IS NULL";
    Ok((tx.execute(sql, params![id, events, version as i64])? > 0).then_some(version))
}

/// Forgets what was noted, as there is nothing in it. False: it was taken back meanwhile.
///
/// # Errors
/// SQLite says no.
pub fn forget(tx: &Connection, id: i64) -> Result<bool, DbError> {
    Ok(tx.execute("DELETE FROM lessons WHERE id = ?1 AND added IS NULL", [id])? > 0)
}

/// Takes back what was noted of an alert, and its lessons. A lesson stays for as long as an earlier version of the list
/// may be needed. Returns how many there were of each.
///
/// # Errors
/// SQLite says no.
pub fn take_back(tx: &Connection, alert_id: &str) -> Result<(usize, usize), DbError> {
    let waiting = tx.execute("DELETE FROM lessons WHERE alert_id = ?1 AND added IS NULL", [alert_id])?;
    let version = newest(tx)? as i64 + 1;
    let taught = tx.execute("UPDATE lessons SET removed = ?2 WHERE alert_id = ?1 AND removed IS NULL", params![alert_id, version])?;
    Ok((waiting, taught))
}

/// The newest version of the list.
///
/// # Errors
/// SQLite says no.
pub fn newest(connection: &Connection) -> Result<u64, DbError> {
    let sql = "SELECT coalesce(max(max(coalesce(added, 0), coalesce(removed, 0))), 0) FROM lessons";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? as u64)
}

/// The lessons of versions after `version`, oldest first, with those that were taken back.
///
/// # Errors
/// SQLite says no.
pub fn after(connection: &Connection, version: u64) -> Result<Vec<Lesson>, DbError> {
    let sql = "SELECT added, removed, events FROM lessons WHERE added > ?1 ORDER BY added";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([version as i64], lesson)?.collect::<Result<_, _>>()?)
}

/// The lessons of the alerts that name a user and were resolved before `before_ms`, oldest first.
///
/// # Errors
/// SQLite says no.
pub fn of_user(connection: &Connection, tenant: &str, user: &str, before_ms: i64) -> Result<Vec<Lesson>, DbError> {
    let sql = "SELECT added, removed, events FROM lessons WHERE tenant = ?1 AND created_ms < ?3 AND added IS NOT NULL AND removed IS NULL
               AND EXISTS (SELECT 1 FROM json_each(users) WHERE value = ?2) ORDER BY added";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map(params![tenant, user, before_ms], lesson)?.collect::<Result<_, _>>()?)
}

fn lesson(row: &Row<'_>) -> rusqlite::Result<Lesson> {
    let removed: Option<i64> = row.get(1)?;
    Ok(Lesson { added: row.get::<_, i64>(0)? as u64, removed: removed.map(|version| version as u64), events: row.get(2)? })
}

/// Are there more rows than this?
///
/// # Errors
/// SQLite says no.
pub fn are_more_than(connection: &Connection, rows_max: usize) -> Result<bool, DbError> {
    Ok(connection.query_row("SELECT count(*) > ?1 FROM lessons", [rows_max as i64], |row| row.get(0))?)
}

/// Drops up to `rows_max` of the oldest rows beyond `lessons_max`: what still waited that long is given up, and of lessons
/// those that every checkpoint has `passed`; but never the one of the newest version, which the next one counts on from.
///
/// # Errors
/// SQLite says no.
pub fn prune(tx: &Connection, passed: u64, lessons_max: usize, rows_max: u32) -> Result<usize, DbError> {
    let newest = newest(tx)? as i64;
    let sql = "DELETE FROM lessons WHERE id IN (SELECT id FROM lessons
               WHERE id <= (SELECT id FROM lessons ORDER BY id DESC LIMIT 1 OFFSET ?1)
               AND coalesce(added, 0) <= ?2 AND coalesce(added, -1) <> ?3 AND coalesce(removed, -1) <> ?3 ORDER BY id LIMIT ?4)";
    Ok(tx.execute(sql, params![lessons_max as i64, passed as i64, newest, rows_max])?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::db::Db;

    fn noted(alert_id: &str) -> Noted {
        Noted {
            id: 0,
            tenant: "acme".into(),
            alert_id: alert_id.into(),
            event_ids: vec!["e1".into(), "e2".into()],
            span_ms: (1, 2),
            users: vec!["ann".into()],
            actor: "kim".into(),
            created_ms: 3,
        }
    }

    fn write<T>(db: &Db, work: impl FnOnce(&Connection) -> Result<T, DbError>) -> T {
        db.write(|tx| work(tx)).unwrap()
    }

    #[test]
    fn what_was_noted_becomes_a_lesson_of_the_next_version_once() {
        let db = Db::in_memory().unwrap();
        ["a1", "a2"].iter().for_each(|id| write(&db, |tx| note(tx, &noted(id))));
        let waits = write(&db, |tx| waiting(tx, 0, 10));
        assert_eq!(waits.iter().map(|one| Noted { id: 0, ..one.clone() }).collect::<Vec<_>>(), [noted("a1"), noted("a2")]);
        let first = waits.first().unwrap().id;
        assert_eq!(write(&db, |tx| waiting(tx, first, 10)).len(), 1, "page by page");
        assert_eq!(write(&db, |tx| add(tx, first, "[]")), Some(1));
        assert_eq!(write(&db, |tx| add(tx, first, "[]")), None);
        assert!(write(&db, |tx| forget(tx, first + 1)) && !write(&db, |tx| forget(tx, first + 1)) && !write(&db, |tx| forget(tx, first)));
        assert_eq!(write(&db, |tx| after(tx, 0)), [Lesson { added: 1, removed: None, events: "[]".into() }]);
        assert_eq!((write(&db, |tx| after(tx, 1)), write(&db, newest)), (vec![], 1));
    }

    #[test]
    fn what_is_taken_back_is_in_no_later_version() {
        let db = Db::in_memory().unwrap();
        write(&db, |tx| note(tx, &noted("a1")));
        assert_eq!(write(&db, |tx| take_back(tx, "a1")), (1, 0));
        assert_eq!((write(&db, |tx| waiting(tx, 0, 10)).len(), write(&db, newest)), (0, 0));
        write(&db, |tx| note(tx, &noted("a1")));
        let id = write(&db, |tx| waiting(tx, 0, 10)).first().unwrap().id;
        write(&db, |tx| add(tx, id, "[]"));
        assert_eq!(write(&db, |tx| take_back(tx, "a1")), (0, 1));
        assert_eq!(write(&db, |tx| take_back(tx, "a1")), (0, 0));
        let lesson = write(&db, |tx| after(tx, 0)).first().unwrap().clone();
        assert_eq!((lesson.added, lesson.removed, write(&db, newest)), (1, Some(2), 2));
        assert!(lesson.is_between(0, 1), "what was judged with version 1 is judged so again");
        assert!(!lesson.is_between(0, 2) && !lesson.is_between(1, 2));
    }

    #[test]
    fn the_oldest_are_dropped_once_every_checkpoint_is_past_them() {
        let db = Db::in_memory().unwrap();
        for number in 0..6 {
            write(&db, |tx| note(tx, &noted(&format!("a{number}"))));
            let id = write(&db, |tx| waiting(tx, 0, 10)).first().unwrap().id;
            write(&db, |tx| add(tx, id, "[]"));
        }
        assert!(write(&db, |tx| are_more_than(tx, 5)) && !write(&db, |tx| are_more_than(tx, 6)));
        assert_eq!(write(&db, |tx| prune(tx, 0, 2, 100)), 0, "a checkpoint may be before all of them");
        assert_eq!(write(&db, |tx| prune(tx, 3, 2, 100)), 3);
        assert_eq!(write(&db, |tx| after(tx, 0)).iter().map(|lesson| lesson.added).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!(write(&db, |tx| prune(tx, 6, 0, 100)), 2);
        assert_eq!(write(&db, newest), 6, "the next one counts on from it");
    }
}
