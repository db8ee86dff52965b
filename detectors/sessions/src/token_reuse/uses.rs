//! The uses of one session or token: which clients, in which turns, and when it ended.
//!
//! Most sessions have one client to the end, which is all that is kept of them, without any further memory.
//! What else there is (further clients, turns, an end) lies apart.

use super::program::Program;
use super::{Config, Step};
use bartizan_core::client::short;
use bartizan_core::keys::subnet_cidr;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{Changes, ClientPrint, Event, KeyKind, NetworkClass, Retained, TokenHash, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Clients told apart; further ones are not followed.
const CLIENTS_MAX: usize = 6;
/// Turns remembered; beyond them the oldest goes.
const TURNS_MAX: usize = 12;
/// Other tenants that are remembered.
const TENANTS_MAX: usize = 4;
/// How long a session is remembered after its last event.
const KEPT_MS: i64 = DAY_MS;

/// A client of the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    first_ms: i64,
    print: ClientPrint,
    /// [`exact`]: equal ones need no closer look.
    exact: u32,
    pub ip: Option<IpAddr>,
    program: Program,
    /// Its events, as far as they were looked at one by one.
    uses: u8,
    /// Did it change something or get a token?
    pub changed: bool,
}

/// Print of user agent and JA4 to the letter, device and subnet, all as of their tenant.
fn exact(event: &Event<'_>) -> u32 {
    let hash = |kind| event.key(kind).map_or(0, |key| key.hash);
    let all = hash(KeyKind::Client) ^ hash(KeyKind::Subnet).rotate_left(21) ^ hash(KeyKind::Device).rotate_left(42);
    (all ^ all >> 32) as u32
}

/// Uses by one client with no other client's use between them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Turn {
    client: u8,
    first_ms: i64,
    last_ms: i64,
}

/// A stranger came, and its owner has not come back since.
pub(super) const ONE_WAY: &str = "one_way";
/// Neither the client nor its network are the person's.
pub(super) const NOT_THEIRS: &str = "not_theirs";

/// What proves the theft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Proof {
    /// The owner, the intruder, the owner again, or the other way round.
    Turns { span_ms: i64 },
    /// Used so long after its end.
    AfterEnd { after_ms: i64 },
    /// Used so long before the login of this client, without a user.
    Fixed { before_ms: i64, victim: u8 },
}

/// What became of a session or token in another tenant than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Abroad {
    /// Presented by its own client.
    Innocent,
    /// A stranger was refused.
    Refused,
    /// A stranger got in.
    Used,
}

/// A theft: by which client, and what proves it.
pub(super) struct Theft {
    pub proof: Proof,
    pub changes: Changes,
    pub intruder: usize,
    /// Was it told before?
    pub again: bool,
    /// Did it get nowhere?
    pub refused: bool,
    /// First event of what proves it.
    pub first_ms: i64,
}

/// The uses of one session or token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Uses {
    start_ms: i64,
    last_ms: i64,
    user: u32,
    /// Whose it is: what the same id means to another tenant is kept apart.
    tenant: u32,
    /// The client that was seen first. While it is the only one, its uses are one turn.
    first: Option<Seen>,
    more: Option<Box<More>>,
}

/// What most sessions do not have.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct More {
    ended_ms: i64,
    /// The latest revoked token of a session, and when.
    revoked: Option<(TokenHash, i64)>,
    /// Several users under one id: whatever it is, it is no session.
    is_shared: bool,
    /// The client by which its second user signed in to it.
    heir: Option<u8>,
    /// Other tenants in which it was presented.
    abroad: Vec<(u32, Abroad)>,
    /// Further clients, each with the event it was first seen at.
    others: Vec<(Seen, Box<str>)>,
    /// The same of the first client: an event after others were known to be before it.
    first_event: Option<Box<str>>,
    turns: Vec<Turn>,
    /// The stranger, and what proved it.
    intruder: Option<(u8, Proof)>,
    /// Clients that are no strays, or were told as such: a bit for each.
    judged: u8,
}

