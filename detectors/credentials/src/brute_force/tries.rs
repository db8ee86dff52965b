//! The latest guesses at one account.

use super::{Config, WINDOW_MS};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use bartizan_core::{ClientPrint, Event, Familiar, Finding, NetworkClass, Retained, Severity, heap_bytes};
use serde::{Deserialize, Serialize};

/// Guesses remembered; beyond them the oldest goes. No limit is higher.
const GUESSES_MAX: usize = 240;
/// Time within which many are fast.
const FAST_MS: i64 = HOUR_MS;
/// A loop waits at least so long between two tries, and each time about as long.
const LOOP_GAP_MIN_MS: i64 = 20 * SECOND_MS;
const LOOP_GAPS_MIN: usize = 6;
/// Largest part by which a loop's waits differ from the usual one.
const LOOP_JITTER: f64 = 0.1;

/// One failed try, or a success to be held against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guess {
    pub time_ms: i64,
    network: u32,
    /// Device, or else program: what stays when the network is another one.
    client: u32,
    pub own: bool,
    /// A program of a kind that the person uses, or a line in their country: it may be a thing of theirs.
    may_be_own: bool,
}

impl Guess {
    /// The client and where it is.
    fn source(&self) -> (u32, u32) {
        (self.client, self.network)
    }

    pub fn of(event: &Event<'_>, familiar: Familiar) -> Self {
        let print = ClientPrint::of(event);
        // Of somebody who is not known yet, one network and program are as good as another.
        // Where the device is told and is not theirs, a neighbour's browser on the same provider looks like theirs.
        let by_line = print.device == 0 && familiar.is_own();
        let own = familiar.device || by_line || (!familiar.established && familiar.network);
        let may_be_own = familiar.agent || (familiar.country && event.network_class() == NetworkClass::Residential);
        Self { time_ms: event.time_ms(), network: print.line(), client: print.installation(), own, may_be_own }
    }
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Many in an hour.
    Fast,
    /// Fewer, from several networks.
    Spread,
    /// Some tens in a day.
    Slow,
    /// By own clients, beyond all measure.
    Own,
}

impl Rule {
    pub fn sentence(self, tally: &Tally, config: &Config) -> String {
        match self {
            Self::Fast => {
                format!("{} failed tries within an hour by clients that are not this person's (limit {}).", tally.hour, config.tries_min)
            }
            Self::Spread => format!(
                "{} failed tries within an hour from {} networks (limits {} and {}) by clients that are not this person's.",
                tally.hour, tally.networks, config.spread_tries_min, config.spread_networks_min
            ),
            Self::Slow => {
                format!("{} failed tries within a day by clients that are not this person's (limit {}).", tally.day, config.slow_tries_min)
            }
            Self::Own => format!("{} failed tries within a day by the person's own clients (limit {}).", tally.day, config.own_tries_min),
        }
    }
}

/// What the windows hold of strange, or of own, tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    hour: usize,
    /// Networks of those within the hour.
    networks: usize,
    day: usize,
    pub first_ms: i64,
}

impl Tally {
    pub fn judge(&self, own: bool, config: &Config) -> Option<(Severity, Rule)> {
        if own {
            return (self.day >= config.own_tries_min).then_some((Severity::Low, Rule::Own));
        }
        if self.hour >= config.spread_tries_min && self.networks >= config.spread_networks_min {
            return Some((Severity::Medium, Rule::Spread));
        }
        let fast = (self.hour >= config.tries_min).then_some(Rule::Fast);
        let rule = fast.or((self.day >= config.slow_tries_min).then_some(Rule::Slow));
        rule.map(|rule| (Severity::Medium, rule))
    }

    /// What was counted, and what it takes.
    pub fn sentence(&self, own: bool, config: &Config) -> String {
        let Config { tries_min, slow_tries_min, spread_tries_min, spread_networks_min, own_tries_min, .. } = config;
        let (hour, day, networks) = (self.hour, self.day, self.networks);
        if own {
            return format!("{day} failed tries within a day by clients of the person's own (limit {own_tries_min}).");
        }
        format!(
            "{hour} failed tries by strangers within an hour from {networks} networks and {day} within a day (limits {tries_min} within an hour, \
             {spread_tries_min} from {spread_networks_min} networks, {slow_tries_min} within a day)."
        )
    }

