//! One version of the list, made to be asked for each event.

use super::rule::{Facts, Nets, Rule, Values};
use super::{Kind, Suppression};
use bartizan_core::Event;
use std::collections::HashMap;
use std::sync::Arc;

/// One version of the list, to be asked.
#[derive(Debug, Default)]
pub struct Suppressions {
    tenants: HashMap<String, OfTenant>,
}

/// The entries of one tenant, and by what they are found.
#[derive(Debug, Default)]
struct OfTenant {
    entries: Vec<(Suppression, Arc<Rule>)>,
    /// Entries by kind and value.
    exact: HashMap<Kind, HashMap<String, Vec<usize>>>,
    /// Entries by network of addresses.
    nets: Nets<Vec<usize>>,
    /// Entries that are found by no value: they are gone through.
    others: Vec<usize>,
}

impl Suppressions {
    /// The list of these entries.
    #[must_use]
    pub fn new(entries: Vec<Suppression>) -> Self {
        let mut list = Self::default();
        for entry in entries {
            list.tenants.entry(entry.tenant.clone()).or_default().add(entry);
        }
        list
    }

    /// Is nothing suppressed? Then nothing has to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// The entry that holds back what `detector` says of an event; none as a detector: what is held back of all.
    #[must_use]
    pub fn of(&self, event: &Event<'_>, detector: Option<&str>) -> Option<&Suppression> {
        // Most often there is nothing to ask.
        if self.is_empty() {
            return None;
        }
        self.tenants.get(event.tenant())?.of(event, detector)
    }
}

impl OfTenant {
    fn add(&mut self, entry: Suppression) {
        let (index, rule) = (self.entries.len(), entry.about.rule());
        match rule.anchors() {
            Some(anchors) => anchors.into_iter().for_each(|anchor| match &anchor.values {
                Values::Nets(nets) => nets.all().for_each(|net| self.nets.entry(net).push(index)),
                Values::Texts(texts) => {
                    let by_value = self.exact.entry(anchor.kind).or_default();
                    texts.iter().for_each(|text| by_value.entry(text.clone()).or_default().push(index));
                }
                // No anchor.
                Values::Prefixes(_) => {}
            }),
            None => self.others.push(index),
        }
        self.entries.push((entry, rule));
    }

    fn of(&self, event: &Event<'_>, detector: Option<&str>) -> Option<&Suppression> {
        let facts = Facts::of(event);
        let named = self.exact.iter().flat_map(|(kind, by_value)| {
            let texts = facts.texts(*kind).into_iter().flatten();
            texts.filter_map(|text| by_value.get(text)).flatten()
        });
        let nets = facts.ip.into_iter().flat_map(|ip| self.nets.of(ip)).flatten();
        let found = named.chain(nets).chain(&self.others).filter_map(|index| self.entries.get(*index));
        let counting = found.filter(|(entry, rule)| entry.counts(detector, event.arrival_ms()) && rule.holds(&facts));
        // Several may hold it: the oldest is named, always the same one.
        counting.map(|(entry, _)| entry).min_by_key(|entry| (entry.added, &entry.id))
    }
}
