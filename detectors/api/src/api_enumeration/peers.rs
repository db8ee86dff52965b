//! What a route's other principals do.
//!
//! How many objects a usual principal asks for in a day is learnt when its day ends. What the last few dozen are
//! doing now is written down when the requests of one of them have doubled: seldom, so that it costs next to nothing.
//! Both are reported by whoever holds the principal, and known to all from the next epoch on.
//! Only principals who were there on an earlier day count, or all while the tenant itself is new: throwaway accounts
//! cannot speak for each other.

use super::Config;
use super::walks::{DAY_S, HOUR_S};
use bartizan_core::heap_bytes;
use serde::{Deserialize, Serialize};

/// Routes of a tenant; beyond them the one that was used least lately goes.
const ROUTES_MAX: usize = 96;
/// Principals of a route whose doings are remembered.
const RECENT: usize = 24;
/// How long what somebody does is said to be now.
const NOW_S: u32 = 3 * HOUR_S;
/// So many others are everybody.
const EVERYBODY_MIN: usize = 4;
/// Steps of numbers of objects, each √2 times the one before.
const STEPS: usize = 26;
/// So many days known, one of few objects in so many is told for all.
const PLENTY: u32 = 1_000;
pub(super) const DAY_SAMPLE: u32 = 8;
const FEW_OBJECTS: u32 = 8;
/// Days after which older ones count half.
const DAYS_MAX: u32 = 4_000;
/// How many times what the upper quarter of peers do in order may one do.
const ORDER_FACTOR: u32 = 4;

/// Days of principals, by their number of objects.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Days {
    count: u32,
    steps: [u16; STEPS],
}

impl Days {
    fn add(&mut self, objects: u32, days: u16) {
        if self.count >= DAYS_MAX {
            self.steps.iter_mut().for_each(|step| *step /= 2);
            self.count = self.steps.iter().map(|step| u32::from(*step)).sum();
        }
        let objects = u64::from(objects.max(1));
        let step = ((objects * objects).ilog2() as usize).min(STEPS - 1);
        if let Some(step) = self.steps.get_mut(step) {
            *step += days;
            self.count += u32::from(days);
        }
    }

    /// What so large a share of the days stay below.
    fn quantile(&self, share: f64) -> u32 {
        let goal = (share * f64::from(self.count)).ceil() as u32;
        let mut sum = 0;
        let step = self.steps.iter().position(|step| {
            sum += u32::from(*step);
            sum >= goal
        });
        (1_u64 << (step.unwrap_or(STEPS) + 1)).isqrt() as u32 + 1
    }
}

/// What one principal is doing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Doing {
    pub who: u32,
    pub at_s: u32,
    pub objects: u32,
    pub failing: bool,
    pub ordered: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Peer {
    used_s: u32,
    days: Days,
    ordered_days: Days,
    recent: [Doing; RECENT],
}

/// A path without an object that is not there.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Absent {
    route: u32,
    who: [u32; MISSED_BY],
}

/// So many miss a path that leads from a page or an app.
const MISSED_BY: usize = 3;
/// Places for paths that are not there.
const ABSENT: usize = 256;

/// The routes of a tenant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Peers {
    /// Prints of the routes, so that they are found without a look at them.
    prints: Vec<u32>,
    routes: Vec<Peer>,
    absent: Vec<Absent>,
}

impl Peers {
    /// None known.
    pub const fn new() -> Self {
        Self { prints: Vec::new(), routes: Vec::new(), absent: Vec::new() }
    }

    pub fn heap_bytes(&self) -> usize {
        let routes = heap_bytes(self.prints.capacity() * size_of::<u32>()) + heap_bytes(self.routes.capacity() * size_of::<Peer>());
        routes + heap_bytes(self.absent.capacity() * size_of::<Absent>())
    }

    fn get(&self, route: u32) -> Option<&Peer> {
        self.routes.get(self.prints.iter().position(|print| *print == route)?)
    }

