//! The attacks, one function each, written from how they are done, not from what detectors look for.
//!
//! An attack plans all of its events at once; they wait for their time among everybody's. What its
//! victim does in the same minutes is planned with it, and the victim is busy until then.
//!
//! What leaves no evidence in the log is no labelled attack: a thief whom nobody could tell from the
//! victim, with all that the log says, would only measure luck.

mod enumeration;
mod factors;
mod guessing;
mod takeover;
mod tokens;

use super::atlas::Class;
use super::clients::{Client, Family};
use super::draft::{Request, User};
use super::labels::{LabelId, Plan};
use super::people::{Person, Session};
use super::stage::Stage;
use super::visits::{Actor, request, send};
use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// One way of attacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// A leaked list tried from one address.
    StuffingOneAddress,
    /// A leaked list tried from the addresses of one /24.
    StuffingSubnet,
    /// A leaked list tried from many addresses by one tool.
    StuffingDistributed,
    /// One common password tried on many accounts from one address, round after round.
    SprayingOneAddress,
    /// The same from a few addresses with nothing in common: each sees a few tries.
    SprayingSpread,
    /// The same from one address, a name every few minutes for hours.
    SprayingSlow,
    /// Many passwords tried on one account.
    BruteForce,
    /// The same, a password every ten minutes or so for a day.
    BruteForceSlow,
    /// The same, each password from another address.
    BruteForceSpread,
    /// A stolen refresh token used before its owner uses it.
    ReplayThiefFirst,
    /// A stolen refresh token used after its owner has used it.
    ReplayOwnerFirst,
    /// A stolen session used in turns with its owner.
    SessionInTurns,
    /// A session used after its owner ended it.
    AfterLogout,
    /// A sign-in with stolen credentials from far away, soon after the owner's.
    ImpossibleTravel,
    /// A sign-in with stolen credentials from a place where the owner never was, hours later.
    UnusualLocation,
    /// Push after push until somebody gives in.
    MfaFatigue,
    /// The same, one or two an hour over a night.
    MfaPatient,
    /// Object after object of other people, by number.
    ApiEnumeration,
    /// The same by an ordinary user with their own session, who gets what they ask for.
    ApiInsider,
    /// A token of the app in the hands of a script.
    AppToken,
    /// A sign-in with the right password in the victim's own town, and a factor of the thief's own.
    TakeoverNear,
    /// A password reset that the owner did not ask for, a sign-in, and changes.
    TakeoverRecovery,
    /// Approved by the victim at home; the token is issued to somebody else.
    TakeoverDeviceCode,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::StuffingOneAddress,
        Self::ReplayOwnerFirst,
        Self::ImpossibleTravel,
        Self::UnusualLocation,
        Self::SessionInTurns,
        Self::StuffingDistributed,
        Self::SprayingOneAddress,
        Self::ReplayThiefFirst,
        Self::StuffingSubnet,
        Self::AfterLogout,
        Self::BruteForce,
        Self::MfaFatigue,
        Self::ApiEnumeration,
        Self::SprayingSpread,
        Self::TakeoverNear,
        Self::BruteForceSpread,
        Self::MfaPatient,
        Self::ApiInsider,
        Self::AppToken,
        Self::TakeoverRecovery,
        Self::SprayingSlow,
        Self::BruteForceSlow,
        Self::TakeoverDeviceCode,
    ];

    /// The label it gets: `kind`, `variant`, and the detectors of which any one finds it.
    pub(crate) fn plan(self) -> Plan {
        let (kind, variant, detectors): (_, _, &'static [&'static str]) = match self {
            Self::StuffingOneAddress => ("credential_stuffing", "one_address", &["credential_stuffing"]),
            Self::StuffingSubnet => ("credential_stuffing", "subnet", &["credential_stuffing"]),
            Self::StuffingDistributed => ("credential_stuffing", "distributed", &["credential_stuffing"]),
            // From one address it is a list of names like any other.
            Self::SprayingOneAddress => ("password_spraying", "one_address", &["password_spraying", "credential_stuffing"]),
            Self::SprayingSpread => ("password_spraying", "spread", &["password_spraying"]),
            Self::SprayingSlow => ("password_spraying", "slow", &["password_spraying", "credential_stuffing"]),
            Self::BruteForce => ("brute_force", "", &["brute_force"]),
            Self::BruteForceSlow => ("brute_force", "slow", &["brute_force"]),
            Self::BruteForceSpread => ("brute_force", "spread", &["brute_force"]),
            Self::ReplayThiefFirst => ("token_reuse", "thief_first", &["token_reuse"]),
            Self::ReplayOwnerFirst => ("token_reuse", "owner_first", &["token_reuse"]),
            Self::SessionInTurns => ("token_reuse", "in_turns", &["token_reuse"]),
            Self::AfterLogout => ("token_reuse", "after_logout", &["token_reuse"]),
            Self::ImpossibleTravel => ("impossible_travel", "", &["impossible_travel"]),
            Self::UnusualLocation => ("unusual_location", "", &["unusual_location"]),
            Self::MfaFatigue => ("mfa_fatigue", "", &["mfa_fatigue"]),
            Self::MfaPatient => ("mfa_fatigue", "patient", &["mfa_fatigue"]),
            Self::ApiEnumeration => ("api_enumeration", "", &["api_enumeration"]),
            Self::ApiInsider => ("api_enumeration", "insider", &["api_enumeration"]),
            Self::AppToken => ("client_integrity", "app_token", &["client_integrity", "token_reuse"]),
            Self::TakeoverNear => ("account_takeover", "near", &["account_takeover"]),
            Self::TakeoverRecovery => ("account_takeover", "recovery", &["account_takeover"]),
            Self::TakeoverDeviceCode => ("account_takeover", "device_code", &["account_takeover"]),
        };
        Plan { kind, variant, detectors }
    }

    /// The `kind` of its label.
    #[must_use]
    pub fn kind(self) -> &'static str {
        self.plan().kind
    }

    /// Ids of the detectors of which any one finds it.
    #[must_use]
    pub fn detectors(self) -> &'static [&'static str] {
        self.plan().detectors
    }

    /// Plans the attack from `now_ms` on. False if nobody fits as a victim at the moment.
    pub(crate) fn launch(self, stage: &mut Stage, now_ms: i64) -> bool {
        let launched = match self {
            Self::StuffingOneAddress | Self::StuffingSubnet | Self::StuffingDistributed => guessing::stuffing(stage, self, now_ms),
            Self::SprayingOneAddress | Self::SprayingSpread | Self::SprayingSlow => guessing::spraying(stage, self, now_ms),
            Self::BruteForce | Self::BruteForceSlow | Self::BruteForceSpread => guessing::brute_force(stage, self, now_ms),
            Self::ReplayThiefFirst => tokens::thief_first(stage, now_ms),
            Self::ReplayOwnerFirst => tokens::owner_first(stage, now_ms),
            Self::SessionInTurns => tokens::in_turns(stage, now_ms),
            Self::AfterLogout => tokens::after_logout(stage, now_ms),
            Self::ImpossibleTravel => takeover::impossible_travel(stage, now_ms),
            Self::UnusualLocation => takeover::unusual_location(stage, now_ms),
            Self::MfaFatigue | Self::MfaPatient => factors::mfa_fatigue(stage, self, now_ms),
            Self::ApiEnumeration => enumeration::newcomer(stage, now_ms),
            Self::ApiInsider => enumeration::insider(stage, now_ms),
            Self::AppToken => tokens::app_token(stage, now_ms),
            Self::TakeoverNear => takeover::near(stage, now_ms),
            Self::TakeoverRecovery => takeover::recovery(stage, now_ms),
            Self::TakeoverDeviceCode => takeover::device_code(stage, now_ms),
        };
        launched.is_some()
    }
}

