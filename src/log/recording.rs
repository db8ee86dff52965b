//! A recorded order in one file: the state that it begins with, its entries, and their records.
//!
//! `export` writes it, `replay` judges it again, and comes to the same alerts to the byte. The file begins
//! with a magic that names its version; the rest is an LZ4 frame with a checksum of the whole, in which the
//! head, the pieces of a checkpoint, and entry by entry its records follow each other, each with its length.
//! It holds the logs' raw records and the key of the state's hashes, so it is its owner's alone.

use crate::flow::{Order, RawBatch};
use crate::suppress::Suppression;
use lz4_flex::frame::{FrameDecoder, FrameEncoder, FrameInfo};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"BTZNORD3";
/// Stands at the very end: an LZ4 frame without its last checksum looks like a whole one.
const END: &[u8; 8] = b"BTZNORDE";
/// Bytes read, written or copied at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of one piece; more cannot be one.
const PIECE_BYTES_MAX: u32 = 64 << 20;
/// Extension of a file that is being written.
const UNFINISHED: &str = "part";

/// What can go wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The disk says no.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is no recording of this version.
    #[error("{0}: no recording, or one of another version")]
    OtherVersion(PathBuf),
    /// The bytes are not what was written.
    #[error("{0}: damaged ({1})")]
    Damaged(PathBuf, String),
}

/// What stands at the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Sequence number of the first record.
    pub next_seq: u64,
    /// Key of the hashes of state.
    pub state_key: [u8; 16],
    /// Format of each topic, by name.
    pub formats: Vec<(String, String)>,
    /// Age at their arrival above which events were rejected, in milliseconds.
    pub retention_ms: i64,
    /// The list of suppressions in all its versions.
    pub suppressions: Vec<Suppression>,
}

/// A piece of the file.
#[derive(Debug, Serialize, Deserialize)]
enum Piece<'a> {
    Head(Head),
    /// A part of the checkpoint's file.
    Checkpoint(&'a [u8]),
    /// The next entry of the order; its records follow.
    Entry(Order),
    /// An offset and its record.
    Record(i64, &'a [u8]),
    End,
}

/// Does this file begin as a recording does?
#[must_use]
pub fn is_recording(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    // Not a pipe: what is read of it is gone.
    path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *MAGIC
}

/// Writes a recording. The file has its name once it is whole.
pub struct Writer {
    path: PathBuf,
    file: FrameEncoder<BufWriter<File>>,
    piece: Vec<u8>,
}

impl Writer {
    /// Begins a file, readable for its owner alone.
    ///
    /// # Errors
    /// The disk says no.
    pub fn create(path: &Path, head: Head) -> Result<Self, RecordingError> {
        let failed = |error| RecordingError::Io(path.to_owned(), error);
        let beside = unfinished(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside).map_err(failed)?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        file.write_all(MAGIC).map_err(failed)?;
        let info = FrameInfo::new().content_checksum(true);
        let mut writer = Self { path: path.to_owned(), file: FrameEncoder::with_frame_info(info, file), piece: Vec::new() };
        writer.put(&Piece::Head(head))?;
        Ok(writer)
    }

    /// Adds the checkpoint with which the order begins.
    ///
    /// # Errors
    /// It cannot be read, or the disk says no.
    pub fn checkpoint(&mut self, mut file: impl Read) -> Result<(), RecordingError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = file.read(&mut buffer).map_err(|error| RecordingError::Io(self.path.clone(), error))?;
            if read == 0 {
                return Ok(());
            }
            self.put(&Piece::Checkpoint(buffer.get(..read).unwrap_or_default()))?;
        }
    }

    /// Adds the next entry of the order with its records.
    ///
    /// # Errors
    /// The disk says no.
    pub fn entry(&mut self, batch: &RawBatch) -> Result<(), RecordingError> {
        self.put(&Piece::Entry(batch.order.clone()))?;
        batch.iter().try_for_each(|(_, offset, payload)| self.put(&Piece::Record(offset, payload)))
    }

    /// Makes the file whole and durable.
    ///
    /// # Errors
    /// The disk says no.
    pub fn finish(mut self) -> Result<(), RecordingError> {
        self.put(&Piece::End)?;
        let Self { path, file, .. } = self;
        let finish = || {
            let mut file = file.finish().map_err(io::Error::from)?;
            file.write_all(END)?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(unfinished(&path), &path)
        };
        finish().map_err(|error| RecordingError::Io(path.clone(), error))
    }

    fn put(&mut self, piece: &Piece<'_>) -> Result<(), RecordingError> {
        self.piece.clear();
        let encoded = postcard::to_extend(piece, std::mem::take(&mut self.piece)).map_err(io::Error::other);
        let written = encoded.and_then(|piece| {
            self.piece = piece;
            self.file.write_all(&(self.piece.len() as u32).to_le_bytes())?;
            self.file.write_all(&self.piece)
        });
        written.map_err(|error| RecordingError::Io(self.path.clone(), error))
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{UNFINISHED}"));
    name.into()
}

/// Reads a recording.
pub struct Reader {
    path: PathBuf,
    file: FrameDecoder<BufReader<File>>,
    piece: Vec<u8>,
    /// The piece was looked at, and is another reader's.
    again: bool,
}

