//! Checkpoints: the whole state of detection with the positions it reflects.
//!
//! A checkpoint is one file, `NNNNNNNNNNNNNNNNNNNN.checkpoint` (the sequence number). The engine hands
//! it out in [`Parts`] while it goes on detecting; they are written beside, and the file becomes a
//! checkpoint only with its last part, an fsync and a renaming. It begins with a magic that names its
//! version; the rest is an LZ4 frame with checksums of each block and of the whole, in which a header, the
//! parts in any order and an end mark follow each other. The newest two stay; a damaged one falls back to
//! the one before, and says so.

use super::breaker::Breakers;
use super::dedup::DedupHeader;
use super::disk;
use super::watermark::Watermarks;
use crate::flow::{Change, Positions};
use lz4_flex::frame::{BlockMode, FrameDecoder, FrameEncoder, FrameInfo};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Generations kept.
pub const GENERATIONS: usize = 2;
const MAGIC: &[u8; 8] = b"BTZNCKP5";
/// Stands at the very end: an LZ4 frame without its last checksum looks like a whole one.
const END: &[u8; 8] = b"BTZNEND2";
const EXTENSION: &str = "checkpoint";
/// Extension of one that is being written.
const UNFINISHED: &str = "new";
/// Bytes of one part; more cannot be one.
const PART_BYTES_MAX: u32 = 1 << 30;
/// Bytes read or written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What can go wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk says no.
    #[error("checkpoint: {0}")]
    Io(#[from] io::Error),
    /// It is no checkpoint of this version.
    #[error("checkpoint {0}: written by another version, or no checkpoint")]
    OtherVersion(PathBuf),
    /// The bytes are not what was written.
    #[error("checkpoint {0}: damaged ({1})")]
    Damaged(PathBuf, String),
    /// It was given up.
    #[error("checkpoint: given up, as the state changes faster than the disk takes it")]
    TooSlow,
    /// The order before it cannot be recorded.
    #[error("checkpoint: {0}")]
    Order(#[from] crate::db::DbError),
    /// The content does not read.
    #[error("checkpoint does not read: {0}")]
    Content(#[from] postcard::Error),
}

/// What a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// The header; always the first.
    Header,
    /// Events seen.
    Dedup,
    /// Open episodes.
    Episodes,
    /// The header of one state.
    State(StateId),
    /// Slots of one state.
    Slots(StateId),
    /// Nothing: it was the last part.
    End,
    /// The reports of the running epoch.
    Reports,
}

/// One state of one detector in one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateId {
    /// Slice; one more than the last is that of what slices have in common.
    pub slice: u16,
    /// Position in [`Header::detectors`].
    pub detector: u16,
    /// Position among the detector's states.
    pub state: u16,
}

/// What stands at the beginning.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Sequence number of the next record.
    pub next_seq: u64,
    /// Next offset of each partition.
    pub positions: Positions,
    /// When the latest records arrived, in milliseconds since 1970.
    pub arrival_ms: i64,
    /// The changes that are in force.
    pub in_force: Vec<Change>,
    /// Watermarks.
    pub watermarks: Watermarks,
    /// Events seen.
    pub dedup: DedupHeader,
    /// Open episodes.
    pub episodes: usize,
    /// Circuit breakers.
    pub breakers: Breakers,
    /// Slices that keys are cut into.
    pub slices: usize,
    /// Detectors, each with the version of its state.
    pub detectors: Vec<(String, u32)>,
}

/// Parts of a checkpoint on their way to the disk, each with its length and what it belongs to.
#[derive(Debug, Default)]
pub struct Parts(Vec<u8>);

impl Parts {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what `write` appends, if it does; returns what that returns.
    ///
    /// # Errors
    /// What `write` says.
    pub fn add<T, E: From<postcard::Error>>(&mut self, of: Of, write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>) -> Result<T, E> {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        self.0 = postcard::to_extend(&of, std::mem::take(&mut self.0))?;
        let head = self.0.len();
        let value = write(&mut self.0)?;
        if self.0.len() == head && of != Of::End {
            self.0.truncate(start);
        } else {
            let len = (self.0.len() - start - 4) as u32;
            self.0.iter_mut().skip(start).zip(len.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        Ok(value)
    }
}

/// The folder of checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Uses `folder`, made if it is not there; what was begun and never finished is removed.
    ///
    /// # Errors
    /// It cannot be made or listed.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(folder)?;
        let checkpoints = Self { folder: folder.to_owned() };
        for unfinished in checkpoints.list(UNFINISHED)? {
            fs::remove_file(unfinished)?;
        }
        Ok(checkpoints)
    }

