//! What one principal asked for within a day, route by route.

use super::Config;
use super::objects::{ONE, Objects};
use super::route::Asked;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Retained, heap_bytes};
use serde::{Deserialize, Serialize};

/// Routes remembered; beyond them the one that was used least lately goes.
const ROUTES_MAX: usize = 6;
/// Two numbers so near are a step of a walk.
const STEP_MAX: u64 = 8;
/// Different objects within an hour by which a walk of sheer volume goes on.
const GOES_ON_MIN: u32 = 20;
/// Objects from which on a day in order is told from chance.
pub(super) const ORDERED_MIN: u32 = 20;
/// A habit below this says nothing.
const HABIT_MIN: u16 = 10;
/// How long a habit is remembered.
const HABIT_KEPT_MS: i64 = 30 * DAY_MS;
/// How long it is remembered that somebody was there on an earlier day.
const KNOWN_KEPT_MS: i64 = 4 * DAY_MS;

/// Seconds of an hour and of a day.
pub(super) const HOUR_S: u32 = 3_600;
pub(super) const DAY_S: u32 = 24 * HOUR_S;

/// Seconds since 1970.
pub(super) fn seconds(time_ms: i64) -> u32 {
    u32::try_from((time_ms / 1_000).max(0)).unwrap_or(u32::MAX)
}

/// Requests of one span of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Span {
    start_s: u32,
    /// Parts of different objects.
    parts: u32,
    pub requests: u16,
    pub refused: u16,
    pub granted: u16,
    steps: u16,
}

impl Span {
    /// Is it over? The first span begins with its first event; an event of an earlier one, come late, counts for this one.
    fn is_over(&self, now_s: u32, length_s: u32) -> bool {
        self.requests > 0 && now_s >= self.start_s.saturating_add(length_s)
    }

    #[inline]
    fn add(&mut self, now_s: u32, parts: u32, request: &Request, is_step: bool) {
        if self.requests == 0 {
            self.start_s = now_s;
        } else if self.requests == u16::MAX {
            // Shares stay what they are.
            let counts = [&mut self.requests, &mut self.refused, &mut self.granted, &mut self.steps];
            counts.into_iter().for_each(|count| *count /= 2);
        }
        self.parts = self.parts.saturating_add(parts);
        self.requests += 1;
        self.refused += u16::from(request.refused);
        self.granted += u16::from(request.granted);
        self.steps += u16::from(is_step);
    }

    /// Different objects; of an hour, those that are new today.
    pub fn objects(&self) -> u32 {
        self.parts / ONE
    }

    /// Share of requests that were refused.
    pub fn refused_share(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.requests.max(1))
    }

    /// Share of requests whose number is near the one before.
    pub fn in_order_share(&self) -> f64 {
        f64::from(self.steps) / f64::from(self.requests.max(1))
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
    /// Did the server fail? That is no refusal, but speaks for a route that is broken.
    pub failed: bool,
}

impl Request {
    pub fn new(asked: &Asked, object: u32, writes: bool, status: u16) -> Self {
        Self {
            // What is read and what is written are walks of their own.
            route: asked.route ^ if writes { 0x5bd1_e995 } else { 0 },
            object,
            number: asked.number,
            refused: is_refusal(status),
            granted: is_grant(status),
            failed: status >= 500,
        }
    }
}

pub(super) fn is_refusal(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 410)
}

/// Is it a path that one who looks for open doors would meet? A session that has run out is none.
pub(super) fn is_missing(status: u16) -> bool {
    matches!(status, 403 | 404 | 410)
}

pub(super) fn is_grant(status: u16) -> bool {
    (200..400).contains(&status)
}

/// Does a request's number follow the one before? `last` is one more than that; 0 for none.
#[inline]
pub(super) fn follows(last: &mut u64, request: &Request) -> bool {
    let number = request.number.map_or(0, |number| number.saturating_add(1));
    let before = std::mem::replace(last, number);
    before != 0 && number != 0 && before != number && before.abs_diff(number) <= STEP_MAX
}

/// Requests for objects of one route.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Walk {
    objects: Objects,
    /// One more than the last number; 0 for none.
    last_number: u64,
    pub hour: Span,
    pub day: Span,
    last_s: u32,
    /// Objects of a usual day, and on how many days that was seen.
    habit: u16,
    habit_days: u8,
    /// Was it told today?
    pub told: bool,
    /// Refused ones and failures of the server within the hour: a route that fails for everybody does one or the other.
    failed: u16,
}

/// What became known with a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// Its number is near the one before.
    pub in_order: bool,
    /// A day ended; so many objects were asked for, in order or not. Days of walks that were told are left out.
    pub ended: Option<(u32, bool)>,
}

impl Walk {
    /// Takes in a request; `in_order` if that is known otherwise.
    #[inline]
    pub fn take(&mut self, now_s: u32, request: &Request, in_order: bool, config: &Config) -> Step {
        self.last_s = self.last_s.max(now_s);
        let in_order = follows(&mut self.last_number, request) || in_order;
        let mut ended = None;
        if self.hour.is_over(now_s, HOUR_S) {
            (self.hour, self.failed) = (Span::default(), 0);
            if self.day.is_over(now_s, DAY_S) {
                ended = self.end_day(config);
            }
        }
        let parts = self.objects.add(request.object);
        self.hour.add(now_s, parts, request, in_order);
        self.day.add(now_s, parts, request, in_order);
        self.failed = self.failed.saturating_add(u16::from(request.refused || request.failed));
        Step { in_order, ended }
    }

