//! The state of a simulated world, and the way out of it.
//!
//! Whoever acts plans events at times that may lie a little ahead; they wait here, ordered by the time
//! at which a collector would hand them over: event time plus the delay of their source. So the
//! output is nearly ordered by event time, as collected logs are, with a few late and repeated lines.

use super::atlas::Atlas;
use super::dice::Dice;
use super::draft::Draft;
use super::labels::{LabelBook, LabelId, Plan};
use super::people::{Office, Person, Service};
use super::tenants::{TENANTS, Tenant};
use bartizan_core::time::{MINUTE_MS, SECOND_MS};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events that may wait at once. From there on visits shrink to one request, so that a simulation runs
/// in the memory of this many drafts, however many events it gives.
pub(crate) const WAITING_MAX: usize = 200_000;

/// People who may come to a world after its beginning.
pub(crate) const NEWCOMERS_MAX: usize = 4_000;

/// By how much an attack is shortened in haste: minutes become seconds.
const HASTE_DIVISOR: i64 = 300;

/// How busy people are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Visits of one person in a day.
    pub(crate) visits_per_day: f64,
    /// Mean number of API requests in a visit.
    pub(crate) requests: f64,
    /// Mean time between two requests of a visit.
    pub(crate) request_gap_ms: i64,
    /// Do people sleep? Off in live demonstrations, which must show traffic at any hour.
    pub(crate) daily_rhythm: bool,
    /// Are attacks pressed into seconds, so that somebody who watches sees them?
    pub(crate) haste: bool,
    /// Most attempts of one attack.
    pub(crate) attempts_max: i64,
}

struct Parcel {
    deliver_ms: i64,
    number: u64,
    /// A second delivery of the same event.
    repeated: bool,
    draft: Box<Draft>,
}

impl Parcel {
    fn order(&self) -> (i64, u64, bool) {
        (self.deliver_ms, self.number, self.repeated)
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}
impl Eq for Parcel {}
impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// A gateway whose clock is wrong for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skew {
    pub(crate) tenant: u8,
    pub(crate) from_ms: i64,
    pub(crate) until_ms: i64,
    pub(crate) by_ms: i64,
}

impl Skew {
    fn covers(&self, tenant: u8, time_ms: i64) -> bool {
        self.tenant == tenant && (self.from_ms..self.until_ms).contains(&time_ms)
    }
}

/// Everything that is.
pub(crate) struct Stage {
    pub(crate) dice: Dice,
    pub(crate) atlas: Atlas,
    pub(crate) people: Vec<Person>,
    /// How many people there were at the beginning.
    pub(crate) population: usize,
    /// Newcomers who have no turn on the agenda yet.
    pub(crate) arrivals: Vec<usize>,
    pub(crate) offices: Vec<Office>,
    pub(crate) services: Vec<Service>,
    pub(crate) book: LabelBook,
    pub(crate) pace: Pace,
    pub(crate) skew: Option<Skew>,
    waiting: BinaryHeap<Reverse<Parcel>>,
    salt: u64,
    numbers: u64,
    events: u64,
}

impl Stage {
    pub(crate) fn new(seed: u64, pace: Pace) -> Self {
        let mut dice = Dice::new(seed);
        let salt = dice.bits();
        Self {
            dice,
            atlas: Atlas::new(),
            people: Vec::new(),
            population: 0,
            arrivals: Vec::new(),
            offices: Vec::new(),
            services: Vec::new(),
            book: LabelBook::default(),
            pace,
            skew: None,
            waiting: BinaryHeap::new(),
            salt,
            numbers: 0,
            events: 0,
        }
    }

    /// A number not given before: for sessions, tokens and devices.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn tenant(&self, index: u8) -> &'static Tenant {
        TENANTS.get(usize::from(index)).unwrap_or(&TENANTS[0])
    }

    /// People that each tenant has had from the beginning: numbers below are somebody's.
    pub(crate) fn people_of_tenant(&self) -> i64 {
        (self.population / TENANTS.len()).max(1) as i64
    }

    /// Takes somebody in who lives here like everybody from now on. `None` when there are too many.
    pub(crate) fn welcome(&mut self, person: Person) -> Option<usize> {
        if self.people.len() >= self.population + NEWCOMERS_MAX {
            return None;
        }
        let index = self.people.len();
        self.people.push(person);
        self.arrivals.push(index);
        Some(index)
    }

    /// Is the clock of a tenant's gateway wrong?
    pub(crate) fn is_skewed(&self, tenant: u8, time_ms: i64) -> bool {
        self.skew.is_some_and(|skew| skew.covers(tenant, time_ms))
    }

    pub(crate) fn open_label(&mut self, plan: Plan, tenant: u8) -> LabelId {
        let name = self.tenant(tenant).name;
        self.book.open(plan, name)
    }

    /// A while between two bounds; a small part of it in haste.
    pub(crate) fn wait_ms(&mut self, low_ms: i64, high_ms: i64) -> i64 {
        let wait_ms = self.dice.between(low_ms, high_ms);
        if self.pace.haste { (wait_ms / HASTE_DIVISOR).max(200) } else { wait_ms }
    }

    /// Plans an event.
    pub(crate) fn emit(&mut self, mut draft: Draft) {
        self.events += 1;
        let collected_ms = draft.time_ms;
        if draft.request.is_some()
            && let Some(skew) = self.skew.filter(|skew| skew.covers(draft.tenant, draft.time_ms))
        {
            draft.time_ms += skew.by_ms;
        }
        if draft.label != 0 {
            self.book.planned(draft.label);
        }
        let usual_ms = if draft.request.is_some() { 800 } else { 2 * SECOND_MS };
        let delay_ms = if self.dice.chance(0.002) { self.dice.between(5 * SECOND_MS, MINUTE_MS) } else { self.dice.between(50, usual_ms) };
        let deliver_ms = collected_ms + delay_ms;
        if self.dice.chance(0.002) {
            let again_ms = deliver_ms + self.dice.between(SECOND_MS, 30 * SECOND_MS);
            self.waiting.push(Reverse(Parcel { deliver_ms: again_ms, number: self.events, repeated: true, draft: Box::new(draft) }));
        }
        self.waiting.push(Reverse(Parcel { deliver_ms, number: self.events, repeated: false, draft: Box::new(draft) }));
    }

    /// Are so many events waiting that visits should shrink?
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Events planned so far.
    pub(crate) fn planned(&self) -> u64 {
        self.events
    }

    /// Events waiting.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When the next event is handed over.
    pub(crate) fn next_delivery_ms(&self) -> Option<i64> {
        self.waiting.peek().map(|Reverse(parcel)| parcel.deliver_ms)
    }

    /// Hands over the next event: its line is appended to `out`, without a
    /// line's end, and its time is given back.
    pub(crate) fn deliver(&mut self, out: &mut String) -> Option<i64> {
        let Reverse(parcel) = self.waiting.pop()?;
        // Writing to a string cannot fail.
        let written = parcel.draft.write(parcel.number, self.salt, out);
        debug_assert!(written.is_ok(), "writing to a string");
        if parcel.draft.label != 0 && !parcel.repeated {
            let salt = self.salt;
            self.book.delivered(&parcel.draft, |draft| draft.names(salt));
        }
        Some(parcel.draft.time_ms)
    }
}
