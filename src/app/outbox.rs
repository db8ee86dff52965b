//! What the outbox says of its channels: gauges and health alerts.
//!
//! Both derive from the rows alone, so they are true after a restart, too, and end with their cause: a
//! message that arrives, failed ones that are tried again, a day that passes.

use crate::clock::now_ms;
use crate::db::outbox::{self, State};
use crate::db::{Db, DbError};
use crate::respond::config::CHANNEL_PREFIX;
use crate::telemetry::{HealthId, Telemetry};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// How long a message may be under way with failed tries before its channel counts as failing.
const FAILING_MS: i64 = MINUTE_MS;
/// How long it is told that messages were given up.
const FAILED_TOLD_MS: i64 = DAY_MS;
/// How long it is told that revocations ran out of time.
const EXPIRED_TOLD_MS: i64 = HOUR_MS;

/// What was found: rows by channel and state, and what is wrong, by health alert and channel.
#[derive(Debug, Default)]
struct Found {
    counts: Vec<(String, String, i64)>,
    wrong: BTreeMap<HealthId, BTreeMap<String, String>>,
}

/// Watches the outbox.
pub(super) struct OutboxWatch {
    db: Db,
    telemetry: Telemetry,
    /// Channels that had rows once: their gauges go back to zero.
    channels: BTreeSet<String>,
}

impl OutboxWatch {
    pub fn new(db: Db, telemetry: Telemetry) -> Self {
        Self { db, telemetry, channels: BTreeSet::new() }
    }

    /// Sets gauges and health alerts to what the outbox holds now.
    pub async fn look(&mut self) {
        let (db, now_ms) = (self.db.clone(), now_ms());
        match tokio::task::spawn_blocking(move || db.read(|tx| find(tx, now_ms))).await {
            Ok(Ok(found)) => self.tell(&found, now_ms),
            Ok(Err(error)) => tracing::warn!(%error, "outbox cannot be looked at"),
            Err(error) => tracing::error!(%error, "looking at the outbox failed"),
        }
    }

    fn tell(&mut self, found: &Found, now_ms: i64) {
        self.channels.extend(found.counts.iter().map(|(channel, ..)| channel.clone()));
        let metrics = &self.telemetry.metrics;
        for channel in &self.channels {
            let of = |state: State| {
                let rows = found.counts.iter().find(|(name, in_state, _)| name == channel && in_state == state.as_str());
                rows.map_or(0, |(.., count)| *count)
            };
            metrics.outbox_pending.with([channel]).set(of(State::Pending));
            metrics.outbox_failed.with([channel]).set(of(State::Failed));
        }
        let none = BTreeMap::new();
        for id in [HealthId::ChannelFailing, HealthId::DeliveryFailed, HealthId::RevocationFailing] {
            self.telemetry.health.replace(id, now_ms, found.wrong.get(&id).unwrap_or(&none));
        }
    }
}

