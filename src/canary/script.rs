//! One attack of each kind, as events with their times up to now.
//!
//! Each is about twice as loud as the defaults of its detector ask for, and no older than a minute and a half. Names are new
//! in each round, and the tenant is that of one process alone: another installation that reads the same brokers, or the
//! process before a restart, has another. Addresses lie in blocks for documentation, which no place or network file has;
//! but where it takes a place.

use super::TENANT;
use bartizan_core::batch::Field;
use bartizan_core::time::SECOND_MS;
use bartizan_core::{Attestation, EventDraft, Kind, Outcome, TokenHash};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const TOOL: &str = "python-requests/2.32";

/// A client with its line.
#[derive(Clone, Copy)]
struct Client<'a> {
    ip: IpAddr,
    agent: &'static str,
    device: &'a str,
}

/// The events of one attack in the making.
pub(super) struct Script {
    detector: &'static str,
    round: i64,
    tenant: String,
    /// The round in which the attack began: for most this one.
    began: i64,
    /// Its events in the rounds before.
    before: usize,
    events: Vec<EventDraft<'static>>,
}

impl Script {
    /// The attack for `detector` in the round that is sent at `round`, of the process that began at `began_ms`.
    pub fn new(detector: &'static str, round: i64, began_ms: i64) -> Self {
        Self { detector, round, tenant: format!("{TENANT}-{began_ms}"), began: round, before: 0, events: Vec::new() }
    }

    /// What the ids of an attack's events begin with, in all rounds that it takes. No other's begin so.
    pub fn mark(&self) -> String {
        format!("canary-{}-{}-", self.began, self.detector)
    }

