//! Empties the outbox: one task a channel.
//!
//! A task sleeps until something is due or it is woken, claims what is due, tries a bounded number
//! of messages at the same time, and records what became of each. All it knows stands in the
//! database, so a restart goes on where it was; what was in flight then is sent again, under the
//! same id. On shutdown it begins nothing new and waits a little for what is in flight.

use super::notice::{Announcement, tell_everyone};
use super::payload::{Notice, Payload};
use super::routing::Routing;
use super::schedule::Schedule;
use super::{Channel, Outcome};
use crate::blocking::blocking;
use crate::clock::Clock;
use crate::db::outbox::{Message, State};
use crate::db::{Db, DbError, audit, channels, outbox};
use crate::respond::order::Order;
use crate::respond::{Answer, StopSwitch, progress};
use crate::telemetry::{Stage, Telemetry};
use bartizan_core::time::{HOUR_MS, SECOND_MS};
use futures::FutureExt;
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Another process may change the outbox (a retry by hand), and nobody wakes us then.
const POLL_MS: i64 = 5 * SECOND_MS;
/// Pause after an error of the database.
const DB_PAUSE: Duration = Duration::from_secs(1);
/// How long a stop waits for what is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why a call that acts was not made.
const STOPPED: &str = "machines were stopped from acting";

/// Wakes all deliverers: something new is in the outbox.
#[derive(Clone, Debug)]
pub struct Wake(broadcast::Sender<()>);

impl Default for Wake {
    fn default() -> Self {
        Self(broadcast::Sender::new(1))
    }
}

impl Wake {
    /// Call it once the transaction that wrote to the outbox is committed.
    pub fn wake(&self) {
        // Nobody may be waiting.
        self.0.send(()).ok();
    }
}

/// What all deliverers share.
#[derive(Clone)]
pub struct Deliveries {
    /// The working database.
    pub db: Db,
    /// Whom to tell when a delivery fails for good.
    pub routing: Arc<Routing>,
    /// When to try again.
    pub schedule: Schedule,
    /// The time.
    pub clock: Clock,
    /// Holds every channel that acts.
    pub switch: StopSwitch,
    /// What is told of deliveries.
    pub telemetry: Telemetry,
    /// Wakes the tasks.
    pub wake: Wake,
    /// Ends the tasks.
    pub shutdown: CancellationToken,
}

impl Deliveries {
    /// Starts a task for each channel; call it once, with all of them. The tasks end within six
    /// seconds after `shutdown` is cancelled.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn spawn(&self, channels: Vec<Arc<dyn Channel>>) -> Result<JoinSet<()>, DbError> {
        let names: BTreeSet<String> = channels.iter().map(|channel| channel.name().to_owned()).collect();
        let now_ms = self.clock.now_ms();
        let orphans = self.db.write(|tx| {
            progress::fail_orphans(tx, &names, now_ms)?;
            Ok::<_, DbError>(outbox::fail_orphans(tx, &names, now_ms)?)
        })?;
        if orphans > 0 {
            tracing::warn!(orphans, "messages wait for channels that are not configured any more");
        }
        let mut tasks = JoinSet::new();
        for channel in channels {
            let deliverer =
                Deliverer { shared: self.clone(), channel, tries: JoinSet::new(), in_flight: BTreeSet::new(), paused_until_ms: 0 };
            tasks.spawn(deliverer.run());
        }
        Ok(tasks)
    }
}

/// A try that is over, and how long it took.
type Tried = (Message, Outcome, Duration);

struct Deliverer {
    shared: Deliveries,
    channel: Arc<dyn Channel>,
    tries: JoinSet<Tried>,
    in_flight: BTreeSet<i64>,
    /// The other end asked to be left alone until then.
    paused_until_ms: i64,
}

