//! What a detector says: a finding, with its numbers.
//!
//! Findings are rare, so they own their strings. A finding names an episode key; the alert layer
//! joins the findings of one episode into one alert.

use crate::common::Report;
use crate::event::{Event, names};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

names! {
    /// How bad it is.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Context worth keeping.
        Low = "low",
        /// An attempt.
        Medium = "medium",
        /// One account or session hit.
        High = "high",
        /// A hit that was used, or a campaign with hits.
        Critical = "critical",
    }
}

names! {
    /// The part that someone or something played.
    Role {
        /// Attacks.
        Attacker = "attacker",
        /// Is attacked.
        Victim = "victim",
        /// An office's or a carrier's address that many share.
        Shared = "shared",
    }
}

names! {
    /// What a subject is.
    EntityKind {
        /// A user.
        User = "user",
        /// An address.
        Ip = "ip",
        /// A session.
        Session = "session",
        /// A device.
        Device = "device",
        /// A network: `AS64496` or a CIDR.
        Network = "network",
        /// A token's public handle, or `hash:` and its keyed hash.
        Token = "token",
    }
}

names! {
    /// What a machine may do about it.
    Action {
        /// End the sessions that the alert names as hit.
        RevokeSessions = "revoke_sessions",
        /// Revoke the token or its family.
        RevokeTokens = "revoke_tokens",
        /// Ask for a new sign-in with a second factor.
        StepUp = "step_up",
    }
}

/// Someone or something that took part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntityKind,
    /// Its name.
    pub value: String,
    /// Its part.
    pub role: Role,
    /// Was it hit: a success, a stolen session?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hit: bool,
}

impl Subject {
    /// A subject that was not hit.
    pub fn new(kind: EntityKind, value: impl ToString, role: Role) -> Self {
        Self { kind, value: value.to_string(), role, hit: false }
    }

    /// The same subject, hit.
    #[must_use]
    pub fn hit(mut self) -> Self {
        self.hit = true;
        self
    }
}

/// One thing that a detector found, at the event that proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Tenant.
    pub tenant: String,
    /// The attacked or attacking key, e.g. `ip:203.0.113.7`; findings with the same detector, tenant
    /// and key belong to one episode while no more than the detector's quiet gap lies between them.
    pub key: String,
    /// What it is, in a few words, without numbers that change.
    pub title: String,
    /// One sentence with the numbers and the limits that they passed.
    pub reason: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure, from 0 to 1.
    pub confidence: f32,
    /// Event time of the first event that belongs to it.
    pub first_time_ms: i64,
    /// Event time of the event that proves it.
    pub time_ms: i64,
    /// Events that belong to this finding and to no earlier one of the episode.
    pub event_count: u64,
    /// Numbers and limits by name. The latest value of a name stands.
    pub evidence: Vec<(Cow<'static, str>, Value)>,
    /// Who took part.
    pub subjects: Vec<Subject>,
    /// Ids of events that show it, the deciding one last.
    pub event_ids: Vec<String>,
    /// What a machine may do.
    pub actions: Vec<Action>,
    /// What the attacker shows from wherever it comes, like its client, as a number that means nothing elsewhere. Findings
    /// of one detector that show the same under several keys may be about one attack; without it they never are.
    pub sign: Option<u64>,
}

/// The key of what is about an event's user.
#[must_use]
pub fn user_key(event: &Event<'_>) -> String {
    format!("user:{}", event.user().unwrap_or_default())
}

/// The names of those pieces that are there, for a sentence.
#[must_use]
pub fn names_of(pieces: &[(bool, &str)]) -> String {
    pieces.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

impl Finding {
    /// A finding about `event` under the episode `key`; the caller adds evidence and subjects.
    #[must_use]
    pub fn new(event: &Event<'_>, key: String, severity: Severity) -> Self {
        Self {
            tenant: event.tenant().to_owned(),
            key,
            title: String::new(),
            reason: String::new(),
            severity,
            confidence: 0.5,
            first_time_ms: event.time_ms(),
            time_ms: event.time_ms(),
            event_count: 1,
            evidence: Vec::new(),
            subjects: Vec::new(),
            event_ids: vec![event.id().to_owned()],
            actions: Vec::new(),
            sign: None,
        }
    }

    /// Adds a number or text to the evidence.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.evidence.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// Adds a subject once; a hit stays a hit.
    pub fn involve(&mut self, subject: Subject) -> &mut Self {
        let known = self.subjects.iter_mut().find(|s| s.kind == subject.kind && s.value == subject.value);
        match known {
            Some(known) => known.hit |= subject.hit,
            None => self.subjects.push(subject),
        }
        self
    }
}

/// How far a sign-in is believed to be its person's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Somebody else's.
    Stranger,
    /// Perhaps somebody else's.
    Doubtful,
    /// Nothing speaks against it.
    #[default]
    Full,
}

