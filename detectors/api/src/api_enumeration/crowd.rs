//! One walk over several accounts: what the principals of one address who are new there ask for together.
//!
//! Whoever was at the address on an earlier day is left out, so offices and carriers cost nothing and say little. What those
//! who remain ask for is one walk if several of them take part, each with several objects, and it passes the limits of one
//! principal: most is refused, or goes from number to number, be it each account by itself or in turn.

use super::Config;
use super::walks::{DAY_S, Missing, ORDERED_MIN, Request, Step, Walk, follows, may_excuse, seconds};
use bartizan_core::time::DAY_MS;
use bartizan_core::{Retained, heap_bytes};
use serde::{Deserialize, Serialize};

/// Routes remembered.
const ROUTES_MAX: usize = 3;
/// Principals counted.
const MEMBERS_MAX: usize = 16;
/// Objects for each of them, of a walk; people who share an address ask for a few each.
const OBJECTS_EACH_MIN: u32 = 5;
/// Days after which those who were there for the last time are forgotten, or twice as many.
const FORGOTTEN_DAYS: u8 = 7;
/// How long an address of several is remembered.
const SEVERAL_KEPT_MS: i64 = 4 * DAY_MS;

/// One who takes part.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Member {
    who: u32,
    /// Requests whose number followed the one before.
    steps: u16,
    /// One more than the last number; 0 for none.
    last_number: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Members(Vec<Member>);

impl Members {
    fn get(&mut self, who: u32) -> Option<&mut Member> {
        let at = self.0.iter().position(|member| member.who == who).unwrap_or(self.0.len());
        if at == self.0.len() && at < MEMBERS_MAX {
            self.0.reserve_exact(1);
            self.0.push(Member { who, steps: 0, last_number: 0 });
        }
        self.0.get_mut(at)
    }

    fn len(&self) -> u8 {
        self.0.len() as u8
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.0.capacity() * size_of::<Member>())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shared {
    route: u32,
    walk: Walk,
    members: Members,
}

/// 64 principals of sets, by one bit each, set beside set, so that one look tells all of somebody.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sets {
    today: u64,
    yesterday: u64,
    earlier: u64,
    long_ago: u64,
}

/// Who was there when: of a few dozen nearly exact; where there are thousands, everybody is known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    day_start_s: u32,
    days: u8,
    sets: [Sets; 16],
}

impl Seen {
    fn advance(&mut self, now_s: u32) {
        if now_s < self.day_start_s.saturating_add(DAY_S) {
            return;
        }
        self.day_start_s = now_s;
        self.days += 1;
        let forgets = self.days >= FORGOTTEN_DAYS;
        if forgets {
            self.days = 0;
        }
        for Sets { today, yesterday, earlier, long_ago } in &mut self.sets {
            *earlier |= *yesterday;
            *yesterday = std::mem::take(today);
            if forgets {
                *long_ago = std::mem::take(earlier);
            }
        }
    }

    /// Somebody is there. Was it there a day ago, or earlier?
    fn add(&mut self, who: u32) -> bool {
        let bit = who.wrapping_mul(0x9e37_79b1) >> 22;
        let Some(sets) = self.sets.get_mut(bit as usize / 64) else { return true };
        sets.today |= 1 << (bit % 64);
        (sets.earlier | sets.long_ago) >> (bit % 64) & 1 != 0
    }
}

/// What new principals of one address ask for. Of most addresses there is one alone, and nothing to be counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Crowd {
    first: u32,
    first_s: u32,
    excused_s: u32,
    /// Bytes of what several ask for, so that they are counted without a look at it.
    owned: u32,
    last_ms: i64,
    several: Option<Box<Several>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Several {
    seen: Seen,
    routes: Vec<Shared>,
    missing: Missing,
    missed_by: Members,
    /// Requests that were granted since the first one of the hour was missed.
    granted: u16,
}

impl Retained for Crowd {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(if self.several.is_some() { SEVERAL_KEPT_MS } else { DAY_MS })
    }

    fn worth(&self) -> u8 {
        0
    }

    fn heap_bytes(&self) -> usize {
        self.owned as usize
    }
}