impl Deliverer {
    async fn run(mut self) {
        let shutdown = self.shared.shutdown.clone();
        let mut wake = self.shared.wake.0.subscribe();
        if shutdown.run_until_cancelled(self.begin()).await.is_none() {
            return;
        }
        loop {
            let sleep = self.start_due().await;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(Ok(tried)) = self.tries.join_next() => self.record(tried).await,
                // One that was missed is one all the same.
                Ok(()) | Err(RecvError::Lagged(_)) = wake.recv() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        let drain = async {
            while let Some(Ok(tried)) = self.tries.join_next().await {
                self.record(tried).await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX, drain).await.is_err() {
            tracing::warn!(channel = self.channel.name(), "stopped with deliveries in flight: they are sent again at the next start");
        }
    }

    /// Takes the channel up as it is configured now; what waits for a retry is due at once.
    async fn begin(&self) {
        let fingerprint = self.channel.fingerprint();
        let now_ms = self.shared.clock.now_ms();
        self.persist(move |tx, name| {
            channels::configure(tx, name, &fingerprint)?;
            outbox::wake(tx, name, now_ms)?;
            Ok(())
        })
        .await;
        self.channel.prepare(now_ms).await;
    }

    /// Begins what is due; returns how long nothing more will be.
    async fn start_due(&mut self) -> Duration {
        let now_ms = self.shared.clock.now_ms();
        let room = self.channel.in_flight_max(&self.shared.routing.limits).saturating_sub(self.in_flight.len());
        let mut sleep_ms = POLL_MS;
        if now_ms < self.paused_until_ms {
            sleep_ms = sleep_ms.min(self.paused_until_ms - now_ms);
        } else if room > 0 {
            match self.claim(now_ms, room).await {
                Ok((messages, next_ms)) => {
                    sleep_ms = next_ms.map_or(sleep_ms, |next| sleep_ms.min(next.saturating_sub(now_ms)));
                    messages.into_iter().for_each(|message| self.start(message, now_ms));
                }
                Err(error) => {
                    tracing::error!(channel = self.channel.name(), %error, "outbox cannot be read");
                    sleep_ms = SECOND_MS;
                }
            }
        }
        Duration::from_millis(u64::try_from(sleep_ms).unwrap_or(1).max(1))
    }

    async fn claim(&self, now_ms: i64, room: usize) -> Result<(Vec<Message>, Option<i64>), DbError> {
        let (db, routing) = (self.shared.db.clone(), Arc::clone(&self.shared.routing));
        let held = self.channel.acts() && self.shared.switch.is_thrown();
        let wanted = Wanted { channel: self.channel.name().to_owned(), in_flight: self.in_flight.clone(), room, held };
        let work = move || claim_due(&db, &routing, &wanted, now_ms);
        // The task ends only with its work or the runtime.
        let (claimed, next_ms, expired) = blocking(work).await.unwrap_or(Ok(Claim::default()))?;
        if expired > 0 {
            self.shared.telemetry.metrics.revocations.with(["expired"]).inc_by(expired);
            self.shared.wake.wake();
        }
        Ok((claimed, next_ms))
    }

    fn start(&mut self, message: Message, now_ms: i64) {
        self.in_flight.insert(message.id);
        let of_try = || Message { message_id: format!("{}-{}", message.message_id, message.attempts), ..message.clone() };
        let message = if sabotaged!(DeliveryIdOfTheTry) { of_try() } else { message };
        let (channel, switch) = (Arc::clone(&self.channel), self.shared.switch.clone());
        self.tries.spawn(async move {
            let started = Instant::now();
            // Asked last of all: what was claimed a moment ago does not go out either.
            if channel.acts() && switch.is_thrown() {
                return (message, Outcome::retry(STOPPED), started.elapsed());
            }
            let outcome = AssertUnwindSafe(channel.deliver(&message, now_ms)).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Outcome::retry("internal error while sending"));
            (message, outcome, started.elapsed())
        });
    }

    /// Records what became of one try, and of all others that are over by now, in one transaction.
    async fn record(&mut self, first: Tried) {
        let now_ms = self.shared.clock.now_ms();
        let mut steps = Vec::new();
        let mut next = Some(first);
        while let Some((message, outcome, took)) = next {
            if let Outcome::Retry { after: Some(after), .. } = &outcome {
                let until_ms = now_ms.saturating_add(asked_ms(*after, &self.shared.schedule));
                // A pause never hides that a revocation ran out of time.
                self.paused_until_ms = self.paused_until_ms.max(until_ms.min(message.not_after_ms.unwrap_or(i64::MAX)));
            }
            self.in_flight.remove(&message.id);
            let step = Step { message, outcome, schedule: self.shared.schedule, routing: Arc::clone(&self.shared.routing), now_ms };
            step.count(&self.shared.telemetry, self.channel.name(), took);
            steps.push(step);
            next = self.tries.try_join_next().and_then(Result::ok);
        }
        self.persist(move |tx, name| steps.iter().try_for_each(|step| step.write(tx, name))).await;
        self.shared.wake.wake();
    }

    /// Writes until it succeeds: a delivery that is not recorded would be made again.
    async fn persist(&self, work: impl Fn(&Connection, &str) -> Result<(), DbError> + Send + Sync + 'static) {
        let work = Arc::new(work);
        loop {
            let (db, name, attempt) = (self.shared.db.clone(), self.channel.name().to_owned(), Arc::clone(&work));
            match blocking(move || db.write(|tx| attempt(tx, &name))).await {
                Ok(Ok(())) | Err(_) => return,
                Ok(Err(error)) => tracing::error!(channel = self.channel.name(), %error, "outbox cannot be written"),
            }
            tokio::time::sleep(DB_PAUSE).await;
        }
    }
}

/// What may be sent now, when the next row is due, and how many revocations expired.
type Claim = (Vec<Message>, Option<i64>, u64);

/// What a channel asks for.
struct Wanted {
    channel: String,
    in_flight: BTreeSet<i64>,
    room: usize,
    /// Nothing may be sent: only what ran out of time is seen to.
    held: bool,
}

impl Wanted {
    fn look(&self, tx: &Connection, now_ms: i64) -> Result<Vec<Message>, DbError> {
        let rows_max = self.room.saturating_add(self.in_flight.len());
        let look = if self.held { outbox::overdue } else { outbox::due };
        let mut due = look(tx, &self.channel, now_ms, rows_max)?;
        due.retain(|message| !self.in_flight.contains(&message.id));
        due.truncate(self.room);
        Ok(due)
    }
}

fn claim_due(db: &Db, routing: &Routing, wanted: &Wanted, now_ms: i64) -> Result<Claim, DbError> {
    let (idle, next_ms) = db.read(|tx| {
        let idle = channels::ended(tx)?.contains(&wanted.channel) || wanted.look(tx, now_ms)?.is_empty();
        Ok::<_, DbError>((idle, outbox::next_due_ms(tx, &wanted.channel, now_ms)?))
    })?;
    if idle {
        return Ok((Vec::new(), next_ms, 0));
    }
    db.write(|tx| {
        let (mut messages, mut expired) = (Vec::new(), 0);
        // Read again under the lock: a tally may have grown since.
        for message in wanted.look(tx, now_ms)? {
            if message.not_after_ms.is_some_and(|limit| limit <= now_ms) {
                let error = if wanted.held { STOPPED } else { message.last_error.as_deref().unwrap_or("never tried in time") };
                progress::expired(tx, routing, &message, error, now_ms)?;
                expired += 1;
            } else {
                outbox::claim(tx, message.id)?;
                if sabotaged!(DeliveredWhenClaimed) {
                    outbox::finish(tx, message.id, State::Delivered, None, now_ms)?;
                }
                messages.push(Message { attempts: message.attempts.saturating_add(1), ..message });
            }
        }
        Ok((messages, next_ms, expired))
    })
}

fn asked_ms(after: Duration, schedule: &Schedule) -> i64 {
    i64::try_from(after.as_millis()).unwrap_or(i64::MAX).min(schedule.asked_max_ms)
}

/// One try and what became of it, to be written in one transaction.
struct Step {
    message: Message,
    outcome: Outcome,
    schedule: Schedule,
    routing: Arc<Routing>,
    now_ms: i64,
}

/// When the deciding event of a message's version arrived: the messages that open an alert say so.
#[derive(serde::Deserialize)]
struct Arrived {
    #[serde(alias = "detected_time")]
    timestamp: bartizan_core::TimeMs,
}

impl Step {
    /// Counts the try by what became of it.
    fn count(&self, telemetry: &Telemetry, channel: &str, took: Duration) {
        let age_ms = self.now_ms.saturating_sub(self.message.created_ms);
        let again = || self.schedule.jittered_ms(&self.message.message_id, self.message.attempts, age_ms).is_some();
        let (outcome, of_order) = match &self.outcome {
            Outcome::Delivered(_) => ("delivered", "done"),
            Outcome::Answered(Answer::Ended(_) | Answer::Unchanged(_) | Answer::NotKnown(_) | Answer::Taken) => ("delivered", "done"),
            Outcome::Retry { .. } | Outcome::Answered(Answer::Unconfirmed(_)) if again() => ("retried", "retried"),
            Outcome::Retry { .. } | Outcome::Refused(_) | Outcome::Ended(_) | Outcome::Answered(_) => ("failed", "refused"),
        };
        telemetry.metrics.deliveries.with([channel, outcome]).inc();
        telemetry.metrics.delivery_seconds.with([channel]).observe(took.as_secs_f64());
        telemetry.latencies.record(Stage::Deliver, took);
        if self.message.is_order() {
            telemetry.metrics.revocations.with([of_order]).inc();
        }
        if let (Outcome::Answered(Answer::Ended(_)), Ok(payload)) =
            (&self.outcome, serde_json::from_str::<Payload<Order>>(&self.message.body))
        {
            let took_ms = self.now_ms.saturating_sub(payload.data.issued_before.0).max(0);
            telemetry.metrics.action_seconds.with([payload.data.action.as_str()]).observe(took_ms as f64 / 1e3);
        }
        if let (Outcome::Delivered(_), Some(arrived_ms)) = (&self.outcome, self.arrived_ms()) {
            let took_ms = u64::try_from(self.now_ms.saturating_sub(arrived_ms)).unwrap_or(0);
            telemetry.latencies.record(Stage::EventToDelivery, Duration::from_millis(took_ms));
        }
    }

