//! What a message says, as JSON: the same bytes for every channel that gets it.

use crate::alert::Alert;
use bartizan_core::TimeMs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes of a message id's hash: 128 bits, for two causes never to share one.
const ID_BYTES: usize = 16;

/// The outer object of every message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payload<D> {
    /// `alert.opened`, `backlog.notice` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Detected time of the version; of a notice, the time it was written.
    pub timestamp: TimeMs,
    /// What it is about.
    pub data: D,
    /// What machines were asked to do because of this version.
    #[serde(default, skip_serializing_if = "Response::is_empty")]
    pub response: Response,
    /// Where the console shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An alert message as it is written.
pub type AlertPayload<'a> = Payload<&'a Alert>;

/// Sessions that a version was the cause of asking to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Asked for.
    pub requested: u32,
    /// Recorded only: the target is in dry run.
    pub dry_run: u32,
    /// Held by a brake: a person decides.
    pub held: u32,
}

impl Response {
    /// What both asked together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { requested, dry_run, held } = other;
        Self { requested: self.requested + requested, dry_run: self.dry_run + dry_run, held: self.held + held }
    }

    /// Nothing asked, nothing held?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A notice: anything that is told to people but is no alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is, in a few words.
    pub title: String,
    /// What happened and what to do, in a sentence or two.
    pub text: String,
    /// The particulars.
    pub details: Value,
}

/// The id of a message, from what caused it: the same cause gives the same id after a crash.
#[must_use]
pub fn message_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let hex: String = digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_keep_their_parts_apart() {
        assert_eq!(message_id(&["ab", "c"]), message_id(&["ab", "c"]));
        assert_ne!(message_id(&["ab", "c"]), message_id(&["a", "bc"]));
        assert_eq!(message_id(&[]).len(), 4 + 2 * ID_BYTES);
    }
}