    /// The folder as it is, beside a daemon that uses it.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Begins the checkpoint before the record `next_seq`.
    ///
    /// # Errors
    /// The disk says no.
    pub fn begin(&self, next_seq: u64) -> Result<Writing, CheckpointError> {
        let path = self.path(next_seq);
        let beside = path.with_extension(UNFINISHED);
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, disk::create(&beside)?);
        file.write_all(MAGIC)?;
        let info = FrameInfo::new().block_mode(BlockMode::Independent).block_checksums(true).content_checksum(true);
        Ok(Writing { checkpoints: self.clone(), path, file: FrameEncoder::with_frame_info(info, file) })
    }

    /// What is there, newest first; each is opened when it is asked for.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn newest_first(&self) -> Result<impl Iterator<Item = Result<Saved, CheckpointError>>, CheckpointError> {
        Ok(self.list(EXTENSION)?.into_iter().rev().map(|path| Saved::open(&path)))
    }

    /// The file of the oldest one that is kept.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn oldest(&self) -> Result<Option<PathBuf>, CheckpointError> {
        Ok(self.all()?.into_iter().next())
    }

    /// The files of all that are kept, oldest first.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn all(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        match self.list(EXTENSION) {
            Err(CheckpointError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Removes what is newer than the checkpoint before `next_seq`: it did not read, and must not count as a
    /// generation any longer.
    ///
    /// # Errors
    /// The disk says no.
    pub fn remove_newer(&self, next_seq: u64) -> Result<(), CheckpointError> {
        let loaded = self.path(next_seq);
        for newer in self.list(EXTENSION)?.into_iter().filter(|path| *path > loaded) {
            disk::remove(&newer)?;
        }
        Ok(())
    }

    fn path(&self, next_seq: u64) -> PathBuf {
        self.folder.join(format!("{next_seq:020}.{EXTENSION}"))
    }

    fn list(&self, extension: &str) -> Result<Vec<PathBuf>, CheckpointError> {
        let entries = fs::read_dir(&self.folder)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|other| other == extension));
        paths.sort();
        Ok(paths)
    }
}

/// A checkpoint that is being written.
pub struct Writing {
    checkpoints: Checkpoints,
    path: PathBuf,
    file: FrameEncoder<BufWriter<File>>,
}

impl Writing {
    /// Writes further parts.
    ///
    /// # Errors
    /// The disk says no.
    pub fn write(&mut self, parts: &Parts) -> Result<(), CheckpointError> {
        Ok(self.file.write_all(&parts.0)?)
    }

    /// Makes it durable and drops generations beyond [`GENERATIONS`]. Returns its size in bytes.
    ///
    /// # Errors
    /// The disk says no; the older ones stay then.
    pub fn finish(self) -> Result<u64, CheckpointError> {
        let mut file = self.file.finish().map_err(io::Error::from)?;
        file.write_all(END)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let beside = self.path.with_extension(UNFINISHED);
        if !sabotaged!(CheckpointNotSynced) {
            disk::sync(&file, &beside)?;
        }
        let bytes = file.metadata()?.len();
        disk::rename(&beside, &self.path)?;
        if !sabotaged!(CheckpointNameNotSynced) {
            disk::sync_names(&self.checkpoints.folder)?;
        }
        let kept = if sabotaged!(OneGeneration) { 1 } else { GENERATIONS };
        for old in self.checkpoints.list(EXTENSION)?.into_iter().rev().skip(kept) {
            disk::remove(&old)?;
        }
        Ok(bytes)
    }
}

/// A checkpoint that is being read.
pub struct Saved {
    path: PathBuf,
    file: FrameDecoder<BufReader<Box<dyn Read + Send>>>,
    part: Vec<u8>,
}

