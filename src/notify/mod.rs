//! From an alert version to the people and systems that are told of it.
//!
//! [`commit`] runs in the transaction that stores the version: it decides who is told ([`tell`]),
//! plans what machines do ([`crate::respond`]) and writes all of it to the outbox. [`deliverer`]
//! then empties the outbox, one task a channel, so that a channel that fails or hangs delays no
//! other. Delivery is at least once: a message keeps its id over retries and restarts.
//!
//! Single alerts are for machines ([`tell`]); people hear of [`incidents`].
//!
//! A message is stored as JSON ([`payload`]). Webhooks and topics get it as it is; what people read is derived from it
//! once ([`view`]) and rendered by each of the [`channels`].

pub mod address;
pub mod build;
pub mod channels;
pub mod commit;
pub mod config;
pub mod deliverer;
pub mod desk;
#[cfg(test)]
mod flood_tests;
pub mod guarded_http;
pub mod incidents;
pub mod notice;
pub mod payload;
pub mod quiet;
pub mod routing;
pub mod sample;
pub mod schedule;
pub mod signed_http;
pub mod tell;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;
pub mod visible;

pub use build::{Built, build, channel, problems};
pub use commit::{Detected, Effects, Triaged, commit_alert, commit_incident_triage, commit_triage, follow_incident};
pub use config::{ChannelConfig, ChannelKind, NotifyConfig, Problem};
pub use deliverer::{Deliveries, Wake};
pub use desk::Desk;
pub use routing::{Route, Routing};

use crate::db::outbox::Message;
use crate::respond::Answer;
use futures::future::BoxFuture;
use std::time::Duration;

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other end has it; a remark is kept with it.
    Delivered(Option<String>),
    /// Try again, not before the time that the other end asked for.
    Retry {
        /// What went wrong, without secrets.
        error: String,
        /// How long the other end wants to be left alone.
        after: Option<Duration>,
    },
    /// The other end will never take this message, and says why.
    Refused(String),
    /// The other end wants no more messages, ever.
    Ended(String),
    /// What came of an order.
    Answered(Answer),
}

impl Outcome {
    /// To be tried again by the schedule.
    pub fn retry(error: impl ToString) -> Self {
        Self::Retry { error: error.to_string(), after: None }
    }

    /// Why the other end has not got it; `None`: it has.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Delivered(_) => None,
            Self::Retry { error, .. } | Self::Refused(error) | Self::Ended(error) => Some(error),
            Self::Answered(Answer::Unconfirmed(error) | Answer::Refused(error)) => Some(error),
            Self::Answered(_) => None,
        }
    }
}

/// One way out. Implementations bound each try in time themselves.
pub trait Channel: Send + Sync {
    /// Its name in the outbox.
    fn name(&self) -> &str;

    /// Names the address: what was learned of another one (ended, tested) does not count.
    fn fingerprint(&self) -> String;

    /// Does it act upon others, so that the stop switch holds it, rather than tell?
    fn acts(&self) -> bool;

    /// Tries at the same time.
    fn in_flight_max(&self, limits: &NotifyConfig) -> usize {
        limits.calls_in_flight_max
    }

    /// Done once, before the first try.
    fn prepare(&self, _now_ms: i64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What would be sent for a message, without secrets.
    ///
    /// # Errors
    /// The message cannot be put into this channel's form.
    fn preview(&self, message: &Message) -> Result<String, String> {
        Ok(message.body.clone())
    }

    /// Tries to deliver one message.
    fn deliver<'a>(&'a self, message: &'a Message, now_ms: i64) -> BoxFuture<'a, Outcome>;
}