    fn end_day(&mut self, config: &Config) -> Option<(u32, bool)> {
        let objects = self.day.objects();
        let ended = (!self.told).then(|| (objects, self.is_ordered(config)));
        // The largest usual day counts; a habit that is given up fades.
        self.habit = u16::try_from(objects).unwrap_or(u16::MAX).max(self.habit - self.habit / 8);
        self.habit_days = self.habit_days.saturating_add(1);
        (self.day, self.objects, self.told) = (Span::default(), Objects::default(), false);
        ended
    }

    /// Was most of today asked for in order?
    pub fn is_ordered(&self, config: &Config) -> bool {
        self.day.objects() >= ORDERED_MIN && self.day.in_order_share() >= config.sequential_share_min
    }

    /// Does it get what it asks for, nearly always?
    pub fn is_granted(&self) -> bool {
        u32::from(self.day.granted) * 50 >= u32::from(self.day.requests) * 49
    }

    /// Were most of the requests of this hour refused, or failed?
    pub fn is_failing(&self) -> bool {
        u32::from(self.failed) * 4 >= u32::from(self.hour.requests) * 3
    }

    /// Is it time to tell what this principal does? When its requests, of which there are some, have doubled.
    pub fn has_doubled(&self) -> bool {
        let doubled = |requests: u16| requests >= 8 && requests.is_power_of_two();
        doubled(self.day.requests) || doubled(self.hour.requests)
    }

    /// Objects of a usual day, once there are two of them.
    pub fn habit(&self) -> Option<u16> {
        (self.habit_days >= 2).then_some(self.habit)
    }

    /// Who does this each day may do it today, up to twice as much.
    pub fn is_usual(&self) -> bool {
        self.habit().is_some_and(|habit| self.day.objects() <= 2 * u32::from(habit))
    }

    /// Is the request part of a walk in which most is refused?
    #[inline]
    pub fn is_refused(&self, request: &Request, config: &Config) -> bool {
        let most = |span: &Span, objects: u32| span.objects() >= objects && span.refused_share() >= config.refused_share_min;
        request.refused && (most(&self.hour, config.refused_min) || most(&self.day, config.refused_day_min))
    }

    /// Is it part of one that goes from number to number?
    #[inline]
    pub fn is_in_order(&self, step: Step, config: &Config) -> bool {
        let most = |span: &Span, objects: u32| span.objects() >= objects && span.in_order_share() >= config.sequential_share_min;
        step.in_order && (most(&self.hour, config.sequential_min) || most(&self.day, config.sequential_day_min))
    }

    /// Is there much that is still going on?
    #[inline]
    pub fn is_large(&self, config: &Config) -> bool {
        self.day.objects() >= config.volume_min.min(config.peer_volume_min) && self.hour.objects() >= GOES_ON_MIN
    }

    pub fn heap_bytes(&self) -> usize {
        self.objects.heap_bytes()
    }

    /// What was counted.
    pub fn sentence(&self) -> String {
        let Self { hour, day, .. } = self;
        let habit = self.habit().map_or_else(|| "not known yet".to_owned(), |habit| habit.to_string());
        format!(
            "{} different objects of this route within an hour and {} within a day ({habit} on a usual day), {} of {} requests refused, {:.0} % in order.",
            hour.objects(),
            day.objects(),
            day.refused,
            day.requests,
            100.0 * hour.in_order_share().max(day.in_order_share())
        )
    }
}

/// Different routes that are not there, or are closed, within an hour.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Missing(Option<Box<Missed>>);

/// So many times the limit are a scan whatever else is asked for.
const MANY: u32 = 3;
/// Paths that are remembered one by one.
const MISSED_MAX: usize = 16;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Missed {
    span: Span,
    paths: Objects,
    latest: [u32; MISSED_MAX],
}

impl Missing {
    /// Takes in one, and says how many there were, and whether it is new.
    pub fn add(&mut self, now_s: u32, route: u32) -> (u32, bool) {
        let missed = &mut **self.0.get_or_insert_default();
        if missed.span.is_over(now_s, HOUR_S) {
            *missed = Missed::default();
        }
        let Missed { span, paths, latest } = missed;
        let request = Request { route, object: route, number: None, refused: true, granted: false, failed: false };
        let parts = paths.add(route);
        span.add(now_s, parts, &request, false);
        let count = span.objects();
        if parts > 0
            && let Some(slot) = latest.get_mut(count as usize % MISSED_MAX)
        {
            *slot = route;
        }
        (count, parts > 0)
    }

    /// Are they so many as to be a scan, where so many requests were granted meanwhile? Most are missed then, or very many.
    pub fn is_scan(&self, granted: u16, config: &Config) -> bool {
        self.0.as_ref().is_some_and(|missed| {
            let (paths, most) = (missed.span.objects(), missed.span.requests >= granted);
            paths >= config.missing_min && (most || paths >= MANY * config.missing_min)
        })
    }

