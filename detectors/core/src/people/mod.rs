//! What is known of people: one baseline for each, held once in a slice and shared by all detectors that
//! judge people by it.
//!
//! **One gate.** Detectors read a baseline ([`Event::person`]) and never write it. When all of them have
//! seen an event, [`People::learn`] takes in what it shows, as far as the most doubtful of them allows
//! ([`Findings::doubt`]); and it alone decides what may be learnt at all. Failed sign-ins and programs teach nothing; an
//! end of an impossible journey nothing but that its network was seen again; behind tunnels no places are learnt, and
//! devices only slowly, behind relays nothing but which device was there; a satellite link hides where its users are, and
//! not who they are; what was told as strange becomes known slowly. A device in doubt is its person's once it shares a
//! line with one of their own, be it in a session that goes on.
//! So a detector that fails or is switched off leaves no half-learnt person, and takes its doubts with it.
//! Beside it stands what people vouch for ([`People::teach`]): that is learnt whatever detectors thought of it.
//!
//! **Small.** A person with 4 places, 4 devices and 3 networks takes 96 bytes beside a slot of 40 and an entry in the
//! index. What is needed for a day only, like the texts of recent sign-ins, does not belong here.

mod habits;

pub use habits::{Feature, Habits};

use crate::client::{ClientPrint, country, short};
use crate::colleagues::Voucher;
use crate::event::{Event, Kind, NetworkClass, Outcome, Place, UserKind};
use crate::finding::{Findings, Trust};
use crate::keys::{Key, KeyKind};
use crate::state::{Budget, KeyedState, Retained, State};
use crate::time::DAY_MS;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What it is called beside the detectors, in checkpoints and in what is told of state.
pub const ID: &str = "people";
/// Version of the saved state.
pub const STATE_VERSION: u32 = 2;
/// The key that people are held by.
pub const KEY: KeyKind = KeyKind::User;

/// Days that a person is remembered; longer history says little (Wiefling et al., TOPS 2022).
const KEPT_DAYS: i64 = 180;
/// Stands for a sign-in without a device id, which is a habit like any other: for whom it is none, it
/// is news.
pub const NO_DEVICE: u32 = 1;

/// The number of a day since 1970, within what 16 bits hold (until 2149).
#[must_use]
pub fn day_of(time_ms: i64) -> u16 {
    u16::try_from(time_ms.div_euclid(DAY_MS).max(0)).unwrap_or(u16::MAX)
}

/// A place in six bytes, to a third of a kilometre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spot {
    latitude: i16,
    longitude: i16,
    accuracy_km: u16,
}

impl Spot {
    /// Degrees times this fill 16 bits, but for the least value of all.
    const LATITUDE: f32 = i16::MAX as f32 / 90.0;
    const LONGITUDE: f32 = i16::MAX as f32 / 180.0;
    /// Stands for no place.
    const NOWHERE: Self = Self { latitude: i16::MIN, longitude: 0, accuracy_km: 0 };

    fn of(place: Place) -> Self {
        let fixed = |degrees: f32, scale: f32| (degrees * scale).round().max(-f32::from(i16::MAX)) as i16;
        Self {
            latitude: fixed(place.latitude, Self::LATITUDE),
            longitude: fixed(place.longitude, Self::LONGITUDE),
            accuracy_km: place.accuracy_km,
        }
    }

    fn place(self) -> Option<Place> {
        (self != Self::NOWHERE).then(|| Place {
            country: [0; 2],
            latitude: f32::from(self.latitude) / Self::LATITUDE,
            longitude: f32::from(self.longitude) / Self::LONGITUDE,
            accuracy_km: self.accuracy_km,
        })
    }
}

/// One person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// What the person usually has.
    pub habits: Habits,
    sign_ins: u16,
    last_place: Spot,
    guest: Guest,
}

/// A device of which nothing but doubt is known, and the line that it came from last: the /24 or /48, 0 if it hid that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Guest {
    device: u32,
    subnet: u32,
}

