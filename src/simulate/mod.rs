//! Labelled, seeded traffic in the native format, for tests, demonstrations and benchmarks.
//!
//! Ordinary people (homes, phones behind carrier gateways, offices behind one address, journeys at the
//! speed of trains and aircraft, VPN and relay users, mistyped and stale passwords, token refreshes
//! with their innocent races) and service accounts of several tenants act over days; awkward but
//! innocent things happen to them (`lives`), and attacks among them (`attacks`). What really happened
//! stands in the labels.
//!
//! Invariants: the same configuration gives the same bytes; events come nearly in order of their time,
//! with the delays and repetitions of real collectors; memory depends on the population (bounded) and
//! on a named limit of events that wait, not on the number of events; a label names only what is in the traffic.
//!
//! Deliberately absent: any look at what the detectors do. The world is written from how people and
//! thieves behave, so that a measurement against it says something.

mod atlas;
mod attacks;
mod clients;
mod demo;
pub(crate) mod dice;
mod draft;
mod labels;
mod lives;
mod people;
mod probes;
mod stage;
mod tenants;
mod visits;
mod world;

pub(crate) use atlas::{Atlas, Class};
pub use attacks::Attack;
pub(crate) use clients::{Client, Family};
pub use demo::DemoTraffic;
pub use labels::{LABEL_ENTITIES_MAX, Label, LabelEntities};
pub(crate) use tenants::{FIRST_NAMES, LAST_NAMES, TENANTS, Tenant};

use bartizan_core::time::{DAY_MS, HOUR_MS};
use lives::{LIVES, Rhythm};
use stage::Pace;
use world::{Turn, World};

/// Most people that a simulation has; more events make them busier.
pub const PEOPLE_MAX: usize = 40_000;
/// Fewest, so that offices and attacks have enough of them.
const PEOPLE_MIN: usize = 80;
/// Most attacks in one simulation.
pub const ATTACKS_MAX: u64 = 2_000;
/// Most innocent happenings in one simulation.
const LIVES_MAX: u64 = 4_000;
/// One attack in so many events, unless there are fewer than its kinds.
const EVENTS_PER_ATTACK: u64 = 3_500;
/// One innocent happening in so many.
const EVENTS_PER_LIFE: u64 = 1_200;
/// One person in so many stops coming in the middle.
const STOPS_EVERY: usize = 37;
/// Kinds of labels (with their variant) that are kept back from tuning: five forms of attack and five
/// innocent lives. How detectors do on them is measured, never tuned to; what they are good for is to
/// say how detectors do on what their makers did not think of. So whoever tunes looks at the others alone.
pub const HELD_BACK: [(&str, &str); 10] = [
    ("credential_stuffing", "rotating"),
    ("token_reuse", "same_town"),
    ("unusual_location", "dormant"),
    ("api_enumeration", "slow"),
    ("account_takeover", "consent"),
    ("broken_app_release", ""),
    ("kiosk", ""),
    ("merger", ""),
    ("pods", ""),
    ("satellite_home", ""),
];
/// Longest simulation, in days.
pub const DAYS_MAX: u32 = 365;

/// Events that a visit has besides its requests, about.
const VISIT_OVERHEAD: f64 = 1.4;
/// Events of one person in a day that the population is chosen for.
const EVENTS_PER_PERSON_DAY: f64 = 40.0;
/// Visits of one person in a day, unless there are too few events for it.
const VISITS_PER_DAY: f64 = 5.0;
/// Share of the events that attacks and services are expected to take.
const OTHERS_SHARE: f64 = 0.15;
/// How often the pace is corrected.
const PACE_EVERY_MS: i64 = 6 * HOUR_MS;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulationConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many lines to give, repeated deliveries included.
    pub events: u64,
    /// Event time of the beginning, in milliseconds since 1970.
    pub start_ms: i64,
    /// How many days it is to cover, about; 1 to [`DAYS_MAX`].
    pub days: u32,
    /// Which attacks happen; [`Attack::ALL`] for all, none for peace.
    pub attacks: Vec<Attack>,
}

impl SimulationConfig {
    /// As many days as suit a number of events.
    #[must_use]
    pub fn days_for(events: u64) -> u32 {
        match events {
            0..50_000 => 3,
            50_000..1_000_000 => 7,
            _ => 14,
        }
    }
}

/// A stream of simulated events.
pub struct Simulation {
    world: World,
    config: SimulationConfig,
    given: u64,
    paced_ms: i64,
    given_at_pace: u64,
}

