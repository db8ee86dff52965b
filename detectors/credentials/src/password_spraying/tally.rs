//! Goes through the names that failed, and weighs whether they are one attack's.

use super::guesses::Tried;
use super::watch::{Scope, WINDOW_MS, Watch};
use super::{Config, SPAN_MIN_MS};
use bartizan_core::time::MINUTE_MS;

/// Loud is what passes a limit within an hour, counted in cells of ten minutes.
const CELL_MS: i64 = 10 * MINUTE_MS;
const CELLS: usize = (WINDOW_MS / CELL_MS) as usize + 1;
const LOUD_CELLS: usize = 6;
/// Names an hour by which `credential_stuffing` tells of one address, of two (each by itself), of a network,
/// of a place where its own people sign in, and of a client over so many networks.
const LOUD_ADDRESS: u32 = 10;
const LOUD_TWO_ADDRESSES: u32 = 20;
const LOUD_NETWORK: u32 = 15;
const LOUD_SHARED: u32 = 25;
const LOUD_CLIENT: u32 = 25;
const LOUD_CLIENT_NETWORKS: u32 = 8;
/// An attack without a common place comes from so many networks.
const NETWORKS_MIN: u32 = 3;
/// Share of names that are tried again at once, from which on people try.
const HASTY_SHARE_MAX: f64 = 0.3;
/// One name of so many that comes again in another round makes it slow.
const AGAIN_PART: u32 = 3;

/// What was found in one scope.
#[derive(Debug)]
pub(super) struct Tally {
    /// Names of which no alert told.
    pub failed: u32,
    /// Of them, those that failed while it was not loud, or in more rounds than one: the rest is told elsewhere.
    pub slow: Vec<u32>,
    pub unknown: u32,
    /// Tried again in another round.
    pub again: u32,
    pub hasty: u32,
    pub networks: u32,
    /// Names of the network with most of them, and of all networks.
    largest: (u32, u32),
    pub addresses: u32,
    pub went_well: u32,
    pub first_ms: i64,
    pub last_ms: i64,
    /// Names that it takes.
    pub limit: u32,
}

impl Tally {
    fn new(watch: &Watch, scope: Scope, config: &Config) -> Self {
        let went_well = match scope {
            Scope::Client(client) => watch.guesses.client(client).went_well,
            Scope::Place(subnet) => watch.guesses.subnet(subnet).went_well,
            Scope::Everywhere => 0,
        };
        Self {
            failed: 0,
            slow: Vec::new(),
            unknown: 0,
            again: 0,
            hasty: 0,
            networks: 0,
            largest: (0, 0),
            addresses: 0,
            went_well: went_well.into(),
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            limit: limit(watch, scope, config),
        }
    }

    /// Share of names that failed among the sign-ins of the scope.
    pub fn failed_share(&self) -> f64 {
        let failed = f64::from(self.failed);
        failed / (failed + f64::from(self.went_well)).max(1.0)
    }

    /// Is it an attack?
    pub fn passes(&self, scope: Scope, config: &Config) -> bool {
        let enough = self.slow.len() as u32 >= self.limit && self.failed_share() >= config.failed_share_min;
        let spread = match scope {
            // What comes from one network all but alone is that network's.
            Scope::Client(_) => self.networks >= 2 && self.largest.0 * 4 <= self.largest.1 * 3,
            Scope::Place(_) => true,
            Scope::Everywhere => self.networks >= NETWORKS_MIN,
        };
        let people = f64::from(self.hasty) > HASTY_SHARE_MAX * f64::from(self.failed + self.hasty);
        let slow = self.last_ms.saturating_sub(self.first_ms) >= SPAN_MIN_MS || self.is_in_rounds();
        enough && spread && slow && !people
    }

    /// Does a good part of the names come again?
    fn is_in_rounds(&self) -> bool {
        self.again > 0 && self.again * AGAIN_PART >= self.failed
    }
}

/// Names that it takes.
pub(super) fn limit(watch: &Watch, scope: Scope, config: &Config) -> u32 {
    match scope {
        Scope::Client(_) => config.users_min,
        Scope::Place(subnet) if watch.knows_place(subnet) => config.shared_users_min,
        Scope::Place(_) => config.users_min,
        Scope::Everywhere => {
            let daily = watch.usual.daily();
            let rise = config.rise_min as f32 * daily + CHANCE * daily.sqrt();
            config.users_min.max(rise.ceil() as u32)
        }
    }
}

/// Standard deviations by which chance alone does not pass what is usual.
const CHANCE: f32 = 6.0;