impl Default for Person {
    fn default() -> Self {
        Self { habits: Habits::default(), sign_ins: 0, last_place: Spot::NOWHERE, guest: Guest::default() }
    }
}

impl Retained for Person {
    fn expires_ms(&self) -> i64 {
        (i64::from(self.habits.day()) + 1 + KEPT_DAYS) * DAY_MS
    }

    fn worth(&self) -> u8 {
        (self.days() / 2).min(4) as u8
    }

    fn heap_bytes(&self) -> usize {
        self.habits.heap_bytes()
    }
}

impl Person {
    /// Sign-ins, and days on which a session went on, up to 65,535.
    #[must_use]
    pub fn sign_ins(&self) -> u16 {
        self.sign_ins
    }

    /// Days on which they were.
    #[must_use]
    pub fn days(&self) -> u16 {
        self.habits.days()
    }

    /// The latest place beyond doubt, without its country.
    #[must_use]
    pub fn last_place(&self) -> Option<Place> {
        self.last_place.place()
    }

    /// Learns a sign-in, or a day on which a session went on.
    fn learn(&mut self, traits: &Traits, sight: Sight) {
        self.habits.advance(traits.day);
        let places = traits.class.tells_place();
        // Behind a tunnel anybody may be, so a device seen there alone becomes known slowly. A dish is somebody's own line.
        let knows_device = self.habits.knows(Feature::Device, traits.device, traits.day);
        let is_own_line = places || traits.class == NetworkClass::Satellite;
        let sight = if is_own_line || knows_device { sight } else { DOUBTFUL };
        self.receive(traits, sight);
        self.take(traits, sight, places);
        let says_where = places && sight == CERTAIN && (traits.class != NetworkClass::Mobile || self.last_place == Spot::NOWHERE);
        if let Some(place) = traits.place.filter(|_| says_where) {
            self.last_place = Spot::of(place);
        }
    }

    /// Where the person comes with a device of their own, a new one that was there before is theirs, too: a new laptop at
    /// home, in doubt until the phone is there.
    fn receive(&mut self, traits: &Traits, sight: Sight) {
        let Traits { device, subnet, day, .. } = *traits;
        if device == NO_DEVICE {
            return;
        }
        if self.habits.owned_before(Feature::Device, device, day) {
            self.share_line(subnet, day);
        } else if sight == DOUBTFUL {
            self.guest = Guest { device, subnet };
        }
    }

    /// A device of the person's is on a line: so is a device in doubt that was seen there.
    fn share_line(&mut self, subnet: u32, day: u16) {
        if subnet != 0 && self.guest.subnet == subnet {
            self.habits.learn(Feature::Device, self.guest.device, day, CERTAIN.weight, CERTAIN.counts);
            self.guest = Guest::default();
        }
    }

    /// Learns what people vouch for, places included unless a VPN lies between. It is one sign-in that was counted when
    /// it came, and says nothing of where the person is now.
    fn teach(&mut self, traits: &Traits) {
        self.habits.advance(traits.day);
        self.take(traits, CERTAIN, true);
    }

    fn take(&mut self, traits: &Traits, sight: Sight, places: bool) {
        let mut learn = |feature, value, sight: Sight| self.habits.learn(feature, value, traits.day, sight.weight, sight.counts);
        if places {
            learn(Feature::Country, traits.country, sight);
            learn(Feature::Region, traits.region, sight);
        }
        // A network's days count whoever comes from it: a new tunnel becomes known by them.
        learn(Feature::Network, traits.network, Sight { counts: true, ..sight });
        learn(Feature::Device, traits.device, sight);
        learn(Feature::Agent, traits.agent, sight);
    }

    /// An end of an impossible journey: all that stays of it is that its network was seen on this day.
    fn learn_stranger(&mut self, traits: &Traits) {
        self.habits.advance(traits.day);
        self.habits.learn(Feature::Network, traits.network, traits.day, PASSING.weight, PASSING.counts);
    }