impl Simulation {
    /// Sets the world up; nothing happens before the first event is asked for.
    #[must_use]
    pub fn new(mut config: SimulationConfig) -> Self {
        config.days = config.days.clamp(1, DAYS_MAX);
        let days = f64::from(config.days);
        let people = (config.events as f64 / (days * EVENTS_PER_PERSON_DAY)) as usize;
        let people = people.clamp(PEOPLE_MIN, PEOPLE_MAX);
        let attacks = (config.events / EVENTS_PER_ATTACK).clamp((config.events / 500).min(config.attacks.len() as u64), ATTACKS_MAX);
        let pace = first_pace(&config, people);
        let mut world = World::new(config.seed, pace, people, config.start_ms, DAY_MS);
        schedule_attacks(&mut world, &config, attacks);
        Self { world, paced_ms: config.start_ms, config, given: 0, given_at_pace: 0 }
    }

    /// Appends the next event to `out`, as one line of JSON without the line's end. False at the end.
    pub fn next_event(&mut self, out: &mut String) -> bool {
        if self.given >= self.config.events {
            return false;
        }
        let Some(time_ms) = self.world.next_event(i64::MAX, out) else { return false };
        self.given += 1;
        if time_ms - self.paced_ms >= PACE_EVERY_MS {
            self.correct_pace(time_ms);
        }
        true
    }

    /// Labels that became complete since the last call.
    pub fn take_labels(&mut self) -> Vec<Label> {
        self.world.stage.book.take()
    }

    /// The labels of what the end of the traffic cut off.
    pub fn finish(mut self) -> Vec<Label> {
        self.world.stage.book.finish()
    }

    /// Makes people busier or calmer, so that the events fill the days.
    fn correct_pace(&mut self, now_ms: i64) {
        let end_ms = self.config.start_ms + i64::from(self.config.days) * DAY_MS;
        let left_ms = (end_ms - now_ms).max(PACE_EVERY_MS) as f64;
        let needed = (self.config.events - self.given) as f64 / left_ms;
        // The first hours are not typical: everybody signs in.
        if now_ms - self.config.start_ms > DAY_MS {
            let had = (self.given - self.given_at_pace) as f64 / (now_ms - self.paced_ms) as f64;
            let factor = (needed / had.max(1e-9)).clamp(0.5, 2.0);
            // Half of the way: the hours of a day differ among themselves.
            scale(&mut self.world.stage.pace, (1.0 + factor) / 2.0);
        }
        self.paced_ms = now_ms;
        self.given_at_pace = self.given;
    }
}

fn first_pace(config: &SimulationConfig, people: usize) -> Pace {
    let per_day = config.events as f64 * (1.0 - OTHERS_SHARE) / (people as f64 * f64::from(config.days));
    let visits_per_day = (per_day / 4.0).clamp(0.05, VISITS_PER_DAY);
    Pace {
        visits_per_day,
        requests: (per_day / visits_per_day - VISIT_OVERHEAD).clamp(1.0, 150.0),
        request_gap_ms: 4_000,
        daily_rhythm: true,
        haste: false,
        attempts_max: (config.events / 400).clamp(60, 1_000) as i64,
    }
}

fn scale(pace: &mut Pace, factor: f64) {
    let wanted = pace.requests * factor;
    pace.requests = wanted.clamp(1.0, 150.0);
    pace.visits_per_day = (pace.visits_per_day * wanted / pace.requests).clamp(0.05, 4.0 * VISITS_PER_DAY);
}

/// Spreads the attacks and the innocent happenings over the days: after people have a past, before the end.
fn schedule_attacks(world: &mut World, config: &SimulationConfig, count: u64) {
    let length_ms = i64::from(config.days) * DAY_MS;
    let at = |share: f64| config.start_ms + (length_ms as f64 * share) as i64;
    world.attacks_end_ms = at(0.9);
    for (_, attack) in (0..count).zip(config.attacks.iter().cycle()) {
        let earliest_ms = if attack.needs_long_past() { at(0.5) } else { at(0.25) };
        let time_ms = world.stage.dice.between(earliest_ms, at(0.85));
        world.schedule(time_ms, Turn::Attack(*attack));
    }
    let lives = (config.events / EVENTS_PER_LIFE).min(LIVES_MAX) as usize;
    let rounds = (0..).flat_map(|round| LIVES.iter().enumerate().map(move |(index, life)| (round, index, life)));
    for (_, index, life) in rounds.filter(|(round, _, life)| life.comes_in(*round)).take(lives) {
        // Whose work it is does it from the first day on.
        let latest_ms = if life.rhythm == Rhythm::Daily { at(0.15) } else { at(0.85) };
        let time_ms = world.stage.dice.between(at(0.1), latest_ms);
        world.schedule(time_ms, Turn::Life(index));
    }
    for person in world.stage.people.iter_mut().skip(STOPS_EVERY / 2).step_by(STOPS_EVERY) {
        person.stops_ms = world.stage.dice.between(at(0.3), at(0.55));
    }
}

#[cfg(test)]
mod tests;
