//! One person who is watched for a while: after a change of the password, and after a sign-in that may have come through
//! a phishing proxy.
//!
//! Requests come without what is known of their person, so it is kept here as it was before: what a thief does
//! later teaches nothing.

use super::Config;
use bartizan_core::client::short;
use bartizan_core::people::{Feature, day_of};
use bartizan_core::time::MINUTE_MS;
use bartizan_core::{Changes, ClientPrint, Event, Familiar, KeyKind, NetworkClass, Person, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Sessions begun, and clients that signed in, since the password was changed.
const STARTED_MAX: usize = 8;
const CLIENTS_MAX: usize = 4;
/// Strange clients told apart after a change; further ones are not followed.
const STRANGERS_MAX: usize = 4;
/// Sign-ins watched at a time.
const SIGN_INS_MAX: usize = 4;
/// A page that loads through the proxy before the victim is sent elsewhere.
const PASSING_MS: i64 = MINUTE_MS;

/// Is the client neither on a line of the person's nor one of theirs, as far as both can be told?
fn is_strange(familiar: Familiar, print: &ClientPrint) -> bool {
    !familiar.network && !familiar.device && (print.device != 0 || (print.agent != 0 && !familiar.agent))
}

/// Another network and another client.
fn is_other(changes: Changes) -> bool {
    changes.network && changes.of_client()
}

/// A strange client and its line.
fn stranger(print: &ClientPrint) -> u32 {
    print.installation() ^ print.line().rotate_left(16)
}

/// What was said of a strange client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Told {
    /// It has its reasons.
    Excused,
    /// It was refused.
    Refused,
    /// It got in.
    Used,
}

/// A change of the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Change {
    time_ms: i64,
    by: ClientPrint,
    /// Sessions and tokens begun since.
    started: Vec<u32>,
    /// Clients that signed in since.
    clients: Vec<ClientPrint>,
    strangers: Vec<(u32, Told)>,
}

/// A sign-in that may have come through a proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SignIn {
    time_ms: i64,
    session: u32,
    print: ClientPrint,
    class: NetworkClass,
    ip: Option<IpAddr>,
    event: Box<str>,
    /// Another client that was there from the start.
    early: Option<ClientPrint>,
    /// Its client went on with the session.
    lives_on: bool,
    excused: bool,
    told: bool,
}

/// What a strange client did after the password was changed.
pub(super) struct Outlived {
    pub told: Told,
    pub after_ms: i64,
    /// Why it is no theft.
    pub gate: &'static str,
}

/// A session that was minted by one client and is used by another.
pub(super) struct Minted {
    pub changes: Changes,
    pub after_ms: i64,
    pub class: NetworkClass,
    pub ip: Option<IpAddr>,
    pub event: String,
    pub time_ms: i64,
    /// Why it is no theft.
    pub gate: Option<&'static str>,
}

/// Somebody who is watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    until_ms: i64,
    person: Person,
    change: Option<Change>,
    sign_ins: Vec<SignIn>,
}

impl Retained for Watch {
    fn expires_ms(&self) -> i64 {
        self.until_ms
    }

    fn worth(&self) -> u8 {
        2
    }

    fn heap_bytes(&self) -> usize {
        let change = self.change.as_ref().map_or(0, |change| {
            heap_bytes(change.started.len() * size_of::<u32>())
                + heap_bytes(change.clients.len() * size_of::<ClientPrint>())
                + heap_bytes(change.strangers.len() * size_of::<(u32, Told)>())
        });
        self.person.heap_bytes()
            + change
            + heap_bytes(self.sign_ins.len() * size_of::<SignIn>())
            + self.sign_ins.iter().map(|one| heap_bytes(one.event.len())).sum::<usize>()
    }
}

/// Adds a value; the oldest makes room.
fn add<T>(list: &mut Vec<T>, value: T, len_max: usize) {
    if list.len() >= len_max {
        list.remove(0);
    } else {
        list.reserve_exact(1);
    }
    list.push(value);
}

