//! Strange clients of one person within the last hours, and what speaks against each.

use super::Config;
use super::lines::{Line, Lines, Whose};
use bartizan_core::finding::names_of;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{ClientPrint, Event, Familiar, Finding, Kind, NetworkClass, Retained, Severity, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Strange clients remembered; beyond them the oldest goes.
const STRANGERS_MAX: usize = 4;
/// How long anything is remembered: as long as the longest window that can be set.
const KEPT_MS: i64 = DAY_MS;
/// What a second factor that was proved takes from the weight.
const PROVED_DISCOUNT: f32 = 1.0;
/// Who proved a second factor so long ago has one.
const PROVES_MS: i64 = 7 * DAY_MS;
/// By how much the clocks of two sources differ.
const CLOCKS_MS: i64 = 5_000;
/// An own sign-in says so long where the person is.
const PRESENT_MS: i64 = HOUR_MS;

/// What speaks against a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Signs {
    /// The device has an id that the person never had.
    new_device: bool,
    /// A kind of program that they never used.
    new_agent: bool,
    new_network: bool,
    new_country: bool,
    /// A network that hides where its users are, or has none.
    hiding: bool,
    /// The device is theirs, or there is none and all else is.
    known: bool,
    /// It is known, or on a line of theirs.
    own: bool,
    established: bool,
    /// The same client had the password reset before.
    reset: bool,
    /// The person's own client was at work elsewhere.
    own_elsewhere: bool,
    /// It signed in without the second factor that the person has.
    unproved: bool,
    /// It proved a second factor as it signed in: what a thief seldom can, and who sets up a new phone has to.
    proved: bool,
}

impl Signs {
    /// What an event shows by itself.
    pub fn of(event: &Event<'_>, familiar: Familiar, lines: &Lines) -> Self {
        let print = ClientPrint::of(event);
        let class = event.network_class();
        let line = Line::of(event);
        let whose = lines.whose(&line, event.software().phone, event.time_ms());
        // Of whom no carrier is known, to them none of their country is new.
        let is_at_home = event.place().is_some() && familiar.country;
        let first_carrier = event.software().phone && line.may_be_carrier() && is_at_home && !lines.has_carrier();
        // Where the device is told and is not theirs, a neighbour's browser on the same provider looks like theirs.
        let known = familiar.device || (familiar.is_own() && print.device == 0);
        let hiding = matches!(class, NetworkClass::Hosting | NetworkClass::Vpn | NetworkClass::Relay);
        // A new phone is set up on the carrier that the person has: its gateways are many, and of each other's lines.
        let is_placed = whose == Whose::Own || (familiar.network && class == NetworkClass::Mobile);
        Self {
            // A tool has none where the person's programs have one. Requests may be logged without what sign-ins have.
            new_device: (print.device != 0 && !familiar.device)
                || (familiar.lacks_device && !familiar.agent && event.kind() == Kind::Login),
            new_agent: print.agent != 0 && !familiar.agent,
            new_network: event.ip().is_some() && (!familiar.network || whose == Whose::Other) && !first_carrier,
            new_country: !familiar.country && !hiding,
            hiding,
            known,
            own: known || is_placed,
            established: familiar.established,
            ..Self::default()
        }
    }

    /// Is it a client of the person's?
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Neither the client nor the line are the person's, as far as both can be told? On a provider that the person uses, too,
    /// it must be another device and another kind of program.
    pub fn is_strange(&self) -> bool {
        let client = self.new_device || self.new_agent;
        self.established && !self.own && ((self.new_network && client) || (self.new_device && self.new_agent))
    }

    /// May it turn out to be strange, by what is seen of the person meanwhile?
    pub fn may_be_strange(&self) -> bool {
        self.is_strange() || (self.established && !self.own && self.new_device)
    }

