//! The ordinary traffic of one tenant, among which an attack hides.

use crate::detect::engine::Engine;
use crate::evaluate::traffic::Traffic;
use crate::evaluate::workbench::{Workbench, none_failed};
use crate::flow::EventFlow;
use crate::simulate::{SimulationConfig, TENANTS, Tenant};
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{Event, EventBatch, EventDraft, Kind, Outcome, Severity, UserKind};
use std::collections::{BTreeMap, BTreeSet};

/// Days that an attack goes on.
pub(super) const DAYS: i64 = 3;
/// Days before it in which people come to be known.
const PAST_DAYS_MIN: u32 = 4;
/// Time after it in which it may still be told.
const AFTER_MS: i64 = 6 * HOUR_MS;
/// Events of one batch.
const BATCH_EVENTS: usize = 1_024;
/// How long before and after a theft an owner who is not away uses the session; who is away did no longer ago.
const IN_USE_MS: i64 = HOUR_MS;
const AWAY_MS: i64 = 12 * HOUR_MS;

/// A session with requests, and the first of those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    first_ms: i64,
    last_ms: i64,
    request: usize,
}

/// One tenant's traffic.
pub(super) struct Scene {
    pub(super) tenant: &'static Tenant,
    pub(super) seed: u64,
    /// When attacks begin.
    pub(super) start_ms: i64,
    /// Who signed in before.
    pub(super) people: Vec<String>,
    /// Who was asked by push before.
    pub(super) pushed: Vec<String>,
    events: EventBatch,
    sessions: BTreeMap<String, Session>,
    /// Alerts that are opened without any attack.
    without_attack: BTreeSet<String>,
}

impl Scene {
    /// Simulates it, and judges it without an attack.
    pub(super) fn new(bench: &Workbench, simulated: SimulationConfig) -> Result<Self, String> {
        if simulated.days < PAST_DAYS_MIN + DAYS as u32 + 1 {
            return Err(format!("an attack of {DAYS} days after {PAST_DAYS_MIN} of peace takes more days than {}", simulated.days));
        }
        let [tenant, ..] = &TENANTS;
        let end_ms = simulated.start_ms + i64::from(simulated.days) * DAY_MS;
        let mut scene = Self {
            tenant,
            seed: simulated.seed,
            start_ms: end_ms - DAYS * DAY_MS - AFTER_MS,
            people: Vec::new(),
            pushed: Vec::new(),
            events: EventBatch::default(),
            sessions: BTreeMap::new(),
            without_attack: BTreeSet::new(),
        };
        let mut traffic = bench.traffic(SimulationConfig { attacks: Vec::new(), ..simulated });
        let (mut people, mut pushed, mut batch) = (BTreeSet::new(), BTreeSet::new(), Traffic::batch());
        while traffic.next(&mut batch)? {
            for event in batch.iter().filter(|event| event.tenant() == tenant.name) {
                scene.events.copy(&event);
                let Some(user) = event.user().filter(|_| event.user_kind() == UserKind::Human) else { continue };
                if event.time_ms() < scene.start_ms && event.outcome() == Outcome::Success {
                    match event.kind() {
                        Kind::Login => people.insert(user.to_owned()),
                        Kind::MfaChallenge if event.factor() == Some("push") => pushed.insert(user.to_owned()),
                        _ => false,
                    };
                }
                scene.see_session(&event);
            }
        }
        scene.people.extend(people);
        scene.pushed.extend(pushed);
        if scene.people.is_empty() || scene.pushed.is_empty() {
            return Err("too few events for a tenant with people in it".to_owned());
        }
        let mut told = BTreeSet::new();
        scene.judge(bench, &EventBatch::default(), |id, _| {
            told.insert(id.to_owned());
            false
        })?;
        scene.without_attack = told;
        Ok(scene)
    }

