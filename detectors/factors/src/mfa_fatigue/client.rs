//! Whose client asks: the person's own, or a stranger's.

use super::Config;
use bartizan_core::client::country;
use bartizan_core::people::{Feature, day_of};
use bartizan_core::{ClientPrint, Event, NetworkClass};
use serde::{Deserialize, Serialize};

/// How far a client is from what its person usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Whose {
    /// The person's device, or software and network where the log names no device.
    Own,
    /// New in one thing alone, or its person is hardly known, or the log does not say.
    Familiar,
    /// Another device in another network, or from abroad with familiar software.
    Near,
    /// Another device in another country or in a hosting network.
    Far,
}

impl Whose {
    /// What is new today is new still: some logs write the sign-in before its second factor.
    pub fn of(event: &Event<'_>, config: &Config) -> Self {
        let Some(person) = event.person() else { return Self::Familiar };
        let (print, class, day) = (ClientPrint::of(event), event.network_class(), day_of(event.time_ms()));
        let had = |feature, value| value != 0 && person.habits.knows(feature, value, day) && person.habits.seen_before(feature, value, day);
        if had(Feature::Device, print.device) {
            return Self::Own;
        }
        let new_client = print.device != 0 || (print.agent != 0 && !had(Feature::Agent, print.agent));
        let known_network = event.ip().is_some() && had(Feature::Network, print.line());
        if !new_client && known_network {
            return Self::Own;
        }
        if person.sign_ins() < config.sign_ins_min || person.days() < config.days_min {
            return Self::Familiar;
        }
        // Relays are nobody's habit, so they say nothing.
        let is_relay = class == NetworkClass::Relay;
        let new_network = event.ip().is_some() && !known_network && !is_relay;
        let land = event.place().map_or(0, |place| country(place.country));
        let is_abroad = class.tells_place() && class != NetworkClass::Mobile && land != 0 && !had(Feature::Country, land);
        match (new_client, new_network, is_abroad || class == NetworkClass::Hosting) {
            (true, true, true) => Self::Far,
            (true, true, false) | (false, true, true) => Self::Near,
            (true, false, _) if is_relay => Self::Near,
            _ => Self::Familiar,
        }
    }
}

/// What tells the clients of one person's pushes apart; 0 stands for what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    pub device: u32,
    pub line: u32,
    pub agent: u32,
}

impl Client {
    pub fn of(event: &Event<'_>) -> Self {
        let print = ClientPrint::of(event);
        Self { device: print.device, line: if event.ip().is_some() { print.line() } else { 0 }, agent: print.agent }
    }

    /// One client, as far as one can tell?
    pub fn is_like(&self, other: &Self) -> bool {
        if self.device != 0 && other.device != 0 {
            return self.device == other.device;
        }
        self.line == other.line && (self.agent == other.agent || self.agent == 0 || other.agent == 0)
    }
}
