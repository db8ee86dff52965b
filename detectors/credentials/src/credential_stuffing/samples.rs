//! Attempts by name, kept until the first finding about them names who took part.
//!
//! Names, event ids and sessions stand one after the other in one ring of bytes, so that a place where one
//! attempt follows the other asks for no memory for each.

use super::attempts::Attempt;
use bartizan_core::{Event, heap_bytes};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Attempts kept; beyond them the first one goes.
const SAMPLES_MAX: usize = 64;
/// Of how much room a part is used when the room shrinks.
const SPARSE: usize = 4;

/// An attempt by name.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    name: String,
    event: String,
    session: String,
    pub ip: Option<IpAddr>,
    pub time_ms: i64,
    pub user: u32,
    pub client: u32,
    pub success: bool,
}

impl Sample {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn event(&self) -> &str {
        &self.event
    }

    pub fn session(&self) -> Option<&str> {
        Some(self.session.as_str()).filter(|session| !session.is_empty())
    }
}

/// The latest attempts in order of arrival. An empty list owns nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Samples(Option<Box<List>>);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct List {
    kept: Ring<Kept>,
    texts: Ring<u8>,
}

/// An attempt but for its texts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Kept {
    time_ms: i64,
    ip: Option<IpAddr>,
    user: u32,
    part: u32,
    client: u32,
    success: bool,
    /// Bytes of name, event and session.
    lens: [u16; 3],
}

impl Kept {
    fn texts_len(&self) -> usize {
        self.lens.iter().map(|len| usize::from(*len)).sum()
    }
}

/// A ring that grows and shrinks in steps. The step is saved, so that a loaded copy counts as much memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ring<T> {
    room: usize,
    items: VecDeque<T>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { room: 0, items: VecDeque::new() }
    }
}

impl<T> Ring<T> {
    /// Sees to it that `more` items can be added.
    fn make_room(&mut self, more: usize) {
        let len = self.items.len() + more;
        self.room = self.room.max(len.next_power_of_two());
        if self.items.capacity() < len {
            self.items.reserve_exact(self.room - self.items.len());
        }
    }

    fn shrink(&mut self) {
        if self.items.len() * SPARSE <= self.room {
            self.room = self.items.len().next_power_of_two();
            self.items.shrink_to(self.room);
        }
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.room * size_of::<T>())
    }
}

impl List {
    fn pop(&mut self) {
        if let Some(kept) = self.kept.items.pop_front() {
            self.texts.items.drain(..kept.texts_len().min(self.texts.items.len()));
        }
    }

    fn push(&mut self, mut kept: Kept, texts: [&str; 3]) {
        // Texts of events are far shorter; what is beyond is cut where a letter ends.
        let texts = texts.map(|text| text.get(..text.floor_char_boundary(u16::MAX.into())).unwrap_or_default());
        self.texts.make_room(texts.iter().map(|text| text.len()).sum());
        for (len, text) in kept.lens.iter_mut().zip(texts) {
            self.texts.items.extend(text.as_bytes());
            *len = text.len() as u16;
        }
        self.kept.make_room(1);
        self.kept.items.push_back(kept);
    }
}

impl Samples {
    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        let list_bytes = |list: &List| heap_bytes(size_of::<List>()) + list.kept.heap_bytes() + list.texts.heap_bytes();
        self.0.as_deref().map_or(0, list_bytes)
    }

    /// Keeps an attempt.
    pub fn keep(&mut self, attempt: &Attempt, event: &Event<'_>) {
        let list = self.0.get_or_insert_default();
        if list.kept.items.len() >= SAMPLES_MAX {
            list.pop();
        }
        let kept = Kept {
            time_ms: attempt.time_ms,
            ip: event.ip(),
            user: attempt.user,
            part: attempt.part,
            client: attempt.client,
            success: attempt.success,
            lens: [0; 3],
        };
        list.push(kept, [event.user().unwrap_or_default(), event.id(), event.session().unwrap_or_default()]);
    }

    /// Forgets what lies before the window. Attempts come about in order, so this stops at the first that does not.
    pub fn expire(&mut self, from_ms: i64) {
        let Some(list) = &mut self.0 else { return };
        if list.kept.items.front().is_none_or(|kept| kept.time_ms >= from_ms) {
            return;
        }
        while list.kept.items.front().is_some_and(|kept| kept.time_ms < from_ms) {
            list.pop();
        }
        if list.kept.items.is_empty() {
            self.0 = None;
        } else {
            list.kept.shrink();
            list.texts.shrink();
        }
    }

    /// Takes out those that come from parts that `takes` chooses.
    pub fn take(&mut self, takes: impl Fn(u32) -> bool) -> Vec<Sample> {
        let Some(mut list) = self.0.take() else { return Vec::new() };
        let (mut taken, mut rest) = (Vec::new(), List::default());
        let mut texts: &[u8] = list.texts.items.make_contiguous();
        for kept in &list.kept.items {
            let [name, event, session] = kept.lens.map(|len| {
                let (text, after) = texts.split_at_checked(len.into()).unwrap_or_default();
                texts = after;
                std::str::from_utf8(text).unwrap_or_default()
            });
            if !takes(kept.part) {
                rest.push(*kept, [name, event, session]);
                continue;
            }
            taken.push(Sample {
                name: name.to_owned(),
                event: event.to_owned(),
                session: session.to_owned(),
                ip: kept.ip,
                time_ms: kept.time_ms,
                user: kept.user,
                client: kept.client,
                success: kept.success,
            });
        }
        self.0 = (!rest.kept.items.is_empty()).then(|| Box::new(rest));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u32) -> Kept {
        Kept { time_ms: number.into(), ip: None, user: number, part: number % 2, client: 0, success: false, lens: [0; 3] }
    }

    #[test]
    fn texts_stay_with_their_attempts() {
        let mut samples = Samples::default();
        for number in 0..200 {
            let list = samples.0.get_or_insert_default();
            if list.kept.items.len() >= SAMPLES_MAX {
                list.pop();
            }
            list.push(kept(number), [&format!("näme{number}"), &"e".repeat(number as usize % 7), ""]);
            samples.expire(i64::from(number) - 50);
            let really = samples.0.as_ref().map_or(0, |list| {
                heap_bytes(size_of::<List>())
                    + heap_bytes(list.kept.items.capacity() * size_of::<Kept>())
                    + heap_bytes(list.texts.items.capacity())
            });
            assert!(really <= samples.heap_bytes(), "{number}");
        }
        let odd = samples.take(|part| part == 1);
        let even = samples.take(|_| true);
        assert_eq!((odd.len(), even.len(), samples.heap_bytes()), (26, 25, 0));
        for (sample, number) in odd.iter().zip((149..200).step_by(2)).chain(even.iter().zip((150..200).step_by(2))) {
            assert_eq!((sample.name(), sample.event().len(), sample.session()), (format!("näme{number}").as_str(), number % 7, None));
        }
    }
}
