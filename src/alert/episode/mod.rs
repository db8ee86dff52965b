//! Open episodes: the findings of one (tenant, detector, key) become the versions of one alert.
//!
//! An episode opens with its first finding and takes further findings while no more than the
//! detector's quiet gap lies between them. Its id is fixed when it opens (`identity`). A version is cut
//! by what happens, never by batch (`versions`), and closing follows the watermark of events, never a clock.
//! Findings of one attacker under other keys are taken in (`joins`); which sessions are told as hit is known (`hits`).
//! Its lists are bounded (`lists`), and it is saved while it goes on changing (`saving`).
//!
//! All of them together are bounded by number and by bytes (`size`). Beyond that the one that would close first, quiet
//! for the longest and so most likely over, is closed early. Nothing is lost by it: its last version names everything
//! that was hit, and says `closed_early`; an attack that goes on all the same opens another alert.

mod evidence;
mod hits;
mod identity;
mod joins;
mod lists;
mod saving;
mod size;
mod versions;

#[cfg(test)]
mod tests;

use super::model::Alert;
use crate::detect::breaker::COUNTS_FROM;
use bartizan_core::{Finding, Spec};
use evidence::Plain;
use hits::{Hits, hit_sessions};
use identity::{EpisodeKey, alert_id};
use joins::Joins;
use saving::Saving;
use std::collections::{BTreeMap, BTreeSet};
use versions::Episode;

/// What open episodes may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open episodes.
    pub episodes_max: usize,
    /// Bytes of all open episodes.
    pub bytes_max: usize,
    /// Subjects of one alert that were hit; beyond it only their number is told.
    pub hits_max: usize,
    /// Subjects of one alert that were attacked without being hit.
    pub attempts_max: usize,
    /// Event ids at the head and at the tail of an alert's list, and ids of deciding events of hits.
    pub event_ids_each_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { episodes_max: 100_000, bytes_max: 256 << 20, hits_max: 10_000, attempts_max: 200, event_ids_each_max: 50 }
    }
}

/// Member of the evidence of an alert that was closed for want of room.
const CLOSED_EARLY: &str = "closed_early";

/// All open episodes.
#[derive(Debug, Default)]
pub struct Episodes {
    limits: Limits,
    /// Bytes that they hold.
    bytes: usize,
    /// Closed for want of room since that was last asked for.
    closed_early: u64,
    open: BTreeMap<EpisodeKey, Episode>,
    /// When each is to be looked at, which is not after it closes: looking for the next one costs nothing, and a
    /// finding that keeps one open does not move it.
    closing: BTreeSet<(i64, EpisodeKey)>,
    joins: Joins,
    hits: Hits,
    /// Changes with each saving; episodes of the other phase are still to be written.
    phase: bool,
    saving: Option<Saving>,
}

impl Episodes {
    /// None open; keeps within `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Bytes that they hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many were closed for want of room since the last call.
    pub fn take_closed_early(&mut self) -> u64 {
        std::mem::take(&mut self.closed_early)
    }

    /// Open episodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// None open?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Does this finding belong to an episode that is open, rather than open one?
    #[must_use]
    pub fn goes_on(&self, spec: &Spec, finding: &Finding) -> bool {
        let key = (finding.tenant.clone(), spec.id.to_owned(), finding.key.clone());
        self.home_of(&key, finding).is_some()
    }

    /// Is a finding about sessions of which open alerts of other detectors tell already that they were hit?
    #[must_use]
    pub fn tell_hit(&self, spec: &Spec, finding: &Finding) -> bool {
        self.hits.tell(spec.id, finding)
    }