/// May a sign-in have come through a proxy: from where nobody is at home, or by a client and line that are not the person's?
pub(super) fn may_be_minted(event: &Event<'_>, person: &Person) -> bool {
    let (print, is_followed) = (ClientPrint::of(event), event.session().is_some() && event.ip().is_some());
    // Nearly all sign-ins are from where their people are.
    if !is_followed || person.sign_ins() == 0 || person.habits.knows(Feature::Network, print.line(), day_of(event.time_ms())) {
        return false;
    }
    let familiar = person.familiar(event);
    let is_hidden = matches!(event.network_class(), NetworkClass::Hosting | NetworkClass::Vpn | NetworkClass::Relay);
    familiar.established && (is_hidden || is_strange(familiar, &print))
}

/// May it be an application's back end, which has no device and is no browser? Sessions of its users live there.
pub(super) fn may_be_back_end(event: &Event<'_>) -> bool {
    let is_browser = event.user_agent().is_some_and(|agent| agent.starts_with("Mozilla/"));
    event.network_class() == NetworkClass::Hosting && event.device().is_none() && !is_browser
}

/// Is a client neither the person's own nor where they are, as far as sign-ins told? What says nothing of its user (a
/// privacy relay beside the app) is no stranger, nor is what phones bring along: their carriers at home.
pub(super) fn is_not_theirs(event: &Event<'_>, person: &Person) -> bool {
    // Nearly all requests are from where their people are.
    if person.habits.knows(Feature::Network, ClientPrint::of(event).line(), day_of(event.time_ms())) {
        return false;
    }
    let (familiar, class) = (person.familiar(event), event.network_class());
    familiar.is_strange() && class != NetworkClass::Relay && !(class == NetworkClass::Mobile && familiar.country)
}

/// What an event shows of when a session or token began.
fn name_of(event: &Event<'_>) -> u32 {
    short(event.key(KeyKind::Session).or(event.key(KeyKind::Token)))
}

impl Watch {
    /// Nothing to watch yet of a person.
    pub fn new(person: &Person) -> Self {
        Self { until_ms: i64::MIN, person: person.clone(), change: None, sign_ins: Vec::new() }
    }

    /// When its watch ends.
    pub fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// The password was changed, by whomever.
    pub fn changed(&mut self, event: &Event<'_>, config: &Config) {
        let time_ms = event.time_ms();
        if self.change.as_ref().is_some_and(|change| change.time_ms >= time_ms) {
            return;
        }
        self.until_ms = self.until_ms.max(time_ms.saturating_add(config.changed_ms));
        let mut change = Change { time_ms, by: ClientPrint::of(event), started: Vec::new(), clients: Vec::new(), strangers: Vec::new() };
        if let Some(before) = self.change.take() {
            change.strangers = before.strangers;
        }
        self.change = Some(change);
    }

    /// Is what the event's client does with its session judged here: was it told after a change of the password, or begun
    /// by a strange sign-in?
    pub fn judges(&self, event: &Event<'_>) -> bool {
        let (stranger, session) = (stranger(&ClientPrint::of(event)), short(event.key(KeyKind::Session)));
        let was_told = |change: &Change| change.strangers.iter().any(|(known, told)| *known == stranger && *told == Told::Used);
        self.change.as_ref().is_some_and(was_told) || (session != 0 && self.sign_ins.iter().any(|one| one.session == session))
    }

    /// A sign-in, which begins a session with the password of now.
    pub fn signed_in(&mut self, event: &Event<'_>) {
        let Some(change) = self.change.as_mut().filter(|change| event.time_ms() >= change.time_ms) else { return };
        add(&mut change.clients, ClientPrint::of(event), CLIENTS_MAX);
        self.issued(event, 0);
    }

    /// A sign-in that may have come through a proxy.
    pub fn minted(&mut self, event: &Event<'_>, config: &Config) {
        let time_ms = event.time_ms();
        self.until_ms = self.until_ms.max(time_ms.saturating_add(config.minted_ms));
        let sign_in = SignIn {
            time_ms,
            session: short(event.key(KeyKind::Session)),
            print: ClientPrint::of(event),
            class: event.network_class(),
            ip: event.ip(),
            event: event.id().into(),
            early: None,
            lives_on: false,
            excused: false,
            told: false,
        };
        add(&mut self.sign_ins, sign_in, SIGN_INS_MAX);
    }

