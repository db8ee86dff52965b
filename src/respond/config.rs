//! The `[[revocation]]` tables.

use super::brakes::Brakes;
use crate::alert::Alert;
use crate::notify::config::{Problem, name_problems};
use crate::secret::Secret;
use bartizan_core::Severity;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What kind of target it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A signed `POST` to one URL.
    #[default]
    Hook,
}

/// What keeps the names of targets and channels apart in the outbox; no name has a colon.
pub const CHANNEL_PREFIX: &str = "revoke:";

/// One `[[revocation]]` table: who is asked to end sessions.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationConfig {
    /// Letters, digits, `-`, `_`; unique.
    pub name: String,
    /// What kind it is. Default `hook`.
    #[serde(default)]
    pub kind: TargetKind,
    /// Where to.
    pub url: String,
    /// The signing secret, `whsec_` and base64.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file with it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Only alerts of these detectors; empty (the default): of all.
    #[serde(default)]
    pub detectors: Vec<String>,
    /// Only alerts at least this bad. Default `high`.
    #[serde(default = "high")]
    pub min_severity: Severity,
    /// Record what would be asked, and ask nothing. Default true.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// May the address be loopback or private (and the URL plain `http`)? Default no.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Limits that stop a faulty detector.
    #[serde(default)]
    pub brakes: Brakes,
}

fn high() -> Severity {
    Severity::High
}

fn yes() -> bool {
    true
}

impl RevocationConfig {
    /// Its name in the outbox.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{CHANNEL_PREFIX}{}", self.name)
    }

    /// Does it act on alerts like this one?
    #[must_use]
    pub fn takes(&self, alert: &Alert) -> bool {
        alert.severity >= self.min_severity && (self.detectors.is_empty() || self.detectors.contains(&alert.detector))
    }

    /// What is wrong with this table, as far as can be told without reading files or the network.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = name_problems("revocation", &self.name);
        if self.secret.is_none() && self.secret_file.is_none() {
            problems.push(Problem::new(format!("revocation.{}.secret_file", self.name), "a hook needs a secret or secret_file"));
        }
        problems.extend(self.brakes.problems(&format!("revocation.{}.brakes", self.name)));
        problems
    }
}
