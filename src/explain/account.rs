//! What one detector said, as people read it.

use crate::detect::engine::Account;
use bartizan_core::{Event, KeyKind, Said, Severity, Spec};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Was an event judged?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was.
    Judged,
    /// It came after its time had passed (`detect.lateness_ms`): stored, not judged.
    Late,
    /// It had come before.
    Repeated,
}

/// What a detector made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does not look at such events, or the event lacks what it goes by.
    NotConcerned,
    /// It looked, and nothing came near enough.
    Silent,
    /// It would have found something, but a gate speaks for innocence.
    HeldBack,
    /// It found something, and a suppression holds it back.
    Suppressed,
    /// It found something.
    Found,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NotConcerned => "not concerned",
            Self::Silent => "silent",
            Self::HeldBack => "held back",
            Self::Suppressed => "suppressed",
            Self::Found => "found",
        }
    }
}

/// One detector about the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetectorAccount {
    /// Id of the detector.
    pub detector: String,
    /// What it made of the event.
    pub verdict: Verdict,
    /// The key that it went by, e.g. `user`.
    #[schema(required)]
    pub by: Option<String>,
    /// The rule, limit or gate where it ended.
    #[schema(required)]
    pub gate: Option<String>,
    /// What an alert is about, or would have been.
    #[schema(required)]
    pub key: Option<String>,
    /// How bad it is, or would have been.
    #[schema(required, value_type = Option<String>, example = "medium")]
    pub severity: Option<Severity>,
    /// One sentence with the numbers.
    pub text: String,
    /// Id of the suppression that holds it back.
    #[schema(required)]
    pub suppression: Option<String>,
}

impl fmt::Display for DetectorAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20} {:<13}", self.detector, self.verdict.as_str())?;
        if let Some(gate) = &self.gate {
            write!(f, " [{gate}]")?;
        }
        if let Some(severity) = self.severity {
            write!(f, " {severity}")?;
        }
        if let Some(suppression) = &self.suppression {
            write!(f, " by {suppression}")?;
        }
        write!(f, " {}", self.text)
    }
}

/// An account of each detector about an event: of several things that it said what matters most.
pub(super) fn all(accounts: &[Account], specs: &[&'static Spec], event: &Event<'_>) -> Vec<DetectorAccount> {
    let of = |spec: &&'static Spec| {
        let own = accounts.iter().filter(|account| account.detector == spec.id);
        own.flat_map(of_key).max_by_key(|account| account.verdict).unwrap_or_else(|| not_concerned(spec, event))
    };
    specs.iter().map(of).collect()
}

fn of_key(account: &Account) -> Vec<DetectorAccount> {
    let base = DetectorAccount {
        detector: account.detector.to_owned(),
        verdict: Verdict::Silent,
        by: Some(account.key.as_str().to_owned()),
        gate: None,
        key: None,
        severity: None,
        text: "Nothing near a limit.".to_owned(),
        suppression: None,
    };
    let said = |said: &Said| match said {
        Said::Finding(finding) => DetectorAccount {
            verdict: if account.suppression.is_some() { Verdict::Suppressed } else { Verdict::Found },
            key: Some(finding.key.clone()),
            severity: Some(finding.severity),
            text: finding.reason.clone(),
            suppression: account.suppression.clone(),
            ..base.clone()
        },
        Said::Excuse(excuse) => DetectorAccount {
            verdict: Verdict::HeldBack,
            gate: Some(excuse.gate.to_owned()),
            key: Some(excuse.key.clone()),
            severity: Some(excuse.severity),
            text: excuse.reason.clone(),
            ..base.clone()
        },
        // The engine has joined halves already.
        Said::Half(..) | Said::OtherHalf(_) => base.clone(),
        Said::Remark(remark) => DetectorAccount { gate: Some(remark.gate.to_owned()), text: remark.text.clone(), ..base.clone() },
    };
    if account.said.is_empty() { vec![base] } else { account.said.iter().map(said).collect() }
}

fn not_concerned(spec: &Spec, event: &Event<'_>) -> DetectorAccount {
    let names = |keys: Vec<&KeyKind>| keys.into_iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
    let missing: Vec<&KeyKind> = spec.keys.iter().filter(|key| event.key(**key).is_none()).collect();
    let text = if missing.len() == spec.keys.len() {
        format!("It goes by {}, and the event has none.", names(missing))
    } else {
        format!("It does not look at events of kind {}, or has none of their keys to go by.", event.kind().as_str())
    };
    DetectorAccount {
        detector: spec.id.to_owned(),
        verdict: Verdict::NotConcerned,
        by: None,
        gate: None,
        key: None,
        severity: None,
        text,
        suppression: None,
    }
}