/// Somebody who fits, has not been attacked in the last days, and is not on a journey.
fn victim(stage: &mut Stage, now_ms: i64, fits: impl Fn(&Stage, &Person) -> bool) -> Option<(usize, Person)> {
    let count = stage.people.len();
    let busy_until_max_ms = now_ms + if stage.pace.haste { SECOND_MS } else { 10 * MINUTE_MS };
    (0..400).find_map(|_| {
        let index = stage.dice.index(count);
        let person = *stage.people.get(index)?;
        let settled = person.trip.is_none() && person.next_trip_ms > now_ms + DAY_MS && now_ms - person.attacked_ms > 3 * DAY_MS;
        (settled && person.busy_until_ms <= busy_until_max_ms && fits(stage, &person)).then_some((index, person))
    })
}

/// Writes the victim back: attacked, and busy until `until_ms`.
fn settle(stage: &mut Stage, index: usize, mut person: Person, until_ms: i64) {
    person.attacked_ms = until_ms;
    person.busy_until_ms = person.busy_until_ms.max(until_ms);
    if let Some(slot) = stage.people.get_mut(index) {
        *slot = person;
    }
}

/// No first-level region of a country is as wide, one or two of the emptiest excepted.
const REGION_KM: f64 = 2_000.0;
/// So far from its phones a carrier may lead them into the net.
const GATEWAY_KM: f64 = 3_000.0;
/// Near a place.
const NEAR_KM: f64 = 500.0;
/// Time after which the log knows what is somebody's own.
const PAST_MS: i64 = 2 * DAY_MS;