    /// Tries that a rule goes by.
    pub fn tries_of(&self, rule: Rule) -> usize {
        if matches!(rule, Rule::Fast | Rule::Spread) { self.hour } else { self.day }
    }

    pub fn note(&self, finding: &mut Finding, rule: Rule, config: &Config) {
        let limit = match rule {
            Rule::Fast => config.tries_min,
            Rule::Spread => config.spread_tries_min,
            Rule::Slow => config.slow_tries_min,
            Rule::Own => config.own_tries_min,
        };
        finding
            .note("tries", self.tries_of(rule))
            .note("tries_min", limit)
            .note("tries_hour", self.hour)
            .note("tries_day", self.day)
            .note("networks", self.networks)
            .note("own_client", rule == Rule::Own);
    }
}

/// The client that got in by guessing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Hit {
    time_ms: i64,
    tries: u16,
    network: u32,
    client: u32,
}

/// The guesses at one account, in order of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tries {
    guesses: Vec<Guess>,
    told_ms: Option<i64>,
    hit: Option<Hit>,
}

impl Retained for Tries {
    fn expires_ms(&self) -> i64 {
        self.guesses.last().map_or(i64::MIN, |last| last.time_ms.saturating_add(WINDOW_MS))
    }

    fn worth(&self) -> u8 {
        // Whoever is under attack stays.
        u8::from(self.told_ms.is_some() || self.hit.is_some()) * 3 + u8::from(self.guesses.len() > LOOP_GAPS_MIN)
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.guesses.capacity() * size_of::<Guess>())
    }
}

impl Tries {
    /// Adds a failed try. Those older than a day before the latest go.
    pub fn add(&mut self, guess: Guess) {
        let at = self.guesses.partition_point(|other| other.time_ms <= guess.time_ms);
        self.guesses.insert(at, guess);
        let oldest_ms = self.guesses.last().map_or(i64::MIN, |last| last.time_ms.saturating_sub(WINDOW_MS));
        let old = self.guesses.partition_point(|other| other.time_ms < oldest_ms);
        self.guesses.drain(..old.max(self.guesses.len().saturating_sub(GUESSES_MAX)));
        // What is held depends on what came alone, not on how the allocator grows.
        if self.guesses.capacity() > (self.guesses.len() + 1).next_power_of_two().max(4) {
            self.guesses.shrink_to((self.guesses.len() + 1).next_power_of_two().max(4));
        }
    }

    /// What the windows around a time hold of own or strange tries, but for those of a loop.
    pub fn tally(&self, time_ms: i64, own: bool, config: &Config) -> Tally {
        // Around it: events come out of order.
        let latest_ms = self.guesses.last().map_or(time_ms, |last| last.time_ms.max(time_ms));
        let within = |window_ms: i64| latest_ms.saturating_sub(window_ms);
        let mut day: Vec<&Guess> = self.guesses.iter().filter(|guess| guess.own == own && guess.time_ms >= within(WINDOW_MS)).collect();
        let looping = if own { None } else { looping(&day) }.filter(|(_, tries)| *tries < config.own_tries_min);
        day.retain(|guess| looping.is_none_or(|(source, _)| guess.source() != source));
        let hour = day.iter().filter(|guess| guess.time_ms >= within(FAST_MS));
        let mut networks: Vec<u32> = hour.clone().map(|guess| guess.network).collect();
        networks.sort_unstable();
        networks.dedup();
        let first_ms = day.first().map_or(time_ms, |first| first.time_ms);
        Tally { hour: hour.count(), networks: networks.len(), day: day.len(), first_ms }
    }

