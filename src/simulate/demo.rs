//! Live traffic for a demonstration: a compressed past, then events at a given rate, with attacks.
//!
//! The first batch is ten days of the past in at most [`WARM_UP_EVENTS_MAX`] events, so that people
//! have places, devices and sessions; from then on each batch holds what happened since the one
//! before. Each kind of attack for which the first release has a detector comes within the first
//! seconds, and all kinds in turn for ever. Deliberately absent: labels, and a clock (the caller's
//! time is the only time).

use super::attacks::Attack;
use super::stage::Pace;
use super::world::{Turn, World};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// Most events of the past.
pub const WARM_UP_EVENTS_MAX: usize = 20_000;
/// Highest rate, in events a second.
pub const RATE_MAX: u32 = 2_000;

/// Events of a visit of the past, which is mostly a sign-in or a refresh, with the services' share.
const WARM_UP_VISIT_EVENTS: f64 = 5.0;
/// How much past people have.
const WARM_UP_MS: i64 = 10 * DAY_MS;
/// Some people have been idle for this long when the live part begins: unusual places need them.
const IDLE_MS: i64 = 30 * HOUR_MS;
/// One in so many is idle.
const IDLE_EVERY: usize = 12;
/// Time between two visits of one person, live.
const LIVE_GAP_MS: i64 = 10 * MINUTE_MS;
/// How long a visit lasts, live, about; the higher the rate, the closer its requests.
const LIVE_VISIT_MS: f64 = 25_000.0;
/// After a pause longer than this (a sleeping laptop) life begins anew instead of being made up for.
const PAUSE_MAX_MS: i64 = 30 * SECOND_MS;
/// How often the rate is corrected.
const CORRECT_EVERY_MS: i64 = 10 * SECOND_MS;

/// Traffic for a demonstration.
pub struct DemoTraffic {
    world: World,
    rate: f64,
    begun: bool,
    last_ms: i64,
    next_attack_ms: i64,
    attacks: usize,
    corrected_ms: i64,
    /// Events planned when the rate was last looked at; `None` at first, when many begin at once.
    planned: Option<u64>,
}

impl DemoTraffic {
    /// Traffic whose live part begins at `now_ms` with about `rate` events a second.
    #[must_use]
    pub fn new(seed: u64, now_ms: i64, rate: u32) -> Self {
        let rate = rate.clamp(1, RATE_MAX);
        let people = (rate as usize * 10).clamp(300, 1_200);
        let visits_per_day = WARM_UP_EVENTS_MAX as f64 * 0.8 / (WARM_UP_VISIT_EVENTS * people as f64 * 10.0);
        let pace = Pace {
            visits_per_day: visits_per_day.min(2.0),
            requests: 0.6,
            request_gap_ms: 2_000,
            daily_rhythm: true,
            haste: true,
            attempts_max: 150,
        };
        let start_ms = now_ms - WARM_UP_MS;
        let mut world = World::new(seed, pace, people, start_ms, 2 * DAY_MS);
        for (index, person) in world.stage.people.iter_mut().enumerate() {
            // Nobody travels: the past is too short to come back from it.
            person.next_trip_ms = i64::MAX;
            if index % IDLE_EVERY == 0 {
                // Those who will be idle leave a past that says where they belong.
                person.forgets = true;
                person.half_visits = 6;
            }
        }
        Self {
            world,
            rate: f64::from(rate),
            begun: false,
            last_ms: now_ms,
            next_attack_ms: 0,
            attacks: 0,
            corrected_ms: now_ms,
            planned: None,
        }
    }

    /// The events since the last call as JSON Lines; none is newer than `now_ms`. The first batch is
    /// the past.
    pub fn next_batch(&mut self, now_ms: i64) -> Vec<u8> {
        let mut lines = String::new();
        if !self.begun {
            self.begun = true;
            self.past(&mut lines);
            self.go_live(now_ms.max(self.last_ms));
            return lines.into_bytes();
        }
        if now_ms - self.last_ms > PAUSE_MAX_MS {
            self.go_live(now_ms);
        }
        self.last_ms = now_ms.max(self.last_ms);
        self.attack();
        self.events_until(self.last_ms, usize::MAX, &mut lines);
        self.correct_rate();
        // Nobody asks for them here, and they would grow for ever.
        drop(self.world.stage.book.take());
        lines.into_bytes()
    }