    /// Is a device in doubt involved in this use of a session: itself on another line, or an own device on its line?
    fn meets_guest(&self, device: u32, subnet: u32, day: u16) -> bool {
        let Guest { device: guest, subnet: line } = self.guest;
        let shares = || line == subnet && device != guest && self.habits.owned_before(Feature::Device, device, day);
        guest != 0 && subnet != 0 && ((device == guest && line != subnet) || shares())
    }

    fn meet_guest(&mut self, Traits { device, subnet, day, .. }: &Traits) {
        self.habits.advance(*day);
        if *device == self.guest.device {
            self.guest.subnet = *subnet;
        } else {
            self.share_line(*subnet, *day);
        }
    }

    fn count(&mut self) {
        self.sign_ins = self.sign_ins.saturating_add(1);
    }
}

/// How much of a client is its person's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Familiar {
    /// The device is one of theirs.
    pub device: bool,
    /// There is no device id, where they always have one: a tool.
    pub lacks_device: bool,
    /// They come from this network.
    pub network: bool,
    /// They use programs of this family.
    pub agent: bool,
    /// They are in this country, or none is known, of the client or of them: behind tunnels no places are learnt.
    pub country: bool,
    /// Is enough known of the person to call anything strange: three sign-ins on two days?
    pub established: bool,
}

impl Familiar {
    /// Their own device, or their own network and kind of program.
    #[must_use]
    pub fn is_own(self) -> bool {
        self.device || (self.network && self.agent)
    }

    /// Neither device nor network are theirs. A kind of program is too common to say anything.
    #[must_use]
    pub fn is_strange(self) -> bool {
        self.established && !self.device && !self.network
    }
}

/// Sign-ins, and days with them, from which a person is known.
const ESTABLISHED_SIGN_INS: u16 = 3;
const ESTABLISHED_DAYS: u16 = 2;

impl Person {
    /// How much of an event's client is this person's, whatever became of the event.
    #[must_use]
    pub fn familiar(&self, event: &Event<'_>) -> Familiar {
        let (print, day) = (ClientPrint::of(event), day_of(event.time_ms()));
        let knows = |feature, value| value != 0 && self.habits.knows(feature, value, day);
        let land = event.place().map_or([0; 2], |place| place.country);
        let never_placed = self.sign_ins > 0 && self.habits.known(Feature::Country, day) == 0;
        Familiar {
            device: self.has_device(event),
            lacks_device: print.device == 0 && self.sign_ins > 0 && !self.habits.knows(Feature::Device, NO_DEVICE, day),
            network: knows(Feature::Network, print.line()),
            agent: knows(Feature::Agent, print.agent),
            country: land == [0; 2] || never_placed || knows(Feature::Country, country(land)),
            established: self.sign_ins >= ESTABLISHED_SIGN_INS && self.days() >= ESTABLISHED_DAYS,
        }
    }

    /// Does an event name a device of this person's?
    #[must_use]
    pub fn has_device(&self, event: &Event<'_>) -> bool {
        let device = short(event.key(KeyKind::Device));
        device != 0 && self.habits.knows(Feature::Device, device, day_of(event.time_ms()))
    }

    /// What colleagues vouch for a sign-in with. A place vouches for people who come to it, not for a tool there: for a
    /// client without the device id that its person has always had.
    #[must_use]
    pub fn voucher(&self, event: &Event<'_>) -> Option<Voucher> {
        event.voucher().filter(|voucher| *voucher != Voucher::Place || !self.familiar(event).lacks_device)
    }
}

/// How much a sight of somebody is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sight {
    weight: f32,
    /// Does the day count, of those on which values were seen beyond doubt?
    counts: bool,
}

const CERTAIN: Sight = Sight { weight: 1.0, counts: true };
/// A sign-in that was told with a new device, or by a new device behind a tunnel.
const DOUBTFUL: Sight = Sight { weight: 0.12, counts: false };
/// What is seen beside a sign-in and must not weigh twice.
const PASSING: Sight = Sight { weight: 0.0, counts: true };

