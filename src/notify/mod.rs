//! From an alert version to the people and systems that are told of it.
//!
//! [`commit`] runs in the transaction that stores the version: it decides who is told ([`tell`]),
//! plans what machines do ([`crate::respond`]) and writes all of it to the outbox. [`deliverer`]
//! then empties the outbox, one task a channel, so that a channel that fails or hangs delays no
//! other. Delivery is at least once: a message keeps its id over retries and restarts.
//!
//! Deliberately absent: grouping into incidents, digests, quiet hours, templates.

pub mod address;
pub mod build;
pub mod commit;
pub mod config;
pub mod deliverer;
pub mod email;
pub mod email_text;
pub mod kafka;
pub mod notice;
pub mod payload;
pub mod routing;
pub mod schedule;
pub mod signed_http;
pub mod tell;
#[cfg(test)]
pub(crate) mod testing;
pub mod visible;
pub mod webhook;

pub use build::{Built, build, problems};
pub use commit::{Detected, Effects, commit_alert, commit_incident_triage, commit_triage, follow_incident};
pub use config::{ChannelConfig, ChannelKind, NotifyConfig, Problem};
pub use deliverer::{Deliveries, Wake};
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
}

/// One way out. Implementations bound each try in time themselves.
pub trait Channel: Send + Sync {
    /// Its name in the outbox.
    fn name(&self) -> &str;

    /// Names the address: what was learned of another one (ended, tested) does not count.
    fn fingerprint(&self) -> String;

    /// Tries at the same time.
    fn in_flight_max(&self, limits: &NotifyConfig) -> usize {
        limits.calls_in_flight_max
    }

    /// Done once, before the first try.
    fn prepare(&self, _now_ms: i64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Tries to deliver one message.
    fn deliver<'a>(&'a self, message: &'a Message, now_ms: i64) -> BoxFuture<'a, Outcome>;
}