    /// Enough to be told: on a known provider only while the person is at work on another line, or if it left out what
    /// every new device of theirs is asked for.
    fn is_enough(&self) -> bool {
        self.new_network || self.own_elsewhere || self.unproved
    }

    /// Each piece with its name and weight.
    fn pieces(&self) -> [(bool, &'static str, f32); 8] {
        [
            (self.new_device, "new device", 1.0),
            (self.new_agent, "new kind of program", if self.new_device { 0.5 } else { 1.0 }),
            // Whoever comes from one that hides them comes from a new one: that is one thing, not two.
            (self.new_network && !self.hiding, "new network", 1.0),
            (self.new_country, "new country", 1.0),
            (self.hiding, "hosting, VPN or relay", 1.0),
            (self.reset, "password reset by the same client", 1.0),
            (self.own_elsewhere, "own client at work elsewhere", 1.0),
            (self.unproved, "no second factor, which the person has", 1.0),
        ]
    }

    pub fn weight(&self) -> f32 {
        let sum = self.pieces().iter().filter(|(there, ..)| *there).fold(0.0, |sum, (.., weight)| sum + weight);
        if self.proved { (sum - PROVED_DISCOUNT).max(0.0) } else { sum }
    }

    pub fn names(&self) -> String {
        names_of(&self.pieces().map(|(there, name, _)| (there, name)))
    }

    pub fn note(&self, finding: &mut Finding) {
        finding
            .note("new_device", self.new_device)
            .note("new_agent", self.new_agent)
            .note("new_network", self.new_network)
            .note("new_country", self.new_country)
            .note("hiding_network", self.hiding)
            .note("second_factor_proved", self.proved)
            .note("reset_before", self.reset)
            .note("own_client_elsewhere", self.own_elsewhere)
            .note("second_factor_left_out", self.unproved);
    }
}

/// A client and its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    client: u32,
    is_phone: bool,
    line: Line,
}

impl Source {
    fn of(event: &Event<'_>) -> Self {
        Self { client: ClientPrint::of(event).installation(), is_phone: event.software().phone, line: Line::of(event) }
    }

    /// The same client on the same provider: addresses change.
    fn is(&self, other: &Self) -> bool {
        (self.client, self.line.network) == (other.client, other.line.network)
    }
}

/// A change by a strange client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Changed {
    pub time_ms: i64,
    pub what: What,
    pub event: Box<str>,
    pub ip: Option<IpAddr>,
    pub session: Option<Box<str>>,
}

impl Changed {
    fn heap_bytes(&self) -> usize {
        heap_bytes(self.event.len()) + self.session.as_deref().map_or(0, |session| heap_bytes(session.len()))
    }
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    Password,
    Factor,
    Account,
}

impl What {
    /// What is subtracted: many are made to change a password as soon as they sign in.
    fn discount(self) -> f32 {
        if self == Self::Password { 1.0 } else { 0.0 }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Factor => "second factor",
            Self::Account => "account",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stranger {
    source: Source,
    signs: Signs,
    /// When it signed in; `None` as long as that was not seen.
    in_ms: Option<i64>,
    /// When it had the password reset.
    reset_ms: Option<i64>,
    changed: Option<Changed>,
    /// Severity that was told, by number and one more; 0 for none.
    told: u8,
    /// What of the account was told as changed: a bit for each.
    told_of: u8,
    last_ms: i64,
}

/// A change that is to be told.
pub(super) struct Takeover {
    pub signs: Signs,
    pub weight: f32,
    pub severity: Severity,
    pub changed: Changed,
    pub after_ms: i64,
}

/// What is remembered of one person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Strangers {
    list: Vec<Stranger>,
    /// Where own devices were.
    pub lines: Lines,
    /// When an own client last gave an application access.
    consent_ms: i64,
    /// When an own client last proved a second factor.
    proved_ms: i64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self::new()
    }
}

