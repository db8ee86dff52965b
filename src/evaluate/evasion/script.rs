//! A strategy at a rate, as events.

use super::VICTIMS;
use super::scene::{DAYS, Scene};
use super::strategy::{Line, Looks, Strategy, Tries};
use crate::simulate::dice::Dice;
use crate::simulate::{Atlas, Class, Client, FIRST_NAMES, Family, LAST_NAMES};
use bartizan_core::batch::Field;
use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{EventDraft, Kind, Outcome};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of a /24 that take part.
const SUBNET_ADDRESSES: u32 = 120;
/// One name of a leaked list in so many is a person's here.
const KNOWN_EVERY: usize = 10;
/// Requests with one stolen session, a minute apart.
const SESSION_REQUESTS: i64 = 10;
/// The route that is walked, which people here use, too.
const ROUTE: &str = "/api/v1/invoices/";

/// An attack in the making.
pub(super) struct Script<'a> {
    scene: &'a Scene,
    strategy: &'a Strategy,
    rate: u32,
    /// Number of the one whose account is got into.
    victim: Option<usize>,
    dice: Dice,
    atlas: Atlas,
    /// Networks of hoster or homes.
    networks: Vec<u16>,
    /// Addresses that are used in turns; empty: another one each time.
    addresses: Vec<IpAddr>,
    events: Vec<EventDraft<'a>>,
}

impl<'a> Script<'a> {
    pub(super) fn new(scene: &'a Scene, strategy: &'a Strategy, rate: u32) -> Self {
        let (mut dice, atlas) = (Dice::new(scene.seed), Atlas::new());
        let networks = match strategy.line {
            Line::Address | Line::Subnet | Line::Hoster => atlas.anywhere(&mut dice, Class::Hosting).into_iter().collect(),
            Line::Homes(_) | Line::EachHome => {
                let towns: Vec<u16> = scene.tenant.countries.iter().flat_map(|country| atlas.towns_in(*country)).collect();
                towns.into_iter().filter_map(|town| atlas.pick(&mut dice, town, Class::Residential, false)).collect()
            }
            Line::Own => Vec::new(),
        };
        let events = Vec::new();
        let mut script = Self { scene, strategy, rate, victim: None, dice, atlas, networks, addresses: Vec::new(), events };
        script.addresses = match strategy.line {
            Line::Address => vec![script.another_address()],
            Line::Subnet => subnet_of(script.another_address()),
            Line::Homes(homes) => (0..homes).map(|_| script.another_address()).collect(),
            Line::Hoster | Line::EachHome | Line::Own => Vec::new(),
        };
        script
    }

    /// The same with one who gets in at last: one of [`VICTIMS`].
    pub(super) fn getting_in(self, victim: usize) -> Self {
        Self { victim: Some(victim), ..self }
    }

