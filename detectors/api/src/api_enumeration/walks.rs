//! What one principal asked for within a day, route by route.

use super::Config;
use super::route::Asked;
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{Retained, heap_bytes};
use serde::{Deserialize, Serialize};

/// Routes remembered; beyond them the one that was used least lately goes.
const ROUTES_MAX: usize = 6;
/// Bytes of the sketch that counts objects.
const SKETCH_BYTES: usize = 128;
/// Objects counted without a sketch.
const FEW_MAX: usize = 6;
/// Two numbers so near are a step of a walk.
const STEP_MAX: u64 = 8;
/// Different objects within an hour by which a walk of sheer volume goes on.
const GOES_ON_MIN: u32 = 20;
/// A habit below this says nothing.
const HABIT_MIN: u16 = 10;
/// How long a habit is remembered.
const HABIT_KEPT_MS: i64 = 30 * DAY_MS;

/// About how many different objects: a few exactly, many by how many bits of a sketch they set (linear
/// counting: Whang et al., TODS 1990), to a few per cent up to some thousands.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Objects {
    Few(Vec<u32>),
    Many(Vec<u8>),
}

impl Default for Objects {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Objects {
    fn add(&mut self, object: u32) {
        match self {
            Self::Few(few) if few.contains(&object) => {}
            Self::Few(few) if few.len() < FEW_MAX => {
                few.reserve_exact(1);
                few.push(object);
            }
            Self::Few(few) => {
                let mut sketch = vec![0; SKETCH_BYTES];
                few.iter().chain([&object]).for_each(|object| set(&mut sketch, *object));
                *self = Self::Many(sketch);
            }
            Self::Many(sketch) => set(sketch, object),
        }
    }

    fn count(&self) -> u32 {
        match self {
            Self::Few(few) => few.len() as u32,
            Self::Many(sketch) => {
                let bits = (SKETCH_BYTES * 8) as f64;
                let free: u32 = sketch.iter().map(|byte| byte.count_zeros()).sum();
                (bits * (bits / f64::from(free.max(1))).ln()).round() as u32
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Few(few) => heap_bytes(few.capacity() * size_of::<u32>()),
            Self::Many(sketch) => heap_bytes(sketch.len()),
        }
    }
}

fn set(sketch: &mut [u8], object: u32) {
    let bit = (object.wrapping_mul(0x9e37_79b1) >> 16) as usize % (SKETCH_BYTES * 8);
    if let Some(byte) = sketch.get_mut(bit / 8) {
        *byte |= 1 << (bit % 8);
    }
}

/// Requests of one span of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Span {
    start_ms: i64,
    objects: Objects,
    requests: u32,
    refused: u32,
    granted: u32,
    steps: u32,
}

/// What a span holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub objects: u32,
    pub requests: u32,
    pub refused: u32,
    pub granted: u32,
    /// Share of requests whose number is near the one before.
    pub sequential: f64,
}

impl Span {
    /// The first span begins with its first event; an event of an earlier one, come late, counts for this one.
    fn add(&mut self, time_ms: i64, length_ms: i64, request: &Request, is_step: bool) -> Option<u32> {
        let before = (self.requests > 0 && time_ms >= self.start_ms.saturating_add(length_ms)).then(|| self.objects.count());
        if before.is_some() || self.requests == 0 {
            *self = Self { start_ms: time_ms, ..Self::default() };
        }
        self.objects.add(request.object);
        self.requests = self.requests.saturating_add(1);
        self.refused += u32::from(request.refused);
        self.granted += u32::from(request.granted);
        self.steps += u32::from(is_step);
        before
    }

    fn tally(&self) -> Tally {
        Tally {
            objects: self.objects.count(),
            requests: self.requests,
            refused: self.refused,
            granted: self.granted,
            sequential: f64::from(self.steps) / f64::from(self.requests.max(1)),
        }
    }
}

/// One request for an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub route: u32,
    pub object: u32,
    pub number: Option<u64>,
    pub refused: bool,
    pub granted: bool,
}

