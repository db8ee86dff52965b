//! Which two sign-ins of one person do not go together.

use super::Config;
use super::recent::{Past, Text};
use bartizan_core::client::country;
use bartizan_core::geo::distance_km;
use bartizan_core::people::{Feature, day_of};
use bartizan_core::time::HOUR_MS;
use bartizan_core::{ClientPrint, Event, Kind, NetworkClass, Outcome, Person, Place, UserKind};
use std::net::IpAddr;

/// Days after the first sign-in from which it is known what a person's own clients are.
const ESTABLISHED_DAYS: u16 = 2;

/// A successful interactive sign-in at a known place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SignIn<'a> {
    pub time_ms: i64,
    pub place: Place,
    pub ip: IpAddr,
    pub client: ClientPrint,
    /// Does the network lead its users out far from where they are: a carrier's or a company's gateway?
    pub far_gateway: bool,
    /// Empty if it has none.
    pub session: Text<'a>,
    pub event: Text<'a>,
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
            session: Text::Plain(event.session().unwrap_or_default()),
            event: Text::Plain(event.id()),
        })
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

/// What is compared, and what it is judged by.
pub(super) struct Traveller<'a> {
    person: &'a Person,
    config: &'a Config,
    /// Days on which the person was seen, this one included.
    days: u16,
    /// Days since the first of them.
    age: u16,
}

/// A sign-in that another one does not go with.
#[derive(Clone, Copy)]
pub(super) struct Conflict<'a> {
    pub with: SignIn<'a>,
    distance_km: f64,
    pub least_km: f64,
}

/// Whether two sign-ins go together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    /// The way is possible.
    Fits,
    /// It is not, but this explains it.
    Excused(&'static str),
    Conflicts,
}

/// What was compared with a sign-in: of those that conflict, and of those that are excused, the farthest.
#[derive(Default)]
pub(super) struct Compared<'a> {
    pub compared: usize,
    pub conflict: Option<Conflict<'a>>,
    pub excused: Option<(Conflict<'a>, &'static str)>,
}

impl<'a> Traveller<'a> {
    /// A person on the day of this sign-in.
    pub fn new(person: &'a Person, sign_in: &SignIn<'_>, config: &'a Config) -> Self {
        let day = day_of(sign_in.time_ms);
        Self { person, config, days: person.habits.days_by(day), age: person.habits.age_by(day) }
    }

