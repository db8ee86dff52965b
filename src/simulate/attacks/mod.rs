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
mod phishing;
mod raid;
mod services;
mod takeover;
mod tokens;

use super::atlas::Class;
use super::clients::{Client, Family};
use super::draft::{Draft, Request, User};
use super::labels::{LabelId, Plan};
use super::people::{Person, Session};
use super::stage::Stage;
use super::visits::{Actor, open_session, request, send};
use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// How an attack is planned. `None`: nobody fits as a victim at the moment.
type Launch = fn(&mut Stage, Attack, i64) -> Option<()>;

/// Makes the enum and its table of rows `Name: kind, variant, [detectors], launch;`.
macro_rules! attacks {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:literal, $variant:literal, [$($detector:literal),+], $launch:expr;)+) => {
        /// One way of attacking.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Attack {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Attack {
            /// All of them, in the order in which they are scheduled.
            pub const ALL: [Self; [$($kind),+].len()] = [$(Self::$name),+];

            fn row(self) -> (Plan, Launch) {
                match self {
                    $(Self::$name => (Plan { kind: $kind, variant: $variant, detectors: &[$($detector),+] }, $launch),)+
                }
            }
        }
    };
}

attacks! {
    /// A leaked list tried from one address.
    StuffingOneAddress: "credential_stuffing", "one_address", ["credential_stuffing"], guessing::stuffing;
    /// A stolen refresh token used after its owner has used it.
    ReplayOwnerFirst: "token_reuse", "owner_first", ["token_reuse"], tokens::owner_first;
    /// A sign-in with stolen credentials from far away, soon after the owner's.
    ImpossibleTravel: "impossible_travel", "", ["impossible_travel"], takeover::impossible_travel;
    /// A sign-in with stolen credentials from a place where the owner never was, hours later.
    UnusualLocation: "unusual_location", "", ["unusual_location"], takeover::unusual_location;
    /// A stolen session used in turns with its owner.
    SessionInTurns: "token_reuse", "in_turns", ["token_reuse"], tokens::in_turns;
    /// A leaked list tried from many addresses by one tool.
    StuffingDistributed: "credential_stuffing", "distributed", ["credential_stuffing"], guessing::stuffing;
    /// One common password tried on many accounts from one address, round after round: a list of names like any other.
    SprayingOneAddress: "password_spraying", "one_address", ["password_spraying", "credential_stuffing"], guessing::spraying;
    /// A stolen refresh token used before its owner uses it.
    ReplayThiefFirst: "token_reuse", "thief_first", ["token_reuse"], tokens::thief_first;
    /// A leaked list tried from the addresses of one /24.
    StuffingSubnet: "credential_stuffing", "subnet", ["credential_stuffing"], guessing::stuffing;
    /// A session used after its owner ended it.
    AfterLogout: "token_reuse", "after_logout", ["token_reuse"], tokens::after_logout;
    /// Many passwords tried on one account.
    BruteForce: "brute_force", "", ["brute_force"], guessing::brute_force;
    /// Push after push until somebody gives in.
    MfaFatigue: "mfa_fatigue", "", ["mfa_fatigue"], factors::mfa_fatigue;
    /// Object after object of other people, by number.
    ApiEnumeration: "api_enumeration", "", ["api_enumeration"], enumeration::newcomer;
    /// One common password from a few addresses with nothing in common: each sees a few tries.
    SprayingSpread: "password_spraying", "spread", ["password_spraying"], guessing::spraying;
    /// A sign-in with the right password in the victim's own town, and a factor of the thief's own.
    TakeoverNear: "account_takeover", "near", ["account_takeover"], takeover::near;
    /// Many passwords on one account, each from another address.
    BruteForceSpread: "brute_force", "spread", ["brute_force"], guessing::brute_force;
    /// Push after push, one or two an hour over a night.
    MfaPatient: "mfa_fatigue", "patient", ["mfa_fatigue"], factors::mfa_fatigue;
    /// Objects by number by an ordinary user with their own session, who gets what they ask for.
    ApiInsider: "api_enumeration", "insider", ["api_enumeration"], enumeration::insider;
    /// A token of the app in the hands of a script.
    AppToken: "client_integrity", "app_token", ["client_integrity", "token_reuse"], tokens::app_token;
    /// A password reset that the owner did not ask for, a sign-in, and changes.
    TakeoverRecovery: "account_takeover", "recovery", ["account_takeover"], takeover::recovery;
    /// One common password from one address, a name every few minutes for hours.
    SprayingSlow: "password_spraying", "slow", ["password_spraying", "credential_stuffing"], guessing::spraying;
    /// Many passwords on one account, one every ten minutes or so for a day.
    BruteForceSlow: "brute_force", "slow", ["brute_force"], guessing::brute_force;
    /// Approved by the victim at home; the token is issued to somebody else.
    TakeoverDeviceCode: "account_takeover", "device_code", ["account_takeover"], phishing::device_code;
    /// A leaked list through homes of others, one try an address: nothing is shared but the tool.
    StuffingProxies: "credential_stuffing", "proxies", ["credential_stuffing"], guessing::stuffing;
    /// A leaked list from one address, a try a minute for a day.
    StuffingDrip: "credential_stuffing", "drip", ["credential_stuffing"], guessing::stuffing;
    /// A leaked list over one /24, two or three tries an address, each by another browser as it seems.
    StuffingRotating: "credential_stuffing", "rotating", ["credential_stuffing"], guessing::stuffing;
    /// Passwords that are right, each used once from a home in its owner's country, by one tool.
    ValidList: "credential_stuffing", "valid_list", ["credential_stuffing", "account_takeover"], takeover::valid_list;
    /// Many passwords on one account from two addresses in turn.
    BruteForcePair: "brute_force", "two_addresses", ["brute_force"], guessing::brute_force;
    /// Push after push, and nobody gives in.
    MfaRefused: "mfa_fatigue", "refused", ["mfa_fatigue"], factors::mfa_fatigue;
    /// A stolen refresh token in the victim's own town, on another line, in the same kind of browser.
    ReplaySameTown: "token_reuse", "same_town", ["token_reuse"], tokens::same_town;
    /// A stolen cookie used from a data centre while its owner is away, who comes back to it later.
    SessionOfIdle: "token_reuse", "idle_owner", ["token_reuse", "account_takeover"], tokens::idle_owner;
    /// A session that outlives the password it was opened with, in the hands of a thief.
    AfterPasswordChange: "token_reuse", "after_password_change", ["token_reuse", "account_takeover"], tokens::after_password_change;
    /// An access token tried on the gateways of other organisations too.
    AcrossTenants: "token_reuse", "across_tenants", ["token_reuse", "client_integrity"], tokens::across_tenants;
    /// A service's key in other hands: another network, another client, other routes.
    ServiceKey: "client_integrity", "service_key", ["client_integrity", "token_reuse", "account_takeover"], services::stolen_key;
    /// Sign-ins within a minute on two continents.
    TwoContinents: "impossible_travel", "two_continents", ["impossible_travel"], takeover::two_continents;
    /// A sign-in through a VPN's exit in another country, then one from a home far away.
    TunnelFirst: "impossible_travel", "tunnel_first", ["impossible_travel", "unusual_location", "account_takeover"], takeover::tunnel_first;
    /// An account that nobody has used for days, from another country.
    DormantAccount: "unusual_location", "dormant", ["unusual_location", "account_takeover"], takeover::dormant;
    /// Objects of others by number, in no order.
    ApiRandomOrder: "api_enumeration", "random_order", ["api_enumeration"], enumeration::newcomer;
    /// Objects of others by number, one each half minute for hours.
    ApiSlow: "api_enumeration", "slow", ["api_enumeration"], enumeration::newcomer;
    /// Routes that might be there, asked for by nobody or by an account made for it.
    RouteScan: "api_enumeration", "routes", ["api_enumeration"], enumeration::routes;
    /// Signed in at a page that passes everything on, the second factor too.
    PageBetween: "account_takeover", "page_between", ["account_takeover", "token_reuse", "impossible_travel", "unusual_location"],
        phishing::page_between;
    /// An app that asks for everything, approved by the victim.
    TakeoverConsent: "account_takeover", "consent", ["account_takeover"], phishing::consent;
    /// A factor of the thief's own beside the owner's, who goes on as ever.
    FactorBeside: "account_takeover", "factor_beside", ["account_takeover"], takeover::factor_beside;
}

