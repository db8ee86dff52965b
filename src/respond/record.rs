//! The record of an action: what is asked of a target because of an alert, where it stands, and when it got there.

use super::config::CHANNEL_PREFIX;
use super::order::ActionKind;
use crate::alert::schema;
use bartizan_core::{Severity, TimeMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Recorded only: nothing is asked.
    Shadow,
    /// A brake holds it: a person decides.
    Held,
    /// It waits for people who agree.
    Proposed,
    /// Whom or what it is about is never acted on.
    Protected,
    /// On its way to the target.
    Requested,
    /// The target has it. That it is done is not confirmed yet, or never was in time.
    Unconfirmed,
    /// Read back: the provider no longer knows what was to be ended, or has it as it should be.
    Ended,
    /// The provider did not know what was to be ended: it was gone, or never its own.
    NotFound,
    /// It cannot be read back, but what was issued before has run out by now, or was seen refused.
    Contained,
    /// The address is blocked.
    InForce,
    /// The address was blocked for its time.
    Lifted,
    /// The target cannot do it.
    Failed,
    /// It did not arrive, or nobody agreed, in time.
    Expired,
    /// Taken back: people judged the alert false or harmless.
    Cancelled,
    /// A person said no.
    Rejected,
    /// It was done, and a person undid it.
    Undone,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Shadow,
        Self::Held,
        Self::Proposed,
        Self::Protected,
        Self::Requested,
        Self::Unconfirmed,
        Self::Ended,
        Self::NotFound,
        Self::Contained,
        Self::InForce,
        Self::Lifted,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Rejected,
        Self::Undone,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Held => "held",
            Self::Proposed => "proposed",
            Self::Protected => "protected",
            Self::Requested => "requested",
            Self::Unconfirmed => "unconfirmed",
            Self::Ended => "ended",
            Self::NotFound => "not_found",
            Self::Contained => "contained",
            Self::InForce => "in_force",
            Self::Lifted => "lifted",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Undone => "undone",
        }
    }
}

/// The word of a person for an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Name of the token.
    pub by: String,
    /// Id of the token: the second word must be another one's.
    pub token: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: TimeMs,
}

/// One action, of one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActionRecord {
    /// Derived from its cause; the `webhook-id` of its order.
    pub id: String,
    /// Counts its changes, from 1.
    pub version: u32,
    /// What is done.
    pub action: ActionKind,
    /// Who is asked: the name of a `[[revocation]]` table; empty: nobody, as Bartizan does it itself.
    pub target: String,
    /// The policy that wants it; none: the target's table by itself, or a person who undoes an action.
    pub policy: Option<String>,
    /// Tenant.
    pub tenant: String,
    /// Whom it concerns, if known.
    pub user: Option<String>,
    /// The session, if it is about one.
    pub session: Option<String>,
    /// Public handle of the token, if known.
    pub token_id: Option<String>,
    /// The address, if it is about one.
    pub address: Option<String>,
    /// What is taken back: a factor's kind or id, a client, a key's id; of a mail address its first letter and its domain.
    pub what: Option<String>,
    /// What was there before then stays, where something is taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<TimeMs>,
    /// The alert that is its cause.
    pub alert: String,
    /// The alert's detector.
    pub detector: String,
    /// The alert's severity then.
    #[schema(schema_with = schema::severity)]
    pub severity: Severity,
    /// Where it stands.
    pub state: State,
    /// Why it stands there, in words.
    pub remark: Option<String>,
    /// The brake that holds it, or, in a dry run, would have held it.
    pub brake: Option<String>,
    /// When what it is about happened: event time of the proof.
    #[schema(value_type = String, format = DateTime)]
    pub event_time: TimeMs,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided_time: TimeMs,
    /// When it was let go to the target.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub requested_time: Option<TimeMs>,
    /// When the target first took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub delivered_time: Option<TimeMs>,
    /// When it was ended or contained.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_time: Option<TimeMs>,
    /// It is void after this, unless it was delivered; of what waits for people's word, if they did not agree by then. Of an
    /// address: until then it is blocked.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: TimeMs,
    /// People who must agree.
    pub approvals_needed: u8,
    /// Those who did.
    pub approvals: Vec<Approval>,
    /// The action that this one undoes.
    pub undoes: Option<String>,
    /// The latest action that is to undo this one.
    pub undone_by: Option<String>,
}

impl ActionRecord {
    /// The channel of the outbox that carries its order.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{CHANNEL_PREFIX}{}", self.target)
    }

    /// What is done to whom, in words: `disable the account of ann`.
    #[must_use]
    pub fn named(&self) -> String {
        self.action.of([&self.session, &self.address, &self.token_id, &self.user])
    }

    /// When it leaves the state that it has just come to by time alone.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        matches!(self.state, State::Proposed | State::InForce).then_some(self.not_after.0)
    }

    /// Did it go, or would it have, without a person's word? That is what the brakes count.
    #[must_use]
    pub fn is_by_machine(&self) -> bool {
        self.brake.is_none() && self.approvals_needed == 0 && self.undoes.is_none() && self.state != State::Protected
    }
}
