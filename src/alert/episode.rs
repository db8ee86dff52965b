//! Open episodes: the findings of one (tenant, detector, key) become the versions of one alert.
//!
//! An episode opens with its first finding and takes further findings while no more than the
//! detector's quiet gap lies between them. Its id is a hash of tenant, detector, key and start, fixed
//! when it opens; so the same events in the same order give the same ids anywhere. A version is cut
//! by what happens (opening, a higher severity, something more hit, each doubling of the count,
//! closing), never by batch, and closing follows the watermark of events, never a clock.
//!
//! Open episodes are part of the checkpoint, and saved piece by piece while they go on changing: one that is
//! about to change before it was written is written first. Lists are bounded: what was hit is kept, attempts are
//! cut at [`Limits::attempts_max`], and the detector's evidence says how many there really were.
//!
//! All of them together are bounded by number and by bytes. Beyond that the one that would close first, quiet for
//! the longest and so most likely over, is closed early. Nothing is lost by it: its last version names everything
//! that was hit, and says `closed_early`; an attack that goes on all the same opens another alert.

use super::model::{Alert, Attack, Entities, Status, campaign_key};
use crate::detect::breaker::COUNTS_FROM;
use bartizan_core::{Finding, Severity, Spec, Subject, TimeMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

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

/// Subjects of a campaign that were hit, where [`Limits::hits_max`] allows more: all are counted, and told in the ledger.
const CAMPAIGN_HITS_MAX: usize = 1_000;
/// A campaign has a new version when its hits grew by one in so many; a version for each would be one for each finding.
const CAMPAIGN_HITS_SHARE: usize = 4;
/// Member of the evidence of an alert that was closed for want of room.
const CLOSED_EARLY: &str = "closed_early";

type EpisodeKey = (String, String, String);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Episode {
    /// The alert's fixed members and the newest text; `evidence` and the lists are kept beside it.
    alert: AlertState,
    quiet_gap_ms: i64,
    next_count: u64,
    hits: usize,
    /// So many hits make the next version.
    next_hits: usize,
    /// Does it stand for many that a circuit breaker folded?
    is_campaign: bool,
    /// The phase in which it was written, or opened.
    #[serde(skip)]
    phase: bool,
    /// Its time in [`Episodes::closing`].
    #[serde(skip)]
    listed_ms: i64,
    /// Its part of [`Episodes::bytes`].
    #[serde(skip)]
    bytes: usize,
}

/// A number or text of the evidence, in a form that the checkpoint's encoding, which does not describe itself, reads back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Plain {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// Anything else, as JSON.
    Other(String),
}

impl From<Value> for Plain {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::String(text) => Self::Text(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Self::Unsigned(number),
                (None, Some(number), _) => Self::Signed(number),
                (None, None, Some(number)) => Self::Float(number),
                (None, None, None) => Self::Other(number.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}

impl Plain {
    /// Bytes of its text, if it has one.
    fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Other(text) => text_bytes(text),
            Self::Bool(_) | Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => 0,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Unsigned(number) => (*number).into(),
            Self::Signed(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Other(json) => serde_json::from_str(json).unwrap_or_default(),
        }
    }
}

/// What an open alert needs in order to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AlertState {
    id: String,
    version: u32,
    title: String,
    severity: Severity,
    confidence: f32,
    first_ms: i64,
    last_ms: i64,
    event_count: u64,
    reason: String,
    evidence: BTreeMap<Cow<'static, str>, Plain>,
    #[serde(with = "plain_subjects")]
    subjects: Vec<Subject>,
    attempts: usize,
    ids_head: Vec<String>,
    ids_hit: Vec<String>,
    ids_tail: Vec<String>,
    actions: Vec<bartizan_core::Action>,
    attack: Vec<(String, String)>,
}

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
    /// Changes with each saving; episodes of the other phase are still to be written.
    phase: bool,
    saving: Option<Saving>,
}

