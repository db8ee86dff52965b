//! Files as one stream of events in order of time, for `replay`.
//!
//! Each input is read in pieces; of several inputs the event with the oldest time comes next, so that
//! logs of several hosts are judged as if they had arrived together. Within one input the order of
//! lines stays.

use super::ahead::Piece;
use super::normalise::{Counts, InputArgs, Rejects, too_long};
use crate::ingest::files::{Limits, LineReader};
use crate::normalise::{Context, Format, Normaliser};
use bartizan_core::{Event, EventBatch};
use std::io;

/// Events of one input that are read ahead.
const PIECE_EVENTS: usize = 4_096;
/// Events of one batch. Small enough to stay in a core's cache from decoding to detection; the same alerts
/// come out of any size.
const BATCH_EVENTS: usize = 256;

struct Input {
    reader: Option<LineReader>,
    number: usize,
    reference_ms: i64,
    piece: EventBatch,
    next: usize,
}

/// All inputs of a command.
pub struct Inputs<'n> {
    normaliser: &'n Normaliser,
    format: Format,
    inputs: Vec<Input>,
    rejects: Rejects,
    /// What became of the lines so far.
    pub counts: Counts,
    /// Did every input open and end as it should?
    pub whole: bool,
}

impl<'n> Inputs<'n> {
    /// Opens all inputs. One that cannot be opened is told and left out.
    ///
    /// # Errors
    /// The file of rejects cannot be made.
    pub fn open(args: &InputArgs, normaliser: &'n Normaliser) -> io::Result<Self> {
        let rejects =
            Rejects::open(args.rejects.as_deref()).map_err(|error| io::Error::new(error.kind(), format!("--rejects: {error}")))?;
        let limits = Limits { line_bytes_max: normaliser.record_bytes_max(), ..Limits::default() };
        let mut all = Self { normaliser, format: args.format, inputs: Vec::new(), rejects, counts: Counts::default(), whole: true };
        for (index, path) in args.inputs.iter().enumerate() {
            match LineReader::open(path, limits) {
                Ok(reader) => all.inputs.push(Input {
                    reference_ms: reader.modified_ms().unwrap_or_else(|| jiff::Timestamp::now().as_millisecond()),
                    reader: Some(reader),
                    number: index + 1,
                    piece: EventBatch::default(),
                    next: 0,
                }),
                Err(error) => {
                    tracing::error!(input = %path.display(), %error, "input cannot be read");
                    all.whole = false;
                }
            }
        }
        Ok(all)
    }

    /// Puts the next events in order of time into `batch`, in place of what it held; none at the end.
    ///
    /// # Errors
    /// The file of rejects cannot be written.
    pub fn next_batch(&mut self, batch: &mut EventBatch) -> io::Result<()> {
        batch.clear();
        if let [only] = self.inputs.as_mut_slice() {
            let mut sink = Sink { normaliser: self.normaliser, format: self.format, rejects: &mut self.rejects, counts: &mut self.counts };
            self.whole &= sink.fill(only, BATCH_EVENTS, batch)?;
            return Ok(());
        }
        while batch.len() < BATCH_EVENTS {
            for input in &mut self.inputs {
                let mut sink =
                    Sink { normaliser: self.normaliser, format: self.format, rejects: &mut self.rejects, counts: &mut self.counts };
                self.whole &= sink.refill(input)?;
            }
            let oldest = self.inputs.iter_mut().filter(|input| input.head().is_some());
            let Some(input) = oldest.min_by_key(|input| input.head().map_or(i64::MAX, |event| event.time_ms())) else { break };
            if let Some(event) = input.head() {
                batch.copy(&event);
            }
            input.next += 1;
        }
        Ok(())
    }

    /// Writes out what is still in memory.
    ///
    /// # Errors
    /// The file of rejects cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.rejects.finish()
    }
}

/// The one input of a command, taken out to be prepared on several threads.
pub struct Single {
    /// Its lines.
    pub reader: LineReader,
    /// Its number among the inputs.
    pub number: usize,
    /// About when it was written.
    pub reference_ms: i64,
}

impl<'n> Inputs<'n> {
    /// Takes the input out if there is only one.
    pub fn take_single(&mut self) -> Option<Single> {
        let [only] = self.inputs.as_mut_slice() else { return None };
        Some(Single { reader: only.reader.take()?, number: only.number, reference_ms: only.reference_ms })
    }

    /// The format of all inputs.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What lines are made into events with.
    #[must_use]
    pub fn normaliser(&self) -> &'n Normaliser {
        self.normaliser
    }

    /// Counts the lines of a piece of the input `name` and writes those that were rejected.
    ///
    /// # Errors
    /// The file of rejects cannot be written.
    pub fn count(&mut self, name: &str, piece: &Piece) -> io::Result<()> {
        self.counts.events += piece.events.len() as u64;
        self.counts.skipped += piece.skipped;
        let rejected = piece.rejected();
        self.counts.rejected += rejected.len() as u64;
        for (line, reject) in rejected {
            if let Some(line) = line {
                self.rejects.write(name, &line, reject)?;
            }
        }
        if let Some(error) = &piece.broken {
            tracing::error!(input = %name, %error, "input breaks off");
            self.whole = false;
        }
        Ok(())
    }
}

impl Input {
    fn head(&self) -> Option<Event<'_>> {
        self.piece.get(self.next)
    }
}

/// Turns lines into events and counts what becomes of them.
struct Sink<'s> {
    normaliser: &'s Normaliser,
    format: Format,
    rejects: &'s mut Rejects,
    counts: &'s mut Counts,
}

impl Sink<'_> {
    /// Reads ahead if an input has nothing ready; false if it breaks off.
    fn refill(&mut self, input: &mut Input) -> io::Result<bool> {
        if input.head().is_some() || input.reader.is_none() {
            return Ok(true);
        }
        input.next = 0;
        let mut piece = EventBatch::with_capacity(PIECE_EVENTS);
        let whole = self.fill(input, PIECE_EVENTS, &mut piece)?;
        input.piece = piece;
        Ok(whole)
    }

    /// Appends up to `events_max` events of an input; false if it breaks off.
    fn fill(&mut self, input: &mut Input, events_max: usize, batch: &mut EventBatch) -> io::Result<bool> {
        let Some(reader) = &mut input.reader else { return Ok(true) };
        let name = reader.name().to_owned();
        while batch.len() < events_max {
            let line = match reader.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    input.reader = None;
                    return Ok(true);
                }
                Err(error) => {
                    tracing::error!(input = %name, %error, "input breaks off");
                    input.reader = None;
                    return Ok(false);
                }
            };
            let default_id = format_args!("{}:{}", input.number, line.number);
            let context = Context { default_id: &default_id, tenant: None, window: None, reference_ms: input.reference_ms };
            let result = match line.skipped_bytes {
                Some(_) => Err(too_long(self.normaliser.record_bytes_max())),
                None => self.normaliser.normalise_into(self.format, line.bytes, &context, batch),
            };
            match result {
                Ok(true) => self.counts.events += 1,
                Ok(false) => self.counts.skipped += 1,
                Err(reject) => {
                    self.counts.rejected += 1;
                    self.rejects.write(&name, &line, &reject)?;
                }
            }
        }
        Ok(true)
    }
}
