//! What a target is asked to do, as it is sent.

use super::adapter::Granularity;
use bartizan_core::{Severity, TimeMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Kind of the message that orders the end of a session.
pub const REVOKE: &str = "session.revoke";

/// What a machine can do about an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// End one session.
    RevokeSession,
    /// Revoke one token.
    RevokeToken,
}

impl ActionKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::RevokeSession, Self::RevokeToken];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RevokeSession => "revoke_session",
            Self::RevokeToken => "revoke_token",
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn granularity(self) -> Granularity {
        match self {
            Self::RevokeSession => Granularity::Session,
            Self::RevokeToken => Granularity::Token,
        }
    }

    /// Kind of the message that orders it.
    #[must_use]
    pub const fn message_kind(self) -> &'static str {
        match self {
            Self::RevokeSession => REVOKE,
            Self::RevokeToken => "token.revoke",
        }
    }
}

/// The order to do one thing, as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is to be done.
    pub action: ActionKind,
    /// Tenant.
    pub tenant: String,
    /// Who issued the session.
    pub source: Option<String>,
    /// Whose it is.
    pub user: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// Public handle of its token.
    pub token_id: Option<String>,
    /// Keyed hash of its token.
    pub token_hash: Option<String>,
    /// What was issued after this must live.
    pub issued_before: TimeMs,
    /// The order is void after this.
    pub not_after: TimeMs,
    /// The cause.
    pub alert: String,
    /// Its detector.
    pub detector: String,
    /// Its severity.
    pub severity: Severity,
    /// Its reason.
    pub reason: String,
}