/// Episodes that are being saved.
#[derive(Debug, Default)]
struct Saving {
    /// Those up to this one are written.
    after: Option<EpisodeKey>,
    /// Episodes written before their turn, and not taken yet.
    early: Vec<u8>,
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
        self.open.get(&key).is_some_and(|episode| finding.time_ms <= episode.closes_at())
    }

    /// Takes a finding that the event arriving at `detected_ms` proved, and appends the versions that
    /// it causes to `out`. Says whether that made an alert which counts for the circuit breaker: it opened one of
    /// such a severity, or raised one to it.
    pub fn apply(&mut self, spec: &Spec, mut finding: Finding, detected_ms: i64, out: &mut Vec<Alert>) -> bool {
        let key = (std::mem::take(&mut finding.tenant), spec.id.to_owned(), std::mem::take(&mut finding.key));
        if let Some(episode) = self.open.get(&key)
            && finding.time_ms > episode.closes_at()
        {
            self.close(&key, false, detected_ms, out);
        }
        self.write_early(&key);
        let severity = finding.severity;
        let before = self.open.get(&key).map(|episode| episode.alert.severity);
        match self.open.get_mut(&key) {
            Some(episode) => {
                let makes_version = episode.update(finding, &self.limits);
                let bytes = episode.count_bytes(&key);
                self.bytes = self.bytes - std::mem::replace(&mut episode.bytes, bytes) + bytes;
                if makes_version {
                    out.push(episode.version(&key, true, detected_ms));
                }
            }
            None => {
                let mut episode = Episode { phase: self.phase, ..Episode::open(spec, &key, finding, &self.limits) };
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
            out.push(episode.version(key, false, detected_ms));
        }
    }

    /// Begins to save the episodes that are open now; they follow by [`Self::save_some`].
    pub fn begin_save(&mut self) -> usize {
        if self.saving.is_some() {
            // It is given up; the rest counts as written.
            self.open.values_mut().for_each(|episode| episode.phase = self.phase);
        }
        self.phase = !self.phase;
        self.saving = Some(Saving::default());
        self.open.len()
    }

    /// Appends what changed since the last call, as it was at the beginning, and then up to
    /// `episodes_max` further episodes. True when that was all, and when nothing is being saved.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn save_some(&mut self, episodes_max: usize, out: &mut Vec<u8>) -> Result<bool, postcard::Error> {
        let Some(saving) = &mut self.saving else { return Ok(true) };
        out.append(&mut saving.early);
        let from = saving.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.open.range_mut((from, Bound::Unbounded));
        let mut last = None;
        for (key, episode) in rest.by_ref().take(episodes_max) {
            if episode.phase != self.phase {
                write(key, episode, out)?;
                episode.phase = self.phase;
            }
            last = Some(key);
        }
        let done = rest.next().is_none();
        if done {
            self.saving = None;
        } else if let Some(last) = last {
            saving.after = Some(last.clone());
        }
        Ok(done)
    }

    /// Writes an episode that is about to change, if its turn has not come.
    fn write_early(&mut self, key: &EpisodeKey) {
        if let (Some(saving), Some(episode)) = (&mut self.saving, self.open.get_mut(key))
            && episode.phase != self.phase
        {
            if let Err(error) = write(key, episode, &mut saving.early) {
                debug_assert!(false, "an episode does not serialise: {error}");
            }
            episode.phase = self.phase;
        }
    }

    /// Takes saved episodes, in any order.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn load_some(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let ((key, mut episode), after): ((EpisodeKey, Episode), _) = postcard::take_from_bytes(rest)?;
            rest = after;
            episode.phase = self.phase;
            self.insert(key, episode);
        }
        Ok(())
    }
}

fn write(key: &EpisodeKey, episode: &Episode, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    *out = postcard::to_extend(&(key, episode), std::mem::take(out))?;
    Ok(())
}

impl Episode {
    fn open(spec: &Spec, key: &EpisodeKey, finding: Finding, limits: &Limits) -> Self {
        let alert = AlertState {
            id: alert_id(key, finding.first_time_ms),
            version: 0,
            title: String::new(),
            severity: finding.severity,
            confidence: 0.0,
            first_ms: finding.first_time_ms,
            last_ms: finding.time_ms,
            event_count: 0,
            reason: String::new(),
            evidence: BTreeMap::new(),
            subjects: Vec::new(),
            attempts: 0,
            ids_head: Vec::new(),
            ids_hit: Vec::new(),
            ids_tail: Vec::new(),
            actions: Vec::new(),
            attack: spec.attack.iter().map(|(tactic, technique)| ((*tactic).to_owned(), (*technique).to_owned())).collect(),
        };
        let mut episode = Self {
            alert,
            quiet_gap_ms: spec.quiet_gap_ms,
            next_count: 0,
            hits: 0,
            next_hits: 0,
            is_campaign: key.2 == campaign_key(spec.id),
            phase: false,
            listed_ms: 0,
            bytes: 0,
        };
        episode.update(finding, limits);
        episode
    }

