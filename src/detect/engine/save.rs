//! Hands out a checkpoint: the engine's state between two batches.
//!
//! [`Engine::begin_checkpoint`] marks it, and [`Engine::save_some`] hands it out in parts while batches go on being
//! processed: whatever is about to change is handed out first, so that the flow never stands still for the whole of it.

use super::Engine;
use crate::detect::SLICES;
use crate::detect::checkpoint::{CheckpointError, Header, Of, Parts, StateId};
use bartizan_core::State;

/// Slots or episodes that are handed out at once, in steps of which the bytes are looked at.
const SAVED_AT_ONCE: usize = 64;
/// The same of remembered events.
const EVENTS_SAVED_AT_ONCE: usize = 8_192;

/// What comes next of a checkpoint that is being handed out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Dedup,
    Episodes,
    Slice(usize),
}

impl Engine {
    /// Begins a checkpoint of the state as it is now, and hands out its first parts. One that was not
    /// handed out to its end is given up.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn begin_checkpoint(&mut self, parts: &mut Parts) -> Result<(), CheckpointError> {
        let header = Header {
            next_seq: self.next_seq,
            positions: self.positions.clone(),
            arrival_ms: self.arrival_ms,
            in_force: self.in_force.clone(),
            watermarks: self.watermarks.clone(),
            dedup: self.dedup.begin_save(),
            episodes: self.episodes.begin_save(),
            breakers: self.breakers.clone(),
            slices: SLICES,
            detectors: self
                .holders()
                .map(|(id, version)| {
                    let forgotten = sabotaged!(DetectorNotSaved) && id == "credential_stuffing";
                    (id.to_owned(), version + u32::from(forgotten))
                })
                .collect(),
        };
        parts.add(Of::Header, |out| {
            *out = postcard::to_extend(&header, std::mem::take(out))?;
            Ok::<_, CheckpointError>(())
        })?;
        let mut result = Ok(());
        self.each_state(|id, state| {
            let add = |out: &mut Vec<u8>| {
                state.begin_save(out);
                Ok::<_, CheckpointError>(())
            };
            if result.is_ok() {
                result = parts.add(Of::State(id), add);
            }
        });
        result?;
        self.saving = Some(Step::Dedup);
        parts.add(Of::Reports, |out| self.common.save_reports(out))
    }

    /// Is a checkpoint being handed out?
    #[must_use]
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Hands out what has changed since the last call, as it was at the beginning, and about `bytes` more.
    /// True when that was all.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn save_some(&mut self, bytes: usize, parts: &mut Parts) -> Result<bool, CheckpointError> {
        self.save_changed(parts)?;
        let enough = parts.len() + bytes;
        while let Some(step) = self.saving {
            if parts.len() >= enough {
                return Ok(false);
            }
            self.saving = match step {
                Step::Dedup => {
                    let done = parts.add(Of::Dedup, |out| self.dedup.save_some(EVENTS_SAVED_AT_ONCE, out))?;
                    Some(if done { Step::Episodes } else { step })
                }
                Step::Episodes => {
                    let done = parts.add(Of::Episodes, |out| self.episodes.save_some(SAVED_AT_ONCE, out))?;
                    Some(if done { Step::Slice(0) } else { step })
                }
                Step::Slice(number) => {
                    let done = match self.slices.get_mut(number) {
                        Some(slice) => save_slice(number, &mut |visit| slice.each_state(visit), enough, parts)?,
                        None => save_slice(number, &mut |visit| self.common.each_state(visit), enough, parts)?,
                    };
                    if done { Some(Step::Slice(number + 1)).filter(|_| number < SLICES) } else { Some(step) }
                }
            };
        }
        parts.add(Of::End, |_| Ok::<_, CheckpointError>(()))?;
        Ok(true)
    }

    /// Hands out what was written before its turn, so that it does not pile up.
    fn save_changed(&mut self, parts: &mut Parts) -> Result<(), CheckpointError> {
        let first = match self.saving {
            None => return Ok(()),
            Some(Step::Slice(number)) => number,
            Some(_) => 0,
        };
        parts.add(Of::Episodes, |out| self.episodes.save_some(0, out))?;
        for (number, slice) in self.slices.iter_mut().enumerate().skip(first) {
            save_slice_by(number, &mut |visit| slice.each_state(visit), 0, parts)?;
        }
        save_slice_by(SLICES, &mut |visit| self.common.each_state(visit), 0, parts)?;
        Ok(())
    }

    /// Shows the states of all slices, and at last those of the common parts, which follow as one more slice.
    fn each_state(&mut self, mut visit: impl FnMut(StateId, &mut dyn State)) {
        for (number, slice) in self.slices.iter_mut().enumerate() {
            slice.each_state(&mut |detector, state_number, state| visit(state_id(number, detector, state_number), state));
        }
        self.common.each_state(&mut |detector, state_number, state| visit(state_id(SLICES, detector, state_number), state));
    }
}

fn state_id(slice: usize, detector: usize, state: usize) -> StateId {
    StateId { slice: slice as u16, detector: detector as u16, state: state as u16 }
}

/// Shows states, each with the number of its detector and its own within that, to whom it is given.
type EachNumbered<'a> = dyn FnMut(&mut dyn FnMut(usize, usize, &mut dyn State)) + 'a;

/// Hands out slots of a slice until `parts` holds `enough` bytes; true when that were all.
fn save_slice(number: usize, each_state: &mut EachNumbered<'_>, enough: usize, parts: &mut Parts) -> Result<bool, CheckpointError> {
    while parts.len() < enough {
        if save_slice_by(number, each_state, SAVED_AT_ONCE, parts)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Hands out up to `slots` slots of each state of a slice; true when that were all.
fn save_slice_by(number: usize, each_state: &mut EachNumbered<'_>, slots: usize, parts: &mut Parts) -> Result<bool, CheckpointError> {
    let mut result = Ok(true);
    each_state(&mut |detector, state_number, state| {
        let id = Of::Slots(state_id(number, detector, state_number));
        if let Ok(done) = &mut result {
            match parts.add(id, |out| Ok::<_, CheckpointError>(state.save_some(slots, out))) {
                Ok(all) => *done &= all,
                Err(error) => result = Err(error),
            }
        }
    });
    result
}
