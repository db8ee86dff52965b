//! Where one person was of late, and which two of these places do not go together.
//!
//! The few sign-ins of the window are kept as one piece of bytes; they are read and written whole, as a
//! person signs in a few times a day.

use super::Config;
use crate::habits::{Feature, Habits, day_of};
use bartizan_core::client::country;
use bartizan_core::geo::distance_km;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{ClientPrint, Event, Kind, NetworkClass, Outcome, Place, Retained, UserKind, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Sign-ins kept to compare with.
const SIGN_INS_MAX: usize = 4;
/// How long a person's own devices and networks are kept.
const KEPT_MS: i64 = 90 * DAY_MS;
/// Days after the first sign-in from which it is known what a person's own clients are.
const ESTABLISHED_DAYS: u16 = 2;

/// A successful interactive sign-in at a known place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SignIn<'a> {
    pub time_ms: i64,
    pub place: Place,
    pub ip: IpAddr,
    client: ClientPrint,
    /// Does the network lead its users out far from where they are: a carrier's or a company's gateway?
    far_gateway: bool,
    session: &'a str,
    pub event: &'a str,
}

impl<'a> SignIn<'a> {
    /// `None` for what does not say where a person is.
    pub fn of(event: &Event<'a>) -> Option<Self> {
        let interactive = match event.kind() {
            Kind::Login => true,
            Kind::MfaResult => event.factor() != Some("push"),
            _ => false,
        };
        let counts = interactive && event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human;
        if !counts || !event.network_class().tells_place() {
            return None;
        }
        let is_sound = |place: &Place| place.latitude.is_finite() && place.longitude.is_finite();
        Some(Self {
            time_ms: event.time_ms(),
            place: event.place().filter(is_sound)?,
            ip: event.ip()?,
            client: ClientPrint::of(event),
            far_gateway: matches!(event.network_class(), NetworkClass::Mobile | NetworkClass::Corporate),
            session: event.session().unwrap_or_default(),
            event: event.id(),
        })
    }

    pub fn session(&self) -> Option<&'a str> {
        Some(self.session).filter(|session| !session.is_empty())
    }
}

/// Two sign-ins that do not go together.
pub(super) struct Journey<'a> {
    /// The end that is less like the person.
    pub stranger: SignIn<'a>,
    pub other: SignIn<'a>,
    pub distance_km: f64,
    /// What is left when the radii are subtracted.
    pub least_km: f64,
    /// Is the stranger's client one that the person never used?
    pub new_client: bool,
    /// Was this network told for this person before?
    pub again: bool,
}

impl Journey<'_> {
    pub fn between_ms(&self) -> i64 {
        self.stranger.time_ms.saturating_sub(self.other.time_ms).saturating_abs()
    }

    /// `None` if no time lies between.
    pub fn speed_km_h(&self) -> Option<f64> {
        let between_ms = self.between_ms();
        (between_ms > 0).then(|| self.least_km / (between_ms as f64 / HOUR_MS as f64))
    }
}

/// One person: recent sign-ins, and the clients and networks that are theirs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Traveller {
    last_ms: i64,
    first_day: u16,
    last_day: u16,
    days: u16,
    told_network: u32,
    /// [`Past`], packed.
    sign_ins: Box<[u8]>,
    habits: Habits,
}

/// Sign-ins with which further ones are compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Past<'a>(#[serde(borrow)] Vec<SignIn<'a>>);

impl<'a> Past<'a> {
    fn unpack(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Self::default() } else { postcard::from_bytes(bytes).unwrap_or_default() }
    }

    fn pack(&self) -> Box<[u8]> {
        postcard::to_allocvec(self).unwrap_or_default().into()
    }

    /// Keeps a sign-in: one for each address, the latest ones.
    fn keep(&mut self, sign_in: SignIn<'a>) {
        if let Some(same) = self.0.iter_mut().find(|one| one.ip == sign_in.ip) {
            if sign_in.time_ms >= same.time_ms {
                *same = sign_in;
            }
            return;
        }
        if self.0.len() >= SIGN_INS_MAX
            && let Some((oldest, _)) = self.0.iter().enumerate().min_by_key(|(_, one)| one.time_ms)
        {
            self.0.remove(oldest);
        }
        self.0.push(sign_in);
    }
}