impl Default for More {
    fn default() -> Self {
        Self {
            ended_ms: i64::MAX,
            revoked: None,
            is_shared: false,
            heir: None,
            abroad: Vec::new(),
            others: Vec::new(),
            first_event: None,
            turns: Vec::new(),
            intruder: None,
            judged: 0,
        }
    }
}

impl More {
    fn has_ended(&self) -> bool {
        self.ended_ms < i64::MAX || self.revoked.is_some()
    }

    /// Turns that memory is asked for: two more than are kept come about for a moment.
    fn turns_room(turns: usize) -> usize {
        if turns == 0 { 0 } else { turns.max(4).next_power_of_two() }
    }

    fn insert_turn(&mut self, index: usize, turn: Turn) {
        if self.turns.len() == self.turns.capacity() {
            self.turns.reserve_exact(Self::turns_room(self.turns.len() + 1) - self.turns.len());
        }
        self.turns.insert(index.min(self.turns.len()), turn);
    }

    fn add_client(&mut self, seen: Seen, event: &str) {
        self.others.reserve_exact(1);
        self.others.push((seen, event.into()));
    }

    fn heap_bytes(&self) -> usize {
        let events = self.others.iter().map(|(_, event)| event).chain(&self.first_event);
        heap_bytes(size_of::<Self>())
            + heap_bytes(self.abroad.len() * size_of::<(u32, Abroad)>())
            + heap_bytes(self.others.len() * size_of::<(Seen, Box<str>)>())
            + heap_bytes(Self::turns_room(self.turns.len()) * size_of::<Turn>())
            + events.map(|event| heap_bytes(event.len())).sum::<usize>()
    }

    /// Puts a use where its time says.
    fn take_turn(&mut self, client: u8, time_ms: i64) {
        let next = self.turns.partition_point(|turn| turn.first_ms <= time_ms);
        let before = next.checked_sub(1).and_then(|index| self.turns.get(index)).copied();
        match before {
            Some(before) if before.client == client => {
                if let Some(turn) = self.turns.get_mut(next - 1) {
                    turn.last_ms = turn.last_ms.max(time_ms);
                }
                return;
            }
            // A late use within another client's turn parts that turn.
            Some(before) if before.last_ms > time_ms => {
                if let Some(turn) = self.turns.get_mut(next - 1) {
                    turn.last_ms = turn.first_ms;
                }
                self.insert_turn(next, Turn { first_ms: before.last_ms, ..before });
            }
            _ => {}
        }
        match self.turns.get_mut(next) {
            Some(turn) if turn.client == client => turn.first_ms = time_ms,
            _ => self.insert_turn(next, Turn { client, first_ms: time_ms, last_ms: time_ms }),
        }
        while self.turns.len() > TURNS_MAX {
            self.turns.remove(0);
        }
    }
}

impl Seen {
    /// What differs in another tenant, where devices and subnets have other hashes.
    fn change_abroad(&self, other: &ClientPrint, ip: Option<IpAddr>) -> Changes {
        let known = |print: &ClientPrint| ClientPrint { device: 0, subnet: 0, ..*print };
        let mut changes = known(&self.print).changes(&known(other));
        if self.print.asn == 0 || other.asn == 0 {
            let both = self.ip.zip(ip).filter(|(a, b)| a.is_ipv6() == b.is_ipv6());
            changes.network = both.is_some_and(|(a, b)| subnet_cidr(a) != subnet_cidr(b));
        }
        changes
    }
}

/// A client that has a session which another one began, and that cannot have come by it as its owner does.
pub(super) struct Stray {
    pub changes: Changes,
    pub client: usize,
    pub uses: u8,
    /// How long it has gone on with it.
    pub since_ms: i64,
    /// What is other than the owner's, in words.
    pub ground: Ground,
}

/// Why two clients are no installation that moved, was updated, or shares what it holds with another of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Two browsers: each has a store of its own.
    Browser,
    /// Another system.
    System,
    /// Another device, on a network where nobody lives.
    Device,
    /// A tool on such a network.
    Tool,
}