impl Attack {
    /// The label it gets: `kind`, `variant`, and the detectors of which any one finds it.
    pub(crate) fn plan(self) -> Plan {
        self.row().0
    }

    /// The `kind` of its label.
    #[must_use]
    pub fn kind(self) -> &'static str {
        self.plan().kind
    }

    /// The `variant` of its label; empty where there is one way alone.
    #[must_use]
    pub fn variant(self) -> &'static str {
        self.plan().variant
    }

    /// Ids of the detectors of which any one finds it.
    #[must_use]
    pub fn detectors(self) -> &'static [&'static str] {
        self.plan().detectors
    }

    /// Does it need victims whom the log has known for long?
    pub(crate) fn needs_long_past(self) -> bool {
        matches!(self, Self::UnusualLocation | Self::DormantAccount)
    }

    /// Plans the attack from `now_ms` on. False if nobody fits as a victim at the moment.
    pub(crate) fn launch(self, stage: &mut Stage, now_ms: i64) -> bool {
        let (_, launch) = self.row();
        launch(stage, self, now_ms).is_some()
    }
}

/// No first-level region of a country is as wide, one or two of the emptiest excepted.
const REGION_KM: f64 = 2_000.0;
/// So far from its phones a carrier may lead them into the net.
const GATEWAY_KM: f64 = 3_000.0;
/// Near a place.
const NEAR_KM: f64 = 500.0;
/// Without a past no place is unusual: whoever is known has signed in at least this often.
const SIGN_INS_MIN: u32 = 4;
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

