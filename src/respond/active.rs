//! How many sessions each tenant had in the last day: what the brake on a share of them needs.
//!
//! An estimate of the store's, renewed from time to time by whoever looks after the daemon. Where
//! there is none yet, the other brakes hold all the same.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Estimates of all tenants. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ActiveSessions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    by_tenant: Mutex<BTreeMap<String, u64>>,
    asked: AtomicBool,
}

impl ActiveSessions {
    /// Sessions of a tenant that were active in the last day, if there is an estimate.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Option<u64> {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.by_tenant.lock().get(tenant).copied()
    }

    /// Renews the estimates.
    pub fn set(&self, by_tenant: BTreeMap<String, u64>) {
        *self.0.by_tenant.lock() = by_tenant;
    }

    /// Was anything asked since the last call?
    #[must_use]
    pub fn take_asked(&self) -> bool {
        self.0.asked.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_found_by_every_clone() {
        let active = ActiveSessions::default();
        let clone = active.clone();
        assert!(!active.take_asked());
        assert_eq!(clone.of("acme"), None);
        assert!(active.take_asked() && !active.take_asked());
        active.set(BTreeMap::from([("acme".to_owned(), 500)]));
        assert_eq!((clone.of("acme"), clone.of("other")), (Some(500), None));
    }
}