    /// Openings alone: a later message may be caused by a person, long after any event.
    fn arrived_ms(&self) -> Option<i64> {
        let opens = self.message.kind == "alert.opened" || (self.message.kind == "alert" && self.message.version == 1);
        let body = opens.then_some(&self.message.body)?;
        serde_json::from_str::<Arrived>(body).ok().map(|arrived| arrived.timestamp.0)
    }

    fn write(&self, tx: &Connection, channel: &str) -> Result<(), DbError> {
        match &self.outcome {
            Outcome::Delivered(remark) => self.delivered(tx, remark.as_deref()),
            Outcome::Retry { .. } if sabotaged!(FailureTakenForDelivery) => self.delivered(tx, None),
            Outcome::Retry { error, after } => self.retry(tx, channel, error, *after),
            Outcome::Refused(error) => self.failed(tx, channel, error),
            Outcome::Ended(reason) => self.ended(tx, channel, reason),
            Outcome::Answered(answer) => {
                progress::answered(tx, &self.routing, &self.message, answer, self.now_ms)?;
                if let Answer::Unconfirmed(remark) = answer { self.retry(tx, channel, remark, None) } else { Ok(()) }
            }
        }
    }

    fn delivered(&self, tx: &Connection, remark: Option<&str>) -> Result<(), DbError> {
        outbox::finish(tx, self.message.id, State::Delivered, remark, self.now_ms)?;
        Ok(())
    }