impl Default for Traveller {
    fn default() -> Self {
        Self {
            last_ms: i64::MIN,
            first_day: u16::MAX,
            last_day: 0,
            days: 0,
            told_network: 0,
            sign_ins: Box::default(),
            habits: Habits::default(),
        }
    }
}

impl Retained for Traveller {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        (self.days / 2).min(4) as u8
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.sign_ins.len()) + self.habits.heap_bytes()
    }
}

impl Traveller {
    /// Compares a sign-in with the others, then learns from it what is beyond doubt. Two that do not go together are
    /// shown to `tell`. No earlier sign-in than of `watermark_ms` will come.
    pub fn observe(&mut self, sign_in: SignIn<'_>, watermark_ms: i64, config: &Config, tell: impl FnOnce(&Journey<'_>)) {
        let day = day_of(sign_in.time_ms);
        self.days = self.days.saturating_add(u16::from(self.last_ms == i64::MIN || day > self.last_day));
        self.first_day = self.first_day.min(day);
        self.last_day = self.last_day.max(day);
        self.last_ms = self.last_ms.max(sign_in.time_ms);
        let packed = std::mem::take(&mut self.sign_ins);
        let mut past = Past::unpack(&packed);
        past.0.retain(|one| one.time_ms >= watermark_ms.saturating_sub(config.window_ms));
        match self.worst(&past, &sign_in, config) {
            None => {
                self.learn(&sign_in, day);
                past.keep(sign_in);
            }
            Some((index, distance_km, least_km)) => {
                if let Some(journey) = self.judge(&mut past, index, sign_in, config) {
                    tell(&Journey { distance_km, least_km, ..journey });
                }
            }
        }
        self.sign_ins = past.pack();
    }

    /// Which end of a journey is the stranger's; the other one is kept and learnt.
    fn judge<'a>(&mut self, past: &mut Past<'a>, index: usize, sign_in: SignIn<'a>, config: &Config) -> Option<Journey<'a>> {
        let (day, before) = (day_of(sign_in.time_ms), *past.0.get(index)?);
        let (stranger, other) = if self.is_stranger(&sign_in, &before, config) {
            (sign_in, before)
        } else {
            past.0.remove(index);
            self.learn(&sign_in, day);
            past.keep(sign_in);
            (before, sign_in)
        };
        let network = stranger.client.line();
        self.habits.learn(Feature::Network, network, day, 0.0);
        let again = std::mem::replace(&mut self.told_network, network) == network && network != 0;
        let new_client = self.is_new_client(&stranger, &other);
        Some(Journey { stranger, other, distance_km: 0.0, least_km: 0.0, new_client, again })
    }

    /// The kept sign-in that goes together least with this one: its index, the distance, and what is
    /// left of that.
    fn worst(&self, past: &Past<'_>, sign_in: &SignIn<'_>, config: &Config) -> Option<(usize, f64, f64)> {
        let pairs = past.0.iter().enumerate().filter_map(|(index, other)| {
            let distance = distance_km(&sign_in.place, &other.place);
            let radius = |one: &SignIn<'_>| f64::from(one.place.accuracy_km).max(config.radius_min_km);
            let least = distance - radius(sign_in) - radius(other);
            self.is_impossible(sign_in, other, least, config).then_some((index, distance, least))
        });
        pairs.max_by(|(_, _, a), (_, _, b)| a.total_cmp(b))
    }

    fn is_impossible(&self, a: &SignIn<'_>, b: &SignIn<'_>, least_km: f64, config: &Config) -> bool {
        let between_ms = a.time_ms.saturating_sub(b.time_ms).saturating_abs();
        // On the first day nothing is known of the person, so the way must be twice as fast.
        let speed_max_km_h = if self.days < ESTABLISHED_DAYS { 2.0 * config.speed_max_km_h } else { config.speed_max_km_h };
        let needed_ms = least_km / speed_max_km_h * HOUR_MS as f64;
        if between_ms > config.window_ms || least_km < config.distance_min_km || between_ms as f64 >= needed_ms {
            return false;
        }
        let same = a.ip == b.ip || a.client.same_device(&b.client);
        if same || (self.is_own(a, config) && self.is_own(b, config)) {
            return false;
        }
        if self.roams(a, b) || self.roams(b, a) {
            return false;
        }
        // A gateway says little of where its users are, and the first sign-in of a new phone or laptop
        // is no proof: an unknown client must speak, from farther than gateways lie. One provider at
        // both ends may have moved its addresses.
        let is_established = self.last_day.saturating_sub(self.first_day) >= ESTABLISHED_DAYS;
        let same_network = a.client.asn != 0 && a.client.asn == b.client.asn;
        if a.far_gateway || b.far_gateway || same_network {
            let new_client = is_established && (self.has_new_client(a) || self.has_new_client(b));
            return new_client && least_km >= config.gateway_distance_min_km;
        }
        // Within a country wrong places are common, and many a provider has lines and phones in one
        // network: there, too, the client must speak.
        a.place.country != b.place.country || (is_established && a.client.changes(&b.client).of_client())
    }

    /// A traveller's phone leaves the net at home, by way of its carrier: in a country of the person's,
    /// or where the network is not known as a carrier's in a region of theirs, while the person is in
    /// another country with a client of their own.
    fn roams(&self, home: &SignIn<'_>, abroad: &SignIn<'_>) -> bool {
        if home.place.country == abroad.place.country || !self.knows_client(abroad) {
            return false;
        }
        let day = day_of(home.time_ms);
        (home.far_gateway && self.habits.seen_before(Feature::Country, country(home.place.country), day))
            || self.habits.seen_before(Feature::Region, home.client.region, day)
    }

    fn knows_client(&self, one: &SignIn<'_>) -> bool {
        let day = day_of(one.time_ms);
        let seen = |feature, value| value != 0 && self.habits.seen_before(feature, value, day);
        if one.client.device != 0 { seen(Feature::Device, one.client.device) } else { seen(Feature::Agent, one.client.agent) }
    }

    fn has_new_client(&self, one: &SignIn<'_>) -> bool {
        (one.client.device != 0 || one.client.agent != 0) && !self.knows_client(one)
    }

    /// Seen on earlier days: the device, or the network often enough. A user agent is too common.
    fn is_own(&self, one: &SignIn<'_>, config: &Config) -> bool {
        let device = one.client.device != 0 && self.knows_client(one);
        device || self.habits.days(Feature::Network, one.client.line()) >= config.network_days_min
    }

    /// Of two ends, is `now` the less familiar one? If both are alike, the later one is.
    fn is_stranger(&self, now: &SignIn<'_>, before: &SignIn<'_>, config: &Config) -> bool {
        let familiar = |one: &SignIn<'_>| {
            let network = self.habits.days(Feature::Network, one.client.line());
            (self.is_own(one, config), self.knows_client(one), network.min(config.network_days_min))
        };
        let (a, b) = (familiar(now), familiar(before));
        if a == b { now.time_ms >= before.time_ms } else { a < b }
    }

    fn is_new_client(&self, stranger: &SignIn<'_>, other: &SignIn<'_>) -> bool {
        let changes = stranger.client.changes(&other.client);
        changes.of_client() && !self.knows_client(stranger)
    }

    fn learn(&mut self, sign_in: &SignIn<'_>, day: u16) {
        self.habits.learn(Feature::Device, sign_in.client.device, day, 1.0);
        self.habits.learn(Feature::Agent, sign_in.client.agent, day, 1.0);
        self.habits.learn(Feature::Network, sign_in.client.line(), day, 1.0);
        self.habits.learn(Feature::Country, country(sign_in.place.country), day, 1.0);
        self.habits.learn(Feature::Region, sign_in.client.region, day, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let place = Place { country: *b"DE", latitude: 52.5, longitude: -13.4, accuracy_km: u16::MAX };
        let one = |ip: u8, time_ms| SignIn {
            time_ms,
            place,
            ip: [ip; 16].into(),
            client: ClientPrint { asn: u32::MAX, ipv6: true, ..ClientPrint::default() },
            far_gateway: true,
            session: "ses",
            event: "",
        };
        let mut past = Past::default();
        for (ip, time_ms) in [(1, i64::MIN), (2, i64::MAX), (3, 0), (2, 5), (4, 1), (5, 2)] {
            past.keep(one(ip, time_ms));
            assert_eq!(Past::unpack(&past.pack()), past);
        }
        assert_eq!(past.0.iter().map(|one| one.time_ms).collect::<Vec<_>>(), [i64::MAX, 0, 1, 2]);
        assert_eq!(Past::unpack(&[]), Past::default());
    }
}