/// Is an address of such a network one of a building, in the country where its users are?
fn is_line(class: NetworkClass) -> bool {
    class.tells_place() && class != NetworkClass::Mobile
}

/// What a sign-in shows of its person; 0 where it shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Country, unless a VPN or a satellite lies between.
    pub country: u32,
    /// Region, where the country is known.
    pub region: u32,
    /// [`ClientPrint::line`].
    pub network: u32,
    /// The address's /24 or /48, where that is a building's.
    pub subnet: u32,
    /// Device, or [`NO_DEVICE`].
    pub device: u32,
    /// Family of the user agent.
    pub agent: u32,
    /// Day since 1970.
    pub day: u16,
    /// Class of the network.
    pub class: NetworkClass,
    /// Where the address lies.
    pub place: Option<Place>,
}

impl Traits {
    /// The traits of an event, if it is one that tells anything of its person.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Option<Self> {
        let class = event.network_class();
        let counts = event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human && event.ip().is_some();
        if !counts || class == NetworkClass::Relay {
            return None;
        }
        let print = ClientPrint::of(event);
        let is_hidden = matches!(class, NetworkClass::Vpn | NetworkClass::Satellite);
        let known = event.place().map(|place| place.country).filter(|country| *country != [0; 2] && !is_hidden);
        Some(Self {
            country: known.map_or(0, country),
            region: known.map_or(0, |_| event.region_print()),
            network: print.line(),
            subnet: if is_line(class) { print.subnet } else { 0 },
            device: if print.device == 0 { NO_DEVICE } else { print.device },
            agent: print.agent,
            day: day_of(event.time_ms()),
            class,
            place: event.place().filter(|place| place.latitude.is_finite() && place.longitude.is_finite()),
        })
    }
}

/// The people of one slice.
#[derive(Debug)]
pub struct People {
    known: KeyedState<Person>,
    /// Who is not known.
    blank: Person,
}

