//! The commit stage: the recorded order, alerts and what is to be delivered of them, in one
//! transaction.
//!
//! An order is durable before or with the first alert that depends on it. A batch without alerts costs
//! no transaction: its order waits for the next one, or for a checkpoint.

use super::detect::Detected;
use super::{Acknowledge, Acknowledged, Backoff, PipelineConfig};
use crate::alert::Alert;
use crate::alert::change::{AlertChange, AlertChanges};
use crate::blocking::blocking;
use crate::canary::Watch;
use crate::clock::Clock;
use crate::db::{Db, DbError, orders, suppressions};
use crate::flow::Order;
use crate::notify::tell::{Teller, Way};
use crate::notify::{self, Effects, Routing, Wake};
use crate::respond::{ActiveSessions, Change, Facts, LaterUses, SessionFacts};
use crate::suppress::Tally;
use crate::telemetry::Telemetry;
use crate::telemetry::health::HealthId;
use crate::telemetry::latency::Stage;
use bartizan_core::Event;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Orders that are not recorded yet, since no alert depends on them. A checkpoint has them recorded before
/// it becomes durable: the one before it, if ever it must do, needs them.
#[derive(Clone, Debug, Default)]
pub struct Unrecorded(Arc<Mutex<Vec<Order>>>);

impl Unrecorded {
    /// Adds one; returns how many there are.
    fn add(&self, order: Order) -> usize {
        let mut waiting = self.0.lock();
        waiting.push(order);
        waiting.len()
    }

    /// Takes all out, to be recorded with an alert.
    fn take(&self) -> Vec<Order> {
        let mut waiting = self.0.lock();
        let due = waiting.len().saturating_sub(usize::from(sabotaged!(OrderRecordedLate)));
        waiting.drain(..due).collect()
    }

    /// Records what lies before `next_seq`.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn record(&self, db: &Db, next_seq: u64) -> Result<(), DbError> {
        let due: Vec<_> = self.0.lock().iter().filter(|order| order.first_seq < next_seq).cloned().collect();
        if !due.is_empty() && !sabotaged!(OrderNotRecordedAtCheckpoint) {
            db.write(|tx| orders::append(tx, &due))?;
            self.0.lock().retain(|order| order.first_seq >= next_seq);
        }
        Ok(())
    }
}

/// The commit stage.
pub struct CommitStage {
    /// The working database.
    pub db: Db,
    /// Who is told of what.
    pub routing: Arc<Routing>,
    /// Wakes the deliverers.
    pub wake: Wake,
    /// Tells live views.
    pub changes: AlertChanges,
    /// What is told of the stage.
    pub telemetry: Telemetry,
    /// What the brake on a share of them needs.
    pub active_sessions: ActiveSessions,
    /// Sees uses of sessions whose end no target confirms.
    pub later_uses: LaterUses,
    /// Told when a batch is committed.
    pub acknowledge: Acknowledge,
    /// The time at which alerts are told.
    pub clock: Clock,
    /// Listens for the canary.
    pub canary: Watch,
    /// Orders that wait for an alert or a checkpoint.
    pub unrecorded: Unrecorded,
    /// Does the log keep the order itself?
    pub keeps_order: bool,
    /// What may wait, and be looked up.
    pub limits: PipelineConfig,
    /// Gives up; what is not committed comes again after the next start.
    pub abandon: CancellationToken,
}

impl CommitStage {
    /// Commits batches until the channel closes.
    pub async fn run(self, mut batches: Receiver<Arc<Detected>>) {
        while let Some(detected) = batches.recv().await {
            let recorded = (self.keeps_order && detected.flow.order.changes.is_empty()) || sabotaged!(OrderNotRecorded);
            let waiting = if recorded { 0 } else { self.unrecorded.add(detected.flow.order.clone()) };
            // What changed may be the reason why nothing was found, and must be so again after a crash.
            let has_changes = !detected.flow.order.changes.is_empty();
            let has_effects = !detected.alerts.is_empty() || !detected.held.is_empty() || has_changes;
            if has_effects || waiting >= self.limits.orders_waiting_max {
                let span = tracing::debug_span!("commit", first_seq = detected.flow.order.first_seq, alerts = detected.alerts.len());
                if !self.commit(&detected, self.unrecorded.take()).instrument(span).await {
                    return;
                }
            }
            self.later_uses.look(&detected.flow.events);
            if detected.flow.order.has_canary() {
                for detector in self.canary.hear(&detected.canary, &detected.flow.events) {
                    self.telemetry.metrics.canary_heard.with([detector]).inc();
                }
            }
            self.acknowledge.send_modify(|acknowledged: &mut Acknowledged| acknowledged.committed = detected.next_seq());
        }
    }

    /// Commits until it succeeds; false when it was given up.
    async fn commit(&self, detected: &Arc<Detected>, orders: Vec<Order>) -> bool {
        let mut backoff = Backoff::new();
        let orders = Arc::new(orders);
        loop {
            let started = Instant::now();
            let written = blocking(self.write(detected, &orders)).await;
            match written {
                Ok(Ok(changes)) => {
                    self.telemetry.report(HealthId::DiskFull, "database", None);
                    self.telemetry.latencies.record(Stage::Commit, started.elapsed());
                    self.tell(changes);
                    return true;
                }
                Ok(Err(_)) if sabotaged!(FailedCommitIgnored) => return true,
                Ok(Err(error)) => {
                    tracing::error!(%error, "alerts cannot be committed");
                    self.telemetry.report(HealthId::DiskFull, "database", Some(&error.to_string()));
                }
                Err(error) => tracing::error!(%error, "commit failed"),
            }
            if !backoff.wait(&self.abandon).await {
                return false;
            }
        }
    }