impl Reader {
    /// Opens a recording and reads its head.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn open(path: &Path) -> Result<(Self, Head), RecordingError> {
        let failed = |error| RecordingError::Io(path.to_owned(), error);
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(failed)?);
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(RecordingError::OtherVersion(path.to_owned()));
        }
        let mut reader = Self { path: path.to_owned(), file: FrameDecoder::new(file), piece: Vec::new(), again: false };
        match reader.piece()? {
            Piece::Head(head) => Ok((reader, head)),
            _ => Err(reader.damaged(&"no head")),
        }
    }

    /// Writes the checkpoint to `out`; false if there is none. To be asked for before the first entry.
    ///
    /// # Errors
    /// The recording is damaged, or the disk says no.
    pub fn checkpoint(&mut self, mut out: impl Write) -> Result<bool, RecordingError> {
        let mut some = false;
        loop {
            let path = self.path.clone();
            match self.piece()? {
                Piece::Checkpoint(bytes) => out.write_all(bytes).map_err(|error| RecordingError::Io(path, error))?,
                _ => break,
            }
            some = true;
        }
        self.again = true;
        Ok(some)
    }

    /// The next entry with its records; `None` at the end, once the checksum was seen to be right.
    ///
    /// # Errors
    /// The recording is damaged or breaks off.
    pub fn entry(&mut self) -> Result<Option<RawBatch>, RecordingError> {
        let order = match self.piece()? {
            Piece::Entry(order) => order,
            Piece::End => return self.end().map(|()| None),
            _ => return Err(self.damaged(&"an entry was to come")),
        };
        let (records, mut batch) = (order.records(), RawBatch::default());
        batch.order = order;
        for _ in 0..records {
            match self.piece()? {
                Piece::Record(offset, payload) => batch.push(offset, payload),
                _ => return Err(self.damaged(&"a record was to come")),
            }
        }
        Ok(Some(batch))
    }

    fn piece(&mut self) -> Result<Piece<'_>, RecordingError> {
        if !std::mem::take(&mut self.again) {
            self.read().map_err(|error| self.damaged(&error))?;
        }
        postcard::from_bytes(&self.piece).map_err(|error| RecordingError::Damaged(self.path.clone(), error.to_string()))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut len = [0; 4];
        self.file.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        if len > PIECE_BYTES_MAX {
            return Err(io::Error::other("a piece of impossible length"));
        }
        self.piece.clear();
        let read = self.file.by_ref().take(len.into()).read_to_end(&mut self.piece)?;
        if read < len as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Is there nothing more but the checksum, which is right, and the end?
    fn end(&mut self) -> Result<(), RecordingError> {
        let mut end = Vec::new();
        let more = io::copy(&mut self.file, &mut io::sink());
        let read = more.and_then(|more| self.file.get_mut().take(END.len() as u64 + 1).read_to_end(&mut end).map(|_| more));
        match read {
            Ok(0) if end == END => Ok(()),
            Ok(_) => Err(self.damaged(&"it does not end where it should")),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    fn damaged(&self, why: &impl ToString) -> RecordingError {
        RecordingError::Damaged(self.path.clone(), why.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::flow::PartitionId;

    fn batches() -> Vec<RawBatch> {
        let (first, second) = (PartitionId::new("auth-logs", 0), PartitionId::new("auth-logs", 7));
        let mut one = RawBatch::default();
        one.order = Order { first_seq: 5, arrival_ms: 9, assigned: vec![first.clone()], ..Order::default() };
        one.push_run(&first, 3, b"{}");
        one.push_run(&second, 9, &[0xff, 0]);
        let mut two = RawBatch::default();
        two.order = Order { first_seq: 7, idle: vec![second], ..Order::default() };
        vec![one, two]
    }

    fn write(path: &Path) -> Head {
        let head = Head {
            next_seq: 5,
            state_key: [3; 16],
            formats: vec![("auth-logs".into(), "auto".into())],
            retention_ms: 7,
            suppressions: Vec::new(),
        };
        let mut writer = Writer::create(path, head.clone()).unwrap();
        writer.checkpoint(&b"a checkpoint"[..]).unwrap();
        batches().iter().for_each(|batch| writer.entry(batch).unwrap());
        writer.finish().unwrap();
        head
    }

    fn read(path: &Path) -> Result<(Head, Vec<u8>, Vec<RawBatch>), RecordingError> {
        let (mut reader, head) = Reader::open(path)?;
        let (mut checkpoint, mut batches) = (Vec::new(), Vec::new());
        reader.checkpoint(&mut checkpoint)?;
        while let Some(batch) = reader.entry()? {
            batches.push(batch);
        }
        Ok((head, checkpoint, batches))
    }

    #[test]
    fn what_is_recorded_comes_out_again_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order");
        let head = write(&path);
        assert!(is_recording(&path) && !is_recording(folder.path()));
        let (read_head, checkpoint, read) = read(&path).unwrap();
        assert_eq!((read_head, checkpoint), (head, b"a checkpoint".to_vec()));
        let content = |batches: &[RawBatch]| -> Vec<_> {
            let records =
                |batch: &RawBatch| batch.iter().map(|(id, offset, bytes)| (id.clone(), offset, bytes.to_vec())).collect::<Vec<_>>();
            batches.iter().map(|batch| (batch.order.clone(), records(batch))).collect()
        };
        assert_eq!(content(&read), content(&batches()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn each_byte_that_is_cut_or_changed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order");
        write(&path);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            assert!(read(&path).is_err(), "changed at {at}");
        }
    }
}