    fn closes_at(&self) -> i64 {
        self.alert.last_ms.saturating_add(self.quiet_gap_ms)
    }

    /// Bytes that it takes, by what is in it: the same whether it grew here or was loaded.
    fn count_bytes(&self, (tenant, detector, name): &EpisodeKey) -> usize {
        let alert = &self.alert;
        let texts = |texts: [&String; 3]| texts.iter().map(|text| text_bytes(text)).sum::<usize>();
        let ids = [&alert.ids_head, &alert.ids_hit, &alert.ids_tail].map(|ids| list_bytes(ids, |id| text_bytes(id)));
        let evidence = alert.evidence.iter();
        let evidence = evidence.map(|(name, value)| size_of::<(Cow<'_, str>, Plain)>() + text_bytes(name) + value.text_bytes());
        // The key stands in both maps.
        let keys = 2 * (size_of::<EpisodeKey>() + texts([tenant, detector, name]));
        let subjects = list_bytes(&alert.subjects, |subject| text_bytes(&subject.value));
        let attack = list_bytes(&alert.attack, |(tactic, technique)| text_bytes(tactic) + text_bytes(technique));
        let lists = subjects + attack + list_bytes(&alert.actions, |_| 0) + ids.iter().sum::<usize>();
        size_of::<Self>() + keys + texts([&alert.id, &alert.title, &alert.reason]) + lists + evidence.sum::<usize>()
    }

    /// Joins a finding; true if it makes a new version.
    fn update(&mut self, finding: Finding, limits: &Limits) -> bool {
        let hits_max = if self.is_campaign { limits.hits_max.min(CAMPAIGN_HITS_MAX) } else { limits.hits_max };
        let limits = &Limits { hits_max, ..*limits };
        let alert = &mut self.alert;
        let rises = finding.severity > alert.severity;
        alert.event_count += finding.event_count;
        alert.first_ms = alert.first_ms.min(finding.first_time_ms);
        alert.last_ms = alert.last_ms.max(finding.time_ms);
        alert.confidence = alert.confidence.max(finding.confidence);
        // The text belongs to the worst that was found; later findings of the same weight renew it.
        if finding.severity >= alert.severity {
            (alert.title, alert.reason, alert.severity) = (finding.title, finding.reason, finding.severity);
        }
        alert.evidence.extend(finding.evidence.into_iter().map(|(name, value)| (name, value.into())));
        for action in finding.actions {
            if !alert.actions.contains(&action) {
                alert.actions.push(action);
            }
        }
        let new_hits = alert.merge_subjects(finding.subjects, limits);
        self.hits += new_hits;
        alert.merge_ids(finding.event_ids, new_hits > 0, limits.event_ids_each_max);
        let doubled = alert.event_count >= self.next_count;
        if doubled {
            self.next_count = alert.event_count.saturating_mul(2);
        }
        let makes_version = rises || doubled || (new_hits > 0 && self.hits >= self.next_hits);
        if makes_version {
            self.next_hits = self.hits + if self.is_campaign { self.hits / CAMPAIGN_HITS_SHARE } else { 0 } + 1;
        }
        makes_version
    }

    fn version(&mut self, key: &EpisodeKey, ongoing: bool, detected_ms: i64) -> Alert {
        let alert = &mut self.alert;
        alert.version += u32::from(!sabotaged!(VersionNotCounted) || alert.version == 0);
        Alert {
            id: alert.id.clone(),
            version: alert.version,
            detector: key.1.clone(),
            title: alert.title.clone(),
            severity: alert.severity,
            confidence: alert.confidence,
            status: Status::Open,
            disposition: None,
            assignee: None,
            tenant: key.0.clone(),
            key: key.2.clone(),
            ongoing,
            first_event_time: TimeMs(alert.first_ms),
            last_event_time: TimeMs(alert.last_ms),
            detected_time: TimeMs(detected_ms),
            event_count: alert.event_count,
            entities: Entities::of(&alert.subjects),
            subjects: alert.subjects.clone(),
            reason: alert.reason.clone(),
            evidence: alert.evidence.iter().map(|(name, value)| (name.clone().into_owned(), value.to_json())).collect(),
            event_ids: alert.event_ids(),
            attack: alert
                .attack
                .iter()
                .map(|(tactic, technique)| Attack { tactic: tactic.clone(), technique: technique.clone() })
                .collect(),
            actions: alert.actions.clone(),
            incident: None,
        }
    }
}

impl AlertState {
    /// Joins subjects and returns how many were hit that had not been.
    fn merge_subjects(&mut self, newer: Vec<Subject>, limits: &Limits) -> usize {
        let mut hits = 0;
        for subject in newer {
            match self.subjects.iter_mut().find(|known| known.kind == subject.kind && known.value == subject.value) {
                Some(known) if subject.hit && !known.hit => {
                    (known.hit, known.role) = (true, subject.role);
                    hits += 1;
                }
                Some(_) => {}
                None if subject.hit => {
                    hits += 1;
                    if self.subjects.len() < limits.hits_max.saturating_add(self.attempts) {
                        self.subjects.push(subject);
                    }
                }
                None if self.attempts < limits.attempts_max => {
                    self.attempts += 1;
                    self.subjects.push(subject);
                }
                None => {}
            }
        }
        hits
    }

    fn merge_ids(&mut self, newer: Vec<String>, hit: bool, each_max: usize) {
        for id in newer {
            if hit && self.ids_hit.len() < each_max {
                self.ids_hit.push(id);
            } else if self.ids_head.len() < each_max {
                self.ids_head.push(id);
            } else {
                if self.ids_tail.len() >= each_max {
                    self.ids_tail.remove(0);
                }
                self.ids_tail.push(id);
            }
        }
    }

    fn event_ids(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.ids_head.iter().chain(&self.ids_hit).chain(&self.ids_tail).filter(|id| seen.insert(*id)).cloned().collect()
    }
}

/// Subjects without the omissions of their JSON form, which the checkpoint's encoding cannot read back.
mod plain_subjects {
    use bartizan_core::{EntityKind, Role, Subject};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(subjects: &[Subject], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(subjects.iter().map(|subject| (subject.kind, &subject.value, subject.role, subject.hit)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Subject>, D::Error> {
        let plain = Vec::<(EntityKind, String, Role, bool)>::deserialize(deserializer)?;
        Ok(plain.into_iter().map(|(kind, value, role, hit)| Subject { kind, value, role, hit }).collect())
    }
}

/// Bytes of a text on the heap, with what the heap itself takes.
const fn text_bytes(text: &str) -> usize {
    text.len() + 16
}

/// Bytes of a list that grew by doubling, with what its items hold beside themselves.
fn list_bytes<T>(list: &[T], held: impl Fn(&T) -> usize) -> usize {
    list.len().next_power_of_two() * size_of::<T>() + list.iter().map(held).sum::<usize>()
}

fn alert_id((tenant, detector, key): &EpisodeKey, start_ms: i64) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, detector, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(start_ms.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(digest.split_at(16).0);
    bartizan_core::TokenHash(id).to_hex()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use bartizan_core::{EntityKind, Role};

    #[test]
    fn evidence_of_any_shape_survives_a_checkpoint() {
        let values = serde_json::json!([true, 0, u64::MAX, -5, 0.25, 3.0, "text", null, [1, {"a": 2}]]);
        for value in values.as_array().unwrap() {
            let plain = Plain::from(value.clone());
            let read: Plain = postcard::from_bytes(&postcard::to_allocvec(&plain).unwrap()).unwrap();
            assert_eq!(read.to_json().to_string(), value.to_string());
        }
    }

    fn spec() -> &'static Spec {
        bartizan_catalogue::find("credential_stuffing").unwrap()
    }

    fn finding(time_ms: i64, severity: Severity, victim: &str, hit: bool) -> Finding {
        let victim = Subject::new(EntityKind::User, victim, Role::Victim);
        Finding {
            tenant: "acme".into(),
            key: "ip:203.0.113.7".into(),
            title: "Credential stuffing".into(),
            reason: format!("at {time_ms}"),
            severity,
            confidence: 0.5,
            first_time_ms: time_ms,
            time_ms,
            event_count: 1,
            evidence: vec![("users".into(), 3.into()), ("share".into(), 0.5.into())],
            subjects: vec![if hit { victim.hit() } else { victim }],
            event_ids: vec![format!("e{time_ms}")],
            actions: Vec::new(),
        }
    }

    #[test]
    fn versions_are_cut_by_what_happens() {
        let (mut episodes, mut out) = (Episodes::default(), Vec::new());
        for time_ms in 1..=8 {
            episodes.apply(spec(), finding(time_ms, Severity::Medium, &format!("u{time_ms}"), false), time_ms, &mut out);
        }
        let counts: Vec<_> = out.iter().map(|alert| (alert.version, alert.event_count)).collect();
        assert_eq!(counts, [(1, 1), (2, 2), (3, 4), (4, 8)], "opening and each doubling");
        episodes.apply(spec(), finding(9, Severity::Medium, "u1", true), 9, &mut out);
        assert!(out[4].subjects[0].hit, "something more was hit");
        episodes.apply(spec(), finding(10, Severity::Critical, "u1", true), 10, &mut out);
        assert_eq!((out[5].version, out[5].severity), (6, Severity::Critical));
        episodes.advance(10 + spec().quiet_gap_ms, 11, &mut out);
        assert_eq!(out.len(), 6, "quiet for no longer than the gap");
        episodes.advance(11 + spec().quiet_gap_ms, 12, &mut out);
        assert!(!out[6].ongoing && episodes.is_empty());
    }

    #[test]
    fn a_late_event_does_not_rename_and_a_new_wave_does() {
        let (mut episodes, mut out) = (Episodes::default(), Vec::new());
        let gap = spec().quiet_gap_ms;
        episodes.apply(spec(), finding(1_000, Severity::Medium, "u1", false), 0, &mut out);
        episodes.apply(spec(), finding(500, Severity::Medium, "u2", false), 0, &mut out);
        assert_eq!(out[0].id, out[1].id);
        assert_eq!(out[1].first_event_time, TimeMs(500));
        episodes.apply(spec(), finding(1_001 + gap, Severity::Medium, "u3", false), 0, &mut out);
        assert!(!out[2].ongoing && out[3].version == 1 && out[3].id != out[0].id);
    }

    /// With so little room.
    fn small(bytes_max: usize) -> Episodes {
        Episodes::new(Limits { bytes_max, ..Limits::default() })
    }

    /// What is held, counted anew.
    fn counted(episodes: &Episodes) -> usize {
        episodes.open.iter().map(|(key, episode)| episode.count_bytes(key)).sum()
    }

    fn hits(alerts: &[Alert]) -> BTreeSet<String> {
        let subjects = alerts.iter().flat_map(|alert| &alert.subjects).filter(|subject| subject.hit);
        subjects.map(|subject| subject.value.clone()).collect()
    }

    #[test]
    fn bytes_are_bounded_and_the_quietest_makes_room() {
        let (mut episodes, mut out) = (small(20_000), Vec::new());
        for time_ms in 1..=500 {
            let finding = finding(time_ms, Severity::High, &format!("u{time_ms}"), true);
            episodes.apply(spec(), Finding { key: format!("ip:{}", time_ms / 10), ..finding }, time_ms, &mut out);
            assert!(episodes.bytes() <= 20_000 && episodes.bytes() == counted(&episodes), "{}", episodes.bytes());
        }
        assert!(episodes.len() > 2, "there is room for some");
        let closed: Vec<_> = out.iter().filter(|alert| !alert.ongoing).collect();
        assert_eq!(episodes.take_closed_early(), closed.len() as u64);
        assert_eq!(episodes.take_closed_early(), 0);
        assert!(closed.len() > 20 && closed.iter().all(|alert| alert.evidence["closed_early"] == true));
        assert!(closed.is_sorted_by_key(|alert| alert.last_event_time), "the one that was quiet for longest goes first");
        assert_eq!(hits(&out).len(), 500, "what was hit is named all the same");
        let before = closed.len();
        episodes.advance(i64::MAX, 501, &mut out);
        assert_eq!((episodes.bytes(), episodes.take_closed_early()), (0, 0));
        let rest: Vec<_> = out.iter().filter(|alert| !alert.ongoing).skip(before).collect();
        assert!(rest.iter().all(|alert| !alert.evidence.contains_key("closed_early")), "these were over");
    }

    #[test]
    fn one_that_is_larger_than_all_may_be_goes_on_as_another() {
        let (mut episodes, mut out) = (small(5_000), Vec::new());
        for time_ms in 1..=200 {
            episodes.apply(spec(), finding(time_ms, Severity::High, &format!("u{time_ms}"), true), time_ms, &mut out);
            assert!(episodes.bytes() <= 5_000);
        }
        let ids: BTreeSet<_> = out.iter().map(|alert| &alert.id).collect();
        assert!(ids.len() > 2 && episodes.take_closed_early() == ids.len() as u64 - episodes.len() as u64);
        assert_eq!(hits(&out).len(), 200);
    }

    #[test]
    fn a_smaller_limit_holds_from_the_next_finding_on() {
        let (mut one, mut out) = (Episodes::default(), Vec::new());
        for time_ms in 1..=100 {
            let finding = finding(time_ms, Severity::Low, "u1", false);
            one.apply(spec(), Finding { key: format!("ip:{time_ms}"), ..finding }, time_ms, &mut out);
        }
        let bytes = {
            let mut bytes = Vec::new();
            one.begin_save();
            while !one.save_some(3, &mut bytes).unwrap() {}
            bytes
        };
        let mut two = small(one.bytes() / 2);
        two.load_some(&bytes).unwrap();
        assert_eq!((two.len(), two.bytes()), (100, one.bytes()), "held bytes are counted when loading");
        two.apply(spec(), finding(101, Severity::Low, "u1", false), 101, &mut out);
        assert!(two.bytes() <= one.bytes() / 2 && two.len() > 40);
    }

    #[test]
    fn lists_of_one_alert_are_bounded() {
        let limits = Limits { hits_max: 3, attempts_max: 2, event_ids_each_max: 2, ..Limits::default() };
        let (mut episodes, mut out) = (Episodes::new(limits), Vec::new());
        for time_ms in 1..=20 {
            let finding = finding(time_ms, Severity::High, &format!("u{time_ms}"), time_ms > 10);
            episodes.apply(spec(), finding, time_ms, &mut out);
        }
        let last = out.last().unwrap();
        assert_eq!((last.subjects.len(), hits(&out).len()), (5, 3), "attempts take no room from hits");
        assert_eq!(last.event_ids, ["e1", "e2", "e11", "e12", "e19", "e20"]);
    }

    /// Saves with changes after each piece, and loads what came out.
    fn saved(episodes: &mut Episodes, mut change: impl FnMut(&mut Episodes)) -> Episodes {
        let count = episodes.begin_save();
        let mut bytes = Vec::new();
        loop {
            change(episodes);
            if episodes.save_some(3, &mut bytes).unwrap() {
                break;
            }
        }
        let mut loaded = Episodes::new(episodes.limits);
        loaded.load_some(&bytes).unwrap();
        assert_eq!(loaded.len(), count);
        loaded
    }

    #[test]
    fn a_loaded_copy_goes_on_like_the_original() {
        goes_on_like_the_original(usize::MAX);
        for bytes_max in [2_000, 10_000, 20_000, 30_000] {
            goes_on_like_the_original(bytes_max);
        }
    }

    fn goes_on_like_the_original(bytes_max: usize) {
        let (mut one, mut out) = (small(bytes_max), Vec::new());
        for time_ms in 1..=50 {
            let finding = finding(time_ms, Severity::Medium, &format!("u{time_ms}"), time_ms % 3 == 0);
            one.apply(spec(), Finding { key: format!("ip:{}", time_ms % 20), ..finding }, time_ms, &mut out);
        }
        // What happens while it is saved happens to the copy afterwards.
        let later = |n: i64| {
            let finding = finding(60 + n, if n % 2 == 0 { Severity::Critical } else { Severity::Low }, "u1", true);
            Finding { key: format!("ip:{}", n * 7 % 25), ..finding }
        };
        let (mut first, mut second, mut n) = (Vec::new(), Vec::new(), 0);
        let mut two = saved(&mut one, |episodes| {
            n += 1;
            episodes.apply(spec(), later(n), 60, &mut first);
            episodes.advance(n + spec().quiet_gap_ms, 60, &mut first);
        });
        for n in 1..=n {
            two.apply(spec(), later(n), 60, &mut second);
            two.advance(n + spec().quiet_gap_ms, 60, &mut second);
        }
        assert!((n > 5 || bytes_max < usize::MAX) && !first.is_empty());
        assert_eq!((one.bytes(), counted(&one)), (two.bytes(), counted(&two)));
        one.advance(i64::MAX, 61, &mut first);
        two.advance(i64::MAX, 61, &mut second);
        assert_eq!(first, second);
    }
}