    /// A token was issued: what it belongs to begins, and who has it within `settle_ms` belongs to the sign-in.
    pub fn issued(&mut self, event: &Event<'_>, settle_ms: i64) {
        let (name, time_ms) = (name_of(event), event.time_ms());
        if let Some(change) = self.change.as_mut().filter(|change| time_ms >= change.time_ms)
            && name != 0
            && event.grant() != Some("refresh_token")
            && !change.started.contains(&name)
        {
            add(&mut change.started, name, STARTED_MAX);
        }
        if let Some(sign_in) = self.sign_ins.iter_mut().rev().find(|one| one.session == name && one.time_ms <= time_ms)
            && time_ms.saturating_sub(sign_in.time_ms) <= settle_ms
        {
            sign_in.early = Some(ClientPrint::of(event));
        }
    }

    /// Looks at what is used, or refused, after the password was changed; `is_back_end`: by what may be the back end of
    /// the session from its start.
    pub fn outlived(
        &mut self,
        event: &Event<'_>,
        refused: bool,
        is_back_end: impl FnOnce() -> bool,
        config: &Config,
    ) -> Result<Outlived, &'static str> {
        let Some(change) = &mut self.change else { return Err("unwatched") };
        let after_ms = event.time_ms().saturating_sub(change.time_ms);
        if after_ms <= config.end_grace_ms || after_ms > config.changed_ms {
            return Err("not_after_change");
        }
        let print = ClientPrint::of(event);
        let familiar = self.person.familiar(event);
        if !familiar.established || !is_strange(familiar, &print) {
            return Err("own_client");
        }
        let name = name_of(event);
        if change.started.contains(&name) {
            return Err("begun_since");
        }
        let is_of = |known: &ClientPrint| !known.is_blank() && !is_other(known.changes(&print));
        let (told, gate) = match (is_of(&change.by), change.clients.iter().any(is_of)) {
            (true, _) => (Told::Excused, "changed_by_it"),
            (_, true) => (Told::Excused, "signed_in_since"),
            _ if is_back_end() => (Told::Excused, "back_end"),
            _ if refused => (Told::Refused, ""),
            _ => (Told::Used, ""),
        };
        let stranger = stranger(&print);
        let is_full = change.strangers.len() >= STRANGERS_MAX;
        match change.strangers.iter_mut().find(|(known, _)| *known == stranger) {
            Some((_, before)) if *before >= told => return Err("told"),
            Some((_, before)) => *before = told,
            None if is_full => return Err("told"),
            None => add(&mut change.strangers, (stranger, told), STRANGERS_MAX),
        }
        Ok(Outlived { told, after_ms, gate })
    }

    /// Looks at a use of a session whose sign-in may have come through a proxy.
    pub fn used_elsewhere(&mut self, event: &Event<'_>, config: &Config) -> Result<Minted, &'static str> {
        let (time_ms, session) = (event.time_ms(), short(event.key(KeyKind::Session)));
        let within = |one: &&mut SignIn| {
            let after_ms = time_ms.saturating_sub(one.time_ms);
            session != 0 && one.session == session && (0..=config.minted_ms).contains(&after_ms)
        };
        let Some(sign_in) = self.sign_ins.iter_mut().rev().find(within) else { return Err("unwatched") };
        let (print, after_ms) = (ClientPrint::of(event), time_ms.saturating_sub(sign_in.time_ms));
        let changes = sign_in.print.changes(&print);
        if !is_other(changes) {
            sign_in.lives_on |= changes == Changes::default() && after_ms > PASSING_MS;
            return Err("same_client");
        }
        if after_ms <= config.settle_ms {
            sign_in.early = Some(print);
        }
        let familiar = self.person.familiar(event);
        let is_early = sign_in.early.is_some_and(|early| !is_other(early.changes(&print)));
        let gate = match () {
            () if is_early => Some("from_start"),
            () if familiar.device || familiar.network => Some("own_client"),
            () if [sign_in.class, event.network_class()].contains(&NetworkClass::Relay) => Some("relay"),
            () if sign_in.lives_on => Some("lives_on"),
            // Nobody's home is in a data centre, but many applications' are.
            () if sign_in.class != NetworkClass::Hosting && may_be_back_end(event) => Some("back_end"),
            () => None,
        };
        if sign_in.told || (gate.is_some() && sign_in.excused) {
            return Err("told");
        }
        sign_in.told = gate.is_none();
        sign_in.excused |= gate.is_some();
        let (class, ip, event) = (sign_in.class, sign_in.ip, sign_in.event.to_string());
        Ok(Minted { changes, after_ms, class, ip, event, time_ms: sign_in.time_ms, gate })
    }
}