impl Saved {
    /// The checkpoint in a file.
    ///
    /// # Errors
    /// It cannot be opened or is of another version.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::of(path, Box::new(File::open(path)?))
    }

    /// A checkpoint that `source` gives; `path` is what it is called.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn of(path: &Path, source: Box<dyn Read + Send>) -> Result<Self, CheckpointError> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, source);
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(CheckpointError::OtherVersion(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), file: FrameDecoder::new(file), part: Vec::new() })
    }

    /// The next part; `None` after the last one, once the checksum of the whole was seen to be right.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or breaks off.
    pub fn next_part(&mut self) -> Result<Option<(Of, &[u8])>, CheckpointError> {
        if let Err(error) = self.read_part() {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::Other => self.damaged(&error),
                _ => error.into(),
            });
        }
        let (of, content): (Of, &[u8]) = postcard::take_from_bytes(&self.part)?;
        if of != Of::End {
            let head = self.part.len() - content.len();
            return Ok(Some((of, self.part.get(head..).unwrap_or_default())));
        }
        match self.read_end() {
            Ok(true) => Ok(None),
            Ok(false) => Err(CheckpointError::Damaged(self.path.clone(), "does not end where it should".to_owned())),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    /// What stands at the beginning, to be asked for first.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn header(&mut self) -> Result<Header, CheckpointError> {
        match self.next_part()? {
            Some((Of::Header, bytes)) => Ok(postcard::from_bytes(bytes)?),
            _ => Err(self.damaged(&"no header")),
        }
    }

    /// The positions of a checkpoint that reads to its end.
    #[cfg(test)]
    pub(crate) fn positions(mut self) -> Result<Positions, CheckpointError> {
        let mut positions = Positions::new();
        while let Some((of, bytes)) = self.next_part()? {
            if of == Of::Header {
                positions = postcard::from_bytes::<Header>(bytes)?.positions;
            }
        }
        Ok(positions)
    }

    fn read_part(&mut self) -> io::Result<()> {
        let mut len = [0; 4];
        self.file.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        if len > PART_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a part of impossible length"));
        }
        self.part.clear();
        let read = self.file.by_ref().take(u64::from(len)).read_to_end(&mut self.part)?;
        if read < len as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Is there nothing more but the checksum of the whole, which is right, and the end?
    fn read_end(&mut self) -> io::Result<bool> {
        let more = io::copy(&mut self.file, &mut io::sink())?;
        let mut end = Vec::new();
        self.file.get_mut().take(END.len() as u64 + 1).read_to_end(&mut end)?;
        Ok(more == 0 && end == END)
    }

    /// The file is not what was written.
    #[must_use]
    pub fn damaged(&self, why: &impl ToString) -> CheckpointError {
        CheckpointError::Damaged(self.path.clone(), why.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn write(checkpoints: &Checkpoints, seq: u64) {
        let mut writing = checkpoints.begin(seq).unwrap();
        for text in ["one", "two"] {
            let mut parts = Parts::default();
            let add = |out: &mut Vec<u8>| {
                out.extend_from_slice(text.as_bytes());
                Ok::<_, postcard::Error>(())
            };
            parts.add(Of::Episodes, add).unwrap();
            parts.add(Of::Dedup, |_| Ok::<_, postcard::Error>(())).unwrap();
            writing.write(&parts).unwrap();
        }
        let mut end = Parts::default();
        end.add(Of::End, |_| Ok::<_, postcard::Error>(())).unwrap();
        writing.write(&end).unwrap();
        writing.finish().unwrap();
    }

    fn read(saved: Result<Saved, CheckpointError>) -> Result<Vec<String>, CheckpointError> {
        let (mut saved, mut texts) = (saved?, Vec::new());
        while let Some((of, bytes)) = saved.next_part()? {
            assert_eq!(of, Of::Episodes);
            texts.push(String::from_utf8(bytes.to_vec()).unwrap());
        }
        Ok(texts)
    }

    fn newest(checkpoints: &Checkpoints) -> PathBuf {
        checkpoints.list(EXTENSION).unwrap().pop().unwrap()
    }

    #[test]
    fn parts_come_back_and_two_generations_stay() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        [10, 20, 30].into_iter().for_each(|seq| write(&checkpoints, seq));
        assert_eq!(checkpoints.list(EXTENSION).unwrap().len(), GENERATIONS);
        assert_eq!(read(checkpoints.newest_first().unwrap().next().unwrap()).unwrap(), ["one", "two"]);
    }

    #[test]
    fn what_did_not_read_is_no_generation() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        [10, 20].into_iter().for_each(|seq| write(&checkpoints, seq));
        checkpoints.remove_newer(10).unwrap();
        write(&checkpoints, 15);
        let found: Vec<_> = checkpoints.newest_first().unwrap().map(|saved| saved.unwrap().path).collect();
        assert_eq!(found, [checkpoints.path(15), checkpoints.path(10)]);
    }

    #[test]
    fn one_that_was_never_finished_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        drop(checkpoints.begin(10).unwrap());
        assert_eq!(checkpoints.newest_first().unwrap().count(), 0);
        Checkpoints::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn any_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        write(&checkpoints, 10);
        let whole = fs::read(newest(&checkpoints)).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(newest(&checkpoints), &damaged).unwrap();
            let found = read(checkpoints.newest_first().unwrap().next().unwrap());
            assert!(found.is_err(), "byte {at}: {found:?}");
            fs::write(newest(&checkpoints), &whole[..at]).unwrap();
            let found = read(checkpoints.newest_first().unwrap().next().unwrap());
            assert!(found.is_err(), "cut at {at}: {found:?}");
        }
    }
}