/// Does a failing name belong there?
fn covers(watch: &Watch, scope: Scope, tried: &Tried, config: &Config) -> bool {
    match scope {
        // A place that was told keeps what fails there.
        Scope::Client(client) => tried.client == client && !watch.is_open(Scope::Place(tried.subnet)),
        Scope::Place(subnet) => tried.subnet == subnet,
        Scope::Everywhere => {
            let busy = |failing: u16| u32::from(failing) >= config.users_min;
            let told = || watch.is_open(Scope::Place(tried.subnet)) || watch.is_open(Scope::Client(tried.client));
            let by_place = || watch.has_few_places() && busy(watch.guesses.subnet(tried.subnet).failing);
            let by_client = || busy(watch.guesses.client(tried.client).failing) && !watch.knows_client(tried.client);
            // What takes longest comes last.
            !told() && !by_place() && !by_client() && watch.is_nowhere(tried)
        }
    }
}

/// Is it a name that an alert would be news of: tried as an attacker does, settled, and not told?
fn is_news(time_ms: i64, tried: &Tried, watch: &Watch, config: &Config) -> bool {
    // Who comes again in another round did not get in after the one before.
    let is_settled = time_ms <= watch.newest_ms.saturating_sub(config.settle_ms) || tried.again;
    is_settled && tried.untold > 0 && tried.fails <= config.tries_max
}

/// Are there at least so many names of which an alert would be news? Fewer need not be [weighed](tally).
pub(super) fn has_news(watch: &Watch, scope: Scope, names_min: u32, config: &Config) -> bool {
    let news = watch
        .guesses
        .iter()
        .filter(|(_, time_ms, tried)| !tried.hasty && is_news(*time_ms, tried, watch, config) && covers(watch, scope, tried, config));
    news.take(names_min as usize).count() as u32 >= names_min
}

/// A name of which no alert told.
struct Untold {
    user: u32,
    subnet: u32,
    first_ms: i64,
    last_ms: i64,
    again: bool,
}

/// Weighs a scope.
pub(super) fn tally(watch: &Watch, scope: Scope, config: &Config) -> Tally {
    let mut tally = Tally::new(watch, scope, config);
    let (mut repeats, mut unknown) = (0, 0);
    let room = watch.guesses.len();
    let (mut subnets, mut addresses) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let (mut times, mut names) = (Vec::with_capacity(room), Vec::with_capacity(room));
    for (user, time_ms, tried) in watch.guesses.iter().filter(|(_, _, tried)| covers(watch, scope, tried, config)) {
        times.push(time_ms);
        repeats += u32::from(tried.fails > 1);
        unknown += u32::from(tried.unknown);
        subnets.push(tried.subnet);
        addresses.push(tried.address);
        if !is_news(time_ms, tried, watch, config) {
            continue;
        }
        if tried.hasty {
            tally.hasty += 1;
            continue;
        }
        // What others tried elsewhere is no round of this place or client.
        let (first_ms, again) = match scope {
            Scope::Everywhere => (tried.first_ms, tried.again),
            Scope::Place(_) | Scope::Client(_) => (tried.here_ms, tried.again_here),
        };
        names.push(Untold { user, subnet: tried.subnet, first_ms, last_ms: time_ms, again });
        tally.unknown += u32::from(tried.unknown);
        tally.again += u32::from(again);
    }
    let all = subnets.len() as u32;
    tally.failed = names.len() as u32;
    tally.largest = (largest(&mut subnets), all);
    (tally.networks, tally.addresses) = (distinct(subnets), distinct(addresses));
    let loud_min = match scope {
        Scope::Everywhere => u32::MAX,
        Scope::Place(subnet) => loud_network(watch, subnet, tally.addresses),
        // It takes names that do not exist, or that next to nobody tries again.
        Scope::Client(_) if tally.networks >= LOUD_CLIENT_NETWORKS && (repeats * 10 <= all || unknown * 100 >= all * 15) => LOUD_CLIENT,
        Scope::Client(_) => u32::MAX,
    };
    let clock = Clock::of(watch);
    let loud = clock.loud_cells(times.into_iter(), loud_min);
    // What a network passes by itself is that network's, whatever else its client does.
    let loud_networks = if matches!(scope, Scope::Client(_)) { loud_networks(watch, clock) } else { Vec::new() };
    let in_loud_network = |name: &Untold| {
        let network = loud_networks.iter().find(|(subnet, _)| *subnet == name.subnet);
        network.is_some_and(|(_, loud)| clock.is_in(loud, name.last_ms)) || is_flooded(watch, scope, name)
    };
    // Rounds have hours between them, however loud each is; a list with some names twice is none.
    let in_rounds = tally.is_in_rounds();
    let is_slow = |name: &&Untold| (name.again && in_rounds) || !(clock.is_in(&loud, name.last_ms) || in_loud_network(name));
    for name in names.iter().filter(is_slow) {
        tally.slow.push(name.user);
        tally.first_ms = tally.first_ms.min(name.first_ms);
        tally.last_ms = tally.last_ms.max(name.last_ms);
    }
    tally
}

