//! The circuit breaker of each detector and tenant.
//!
//! An identity provider that changes its session ids, or a feed that breaks, makes a detector open an alert for
//! everybody at once. Thousands of single alerts help nobody: neither if that is all it is, nor if it is a real mass
//! takeover. So where a detector opens alerts out of all proportion to what it usually does in a tenant, further ones
//! are folded into one campaign alert, which counts them and names what was hit. Each folded finding stands in the
//! ledger of what was held back, alerts that are open already go on as before, and machines wait for a person.
//!
//! What is usual is a mean over the past days' hours that fades, learnt only while the breaker is closed. It closes
//! once an hour brings less than half of what opens it, or when a person says so. Everything goes by event time and the
//! recorded order, and is part of the checkpoint: the same order folds the same findings, whatever clock or batch.

use crate::alert::model::campaign_key;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{EntityKind, Finding, Severity, Spec, TimeMs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Its name in the ledger and among the brakes.
pub const CIRCUIT_BREAKER: &str = "circuit_breaker";
/// Alerts from this severity on count.
pub const COUNTS_FROM: Severity = Severity::Medium;
/// Findings of a campaign with no more than this between them belong to one alert: what keeps a breaker open may come at
/// the beginning of one hour and at the end of the next.
const QUIET_GAP_MS: i64 = 2 * HOUR_MS;
/// For how much event time a breaker stays closed that a person closed.
const STAYS_CLOSED_MS: i64 = DAY_MS;

/// Parts that an hour is counted in.
const SLOTS: usize = 12;
const SLOT_MS: i64 = HOUR_MS / SLOTS as i64;
/// What is left of an hour's weight an hour later: a third after three days.
const FADE: f64 = 1.0 - 1.0 / 72.0;
/// Hours of one alert each that stand for what is not known yet.
const PRIOR_HOURS: f64 = 12.0;
/// After so long without an alert nothing is known any more.
const FORGOTTEN_SLOTS: i64 = 30 * DAY_MS / SLOT_MS;
/// Fewer different values than these are counted exactly, more to within a few per cent.
const EXACT_MAX: usize = 512;

/// When breakers open, and how many are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Alerts within an hour below which none opens.
    pub alerts_min: u32,
    /// How many times the usual number opens one.
    pub factor: u32,
    /// Pairs of detector and tenant.
    pub pairs_max: usize,
}

impl Limits {
    /// Alerts within an hour that open a breaker where so many are usual.
    fn alerts(&self, usual: f64) -> u64 {
        ((usual * f64::from(self.factor)).ceil() as u64).max(u64::from(self.alerts_min))
    }
}

/// Detector and tenant.
type Pair = (String, String);

fn pair(detector: &str, tenant: &str) -> Pair {
    (detector.to_owned(), tenant.to_owned())
}

/// A person closed a breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Counts up over all closings, so that each takes effect once.
    pub number: u64,
    /// The detector.
    pub detector: String,
    /// The tenant.
    pub tenant: String,
}

/// An open breaker, as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenBreaker {
    /// The detector.
    pub detector: String,
    /// The tenant.
    pub tenant: String,
    /// Event time of the alert that opened it.
    pub since_ms: i64,
    /// Alerts within the hour before.
    pub alerts_opened: u64,
    /// How many are usual in an hour.
    pub usual: f64,
    /// How many open it.
    pub limit: u64,
    /// Alerts folded since; many are an estimate, like the next two.
    pub alerts_folded: u64,
    /// Users hit in them.
    pub users_hit: u64,
    /// Sessions hit in them.
    pub sessions_hit: u64,
    /// Findings folded since.
    pub findings_folded: u64,
}

/// How many alerts a detector opens in a tenant: within the last hour, and usually.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rate {
    /// By part of the hour.
    slots: [u32; SLOTS],
    /// Number of the newest part since 1970.
    newest: i64,
    /// Alerts of the past hours, and the weight of these.
    sum: f64,
    hours: f64,
    /// Was the breaker open in this hour of the clock? Then nothing is learnt from it.
    spoiled: bool,
    /// A person closed it until this event time.
    closed_until_ms: i64,
}

impl Rate {
    fn new(slot: i64) -> Self {
        Self { slots: [0; SLOTS], newest: slot, sum: 0.0, hours: 0.0, spoiled: false, closed_until_ms: i64::MIN }
    }

    /// Alerts that are usual in an hour.
    fn usual(&self) -> f64 {
        (self.sum + PRIOR_HOURS) / (self.hours + PRIOR_HOURS)
    }

    /// Alerts within the last hour.
    fn alerts(&self) -> u64 {
        self.slots.iter().map(|alerts| u64::from(*alerts)).sum()
    }

    fn slot(&mut self, number: i64) -> Option<&mut u32> {
        self.slots.get_mut(number.rem_euclid(SLOTS as i64) as usize)
    }