/// A server in some data centre.
fn hosted(stage: &mut Stage) -> Option<IpAddr> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    Some(stage.atlas.address(network, number))
}

/// An address of the victim's own town, on a line or a phone that is not theirs.
fn near_address(stage: &mut Stage, person: &Person) -> Option<IpAddr> {
    let asn = |stage: &Stage, network: Option<u16>| network.and_then(|n| stage.atlas.network(n)).map(|n| n.asn);
    let own = [Some(person.home), person.carrier].map(|network| asn(stage, network));
    (0..50).find_map(|_| {
        let class = stage.dice.of(&[Class::Residential, Class::Mobile]);
        let network = stage.atlas.pick(&mut stage.dice, person.town, class, false)?;
        let number = stage.dice.bits();
        // One provider's lines look alike from the outside.
        (!own.contains(&asn(stage, Some(network)))).then(|| stage.atlas.address(network, number))
    })
}

/// Days in which somebody must have come to be known.
fn is_known(person: &Person, now_ms: i64) -> bool {
    !person.dormant && person.sign_ins >= SIGN_INS_MIN && has_past(person, now_ms)
}

/// Fits whom the log knows well, in days and by place.
fn has_routine(now_ms: i64) -> impl Fn(&Stage, &Person) -> bool {
    move |stage, person| is_known(person, now_ms) && has_place(stage, person)
}

/// The owner goes on as ever, at the laptop.
fn owner_goes_on(stage: &mut Stage, person: &mut Person, from_ms: i64) -> i64 {
    let ip = person.home_ip(stage, from_ms);
    let owner = Actor::owner(person, false, ip, 0);
    let mut time_ms = from_ms;
    let session = person.laptop_session.unwrap_or_else(|| open_session(stage, owner, time_ms));
    person.laptop_session = Some(session);
    for _ in 0..stage.dice.between(2, 5) {
        time_ms += stage.wait_ms(5 * SECOND_MS, 2 * MINUTE_MS);
        request(stage, owner, session, time_ms);
    }
    time_ms
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
        let action = stage.dice.of(&["email_changed", "phone_changed", "profile_changed"]);
        stage.emit(Draft { session: session.id, action, ..thief.draft(time_ms, "account_change", "success") });
    }
    time_ms
}

/// A request for one object by its number.
fn fetch(stage: &mut Stage, thief: Actor, session: Session, object: u64, status: u16, time_ms: i64) {
    let bytes = if status == 200 { 2_400 } else { 190 };
    let request = Request { method: "GET", path: "/api/v1/invoices/#", object, status, bytes, duration_ms: 12 };
    send(stage, thief, session, request, time_ms);
}