    /// Would a try be told of, if it were not that of a client which tries by the clock?
    pub fn excused(&self, guess: &Guess, config: &Config) -> Option<String> {
        let strange: Vec<&Guess> = self.guesses.iter().filter(|other| !other.own).collect();
        let (_, tries) = looping(&strange).filter(|(source, _)| !guess.own && *source == guess.source())?;
        let is_much = tries >= config.tries_min.min(config.slow_tries_min);
        is_much
            .then(|| format!("{tries} failed tries within a day by one client that may be the person's and waits about as long each time."))
    }

    /// Is the client of a success what has tried by the clock?
    pub fn is_looping(&self, success: &Guess) -> bool {
        let strange: Vec<&Guess> = self.guesses.iter().filter(|guess| !guess.own).collect();
        looping(&strange).is_some_and(|(source, _)| source == success.source())
    }

    /// Tries by the client of a success, before it or a little after.
    pub fn by_client(&self, success: &Guess) -> usize {
        let same = |guess: &&Guess| !guess.own && guess.client == success.client;
        self.guesses.iter().filter(same).filter(|guess| guess.time_ms <= success.time_ms.saturating_add(MINUTE_MS)).count()
    }

    /// Did the client of a success try from there alone?
    pub fn stayed(&self, success: &Guess) -> bool {
        self.guesses.iter().all(|guess| guess.client != success.client || guess.network == success.network)
    }

    /// Forgets the tries of a client that has the password reset.
    pub fn forgive(&mut self, event: &Event<'_>) {
        let client = Guess::of(event, Familiar::default()).client;
        self.guesses.retain(|guess| guess.client != client);
    }

    /// Notes that a finding is told; is it the first of its attack?
    pub fn tell(&mut self, time_ms: i64) -> bool {
        let before = self.told_ms.replace(time_ms.max(self.told_ms.unwrap_or(i64::MIN)));
        before.is_none_or(|before| time_ms.saturating_sub(before) > super::SPEC.quiet_gap_ms)
    }

    /// Notes a success by guessing.
    pub fn hit(&mut self, success: &Guess, event: &Event<'_>) {
        let tries = u16::try_from(self.by_client(success)).unwrap_or(u16::MAX);
        self.hit = Some(Hit { time_ms: event.time_ms(), tries, network: success.network, client: success.client });
    }

    /// Tries that the last hit took.
    pub fn hit_tries(&self) -> usize {
        self.hit.map_or(0, |hit| hit.tries.into())
    }

    /// Time from the hit to what its client does now; `None` for other clients.
    pub fn since_hit(&self, event: &Event<'_>) -> Option<i64> {
        let now = Guess::of(event, Familiar::default());
        let hit = self.hit.filter(|hit| hit.client == now.client && hit.network == now.network)?;
        Some(now.time_ms.saturating_sub(hit.time_ms))
    }
}

/// The client and network with most tries, and how many, if it may be the person's and waits about as long each time. A
/// phone away from home does so, or a tablet that has had an old password for ever.
fn looping(tries: &[&Guess]) -> Option<((u32, u32), usize)> {
    let mut sources: Vec<_> = tries.iter().map(|guess| guess.source()).collect();
    sources.sort_unstable();
    let source = sources.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?.first().copied()?;
    let of_source: Vec<&Guess> = tries.iter().copied().filter(|guess| guess.source() == source).collect();
    // Before the first sign-in of somebody new nothing may be theirs.
    let may_be_own = of_source.iter().filter(|guess| guess.may_be_own).count() * 10 >= of_source.len() * 9;
    let mut gaps: Vec<f64> = of_source.windows(2).map(gap_ms).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    let regular = gaps.iter().filter(|gap| (*gap - usual).abs() <= LOOP_JITTER * usual).count();
    // Now and then a wait is longer, when the machine sleeps.
    let is_loop = gaps.len() >= LOOP_GAPS_MIN && usual >= LOOP_GAP_MIN_MS as f64 && regular * 10 >= gaps.len() * 9;
    (may_be_own && is_loop).then_some((source, of_source.len()))
}

fn gap_ms(pair: &[&Guess]) -> f64 {
    if let [first, second] = pair { second.time_ms.saturating_sub(first.time_ms) as f64 } else { 0.0 }
}
