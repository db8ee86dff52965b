//! Sessions and tokens that were in the hands of the app's own clients: to whom each was issued.
//!
//! Held with the app, not with the session, so that they can be judged together with what the app's users have.
//! Browsers, tools and odd clients leave nothing here.

use super::look::Look;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Event, Key, KeyKind, Retained, TokenHash};
use serde::{Deserialize, Serialize};

/// Days that a session is remembered after the last day on which the app used it.
const KEPT_DAYS: i64 = 30;

/// The app's client that a session or token is with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
    agent: u32,
    ja4: u32,
    device: u32,
    /// The two latest networks.
    subnets: [u32; 2],
    first_day: u16,
    last_day: u16,
}

/// How a client differs from the one that a session was issued to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Jump {
    /// Another program.
    pub family: bool,
    /// Another program or TLS client.
    pub program: bool,
    /// Another network than the app's latest two.
    pub network: bool,
    /// The same device is named.
    pub same_device: bool,
    /// The app named a device, and this client does not name it.
    pub device_gone: bool,
}

impl Retained for Grant {
    fn expires_ms(&self) -> i64 {
        (i64::from(self.last_day) + 1 + KEPT_DAYS) * DAY_MS
    }

    fn worth(&self) -> u8 {
        u8::from(self.last_day > self.first_day)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Grant {
    /// In the hands of this client.
    pub fn new(look: &Look) -> Self {
        Self { agent: look.agent, ja4: look.ja4, device: look.device, subnets: [look.subnet; 2], first_day: look.day, last_day: look.day }
    }

    /// Is there anything new in this use by the app?
    pub fn is_news(&self, look: &Look) -> bool {
        look.day > self.last_day
            || !self.subnets.contains(&look.subnet)
            || (look.device != 0 && look.device != self.device)
            || (look.ja4 != 0 && look.ja4 != self.ja4)
            || look.agent != self.agent
    }

    /// Takes in a use by the app.
    pub fn learn(&mut self, look: &Look) {
        self.last_day = self.last_day.max(look.day);
        self.agent = look.agent;
        if look.ja4 != 0 {
            self.ja4 = look.ja4;
        }
        if look.device != 0 {
            self.device = look.device;
        }
        if !self.subnets.contains(&look.subnet) {
            let [latest, _] = self.subnets;
            self.subnets = [look.subnet, latest];
        }
    }

    /// How a client differs.
    pub fn jump(&self, look: &Look) -> Jump {
        Jump {
            family: look.agent != self.agent,
            program: look.agent != self.agent || (look.ja4 != 0 && self.ja4 != 0 && look.ja4 != self.ja4),
            network: look.subnet != 0 && !self.subnets.contains(&look.subnet),
            same_device: self.device != 0 && look.device == self.device,
            device_gone: self.device != 0 && look.device != self.device,
        }
    }
}

/// The key of what an event presents, within its app: its session, or else its token.
pub(super) fn presented(app: Key, event: &Event<'_>) -> Option<u64> {
    match event.key(KeyKind::Session) {
        Some(session) => Some(within(app, session.hash)),
        None => event.token().map(|token| of_token(app, token)),
    }
}

/// The key of the refresh token given in return, where nothing but tokens is known.
pub(super) fn issued(app: Key, event: &Event<'_>) -> Option<u64> {
    event.token_issued().filter(|_| event.session().is_none()).map(|token| of_token(app, token))
}

/// A token's hash is keyed already.
fn of_token(app: Key, token: TokenHash) -> u64 {
    let number = u128::from_le_bytes(token.0);
    within(app, number as u64 ^ (number >> 64) as u64)
}

fn within(app: Key, hash: u64) -> u64 {
    (hash ^ app.hash.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
