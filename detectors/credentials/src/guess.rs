//! One sign-in as the state sees it.

use crate::credential_stuffing::{is_unknown_name, says_nothing};
use bartizan_core::client::short;
use bartizan_core::{ClientPrint, Event, KeyKind, Kind, Outcome, UserKind};
use std::net::IpAddr;

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The name or the password was wrong, or nobody says what.
    Failed {
        /// There is no such name.
        unknown: bool,
    },
    /// The password was right, and a second factor stood in the way.
    Halfway,
    /// The user got in.
    In,
    /// The user has a new password.
    Reset,
}

/// A sign-in with a password, of a person, from an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    pub user: u32,
    /// The whole key of the user, for facts about them.
    pub user_key: u64,
    pub subnet: u32,
    pub address: u32,
    /// User agent and JA4; 0 if there are none.
    pub client: u32,
    pub line: u32,
    pub device: u32,
    pub agent: u32,
    pub ip: IpAddr,
    pub time_ms: i64,
    pub ended: Ended,
}

impl Guess {
    /// `None` for everything that is no sign-in with a password, and for failures that say nothing about it.
    pub fn of(event: &Event<'_>) -> Option<Self> {
        let ended = ended(event)?;
        let print = ClientPrint::of(event);
        let user = event.key(KeyKind::User).filter(|_| event.user_kind() == UserKind::Human)?;
        Some(Self {
            user: short(Some(user)),
            user_key: user.hash,
            subnet: print.subnet,
            address: short(event.key(KeyKind::Address)),
            client: short(event.key(KeyKind::Client)),
            line: print.line(),
            device: print.device,
            agent: print.agent,
            ip: event.ip()?,
            time_ms: event.time_ms(),
            ended,
        })
    }
}

fn ended(event: &Event<'_>) -> Option<Ended> {
    let success = event.outcome() == Outcome::Success;
    match event.kind() {
        Kind::PasswordReset => return success.then_some(Ended::Reset),
        Kind::Login => {}
        Kind::TokenIssue if event.grant() == Some("password") => {}
        _ => return None,
    }
    match (event.outcome(), event.reason().unwrap_or_default()) {
        (Outcome::Success, _) => Some(Ended::In),
        (Outcome::Failure | Outcome::Denied, "mfa_required" | "mfa_denied" | "mfa_failed") => Some(Ended::Halfway),
        (Outcome::Failure | Outcome::Denied, reason) if !says_nothing(reason) => Some(Ended::Failed { unknown: is_unknown_name(reason) }),
        _ => None,
    }
}
