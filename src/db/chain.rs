//! The chain of the audit trail: how a record is hashed, and how a trail is checked.
//!
//! A record is one line of JSON. Its last member is the SHA-256 of the line without that member, and the member before
//! is the hash of the record before. So nothing in the middle can be changed, left out or put in unnoticed. Whoever can
//! write the whole trail can make a whole new one: a head that was noted elsewhere shows that.

use bartizan_core::TimeMs;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// Action of the record that tells up to where older ones were removed.
pub const PRUNED: &str = "audit.pruned";

/// One record of the trail. Its JSON is what is hashed, shown and exported.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditRecord)]
pub struct Record {
    /// Number; they follow each other without gaps.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: TimeMs,
    /// Who: the name of a token, `command line`, or the part of the daemon that acted by itself.
    pub actor: String,
    /// What was done, such as `alert.triage`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// The particulars; `tenant` says whose the record is.
    #[schema(value_type = Object)]
    pub detail: Box<RawValue>,
    /// Hash of the record before, in hexadecimal digits.
    pub previous: String,
    /// SHA-256 of the record's JSON without this member, in hexadecimal digits.
    pub hash: String,
}

impl Record {
    /// The record as one line of JSON.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Gives the record its hash.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn seal(&mut self) -> Result<(), serde_json::Error> {
        self.hash = hash_of(&self.line()?, &self.hash).unwrap_or_default();
        Ok(())
    }
}

/// The hash of a record's line that ends with the hash `stated`; `None`: it does not end with that.
fn hash_of(line: &str, stated: &str) -> Option<String> {
    let hashed = line.strip_suffix(&format!(",\"hash\":\"{stated}\"}}"))?;
    let digest = Sha256::new().chain_update(hashed).chain_update("}").finalize();
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A place in the chain: a record's number and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Number of the record.
    pub id: i64,
    /// Its hash.
    pub hash: String,
}

impl Link {
    /// What the very first record follows.
    #[must_use]
    pub fn origin() -> Self {
        Self { id: 0, hash: "0".repeat(64) }
    }
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {id}: {why}")]
pub struct Broken {
    /// Number of the first record that does not hold; of a line that is no record, the number that it should have.
    pub id: i64,
    /// Why it does not.
    pub why: &'static str,
}

/// Checks a trail record by record.
#[derive(Debug, Default)]
pub struct Verifier {
    head: Option<Link>,
    records: u64,
    pruned: Option<Link>,
    wanted: Option<String>,
}

impl Verifier {
    /// For a trail that goes on after `start`; `None`: wherever it begins, as in an export of some days. `wanted` is a
    /// hash that should be met.
    #[must_use]
    pub fn new(start: Option<Link>, wanted: Option<String>) -> Self {
        let mut verifier = Self { wanted, ..Self::default() };
        if let Some(start) = start {
            verifier.step(start);
        }
        verifier
    }

    /// Takes in the next record.
    ///
    /// # Errors
    /// The chain is broken here.
    pub fn check(&mut self, line: &str) -> Result<(), Broken> {
        let expected = self.head.as_ref().map(|head| head.id.saturating_add(1));
        let broken = |why| Broken { id: expected.unwrap_or(0), why };
        let record: Record = serde_json::from_str(line).map_err(|_| broken("it is no record of an audit trail"))?;
        if let Some(before) = &self.head {
            if Some(record.id) != expected {
                return Err(broken("it is missing"));
            }
            if record.previous != before.hash {
                return Err(broken("it does not follow the record before it"));
            }
        } else {
            self.meet(&record.previous);
        }
        if hash_of(line, &record.hash).is_none_or(|hash| hash != record.hash) {
            return Err(Broken { id: record.id, why: "its hash is not that of its content" });
        }
        if record.action == PRUNED {
            self.pruned = serde_json::from_str(record.detail.get()).ok().map(|Pruned { until }| until);
        }
        self.records += 1;
        self.step(Link { id: record.id, hash: record.hash });
        Ok(())
    }

    fn step(&mut self, to: Link) {
        self.meet(&to.hash);
        self.head = Some(to);
    }

    fn meet(&mut self, hash: &str) {
        if self.wanted.as_deref() == Some(hash) {
            self.wanted = None;
        }
    }

    /// Records that held.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The last record that held, or what the first one has to follow; `None`: neither is known.
    #[must_use]
    pub fn head(&self) -> Option<&Link> {
        self.head.as_ref()
    }

    /// Up to where the newest record about pruning says that older ones were removed.
    #[must_use]
    pub fn pruned(&self) -> Option<&Link> {
        self.pruned.as_ref()
    }

    /// Was the wanted hash met, if there is one?
    #[must_use]
    pub fn met_wanted(&self) -> bool {
        self.wanted.is_none()
    }
}

/// What the record about pruning says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pruned {
    /// The last record that was removed.
    pub until: Link,
}