    /// Which end of a journey is the stranger's. The other one is kept.
    pub fn judge<'s>(&self, past: &mut Past<'s>, conflict: Conflict<'s>, sign_in: SignIn<'s>) -> Journey<'s> {
        let before = conflict.with;
        let (stranger, other) = if self.is_stranger(&sign_in, &before) {
            (sign_in, before)
        } else {
            past.remove(before.ip);
            past.keep(sign_in);
            (before, sign_in)
        };
        let new_client = self.is_new_client(&stranger, &other);
        Journey { stranger, other, distance_km: conflict.distance_km, least_km: conflict.least_km, new_client }
    }

    /// The kept sign-in that goes together least with this one.
    pub fn compare<'s>(&self, past: &Past<'s>, sign_in: &SignIn<'_>) -> Compared<'s> {
        let mut all = Compared::default();
        for other in past.iter().filter(|other| self.is_comparable(sign_in, other)) {
            let distance_km = distance_km(&sign_in.place, &other.place);
            let radius = |one: &SignIn<'_>| f64::from(one.place.accuracy_km).max(self.config.radius_min_km);
            let least_km = distance_km - radius(sign_in) - radius(other);
            let conflict = Conflict { with: *other, distance_km, least_km };
            let is_farther = |than: Option<&Conflict<'_>>| than.is_none_or(|than| least_km >= than.least_km);
            all.compared += 1;
            match self.weigh(sign_in, other, least_km) {
                Match::Conflicts if is_farther(all.conflict.as_ref()) => all.conflict = Some(conflict),
                Match::Excused(gate) if is_farther(all.excused.as_ref().map(|(one, _)| one)) => all.excused = Some((conflict, gate)),
                _ => {}
            }
        }
        all
    }

    /// Neither the same client nor out of each other's window.
    fn is_comparable(&self, a: &SignIn<'_>, b: &SignIn<'_>) -> bool {
        let between_ms = a.time_ms.saturating_sub(b.time_ms).saturating_abs();
        between_ms <= self.config.window_ms && a.ip != b.ip && !a.client.same_device(&b.client)
    }

    fn weigh(&self, a: &SignIn<'_>, b: &SignIn<'_>, least_km: f64) -> Match {
        let (config, between_ms) = (self.config, a.time_ms.saturating_sub(b.time_ms).saturating_abs());
        // On the first day nothing is known of the person, so the way must be twice as fast.
        let speed_max_km_h = if self.days < ESTABLISHED_DAYS { 2.0 * config.speed_max_km_h } else { config.speed_max_km_h };
        let needed_ms = least_km / speed_max_km_h * HOUR_MS as f64;
        if least_km < config.distance_min_km || between_ms as f64 >= needed_ms {
            return Match::Fits;
        }
        if self.is_own(a) && self.is_own(b) {
            return Match::Excused("own_at_both_ends");
        }
        if self.roams(a, b) || self.roams(b, a) {
            return Match::Excused("roaming");
        }
        // A gateway says little of where its users are, and the first sign-in of a new phone or laptop
        // is no proof: an unknown client must speak, from farther than gateways lie. One provider at
        // both ends may have moved its addresses.
        let is_established = self.age >= ESTABLISHED_DAYS;
        let same_network = a.client.asn != 0 && a.client.asn == b.client.asn;
        if a.far_gateway || b.far_gateway || same_network {
            let new_client = is_established && (self.has_new_client(a) || self.has_new_client(b));
            let is_far = new_client && least_km >= config.gateway_distance_min_km;
            return if is_far { Match::Conflicts } else { Match::Excused("gateway") };
        }
        // Within a country wrong places are common, and many a provider has lines and phones in one
        // network: there, too, the client must speak.
        let speaks = a.place.country != b.place.country || (is_established && a.client.changes(&b.client).of_client());
        if speaks { Match::Conflicts } else { Match::Excused("same_country_and_client") }
    }

    /// A traveller's phone leaves the net at home, by way of its carrier: in a country of the person's,
    /// or where the network is not known as a carrier's in a region of theirs, while the person is in
    /// another country with a client of their own.
    fn roams(&self, home: &SignIn<'_>, abroad: &SignIn<'_>) -> bool {
        if home.place.country == abroad.place.country || !self.knows_client(abroad) {
            return false;
        }
        let day = day_of(home.time_ms);
        let owned = |feature, value| self.person.habits.owned_before(feature, value, day);
        (home.far_gateway && owned(Feature::Country, country(home.place.country))) || owned(Feature::Region, home.client.region)
    }

    fn knows_client(&self, one: &SignIn<'_>) -> bool {
        let day = day_of(one.time_ms);
        let (feature, value) =
            if one.client.device != 0 { (Feature::Device, one.client.device) } else { (Feature::Agent, one.client.agent) };
        value != 0 && self.person.habits.owned_before(feature, value, day)
    }

    fn has_new_client(&self, one: &SignIn<'_>) -> bool {
        (one.client.device != 0 || one.client.agent != 0) && !self.knows_client(one)
    }

    /// Seen on earlier days: the device, or the network often enough. A user agent is too common.
    fn is_own(&self, one: &SignIn<'_>) -> bool {
        let device = one.client.device != 0 && self.knows_client(one);
        device || self.network_days(one) >= self.config.network_days_min
    }

    fn network_days(&self, one: &SignIn<'_>) -> u16 {
        self.person.habits.days_of(Feature::Network, one.client.line())
    }

    /// Of two ends, is `now` the less familiar one? If both are alike, the later one is.
    fn is_stranger(&self, now: &SignIn<'_>, before: &SignIn<'_>) -> bool {
        let familiar =
            |one: &SignIn<'_>| (self.is_own(one), self.knows_client(one), self.network_days(one).min(self.config.network_days_min));
        let (a, b) = (familiar(now), familiar(before));
        if a == b { now.time_ms >= before.time_ms } else { a < b }
    }

    fn is_new_client(&self, stranger: &SignIn<'_>, other: &SignIn<'_>) -> bool {
        let changes = stranger.client.changes(&other.client);
        changes.of_client() && !self.knows_client(stranger)
    }
}