    /// Counts an alert; returns how many there were within the last hour. One that lies further back does not count.
    fn count(&mut self, slot: i64) -> u64 {
        if slot - self.newest > FORGOTTEN_SLOTS {
            *self = Self { closed_until_ms: self.closed_until_ms, ..Self::new(slot) };
        }
        while self.newest < slot {
            self.newest += 1;
            if self.newest.rem_euclid(SLOTS as i64) == 0 {
                self.learn();
            }
            let newest = self.newest;
            self.slot(newest).into_iter().for_each(|alerts| *alerts = 0);
        }
        if slot > self.newest - SLOTS as i64 {
            self.slot(slot).into_iter().for_each(|alerts| *alerts = alerts.saturating_add(1));
        }
        self.alerts()
    }

    /// An hour of the clock is full.
    fn learn(&mut self) {
        if !std::mem::take(&mut self.spoiled) {
            self.sum = self.sum * FADE + self.alerts() as f64;
            self.hours = self.hours * FADE + 1.0;
        }
    }

    /// Counts again after the breaker was open. Nothing is known of the time in between.
    fn resume(&mut self, at_ms: i64) {
        self.newest = self.newest.max(at_ms.div_euclid(SLOT_MS));
        (self.slots, self.spoiled) = ([0; SLOTS], true);
    }
}

/// How many different values there were: exact while they are few, then by how close the smallest hashes lie.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Distinct(BTreeSet<u64>);

impl Distinct {
    fn add(&mut self, value: &str) {
        let digest: [u8; 32] = Sha256::digest(value).into();
        let first = digest.first_chunk().copied().unwrap_or_default();
        self.0.insert(u64::from_be_bytes(first));
        if self.0.len() > EXACT_MAX {
            self.0.pop_last();
        }
    }

    fn count(&self) -> u64 {
        match self.0.last() {
            Some(largest) if self.0.len() == EXACT_MAX => ((EXACT_MAX as f64) * (u64::MAX as f64 / *largest as f64)) as u64,
            _ => self.0.len() as u64,
        }
    }
}

/// What is known of an open breaker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Open {
    since_ms: i64,
    alerts_opened: u64,
    usual: f64,
    limit: u64,
    /// Beginning of the hour after which it may close, and keys that would have been alerts of their own in it.
    hour_ms: i64,
    keys_in_hour: Distinct,
    keys: Distinct,
    users: Distinct,
    sessions: Distinct,
    findings: u64,
    worst: Severity,
}

impl Open {
    fn new(since_ms: i64, alerts_opened: u64, usual: f64, limit: u64) -> Self {
        Self {
            since_ms,
            alerts_opened,
            usual,
            limit,
            hour_ms: since_ms,
            keys_in_hour: Distinct::default(),
            keys: Distinct::default(),
            users: Distinct::default(),
            sessions: Distinct::default(),
            findings: 0,
            worst: Severity::Info,
        }
    }

    fn looks_again_ms(&self) -> i64 {
        self.hour_ms.saturating_add(HOUR_MS)
    }

    /// Did an hour that the watermark has passed bring less than half of what opens it?
    fn is_over(&mut self, watermark_ms: i64) -> bool {
        while watermark_ms > self.looks_again_ms() {
            if self.keys_in_hour.count() * 2 < self.limit {
                return true;
            }
            (self.hour_ms, self.keys_in_hour) = (self.looks_again_ms(), Distinct::default());
        }
        false
    }

    /// Makes of a finding that would have opened an alert one of the campaign, and says what is to be known of that.
    pub fn fold(&mut self, spec: &Spec, finding: Finding) -> (Spec, Finding) {
        self.findings += 1;
        self.worst = self.worst.max(finding.severity);
        self.keys_in_hour.add(&finding.key);
        self.keys.add(&finding.key);
        for subject in finding.subjects.iter().filter(|subject| subject.hit) {
            match subject.kind {
                EntityKind::User => self.users.add(&subject.value),
                EntityKind::Session => self.sessions.add(&subject.value),
                _ => {}
            }
        }
        let Self { since_ms, alerts_opened, usual, limit, findings, .. } = self;
        let [alerts, users, sessions] = [&self.keys, &self.users, &self.sessions].map(Distinct::count);
        let since = TimeMs(*since_ms);
        let mut campaign = Finding {
            key: campaign_key(spec.id),
            title: format!("Far more alerts than usual: {}", spec.title),
            reason: format!(
                "{alerts} more alerts since {since} are told here together, after {alerts_opened} within an hour where {usual:.1} are usual (limit {limit}); users hit: {users}, sessions hit: {sessions}."
            ),
            severity: self.worst,
            evidence: Vec::new(),
            // It stands for many, whoever they are.
            sign: None,
            ..finding
        };
        campaign.note("alerts_folded", alerts).note("findings_folded", *findings);
        campaign.note("alerts_opened", *alerts_opened).note("usual_per_hour", *usual).note("limit_per_hour", *limit);
        campaign.note("users_hit", users).note("sessions_hit", sessions).note("since_time", since.to_string());
        (Spec { quiet_gap_ms: spec.quiet_gap_ms.max(QUIET_GAP_MS), ..*spec }, campaign)
    }
}

