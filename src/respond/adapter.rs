//! What stands between an order and the system that carries it out.
//!
//! An [`Adapter`] speaks one protocol: it asks for one order once, and says what came of it. What each
//! kind of target can do, and whether it tells that it did, stands in [`Abilities`]. [`Target`] is the
//! channel of the outbox that an adapter works behind.

use super::config::{RevocationConfig, TargetKind};
use super::hook::RevocationHook;
use super::keycloak::Keycloak;
use super::order::Order;
use super::token_endpoint::TokenEndpoint;
use crate::db::Db;
use crate::db::outbox::Message;
use crate::normalise::HeldTokens;
use crate::notify::guarded_http::SetupError;
use crate::notify::payload::Payload;
use crate::notify::{Channel, Outcome};
use futures::future::BoxFuture;

/// What an order can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// One session.
    Session,
    /// One person, with all that is theirs.
    User,
    /// One token.
    Token,
    /// A factor of a person's.
    Factor,
    /// What a person lets a client do.
    Grant,
    /// An API key of a person's.
    ApiKey,
    /// A person's mail address.
    Email,
}

/// What a kind of target can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// What its orders can be about.
    pub granularity: &'static [Granularity],
    /// Can it be asked afterwards whether the session is gone?
    pub reads_back: bool,
}

/// What came of an order that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and was read back: the provider no longer knows what was to be ended.
    Ended(String),
    /// It was so already: nothing was changed, and so there is nothing to undo.
    Unchanged(String),
    /// The provider does not know what was to be ended: it is gone, or never was its own.
    NotKnown(String),
    /// The order was taken. Whether it is done cannot be read back.
    Taken,
    /// The order was taken, but what was to be ended is still there, or could not be read back: to be asked again.
    Unconfirmed(String),
    /// This target can never do it.
    Refused(String),
}

/// A protocol by which actions are asked for. Implementations bound each call in time and in what they
/// read of an answer, and keep secrets out of what they say.
pub trait Adapter: Send + Sync {
    /// Names the address: what was learned of another one does not count.
    fn fingerprint(&self) -> String;

    /// Done once, before the first order.
    fn prepare(&self, _now_ms: i64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Asks for one order; `message` holds it as it was written.
    fn ask<'a>(&'a self, message: &'a Message, order: &'a Order, now_ms: i64) -> BoxFuture<'a, Outcome>;
}

/// A configured target as a channel of the outbox.
pub struct Target {
    channel: String,
    abilities: Abilities,
    adapter: Box<dyn Adapter>,
}

impl Target {
    /// The target of a table; reads its files. `held`: where tokens are that it may want themselves.
    ///
    /// # Errors
    /// Something is missing, unreadable or not in its form.
    pub fn new(config: &RevocationConfig, db: &Db, held: &HeldTokens) -> Result<Self, SetupError> {
        let adapter: Box<dyn Adapter> = match config.kind {
            TargetKind::Hook => Box::new(RevocationHook::new(config, db.clone())?),
            TargetKind::Keycloak => Box::new(Keycloak::new(config)?),
            TargetKind::Rfc7009 => Box::new(TokenEndpoint::new(config)?.sending(config, db, held)),
        };
        Ok(Self { channel: config.channel(), abilities: config.kind.abilities(), adapter })
    }

    /// Could it be made?
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(config: &RevocationConfig) -> Result<(), SetupError> {
        match config.kind {
            TargetKind::Hook => RevocationHook::client(config).map(drop)?,
            TargetKind::Keycloak => Keycloak::new(config).map(drop)?,
            TargetKind::Rfc7009 => TokenEndpoint::new(config).map(drop)?,
        }
        Ok(())
    }
}

impl Channel for Target {
    fn name(&self) -> &str {
        &self.channel
    }

    fn fingerprint(&self) -> String {
        self.adapter.fingerprint()
    }

    fn prepare(&self, now_ms: i64) -> BoxFuture<'_, ()> {
        self.adapter.prepare(now_ms)
    }

    fn acts(&self) -> bool {
        true
    }

    fn deliver<'a>(&'a self, message: &'a Message, now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let order = match serde_json::from_str::<Payload<Order>>(&message.body) {
                Ok(payload) => payload.data,
                Err(error) => return Outcome::Answered(Answer::Refused(format!("the order does not read: {error}"))),
            };
            if !order.action.granularity().is_some_and(|about| self.abilities.granularity.contains(&about)) {
                let reason = format!("this target cannot {}", order.action.as_str());
                return Outcome::Answered(Answer::Refused(reason));
            }
            self.adapter.ask(message, &order, now_ms).await
        })
    }
}