    fn see_session(&mut self, event: &Event<'_>) {
        let (time_ms, request) = (event.time_ms(), self.events.len() - 1);
        let Some(session) = event.session().filter(|_| event.kind() == Kind::ApiRequest) else { return };
        let of_session = self.sessions.entry(session.to_owned()).or_insert(Session { first_ms: time_ms, last_ms: time_ms, request });
        of_session.last_ms = of_session.last_ms.max(time_ms);
    }

    /// Sessions that a thief can use, with the time for it: while their owners do, or after they have.
    pub(super) fn sessions(&self, in_use: bool) -> impl Iterator<Item = (i64, EventDraft<'_>)> {
        let theft_ms = move |session: &Session| {
            let (earliest_ms, latest_ms) = if in_use {
                (session.first_ms + IN_USE_MS, session.last_ms - IN_USE_MS)
            } else {
                (session.last_ms + IN_USE_MS, session.last_ms + AWAY_MS)
            };
            let time_ms = earliest_ms.max(self.start_ms);
            (time_ms <= latest_ms && time_ms < self.start_ms + DAYS * DAY_MS).then_some(time_ms)
        };
        self.sessions.values().filter_map(move |session| Some((theft_ms(session)?, EventDraft::of(&self.events.get(session.request)?))))
    }

    /// A request of somebody who belongs here, before the attack: the last one.
    pub(super) fn insider(&self) -> Option<EventDraft<'_>> {
        let is_request = |event: &Event<'_>| event.kind() == Kind::ApiRequest && event.user_kind() == UserKind::Human;
        let before = self.events.iter().take_while(|event| event.time_ms() < self.start_ms).filter(is_request).last();
        before.map(|event| EventDraft::of(&event))
    }

    /// The detector of the first alert that the attack opens.
    pub(super) fn first_told(&self, bench: &Workbench, attack: &[EventDraft<'_>]) -> Result<Option<&'static str>, String> {
        let mut events = EventBatch::default();
        attack.iter().for_each(|event| {
            events.push(event);
        });
        bench.enricher.enrich(&mut events, &mut bench.enricher.cache());
        let mut first = None;
        self.judge(bench, &events, |id, detector| {
            let is_new = !self.without_attack.contains(id);
            if is_new {
                first = bartizan_catalogue::find(detector).map(|spec| spec.id);
            }
            is_new
        })?;
        Ok(first)
    }

    /// Judges the tenant's events with those of an attack, which are in order of time, among them. Shows alerts of medium
    /// severity or above with their detectors, until one is enough.
    fn judge(&self, bench: &Workbench, attack: &EventBatch, mut is_enough: impl FnMut(&str, &str) -> bool) -> Result<(), String> {
        let mut engine = bench.engine(&bench.config)?;
        let (mut theirs, mut batch) = (attack.iter().peekable(), Traffic::batch());
        for (number, event) in self.events.iter().enumerate() {
            while let Some(one) = theirs.next_if(|one| one.time_ms() <= event.time_ms()) {
                batch.copy(&one);
            }
            batch.copy(&event);
            if (batch.len() >= BATCH_EVENTS || number + 1 == self.events.len())
                && self.judge_batch(&mut engine, &mut batch, &mut is_enough)?
            {
                break;
            }
        }
        Ok(())
    }

    /// Judges a batch, and empties it. True if that is enough.
    fn judge_batch(
        &self,
        engine: &mut Engine,
        batch: &mut EventBatch,
        is_enough: &mut impl FnMut(&str, &str) -> bool,
    ) -> Result<bool, String> {
        let mut flow = EventFlow::replayed(std::mem::take(batch), engine.next_seq());
        let outcome = engine.process(&mut flow);
        none_failed(self.seed, &outcome.disabled)?;
        flow.events.clear();
        *batch = flow.events;
        let told = outcome.alerts.iter().filter(|alert| alert.severity >= Severity::Medium);
        // All of them are counted, also once it is enough.
        Ok(told.filter(|alert| is_enough(&alert.id, &alert.detector)).count() > 0)
    }
}