/// Does the log know somebody for long enough to tell a stranger from a second device?
fn has_past(person: &Person, now_ms: i64) -> bool {
    person.active_days >= 2 && now_ms.saturating_sub(person.first_seen_ms) >= PAST_MS
}

/// Does the log show where somebody lives? Behind a tunnel or a satellite no place is far from there.
fn has_place(stage: &Stage, person: &Person) -> bool {
    let on_satellite = stage.atlas.network(person.home).is_none_or(|home| home.class == Class::Satellite);
    person.vpn.is_none() && person.relay.is_none() && !on_satellite
}

/// Could a network so far away be told from the person's own? A carrier's gateways and one provider's
/// lines look alike from the outside, and places within a country are often wrong.
fn is_elsewhere(stage: &Stage, person: &Person, network: u16, km: f64, now_ms: i64) -> bool {
    let asn = |network: Option<u16>| network.and_then(|n| stage.atlas.network(n)).map(|n| n.asn);
    let Some(there) = stage.atlas.network(network) else { return false };
    let is_own = asn(Some(person.home)) == Some(there.asn) || asn(person.carrier) == Some(there.asn);
    let country = |town| stage.atlas.town(town).map(|town| town.place.country);
    let is_abroad = country(there.town) != country(person.town);
    let was_there = person.been_in.is_some_and(|town| stage.atlas.distance_km(town, there.town) < NEAR_KM);
    let is_plain = match there.class {
        Class::Mobile => !is_own && km >= GATEWAY_KM && has_past(person, now_ms),
        _ => !is_own || (km >= REGION_KM && person.home_v6.is_none() && has_past(person, now_ms)),
    };
    is_plain && !was_there && (is_abroad || has_past(person, now_ms))
}

/// An address at least `km_min` from somebody's home, of a home or a phone.
fn far_address(stage: &mut Stage, person: &Person, now_ms: i64, km_min: f64, km_max: f64) -> Option<IpAddr> {
    (0..200).find_map(|_| {
        let there = stage.atlas.any_town(&mut stage.dice);
        let km = stage.atlas.distance_km(person.town, there);
        if km < km_min || km > km_max {
            return None;
        }
        // Who watches a demonstration is shown the plain case.
        let class =
            if stage.pace.haste { Class::Residential } else { stage.dice.of(&[Class::Residential, Class::Residential, Class::Mobile]) };
        let network = stage.atlas.pick(&mut stage.dice, there, class, false)?;
        let number = stage.dice.bits();
        is_elsewhere(stage, person, network, km, now_ms).then(|| stage.atlas.address(network, number))
    })
}

/// A thief's client: a browser of their own, seldom a script.
fn thief_client(stage: &mut Stage) -> Client {
    match stage.dice.between(0, 9) {
        0 => Client::tool(Family::PythonRequests),
        1 => Client::tool(Family::Curl),
        2 => Client::tool(Family::GoHttp),
        n => {
            let family = if n < 6 { Family::ChromeWindows } else { Family::Firefox };
            Client { family, device: stage.number(), update_lag_days: stage.dice.between(30, 120) as u8 }
        }
    }
}

/// Somebody who acts as the victim from elsewhere.
fn thief_of(stage: &mut Stage, person: &Person, label: LabelId, ip: IpAddr) -> Actor {
    let client = thief_client(stage);
    Actor { tenant: person.tenant, user: User::Person(person.number), ip, client, label, by_owner: false }
}

/// What a thief does inside: looks around, and now and then makes the account their own.
fn use_account(stage: &mut Stage, thief: Actor, session: Session, from_ms: i64) -> i64 {
    let mut time_ms = from_ms;
    for _ in 0..stage.dice.between(2, 8) {
        time_ms += stage.wait_ms(2 * SECOND_MS, 30 * SECOND_MS);
        request(stage, thief, session, time_ms);
    }
    if stage.dice.chance(0.3) {
        time_ms += stage.wait_ms(10 * SECOND_MS, MINUTE_MS);
        let change = super::draft::Draft { session: session.id, ..thief.draft(time_ms, "account_change", "success") };
        stage.emit(change);
    }
    time_ms
}

/// A request for one object by its number.
fn fetch(stage: &mut Stage, thief: Actor, session: Session, object: u64, status: u16, time_ms: i64) {
    let bytes = if status == 200 { 2_400 } else { 190 };
    let request = Request { method: "GET", path: "/api/v1/invoices/#", object, status, bytes, duration_ms: 12 };
    send(stage, thief, session, request, time_ms);
}