/// What would have been a finding, but for something that speaks for its innocence. It goes into the ledger of what
/// was held back, so that nothing is hid without a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Excuse {
    /// What spoke for it, e.g. `own_client`.
    pub gate: &'static str,
    /// What the alert would have been about.
    pub key: String,
    /// How bad it would have been.
    pub severity: Severity,
    /// One sentence: what was seen, and why it is no finding.
    pub reason: String,
}

/// What a detector thought of an event that gave it nothing to say; told only to who asks about the event.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// The rule, limit or gate where it ended, e.g. `below_limit`.
    pub gate: &'static str,
    /// One sentence with its numbers.
    pub text: String,
}

/// Gate of what was [half of a finding](Findings::push_beside), and stayed it.
pub const HALF_PROVED: &str = "half_proved";

/// What a detector said of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It found something.
    Finding(Finding),
    /// It found half of something: it counts where the same detector, for another of the event's keys, excuses it by
    /// this gate or says the [other half](Self::OtherHalf). Neither half is enough by itself.
    Half(Finding, &'static str),
    /// What it knows of the event bears such a half out, and is nothing to tell by itself.
    OtherHalf(&'static str),
    /// It would have.
    Excuse(Excuse),
    /// It did not, and was asked why.
    Remark(Remark),
}

impl Said {
    /// What a half comes to, by all that its detector said of the event: a finding, or an excuse by [`HALF_PROVED`].
    #[must_use]
    pub fn joined<'a>(self, mut of_event: impl Iterator<Item = &'a Self>) -> Self {
        let Self::Half(finding, gate) = self else { return self };
        let bears_out = |said: &Self| match said {
            Self::Excuse(excuse) => excuse.gate == gate,
            Self::OtherHalf(other) => *other == gate,
            _ => false,
        };
        if of_event.any(bears_out) {
            return Self::Finding(finding);
        }
        let Finding { key, severity, reason, .. } = finding;
        Self::Excuse(Excuse { gate: HALF_PROVED, key, severity, reason })
    }
}

/// Where detectors say what they have to say. The runner knows which detector and event it is called for.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Said>,
    trust: Trust,
    asked: bool,
    reports: Vec<Report>,
}

impl Findings {
    /// Sets how far the event is believed, whatever was said: full before the first detector looks at it, and what it
    /// was before where a detector's doubt does not count.
    pub fn believe(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Says how far the event may be learnt as its person's. What the most doubtful detector says stands. It counts
    /// only from detectors that [go by people](crate::Detector::goes_by_people), and for the key of people.
    pub fn doubt(&mut self, trust: Trust) {
        self.trust = self.trust.min(trust);
    }

    /// What was said of this event so far.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(Said::Finding(finding));
    }

    /// Adds one that counts only beside an excuse of the same detector by `gate` about the same event, or beside what
    /// [bears it out](Self::bear_out), under whatever key: what two keys each hold to be too little.
    pub fn push_beside(&mut self, gate: &'static str, finding: Finding) {
        self.list.push(Said::Half(finding, gate));
    }

    /// Bears out what another key of the same event may hold to be half of something; alone it is nothing.
    pub fn bear_out(&mut self, gate: &'static str) {
        self.list.push(Said::OtherHalf(gate));
    }

    /// Adds what would have been one.
    pub fn excuse(&mut self, gate: &'static str, key: String, severity: Severity, reason: String) {
        self.list.push(Said::Excuse(Excuse { gate, key, severity, reason }));
    }

    /// Asks for remarks, or for none: they are made for the few events that somebody wants explained.
    pub fn ask(&mut self, asked: bool) {
        self.asked = asked;
    }

    /// Does anybody ask for remarks? What is done to make them is spared elsewhere; what is found and remembered does not
    /// depend on it.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Says why nothing was found, if anybody asks.
    pub fn remark(&mut self, gate: &'static str, text: impl FnOnce() -> String) {
        if self.asked {
            self.list.push(Said::Remark(Remark { gate, text: text() }));
        }
    }

    /// Says something for the [common part](crate::common) of the detector.
    pub fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// Takes what was reported since the last call.
    pub fn reports(&mut self) -> std::vec::Drain<'_, Report> {
        self.reports.drain(..)
    }

    /// Takes what was said since the last call.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Said> {
        self.list.drain(..)
    }

    /// Anything said or reported since the last call?
    #[must_use]
    pub fn has_news(&self) -> bool {
        !(self.list.is_empty() && self.reports.is_empty())
    }

    /// Nothing said?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
