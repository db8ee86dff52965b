//! Attempts by name, kept until the first finding about them names who took part.

use super::attempts::Attempt;
use bartizan_core::{Event, heap_bytes};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Attempts kept; beyond them the first one goes.
pub(super) const SAMPLES_MAX: usize = 64;

/// An attempt by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    /// User, event and session, NUL between them; events have none in their texts.
    texts: Box<str>,
    pub ip: Option<IpAddr>,
    pub time_ms: i64,
    pub user: u32,
    pub part: u32,
    pub client: u32,
    pub success: bool,
}

impl Sample {
    fn of(attempt: &Attempt, event: &Event<'_>) -> Self {
        let parts = [event.user().unwrap_or_default(), event.id(), event.session().unwrap_or_default()];
        Self {
            texts: parts.join("\0").into(),
            ip: event.ip(),
            time_ms: attempt.time_ms,
            user: attempt.user,
            part: attempt.part,
            client: attempt.client,
            success: attempt.success,
        }
    }

    fn text(&self, number: usize) -> &str {
        self.texts.split('\0').nth(number).unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.text(0)
    }

    pub fn event(&self) -> &str {
        self.text(1)
    }

    pub fn session(&self) -> Option<&str> {
        Some(self.text(2)).filter(|session| !session.is_empty())
    }
}

/// The latest attempts in order of arrival. An empty list owns nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Samples(Option<Box<List>>);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct List {
    samples: VecDeque<Sample>,
    /// Memory of all texts.
    texts_bytes: u32,
}

/// Places that memory is asked for when so many samples are kept.
fn places_for(samples: usize) -> usize {
    samples.next_power_of_two()
}

impl Samples {
    /// Bytes of memory.
    pub fn heap_bytes(&self) -> usize {
        let list_bytes = |list: &List| {
            heap_bytes(size_of::<List>()) + heap_bytes(places_for(list.samples.len()) * size_of::<Sample>()) + list.texts_bytes as usize
        };
        self.0.as_deref().map_or(0, list_bytes)
    }

    /// Keeps an attempt.
    pub fn keep(&mut self, attempt: &Attempt, event: &Event<'_>) {
        let list = self.0.get_or_insert_default();
        if list.samples.len() >= SAMPLES_MAX {
            list.pop();
        }
        let sample = Sample::of(attempt, event);
        list.texts_bytes += heap_bytes(sample.texts.len()) as u32;
        if list.samples.len() == list.samples.capacity() {
            list.samples.reserve_exact(places_for(list.samples.len() + 1) - list.samples.len());
        }
        list.samples.push_back(sample);
    }

    /// Forgets what lies before the window. Attempts come about in order, so this stops at the first that does not.
    pub fn expire(&mut self, from_ms: i64) {
        let Some(list) = &mut self.0 else { return };
        let mut went = false;
        while list.samples.front().is_some_and(|sample| sample.time_ms < from_ms) {
            list.pop();
            went = true;
        }
        if list.samples.is_empty() {
            self.0 = None;
        } else if went {
            list.samples.shrink_to(places_for(list.samples.len()));
        }
    }

    /// Takes out those that `takes` chooses.
    pub fn take(&mut self, takes: impl Fn(&Sample) -> bool) -> Vec<Sample> {
        let all = self.0.take().map(|list| list.samples).unwrap_or_default();
        let (taken, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(takes);
        if !kept.is_empty() {
            let texts_bytes = kept.iter().map(|sample| heap_bytes(sample.texts.len()) as u32).sum();
            let mut samples = VecDeque::new();
            samples.reserve_exact(places_for(kept.len()));
            samples.extend(kept);
            self.0 = Some(Box::new(List { samples, texts_bytes }));
        }
        taken
    }
}

impl List {
    fn pop(&mut self) {
        if let Some(sample) = self.samples.pop_front() {
            self.texts_bytes = self.texts_bytes.saturating_sub(heap_bytes(sample.texts.len()) as u32);
        }
    }
}
