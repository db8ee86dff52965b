//! What is known of each tenant's routes, in common to all slices.
//!
//! Slices report what is rare: a text that never stood there, a day that is over, requests that have doubled, a path that
//! somebody missed for the first time in an hour.

use super::Config;
use super::names::Names;
use super::peers::{Doing, Peers};
use super::walks::{DAY_S, Walk};
use bartizan_core::time::DAY_MS;
use bartizan_core::{Budget, Common, KeyedState, Report, Retained, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How long a tenant is new, and everybody in it counts as a peer.
const NEW_S: u32 = 2 * DAY_S;
/// How long what its routes are is remembered.
const KEPT_MS: i64 = 30 * DAY_MS;

/// What is known of a tenant's routes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tenant {
    first_s: u32,
    last_s: u32,
    pub names: Names,
    pub peers: Peers,
}

/// A tenant of which nothing is known.
pub(super) static UNKNOWN: Tenant = Tenant { first_s: u32::MAX, last_s: 0, names: Names::new(), peers: Peers::new() };

impl Retained for Tenant {
    fn expires_ms(&self) -> i64 {
        (i64::from(self.last_s) * 1_000).saturating_add(KEPT_MS)
    }

    fn worth(&self) -> u8 {
        3
    }

    fn heap_bytes(&self) -> usize {
        self.names.heap_bytes() + self.peers.heap_bytes()
    }
}

impl Tenant {
    /// Is so little known of it that everybody counts as a peer?
    pub fn is_new(&self, now_s: u32) -> bool {
        now_s < self.first_s.saturating_add(NEW_S)
    }
}

/// All tenants.
pub(super) struct Tenants(KeyedState<Tenant>);

impl Tenants {
    /// None, with memory from `budget`.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self(KeyedState::new(budget))
    }

    /// What is known of a tenant.
    pub fn get(&self, tenant: u64, watermark_ms: i64) -> &Tenant {
        self.0.get(tenant, watermark_ms).unwrap_or(&UNKNOWN)
    }
}

const TEXT: u8 = 0;
const DAY: u8 = 1;
const DOING: u8 = 2;
const MISSED: u8 = 3;

/// A text stands at a place of a path.
pub(super) fn text(key: u64, now_s: u32, place: u32, bit: u8) -> Report {
    Report { key, what: TEXT, values: [now_s, place, bit.into(), 0] }
}

/// Somebody's day is over.
pub(super) fn day(key: u64, now_s: u32, route: u32, (objects, ordered): (u32, bool), days: u16) -> Report {
    Report { key, what: DAY, values: [now_s, route, objects, u32::from(days) << 1 | u32::from(ordered)] }
}

/// Somebody's requests have doubled.
pub(super) fn doing(key: u64, now_s: u32, route: u32, who: u32, walk: &Walk, config: &Config) -> Report {
    let flags = u32::from(walk.is_failing()) | u32::from(walk.is_ordered(config)) << 1;
    Report { key, what: DOING, values: [now_s, route, who, walk.day.objects().min(u32::MAX >> 2) << 2 | flags] }
}

/// Somebody asked for a path that is not there.
pub(super) fn missed(key: u64, now_s: u32, route: u32, who: u32) -> Report {
    Report { key, what: MISSED, values: [now_s, route, who, 0] }
}

impl Common for Tenants {
    fn apply(&mut self, report: &Report, watermark_ms: i64) {
        let [now_s, a, b, c] = report.values;
        let mut tenant = self.0.entry(report.key, watermark_ms, || Tenant { first_s: now_s, ..UNKNOWN.clone() });
        tenant.last_s = tenant.last_s.max(now_s);
        match report.what {
            TEXT => tenant.names.learn(a, b as u8),
            DAY => tenant.peers.day(a, now_s, (b, c & 1 != 0), (c >> 1) as u16),
            DOING => {
                tenant.peers.doing(a, Doing { who: b, at_s: now_s, objects: c >> 2, failing: c & 1 != 0, ordered: c & 2 != 0 });
            }
            MISSED => tenant.peers.missed(a, b),
            _ => {}
        }
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.0);
    }
}