/// Was there a flood of tries, of which most found no room?
fn is_flooded(watch: &Watch, scope: Scope, name: &Untold) -> bool {
    let network = watch.guesses.subnet(name.subnet).turned_away;
    match scope {
        Scope::Client(client) => network.is_loud(name.last_ms) || watch.guesses.client(client).turned_away.is_loud(name.last_ms),
        Scope::Place(_) => network.is_loud(name.last_ms),
        Scope::Everywhere => false,
    }
}

/// Names an hour by which `credential_stuffing` tells of a network from which so many addresses try.
fn loud_network(watch: &Watch, subnet: u32, addresses: u32) -> u32 {
    match addresses {
        _ if watch.knows_place(subnet) => LOUD_SHARED,
        0 | 1 => LOUD_ADDRESS,
        2 => LOUD_TWO_ADDRESSES,
        _ => LOUD_NETWORK,
    }
}

/// The networks that are loud by themselves, and when.
fn loud_networks(watch: &Watch, clock: Clock) -> Vec<(u32, [bool; CELLS])> {
    // Few networks have so many names as the least of all limits.
    let busy = watch.guesses.iter().filter(|(_, _, tried)| u32::from(watch.guesses.subnet(tried.subnet).failing) >= LOUD_ADDRESS);
    let mut tries: Vec<_> = busy.map(|(_, time_ms, tried)| (tried.subnet, tried.address, time_ms)).collect();
    tries.sort_unstable();
    let networks = tries.chunk_by(|a, b| a.0 == b.0);
    let loud = networks.filter_map(|network| {
        let (subnet, ..) = *network.first()?;
        let addresses = distinct(network.iter().map(|(_, address, _)| *address).collect());
        Some((subnet, clock.loud_cells(network.iter().map(|(.., time_ms)| *time_ms), loud_network(watch, subnet, addresses))))
    });
    loud.collect()
}

/// Cells of the clock, from the one in which the window begins. Where they begin must not depend on when it is looked.
#[derive(Clone, Copy, Debug)]
struct Clock {
    first: i64,
}

impl Clock {
    fn of(watch: &Watch) -> Self {
        Self { first: watch.newest_ms.saturating_sub(WINDOW_MS).div_euclid(CELL_MS) }
    }

    fn cell(self, time_ms: i64) -> usize {
        time_ms.div_euclid(CELL_MS).saturating_sub(self.first) as usize
    }

    fn is_in(self, cells: &[bool; CELLS], time_ms: i64) -> bool {
        cells.get(self.cell(time_ms)).copied().unwrap_or_default()
    }

    /// The cells of all hours with so many names.
    fn loud_cells(self, times: impl Iterator<Item = i64>, names_min: u32) -> [bool; CELLS] {
        let mut cells = [0; CELLS];
        for time_ms in times {
            if let Some(cell) = cells.get_mut(self.cell(time_ms)) {
                *cell += 1;
            }
        }
        loud_cells(&cells, names_min)
    }
}

/// The cells of all hours with so many names.
fn loud_cells(cells: &[u32; CELLS], names_min: u32) -> [bool; CELLS] {
    let mut loud = [false; CELLS];
    if cells.iter().sum::<u32>() < names_min {
        return loud;
    }
    for (start, hour) in cells.windows(LOUD_CELLS).enumerate() {
        if hour.iter().sum::<u32>() >= names_min {
            loud.iter_mut().skip(start).take(LOUD_CELLS).for_each(|cell| *cell = true);
        }
    }
    loud
}

/// How often the value stands there that does so most often.
fn largest(values: &mut [u32]) -> u32 {
    values.sort_unstable();
    values.chunk_by(|a, b| a == b).map(|same| same.len() as u32).max().unwrap_or_default()
}

fn distinct(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values.dedup();
    values.len() as u32
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn hours_with_many_names_are_loud_and_no_others() {
        let mut cells = [0; CELLS];
        (cells[10], cells[15], cells[30]) = (5, 5, 9);
        let loud = loud_cells(&cells, LOUD_ADDRESS);
        assert_eq!(loud.iter().enumerate().filter(|(_, loud)| **loud).map(|(cell, _)| cell).collect::<Vec<_>>(), [10, 11, 12, 13, 14, 15]);
    }
}
