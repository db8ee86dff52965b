//! The bytes that the states of one slice may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit in bytes, shared by all states of one slice, and what they hold of it.
///
/// The counter is atomic only because a slice moves between threads; one thread at a time uses it.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self { held: AtomicUsize::new(0), bytes_max }
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes held beyond the limit.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.held().saturating_sub(self.bytes_max)
    }

    /// Would so many bytes more pass the limit?
    pub(super) fn refuses(&self, more: usize) -> bool {
        self.held().saturating_add(more) > self.bytes_max
    }

    /// What held `before` bytes holds `after` bytes now.
    pub(super) fn change(&self, before: usize, after: usize) {
        if before != after {
            // Nobody else writes meanwhile.
            let held = self.held().saturating_sub(before).saturating_add(after);
            self.held.store(held, Ordering::Relaxed);
        }
    }
}