    /// The events, in order.
    pub fn into_events(self) -> Vec<EventDraft<'static>> {
        self.events
    }

    /// Adds an event of `ago_ms` before the round.
    fn push(&mut self, ago_ms: i64, kind: Kind, user: &str, client: Client<'_>) -> &mut EventDraft<'static> {
        let mut event = EventDraft {
            time_ms: self.round.saturating_sub(ago_ms),
            kind,
            outcome: Outcome::Success,
            ip: Some(client.ip),
            ..EventDraft::default()
        };
        let id = format!("{}{}", self.mark(), self.before + self.events.len());
        for (field, text) in [(Field::Id, id.as_str()), (Field::Tenant, &self.tenant), (Field::User, user), (Field::Device, client.device)]
        {
            event.texts.set(field, text.to_owned());
        }
        event.texts.set(Field::UserAgent, client.agent);
        event.texts.set(Field::Source, "canary");
        self.events.push_mut(event)
    }

    /// The same that failed.
    fn fail(&mut self, ago_ms: i64, kind: Kind, user: &str, client: Client<'_>, reason: &'static str) -> &mut EventDraft<'static> {
        let event = self.push(ago_ms, kind, user, client);
        event.outcome = Outcome::Failure;
        event.texts.set(Field::Reason, reason);
        event
    }

    /// A name that is new in each round.
    fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.round)
    }

    /// An address of a network that is new in each round, of the rounds of 18 hours.
    fn address(&self, host: u16) -> IpAddr {
        let net = (self.round.div_euclid(SECOND_MS) & 0xffff) as u16;
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host))
    }

    fn tool(&self) -> Client<'static> {
        Client { ip: self.address(7), agent: TOOL, device: "" }
    }

    /// Thirty names from one address.
    pub fn stuffing(&mut self) {
        for n in 0..30 {
            self.fail(60_000 - n * 2_000, Kind::Login, &self.name(&format!("name{n}")), self.tool(), "bad_password");
        }
    }

    /// Thirty guesses at one name.
    pub fn guessing(&mut self) {
        for n in 0..30 {
            self.fail(60_000 - n * 1_700 - n % 3 * 400, Kind::Login, &self.name("guessed"), self.tool(), "bad_password");
        }
    }

    /// A refresh token that comes back from another client after its successor was used.
    pub fn theft(&mut self) {
        let device = self.name("laptop");
        let owner = Client { ip: self.address(1), agent: BROWSER, device: &device };
        let thief = Client { ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)), agent: TOOL, device: "" };
        for (ago_ms, client, presented, issued) in [(80_000, owner, 1, 2), (50_000, owner, 2, 3), (10_000, thief, 1, 4)] {
            let (user, session) = (self.name("robbed"), self.name("stolen"));
            let token = |number: u8| token(&format!("{session}-{number}"));
            let event = self.push(ago_ms, Kind::TokenRefresh, &user, client);
            (event.token, event.token_issued) = (Some(token(presented)), Some(token(issued)));
            event.texts.set(Field::Session, session);
        }
    }

    /// Eighty objects one after the other, none of which is there.
    pub fn walk(&mut self) {
        // A route of its own: one that is refused to everybody who asks is broken, not attacked.
        let route = self.name("api");
        for n in 0..80 {
            let event = self.fail(60_000 - n * 700, Kind::ApiRequest, &self.name("walker"), self.tool(), "not_found");
            event.status = Some(404);
            event.texts.set(Field::Method, "GET");
            event.texts.set(Field::Path, format!("/{route}/orders/{}", 1_000 + n * 7_919));
        }
    }

    /// Eight pushes that a person denies.
    pub fn pushes(&mut self) {
        for n in 0..8 {
            for (ago_ms, kind) in [(80_000, Kind::MfaChallenge), (77_000, Kind::MfaResult)] {
                let event = self.push(ago_ms - n * 9_000, kind, &self.name("bombed"), self.tool());
                event.texts.set(Field::Factor, "push");
                if kind == Kind::MfaResult {
                    event.outcome = Outcome::Denied;
                    event.texts.set(Field::Reason, "mfa_denied");
                }
            }
        }
    }

    /// Sixteen new users behind one phone, which proves to nobody that it is one.
    pub fn farm(&mut self) {
        let device = self.name("phone");
        for n in 0..16 {
            let ip =
                [[192, 0, 2, 9], [198, 51, 100, 9], [203, 0, 113, 9]].get(n as usize % 3).map_or(Ipv4Addr::UNSPECIFIED, |ip| (*ip).into());
            let client = Client { ip: ip.into(), agent: "Canary/1.0 (Android 16)", device: &device };
            let event = self.push(60_000 - n * 3_000, Kind::Signup, &self.name(&format!("fresh{n}")), client);
            event.attestation = Attestation::Failed;
            event.texts.set(Field::App, "canary");
        }
    }

    /// A sign-in here, and one far away.
    pub fn journey(&mut self, [here, there]: [IpAddr; 2]) {
        let laptop = self.name("laptop");
        for (ago_ms, ip, agent, device) in [(60_000, here, BROWSER, laptop.as_str()), (20_000, there, TOOL, "")] {
            let session = self.name(agent);
            let event = self.push(ago_ms, Kind::Login, &self.name("traveller"), Client { ip, agent, device });
            event.texts.set(Field::Session, session);
        }
    }

    /// Names from `number` on, each tried once from an address of its own, in the tenant of a campaign.
    pub fn spray(&mut self, campaign: i64, number: u16, names: u16) {
        self.tenant = format!("{}-{campaign}", self.tenant);
        (self.began, self.before) = (campaign, number.into());
        for n in number..number.saturating_add(names) {
            let ip = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 9));
            let ago_ms = 40_000 - i64::from(n - number) * 9_000;
            self.fail(ago_ms, Kind::Login, &format!("sprayed{n}"), Client { ip, agent: TOOL, device: "" }, "bad_password");
        }
    }

    /// The user whose habits are learnt in order to be attacked on `day`.
    fn worker(&self, day: i64) -> String {
        format!("{}-{day}", self.detector)
    }

    fn at_home(device: &str, home: Option<IpAddr>) -> Client<'_> {
        Client { ip: home.unwrap_or(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20))), agent: BROWSER, device }
    }

    /// An ordinary sign-in of the one who is attacked on `day`.
    pub fn habit(&mut self, day: i64, home: Option<IpAddr>) {
        let (user, session) = (self.worker(day), self.name("own"));
        let device = format!("{user}'s laptop");
        let event = self.push(70_000, Kind::Login, &user, Self::at_home(&device, home));
        event.texts.set(Field::Session, session);
    }

    /// A sign-in of the same from far away, with nothing that is theirs.
    pub fn stranger(&mut self, day: i64, there: IpAddr) {
        let (user, session) = (self.worker(day), self.name("foreign"));
        let event = self.push(10_000, Kind::Login, &user, Client { ip: there, agent: TOOL, device: "stranger" });
        event.texts.set(Field::Session, session);
    }

    /// A stranger who signs in and adds a second factor.
    pub fn takeover(&mut self, day: i64) {
        let (user, session) = (self.worker(day), self.name("taken"));
        let client = Client { ip: self.address(99), agent: TOOL, device: "stranger" };
        for (ago_ms, kind) in [(60_000, Kind::Login), (10_000, Kind::AccountChange)] {
            let event = self.push(ago_ms, kind, &user, client);
            event.texts.set(Field::Session, session.clone());
            if kind == Kind::AccountChange {
                event.texts.set(Field::Factor, "totp");
            }
        }
    }

    /// The event behind all others, by whose judgement a round is over.
    pub fn end(&mut self) {
        self.push(0, Kind::Other, "canary", self.tool());
    }
}

fn token(name: &str) -> TokenHash {
    let digest = Sha256::digest(name);
    TokenHash(digest.first_chunk::<16>().copied().unwrap_or_default())
}
