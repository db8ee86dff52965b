//! Whose turn it is: the agenda of a simulated world.
//!
//! Each person and service has exactly one turn ahead; attacks and happenings have one until they
//! have happened. So the agenda is bounded by the population and the schedule, and time only goes on.

use super::attacks::Attack;
use super::lives::{LIVES, Life, Rhythm, service_turn};
use super::stage::{Pace, Stage};
use super::visits::visit;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Hours of a day in which people are awake.
const WAKING_MS: i64 = 16 * HOUR_MS;
/// Hour at which they get up.
const MORNING_MS: i64 = 7 * HOUR_MS;

/// Something that comes up at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    Person(usize),
    Service(usize),
    Attack(Attack),
    /// A happening by its place in the table.
    Life(usize),
}

/// A world with its agenda.
pub(crate) struct World {
    pub(crate) stage: Stage,
    agenda: BinaryHeap<Reverse<(i64, u64, Turn)>>,
    turns: u64,
    /// After this an attack that found no victim is given up.
    pub(crate) attacks_end_ms: i64,
}

impl World {
    /// A world of `people`, whose first turns lie within `spread_ms` after `start_ms`.
    pub(crate) fn new(seed: u64, pace: Pace, people: usize, start_ms: i64, spread_ms: i64) -> Self {
        let mut world = Self { stage: Stage::new(seed, pace), agenda: BinaryHeap::new(), turns: 0, attacks_end_ms: i64::MAX };
        super::people::populate(&mut world.stage, people, start_ms);
        world.begin_turns(start_ms, spread_ms, 0);
        world
    }

    /// Gives everybody a turn within `spread_ms` after `from_ms`, the first `early` people at once, and
    /// forgets what was on the agenda.
    pub(crate) fn begin_turns(&mut self, from_ms: i64, spread_ms: i64, early: usize) {
        self.agenda.clear();
        for index in 0..self.stage.people.len() {
            let spread_ms = if index < early { SECOND_MS } else { spread_ms };
            let time_ms = from_ms + self.stage.dice.between(0, spread_ms);
            self.schedule(time_ms, Turn::Person(index));
        }
        for index in 0..self.stage.services.len() {
            let time_ms = from_ms + self.stage.dice.between(0, spread_ms);
            self.schedule(time_ms, Turn::Service(index));
        }
    }

    pub(crate) fn schedule(&mut self, time_ms: i64, turn: Turn) {
        self.turns += 1;
        self.agenda.push(Reverse((time_ms, self.turns, turn)));
    }

    /// Goes on until the next event that is handed over at or before `until_ms`, appends it to `out`
    /// and gives its time.
    pub(crate) fn next_event(&mut self, until_ms: i64, out: &mut String) -> Option<i64> {
        loop {
            let delivery_ms = self.stage.next_delivery_ms().unwrap_or(i64::MAX);
            let turn_ms = self.agenda.peek().map_or(i64::MAX, |Reverse((time_ms, _, _))| *time_ms);
            if delivery_ms.min(turn_ms) > until_ms {
                return None;
            }
            if delivery_ms <= turn_ms {
                return self.stage.deliver(out);
            }
            self.take_turn();
        }
    }

    fn take_turn(&mut self) {
        let Some(Reverse((now_ms, _, turn))) = self.agenda.pop() else { return };
        match turn {
            Turn::Person(index) => self.person(index, now_ms),
            Turn::Service(index) => {
                service_turn(&mut self.stage, index, now_ms);
                let gap_ms = (self.visit_gap_ms() / 4).max(MINUTE_MS);
                let next_ms = now_ms + self.stage.dice.around(gap_ms);
                self.schedule(next_ms, turn);
            }
            Turn::Attack(attack) => {
                // Nobody fits now: later somebody will.
                let again_ms = now_ms + if self.stage.pace.haste { SECOND_MS } else { HOUR_MS };
                if !attack.launch(&mut self.stage, now_ms) && again_ms < self.attacks_end_ms {
                    self.schedule(again_ms, turn);
                }
            }
            Turn::Life(number) => {
                if let Some(life) = LIVES.get(number) {
                    self.life(turn, life, now_ms);
                }
            }
        }
    }

    fn life(&mut self, turn: Turn, life: &Life, now_ms: i64) {
        let again_ms = if !life.happen(&mut self.stage, now_ms) {
            now_ms + HOUR_MS
        } else if life.rhythm == Rhythm::Daily {
            now_ms + DAY_MS
        } else {
            i64::MAX
        };
        if again_ms < self.attacks_end_ms {
            self.schedule(again_ms, turn);
        }
        for index in std::mem::take(&mut self.stage.arrivals) {
            let gap_ms = self.visit_gap_ms();
            let time_ms = now_ms + self.stage.dice.around(gap_ms);
            self.schedule(time_ms, Turn::Person(index));
        }
    }

    fn person(&mut self, index: usize, now_ms: i64) {
        let Some(person) = self.stage.people.get(index) else { return };
        if person.dormant || now_ms >= person.stops_ms {
            return;
        }
        if now_ms < person.busy_until_ms {
            let later_ms = person.busy_until_ms + MINUTE_MS;
            return self.schedule(later_ms, Turn::Person(index));
        }
        let (town, half_visits) = (person.town, i64::from(person.half_visits.max(1)));
        let end_ms = visit(&mut self.stage, index, now_ms);
        let gap_ms = self.visit_gap_ms() * 2 / half_visits;
        let mut next_ms = end_ms + self.stage.dice.around(gap_ms).max(MINUTE_MS);
        if self.stage.pace.daily_rhythm {
            let offset_ms = self.stage.atlas.town(town).map_or(0, |t| t.utc_offset_ms);
            let of_day_ms = (next_ms + offset_ms).rem_euclid(DAY_MS);
            if of_day_ms < MORNING_MS {
                // They sleep; the visit waits until they are up.
                next_ms += MORNING_MS - of_day_ms + self.stage.dice.between(0, 2 * HOUR_MS);
            }
        }
        self.schedule(next_ms, Turn::Person(index));
    }

    fn visit_gap_ms(&self) -> i64 {
        let awake_ms = if self.stage.pace.daily_rhythm { WAKING_MS } else { DAY_MS };
        (awake_ms as f64 / self.stage.pace.visits_per_day.max(0.01)) as i64
    }

    /// Entries on the agenda.
    #[cfg(test)]
    pub(crate) fn agenda_len(&self) -> usize {
        self.agenda.len()
    }
}