    fn past(&mut self, lines: &mut String) {
        let given = self.events_until(self.last_ms - IDLE_MS, WARM_UP_EVENTS_MAX, lines);
        for person in self.world.stage.people.iter_mut().step_by(IDLE_EVERY) {
            person.dormant = true;
        }
        self.events_until(self.last_ms, WARM_UP_EVENTS_MAX.saturating_sub(given), lines);
    }

    fn go_live(&mut self, now_ms: i64) {
        let people = self.world.stage.people.iter().filter(|p| !p.dormant).count().max(1) as f64;
        let visits_per_second = people / (LIVE_GAP_MS as f64 / 1_000.0);
        let requests = (self.rate / visits_per_second).clamp(1.0, 2_000.0);
        let request_gap_ms = (LIVE_VISIT_MS / requests).clamp(20.0, 2_000.0);
        self.world.stage.pace = Pace {
            visits_per_day: DAY_MS as f64 / LIVE_GAP_MS as f64,
            requests,
            request_gap_ms: request_gap_ms as i64,
            daily_rhythm: false,
            haste: true,
            attempts_max: 150,
        };
        // As many as would be in the middle of a visit; without them the traffic would swell slowly.
        let visit_s = requests * request_gap_ms / 1_000.0;
        self.world.begin_turns(now_ms, LIVE_GAP_MS, (visits_per_second * visit_s / 2.0) as usize);
        let first = [
            Attack::ReplayOwnerFirst,
            Attack::ImpossibleTravel,
            Attack::UnusualLocation,
            Attack::StuffingOneAddress,
            Attack::ImpossibleTravel,
            Attack::ReplayOwnerFirst,
            Attack::UnusualLocation,
        ];
        if self.attacks == 0 {
            for (number, attack) in (0_i64..).zip(first) {
                self.world.schedule(now_ms + 500 + 500 * number, Turn::Attack(attack));
            }
        }
        self.last_ms = now_ms;
        self.corrected_ms = now_ms;
        self.planned = None;
        self.next_attack_ms = now_ms + 12 * SECOND_MS;
    }

    /// Every kind in turn, one at a time.
    fn attack(&mut self) {
        if self.last_ms < self.next_attack_ms {
            return;
        }
        let [first, ..] = Attack::ALL;
        let attack = Attack::ALL.get(self.attacks % Attack::ALL.len()).copied().unwrap_or(first);
        self.attacks += 1;
        self.world.schedule(self.last_ms, Turn::Attack(attack));
        self.next_attack_ms = self.last_ms + self.world.stage.dice.between(10 * SECOND_MS, 25 * SECOND_MS);
    }

    fn events_until(&mut self, until_ms: i64, events_max: usize, lines: &mut String) -> usize {
        let mut events = 0;
        while events < events_max && self.world.next_event(until_ms, lines).is_some() {
            lines.push('\n');
            events += 1;
        }
        events
    }

    fn correct_rate(&mut self) {
        let elapsed_ms = self.last_ms - self.corrected_ms;
        if elapsed_ms < CORRECT_EVERY_MS {
            return;
        }
        // By what was planned, not by what was given: visits last, and an answer to what people began
        // half a minute ago would swing.
        let planned = self.world.stage.planned();
        if let Some(before) = self.planned {
            let had = (planned - before) as f64 * 1_000.0 / elapsed_ms as f64;
            let factor = (self.rate / had.max(0.1)).clamp(0.8, 1.25);
            let pace = &mut self.world.stage.pace;
            pace.requests = (pace.requests * factor).clamp(1.0, 2_000.0);
        }
        self.corrected_ms = self.last_ms;
        self.planned = Some(planned);
    }
}