impl Request {
    pub fn new(asked: &Asked, object: u32, writes: bool, status: u16) -> Self {
        Self {
            // What is read and what is written are walks of their own.
            route: asked.route ^ if writes { 0x5bd1_e995 } else { 0 },
            object,
            number: asked.number,
            refused: matches!(status, 401 | 403 | 404 | 410),
            granted: (200..400).contains(&status),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Walk {
    route: u32,
    last_ms: i64,
    last_number: Option<u64>,
    hour: Span,
    day: Span,
    /// Objects of a usual day, and on how many days that was seen.
    habit: u16,
    habit_days: u8,
}

/// What one principal asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Walks {
    routes: Vec<Walk>,
    /// Different paths without an object that are not there, within an hour.
    missing: Span,
    last_ms: i64,
}

/// What is known of a request's route.
pub(super) struct Seen {
    pub hour: Tally,
    pub day: Tally,
    /// Objects of a usual day, once there are two of them.
    pub habit: Option<u16>,
    /// Was this request refused, and was it a step from the number before?
    refused: bool,
    is_step: bool,
}

impl Retained for Walks {
    fn expires_ms(&self) -> i64 {
        let has_habit = self.routes.iter().any(|walk| walk.habit >= HABIT_MIN);
        self.last_ms.saturating_add(if has_habit { HABIT_KEPT_MS } else { DAY_MS })
    }

    fn worth(&self) -> u8 {
        u8::from(self.routes.iter().any(|walk| walk.habit >= HABIT_MIN)) * 2
    }

    fn heap_bytes(&self) -> usize {
        let spans = self.routes.iter().flat_map(|walk| [&walk.hour, &walk.day]).chain([&self.missing]);
        heap_bytes(self.routes.capacity() * size_of::<Walk>()) + spans.map(|span| span.objects.heap_bytes()).sum::<usize>()
    }
}

impl Walks {
    /// Takes in a request for an object.
    pub fn ask(&mut self, time_ms: i64, request: &Request) -> Seen {
        self.last_ms = self.last_ms.max(time_ms);
        let at = self.routes.iter().position(|walk| walk.route == request.route).unwrap_or_else(|| {
            if self.routes.len() >= ROUTES_MAX
                && let Some((oldest, _)) = self.routes.iter().enumerate().min_by_key(|(_, walk)| walk.last_ms)
            {
                self.routes.remove(oldest);
            }
            self.routes.reserve_exact(1);
            self.routes.push(Walk { route: request.route, ..Walk::default() });
            self.routes.len() - 1
        });
        let Some(walk) = self.routes.get_mut(at) else {
            return Seen { hour: Tally::default(), day: Tally::default(), habit: None, refused: false, is_step: false };
        };
        walk.last_ms = walk.last_ms.max(time_ms);
        let is_step = walk.last_number.zip(request.number).is_some_and(|(a, b)| a != b && a.abs_diff(b) <= STEP_MAX);
        walk.last_number = request.number;
        walk.hour.add(time_ms, HOUR_MS, request, is_step);
        if let Some(objects) = walk.day.add(time_ms, DAY_MS, request, is_step) {
            let objects = u16::try_from(objects).unwrap_or(u16::MAX);
            // The largest usual day counts; a habit that is given up fades.
            walk.habit = objects.max(walk.habit - walk.habit / 8);
            walk.habit_days = walk.habit_days.saturating_add(1);
        }
        let habit = (walk.habit_days >= 2).then_some(walk.habit);
        Seen { hour: walk.hour.tally(), day: walk.day.tally(), habit, refused: request.refused, is_step }
    }

    /// Takes in a path that is not there.
    pub fn miss(&mut self, time_ms: i64, route: u32) -> Tally {
        self.last_ms = self.last_ms.max(time_ms);
        let request = Request { route, object: route, number: None, refused: true, granted: false };
        self.missing.add(time_ms, HOUR_MS, &request, false);
        self.missing.tally()
    }
}

impl Seen {
    /// Which limit was passed by a request that is part of the walk (what its principal does afterwards is not), or the gate
    /// that keeps it silent.
    pub fn rule(&self, config: &Config) -> Result<Rule, &'static str> {
        let refused = |tally: &Tally, objects: u32| {
            tally.objects >= objects && f64::from(tally.refused) >= config.refused_share_min * f64::from(tally.requests)
        };
        let in_order = |tally: &Tally, objects: u32| tally.objects >= objects && tally.sequential >= config.sequential_share_min;
        // Who does this each day may do it today, up to twice as much.
        let is_usual = self.habit.is_some_and(|habit| self.day.objects <= 2 * u32::from(habit));
        if self.refused && (refused(&self.hour, config.refused_min) || refused(&self.day, config.refused_day_min)) {
            return Ok(Rule::Refused);
        }
        let beyond = self.habit.is_some_and(|habit| f64::from(self.day.objects) >= config.habit_factor * f64::from(habit.max(1)));
        let goes_on = self.hour.objects >= GOES_ON_MIN;
        let rule = if self.is_step && (in_order(&self.hour, config.sequential_min) || in_order(&self.day, config.sequential_day_min)) {
            Rule::InOrder
        } else if goes_on && beyond && self.day.objects >= config.volume_min {
            Rule::Volume
        } else {
            return Err("below_limit");
        };
        if is_usual { Err(HABIT) } else { Ok(rule) }
    }

    /// What was counted.
    pub fn sentence(&self) -> String {
        let Self { hour, day, habit, .. } = self;
        let habit = habit.map_or_else(|| "not known yet".to_owned(), |habit| habit.to_string());
        format!(
            "{} different objects of this route within an hour and {} within a day ({habit} on a usual day), {} of {} requests refused, {:.0} % in order.",
            hour.objects,
            day.objects,
            day.refused,
            day.requests,
            100.0 * hour.sequential.max(day.sequential)
        )
    }
}

/// Its principal does so each day.
pub(super) const HABIT: &str = "own_habit";

/// What makes it a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nearly all is refused or not there.
    Refused,
    /// One number after the other.
    InOrder,
    /// Far more than ever.
    Volume,
}