impl Crowd {
    fn count_owned(&mut self) {
        self.owned = self.several.as_ref().map_or(0, |several| {
            let walks = several.routes.iter().map(|shared| shared.walk.heap_bytes() + shared.members.heap_bytes()).sum::<usize>();
            let routes = heap_bytes(several.routes.capacity() * size_of::<Shared>());
            let missing = several.missing.heap_bytes() + several.missed_by.heap_bytes();
            (heap_bytes(size_of::<Several>()) + routes + walks + missing) as u32
        });
    }

    pub fn may_excuse(&mut self, now_s: u32) -> bool {
        may_excuse(&mut self.excused_s, now_s)
    }

    /// Somebody asks for something. Is it one of several, and new? What the first one asked for alone does not count.
    pub fn is_newcomer(&mut self, time_ms: i64, who: u32) -> bool {
        let now_s = seconds(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
        if self.first == 0 {
            (self.first, self.first_s) = (who, now_s);
        }
        if self.first == who && self.several.is_none() {
            return false;
        }
        let (first, is_first) = ((self.first, self.first_s), self.several.is_none());
        let Several { seen, .. } = &mut **self.several.get_or_insert_with(|| {
            // The first one has been there since.
            let mut seen = Seen { day_start_s: first.1, ..Seen::default() };
            seen.add(first.0);
            if now_s >= first.1.saturating_add(DAY_S) {
                seen.sets.iter_mut().for_each(|sets| sets.earlier = sets.today);
            }
            Box::new(Several { seen, ..Several::default() })
        });
        seen.advance(now_s);
        let is_new = !seen.add(who);
        if is_first {
            self.count_owned();
        }
        is_new
    }

    /// Takes in a request that somebody new made; returns the walk, of how many, if they share one.
    pub fn ask(&mut self, time_ms: i64, who: u32, request: &Request, config: &Config) -> Option<(Step, &Walk, u8)> {
        let Several { routes, .. } = self.several.as_deref_mut()?;
        let at = routes.iter().position(|shared| shared.route == request.route).unwrap_or_else(|| {
            if routes.len() >= ROUTES_MAX {
                routes.remove(0);
            }
            routes.reserve_exact(1);
            routes.push(Shared { route: request.route, walk: Walk::default(), members: Members::default() });
            routes.len() - 1
        });
        let Shared { walk, members, .. } = routes.get_mut(at)?;
        let in_order = members.get(who).is_some_and(|member| {
            let follows = follows(&mut member.last_number, request);
            member.steps = member.steps.saturating_add(u16::from(follows));
            // A few objects of one's own are often in order.
            follows && u32::from(member.steps) + 1 >= ORDERED_MIN
        });
        let step = walk.take(seconds(time_ms), request, in_order, config);
        if step.ended.is_some() {
            members.0.retain(|member| member.who == who);
            members.0.shrink_to_fit();
        }
        self.count_owned();
        let Shared { walk, members, .. } = self.several.as_deref()?.routes.get(at)?;
        let count = u32::from(members.len());
        (count >= config.accounts_min && walk.day.objects() >= OBJECTS_EACH_MIN * count).then_some((step, walk, members.len()))
    }

    /// Somebody new got what it asked for.
    pub fn grant(&mut self) {
        self.several.iter_mut().for_each(|several| several.granted = several.granted.saturating_add(1));
    }

    /// Takes in a path that is not there; returns how many there were, of how many principals, if they share them and scan.
    pub fn miss(&mut self, time_ms: i64, who: u32, route: u32, config: &Config) -> Option<(u32, u8)> {
        let Several { missing, missed_by, granted, .. } = self.several.as_deref_mut()?;
        let (paths, _) = missing.add(seconds(time_ms), route);
        if paths <= 1 {
            (*missed_by, *granted) = (Members::default(), 0);
        }
        missed_by.get(who);
        let (members, is_scan) = (missed_by.len(), missing.is_scan(*granted, config));
        self.count_owned();
        (u32::from(members) >= config.accounts_min && is_scan).then_some((paths, members))
    }
}
