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
/// Rows that are looked at in one turn.
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

/// Where the teacher is.
#[derive(Debug, Default)]
struct Round {
    /// The last row that it looked at; 0: it begins anew.
    last: i64,
    /// Since when the store answers: what came while it was away is still on its way to it.
    answers_since_ms: Option<i64>,
}

impl Teacher {
    /// Runs until stopped.
    pub async fn run(self) {
        let mut round = Round::default();
        loop {
            let goes_on = match self.stop.run_until_cancelled(self.turn(&mut round)).await {
                None => return,
                Some(Ok(goes_on)) => goes_on,
                Some(Err(error)) => {
                    tracing::warn!(error, "what alerts taught is learnt later");
                    false
                }
            };
            let wait = async {
                tokio::select! {
                    () = self.lessons.noted() => {}
                    () = tokio::time::sleep(RETRY) => {}
                }
            };
            if !goes_on && self.stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    /// Goes through the next rows that wait; a store that is away is no error. Is there more that need not wait?
    async fn turn(&self, round: &mut Round) -> Result<bool, String> {
        let Some(store) = self.store.borrow().clone() else { return Ok(false) };
        let after = std::mem::take(&mut round.last);
        let rows = self.blocking(move |db| db.read(|connection| lessons::waiting(connection, after, ROWS_AT_ONCE))).await?;
        let is_full = rows.len() >= ROWS_AT_ONCE as usize;
        let mut all_done = true;
        for noted in rows {
            // What cannot be done now must not keep the others from it.
            round.last = noted.id;
            let (first_ms, last_ms) = noted.span_ms;
            let events = match store.events_by_id(&noted.tenant, &noted.event_ids, first_ms, last_ms).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::debug!(%error, "the events of an alert cannot be read yet");
                    *round = Round::default();
                    return Ok(false);
                }
            };
            let now_ms = now_ms();
            let since_ms = noted.created_ms.max(*round.answers_since_ms.get_or_insert(now_ms));
            if events.len() < noted.event_ids.len() && now_ms.saturating_sub(since_ms) < UNDER_WAY_MS {
                all_done = false;
                continue;
            }
            let lessons = Arc::clone(&self.lessons);
            let teach = move |db: &Db| {
                db.write(|tx| teach(tx, &noted, &events, now_ms))?;
                lessons.renew(db)
            };
            self.blocking(teach).await?;
        }
        if !is_full {
            round.last = 0;
        }
        Ok(is_full && all_done)
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