impl Ground {
    fn between(before: &Seen, now: &Seen, class: NetworkClass) -> Option<Self> {
        let (changes, were, are) = (before.print.changes(&now.print), before.program, now.program);
        // A company's gateway that looks into TLS changes the network and the JA4 of the same browser.
        let other_tls = changes.ja4 || (changes.device && (before.print.ja4 == 0 || now.print.ja4 == 0));
        let is_hidden = matches!(class, NetworkClass::Hosting | NetworkClass::Vpn);
        match () {
            () if !changes.network => None,
            () if were.are_browsers(are) && changes.agent && other_tls => Some(Self::Browser),
            () if were.other_system(are) && (changes.ja4 || changes.device) => Some(Self::System),
            () if !is_hidden => None,
            () if now.is_tool() && !before.is_tool() && (changes.agent || changes.ja4) => Some(Self::Tool),
            () if changes.device && !were.may_be_app_and_page(are) => Some(Self::Device),
            () => None,
        }
    }
}

impl Seen {
    /// A script or a server's program.
    fn is_tool(&self) -> bool {
        self.print.device == 0 && self.program.is_tool()
    }
}

impl Retained for Uses {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        let lasts = u8::from(self.last_ms.saturating_sub(self.start_ms) >= HOUR_MS);
        match self.more.as_deref() {
            Some(more) if more.intruder.is_some() => 4,
            Some(more) => lasts + u8::from(!more.others.is_empty()) + u8::from(more.has_ended()),
            None => lasts,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.more.as_deref().map_or(0, More::heap_bytes)
    }
}

impl Uses {
    /// A session of a tenant, first seen at `time_ms`.
    pub fn new(tenant: u32, time_ms: i64) -> Self {
        Self { start_ms: time_ms, last_ms: time_ms, user: 0, tenant, first: None, more: None }
    }

    /// Does it belong to another tenant?
    pub fn is_abroad(&self, tenant: u32) -> bool {
        self.tenant != tenant
    }

    /// Nearly all uses and changes are by the client of the last one and its user, and say nothing new.
    #[inline]
    pub fn goes_on(&mut self, event: &Event<'_>, step: Step, config: &Config) -> bool {
        let (time_ms, user) = (event.time_ms(), short(event.key(KeyKind::User)));
        if (user != 0 && user != self.user) || !matches!(step, Step::Use | Step::Change) {
            return false;
        }
        let is_alone = self.more.is_none();
        let seen = if is_alone { self.first.as_mut() } else { self.turn_goes_on(time_ms, config) };
        let Some(seen) = seen.filter(|seen| time_ms >= seen.first_ms) else { return false };
        let is_exact = seen.exact == exact(event);
        // Whoever moves about within one network is its only client still.
        let is_alike = |seen: &Seen| is_alone && seen.print.changes(&ClientPrint::of(event)) == Changes::default();
        if !(is_exact || is_alike(seen)) {
            return false;
        }
        seen.changed |= step == Step::Change;
        seen.uses = seen.uses.saturating_add(u8::from(!is_alone || !is_exact || step == Step::Change));
        self.last_ms = self.last_ms.max(time_ms);
        if let Some(turn) = self.more.as_deref_mut().and_then(|more| more.turns.last_mut()) {
            turn.last_ms = turn.last_ms.max(time_ms);
        }
        true
    }

