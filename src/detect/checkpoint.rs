//! Checkpoints: the whole state of detection with the positions it reflects.
//!
//! A checkpoint is one file, `NNNNNNNNNNNNNNNNNNNN.checkpoint` (the sequence number), written beside
//! and renamed into place after an fsync. It begins with a magic, a version and a checksum. The newest
//! two stay; a damaged one falls back to the one before, and says so.

use super::watermark::Watermarks;
use crate::flow::Positions;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Generations kept.
pub const GENERATIONS: usize = 2;
const MAGIC: &[u8; 8] = b"BTZNCKP1";
const EXTENSION: &str = "checkpoint";
/// Fast: the state compresses well and the file is written often.
const ZSTD_LEVEL: i32 = 1;

/// What can go wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk says no.
    #[error("checkpoint: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes are not what was written.
    #[error("checkpoint {0}: damaged (checksum or header)")]
    Damaged(PathBuf),
    /// The content does not read.
    #[error("checkpoint does not read: {0}")]
    Content(#[from] postcard::Error),
    /// A detector's state does not read.
    #[error("checkpoint: {0}")]
    State(#[from] bartizan_core::LoadError),
}

/// State of one detector, slice by slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotOf {
    /// Detector.
    pub id: String,
    /// Version of its state.
    pub state_version: u32,
    /// Its state in each slice.
    pub slices: Vec<Vec<u8>>,
}

/// The whole state of detection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Sequence number of the next record.
    pub next_seq: u64,
    /// Next offset of each partition.
    pub positions: Positions,
    /// Watermarks.
    pub watermarks: Watermarks,
    /// Events seen.
    pub dedup: Vec<u8>,
    /// Open episodes.
    pub episodes: Vec<u8>,
    /// Detectors.
    pub detectors: Vec<SnapshotOf>,
}

/// The folder of checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Uses `folder`, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a checkpoint durably and drops generations beyond [`GENERATIONS`]. Returns its size in
    /// bytes.
    ///
    /// # Errors
    /// The disk says no; the older ones stay then.
    pub fn write(&self, snapshot: &Snapshot) -> Result<u64, CheckpointError> {
        let content = zstd::bulk::compress(&postcard::to_allocvec(snapshot)?, ZSTD_LEVEL)?;
        let path = self.folder.join(format!("{:020}.{EXTENSION}", snapshot.next_seq));
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(&content))?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()?;
        for old in self.list()?.into_iter().rev().skip(GENERATIONS) {
            fs::remove_file(old)?;
        }
        Ok((MAGIC.len() + 32 + content.len()) as u64)
    }

    /// What is there, newest first; each is read when it is asked for.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn newest_first(&self) -> Result<impl Iterator<Item = Result<Snapshot, CheckpointError>>, CheckpointError> {
        Ok(self.list()?.into_iter().rev().map(|path| read(&path)))
    }

    fn list(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let entries = fs::read_dir(&self.folder)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        paths.sort();
        Ok(paths)
    }
}

fn read(path: &Path) -> Result<Snapshot, CheckpointError> {
    let damaged = || CheckpointError::Damaged(path.to_owned());
    let bytes = fs::read(path)?;
    let (header, content) = bytes.split_at_checked(MAGIC.len() + 32).ok_or_else(damaged)?;
    let (magic, checksum) = header.split_at(MAGIC.len());
    if magic != MAGIC || checksum != Sha256::digest(content).as_slice() {
        return Err(damaged());
    }
    let content = zstd::stream::decode_all(content)?;
    Ok(postcard::from_bytes(&content)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn snapshot(next_seq: u64) -> Snapshot {
        Snapshot {
            next_seq,
            positions: Positions::new(),
            watermarks: Watermarks::default(),
            dedup: vec![1, 2, 3],
            episodes: Vec::new(),
            detectors: Vec::new(),
        }
    }

    #[test]
    fn a_damaged_checkpoint_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        for seq in [10, 20, 30] {
            checkpoints.write(&snapshot(seq)).unwrap();
        }
        assert_eq!(checkpoints.list().unwrap().len(), GENERATIONS);
        let newest = checkpoints.list().unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&newest, bytes).unwrap();
        let found: Vec<_> = checkpoints.newest_first().unwrap().collect();
        assert!(matches!(found[0], Err(CheckpointError::Damaged(_))));
        assert_eq!(found[1].as_ref().unwrap().next_seq, 20);
    }
}