fn find(tx: &Connection, now_ms: i64) -> Result<Found, DbError> {
    let mut found = Found { counts: outbox::counts(tx)?, ..Found::default() };
    let watched = [
        (State::Pending, now_ms - FAILING_MS, "are tried again"),
        (State::Failed, now_ms - FAILED_TOLD_MS, "were given up"),
        (State::Expired, now_ms - EXPIRED_TOLD_MS, "did not arrive in time"),
        (State::Held, now_ms, "wait for a person"),
    ];
    for (channel, name, _) in &found.counts {
        let Some((state, limit_ms, what)) = watched.iter().find(|(state, ..)| state.as_str() == name) else { continue };
        let (count, error) = outbox::trouble(tx, channel, *state, *limit_ms)?;
        if count == 0 {
            continue;
        }
        let id = match state {
            _ if channel.starts_with(CHANNEL_PREFIX) => HealthId::RevocationFailing,
            State::Pending => HealthId::ChannelFailing,
            _ => HealthId::DeliveryFailed,
        };
        let detail = found.wrong.entry(id).or_default().entry(channel.clone()).or_default();
        let separator = if detail.is_empty() { "" } else { "; " };
        let colon = if error.is_empty() { "" } else { ": " };
        *detail = format!("{detail}{separator}{count} {what}{colon}{error}");
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::db::outbox::NewMessage;
    use crate::respond::order::REVOKE;

    const NOW_MS: i64 = 1_772_366_400_000;

    /// Writes a message that had one failed try.
    fn tried(db: &Db, channel: &str, state: State, created_ms: i64) {
        let is_order = channel.starts_with(CHANNEL_PREFIX);
        let kind = if is_order { REVOKE } else { "alert.opened" };
        let (message_id, not_after_ms) = (format!("{channel}{created_ms}"), is_order.then_some(created_ms + HOUR_MS));
        let new = NewMessage {
            channel: channel.to_owned(),
            message_id,
            kind: kind.to_owned(),
            about: String::new(),
            version: 1,
            body: "{}".to_owned(),
            state,
            next_ms: created_ms,
            not_after_ms,
        };
        db.write::<_, DbError>(|tx| {
            outbox::enqueue(tx, &new, created_ms)?;
            for message in outbox::in_state(tx, channel, State::Pending, 10)? {
                outbox::claim(tx, message.id)?;
                outbox::retry(tx, message.id, NOW_MS, "503")?;
            }
            Ok(())
        })
        .unwrap();
    }

    fn raised(telemetry: &Telemetry) -> Vec<(HealthId, String, String)> {
        telemetry.health.active().into_iter().map(|alert| (alert.id, alert.subject, alert.detail)).collect()
    }

    #[test]
    fn trouble_is_told_while_it_lasts() {
        let (db, telemetry) = (Db::in_memory().unwrap(), Telemetry::default());
        let mut watch = OutboxWatch::new(db.clone(), telemetry.clone());
        let mut look = |now_ms| watch.tell(&db.read(|tx| find(tx, now_ms)).unwrap(), now_ms);
        tried(&db, "oncall", State::Pending, NOW_MS);
        look(NOW_MS + 1);
        assert_eq!(raised(&telemetry), [], "one failed try is no trouble yet");
        tried(&db, "revoke:idp", State::Pending, NOW_MS);
        look(NOW_MS + FAILING_MS + 1);
        let retried = "1 are tried again: 503".to_owned();
        assert_eq!(
            raised(&telemetry),
            [
                (HealthId::ChannelFailing, "oncall".to_owned(), retried.clone()),
                (HealthId::RevocationFailing, "revoke:idp".to_owned(), retried)
            ]
        );
        let gauge = |channel| telemetry.metrics.outbox_pending.with([channel]).get();
        assert_eq!((gauge("oncall"), gauge("revoke:idp")), (1, 1));

        db.write::<_, DbError>(|tx| Ok(outbox::fail_all(tx, "oncall", "410", NOW_MS)?)).unwrap();
        db.write::<_, DbError>(|tx| {
            let due = outbox::in_state(tx, "revoke:idp", State::Pending, 1)?;
            due.iter().try_for_each(|message| outbox::finish(tx, message.id, State::Delivered, None, NOW_MS).map(drop))?;
            Ok(())
        })
        .unwrap();
        look(NOW_MS + 2 * FAILING_MS);
        assert_eq!(raised(&telemetry), [(HealthId::DeliveryFailed, "oncall".to_owned(), "1 were given up: 410".to_owned())]);
        assert_eq!((gauge("oncall"), gauge("revoke:idp")), (0, 0), "gauges drop back to zero");
        look(NOW_MS + FAILED_TOLD_MS);
        assert_eq!(raised(&telemetry), [], "a day later");
    }

    #[test]
    fn what_a_brake_holds_is_told_until_it_is_void() {
        let (db, telemetry) = (Db::in_memory().unwrap(), Telemetry::default());
        let mut watch = OutboxWatch::new(db.clone(), telemetry.clone());
        tried(&db, "revoke:idp", State::Held, NOW_MS);
        let mut look = |now_ms| watch.tell(&db.read(|tx| find(tx, now_ms)).unwrap(), now_ms);
        look(NOW_MS);
        assert_eq!(raised(&telemetry).len(), 1);
        look(NOW_MS + HOUR_MS);
        assert_eq!(raised(&telemetry), []);
    }
}