    fn tell(&self, all: Vec<Effects>) {
        self.wake.wake();
        let (metrics, now_ms) = (&self.telemetry.metrics, self.clock.now_ms());
        for Effects { alert, told, response, .. } in all {
            let opened = alert.version == 1;
            metrics.alert_versions.with([&alert.detector]).inc();
            if opened {
                metrics.alerts.with([&alert.detector, alert.severity.as_str()]).inc();
            }
            if opened && told == Way::Campaign {
                metrics.alerts_folded.with([&alert.detector]).inc();
            }
            for (outcome, count) in [("dry_run", response.dry_run), ("braked", response.held)] {
                if count > 0 {
                    metrics.revocations.with([outcome]).inc_by(u64::from(count));
                }
            }
            let took_ms = u64::try_from(now_ms - alert.detected_time.0).unwrap_or(0);
            self.telemetry.latencies.record(Stage::EventToAlert, std::time::Duration::from_millis(took_ms));
            // Nobody may be looking.
            self.changes.send(Arc::new(AlertChange::detected(alert))).ok();
        }
    }

    /// Writes a batch and tells what its versions led to.
    fn write(&self, detected: &Arc<Detected>, orders: &Arc<Vec<Order>>) -> impl FnOnce() -> Result<Vec<Effects>, DbError> + use<> {
        let (db, routing, active_sessions) = (self.db.clone(), Arc::clone(&self.routing), self.active_sessions.clone());
        let (detected, orders, clock) = (Arc::clone(detected), Arc::clone(orders), self.clock.clone());
        let facts_max = self.limits.session_facts_max;
        move || {
            let within = if sabotaged!(OutboxAfterTransaction) { Arc::default() } else { Arc::clone(&routing) };
            let all = db.write(|tx| {
                orders::append(tx, &orders)?;
                suppressions::count_held(tx, &Tally::of(&detected.held))?;
                let (mut all, named) = (Vec::new(), Telling::of(&detected));
                for alert in &detected.alerts {
                    let facts = named.facts(alert, facts_max);
                    let acts = !alert.actions.is_empty();
                    let active_sessions = acts.then(|| active_sessions.of(&alert.tenant)).flatten();
                    let version = notify::Detected { alert, facts: &facts, active_sessions };
                    all.extend(notify::commit_alert(tx, &version, &within, clock.now_ms())?);
                }
                Ok::<_, DbError>(all)
            })?;
            if sabotaged!(OutboxAfterTransaction) {
                db.write(|tx| all.iter().try_for_each(|told| Teller::new(tx, &routing, clock.now_ms())?.triage(&told.alert, None)))?;
            }
            Ok(all)
        }
    }
}

/// The events of a batch that may tell more of its alerts; none if no alert asks for anything to be done.
#[derive(Default)]
struct Telling<'d> {
    /// By session that an alert names.
    by_session: HashMap<&'d str, Vec<Event<'d>>>,
    /// Those that an alert names and that have a token and no session, by id.
    tokens: HashMap<&'d str, Vec<Event<'d>>>,
    /// Those that an alert names and that may show what was added or changed, by id.
    changes: HashMap<&'d str, Vec<Event<'d>>>,
}

impl<'d> Telling<'d> {
    fn of(detected: &'d Detected) -> Self {
        let mut telling = Self::default();
        let acting = || detected.alerts.iter().filter(|alert| !alert.actions.is_empty());
        let sessions: HashSet<&str> = acting().flat_map(sessions_of).collect();
        let ids: HashSet<&str> = acting().flat_map(|alert| &alert.event_ids).map(String::as_str).collect();
        if sessions.is_empty() && ids.is_empty() {
            return telling;
        }
        for event in detected.flow.events.iter() {
            if let Some(session) = event.session().filter(|session| sessions.contains(session)) {
                telling.by_session.entry(session).or_default().push(event);
            }
            if !ids.contains(event.id()) {
                continue;
            }
            if event.session().is_none() && event.token().is_some() {
                telling.tokens.entry(event.id()).or_default().push(event);
            }
            if Change::may_be_in(event.kind()) {
                telling.changes.entry(event.id()).or_default().push(event);
            }
        }
        telling
    }

    /// What the events that the alert names say, at most so much of sessions and of changes each.
    fn facts(&self, alert: &Alert, facts_max: usize) -> Facts {
        if alert.actions.is_empty() {
            return Facts::default();
        }
        let ids: BTreeSet<&str> = alert.event_ids.iter().map(String::as_str).collect();
        let sessions: BTreeSet<&str> = sessions_of(alert).collect();
        let tokens = ids.iter().filter_map(|id| self.tokens.get(id));
        let events = sessions.iter().filter_map(|session| self.by_session.get(session)).chain(tokens).flatten();
        let named = events.filter(|event| event.tenant() == alert.tenant && ids.contains(event.id()));
        let facts = named.map(|event| SessionFacts {
            session: event.session().map(str::to_owned),
            user: event.user().map(str::to_owned),
            source: event.source().map(str::to_owned),
            token_id: event.token_id().map(str::to_owned),
            token_hash: event.token().map(|token| token.to_hex()),
            time_ms: Some(event.time_ms()),
        });
        let changes = ids.iter().filter_map(|id| self.changes.get(id)).flatten().filter(|event| event.tenant() == alert.tenant);
        Facts { sessions: facts.take(facts_max).collect(), changes: changes.flat_map(Change::all_of).take(facts_max).collect() }
    }
}

fn sessions_of(alert: &Alert) -> impl Iterator<Item = &str> {
    alert.entities.sessions.iter().map(String::as_str)
}