    fn retry(&self, tx: &Connection, channel: &str, error: &str, after: Option<Duration>) -> Result<(), DbError> {
        let age_ms = self.now_ms.saturating_sub(self.message.created_ms);
        let Some(delay_ms) = self.schedule.jittered_ms(&self.message.message_id, self.message.attempts, age_ms) else {
            return self.failed(tx, channel, error);
        };
        let asked_ms = after.map_or(0, |after| asked_ms(after, &self.schedule));
        let next_ms = self.now_ms.saturating_add(delay_ms.max(asked_ms)).min(self.message.not_after_ms.unwrap_or(i64::MAX));
        crate::warn_limited!(
            channel,
            message = self.message.message_id,
            tries = self.message.attempts,
            error,
            "delivery failed, tried again later"
        );
        outbox::retry(tx, self.message.id, next_ms, error)?;
        Ok(())
    }

    fn failed(&self, tx: &Connection, channel: &str, error: &str) -> Result<(), DbError> {
        tracing::error!(channel, message = self.message.message_id, tries = self.message.attempts, error, "delivery given up");
        if self.message.is_order() {
            return progress::failed(tx, &self.routing, &self.message, error, self.now_ms);
        }
        outbox::finish(tx, self.message.id, State::Failed, Some(error), self.now_ms)?;
        let hour = self.now_ms.div_euclid(HOUR_MS).to_string();
        let notice = Notice {
            title: format!("Messages to the channel {channel} are given up"),
            text: "They were tried for a day, or refused for good. They are kept as failed and can be tried again.".to_owned(),
            details: json!({"channel": channel, "error": error, "first_message": self.message.message_id, "about": self.message.about}),
        };
        self.tell_others(tx, "delivery.failed", &[channel, &hour], &notice)
    }

    fn ended(&self, tx: &Connection, channel: &str, reason: &str) -> Result<(), DbError> {
        if !channels::end(tx, channel, reason, self.now_ms)? {
            return Ok(());
        }
        let failed = outbox::fail_all(tx, channel, &format!("the channel ended: {reason}"), self.now_ms)?;
        tracing::error!(channel, reason, failed, "channel ended by its other end");
        let detail = json!({"channel": channel, "reason": reason, "messages_failed": failed});
        audit::record(tx, self.now_ms, "delivery", "channel.ended", channel, &detail)?;
        let notice = Notice {
            title: format!("The channel {channel} was ended by its other end"),
            text: "It answered 410 Gone: nothing is sent there any more until its url is changed.".to_owned(),
            details: detail,
        };
        let now = self.now_ms.to_string();
        self.tell_others(tx, "channel.ended", &[channel, &now], &notice)
    }

    /// Tells every channel but the one that failed, which is the first part of `key`.
    fn tell_others(&self, tx: &Connection, kind: &str, key: &[&str], notice: &Notice) -> Result<(), DbError> {
        tell_everyone(tx, &self.routing, &Announcement { kind, key, except: key.first().copied(), notice }, self.now_ms)
    }
}

#[cfg(test)]
#[path = "deliverer_tests.rs"]
mod tests;
