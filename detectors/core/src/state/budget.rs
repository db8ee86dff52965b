//! The bytes that the states of one slice may hold together, and what goes when they hold more.

use super::{Rank, STRANGER, State};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Values are hardly worth more than this; above it no more steps are made.
const RANK_OF_BASELINES: Rank = 9;

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

/// Shows all states of a slice to whom it is given.
pub type EachState<'a> = dyn FnMut(&mut dyn FnMut(&mut dyn State)) + 'a;

/// Brings a slice back within its budget: the slots of least rank go, of the largest state first, and what
/// they leave is given back. A little more goes than has to, so that this is not done for each event.
/// `each_state` shows all states of the slice, always in the same order.
pub fn give_way(budget: &Budget, watermark_ms: i64, each_state: &mut EachState<'_>) {
    let goal = budget.bytes_max() - budget.bytes_max() / 256;
    let mut rank_max = STRANGER;
    while budget.held() > goal {
        let mut sizes = Vec::new();
        each_state(&mut |state| sizes.push((state.bytes(), sizes.len())));
        sizes.sort_unstable_by_key(|(bytes, number)| (std::cmp::Reverse(*bytes), *number));
        let mut gave_way = false;
        for (_, chosen) in sizes {
            let mut number = 0;
            each_state(&mut |state| {
                if number == chosen {
                    gave_way |= shed(state, budget, goal, watermark_ms, rank_max);
                }
                number += 1;
            });
        }
        match rank_max {
            _ if gave_way => {}
            // Nothing can go: what is held is what empty states hold.
            Rank::MAX => return,
            RANK_OF_BASELINES.. => rank_max = Rank::MAX,
            _ => rank_max += 2,
        }
    }
}

/// Drops slots of one state until the budget is kept, it has no more of this rank, or a good part of it is gone.
fn shed(state: &mut dyn State, budget: &Budget, goal: usize, watermark_ms: i64, rank_max: Rank) -> bool {
    let too_much = budget.held().saturating_sub(goal);
    let slots = if state.is_empty() { 0 } else { too_much.div_ceil((state.bytes() / state.len()).max(1)) };
    let went = (0..slots).take_while(|_| state.give_way(watermark_ms, rank_max)).count();
    if went > 0 {
        state.shrink();
    }
    went > 0
}
