//! Fetches the events of what was noted, and makes lessons of them.

use super::{EVENTS_MAX, Lessons, encode};
use crate::clock::now_ms;
use crate::db::lessons::{self, Noted};
use crate::db::{Db, DbError, alerts, audit};
use crate::store::{Store, StoredEvent};
use bartizan_core::time::MINUTE_MS;
use bartizan_core::{Event, EventBatch, Kind, People};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How soon what waits is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Rows that are read at once.
const ROWS_AT_ONCE: u32 = 16;
/// How long events that are not in the store may be on their way to it. What is missing then is gone.
const UNDER_WAY_MS: i64 = 10 * MINUTE_MS;
/// People that the history names.
const NAMED_MAX: usize = 3;

/// Makes lessons in the background.
pub struct Teacher {
    /// The working database.
    pub db: Db,
    /// The list, renewed with each lesson.
    pub lessons: Arc<Lessons>,
    /// The store, once it is there.
    pub store: watch::Receiver<Option<Store>>,
    /// Ends it.
    pub stop: CancellationToken,
}

impl Teacher {
    /// Runs until stopped.
    pub async fn run(self) {
        // When the store began to answer: what came while it was away is still on its way to it.
        let mut answers_since_ms = None;
        loop {
            let done = self.stop.run_until_cancelled(self.teach_all(&mut answers_since_ms)).await;
            match done {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(error, "what alerts taught is learnt later"),
            }
            let wait = async {
                tokio::select! {
                    () = self.lessons.noted() => {}
                    () = tokio::time::sleep(RETRY) => {}
                }
            };
            if self.stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    /// Goes through all that waits, once. A store that is away is no error.
    async fn teach_all(&self, answers_since_ms: &mut Option<i64>) -> Result<(), String> {
        let Some(store) = self.store.borrow().clone() else { return Ok(()) };
        let mut last = 0;
        loop {
            let rows = self.blocking(move |db| db.read(|connection| lessons::waiting(connection, last, ROWS_AT_ONCE))).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = end.id;
            for noted in rows {
                let (first_ms, last_ms) = noted.span_ms;
                let events = match store.events_by_id(&noted.tenant, &noted.event_ids, first_ms, last_ms).await {
                    Ok(events) => events,
                    Err(error) => {
                        tracing::debug!(%error, "the events of an alert cannot be read yet");
                        *answers_since_ms = None;
                        return Ok(());
                    }
                };
                let now_ms = now_ms();
                let since_ms = noted.created_ms.max(*answers_since_ms.get_or_insert(now_ms));
                let is_whole = events.len() >= noted.event_ids.len() || now_ms.saturating_sub(since_ms) >= UNDER_WAY_MS;
                if is_whole {
                    let lessons = Arc::clone(&self.lessons);
                    let teach = move |db: &Db| {
                        db.write(|tx| teach(tx, &noted, &events, now_ms))?;
                        lessons.renew(db)
                    };
                    self.blocking(teach).await?;
                }
            }
        }
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Db) -> Result<T, DbError> + Send + 'static) -> Result<T, String> {
        let db = self.db.clone();
        let done = tokio::task::spawn_blocking(move || work(&db)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// Makes a lesson of what was noted, from the stored events of the alert, and tells of it. Nothing happens if it was taken
/// back meanwhile.
///
/// # Errors
/// SQLite says no.
pub(super) fn teach(tx: &rusqlite::Connection, noted: &Noted, stored: &[StoredEvent], now_ms: i64) -> Result<(), DbError> {
    let mut batch = EventBatch::default();
    // What another program wrote into the table says nothing.
    stored.iter().for_each(|event| _ = event.push(&mut batch));
    let is_theirs = |event: &Event<'_>| event.user().is_some_and(|user| noted.users.iter().any(|named| named == user));
    let shown: Vec<_> = batch.iter().filter(|event| is_theirs(event) && People::teaches(event)).collect();
    let shown = shown.get(shown.len().saturating_sub(EVENTS_MAX)..).unwrap_or_default();
    if shown.is_empty() {
        if lessons::forget(tx, noted.id)? {
            let text = "nothing to learn: its events show no successful sign-in of whom it names";
            alerts::tell_lesson(tx, &noted.alert_id, &noted.actor, text, now_ms)?;
        }
        return Ok(());
    }
    let Some(version) = lessons::add(tx, noted.id, &encode(shown.iter().copied())?)? else { return Ok(()) };
    let mut by_user: BTreeMap<&str, usize> = BTreeMap::new();
    shown.iter().filter_map(Event::user).for_each(|user| *by_user.entry(user).or_default() += 1);
    let are_sign_ins = shown.iter().all(|event| event.kind() == Kind::Login);
    alerts::tell_lesson(tx, &noted.alert_id, &noted.actor, &told(&by_user, are_sign_ins), now_ms)?;
    let detail = json!({"tenant": noted.tenant, "users": by_user, "version": version});
    Ok(audit::record(tx, now_ms, &noted.actor, "lesson.taught", &noted.alert_id, &detail)?)
}

/// What was learnt of whom, in words.
fn told(by_user: &BTreeMap<&str, usize>, are_sign_ins: bool) -> String {
    let one = |(user, events): (&&str, &usize)| match (are_sign_ins, events) {
        (true, 1) => format!("1 sign-in of {user}"),
        (true, events) => format!("{events} sign-ins of {user}"),
        (false, 1) => format!("1 event of {user}"),
        (false, events) => format!("{events} events of {user}"),
    };
    let named: Vec<_> = by_user.iter().take(NAMED_MAX).map(one).collect();
    let more = by_user.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and of {more} more") } else { String::new() };
    format!("taught: {}{more}", named.join(", "))
}