    /// The client of the last turn, if that may go on without a look at the others: turns before it are as they were when
    /// they were looked at, and of the client nothing is to be found out any more.
    fn turn_goes_on(&mut self, time_ms: i64, config: &Config) -> Option<&mut Seen> {
        let (settled_ms, owner) = (self.start_ms.saturating_add(config.settle_ms), self.owner());
        let more = self.more.as_deref_mut().filter(|more| !more.is_shared && !more.has_ended() && more.intruder.is_none())?;
        let client = usize::from(more.turns.last().filter(|turn| time_ms >= turn.first_ms)?.client);
        if client == 0 && owner != 0 && more.first_event.is_none() {
            return None;
        }
        let seen = match client.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => more.others.get_mut(index).map(|(seen, _)| seen),
        };
        seen.filter(|seen| more.judged >> client & 1 == 1 || seen.first_ms <= settled_ms)
    }

    /// Looks at it in another tenant: what became of it, where that is news, and what differs.
    pub fn abroad(&mut self, event: &Event<'_>, tenant: u32, refused: bool) -> Option<(Abroad, Changes)> {
        let print = ClientPrint::of(event);
        if self.first.is_none() || print.is_blank() {
            return None;
        }
        let changes = self.clients().map(|seen| seen.change_abroad(&print, event.ip())).min_by_key(|changes| changes.count())?;
        let became = match (changes.network && changes.of_client(), refused) {
            (false, _) => Abroad::Innocent,
            (true, true) => Abroad::Refused,
            (true, false) => Abroad::Used,
        };
        let last_ms = self.last_ms;
        self.part_from(last_ms);
        let told = &mut self.more().abroad;
        let is_full = told.len() >= TENANTS_MAX;
        match told.iter_mut().find(|(known, _)| *known == tenant) {
            Some((_, before)) if *before >= became => return None,
            Some((_, before)) => *before = became,
            None if is_full => return None,
            None => {
                told.reserve_exact(1);
                told.push((tenant, became));
            }
        }
        Some((became, changes))
    }

    /// How many tenants it was presented in.
    pub fn tenants(&self) -> usize {
        1 + self.more.as_ref().map_or(0, |more| more.abroad.len())
    }

    /// When it was first seen.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    fn clients(&self) -> impl Iterator<Item = &Seen> {
        self.first.iter().chain(self.more.iter().flat_map(|more| more.others.iter().map(|(seen, _)| seen)))
    }

    /// How many clients there are.
    pub fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.others.len())
    }

    /// Why the latest client to come is no thief: the gate, and a sentence.
    pub fn newcomer(&self, event: &Event<'_>, step: Step, config: &Config) -> (&'static str, String) {
        let newest = self.count().saturating_sub(1);
        let words = self.change_from_owner(newest).names();
        if step == Step::Start && event.network_class() == NetworkClass::Relay {
            let reason =
                format!("Signed in to through a privacy relay (other {words}), which the browser uses and the app beside it does not.");
            return ("relay", reason);
        }
        if self.are_strangers(self.owner(), newest, config) {
            let hours = config.turns_window_ms as f64 / HOUR_MS as f64;
            let reason =
                format!("Used by another client (other {words}); its owner has not come back within {hours:.1} hours, nor had it ended.");
            return (ONE_WAY, reason);
        }
        let reason = format!(
            "Used by a client that differs in too little from the owner's (other {words}): it moved, was updated, or shares the session from its start."
        );
        ("moved", reason)
    }

    /// What there is, and what it takes.
    pub fn sentence(&self, config: &Config) -> String {
        let hours = config.turns_window_ms as f64 / HOUR_MS as f64;
        match self.count() {
            0 | 1 => "One client from its beginning.".to_owned(),
            clients => {
                format!("{clients} clients, of which no two strangers took turns (A, B, A within {hours:.1} hours) or came after its end.")
            }
        }
    }

    /// A client by its number.
    pub fn client(&self, number: usize) -> Option<&Seen> {
        match number.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.more.as_ref()?.others.get(index).map(|(seen, _)| seen),
        }
    }

    fn client_mut(&mut self, number: usize) -> Option<&mut Seen> {
        match number.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.more.as_mut()?.others.get_mut(index).map(|(seen, _)| seen),
        }
    }

    /// An early event of a client.
    pub fn event_of(&self, number: usize) -> Option<&str> {
        let more = self.more.as_ref()?;
        match number.checked_sub(1) {
            None => more.first_event.as_deref(),
            Some(index) => more.others.get(index).map(|(_, event)| &**event),
        }
    }

    fn more(&mut self) -> &mut More {
        let (first, last_ms) = (&self.first, self.last_ms);
        self.more.get_or_insert_with(|| {
            let mut more = More::default();
            if let Some(first) = first {
                more.insert_turn(0, Turn { client: 0, first_ms: first.first_ms, last_ms });
            }
            Box::new(more)
        })
    }

    fn ended_ms(&self) -> i64 {
        self.more.as_ref().map_or(i64::MAX, |more| more.ended_ms)
    }

    fn is_shared(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.is_shared)
    }

    fn intruder(&self) -> Option<&(u8, Proof)> {
        self.more.as_ref()?.intruder.as_ref()
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event<'_>, step: Step, config: &Config) -> Option<Theft> {
        let time_ms = event.time_ms();
        if step == Step::Start && time_ms > self.ended_ms() {
            *self = Self::new(self.tenant, time_ms);
        }
        self.start_ms = self.start_ms.min(time_ms);
        let before_ms = self.last_ms;
        self.last_ms = before_ms.max(time_ms);
        let user = short(event.key(KeyKind::User));
        let mut is_passed_on = self.user != 0 && user != 0 && user != self.user && step == Step::Start;
        is_passed_on &= self.more.as_ref().is_none_or(|more| more.heir.is_none());
        let was_nobodys = self.user == 0 && user != 0 && step == Step::Start;
        if self.is_anybodys(user, is_passed_on) {
            return None;
        }
        if step == Step::Revoke {
            // Who revokes may be an administrator, so the event tells nothing of the session's clients.
            return self.revoke(event, before_ms, config);
        }
        let clients = self.count();
        let client = self.client_of(event, before_ms)?;
        if is_passed_on {
            self.more().heir = Some(client as u8);
        }
        let is_login_elsewhere = was_nobodys && client == clients && event.network_class() != NetworkClass::Relay;
        if step == Step::Change
            && let Some(seen) = self.client_mut(client)
        {
            seen.changed = true;
        }
        if step == Step::Start && client > 0 {
            // Whoever signed in to it needs no theft.
            self.more().judged |= 1 << client;
        }
        if step != Step::SignOut && self.more.is_none() {
            return None;
        }
        self.more().take_turn(client as u8, time_ms);
        if step == Step::SignOut {
            let more = self.more();
            more.ended_ms = more.ended_ms.min(time_ms);
        }
        if client == 0 && self.owner() != 0 {
            self.more().first_event.get_or_insert_with(|| event.id().into());
        }
        if let Some((intruder, proof)) = self.intruder() {
            let (intruder, proof) = (usize::from(*intruder), proof.clone());
            let owner = if let Proof::Fixed { victim, .. } = proof { usize::from(victim) } else { self.owner() };
            let changes = self.changes(owner, client);
            return (intruder == client).then_some(Theft { proof, changes, intruder, again: true, refused: false, first_ms: time_ms });
        }
        let fixed = if is_login_elsewhere { self.fixed(client, time_ms, config) } else { None };
        let theft = fixed.or_else(|| self.used_after(self.end_for(event), config)).or_else(|| self.in_turns(config));
        self.told(theft)
    }

    /// When the session, or the token that this event presents, ended.
    fn end_for(&self, event: &Event<'_>) -> i64 {
        match self.more.as_ref().and_then(|more| more.revoked) {
            Some((token, revoked_ms)) if event.token() == Some(token) => self.ended_ms().min(revoked_ms),
            _ => self.ended_ms(),
        }
    }

    /// A refused use: an attempt, if it comes after the end and from a stranger beyond doubt.
    pub fn refused(&mut self, event: &Event<'_>, config: &Config) -> Option<Theft> {
        let (time_ms, ended_ms) = (event.time_ms(), self.end_for(event));
        if self.is_shared() || time_ms <= ended_ms.saturating_add(config.end_grace_ms) {
            return None;
        }
        let print = ClientPrint::of(event);
        // Whoever stole it before is none of its clients.
        let thief = self.intruder().map(|(number, _)| usize::from(*number));
        let mut before = self.clients().enumerate().filter(|(number, seen)| seen.first_ms <= ended_ms && Some(*number) != thief);
        if self.first.is_none() || !before.all(|(_, seen)| seen.print.changes(&print).count() >= 2) {
            return None;
        }
        let changes = self.client(self.owner())?.print.changes(&print);
        let proof = Proof::AfterEnd { after_ms: time_ms.saturating_sub(ended_ms) };
        Some(Theft { proof, changes, intruder: usize::MAX, again: false, refused: true, first_ms: time_ms })
    }

    /// Has it several users? One may sign in to what another began.
    fn is_anybodys(&mut self, user: u32, is_passed_on: bool) -> bool {
        if self.user == 0 || is_passed_on {
            self.user = user;
        }
        if user != 0 && self.user != user {
            self.more().is_shared = true;
        }
        self.is_shared()
    }

    /// The revocation of one token of a session leaves the session's other tokens alone. `before_ms`: the last event before it.
    fn revoke(&mut self, event: &Event<'_>, before_ms: i64, config: &Config) -> Option<Theft> {
        self.part_from(before_ms);
        if let (Some(token), Some(_)) = (event.token(), event.session()) {
            self.more().revoked = Some((token, event.time_ms()));
            return None;
        }
        let more = self.more();
        more.ended_ms = more.ended_ms.min(event.time_ms());
        let ended_ms = more.ended_ms;
        let theft = if self.intruder().is_none() { self.used_after(ended_ms, config) } else { None };
        self.told(theft)
    }

    /// The first client's turn, which so far was the whole session, lasted to `last_ms`; from now on turns are kept.
    fn part_from(&mut self, last_ms: i64) {
        let last_ms = std::mem::replace(&mut self.last_ms, last_ms);
        self.more();
        self.last_ms = last_ms;
    }

    fn told(&mut self, theft: Option<Theft>) -> Option<Theft> {
        if let Some(theft) = &theft {
            self.more().intruder = Some((theft.intruder as u8, theft.proof.clone()));
        }
        theft
    }

    /// The number of the event's client; `None` when it says nothing or there are too many. `before_ms`: the last event
    /// before this one.
    fn client_of(&mut self, event: &Event<'_>, before_ms: i64) -> Option<usize> {
        let (known, time_ms) = (self.number_of(event), event.time_ms());
        if let Some(seen) = known.and_then(|number| self.client_mut(number)) {
            seen.first_ms = seen.first_ms.min(time_ms);
            seen.uses = seen.uses.saturating_add(1);
            return known;
        }
        let (print, program) = (ClientPrint::of(event), Program::of(event.user_agent()));
        let seen = Seen { first_ms: time_ms, print, exact: exact(event), ip: event.ip(), program, uses: 1, changed: false };
        let clients = self.clients().count();
        if print.is_blank() || clients >= CLIENTS_MAX {
            return None;
        }
        if clients == 0 {
            self.first = Some(seen);
        } else {
            self.part_from(before_ms);
            self.more().add_client(seen, event.id());
        }
        Some(clients)
    }

    /// The number of the event's client, if it is one of those that are known.
    fn number_of(&self, event: &Event<'_>) -> Option<usize> {
        let exact = exact(event);
        self.clients().position(|seen| seen.exact == exact).or_else(|| {
            let print = ClientPrint::of(event);
            self.clients().position(|seen| seen.print.changes(&print) == Changes::default())
        })
    }

    /// Is the event's client a stray: a stranger to all who had the session before it, that goes on with it? Each is
    /// told once, and none where the session was told for another reason.
    pub fn stray(&mut self, event: &Event<'_>, config: &Config) -> Option<Stray> {
        let more = self.more.as_ref().filter(|more| more.intruder.is_none() && !more.is_shared)?;
        let client = self.number_of(event).filter(|client| more.judged & 1 << client == 0)?;
        let (now, first_ms) = (self.client(client)?, self.client(client)?.first_ms);
        let since_ms = event.time_ms().saturating_sub(first_ms);
        let settled_ms = self.start_ms.saturating_add(config.settle_ms);
        if i64::from(now.uses) < config.stray_uses_min || since_ms < config.stray_ms || first_ms <= settled_ms {
            return None;
        }
        let class = event.network_class();
        // A back end beside its owner's client does not become a browser, however near to it that is.
        let before = self.clients().filter(|seen| seen.first_ms < first_ms && (now.is_tool() || !seen.is_tool()));
        // A stranger to one of them alone is another one's client on its way.
        let ground = before.map(|seen| Ground::between(seen, now, class)).reduce(|known, ground| known.and(ground)).flatten();
        let stray = ground.map(|ground| Stray { changes: self.change_from_owner(client), client, uses: now.uses, since_ms, ground });
        self.more().judged |= 1 << client;
        stray
    }

    /// Does the session's latest client look like a server's program?
    pub fn newest_is_server(&self, event: &Event<'_>) -> bool {
        event.network_class() == NetworkClass::Hosting && self.client(self.count().saturating_sub(1)).is_some_and(Seen::is_tool)
    }

    /// The owner, as far as one can tell: who was there first, or signed in to what was another user's.
    fn owner(&self) -> usize {
        if let Some(heir) = self.more.as_ref().and_then(|more| more.heir) {
            return heir.into();
        }
        self.clients().enumerate().min_by_key(|(_, seen)| seen.first_ms).map_or(0, |(number, _)| number)
    }

    fn changes(&self, a: usize, b: usize) -> Changes {
        match (self.client(a), self.client(b)) {
            (Some(a), Some(b)) => a.print.changes(&b.print),
            _ => Changes::default(),
        }
    }

    fn change_from_owner(&self, client: usize) -> Changes {
        self.changes(self.owner(), client)
    }

    /// Two clients that cannot be one that moved, was updated, or shares the session from its start.
    fn are_strangers(&self, a: usize, b: usize, config: &Config) -> bool {
        let changes = self.changes(a, b);
        let settled_ms = self.start_ms.saturating_add(config.settle_ms);
        let from_start = |number: usize| self.client(number).is_some_and(|seen| seen.first_ms <= settled_ms);
        let differ = (changes.network && changes.of_client()) || changes.count() >= 3;
        differ && !(from_start(a) && from_start(b))
    }

    /// The login of a client that is a stranger to all who used the session before it: whoever came first knows its id.
    fn fixed(&self, victim: usize, time_ms: i64, config: &Config) -> Option<Theft> {
        let mut before = self.clients().enumerate().filter(|(number, seen)| *number != victim && seen.first_ms < time_ms).peekable();
        before.peek()?;
        if !before.all(|(number, _)| self.are_strangers(number, victim, config)) {
            return None;
        }
        let (intruder, first_ms) = (self.owner(), self.client(self.owner())?.first_ms);
        let proof = Proof::Fixed { before_ms: time_ms.saturating_sub(first_ms), victim: victim as u8 };
        Some(Theft { proof, changes: self.changes(intruder, victim), intruder, again: false, refused: false, first_ms })
    }

    fn in_turns(&self, config: &Config) -> Option<Theft> {
        let turns = &self.more.as_ref()?.turns;
        for (index, middle) in turns.iter().enumerate().skip(1) {
            let (earlier, later) = (turns.get(..index)?, turns.get(index + 1..)?);
            for first in earlier.iter().rev() {
                let Some(last) = later.iter().find(|turn| turn.client == first.client) else { continue };
                let span_ms = last.first_ms.saturating_sub(first.last_ms);
                let (a, b) = (usize::from(first.client), usize::from(middle.client));
                if a == b || span_ms > config.turns_window_ms || !self.are_strangers(a, b, config) {
                    continue;
                }
                let intruder = if b == self.owner() { a } else { b };
                let proof = Proof::Turns { span_ms };
                return Some(Theft { proof, changes: self.changes(a, b), intruder, again: false, refused: false, first_ms: first.last_ms });
            }
        }
        None
    }

    /// A use past the end and its grace by a client that is none of those before the end.
    fn used_after(&self, ended_ms: i64, config: &Config) -> Option<Theft> {
        let allowed_ms = ended_ms.saturating_add(config.end_grace_ms);
        let before = |seen: &&Seen| seen.first_ms <= allowed_ms;
        if ended_ms == i64::MAX || !self.clients().any(|seen| before(&seen)) {
            return None;
        }
        let stranger = |seen: &Seen| {
            let mut owners = self.clients().filter(before);
            seen.first_ms > allowed_ms && owners.all(|owner| owner.print.changes(&seen.print).count() > 0)
        };
        let intruder = self.clients().position(stranger)?;
        let first_ms = self.client(intruder)?.first_ms;
        let proof = Proof::AfterEnd { after_ms: first_ms.saturating_sub(ended_ms) };
        Some(Theft { proof, changes: self.change_from_owner(intruder), intruder, again: false, refused: false, first_ms })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
