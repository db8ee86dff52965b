//! Prepares the pieces of one input on several threads, ahead of the detectors, and hands them out in order.
//!
//! Whoever has nothing to do takes the next piece: it reads lines under a lock, then normalises, enriches
//! and hashes them alone. The thread that detects is one of them, so that all threads have work however
//! long either half of it takes. Pieces prepared and not yet taken are bounded.

use super::normalise::too_long;
use crate::enrich::{AddressCache, Enricher};
use crate::ingest::files::{Line, LineReader};
use crate::normalise::{Context, Format, Normaliser, Reject};
use bartizan_core::{EventBatch, KeyHasher};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;

/// Lines of one piece: enough that handing it over costs nothing beside it.
const PIECE_LINES: usize = 1_024;
/// Bytes of one piece, beyond which it takes no further line.
const PIECE_BYTES: usize = 16 << 20;
/// Pieces that one thread may be ahead.
const AHEAD_MAX: u64 = 3;

/// What pieces are prepared with.
pub struct Means<'m> {
    /// Makes events of lines.
    pub normaliser: &'m Normaliser,
    /// The input's format.
    pub format: Format,
    /// About when the input was written, for times without a year.
    pub reference_ms: i64,
    /// The input's number among all, for default ids.
    pub input: usize,
    /// Knows places and networks.
    pub enricher: &'m Enricher,
    /// Hashes keys.
    pub hasher: &'m KeyHasher,
}

/// A line within a piece.
struct RawLine {
    number: u64,
    start: usize,
    len: usize,
    skipped_bytes: Option<u64>,
}

/// Some lines and what became of them.
#[derive(Default)]
pub struct Piece {
    number: u64,
    bytes: Vec<u8>,
    lines: Vec<RawLine>,
    rejected: Vec<(usize, Reject)>,
    /// The events, enriched, with their keys hashed.
    pub events: EventBatch,
    /// Lines that hold nothing for us.
    pub skipped: u64,
    /// Why the input breaks off behind these lines.
    pub broken: Option<io::Error>,
}

impl Piece {
    fn line(&self, index: usize) -> Option<Line<'_>> {
        let RawLine { number, start, len, skipped_bytes } = *self.lines.get(index)?;
        Some(Line { number, bytes: self.bytes.get(start..start + len)?, skipped_bytes })
    }

    /// The lines that broke a rule, each with the reason.
    pub fn rejected(&self) -> impl ExactSizeIterator<Item = (Option<Line<'_>>, &Reject)> {
        self.rejected.iter().map(|(index, reject)| (self.line(*index), reject))
    }

    fn reset(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.rejected.clear();
        self.events.clear();
        (self.skipped, self.broken) = (0, None);
    }

    /// Takes the next lines; false if there are none.
    fn read(&mut self, reader: &mut LineReader) -> bool {
        while self.lines.len() < PIECE_LINES && self.bytes.len() < PIECE_BYTES {
            match reader.next_line() {
                Ok(Some(line)) => {
                    let (number, start, len) = (line.number, self.bytes.len(), line.bytes.len());
                    self.lines.push(RawLine { number, start, len, skipped_bytes: line.skipped_bytes });
                    self.bytes.extend_from_slice(line.bytes);
                }
                Ok(None) => return !self.lines.is_empty(),
                Err(error) => {
                    self.broken = Some(error);
                    return true;
                }
            }
        }
        true
    }

    fn prepare(&mut self, means: &Means<'_>, cache: &mut AddressCache) {
        for (index, line) in self.lines.iter().enumerate() {
            let default_id = format_args!("{}:{}", means.input, line.number);
            let context = Context { default_id: &default_id, tenant: None, window: None, reference_ms: means.reference_ms };
            let bytes = self.bytes.get(line.start..line.start + line.len).unwrap_or_default();
            let result = match line.skipped_bytes {
                Some(_) => Err(too_long(means.normaliser.record_bytes_max())),
                None => means.normaliser.normalise_into(means.format, bytes, &context, &mut self.events),
            };
            match result {
                Ok(true) => {}
                Ok(false) => self.skipped += 1,
                Err(reject) => self.rejected.push((index, reject)),
            }
        }
        means.enricher.enrich(&mut self.events, cache);
        self.events.hash_keys(means.hasher);
    }
}