impl Retained for Strangers {
    fn expires_ms(&self) -> i64 {
        let strange_ms = self.list.iter().map(|one| one.last_ms.saturating_add(KEPT_MS)).max().unwrap_or(i64::MIN);
        let consent_ms = self.consent_ms.saturating_add(HOUR_MS);
        [strange_ms, consent_ms, self.lines.expires_ms(), self.proved_ms.saturating_add(PROVES_MS)].into_iter().max().unwrap_or(i64::MIN)
    }

    fn worth(&self) -> u8 {
        u8::from(!self.list.is_empty()) * 2
    }

    fn heap_bytes(&self) -> usize {
        let events = self.list.iter().filter_map(|one| one.changed.as_ref()).map(Changed::heap_bytes);
        heap_bytes(self.list.capacity() * size_of::<Stranger>()) + events.sum::<usize>() + self.lines.heap_bytes()
    }
}

impl Strangers {
    /// Nothing.
    pub const fn new() -> Self {
        Self { list: Vec::new(), lines: Lines::new(), consent_ms: i64::MIN, proved_ms: i64::MIN }
    }

    /// Are there any?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What was found of the client of an event within the last day, if it is one of them. The lines beside them are kept
    /// for longer, and what people taught meanwhile counts.
    pub fn signs_of(&self, event: &Event<'_>) -> Option<Signs> {
        if self.is_empty() {
            return None;
        }
        let (source, since_ms) = (Source::of(event), event.time_ms().saturating_sub(KEPT_MS));
        self.list.iter().find(|one| one.last_ms >= since_ms && one.source.is(&source)).map(|one| one.signs)
    }

    /// Would an own client's use of this line be no news?
    pub fn knows_now(&self, event: &Event<'_>) -> bool {
        self.is_empty() && self.lines.knows_now(&Line::of(event), event.software().phone, event.time_ms())
    }

    /// An own client is at work. Who is on its line was the person then, unless that was told.
    pub fn own_seen(&mut self, event: &Event<'_>) {
        let (own, now_ms) = (Line::of(event), event.time_ms());
        self.lines.note(own, event.software().phone, now_ms);
        if event.kind() == Kind::MfaResult && event.factor() != Some("recovery") {
            self.proved_ms = self.proved_ms.max(now_ms);
        } else if event.kind() == Kind::AccountChange && event.factor().is_some() {
            // It may be the one that was lost.
            self.proved_ms = i64::MIN;
        }
        self.list.retain(|one| one.told > 0 || !one.source.line.is(&own));
        for one in &mut self.list {
            let apart_ms = self.lines.since_apart(&one.source.line, one.source.is_phone, one.last_ms);
            one.signs.own_elsewhere |= apart_ms.is_some_and(|since_ms| since_ms <= PRESENT_MS);
        }
    }

    /// An own client gave an application access.
    pub fn consented(&mut self, event: &Event<'_>) {
        self.consent_ms = self.consent_ms.max(event.time_ms());
    }

    /// Time since an own client gave an application access, before this event or just after it was written.
    pub fn since_consent(&self, event: &Event<'_>) -> Option<i64> {
        (self.consent_ms != i64::MIN).then(|| event.time_ms().saturating_sub(self.consent_ms)).filter(|since_ms| *since_ms >= -CLOCKS_MS)
    }

    /// Time between this event and work of the person's own client on another line.
    pub fn own_elsewhere(&self, event: &Event<'_>) -> Option<i64> {
        self.lines.since_elsewhere(&Line::of(event), event.time_ms()).filter(|since_ms| *since_ms <= PRESENT_MS)
    }

    /// A strange client signed in, or got a token.
    pub fn add(&mut self, event: &Event<'_>, signs: Signs) {
        self.update(event, signs, |one, now_ms| one.in_ms = Some(one.in_ms.map_or(now_ms, |in_ms| in_ms.min(now_ms))));
    }

    /// A strange client proved a second factor.
    pub fn prove(&mut self, event: &Event<'_>, signs: Signs) {
        self.update(event, signs, |one, _| one.signs.proved = true);
    }