    fn route(&mut self, route: u32, now_s: u32) -> Option<&mut Peer> {
        let at = self.prints.iter().position(|print| *print == route).unwrap_or_else(|| {
            if self.routes.len() >= ROUTES_MAX
                && let Some((oldest, _)) = self.routes.iter().enumerate().min_by_key(|(_, peer)| peer.used_s)
            {
                self.routes.swap_remove(oldest);
                self.prints.swap_remove(oldest);
            }
            self.prints.reserve_exact(1);
            self.prints.push(route);
            self.routes.reserve_exact(1);
            self.routes.push(Peer::default());
            self.routes.len() - 1
        });
        let peer = self.routes.get_mut(at)?;
        peer.used_s = peer.used_s.max(now_s);
        Some(peer)
    }

    /// Somebody's day is over.
    pub fn day(&mut self, route: u32, now_s: u32, (objects, ordered): (u32, bool), days: u16) {
        if let Some(peer) = self.route(route, now_s) {
            peer.days.add(objects, days);
            if ordered {
                peer.ordered_days.add(objects, days);
            }
        }
    }

    /// Are so many days of this route known that few of those with so few objects need be told?
    pub fn has_plenty_of(&self, route: u32, objects: u32) -> bool {
        objects < FEW_OBJECTS && self.get(route).is_some_and(|peer| peer.days.count >= PLENTY)
    }

    /// Somebody's requests have doubled.
    pub fn doing(&mut self, route: u32, doing: Doing) {
        let Some(peer) = self.route(route, doing.at_s) else { return };
        let known = peer.recent.iter().position(|known| known.who == doing.who);
        let oldest = || peer.recent.iter().enumerate().min_by_key(|(_, doing)| doing.at_s).map(|(at, _)| at);
        if let Some(slot) = known.or_else(oldest).and_then(|at| peer.recent.get_mut(at)) {
            *slot = doing;
        }
    }

    fn others(&self, route: u32, who: u32, since_s: u32) -> Vec<Doing> {
        let recent = self.get(route).map_or(&[][..], |peer| &peer.recent);
        recent.iter().filter(|doing| doing.who != who && doing.at_s > 0 && doing.at_s >= since_s).copied().collect()
    }

    /// How many of the others fail as well, and of how many, if that is nearly everybody.
    pub fn broken(&self, route: u32, who: u32, now_s: u32) -> Option<(usize, usize)> {
        let others = self.others(route, who, now_s.saturating_sub(NOW_S));
        let failing = others.iter().filter(|doing| doing.failing).count();
        (others.len() >= EVERYBODY_MIN && failing * 4 >= others.len() * 3).then_some((failing, others.len()))
    }

    /// Objects that one may ask for in order, where others do as well; 0 if they do not.
    pub fn in_order_max(&self, route: u32, who: u32, now_s: u32) -> u32 {
        let others = self.others(route, who, now_s.saturating_sub(DAY_S));
        let mut ordered: Vec<_> = others.iter().filter(|doing| doing.ordered).map(|doing| doing.objects).collect();
        ordered.sort_unstable();
        let most = ordered.len() >= EVERYBODY_MIN && ordered.len() * 2 >= others.len();
        let upper = ordered.get(ordered.len() * 3 / 4).copied().filter(|_| most).unwrap_or(0);
        let days = self.get(route).filter(|peer| peer.ordered_days.count >= 10 && peer.ordered_days.count * 2 >= peer.days.count);
        ORDER_FACTOR * upper.max(days.map_or(0, |peer| peer.ordered_days.quantile(0.75)))
    }

    /// Objects that 99 of 100 days of peers stay below, once enough days are known.
    pub fn usual_max(&self, route: u32, config: &Config) -> Option<u32> {
        self.get(route).filter(|peer| peer.days.count >= config.peers_min).map(|peer| peer.days.quantile(0.99))
    }

    /// Somebody who counts asked for a path that is not there.
    pub fn missed(&mut self, route: u32, who: u32) {
        if self.absent.is_empty() {
            self.absent = vec![Absent::default(); ABSENT];
        }
        let Some(absent) = self.absent.get_mut(route as usize % ABSENT) else { return };
        if absent.route != route {
            *absent = Absent { route, ..Absent::default() };
        }
        let free = absent.who.iter().position(|known| *known == who || *known == 0);
        if let Some(slot) = free.and_then(|at| absent.who.get_mut(at)) {
            *slot = who;
        }
    }

    /// Is it not there for several who count? A page or an app leads there.
    pub fn is_missed_by_all(&self, route: u32) -> bool {
        self.absent.get(route as usize % ABSENT).is_some_and(|absent| absent.route == route && !absent.who.contains(&0))
    }
}
