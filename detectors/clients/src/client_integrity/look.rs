//! What one event shows of its client, taken together once.

use super::agent::{Memos, Program};
use bartizan_core::client::short;
use bartizan_core::people::day_of;
use bartizan_core::{Attestation, Event, KeyKind, Kind, NetworkClass, Outcome, UserKind};
use std::net::IpAddr;

/// What one event shows of its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub time_ms: i64,
    pub day: u16,
    pub kind: Kind,
    /// Was it done?
    pub done: bool,
    pub program: Program,
    pub agent: u32,
    pub ja4: u32,
    pub version: u32,
    pub device: u32,
    pub subnet: u32,
    /// Of the user; else of the session or token.
    pub user: u32,
    pub attestation: Attestation,
    pub hosting: bool,
    /// An office's network.
    pub corporate: bool,
    pub tunnel: bool,
    pub app_of_phones: bool,
    pub program_of_phones: bool,
}

impl Look {
    /// `None` for programs with their own credential, for what comes from within the company, for what says nothing of
    /// its client, and for what was refused while somebody signed in, which is for the detectors of guessing.
    pub fn of(event: &Event<'_>, memos: &mut Memos) -> Option<Self> {
        let refused = matches!(event.outcome(), Outcome::Failure | Outcome::Denied) || event.status().is_some_and(|status| status >= 400);
        let is_sign_in = matches!(event.kind(), Kind::Login | Kind::Signup | Kind::PasswordReset);
        let software = event.software();
        let says_nothing = software.agent == 0 && software.ja4 == 0 && event.attestation() == Attestation::Unknown;
        if event.user_kind() == UserKind::Service || (refused && is_sign_in) || says_nothing || event.ip().is_some_and(is_inside) {
            return None;
        }
        let reading = memos.read(event);
        let class = event.network_class();
        Some(Self {
            time_ms: event.time_ms(),
            day: day_of(event.time_ms()),
            kind: event.kind(),
            done: !refused,
            program: reading.program,
            agent: reading.family,
            ja4: software.ja4,
            version: reading.version,
            device: short(event.key(KeyKind::Device)),
            subnet: short(event.key(KeyKind::Subnet)),
            user: short(event.key(KeyKind::Principal)),
            attestation: event.attestation(),
            hosting: class == NetworkClass::Hosting,
            corporate: class == NetworkClass::Corporate,
            tunnel: matches!(class, NetworkClass::Vpn | NetworkClass::Relay),
            app_of_phones: memos.is_phone_app(event),
            program_of_phones: reading.of_phones,
        })
    }

    /// Can it be an app's own client, not a page of it and not a back end?
    pub fn is_program_of_apps(&self) -> bool {
        matches!(self.program, Program::Named | Program::Phone) || self.program_of_phones
    }

    /// Does it change something, or get a new token?
    pub fn changes(&self) -> bool {
        matches!(self.kind, Kind::PasswordChange | Kind::AccountChange | Kind::TokenIssue)
    }
}

/// Is the address one that no stranger has: within a company, or of the machine itself?
fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
