//! Where one person was of late, and which two of these places do not go together.

use super::Config;
use crate::habits::{Feature, Habits, day_of};
use bartizan_core::client::{print, short};
use bartizan_core::geo::distance_km;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{ClientPrint, Event, KeyKind, Kind, NetworkClass, Outcome, Place, Retained, UserKind, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Sign-ins kept to compare with.
const SIGN_INS_MAX: usize = 4;
/// How long a person's own devices and networks are kept.
const KEPT_MS: i64 = 90 * DAY_MS;
/// Days after the first sign-in from which it is known what a person's own clients are.
const ESTABLISHED_DAYS: u16 = 2;

/// A successful interactive sign-in at a known place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SignIn {
    pub time_ms: i64,
    pub place: Place,
    pub ip: IpAddr,
    address: u32,
    client: ClientPrint,
    /// Does the network lead its users out far from where they are: a carrier's or a company's gateway?
    far_gateway: bool,
    pub session: Option<Box<str>>,
    pub event: Box<str>,
}

impl SignIn {
    /// `None` for what does not say where a person is.
    pub fn of(event: &Event<'_>) -> Option<Self> {
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
            address: short(event.key(KeyKind::Address)),
            client: ClientPrint::of(event),
            far_gateway: matches!(event.network_class(), NetworkClass::Mobile | NetworkClass::Corporate),
            session: event.session().map(Into::into),
            event: event.id().into(),
        })
    }
}

/// Two sign-ins that do not go together.
pub(super) struct Journey {
    /// The end that is less like the person.
    pub stranger: SignIn,
    pub other: SignIn,
    pub distance_km: f64,
    /// What is left when the radii are subtracted.
    pub least_km: f64,
    /// Is the stranger's client one that the person never used?
    pub new_client: bool,
    /// Was this network told for this person before?
    pub again: bool,
}

impl Journey {
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
    sign_ins: Vec<SignIn>,
    habits: Habits,
}

impl Default for Traveller {
    fn default() -> Self {
        Self {
            last_ms: i64::MIN,
            first_day: u16::MAX,
            last_day: 0,
            days: 0,
            told_network: 0,
            sign_ins: Vec::new(),
            habits: Habits::default(),
        }
    }
}

impl Retained for Traveller {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn heap_bytes(&self) -> usize {
        let texts = |one: &SignIn| heap_bytes(one.event.len()) + one.session.as_ref().map_or(0, |session| heap_bytes(session.len()));
        heap_bytes(size_of_val(self.sign_ins.as_slice())) + self.sign_ins.iter().map(texts).sum::<usize>() + self.habits.heap_bytes()
    }

    fn worth(&self) -> u8 {
        (self.days / 2).min(4) as u8
    }
}

impl Traveller {
    /// Compares a sign-in with the others, then learns from it what is beyond doubt.
    pub fn observe(&mut self, sign_in: SignIn, config: &Config) -> Option<Journey> {
        let day = day_of(sign_in.time_ms);
        self.days = self.days.saturating_add(u16::from(self.last_ms == i64::MIN || day > self.last_day));
        self.first_day = self.first_day.min(day);
        self.last_day = self.last_day.max(day);
        self.last_ms = self.last_ms.max(sign_in.time_ms);
        let worst = self.worst(&sign_in, config);
        let Some((index, distance_km, least_km)) = worst else {
            self.learn(&sign_in, day);
            self.keep(sign_in);
            return None;
        };
        let now_is_stranger = self.sign_ins.get(index).is_none_or(|before| self.is_stranger(&sign_in, before, config));
        let (stranger, other) = if now_is_stranger {
            (sign_in, self.sign_ins.get(index)?.clone())
        } else {
            let before = self.sign_ins.remove(index);
            self.learn(&sign_in, day);
            self.keep(sign_in.clone());
            (before, sign_in)
        };
        let network = stranger.client.line();
        self.habits.learn(Feature::Network, network, day, 0.0);
        let again = std::mem::replace(&mut self.told_network, network) == network && network != 0;
        let new_client = self.is_new_client(&stranger, &other);
        Some(Journey { stranger, other, distance_km, least_km, new_client, again })
    }