    /// A strange client had the password reset.
    pub fn reset(&mut self, event: &Event<'_>, signs: Signs) {
        self.update(event, signs, |one, now_ms| one.reset_ms = Some(now_ms));
    }

    /// A strange client changed something.
    pub fn change(&mut self, event: &Event<'_>, signs: Signs, what: What) {
        let (time_ms, event_id, session) = (event.time_ms(), event.id().into(), event.session().map(Box::from));
        let changed = Changed { time_ms, what, event: event_id, ip: event.ip(), session };
        self.update(event, signs, |one, _| one.changed = Some(changed));
    }

    fn update(&mut self, event: &Event<'_>, signs: Signs, update: impl FnOnce(&mut Stranger, i64)) {
        let (source, now_ms) = (Source::of(event), event.time_ms());
        let apart_ms = self.lines.since_apart(&source.line, source.is_phone, now_ms);
        let has_factor = (0..=PROVES_MS).contains(&now_ms.saturating_sub(self.proved_ms));
        self.list.retain(|one| one.last_ms >= now_ms.saturating_sub(KEPT_MS));
        let at = self.list.iter().position(|one| one.source.is(&source)).unwrap_or_else(|| {
            if self.list.len() >= STRANGERS_MAX
                && let Some((oldest, _)) = self.list.iter().enumerate().min_by_key(|(_, one)| one.last_ms)
            {
                self.list.remove(oldest);
            }
            self.list.reserve_exact(1);
            self.list.push(Stranger { source, signs, in_ms: None, reset_ms: None, changed: None, told: 0, told_of: 0, last_ms: now_ms });
            self.list.len() - 1
        });
        if let Some(one) = self.list.get_mut(at) {
            one.last_ms = one.last_ms.max(now_ms);
            one.signs.own_elsewhere |= apart_ms.is_some_and(|since_ms| since_ms <= PRESENT_MS);
            update(one, now_ms);
            one.signs.reset = one.reset_ms.is_some();
            one.signs.unproved = has_factor && one.in_ms.is_some() && !one.signs.proved;
        }
    }

    /// What keeps the change that the client of an event made from being told, with the weight against it; none if it was told.
    pub fn held(&self, event: &Event<'_>) -> Option<(&'static str, f32)> {
        let source = Source::of(event);
        let one = self.list.iter().find(|one| one.source.is(&source))?;
        let changed = one.changed.as_ref().filter(|_| one.told == 0)?;
        let weight = one.signs.weight() - changed.what.discount();
        let gate = match one.in_ms {
            None => "sign_in_not_seen",
            Some(_) if !one.signs.is_enough() => "own_provider",
            Some(_) => "below_limit",
        };
        Some((gate, weight))
    }

    /// The change that is to be told now: it is worse than what was told of its client so far, or of something else.
    pub fn takeover(&mut self, config: &Config) -> Option<Takeover> {
        self.list.iter_mut().find_map(|one| {
            let changed = one.changed.as_ref()?;
            let after_ms = changed.time_ms.saturating_sub(one.in_ms?);
            let weight = one.signs.weight() - changed.what.discount();
            if !(0..=config.used_ms).contains(&after_ms) || !one.signs.is_enough() || weight < config.weight_min {
                return None;
            }
            let severity = match weight {
                // Of one provider, a device of the person's may look just so.
                weight if weight >= config.weight_critical_min && one.signs.new_network => Severity::Critical,
                _ => Severity::High,
            };
            let told = std::mem::replace(&mut one.told, severity as u8 + 1);
            one.told = one.told.max(told);
            let is_news = one.told_of & changed.what.bit() == 0;
            one.told_of |= changed.what.bit();
            (told <= severity as u8 || is_news).then(|| Takeover { signs: one.signs, weight, severity, changed: changed.clone(), after_ms })
        })
    }
}
