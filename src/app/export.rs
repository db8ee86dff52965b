//! Writes what was judged since the oldest checkpoint into one file: that checkpoint, the recorded order since,
//! and its records, read again from the log. A daemon may run beside it; nothing is changed.

use super::daemon::CHECKPOINTS;
use super::log::JOURNAL;
use super::{is_installed, open_database, secrets};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Db, DbError, lessons, suppressions};
use crate::detect::checkpoint::{CheckpointError, Checkpoints, Header, Saved};
use crate::flow::{Order, Positions, Start};
use crate::log::journal::Journal;
use crate::log::kafka::Assigned;
use crate::log::recording::{Head, RecordingError, Writer};
use crate::log::sequencer::Sequencer;
use crate::log::{Committer as _, LogError, Notice, Source};
use crate::teach;
use bartizan_core::time::DAY_MS;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A daemon beside it may drop the oldest checkpoint while it is looked at.
const TRIES: usize = 5;
/// How long one call waits for records.
const FETCH_WAIT: Duration = Duration::from_millis(100);
/// How long the log may give nothing although there should be more.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no installation.
    #[error("{0} holds no data of a daemon")]
    NotInstalled(PathBuf),
    /// The database says no.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file cannot be written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The log gives other records than those that were judged.
    #[error("the log no longer holds all records of the order (sequence number {0})")]
    Gone(u64),
    /// The log gives nothing.
    #[error("the log gives no records, although there should be more")]
    Silent,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exported {
    /// Sequence number of the first record.
    pub first_seq: u64,
    /// Entries of the order.
    pub entries: u64,
    /// Their records.
    pub records: u64,
}

/// Writes the recorded order to `out`.
///
/// # Errors
/// See [`ExportError`].
pub fn export(config: &Config, out: &Path) -> Result<Exported, ExportError> {
    if !is_installed(config) {
        return Err(ExportError::NotInstalled(config.data_dir.clone()));
    }
    let db = open_database(config)?;
    let start = Beginning::find(config, &db)?;
    let mut formats: Vec<_> = config.kafka.iter().flat_map(|kafka| &kafka.topics).collect();
    formats.sort_by(|a, b| a.name.cmp(&b.name));
    let head = Head {
        next_seq: start.start.next_seq,
        state_key: secrets::state_key(&db)?,
        formats: formats.into_iter().map(|topic| (topic.name.clone(), topic.format.clone())).collect(),
        retention_ms: i64::from(config.store.retention_days) * DAY_MS,
        suppressions: db.read(suppressions::all)?,
        lessons: db.read(|connection| lessons::after(connection, teach::version_in(&start.start.in_force)))?,
    };
    let mut writer = Writer::create(out, head)?;
    let mut exported = Exported { first_seq: start.start.next_seq, ..Exported::default() };
    if let Some(checkpoint) = start.checkpoint {
        writer.checkpoint(checkpoint)?;
    }
    let start = start.start;
    match &config.kafka {
        Some(kafka) if !start.recorded.is_empty() => {
            let sequencer = Sequencer::new(start.clone(), false);
            let source = Assigned::open(kafka, sequencer.start())?;
            copy(source, sequencer, Until::Order(&start.recorded), &mut writer, &mut exported)?;
        }
        Some(_) => {}
        None => {
            let path = config.data_dir.join(JOURNAL);
            let (journal, _writer) = Journal::at_rest(&path, &config.journal, Clock::system())?;
            let source = journal.source(&path, &start.positions)?;
            let sequencer = Sequencer::new(start, true);
            copy(source, sequencer, Until::Ends(&journal.ends()), &mut writer, &mut exported)?;
        }
    }
    writer.finish()?;
    Ok(exported)
}

/// Where the order begins.
struct Beginning {
    /// The oldest checkpoint; none: with nothing.
    checkpoint: Option<File>,
    start: Start,
}

impl Beginning {
    fn find(config: &Config, db: &Db) -> Result<Self, ExportError> {
        let checkpoints = Checkpoints::at(&config.data_dir.join(CHECKPOINTS));
        let mut tries = 0;
        loop {
            tries += 1;
            let oldest = checkpoints.oldest()?;
            let found = Self::at(oldest.as_deref(), db, config.kafka.is_some());
            // Unless it is still there, the order may have been cut behind it meanwhile.
            if checkpoints.oldest()? == oldest || tries == TRIES {
                return found;
            }
        }
    }

    fn at(checkpoint: Option<&Path>, db: &Db, merged: bool) -> Result<Self, ExportError> {
        let recorded = |next_seq, arrival_ms| if merged { db.orders_from(next_seq) } else { db.changes_after(arrival_ms) };
        let Some(path) = checkpoint else {
            return Ok(Self { checkpoint: None, start: Start { recorded: recorded(0, i64::MIN)?, ..Start::default() } });
        };
        let open = || File::open(path).map_err(CheckpointError::Io);
        let Header { next_seq, positions, arrival_ms, in_force, .. } = Saved::of(path, Box::new(open()?))?.header()?;
        let start = Start { positions, next_seq, in_force, recorded: recorded(next_seq, arrival_ms)? };
        Ok(Self { checkpoint: Some(open()?), start })
    }
}

/// What is copied.
#[derive(Clone, Copy)]
enum Until<'o> {
    /// These entries.
    Order(&'o [Order]),
    /// What lies before these offsets of a log that is its own order.
    Ends(&'o Positions),
}

impl Until<'_> {
    fn is_done(self, sequencer: &Sequencer) -> bool {
        match self {
            Self::Order(_) => !sequencer.is_repeating(),
            Self::Ends(ends) => {
                let position = |partition| sequencer.positions().get(partition).copied().unwrap_or(0);
                ends.iter().all(|(partition, end)| position(partition) >= *end)
            }
        }
    }
}

/// Copies the entries of the order with their records.
fn copy(
    mut source: impl Source,
    mut sequencer: Sequencer,
    until: Until<'_>,
    writer: &mut Writer,
    exported: &mut Exported,
) -> Result<(), ExportError> {
    let mut recorded = if let Until::Order(orders) = until { Some(orders.iter()) } else { None };
    let (mut notices, mut last) = (Vec::new(), Instant::now());
    while !until.is_done(&sequencer) {
        source.hold(&sequencer.full())?;
        source.fetch(FETCH_WAIT, &mut notices)?;
        for notice in notices.drain(..) {
            if let Notice::Gone(..) = notice {
                return Err(ExportError::Gone(exported.first_seq));
            }
            sequencer.accept(notice);
        }
        while !until.is_done(&sequencer)
            && let Some(batch) = sequencer.next(0)
        {
            if recorded.as_mut().is_some_and(|recorded| recorded.next() != Some(&batch.order)) {
                return Err(ExportError::Gone(batch.order.first_seq));
            }
            writer.entry(&batch)?;
            exported.entries += 1;
            exported.records += batch.len() as u64;
            last = Instant::now();
        }
        if last.elapsed() > SILENCE_MAX {
            return Err(ExportError::Silent);
        }
    }
    Ok(())
}
