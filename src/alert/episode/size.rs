//! Bytes that an episode takes, counted by what is in it rather than asked of the allocator: so what is closed early
//! for want of room is the same in every run.

use super::evidence::Plain;
use super::hits::hit_sessions;
use super::identity::EpisodeKey;
use super::versions::Episode;
use std::borrow::Cow;

impl Episode {
    /// Bytes that it takes, by what is in it: the same whether it grew here or was loaded.
    pub(super) fn count_bytes(&self, (tenant, detector, name): &EpisodeKey) -> usize {
        let alert = &self.alert;
        let texts = |texts: [&String; 3]| texts.iter().map(|text| text_bytes(text)).sum::<usize>();
        let ids = [&alert.ids_head, &alert.ids_hit, &alert.ids_tail].map(|ids| list_bytes(ids, |id| text_bytes(id)));
        let evidence = alert.evidence.iter();
        let evidence = evidence.map(|(name, value)| size_of::<(Cow<'_, str>, Plain)>() + text_bytes(name) + value.text_bytes());
        let key_bytes = |key| size_of::<EpisodeKey>() + texts([tenant, detector, key]);
        // The key stands in both maps, and where it is found by its sign.
        let keys = (2 + usize::from(self.sign.is_some())) * key_bytes(name);
        let joined = self.joined.iter().map(|key| text_bytes(key) + key_bytes(key) + size_of::<String>() + text_bytes(name));
        let joined = list_bytes(&self.joined, |_| 0) + joined.sum::<usize>();
        // Each session that was hit stands with the key where such are found.
        let hits: usize = hit_sessions(&alert.subjects).map(|session| text_bytes(session) + key_bytes(name) + size_of::<String>()).sum();
        let subjects = list_bytes(&alert.subjects, |subject| text_bytes(&subject.value));
        let attack = list_bytes(&alert.attack, |(tactic, technique)| text_bytes(tactic) + text_bytes(technique));
        let lists = subjects + attack + list_bytes(&alert.actions, |_| 0) + ids.iter().sum::<usize>();
        size_of::<Self>() + keys + joined + hits + texts([&alert.id, &alert.title, &alert.reason]) + lists + evidence.sum::<usize>()
    }
}

/// Bytes of a text on the heap, with what the heap itself takes.
pub(super) const fn text_bytes(text: &str) -> usize {
    text.len() + 16
}

/// Bytes of a list that grew by doubling, with what its items hold beside themselves.
fn list_bytes<T>(list: &[T], held: impl Fn(&T) -> usize) -> usize {
    list.len().next_power_of_two() * size_of::<T>() + list.iter().map(held).sum::<usize>()
}
