//! Findings of one attacker under several keys are told in one alert.
//!
//! Whoever attacks from several addresses or networks, with what a detector counts for each of them by itself, would
//! open an alert for each. They are joined over what is the attacker's, never over what is the victims' or over time
//! alone: both show the same sign ([`Finding::sign`], the client that most tries use), *and* they begin together, or one
//! takes over where the other stops, or they go through the same names. A sign alone is not enough, as a tool has many
//! users; nor is it enough to be there at the same time. Where nothing is known of clients nothing is joined.
//!
//! The episode that opened first takes the others in: their findings count there, each hit is told there, and the
//! reason names them. What was joined once stays together while the episode is open.
//!
//! By the same measure, what a detector takes for a new attack of a key that was quiet for an hour is another alert,
//! unless it goes through the same names: a tool of many users comes again with another of them.

use super::Episodes;
use super::identity::EpisodeKey;
use super::versions::Episode;
use bartizan_core::time::{HOUR_MS, MINUTE_MS};
use bartizan_core::{EntityKind, Finding, Role, Subject};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Attacks begin together, or one takes over from the other, if so little lies between. The addresses of one attack
/// are dealt tries in turn, or one after the other when they are blocked.
const TOGETHER_MS: i64 = 10 * MINUTE_MS;
/// What is quiet for so many of its usual pauses has stopped.
const STOPPED_PAUSES: i64 = 5;
/// One of so many names tried in one or the other is tried in both, and at least so many are: by chance lists from one
/// directory share fewer.
const SHARED_PART: usize = 8;
const SHARED_MIN: usize = 4;
/// Quiet for so long, a key may come again with another attack.
const COMES_AGAIN_MS: i64 = HOUR_MS;
/// Keys that an episode takes in by name; with more of them the sign alone is enough.
const JOINED_MAX: usize = 64;
/// Episodes with the sign that are looked at, the latest first.
const LOOKED_AT_MAX: usize = 8;
/// Keys that are named in the reason.
const NAMED_MAX: usize = 3;

/// What the open episodes of one attacker are found by; it follows from the episodes alone.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// Tenant, detector and sign, when the episode opened, and its key.
    by_sign: BTreeSet<(String, String, u64, i64, String)>,
    /// The episode that each key which was taken in is told under.
    told_under: BTreeMap<EpisodeKey, String>,
}

impl Joins {
    /// Entries, of both kinds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_sign.len() + self.told_under.len()
    }

    pub(super) fn add(&mut self, (tenant, detector, key): &EpisodeKey, episode: &Episode) {
        if let Some(sign) = episode.sign {
            self.by_sign.insert((tenant.clone(), detector.clone(), sign, episode.opened_ms, key.clone()));
        }
        for joined in &episode.joined {
            self.told_under.insert((tenant.clone(), detector.clone(), joined.clone()), key.clone());
        }
    }

    pub(super) fn remove(&mut self, (tenant, detector, key): &EpisodeKey, episode: &Episode) {
        if let Some(sign) = episode.sign {
            self.by_sign.remove(&(tenant.clone(), detector.clone(), sign, episode.opened_ms, key.clone()));
        }
        for joined in &episode.joined {
            self.told_under.remove(&(tenant.clone(), detector.clone(), joined.clone()));
        }
    }

    /// The episode that this key was taken into.
    pub(super) fn told_under(&self, own: &EpisodeKey) -> Option<EpisodeKey> {
        let (tenant, detector, _) = own;
        self.told_under.get(own).map(|key| (tenant.clone(), detector.clone(), key.clone()))
    }

    /// Latest episodes with this sign.
    fn with_sign(&self, (tenant, detector, _): &EpisodeKey, sign: u64) -> impl Iterator<Item = EpisodeKey> {
        let bound = |at_ms| (tenant.clone(), detector.clone(), sign, at_ms, String::new());
        let latest = self.by_sign.range(bound(i64::MIN)..bound(i64::MAX)).rev().take(LOOKED_AT_MAX);
        latest.map(|(tenant, detector, _, _, key)| (tenant.clone(), detector.clone(), key.clone()))
    }
}

impl Episodes {
    /// The open episode that a finding of the key `own` belongs to: its own, or one that takes it in.
    pub(super) fn home_of(&self, own: &EpisodeKey, finding: &Finding) -> Option<EpisodeKey> {
        let open = |key: &EpisodeKey| self.open.get(key).filter(|episode| !episode.is_over(finding));
        if open(own).is_some() {
            return Some(own.clone());
        }
        let known = self.joins.told_under(own).filter(|key| open(key).is_some());
        known.or_else(|| self.joins.with_sign(own, finding.sign?).find(|key| open(key).is_some_and(|episode| episode.takes_in(finding))))
    }

    /// A key's findings are told under an episode from now on. True if that is worth a version: each doubling of the
    /// number of keys is.
    pub(super) fn take_in(&mut self, own: &EpisodeKey, home: &EpisodeKey) -> bool {
        let Some(episode) = self.open.get_mut(home).filter(|_| own != home) else { return false };
        if episode.joined.len() >= JOINED_MAX || episode.joined.contains(&own.2) {
            return false;
        }
        episode.joined.push(own.2.clone());
        self.joins.told_under.insert(own.clone(), home.2.clone());
        episode.joined.len().is_power_of_two()
    }
}

impl Episode {
    /// Was it over before this finding's attack, or quiet for so long that it is not the same?
    pub(super) fn is_over(&self, finding: &Finding) -> bool {
        let quiet_ms = finding.first_time_ms.saturating_sub(self.alert.last_ms);
        let comes_again = finding.sign.is_some() && quiet_ms > COMES_AGAIN_MS && !share_names(&self.alert.subjects, &finding.subjects);
        finding.time_ms > self.closes_at() || comes_again
    }

    /// Is a finding that shows the same sign about the same attack?
    fn takes_in(&self, finding: &Finding) -> bool {
        let alert = &self.alert;
        let starts_ms = finding.first_time_ms;
        let together = starts_ms.abs_diff(alert.first_ms) <= TOGETHER_MS as u64;
        let pause_ms = alert.last_ms.saturating_sub(alert.first_ms) / i64::try_from(alert.event_count.max(1)).unwrap_or(i64::MAX);
        let has_stopped = finding.time_ms.saturating_sub(alert.last_ms) >= pause_ms.saturating_mul(STOPPED_PAUSES);
        let takes_over = has_stopped && (0..=TOGETHER_MS).contains(&starts_ms.saturating_sub(alert.last_ms));
        together || takes_over || self.joined.len() >= JOINED_MAX || share_names(&alert.subjects, &finding.subjects)
    }

    /// The latest reason, with who else is told here.
    pub(super) fn reason(&self) -> String {
        let reason = &self.alert.reason;
        if self.joined.is_empty() {
            return reason.clone();
        }
        let named = self.joined.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = self.joined.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{reason} Part of one attack by the same client, with {named}{more}.")
    }
}

/// Do both go through the same names?
fn share_names(one: &[Subject], other: &[Subject]) -> bool {
    let names = |subjects: &'_ [Subject]| -> HashSet<String> {
        let victims = subjects.iter().filter(|subject| subject.kind == EntityKind::User && subject.role == Role::Victim);
        victims.map(|subject| subject.value.clone()).collect()
    };
    let (one, other) = (names(one), names(other));
    let shared = one.intersection(&other).count();
    shared >= SHARED_MIN && shared * SHARED_PART >= one.len() + other.len() - shared
}
