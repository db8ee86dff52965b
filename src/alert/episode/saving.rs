//! Open episodes are part of the checkpoint, and saved piece by piece while they go on changing: one that is about to
//! change before it was written is written first. Each carries the phase in which it was written last, so that nothing
//! has to be marked when a saving begins.

use super::Episodes;
use super::identity::EpisodeKey;
use super::versions::Episode;
use std::ops::Bound;

/// Episodes that are being saved.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Those up to this one are written.
    pub(super) after: Option<EpisodeKey>,
    /// Episodes written before their turn, and not taken yet.
    pub(super) early: Vec<u8>,
}

impl Episodes {
    /// Begins to save the episodes that are open now; they follow by [`Self::save_some`].
    pub fn begin_save(&mut self) -> usize {
        if self.saving.is_some() {
            // It is given up; the rest counts as written.
            self.open.values_mut().for_each(|episode| episode.phase = self.phase);
        }
        self.phase = !self.phase;
        self.saving = Some(Saving::default());
        self.open.len()
    }

    /// Appends what changed since the last call, as it was at the beginning, and then up to
    /// `episodes_max` further episodes. True when that was all, and when nothing is being saved.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn save_some(&mut self, episodes_max: usize, out: &mut Vec<u8>) -> Result<bool, postcard::Error> {
        let Some(saving) = &mut self.saving else { return Ok(true) };
        out.append(&mut saving.early);
        let from = saving.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.open.range_mut((from, Bound::Unbounded));
        let mut last = None;
        for (key, episode) in rest.by_ref().take(episodes_max) {
            if episode.phase != self.phase {
                write(key, episode, out)?;
                episode.phase = self.phase;
            }
            last = Some(key);
        }
        let done = rest.next().is_none();
        if done {
            self.saving = None;
        } else if let Some(last) = last {
            saving.after = Some(last.clone());
        }
        Ok(done)
    }

    /// Writes an episode that is about to change, if its turn has not come.
    pub(super) fn write_early(&mut self, key: &EpisodeKey) {
        if let (Some(saving), Some(episode)) = (&mut self.saving, self.open.get_mut(key))
            && episode.phase != self.phase
        {
            if let Err(error) = write(key, episode, &mut saving.early) {
                debug_assert!(false, "an episode does not serialise: {error}");
            }
            episode.phase = self.phase;
        }
    }

    /// Takes saved episodes, in any order.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn load_some(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let ((key, mut episode), after): ((EpisodeKey, Episode), _) = postcard::take_from_bytes(rest)?;
            rest = after;
            episode.phase = self.phase;
            self.insert(key, episode);
        }
        Ok(())
    }
}

fn write(key: &EpisodeKey, episode: &Episode, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    *out = postcard::to_extend(&(key, episode), std::mem::take(out))?;
    Ok(())
}

/// Subjects without the omissions of their JSON form, which the checkpoint's encoding cannot read back.
pub(super) mod plain_subjects {
    use bartizan_core::{EntityKind, Role, Subject};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(subjects: &[Subject], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(subjects.iter().map(|subject| (subject.kind, &subject.value, subject.role, subject.hit)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Subject>, D::Error> {
        let plain = Vec::<(EntityKind, String, Role, bool)>::deserialize(deserializer)?;
        Ok(plain.into_iter().map(|(kind, value, role, hit)| Subject { kind, value, role, hit }).collect())
    }
}
