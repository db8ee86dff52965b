//! Keyed state against plain maps, its budget, and what is saved of it while it changes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    until: i64,
    worth: u8,
    text: String,
}
impl Retained for Seen {
    fn expires_ms(&self) -> i64 {
        self.until
    }
    fn worth(&self) -> u8 {
        self.worth
    }
    fn heap_bytes(&self) -> usize {
        heap_bytes(self.text.len())
    }
}
fn seen(until: i64, worth: u8) -> Seen {
    Seen { until, worth, text: String::new() }
}
fn stranger() -> Seen {
    seen(i64::MAX, 0)
}
fn state(bytes_max: usize) -> KeyedState<Seen> {
    KeyedState::new(&Arc::new(Budget::new(bytes_max)))
}

/// Everything that is there, by key: what a saved state must give back.
fn content(state: &KeyedState<Seen>) -> Vec<(u64, bool, Seen)> {
    state.slots.iter().map(|slot| (slot.tag.key(), slot.tag.0 & Tag::USED != 0, slot.value.clone())).collect()
}

/// Saves in steps of `slots`, with `change` between them, and loads the result.
fn saved(state: &mut KeyedState<Seen>, slots: usize, mut change: impl FnMut(&mut KeyedState<Seen>)) -> KeyedState<Seen> {
    let (mut header, mut parts) = (Vec::new(), Vec::new());
    state.begin_save(&mut header);
    loop {
        change(state);
        if state.save_some(slots, &mut parts) {
            break;
        }
    }
    let mut loaded = KeyedState::new(&Arc::new(Budget::new(state.budget.bytes_max())));
    loaded.begin_load(&header).unwrap();
    loaded.load_some(&parts).unwrap();
    loaded.end_load().unwrap();
    loaded
}

#[test]
fn strangers_keep_within_the_budget_and_spare_what_is_worth_more() {
    let mut state = state(16_000);
    for key in 1..=10 {
        *state.entry(key, 0, stranger) = seen(i64::MAX, 3);
    }
    for key in 1_000..10_000 {
        state.entry(key, 0, stranger);
        assert!(state.budget.excess() == 0);
    }
    assert!((1..=10).all(|key| state.get(key, 0).is_some()));
    assert!(state.evicted() > 8_000);
    let bytes = state.bytes();
    assert_eq!((bytes, bytes > 14_000), (state.budget.held(), true));
}

#[test]
fn what_has_expired_is_gone_at_once_and_swept_in_time() {
    let mut state = state(1 << 20);
    for key in 1..=100 {
        state.entry(key, 0, || seen(10, 0));
    }
    assert!(state.get(5, 11).is_none());
    for key in 1_000..1_200 {
        state.entry(key, 11, stranger);
    }
    assert_eq!((state.len(), state.evicted()), (200, 0));
}

#[test]
fn room_is_given_back_when_most_of_it_lies_idle() {
    let mut state = state(1 << 20);
    for key in 1..=2_000 {
        state.entry(key, 0, || seen(10, 0));
    }
    let full = state.bytes();
    for key in 10_000..12_000 {
        state.entry(key, 11, || seen(11, 0));
        state.remove(key);
    }
    assert!(state.bytes() < full / 8, "{} of {full}", state.bytes());
}

#[test]
fn bytes_count_what_values_own() {
    let mut state = state(1 << 20);
    state.entry(1, 0, stranger);
    let before = state.bytes();
    state.entry(1, 0, stranger).text = "x".repeat(100);
    assert_eq!(state.bytes() - before, heap_bytes(100));
    state.remove(1);
    assert_eq!((state.bytes(), state.budget.held()), (before, before));
}

#[test]
fn a_saved_state_without_one_of_its_slots_does_not_load() {
    let mut state = state(1 << 20);
    state.entry(1, 0, stranger);
    let (mut header, mut parts) = (Vec::new(), Vec::new());
    state.begin_save(&mut header);
    assert!(state.save_some(10, &mut parts));
    let mut other = KeyedState::<Seen>::new(&Arc::new(Budget::new(1)));
    other.begin_load(&header).unwrap();
    assert!(other.end_load().is_err());
    other.begin_load(&header).unwrap();
    other.load_some(&parts).unwrap();
    assert!(other.load_some(&parts).is_err(), "a slot twice");
}

/// One call.
fn step(state: &mut KeyedState<Seen>, (what, key): (u8, u64)) {
    match what {
        0..4 => {
            let mut held = state.entry(key, key as i64 % 40, || seen(key as i64, (key % 3) as u8));
            held.text.push('x');
        }
        4 => {
            if let Some(mut held) = state.get_mut(key, 0) {
                held.worth ^= 1;
            }
        }
        5 => state.remove(key),
        6 => {
            state.give_way(key as i64, STRANGER);
        }
        _ => state.shrink(),
    }
}

proptest! {
    /// What is saved bit by bit while the state changes is the state as it was, and goes on like it.
    #[test]
    fn a_state_is_saved_as_it_was_while_it_changes(
        before in prop::collection::vec((0_u8..8, 0_u64..60), 0..300),
        during in prop::collection::vec((0_u8..8, 0_u64..90), 0..300),
        after in prop::collection::vec((0_u8..8, 0_u64..90), 0..100),
        slots in 1_usize..9,
        bytes_max in 1_000_usize..8_000,
    ) {
        let mut state = state(bytes_max);
        before.iter().for_each(|call| step(&mut state, *call));
        let (was, held) = (content(&state), state.bytes());
        let mut calls = during.chunks(4);
        let mut loaded = saved(&mut state, slots, |state| calls.next().unwrap_or_default().iter().for_each(|call| step(state, *call)));
        prop_assert_eq!(content(&loaded), was);
        prop_assert_eq!(loaded.bytes(), held);
        // The copy lives through the same calls to the same end.
        during.iter().chain(&after).for_each(|call| step(&mut loaded, *call));
        calls.flatten().chain(&after).for_each(|call| step(&mut state, *call));
        prop_assert_eq!(content(&loaded), content(&state));
        prop_assert_eq!(loaded.bytes(), state.bytes());
    }

    /// Against a plain map, where there is room for all and nothing expires.
    #[test]
    fn it_holds_what_a_map_holds(calls in prop::collection::vec((any::<bool>(), 0_u64..50), 0..400)) {
        let (mut state, mut map) = (state(1 << 20), BTreeMap::new());
        for (number, (add, key)) in calls.into_iter().enumerate() {
            if add {
                state.entry(key, 0, stranger).until = number as i64;
                map.insert(key, number as i64);
            } else {
                state.remove(key);
                map.remove(&key);
            }
            // Whatever key was asked for last, each is found where it is.
            for asked in [key, key + 1, key] {
                let found = state.get_first(asked, 0).map(|seen| seen.until);
                prop_assert_eq!(found, map.get(&asked).copied());
                prop_assert_eq!(state.get(asked, 0).map(|seen| seen.until), found);
            }
        }
        let held: BTreeMap<_, _> = content(&state).into_iter().map(|(key, _, seen)| (key, seen.until)).collect();
        prop_assert_eq!(held, map);
    }
}
