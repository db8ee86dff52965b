//! The `[[revocation]]` tables, and `[response]`, what holds for all of them.

use super::adapter::{Abilities, Granularity};
use super::brakes::Brakes;
use super::order::ActionKind;
use crate::keycloak::RealmConfig;
use crate::notify::config::{Problem, name_problems};
use crate::secret::Secret;
use bartizan_core::Severity;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// What kind of target it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A signed `POST` to one URL.
    #[default]
    Hook,
    /// A Keycloak server, by its admin API.
    Keycloak,
    /// A token revocation endpoint (RFC 7009).
    Rfc7009,
}

impl TargetKind {
    /// What targets of this kind can do.
    #[must_use]
    pub const fn abilities(self) -> Abilities {
        use Granularity::{ApiKey, Email, Factor, Grant, Session, Token, User};
        match self {
            Self::Hook => Abilities { granularity: &[Session, User, Token, Factor, Grant, ApiKey, Email], reads_back: false },
            Self::Keycloak => Abilities { granularity: &[Session, User, Factor, Grant, Email], reads_back: true },
            Self::Rfc7009 => Abilities { granularity: &[Token], reads_back: false },
        }
    }

    /// What a table of this kind means by itself.
    #[must_use]
    pub const fn action(self) -> ActionKind {
        match self {
            Self::Hook | Self::Keycloak => ActionKind::RevokeSession,
            Self::Rfc7009 => ActionKind::RevokeToken,
        }
    }
}

/// `[response]`: what holds for all targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseConfig {
    /// The longest that an access token is good for. So long after a delivery that cannot be read back,
    /// what was ended counts as contained. Default an hour.
    pub access_token_max_ms: i64,
    /// How long an action waits for people to agree. Default four hours.
    pub approval_ms: i64,
    /// How long an address is blocked. Default four hours.
    pub block_ms: i64,
    /// Addresses that are blocked at once in a tenant; a person decides on more. Default 1,000.
    pub blocks_max: u32,
    /// How long a token is held at most, sealed, where a target wants the token itself (`token_itself`); at least half as
    /// long after it was last seen. Default 15 minutes.
    pub hold_tokens_ms: i64,
    /// Tokens that are held at once, in memory and, of orders that wait, in the database; default 100,000.
    pub hold_tokens_max: u32,
    /// Bytes of memory that they take at once; default 64 MiB.
    pub hold_tokens_bytes_max: usize,
    /// A file with the secret, at least 32 characters, of which the key that seals them is made. Absent: the environment
    /// variable `BARTIZAN_HOLD_KEY`. There is no member for the secret itself.
    pub hold_key_file: Option<PathBuf>,
    /// Users whom no action is ever about.
    pub protected_users: Vec<String>,
    /// Addresses and CIDR blocks that are never blocked.
    pub protected_networks: Vec<String>,
}

impl Default for ResponseConfig {
    fn default() -> Self {
        Self {
            access_token_max_ms: HOUR_MS,
            approval_ms: 4 * HOUR_MS,
            block_ms: 4 * HOUR_MS,
            blocks_max: 1_000,
            hold_tokens_ms: 15 * MINUTE_MS,
            hold_tokens_max: 100_000,
            hold_tokens_bytes_max: 64 << 20,
            hold_key_file: None,
            protected_users: Vec::new(),
            protected_networks: Vec::new(),
        }
    }
}

impl ResponseConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let limits = out_of_range!(self;
            access_token_max_ms: 0..=30 * DAY_MS,
            approval_ms: MINUTE_MS..=30 * DAY_MS,
            block_ms: MINUTE_MS..=365 * DAY_MS,
            blocks_max: 0..=100_000,
            hold_tokens_ms: MINUTE_MS..=HOUR_MS,
            hold_tokens_max: 1..=10_000_000,
            hold_tokens_bytes_max: 64 << 10..=4 << 30,
        );
        let wrong = self.protected_networks.iter().filter(|text| network(text).is_none());
        limits.chain(wrong.map(|text| ("protected_networks", format!("{text:?} is neither an address nor a CIDR block")))).collect()
    }

    /// Is this person, or this address, one that is never acted on?
    #[must_use]
    pub fn protects(&self, user: Option<&str>, address: Option<&str>) -> bool {
        let address = address.and_then(|text| text.parse::<IpAddr>().ok());
        let networks = || self.protected_networks.iter().filter_map(|text| network(text));
        user.is_some_and(|user| self.protected_users.iter().any(|one| one == user))
            || address.is_some_and(|address| networks().any(|network| network.contains(&address)))
    }
}

/// An address or a CIDR block.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// What keeps the names of targets and channels apart in the outbox; no name has a colon.
pub const CHANNEL_PREFIX: &str = "revoke:";

/// One `[[revocation]]` table: who is asked to end sessions. Which keys a kind needs, [`RevocationConfig::problems`] says.
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
    /// Hook: the signing secret, `whsec_` and base64.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Hook: a file with it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Keycloak: the realms in which sessions are ended.
    #[serde(default)]
    pub realms: Vec<RealmConfig>,
    /// Keycloak: realm of the client; empty (the default): each realm has one of its own.
    #[serde(default)]
    pub auth_realm: String,
    /// Keycloak: what `require_sign_in` asks of a person at the next sign-in. Default `UPDATE_PASSWORD`.
    #[serde(default = "update_password")]
    pub required_action: String,
    /// Keycloak, token endpoint: the client that calls.
    #[serde(default)]
    pub client_id: String,
    /// Keycloak, token endpoint: a file with its secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Token endpoint: send the token itself, which is held for minutes for that ([`crate::normalise::held`]), and not its
    /// public handle. Default no.
    #[serde(default)]
    pub token_itself: bool,
    /// Only alerts of these tenants, whatever a policy says: its address and key are theirs. Empty (the default): of all.
    #[serde(default)]
    pub tenants: Vec<String>,
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

fn update_password() -> String {
    "UPDATE_PASSWORD".to_owned()
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

    /// Is it asked about this tenant?
    #[must_use]
    pub fn is_of(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|own| own == tenant)
    }

    /// What is wrong with this table, as far as can be told without reading files or the network.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = name_problems("revocation", &self.name);
        let key = |name: &str| format!("revocation.{}.{name}", self.name);
        let mut missing = |given: bool, name: &str, message: &str| {
            if !given {
                problems.push(Problem::new(key(name), message));
            }
        };
        if self.kind == TargetKind::Hook {
            missing(self.secret.is_some() || self.secret_file.is_some(), "secret_file", "a hook needs a secret or secret_file");
        } else {
            missing(!self.client_id.is_empty(), "client_id", "must be given");
            missing(self.client_secret_file.is_some(), "client_secret_file", "must be given");
        }
        if self.kind == TargetKind::Keycloak {
            missing(!self.realms.is_empty(), "realms", "must name at least one");
            missing(self.realms.iter().all(|realm| !realm.name.is_empty()), "realms", "must have names");
        }
        if self.token_itself && self.kind != TargetKind::Rfc7009 {
            problems.push(Problem::new(key("token_itself"), "is for a token revocation endpoint (rfc7009) alone"));
        }
        problems.extend(self.brakes.problems(&key("brakes")));
        problems
    }
}