/// A helper that fails ends it for all, so that nobody waits for its piece. Whoever joins it sees the failure.
struct EndOnPanic<'a, 'm>(&'a Ahead<'m>);

impl Drop for EndOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

/// The input, and the number of its next piece.
struct Reading {
    reader: Option<LineReader>,
    next: u64,
    /// Pieces to be used again, for their memory.
    spare: Vec<Piece>,
}

/// Pieces that are ready or on their way.
#[derive(Default)]
struct Ready {
    pieces: BTreeMap<u64, Piece>,
    /// The next to be handed out.
    next: u64,
    /// How many there are in all, once that is known.
    all: Option<u64>,
    /// Nobody wants any more.
    over: bool,
}

/// Prepares the pieces of one input.
pub struct Ahead<'m> {
    means: Means<'m>,
    ahead_max: u64,
    reading: Mutex<Reading>,
    ready: Mutex<Ready>,
    changed: Condvar,
}

impl<'m> Ahead<'m> {
    /// Prepares `reader`'s lines on `threads` threads: this one, when it asks, and as many helpers as
    /// call [`Self::help`].
    #[must_use]
    pub fn new(reader: LineReader, means: Means<'m>, threads: usize) -> Self {
        let reading = Mutex::new(Reading { reader: Some(reader), next: 0, spare: Vec::new() });
        Self { means, ahead_max: AHEAD_MAX * threads as u64, reading, ready: Mutex::default(), changed: Condvar::new() }
    }

    /// Prepares pieces until there are none left.
    pub fn help(&self) {
        let _end = EndOnPanic(self);
        let mut cache = self.means.enricher.cache();
        loop {
            let mut reading = self.reading.lock();
            let mut ready = self.ready.lock();
            while !ready.over && ready.all.is_none() && reading.next >= ready.next + self.ahead_max {
                // The reader's lock is given up meanwhile, so that the others see the same.
                drop(reading);
                self.changed.wait(&mut ready);
                drop(ready);
                reading = self.reading.lock();
                ready = self.ready.lock();
            }
            if ready.over || ready.all.is_some() {
                return;
            }
            drop(ready);
            if let Some(piece) = self.read(&mut reading) {
                drop(reading);
                self.prepare(piece, &mut cache);
            }
        }
    }

    /// The next piece in order; `None` after the last one. Prepares pieces itself while that one is on its way.
    pub fn next(&self, cache: &mut AddressCache) -> Option<Piece> {
        loop {
            let mut ready = self.ready.lock();
            let number = ready.next;
            if let Some(piece) = ready.pieces.remove(&number) {
                ready.next += 1;
                self.changed.notify_all();
                return Some(piece);
            }
            if ready.all == Some(number) || ready.over {
                return None;
            }
            let may_read = ready.all.is_none();
            let reading = if may_read { self.reading.try_lock() } else { None };
            match reading.filter(|reading| reading.next < number + self.ahead_max) {
                Some(mut reading) => {
                    drop(ready);
                    if let Some(piece) = self.read(&mut reading) {
                        drop(reading);
                        self.prepare(piece, cache);
                    }
                }
                None => self.changed.wait(&mut ready),
            }
        }
    }

    /// Takes a piece back, to use its memory again.
    pub fn give_back(&self, piece: Piece) {
        if let Some(mut reading) = self.reading.try_lock() {
            reading.spare.push(piece);
        }
    }

    /// Ends the helpers.
    pub fn end(&self) {
        self.ready.lock().over = true;
        self.changed.notify_all();
    }

    fn read(&self, reading: &mut Reading) -> Option<Piece> {
        let mut piece = reading.spare.pop().unwrap_or_default();
        piece.reset();
        let more = reading.reader.as_mut().is_some_and(|reader| piece.read(reader));
        if !more || piece.broken.is_some() {
            reading.reader = None;
        }
        if more {
            piece.number = reading.next;
            reading.next += 1;
            return Some(piece);
        }
        self.ready.lock().all = Some(reading.next);
        self.changed.notify_all();
        None
    }

    fn prepare(&self, mut piece: Piece, cache: &mut AddressCache) {
        piece.prepare(&self.means, cache);
        self.ready.lock().pieces.insert(piece.number, piece);
        self.changed.notify_all();
    }
}
