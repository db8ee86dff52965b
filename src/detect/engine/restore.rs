//! Takes a checkpoint back.
//!
//! A detector whose state the checkpoint does not hold in this version starts afresh; one that the checkpoint holds and
//! nobody runs any more is left out. At a start there is nothing else to do, so all cores load slices.

use super::Engine;
use super::slice::Slice;
use crate::alert::episode::Episodes;
use crate::detect::SLICES;
use crate::detect::checkpoint::{CheckpointError, Of, Saved, StateId};
use crate::detect::common::CommonParts;
use crate::detect::dedup::{Dedup, DedupHeader};
use bartizan_core::State;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, sync_channel};

/// Parts of a checkpoint that wait for one loader.
const PARTS_WAITING_MAX: usize = 64;

/// What a loader is given: content of a state, and whether it is its header.
pub(in crate::detect) enum Part {
    Header(Vec<u8>),
    Slots(Vec<u8>),
}

impl Part {
    /// Loads it into its state.
    pub(in crate::detect) fn load(&self, state: &mut dyn State) -> Result<(), postcard::Error> {
        match self {
            Self::Header(bytes) => state.begin_load(bytes),
            Self::Slots(bytes) => state.load_some(bytes),
        }
    }
}

impl Engine {
    /// Replaces the state. Detectors that the checkpoint does not hold in this version start afresh and
    /// are returned, to be told. After an error the engine is of no use.
    ///
    /// # Errors
    /// The checkpoint cannot be read.
    pub fn restore(&mut self, mut saved: Saved) -> Result<Vec<&'static str>, CheckpointError> {
        let header = saved.header()?;
        let position = |(id, version): (&str, u32)| header.detectors.iter().position(|of| (of.0.as_str(), of.1) == (id, version));
        // For each detector of the checkpoint, which of ours it is.
        let mut ours = vec![None; header.detectors.len()];
        let mut afresh = Vec::new();
        for (number, holder) in self.holders().enumerate() {
            match position(holder).filter(|_| header.slices == SLICES).and_then(|position| ours.get_mut(position)) {
                Some(own) => *own = Some(number),
                None => afresh.push(holder.0),
            }
        }
        self.dedup.begin_load(header.dedup);
        self.episodes = Episodes::new(self.episode_limits);
        self.load_parts(&mut saved, &ours)?;
        self.dedup.end_load(header.dedup)?;
        if self.episodes.len() != header.episodes {
            return Err(saved.damaged(&"episodes are missing"));
        }
        if sabotaged!(DedupNotRestored) {
            self.dedup.begin_load(DedupHeader::default());
        }
        if sabotaged!(EpisodesNotRestored) {
            self.episodes = Episodes::default();
        }
        if !sabotaged!(WatermarksNotRestored) {
            self.watermarks = header.watermarks;
        }
        self.breakers = header.breakers.within(self.breakers.limits());
        self.next_seq = header.next_seq;
        self.positions = header.positions;
        self.arrival_ms = header.arrival_ms;
        self.in_force = header.in_force;
        Ok(afresh)
    }

    /// Reads all parts on this thread, while others load slices of their own from them.
    fn load_parts(&mut self, saved: &mut Saved, ours: &[Option<usize>]) -> Result<(), CheckpointError> {
        let Self { slices, dedup, episodes, common, .. } = self;
        // At a start nothing else has to do yet.
        let loaders = std::thread::available_parallelism().map_or(1, NonZero::get).min(SLICES);
        let per_loader = SLICES.div_ceil(loaders);
        std::thread::scope(|scope| {
            let start = |(number, slices)| {
                let (sender, parts) = sync_channel(PARTS_WAITING_MAX);
                (sender, scope.spawn(move || load_slices(number * per_loader, slices, ours, parts)))
            };
            let (senders, loaders): (Vec<_>, Vec<_>) = slices.chunks_mut(per_loader).enumerate().map(start).unzip();
            let read = read_parts(saved, dedup, episodes, common, ours, |id, part| {
                let sender = senders.get(usize::from(id.slice) / per_loader);
                // A loader that is gone says why when it is joined; one that never was is a slice that is not ours.
                sender.is_none_or(|sender| sender.send((id, part)).is_ok())
            });
            let read = read.and_then(|()| Ok(common.end_load(ours)?));
            drop(senders);
            let loaded = loaders.into_iter().map(|loader| loader.join().unwrap_or_else(|_| Err(saved.damaged(&"it cannot be loaded"))));
            loaded.fold(read, Result::and)
        })
    }
}

/// Takes what is not of slices, and gives the rest to `load` until that wants no more.
fn read_parts(
    saved: &mut Saved,
    dedup: &mut Dedup,
    episodes: &mut Episodes,
    common: &mut CommonParts,
    ours: &[Option<usize>],
    load: impl Fn(StateId, Part) -> bool,
) -> Result<(), CheckpointError> {
    while let Some((of, bytes)) = saved.next_part()? {
        let goes_on = match of {
            Of::Header | Of::End => return Err(saved.damaged(&"a second header")),
            Of::Dedup => dedup.load_some(bytes).map(|()| true)?,
            Of::Episodes => episodes.load_some(bytes).map(|()| true)?,
            Of::Reports => common.load_reports(bytes, ours).map(|()| true)?,
            Of::State(id) | Of::Slots(id) => {
                let part = if matches!(of, Of::State(_)) { Part::Header(bytes.to_vec()) } else { Part::Slots(bytes.to_vec()) };
                if usize::from(id.slice) == SLICES { common.load(id, part, ours).map(|()| true)? } else { load(id, part) }
            }
        };
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Loads the parts of some slices, from `first_slice` on, until there are no more.
fn load_slices(
    first_slice: usize,
    slices: &mut [Slice],
    ours: &[Option<usize>],
    parts: Receiver<(StateId, Part)>,
) -> Result<(), CheckpointError> {
    for (id, part) in parts {
        let slice = usize::from(id.slice).checked_sub(first_slice).and_then(|slice| slices.get_mut(slice));
        // A detector that is none of ours any more is left out.
        let (Some(slice), Some(Some(own))) = (slice, ours.get(usize::from(id.detector))) else { continue };
        slice.load(*own, usize::from(id.state), part)?;
    }
    for slice in slices {
        let mut result = Ok(());
        slice.each_state(&mut |detector, _, state| {
            if result.is_ok() && ours.contains(&Some(detector)) {
                result = state.end_load();
            }
        });
        result?;
    }
    Ok(())
}