    /// Takes a finding that the event arriving at `detected_ms` proved, and appends the versions that
    /// it causes to `out`. Says whether that made an alert which counts for the circuit breaker: it opened one of
    /// such a severity, or raised one to it.
    pub fn apply(&mut self, spec: &Spec, mut finding: Finding, detected_ms: i64, out: &mut Vec<Alert>) -> bool {
        let own = (std::mem::take(&mut finding.tenant), spec.id.to_owned(), std::mem::take(&mut finding.key));
        for key in self.joins.told_under(&own).iter().chain([&own]) {
            if self.open.get(key).is_some_and(|episode| episode.is_over(&finding)) {
                self.close(key, false, detected_ms, out);
            }
        }
        let key = self.home_of(&own, &finding).unwrap_or_else(|| own.clone());
        self.write_early(&key);
        let joins = self.take_in(&own, &key);
        let severity = finding.severity;
        let before = self.open.get(&key).map(|episode| episode.alert.severity);
        match self.open.get_mut(&key) {
            Some(episode) => {
                let hit: Vec<String> = hit_sessions(&finding.subjects).map(str::to_owned).collect();
                let makes_version = episode.update(finding, &self.limits) || joins;
                // What found no room in the alert is not told.
                let is_told = |session: &&str| hit_sessions(&episode.alert.subjects).any(|told| told == *session);
                self.hits.add(&key, hit.iter().map(String::as_str).filter(is_told));
                let bytes = episode.count_bytes(&key);
                self.bytes = self.bytes - std::mem::replace(&mut episode.bytes, bytes) + bytes;
                if makes_version {
                    out.push(episode.version(&key, true, detected_ms));
                }
            }
            None => {
                let mut episode = Episode::open(spec, &key, finding, &self.limits);
                episode.phase = self.phase;
                if sabotaged!(AlertIdOfTheArrival) {
                    episode.alert.id = alert_id(&key, detected_ms);
                }
                out.push(episode.version(&key, true, detected_ms));
                self.insert(key, episode);
            }
        }
        while self.is_over_limits() && self.close_first(None, detected_ms, out) {}
        severity >= COUNTS_FROM && before.is_none_or(|before| before < COUNTS_FROM)
    }

    fn is_over_limits(&self) -> bool {
        self.open.len() > self.limits.episodes_max || self.bytes > self.limits.bytes_max
    }

    fn insert(&mut self, key: EpisodeKey, mut episode: Episode) {
        episode.listed_ms = episode.closes_at();
        episode.bytes = episode.count_bytes(&key);
        self.bytes += episode.bytes;
        self.closing.insert((episode.listed_ms, key.clone()));
        self.joins.add(&key, &episode);
        self.hits.add(&key, hit_sessions(&episode.alert.subjects));
        self.open.insert(key, episode);
    }

    /// Closes the episode that closes first: if it does so before `before_ms`, or, where that is not given, early.
    /// Says whether one did.
    fn close_first(&mut self, before_ms: Option<i64>, detected_ms: i64, out: &mut Vec<Alert>) -> bool {
        while let Some((listed_ms, key)) = self.closing.pop_first() {
            if before_ms.is_some_and(|before_ms| listed_ms >= before_ms) {
                self.closing.insert((listed_ms, key));
                return false;
            }
            let Some(episode) = self.open.get_mut(&key) else { continue };
            episode.listed_ms = episode.closes_at();
            if episode.listed_ms == listed_ms {
                self.close(&key, before_ms.is_none(), detected_ms, out);
                return true;
            }
            // It went on meanwhile.
            self.closing.insert((episode.listed_ms, key));
        }
        false
    }

    /// Event time up to which nothing closes.
    #[must_use]
    pub fn next_close_ms(&self) -> i64 {
        self.closing.first().map_or(i64::MAX, |(at, _)| *at)
    }

    /// Closes what the watermark has passed; the event arriving at `detected_ms` moved it.
    pub fn advance(&mut self, watermark_ms: i64, detected_ms: i64, out: &mut Vec<Alert>) {
        while self.close_first(Some(watermark_ms), detected_ms, out) {}
    }

    fn close(&mut self, key: &EpisodeKey, early: bool, detected_ms: i64, out: &mut Vec<Alert>) {
        self.write_early(key);
        if let Some(mut episode) = self.open.remove(key) {
            self.bytes -= episode.bytes;
            if early {
                self.closed_early += 1;
                episode.alert.evidence.insert(CLOSED_EARLY.into(), Plain::Bool(true));
            }
            self.closing.remove(&(episode.listed_ms, key.clone()));
            self.joins.remove(key, &episode);
            self.hits.remove(key, hit_sessions(&episode.alert.subjects));
            out.push(episode.version(key, false, detected_ms));
        }
    }
}