    /// The kept sign-in that goes together least with this one: its index, the distance, and what is
    /// left of that.
    fn worst(&self, sign_in: &SignIn, config: &Config) -> Option<(usize, f64, f64)> {
        let pairs = self.sign_ins.iter().enumerate().filter_map(|(index, other)| {
            let distance = distance_km(&sign_in.place, &other.place);
            let radius = |one: &SignIn| f64::from(one.place.accuracy_km).max(config.radius_min_km);
            let least = distance - radius(sign_in) - radius(other);
            self.is_impossible(sign_in, other, least, config).then_some((index, distance, least))
        });
        pairs.max_by(|(_, _, a), (_, _, b)| a.total_cmp(b))
    }

    fn is_impossible(&self, a: &SignIn, b: &SignIn, least_km: f64, config: &Config) -> bool {
        let between_ms = a.time_ms.saturating_sub(b.time_ms).saturating_abs();
        // On the first day nothing is known of the person, so the way must be twice as fast.
        let speed_max_km_h = if self.days < ESTABLISHED_DAYS { 2.0 * config.speed_max_km_h } else { config.speed_max_km_h };
        let needed_ms = least_km / speed_max_km_h * HOUR_MS as f64;
        if between_ms > config.window_ms || least_km < config.distance_min_km || between_ms as f64 >= needed_ms {
            return false;
        }
        let same = a.address == b.address || a.client.same_device(&b.client);
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
    fn roams(&self, home: &SignIn, abroad: &SignIn) -> bool {
        if home.place.country == abroad.place.country || !self.knows_client(abroad) {
            return false;
        }
        let day = day_of(home.time_ms);
        (home.far_gateway && self.habits.seen_before(Feature::Country, country_of(home), day))
            || self.habits.seen_before(Feature::Region, home.client.region, day)
    }

    fn knows_client(&self, one: &SignIn) -> bool {
        let day = day_of(one.time_ms);
        let seen = |feature, value| value != 0 && self.habits.seen_before(feature, value, day);
        if one.client.device != 0 { seen(Feature::Device, one.client.device) } else { seen(Feature::Agent, one.client.agent) }
    }

    fn has_new_client(&self, one: &SignIn) -> bool {
        (one.client.device != 0 || one.client.agent != 0) && !self.knows_client(one)
    }

    /// Seen on earlier days: the device, or the network often enough. A user agent is too common.
    fn is_own(&self, one: &SignIn, config: &Config) -> bool {
        let device = one.client.device != 0 && self.knows_client(one);
        device || self.habits.days(Feature::Network, one.client.line()) >= config.network_days_min
    }

    /// Of two ends, is `now` the less familiar one? If both are alike, the later one is.
    fn is_stranger(&self, now: &SignIn, before: &SignIn, config: &Config) -> bool {
        let familiar = |one: &SignIn| {
            let network = self.habits.days(Feature::Network, one.client.line());
            (self.is_own(one, config), self.knows_client(one), network.min(config.network_days_min))
        };
        let (a, b) = (familiar(now), familiar(before));
        if a == b { now.time_ms >= before.time_ms } else { a < b }
    }

    fn is_new_client(&self, stranger: &SignIn, other: &SignIn) -> bool {
        let changes = stranger.client.changes(&other.client);
        changes.of_client() && !self.knows_client(stranger)
    }

    fn learn(&mut self, sign_in: &SignIn, day: u16) {
        self.habits.learn(Feature::Device, sign_in.client.device, day, 1.0);
        self.habits.learn(Feature::Agent, sign_in.client.agent, day, 1.0);
        self.habits.learn(Feature::Network, sign_in.client.line(), day, 1.0);
        self.habits.learn(Feature::Country, country_of(sign_in), day, 1.0);
        self.habits.learn(Feature::Region, sign_in.client.region, day, 1.0);
    }

    /// Keeps a sign-in: one for each address, the latest ones.
    fn keep(&mut self, sign_in: SignIn) {
        if let Some(same) = self.sign_ins.iter_mut().find(|one| one.address == sign_in.address) {
            if sign_in.time_ms >= same.time_ms {
                *same = sign_in;
            }
            return;
        }
        if self.sign_ins.len() >= SIGN_INS_MAX
            && let Some((oldest, _)) = self.sign_ins.iter().enumerate().min_by_key(|(_, one)| one.time_ms)
        {
            self.sign_ins.remove(oldest);
        }
        self.sign_ins.push(sign_in);
    }
}

fn country_of(sign_in: &SignIn) -> u32 {
    if sign_in.place.country == [0; 2] { 0 } else { print(sign_in.place.country.into_iter()) }
}
