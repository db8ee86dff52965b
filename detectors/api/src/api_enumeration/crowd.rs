//! One walk over several accounts: what the principals of one address who are new there ask for together.
//!
//! Whoever was there on an earlier day is left out, so offices and carriers cost nothing and say little. What those
//! who remain ask for is one walk if several of them take part, each with several objects, and it passes the limits of one
//! principal: most is refused, or goes from number to number, be it each account by itself or in turn.

use super::Config;
use super::walks::{Missing, Request, Step, Walk, may_excuse, seconds};
use bartizan_core::time::DAY_MS;
use bartizan_core::{Retained, heap_bytes};
use serde::{Deserialize, Serialize};

/// Routes remembered.
const ROUTES_MAX: usize = 3;
/// Principals counted.
const MEMBERS_MAX: usize = 16;
/// Objects for each of them, of a walk; people who share an address ask for a few each.
const OBJECTS_EACH_MIN: u32 = 5;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Members {
    prints: [u32; MEMBERS_MAX],
    len: u8,
}

impl Members {
    fn add(&mut self, who: u32) {
        let len = usize::from(self.len);
        if !self.prints.iter().take(len).any(|known| *known == who)
            && let Some(slot) = self.prints.get_mut(len)
        {
            (*slot, self.len) = (who, self.len + 1);
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shared {
    route: u32,
    walk: Walk,
    members: Members,
}

/// What new principals of one address ask for. Of most addresses there is one alone, and nothing to be counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Crowd {
    first: u32,
    excused_s: u32,
    last_ms: i64,
    several: Option<Box<Several>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Several {
    routes: Vec<Shared>,
    missing: Missing,
    missed_by: Members,
}

impl Retained for Crowd {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(DAY_MS)
    }

    fn worth(&self) -> u8 {
        0
    }

    fn heap_bytes(&self) -> usize {
        self.several.as_ref().map_or(0, |several| {
            let walks = several.routes.iter().map(|shared| shared.walk.heap_bytes()).sum::<usize>();
            let routes = heap_bytes(several.routes.capacity() * size_of::<Shared>());
            heap_bytes(size_of::<Several>()) + routes + walks + several.missing.heap_bytes()
        })
    }
}

impl Crowd {
    pub fn may_excuse(&mut self, now_s: u32) -> bool {
        may_excuse(&mut self.excused_s, now_s)
    }

    /// Is there more than one? What the first one asked for alone does not count.
    fn several(&mut self, time_ms: i64, who: u32) -> Option<&mut Several> {
        self.last_ms = self.last_ms.max(time_ms);
        if self.first == 0 {
            self.first = who;
        }
        if self.first != who && self.several.is_none() {
            self.several = Some(Box::default());
        }
        self.several.as_deref_mut()
    }

    /// Takes in a request that somebody new made; returns the walk, of how many, if they share one.
    pub fn ask(&mut self, time_ms: i64, who: u32, request: &Request, in_order: bool, config: &Config) -> Option<(Step, &Walk, u8)> {
        let Several { routes, .. } = self.several(time_ms, who)?;
        let at = routes.iter().position(|shared| shared.route == request.route).unwrap_or_else(|| {
            if routes.len() >= ROUTES_MAX {
                routes.remove(0);
            }
            routes.reserve_exact(1);
            routes.push(Shared { route: request.route, walk: Walk::default(), members: Members::default() });
            routes.len() - 1
        });
        let Shared { walk, members, .. } = routes.get_mut(at)?;
        let step = walk.take(seconds(time_ms), request, in_order, config);
        if step.ended.is_some() {
            *members = Members::default();
        }
        members.add(who);
        let count = u32::from(members.len);
        (count >= config.accounts_min && walk.day.objects() >= OBJECTS_EACH_MIN * count).then_some((step, &*walk, members.len))
    }

    /// Takes in a path that is not there; returns how many there were, of how many principals, if they share them.
    pub fn miss(&mut self, time_ms: i64, who: u32, route: u32, config: &Config) -> Option<(u32, u8)> {
        let Several { missing, missed_by, .. } = self.several(time_ms, who)?;
        let paths = missing.add(seconds(time_ms), route);
        if paths <= 1 {
            *missed_by = Members::default();
        }
        missed_by.add(who);
        (u32::from(missed_by.len) >= config.accounts_min).then_some((paths, missed_by.len))
    }
}