    /// Are most of the latest ones of this sort?
    pub fn are_mostly(&self, of_sort: impl Fn(u32) -> bool) -> bool {
        let latest = self.0.iter().flat_map(|missed| missed.latest).filter(|route| *route != 0);
        let (of_sort, others): (Vec<_>, Vec<_>) = latest.partition(|route| of_sort(*route));
        of_sort.len() > others.len()
    }

    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |missing| heap_bytes(size_of::<Missed>()) + missing.paths.heap_bytes())
    }
}

/// What one principal asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Walks {
    routes: Vec<Walk>,
    /// Prints of the routes, so that they are found without a look at them.
    prints: [u32; ROUTES_MAX],
    pub missing: Missing,
    last_ms: i64,
    first_s: u32,
    pub excused_s: u32,
    /// Bytes of sketches and of what is missing, so that they are counted without a look at them.
    owned: u32,
    has_habit: bool,
    /// Requests that were granted since the first one of the hour was missed.
    granted: u16,
}

impl Retained for Walks {
    fn expires_ms(&self) -> i64 {
        let kept_ms = match (self.has_habit, self.is_known(seconds(self.last_ms))) {
            (true, _) => HABIT_KEPT_MS,
            (false, true) => KNOWN_KEPT_MS,
            (false, false) => DAY_MS,
        };
        self.last_ms.saturating_add(kept_ms)
    }

    fn worth(&self) -> u8 {
        u8::from(self.has_habit) * 2
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.routes.capacity() * size_of::<Walk>()) + self.owned as usize
    }
}

impl Walks {
    pub fn since(time_ms: i64) -> Self {
        Self { first_s: seconds(time_ms), ..Self::default() }
    }

    /// Was it there on an earlier day?
    pub fn is_known(&self, now_s: u32) -> bool {
        now_s >= self.first_s.saturating_add(DAY_S)
    }

    /// It was used.
    pub fn touch(&mut self, time_ms: i64) {
        self.last_ms = self.last_ms.max(time_ms);
    }

    /// Takes in a request for an object.
    #[inline]
    pub fn ask(&mut self, now_s: u32, request: &Request, config: &Config) -> Option<(Step, &mut Walk)> {
        let known = self.prints.iter().take(self.routes.len()).position(|print| *print == request.route);
        let at = known.unwrap_or_else(|| self.begin(request.route));
        let walk = self.routes.get_mut(at)?;
        let before = walk.heap_bytes();
        let step = walk.take(now_s, request, false, config);
        self.owned = (self.owned + walk.heap_bytes() as u32).saturating_sub(before as u32);
        self.has_habit |= step.ended.is_some() && walk.habit >= HABIT_MIN;
        Some((step, walk))
    }

    /// Takes in a path that is not there, and says how many there were, and whether it is new.
    pub fn miss(&mut self, now_s: u32, route: u32) -> (u32, bool) {
        let before = self.missing.heap_bytes();
        let missed = self.missing.add(now_s, route);
        if missed == (1, true) {
            self.granted = 0;
        }
        self.owned = (self.owned + self.missing.heap_bytes() as u32).saturating_sub(before as u32);
        missed
    }

    /// It got what it asked for.
    #[inline]
    pub fn grant(&mut self) {
        self.granted = self.granted.saturating_add(1);
    }

    /// Is what it missed a scan?
    pub fn is_scan(&self, config: &Config) -> bool {
        self.missing.is_scan(self.granted, config)
    }

    #[inline(never)]
    fn begin(&mut self, route: u32) -> usize {
        let mut at = self.routes.len();
        if at < ROUTES_MAX {
            self.routes.reserve_exact(1);
            self.routes.push(Walk::default());
        } else {
            at = self.routes.iter().enumerate().min_by_key(|(_, walk)| walk.last_s).map_or(0, |(oldest, _)| oldest);
        }
        if let (Some(print), Some(walk)) = (self.prints.get_mut(at), self.routes.get_mut(at)) {
            self.owned = self.owned.saturating_sub(walk.heap_bytes() as u32);
            (*print, *walk) = (route, Walk::default());
        }
        at
    }

    /// Was an excuse written down within the hour?
    pub fn was_excused(&self, now_s: u32) -> bool {
        was_excused(self.excused_s, now_s)
    }

    /// An excuse is written down.
    pub fn note_excuse(&mut self, now_s: u32) {
        self.excused_s = now_s.max(1);
    }

    /// May an excuse be written down? Once an hour is enough for the ledger.
    pub fn may_excuse(&mut self, now_s: u32) -> bool {
        may_excuse(&mut self.excused_s, now_s)
    }
}

pub(super) fn may_excuse(excused_s: &mut u32, now_s: u32) -> bool {
    let may = !was_excused(*excused_s, now_s);
    if may {
        *excused_s = now_s.max(1);
    }
    may
}

fn was_excused(excused_s: u32, now_s: u32) -> bool {
    excused_s != 0 && now_s < excused_s.saturating_add(HOUR_S)
}
