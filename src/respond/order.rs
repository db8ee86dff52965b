//! What a target is asked to do, as it is sent.

use super::adapter::Granularity;
use super::added::Added;
use super::record::ActionRecord;
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
    /// End all sessions of a person that began before.
    RevokeUserSessions,
    /// Revoke one token.
    RevokeToken,
    /// Ask more of a person at the next sign-in.
    RequireSignIn,
    /// Undo that.
    WaiveSignIn,
    /// Let a person sign in no more.
    DisableUser,
    /// Undo that.
    EnableUser,
    /// Block an address for some time. Bartizan keeps the list itself.
    BlockAddress,
    /// Remove a factor that the attacker enrolled.
    RemoveFactor,
    /// Take back the access that a client was given.
    RemoveGrant,
    /// Remove an API key that the attacker made.
    RemoveApiKey,
    /// Put the former mail address back.
    RestoreEmail,
}

impl ActionKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RevokeSession,
        Self::RevokeUserSessions,
        Self::RevokeToken,
        Self::RequireSignIn,
        Self::WaiveSignIn,
        Self::DisableUser,
        Self::EnableUser,
        Self::BlockAddress,
        Self::RemoveFactor,
        Self::RemoveGrant,
        Self::RemoveApiKey,
        Self::RestoreEmail,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RevokeSession => "revoke_session",
            Self::RevokeUserSessions => "revoke_user_sessions",
            Self::RevokeToken => "revoke_token",
            Self::RequireSignIn => "require_sign_in",
            Self::WaiveSignIn => "waive_sign_in",
            Self::DisableUser => "disable_user",
            Self::EnableUser => "enable_user",
            Self::BlockAddress => "block_address",
            Self::RemoveFactor => "remove_factor",
            Self::RemoveGrant => "remove_grant",
            Self::RemoveApiKey => "remove_api_key",
            Self::RestoreEmail => "restore_email",
        }
    }

    /// What it is about at a target; `None`: no target is asked.
    #[must_use]
    pub const fn granularity(self) -> Option<Granularity> {
        match self {
            Self::RevokeSession => Some(Granularity::Session),
            Self::RevokeToken => Some(Granularity::Token),
            Self::BlockAddress => None,
            Self::RemoveFactor => Some(Granularity::Factor),
            Self::RemoveGrant => Some(Granularity::Grant),
            Self::RemoveApiKey => Some(Granularity::ApiKey),
            Self::RestoreEmail => Some(Granularity::Email),
            Self::RevokeUserSessions | Self::RequireSignIn | Self::WaiveSignIn | Self::DisableUser | Self::EnableUser => {
                Some(Granularity::User)
            }
        }
    }

    /// Kind of the message that orders it.
    #[must_use]
    pub const fn message_kind(self) -> &'static str {
        match self {
            Self::RevokeSession => REVOKE,
            Self::RevokeUserSessions => "user.revoke_sessions",
            Self::RevokeToken => "token.revoke",
            Self::RequireSignIn => "user.require_sign_in",
            Self::WaiveSignIn => "user.waive_sign_in",
            Self::DisableUser => "user.disable",
            Self::EnableUser => "user.enable",
            Self::BlockAddress => "address.block",
            Self::RemoveFactor => "user.remove_factor",
            Self::RemoveGrant => "user.remove_grant",
            Self::RemoveApiKey => "user.remove_api_key",
            Self::RestoreEmail => "user.restore_email",
        }
    }

    /// The action that a target is asked for to undo this one, if it can be undone.
    #[must_use]
    pub const fn undone_by(self) -> Option<Self> {
        match self {
            Self::RequireSignIn => Some(Self::WaiveSignIn),
            Self::DisableUser => Some(Self::EnableUser),
            _ => None,
        }
    }

    /// What is done to whom, in words: `disable the account of ann`. Whom: the first that is known.
    #[must_use]
    pub fn of<const N: usize>(self, whom: [&Option<String>; N]) -> String {
        let name = match self {
            Self::RevokeSession => "end session".to_owned(),
            Self::RevokeUserSessions => "end all sessions of".to_owned(),
            Self::RequireSignIn => "ask more at the next sign-in of".to_owned(),
            Self::DisableUser => "disable the account of".to_owned(),
            Self::RemoveFactor => "remove a factor of".to_owned(),
            Self::RemoveGrant => "take an application's access from".to_owned(),
            Self::RemoveApiKey => "remove an API key of".to_owned(),
            Self::RestoreEmail => "restore the e-mail address of".to_owned(),
            other => other.as_str().replace('_', " "),
        };
        whom.into_iter().flatten().next().map_or_else(|| name.clone(), |whom| format!("{name} {whom}"))
    }

    /// Does it take back what the attacker added or changed?
    #[must_use]
    pub const fn takes_back(self) -> bool {
        matches!(self, Self::RemoveFactor | Self::RemoveGrant | Self::RemoveApiKey | Self::RestoreEmail)
    }

    /// Is it done with a person's word alone, whatever a policy says?
    #[must_use]
    pub const fn wants_a_person(self) -> bool {
        matches!(self, Self::DisableUser) || self.takes_back()
    }

    /// Does what it is about end by itself with time, if the target does nothing?
    #[must_use]
    pub const fn ends_with_time(self) -> bool {
        matches!(self, Self::RevokeSession | Self::RevokeUserSessions | Self::RevokeToken)
    }

    /// What its person has to do if it was wrong, where nothing undoes it.
    #[must_use]
    pub const fn if_wrong(self) -> Option<&'static str> {
        match self {
            Self::RemoveFactor => Some("the person has to enrol the factor again"),
            Self::RemoveGrant => Some("the person has to give the client access again"),
            Self::RemoveApiKey => Some("the person has to make a new key"),
            Self::RestoreEmail => Some("the person has to change the address again"),
            _ => None,
        }
    }

    /// Does it only undo another one?
    #[must_use]
    pub const fn undoes(self) -> bool {
        matches!(self, Self::WaiveSignIn | Self::EnableUser)
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
    /// What is to be taken back; left out of orders that take nothing back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<Added>,
}

impl Order {
    /// What is done to whom, in words.
    #[must_use]
    pub fn named(&self) -> String {
        self.action.of([&self.session, &self.token_id, &self.user])
    }

    /// The order that an action comes to, as far as the action knows.
    #[must_use]
    pub fn of(action: &ActionRecord, reason: &str) -> Self {
        Self {
            action: action.action,
            tenant: action.tenant.clone(),
            source: None,
            user: action.user.clone(),
            session: action.session.clone(),
            token_id: action.token_id.clone(),
            token_hash: None,
            issued_before: action.event_time,
            not_after: action.not_after,
            alert: action.alert.clone(),
            detector: action.detector.clone(),
            severity: action.severity,
            reason: reason.to_owned(),
            added: None,
        }
    }
}