    /// All of it, in order of time.
    pub(super) fn events(mut self) -> Vec<EventDraft<'a>> {
        match self.strategy.tries {
            Tries::Session { in_use } => self.use_sessions(in_use),
            Tries::Walk { granted, in_order } => self.walk(granted, in_order),
            _ => self.try_names(),
        }
        self.events.sort_by_key(|event| event.time_ms);
        for (number, event) in self.events.iter_mut().enumerate() {
            event.texts.set(Field::Id, format!("evasion-{number}"));
        }
        self.events
    }

    /// Times of the tries, a little uneven.
    fn times_ms(&mut self) -> Vec<i64> {
        let gap_ms = self.strategy.busy_ms / i64::from(self.rate.max(1));
        let of_day = |day: i64| (0..i64::from(self.rate)).map(move |number| day * DAY_MS + number * gap_ms);
        let times: Vec<i64> = (0..DAYS).flat_map(of_day).collect();
        times.into_iter().map(|after_ms| self.scene.start_ms + after_ms + self.dice.between(0, gap_ms / 2)).collect()
    }

    fn try_names(&mut self) {
        let times_ms = self.times_ms();
        let last_ms = times_ms.last().copied();
        for (number, time_ms) in times_ms.into_iter().enumerate() {
            let name = self.name(number);
            if matches!(self.strategy.tries, Tries::Push { .. }) {
                self.push(number, time_ms, &name);
            } else {
                let reason = if name.ends_with(self.scene.tenant.domain) { "bad_password" } else { "unknown_user" };
                self.login(number, time_ms, &name, Err(reason));
            }
        }
        if let Some((last_ms, victim)) = last_ms.zip(self.victim) {
            self.get_in(last_ms + MINUTE_MS, victim);
        }
    }

    /// Whose name comes next.
    fn name(&mut self, number: usize) -> String {
        let Scene { people, pushed, .. } = self.scene;
        let of = |names: &[String], number: usize| names.get(number % names.len().max(1)).cloned().unwrap_or_default();
        let one = |names: &[String]| of(names, names.len() * self.victim.unwrap_or(VICTIMS / 2) / VICTIMS);
        match self.strategy.tries {
            Tries::List if number % KNOWN_EVERY != KNOWN_EVERY - 1 => {
                let (first, last) = (self.dice.of(&FIRST_NAMES), self.dice.of(&LAST_NAMES));
                format!("{first}.{last}{number}@mail.example")
            }
            Tries::List => of(people, number / KNOWN_EVERY),
            Tries::Push { at_one: false, .. } => of(pushed, number),
            Tries::Push { .. } => one(pushed),
            Tries::Guess => one(people),
            Tries::Spray | Tries::Walk { .. } | Tries::Session { .. } => of(people, number),
        }
    }

    /// The try that is right, by the same means.
    fn get_in(&mut self, time_ms: i64, victim: usize) {
        let person = victim * self.scene.people.len() / VICTIMS;
        let name = self.name(match self.strategy.tries {
            Tries::List => person * KNOWN_EVERY + KNOWN_EVERY - 1,
            _ => person,
        });
        // By this number a client shows what no try before showed.
        let number = self.rate as usize * DAYS as usize;
        if matches!(self.strategy.tries, Tries::Push { .. }) {
            self.answer(number, time_ms, &name, Ok(()));
        }
        self.login(number, time_ms + MINUTE_MS, &name, Ok(()));
    }

    fn login(&mut self, number: usize, time_ms: i64, user: &str, result: Result<(), &'static str>) {
        let event = self.event(number, time_ms, Kind::Login, user);
        event.texts.set(Field::Grant, "password");
        match result {
            Ok(()) => event.texts.set(Field::Session, "ses-evasion"),
            Err(reason) => fail(event, Outcome::Failure, reason),
        }
    }

    fn push(&mut self, number: usize, time_ms: i64, user: &str) {
        let is_denied = matches!(self.strategy.tries, Tries::Push { denied: true, .. });
        self.answer(number, time_ms, user, Err(if is_denied { "mfa_denied" } else { "timeout" }));
    }

    /// A push, and what becomes of it.
    fn answer(&mut self, number: usize, time_ms: i64, user: &str, result: Result<(), &'static str>) {
        self.event(number, time_ms, Kind::MfaChallenge, user).texts.set(Field::Factor, "push");
        // The answer is an event of the same client.
        let Some(mut answer) = self.events.last().cloned() else { return };
        (answer.kind, answer.time_ms) = (Kind::MfaResult, time_ms + 20 * SECOND_MS);
        if let Err(reason) = result {
            fail(&mut answer, Outcome::Failure, reason);
        }
        self.events.push(answer);
    }

    fn walk(&mut self, granted: bool, in_order: bool) {
        let Some(insider) = self.scene.insider() else { return };
        let first = self.dice.between(1_000, 80_000);
        for (number, time_ms) in self.times_ms().into_iter().enumerate() {
            let object = if in_order { first + number as i64 } else { self.dice.between(1, 90_000) };
            let mut event = insider.clone();
            (event.time_ms, event.status, event.outcome) = (time_ms, Some(200), Outcome::Success);
            event.texts.set(Field::Reason, "");
            event.texts.set(Field::Method, "GET");
            event.texts.set(Field::Path, format!("{ROUTE}{object}"));
            if !granted {
                event.status = Some(403);
                event.outcome = Outcome::Denied;
            }
            self.events.push(event);
        }
    }

    fn use_sessions(&mut self, in_use: bool) {
        let mut thefts: Vec<_> = self.scene.sessions(in_use).collect();
        thefts.sort_by_key(|(time_ms, _)| *time_ms);
        // Spread over the days, as many as there are to be.
        let (wanted, all) = (self.rate as usize * DAYS as usize, thefts.len());
        let chosen = (0..wanted.min(all)).map(|number| number * all / wanted.max(1).min(all.max(1)));
        let chosen: Vec<_> = chosen.filter_map(|index| thefts.get(index).cloned()).collect();
        for (number, (theft_ms, request)) in chosen.into_iter().enumerate() {
            let mut stolen = EventDraft { ip: Some(self.address(number)), ..request };
            if !matches!(self.strategy.looks, Looks::Own) {
                self.dress(number, &mut stolen);
            }
            self.events.extend((0..SESSION_REQUESTS).map(|n| EventDraft { time_ms: theft_ms + n * MINUTE_MS, ..stolen.clone() }));
        }
    }

    /// Adds an event of the attacker's client.
    fn event(&mut self, number: usize, time_ms: i64, kind: Kind, user: &str) -> &mut EventDraft<'a> {
        let ip = Some(self.address(number));
        let mut event = EventDraft { time_ms, kind, outcome: Outcome::Success, ip, ..EventDraft::default() };
        event.texts.set(Field::Tenant, self.scene.tenant.name);
        event.texts.set(Field::Source, self.scene.tenant.identity);
        event.texts.set(Field::User, user.to_owned());
        self.dress(number, &mut event);
        self.events.push_mut(event)
    }

    /// Shows what the attacker's client shows.
    fn dress(&mut self, number: usize, event: &mut EventDraft<'a>) {
        const GUISES: [Family; 3] = [Family::GuiseChrome, Family::GuiseFirefox, Family::GuiseSafari];
        const BROWSERS: [Family; 5] = [Family::ChromeWindows, Family::ChromeMac, Family::Edge, Family::Firefox, Family::SafariMac];
        let family = match self.strategy.looks {
            Looks::Tool | Looks::Own => Family::StaleChrome,
            Looks::Guises => self.dice.of(&GUISES),
            Looks::Browsers => self.dice.of(&BROWSERS),
        };
        let update_lag_days = if matches!(self.strategy.looks, Looks::Tool) { 0 } else { self.dice.between(0, 90) as u8 };
        let client = Client { family, device: 0, update_lag_days };
        event.texts.set(Field::UserAgent, client.agent(event.time_ms, self.scene.tenant.brand).to_string());
        event.texts.set(Field::Ja4, client.ja4());
        event.texts.set(Field::App, client.app());
        let device = if matches!(self.strategy.looks, Looks::Browsers) { format!("dev-new-{number}") } else { String::new() };
        event.texts.set(Field::Device, device);
    }

    fn address(&mut self, number: usize) -> IpAddr {
        match self.addresses.len() {
            0 => self.another_address(),
            addresses => self.addresses.get(number % addresses).copied().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        }
    }

    fn another_address(&mut self) -> IpAddr {
        let network = self.networks.get(self.dice.index(self.networks.len())).copied().unwrap_or_default();
        let number = self.dice.bits();
        self.atlas.address(network, number)
    }
}

fn fail(event: &mut EventDraft<'_>, outcome: Outcome, reason: &'static str) {
    event.outcome = outcome;
    event.texts.set(Field::Reason, reason);
}

/// Addresses of the /24 of one; of an IPv6 address that one alone.
fn subnet_of(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V4(address) = address else { return vec![address] };
    let base = u32::from(address) & !0xff;
    (2..2 + SUBNET_ADDRESSES).map(|host| IpAddr::V4(Ipv4Addr::from(base | host))).collect()
}