/// All breakers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Breakers {
    #[serde(skip)]
    limits: Limits,
    rates: BTreeMap<Pair, Rate>,
    /// Those that are open; each has its rate, too.
    open: BTreeMap<Pair, Open>,
    /// Up to this watermark none closes by itself.
    looks_again_ms: i64,
    /// Number of the newest closing that took effect.
    closings: u64,
}

impl Breakers {
    /// None open, nothing usual yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, rates: BTreeMap::new(), open: BTreeMap::new(), looks_again_ms: i64::MAX, closings: 0 }
    }

    /// The same within other limits, as after a restore.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// When they open.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The breaker of this detector and tenant, if it is open.
    pub fn open_of(&mut self, detector: &str, tenant: &str) -> Option<&mut Open> {
        if self.open.is_empty() { None } else { self.open.get_mut(&pair(detector, tenant)) }
    }

    /// An alert opened, or became one that counts, at this event time: the breaker opens if there are too many.
    pub fn count(&mut self, detector: &str, tenant: &str, time_ms: i64) {
        let pair = pair(detector, tenant);
        if self.open.contains_key(&pair) {
            return;
        }
        let slot = time_ms.div_euclid(SLOT_MS);
        if !self.rates.contains_key(&pair) {
            self.make_room();
        }
        let rate = self.rates.entry(pair.clone()).or_insert_with(|| Rate::new(slot));
        let (alerts, usual) = (rate.count(slot), rate.usual());
        let limit = self.limits.alerts(usual);
        if alerts >= limit && time_ms >= rate.closed_until_ms {
            let open = Open::new(time_ms, alerts, usual, limit);
            self.looks_again_ms = self.looks_again_ms.min(open.looks_again_ms());
            self.open.insert(pair, open);
        }
    }

    /// Forgets the pairs that were quiet for longest, closed ones first, until there is room for another one.
    fn make_room(&mut self) {
        while self.rates.len() >= self.limits.pairs_max {
            let quietest = self.rates.iter().min_by_key(|(pair, rate)| (self.open.contains_key(*pair), rate.newest));
            let Some(pair) = quietest.map(|(pair, _)| pair.clone()) else { return };
            self.rates.remove(&pair);
            self.open.remove(&pair);
        }
    }

    /// Closes those for which things have calmed down.
    pub fn advance(&mut self, watermark_ms: i64) {
        if watermark_ms <= self.looks_again_ms {
            return;
        }
        let open = self.open.iter_mut();
        let over: Vec<Pair> = open.filter_map(|(pair, open)| open.is_over(watermark_ms).then(|| pair.clone())).collect();
        over.iter().for_each(|pair| self.close(pair, watermark_ms));
        self.looks_again_ms = self.open.values().map(Open::looks_again_ms).min().unwrap_or(i64::MAX);
    }

    /// Does what people said; what was done already is not done again.
    pub fn close_all(&mut self, closings: &[Closing], watermark_ms: i64) {
        let done = self.closings;
        for closing in closings.iter().filter(|closing| closing.number > done) {
            let pair = pair(&closing.detector, &closing.tenant);
            self.close(&pair, watermark_ms);
            if let Some(rate) = self.rates.get_mut(&pair) {
                // Before all partitions have spoken there is no watermark.
                let now_ms = watermark_ms.max(rate.newest.saturating_mul(SLOT_MS));
                rate.closed_until_ms = now_ms.saturating_add(STAYS_CLOSED_MS);
            }
        }
        self.closings = closings.iter().map(|closing| closing.number).fold(done, u64::max);
    }

    fn close(&mut self, pair: &Pair, at_ms: i64) {
        if let (Some(_), Some(rate)) = (self.open.remove(pair), self.rates.get_mut(pair)) {
            rate.resume(at_ms);
        }
    }

    /// Those that are open.
    #[must_use]
    pub fn open(&self) -> Vec<OpenBreaker> {
        let shown = self.open.iter().map(|((detector, tenant), open)| OpenBreaker {
            detector: detector.clone(),
            tenant: tenant.clone(),
            since_ms: open.since_ms,
            alerts_opened: open.alerts_opened,
            usual: open.usual,
            limit: open.limit,
            alerts_folded: open.keys.count(),
            users_hit: open.users.count(),
            sessions_hit: open.sessions.count(),
            findings_folded: open.findings,
        });
        shown.collect()
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
