//! What an attacker added to an account, or changed in it, as the events that an alert names show it.
//!
//! Only what such an event shows is proposed to be taken back, so each [`Added`] stands for one event. Few logs name
//! the factor itself; then it is the one that was made about the time of that event: not before the attacker signed
//! in, where that is known, and not after the event, as that may be its owner's again. The former mail address is
//! personal data: it is in the order, where it has to be, and nowhere else. What is shown of it is its first letter
//! and its domain.

use super::order::ActionKind;
use super::subjects::SessionFacts;
use crate::alert::Alert;
use bartizan_core::time::MINUTE_MS;
use bartizan_core::{Event, Kind, Outcome, TimeMs, UserKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A form for a new factor is filled in so long before its event at most.
const FORM_MS: i64 = 2 * MINUTE_MS;
/// Length of the id of a factor or key in bytes.
const ID_BYTES_MAX: usize = 256;
/// Length of a mail address in bytes (RFC 5321, section 4.5.3.1.3, without the angle brackets).
const EMAIL_BYTES_MAX: usize = 254;

/// A mail address, which no log shows whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// An address as an event has it; `None` if it is none that can be set at a provider.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        let is_odd = text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
        (!local.is_empty() && !domain.is_empty() && text.len() <= EMAIL_BYTES_MAX && !is_odd).then(|| Self(text.to_owned()))
    }

    /// The whole address, for the one who sets it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Enough to know it again: `a…@example.org`.
    #[must_use]
    pub fn shown(&self) -> String {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or_default();
        format!("{}…@{domain}", local.chars().next().unwrap_or_default())
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.shown())
    }
}

/// What is to be taken back, as an order tells it: members that do not belong to its action, or are not known, are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// What was there before is not the attacker's.
    pub since: TimeMs,
    /// Kind of the factor, as events name it: `totp`, `webauthn` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<String>,
    /// The provider's own id of the factor or key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The client that was given access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The address that was put in place of the former one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// The address to be put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_email: Option<Email>,
}

impl Added {
    fn at(time_ms: i64) -> Self {
        Self { since: TimeMs(time_ms.saturating_sub(FORM_MS)), factor: None, id: None, client: None, email: None, former_email: None }
    }

    /// What it is, for people: `totp`, a client's name, `a…@example.org`.
    #[must_use]
    pub fn shown(&self) -> String {
        let email = self.former_email.as_ref().map(Email::shown);
        let named = [self.factor.clone(), self.id.clone(), self.client.clone(), email].into_iter().flatten();
        named.collect::<Vec<_>>().join(" ")
    }
}

/// Something that an event shows to have been added or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What takes it back.
    pub remedy: ActionKind,
    /// Whose account it is, the system that wrote the event, and its time.
    pub of: SessionFacts,
    /// What it is.
    pub added: Added,
}

/// Members of `attrs` that say more of a change. Of other types than text they say nothing.
#[derive(Default)]
struct Particulars(serde_json::Map<String, serde_json::Value>);

impl Particulars {
    fn of(event: &Event<'_>) -> Self {
        Self(event.attrs().and_then(|attrs| serde_json::from_str(attrs).ok()).unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn id(&self, name: &str) -> Option<String> {
        let plain = |id: &&str| id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control);
        self.get(name).filter(plain).map(str::to_owned)
    }
}

impl Change {
    /// Can events of this kind show any?
    #[must_use]
    pub fn may_be_in(kind: Kind) -> bool {
        matches!(kind, Kind::AccountChange | Kind::TokenIssue)
    }

    /// What an event shows.
    #[must_use]
    pub fn all_of(event: &Event<'_>) -> Vec<Self> {
        let succeeded = event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human;
        if !succeeded || !Self::may_be_in(event.kind()) {
            return Vec::new();
        }
        let (attrs, time_ms, user) = (Particulars::of(event), event.time_ms(), event.user().map(str::to_owned));
        let of = SessionFacts { user, source: event.source().map(str::to_owned), time_ms: Some(time_ms), ..SessionFacts::default() };
        let change = |remedy, added: Added| Self { remedy, of: of.clone(), added };
        let mut changes = Vec::new();
        if let Some(id) = attrs.id("api_key_id") {
            changes.push(change(ActionKind::RemoveApiKey, Added { id: Some(id), ..Added::at(time_ms) }));
        }
        if event.kind() == Kind::TokenIssue {
            let client = event.app().map(str::to_owned);
            changes.extend(client.map(|client| change(ActionKind::RemoveGrant, Added { client: Some(client), ..Added::at(time_ms) })));
            return changes;
        }
        let was_removed = attrs.get("action").is_some_and(|action| action.starts_with("remove"));
        if let Some(factor) = event.factor().filter(|_| !was_removed) {
            let id = attrs.id("credential_id");
            changes.push(change(ActionKind::RemoveFactor, Added { factor: Some(factor.to_owned()), id, ..Added::at(time_ms) }));
        }
        let [former_email, email] = ["previous_email", "updated_email"].map(|name| attrs.get(name).and_then(Email::new));
        if former_email.is_some() && former_email != email {
            changes.push(change(ActionKind::RestoreEmail, Added { email, former_email, ..Added::at(time_ms) }));
        }
        changes
    }

    /// What an alert itself tells of the change that proves it, for whoever has not its event: that a factor was added,
    /// and when.
    fn told_by(alert: &Alert, hit: &BTreeSet<String>) -> Option<Self> {
        let text = |name: &str| alert.evidence.get(name).and_then(serde_json::Value::as_str);
        let time = TimeMs::parse(text("changed_time")?).filter(|_| text("changed") == Some("second factor"))?;
        let of =
            SessionFacts { user: Some(hit.first().filter(|_| hit.len() == 1)?.clone()), time_ms: Some(time.0), ..SessionFacts::default() };
        Some(Self { remedy: ActionKind::RemoveFactor, of, added: Added::at(time.0) })
    }

    /// What an action of this kind would take back of what was done to those who were hit.
    #[must_use]
    pub fn for_remedy(remedy: ActionKind, alert: &Alert, hit: &BTreeSet<String>, known: &[Self]) -> Vec<Self> {
        let signed_in_ms = alert.evidence.get("after_sign_in_ms").and_then(serde_json::Value::as_i64).filter(|ms| *ms >= 0);
        let mut changes: Vec<Self> = known.iter().filter(|change| change.remedy == remedy).cloned().collect();
        if let Some(told) = Self::told_by(alert, hit).filter(|told| told.remedy == remedy)
            && !changes.iter().any(|change| change.of.time_ms == told.of.time_ms)
        {
            changes.push(told);
        }
        changes.retain(|change| change.of.user.as_ref().is_some_and(|user| hit.contains(user)));
        for change in &mut changes {
            let limit_ms = signed_in_ms.zip(change.of.time_ms).map(|(after_ms, time_ms)| time_ms.saturating_sub(after_ms));
            // Who is given access gives it at a sign-in of their own.
            if let Some(limit_ms) = limit_ms.filter(|_| remedy != ActionKind::RemoveGrant) {
                change.added.since.0 = change.added.since.0.max(limit_ms);
            }
        }
        changes
    }
}

#[cfg(test)]
#[path = "added_tests.rs"]
mod tests;