impl People {
    /// Nobody, with memory from `budget`.
    #[must_use]
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self { known: KeyedState::new(budget), blank: Person::default() }
    }

    /// Does the gate let anything of such events in?
    #[must_use]
    pub fn looks_at(kind: Kind) -> bool {
        matches!(kind, Kind::Login | Kind::MfaResult | Kind::ApiRequest | Kind::TokenRefresh)
    }

    /// The event with what is known of its person, for detectors that [go by that](crate::Detector::goes_by_people).
    #[must_use]
    pub fn known<'a>(&'a mut self, key: Key, event: &Event<'a>) -> Event<'a> {
        let person = self.known.get_first(key.hash, event.watermark_ms()).unwrap_or(&self.blank);
        Event { person: Some(person), ..*event }
    }

    /// The gate: takes in what an event shows, once all detectors have judged it.
    pub fn learn(&mut self, key: Key, event: &Event<'_>, findings: &Findings) {
        match event.kind() {
            Kind::Login => self.sign_in(key, event, findings.trust()),
            // A push is answered on the phone, wherever the sign-in is.
            Kind::MfaResult if event.factor() != Some("push") => self.second_factor(key, event, findings.trust()),
            Kind::ApiRequest | Kind::TokenRefresh => self.session(key, event),
            _ => {}
        }
    }

    fn sign_in(&mut self, key: Key, event: &Event<'_>, trust: Trust) {
        if event.network_class() == NetworkClass::Relay {
            return self.behind_relay(key, event, trust);
        }
        let Some(traits) = Traits::of(event) else { return };
        let mut person = self.known.entry(key.hash, event.watermark_ms(), Person::default);
        match trust {
            Trust::Full => person.learn(&traits, CERTAIN),
            Trust::Doubtful => person.learn(&traits, DOUBTFUL),
            Trust::Stranger => person.learn_stranger(&traits),
        }
        person.count();
    }

    /// Anybody may be behind a relay. The device may turn out to be the person's.
    fn behind_relay(&mut self, key: Key, event: &Event<'_>, trust: Trust) {
        let (device, day) = (short(event.key(KeyKind::Device)), day_of(event.time_ms()));
        let counts = event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human && trust > Trust::Stranger;
        let is_new = |person: &Person| !person.habits.knows(Feature::Device, device, day);
        if device == 0 || !counts || !self.known.get(key.hash, event.watermark_ms()).is_some_and(is_new) {
            return;
        }
        if let Some(mut person) = self.known.get_mut(key.hash, event.watermark_ms()) {
            person.guest = Guest { device, subnet: 0 };
        }
    }

    /// It belongs to a sign-in that counts by itself, or to a session that goes on, or is all that is told of a sign-in.
    fn second_factor(&mut self, key: Key, event: &Event<'_>, trust: Trust) {
        if trust == Trust::Full {
            self.session(key, event);
        }
        let Some(traits) = Traits::of(event).filter(|traits| traits.class.tells_place()) else { return };
        let mut person = self.known.entry(key.hash, event.watermark_ms(), Person::default);
        match trust {
            Trust::Full => person.learn(&traits, PASSING),
            Trust::Doubtful | Trust::Stranger => person.learn_stranger(&traits),
        }
    }

    /// The first use of a known device on a day counts like a sign-in, and so does its first use in a country: sessions
    /// live for weeks, and people and phones travel in them. A device in doubt shows whose it is by the lines that it is on.
    fn session(&mut self, key: Key, event: &Event<'_>) {
        let (day, device) = (day_of(event.time_ms()), short(event.key(KeyKind::Device)));
        if device == 0 {
            return;
        }
        // Nearly always it is known already: then the state is not touched.
        let Some(person) = self.known.get(key.hash, event.watermark_ms()) else { return };
        let is_line = is_line(event.network_class());
        let land = event.place().filter(|_| is_line).map_or(0, |place| country(place.country));
        let subnet = if is_line { short(event.key(KeyKind::Subnet)) } else { 0 };
        let habits = &person.habits;
        let has_moved = || day >= habits.day() && !habits.knows(Feature::Country, land, day);
        let is_news = habits.is_due(Feature::Device, device, day) || (has_moved() && habits.owned_before(Feature::Device, device, day));
        let meets_guest = person.meets_guest(device, subnet, day);
        if !(is_news || meets_guest) {
            return;
        }
        let Some(traits) = Traits::of(event) else { return };
        if let Some(mut person) = self.known.get_mut(key.hash, event.watermark_ms()) {
            if meets_guest {
                person.meet_guest(&traits);
            }
            if is_news {
                person.learn(&traits, CERTAIN);
                person.count();
            }
        }
    }

    /// Has an event anything that may be [taught](Self::teach): is it a person's successful sign-in, or a change of the
    /// account, which takes one?
    #[must_use]
    pub fn teaches(event: &Event<'_>) -> bool {
        let shows_client = match event.kind() {
            // A push is answered on the phone, wherever the sign-in is.
            Kind::MfaResult => event.factor() != Some("push"),
            Kind::PasswordChange | Kind::AccountChange => true,
            kind => Self::looks_at(kind),
        };
        shows_client && Traits::of(event).is_some()
    }

    /// Takes in what an event shows since people vouch that it was its person, whatever detectors thought of it.
    pub fn teach(&mut self, key: Key, event: &Event<'_>) {
        let Some(traits) = Traits::of(event).filter(|_| Self::teaches(event)) else { return };
        // As of the day before: detectors want a client seen on an earlier day, since a thief's is seen on this one, too;
        // of what people vouch for that is no question.
        let traits = Traits { day: traits.day.saturating_sub(1), ..traits };
        self.known.entry(key.hash, event.watermark_ms(), Person::default).teach(&traits);
    }

    /// All that it remembers.
    pub fn state(&mut self) -> &mut dyn State {
        &mut self.known
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests;
