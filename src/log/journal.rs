//! The local journal: the log when there is no Kafka.
//!
//! One SQLite file in WAL mode with `synchronous = FULL`; one row holds one group of records that were
//! made durable together, compressed. A writer thread gathers what waits and commits it in one
//! transaction, so that many small requests share one fsync. Each topic has one partition, and the
//! arrival of a group is recorded with it, so the journal is the recorded order: two topics are read (what people
//! send, and the canary), group by group as they were written.
//!
//! It is bounded on disk: the ingest topic refuses when it is full (nothing is dropped), the topics
//! that nobody acknowledges (alerts, dead letters), and the canary's, lose their oldest group. Pages are reused, the file
//! does not shrink below its high-water mark.

use super::{Appender, Appending, Committer, INGEST_TOPIC, LogError, Notice, Outgoing, Source};
use crate::canary;
use crate::clock::Clock;
use crate::flow::{PartitionId, Positions};
use crate::log::Fetched;
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const SCHEMA: &str = include_str!("../../deploy/sqlite/journal.sql");
const ZSTD_LEVEL: i32 = 1;
/// How often a full journal says that all of it was read.
const TOLD_FULL: Duration = Duration::from_secs(1);

/// `[journal]`: the local journal, used where no Kafka is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Compressed bytes of records that are not behind a checkpoint yet; when it is full, ingest
    /// answers 429. Default 1 GiB.
    pub bytes_max: u64,
    /// Compressed bytes that a topic without a reader (alerts, dead letters) may hold; past them it
    /// loses its oldest group. Default 64 MiB.
    pub unread_topic_bytes_max: u64,
    /// Records of one group; the append that passes it is its last. Default 20,000.
    pub group_records_max: usize,
    /// Bytes of one group, not compressed, likewise. Default 16 MiB.
    pub group_bytes_max: usize,
    /// Appends that wait for the writer; more are refused with [`LogError::Full`]. Default 1,024.
    pub appends_waiting_max: usize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            bytes_max: 1 << 30,
            unread_topic_bytes_max: 64 << 20,
            group_records_max: 20_000,
            group_bytes_max: 16 << 20,
            appends_waiting_max: 1_024,
        }
    }
}

impl JournalConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            bytes_max: 1..=1 << 50,
            unread_topic_bytes_max: 1..=1 << 50,
            group_records_max: 1..=10_000_000,
            group_bytes_max: 1..=256 << 20,
            appends_waiting_max: 1..=1_000_000,
        )
        .collect()
    }
}

/// One record as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    headers: Vec<(String, Vec<u8>)>,
    payload: Vec<u8>,
}

struct Waiting {
    topic: String,
    records: Vec<Outgoing>,
    done: oneshot::Sender<Result<(), LogError>>,
}

/// The topics that are read.
const READ: [&str; 2] = [INGEST_TOPIC, canary::TOPIC];

/// The one partition of a topic.
fn partition(topic: &str) -> PartitionId {
    PartitionId::new(topic, 0)
}

/// What the writer and the readers share.
#[derive(Debug, Default)]
struct Shared {
    /// The offset after the newest record of each topic of [`READ`].
    ends: Mutex<[i64; READ.len()]>,
    grown: Condvar,
    ingest_bytes: std::sync::atomic::AtomicU64,
}

/// The journal, for appending and committing.
#[derive(Clone)]
pub struct Journal {
    writer: SyncSender<Waiting>,
    shared: Arc<Shared>,
    connection: Arc<Mutex<Connection>>,
    bytes_max: u64,
}

impl Journal {
    /// Opens or makes the journal at `path`.
    ///
    /// # Errors
    /// The file cannot be opened or is no journal.
    pub fn open(path: &Path, config: &JournalConfig) -> Result<Self, LogError> {
        let (journal, writer) = Self::at_rest(path, config, Clock::system())?;
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| LogError::Fatal(error.to_string()))?;
        Ok(journal)
    }

    /// The same with its writer, which writes nothing until it is driven.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn at_rest(path: &Path, config: &JournalConfig, clock: Clock) -> Result<(Self, Writer), LogError> {
        let connection = connect(path)?;
        connection.execute_batch(SCHEMA).map_err(fatal)?;
        let shared = Arc::new(Shared::default());
        for (topic, end) in READ.iter().zip(shared.ends.lock().iter_mut()) {
            *end = next_offset(&connection, topic).map_err(fatal)?;
        }
        let held: i64 = connection
            .query_row("SELECT coalesce(sum(length(payload)), 0) FROM groups WHERE topic = ?1", [INGEST_TOPIC], |row| row.get(0))
            .map_err(fatal)?;
        shared.ingest_bytes.store(held.max(0) as u64, std::sync::atomic::Ordering::Relaxed);
        let (writer, waiting) = sync_channel(config.appends_waiting_max);
        let own = Writer { connection: connect(path)?, waiting, shared: Arc::clone(&shared), clock, config: config.clone() };
        Ok((Self { writer, shared, connection: Arc::new(Mutex::new(connection)), bytes_max: config.bytes_max }, own))
    }

    /// A reader of the ingest and the canary's topic from `start` on; where that says nothing, from the beginning.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn source(&self, path: &Path, start: &Positions) -> Result<JournalSource, LogError> {
        let (mut positions, mut gone) = ([0; READ.len()], Vec::new());
        for (topic, position) in READ.iter().zip(&mut positions) {
            let wanted = start.get(&partition(topic)).copied().unwrap_or(0);
            let first: Option<i64> = self
                .connection
                .lock()
                .query_row("SELECT min(first) FROM groups WHERE topic = ?1", [topic], |row| row.get(0))
                .map_err(fatal)?;
            *position = first.map_or(wanted, |first| first.max(wanted));
            // Nobody misses an old canary.
            if *position > wanted && *topic == INGEST_TOPIC {
                gone.push(Notice::Gone(partition(topic), wanted, *position));
            }
        }
        Ok(JournalSource {
            connection: connect(path)?,
            shared: Arc::clone(&self.shared),
            positions,
            gone,
            told: false,
            paused: false,
            bytes_max: self.bytes_max,
            told_full: None,
        })
    }

    /// Bytes of ingest records that are not behind a checkpoint yet.
    #[must_use]
    pub fn ingest_bytes(&self) -> u64 {
        self.shared.ingest_bytes.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Appender for Journal {
    fn append<'a>(&'a self, topic: &'a str, records: Vec<Outgoing>) -> Appending<'a> {
        Box::pin(async move {
            let bytes = self.ingest_bytes();
            if topic == INGEST_TOPIC && bytes >= self.bytes_max && !sabotaged!(JournalLimitIgnored) {
                return Err(LogError::Full { bytes, bytes_max: self.bytes_max });
            }
            let (done, wait) = oneshot::channel();
            self.writer.try_send(Waiting { topic: topic.to_owned(), records, done }).map_err(|error| match error {
                TrySendError::Full(_) => LogError::Full { bytes, bytes_max: self.bytes_max },
                TrySendError::Disconnected(_) => LogError::Fatal("the journal's writer has stopped".to_owned()),
            })?;
            if sabotaged!(AnsweredBeforeDurable) {
                return Ok(());
            }
            wait.await.unwrap_or_else(|_| Err(LogError::Fatal("the journal's writer has stopped".to_owned())))
        })
    }
}

impl Committer for Journal {
    fn commit(&self, _newest: &Positions, oldest: &Positions) -> Result<(), LogError> {
        let connection = self.connection.lock();
        // The newest group always stays: the next offset derives from it.
        let sql = "DELETE FROM groups WHERE topic = ?1 AND first + records <= ?2
                   AND first < (SELECT max(first) FROM groups WHERE topic = ?1) RETURNING length(payload)";
        let mut statement = connection.prepare_cached(sql).map_err(retry)?;
        for topic in READ {
            let Some(position) = oldest.get(&partition(topic)) else { continue };
            let position = position + i64::from(sabotaged!(JournalCutTooFar)) * 200;
            let freed = statement.query_map(params![topic, position], |row| row.get::<_, i64>(0)).map_err(retry)?;
            let freed: i64 = freed.collect::<Result<Vec<_>, _>>().map_err(retry)?.into_iter().sum();
            if topic == INGEST_TOPIC {
                self.shared.ingest_bytes.fetch_sub(freed.max(0) as u64, std::sync::atomic::Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The canary's topic counts once there is anything in it.
    fn ends(&self) -> Positions {
        let ends = *self.shared.ends.lock();
        let held = READ.iter().zip(ends).filter(|(topic, end)| **topic == INGEST_TOPIC || *end > 0);
        held.map(|(topic, end)| (partition(topic), end)).collect()
    }

    fn is_full(&self) -> bool {
        self.ingest_bytes() >= self.bytes_max
    }
}

/// Reads the ingest and the canary's topic.
pub struct JournalSource {
    connection: Connection,
    shared: Arc<Shared>,
    /// The next offset of each topic of [`READ`].
    positions: [i64; READ.len()],
    gone: Vec<Notice>,
    told: bool,
    paused: bool,
    bytes_max: u64,
    told_full: Option<Instant>,
}

impl Source for JournalSource {
    fn fetch(&mut self, timeout: Duration, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        if !std::mem::replace(&mut self.told, true) {
            notices.push(Notice::Assigned(READ.iter().zip(self.positions).map(|(topic, at)| (partition(topic), at)).collect()));
            notices.append(&mut self.gone);
        }
        if self.paused {
            std::thread::park_timeout(timeout);
            return Ok(());
        }
        {
            let mut ends = self.shared.ends.lock();
            if self.has_read(&ends) {
                self.shared.grown.wait_for(&mut ends, timeout);
            }
            if self.has_read(&ends) {
                drop(ends);
                if self.waits_for_room() {
                    notices.push(Notice::End(partition(INGEST_TOPIC)));
                }
                return Ok(());
            }
        }
        if let Some(Group { number, first, arrival_ms, payload }) = self.next_group()? {
            let (Some(topic), Some(position)) = (READ.get(number), self.positions.get_mut(number)) else { return Ok(()) };
            let records = decode(&payload)?;
            let skip = usize::try_from(*position - first).unwrap_or(0);
            let fetched = records.into_iter().enumerate().skip(skip).map(|(index, kept)| Fetched {
                offset: first + index as i64,
                timestamp_ms: arrival_ms,
                payload: kept.payload,
            });
            let fetched: Vec<_> = fetched.collect();
            // Of the canary's, groups in between may be gone.
            *position = fetched.last().map_or(*position, |last| last.offset + 1);
            notices.push(Notice::Records(partition(topic), fetched));
        }
        Ok(())
    }

    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), LogError> {
        self.paused = !partitions.is_empty();
        Ok(())
    }

    /// The journal's one partition is never lost.
    fn resume_at(&mut self, _positions: &Positions) {}

    fn keeps_order(&self) -> bool {
        true
    }
}

/// A group as it was written, with the number of its topic in [`READ`].
struct Group {
    number: usize,
    first: i64,
    arrival_ms: i64,
    payload: Vec<u8>,
}

impl JournalSource {
    /// Is everything read and the journal full all the same, so that nothing can come before a checkpoint
    /// gives room? The end of the partition is told again and again then: it takes a number in the order,
    /// and so lets a checkpoint follow.
    fn waits_for_room(&mut self) -> bool {
        let full = self.shared.ingest_bytes.load(std::sync::atomic::Ordering::Relaxed) >= self.bytes_max;
        let told = full && self.told_full.is_none_or(|told| told.elapsed() >= TOLD_FULL);
        if told && !sabotaged!(FullJournalWaits) {
            self.told_full = Some(Instant::now());
            return true;
        }
        false
    }

    /// Are all topics read to these ends?
    fn has_read(&self, ends: &[i64; READ.len()]) -> bool {
        self.positions.iter().zip(ends).all(|(position, end)| end <= position)
    }

    /// Of the groups that hold a position the one that was written first.
    fn next_group(&self) -> Result<Option<Group>, LogError> {
        let sql = "SELECT rowid FROM groups WHERE topic = ?1 AND first + records > ?2 ORDER BY first LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql).map_err(retry)?;
        let mut next: Option<(i64, usize)> = None;
        for (number, (topic, position)) in READ.iter().zip(self.positions).enumerate() {
            let row: Option<i64> = statement.query_row(params![topic, position], |row| row.get(0)).optional().map_err(retry)?;
            next = next.into_iter().chain(row.map(|row| (row, number))).min();
        }
        let Some((row, number)) = next else { return Ok(None) };
        let mut statement =
            self.connection.prepare_cached("SELECT first, arrival_ms, payload FROM groups WHERE rowid = ?1").map_err(retry)?;
        let group =
            statement.query_row([row], |row| Ok(Group { number, first: row.get(0)?, arrival_ms: row.get(1)?, payload: row.get(2)? }));
        group.optional().map_err(retry)
    }
}

fn decode(payload: &[u8]) -> Result<Vec<Kept>, LogError> {
    let bytes = zstd::stream::decode_all(payload).map_err(|error| LogError::Fatal(format!("journal: {error}")))?;
    postcard::from_bytes(&bytes).map_err(|error| LogError::Fatal(format!("journal: {error}")))
}

fn connect(path: &Path) -> Result<Connection, LogError> {
    let connection = Connection::open(path).map_err(fatal)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(fatal)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fatal)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fatal)?;
    Ok(connection)
}

fn next_offset(connection: &Connection, topic: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce((SELECT first + records FROM groups WHERE topic = ?1 ORDER BY first DESC LIMIT 1), 0)";
    connection.query_row(sql, [topic], |row| row.get(0))
}

/// Headers and payload of a record that nobody but people reads.
#[cfg(test)]
pub(crate) type Unread = (Vec<(String, Vec<u8>)>, Vec<u8>);

/// All records of a topic that the journal at `path` holds.
#[cfg(test)]
pub(crate) fn read_topic(path: &Path, topic: &str) -> Result<Vec<Unread>, LogError> {
    let connection = connect(path)?;
    let mut statement = connection.prepare("SELECT payload FROM groups WHERE topic = ?1 ORDER BY first").map_err(fatal)?;
    let payloads = statement.query_map([topic], |row| row.get::<_, Vec<u8>>(0)).map_err(fatal)?;
    let mut records = Vec::new();
    for payload in payloads {
        records.extend(decode(&payload.map_err(fatal)?)?.into_iter().map(|kept| (kept.headers, kept.payload)));
    }
    Ok(records)
}

/// Gathers what waits and makes it durable.
pub(crate) struct Writer {
    connection: Connection,
    waiting: Receiver<Waiting>,
    shared: Arc<Shared>,
    clock: Clock,
    config: JournalConfig,
}

impl Writer {
    /// Writes until all handles of the journal are gone.
    fn run(mut self) {
        while let Ok(first) = self.waiting.recv() {
            self.write_group(first);
        }
    }

    /// Writes one group if anything waits, unless `may` says no: then what waits is lost.
    #[cfg(test)]
    pub(crate) fn turn(&mut self, may: impl FnOnce() -> bool) {
        if let Ok(first) = self.waiting.try_recv()
            && may()
        {
            self.write_group(first);
        }
    }

    /// Writes `first` and what waits behind it, as far as it fits into a group.
    fn write_group(&mut self, first: Waiting) {
        let mut group = vec![first];
        let size = |waiting: &Waiting| waiting.records.iter().map(|record| record.payload.len()).sum::<usize>();
        let (mut records, mut bytes) = group.iter().fold((0, 0), |(n, b), one| (n + one.records.len(), b + size(one)));
        while records < self.config.group_records_max && bytes < self.config.group_bytes_max {
            let Ok(next) = self.waiting.try_recv() else { break };
            (records, bytes) = (records + next.records.len(), bytes + size(&next));
            group.push(next);
        }
        let (pieces, done): (Vec<_>, Vec<_>) = group.into_iter().map(|one| ((one.topic, one.records), one.done)).unzip();
        let result = self.write(pieces);
        for done in done {
            let copy = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(LogError::Retry(format!("journal: {error}"))),
            };
            // The request may have been given up meanwhile; the records are durable all the same.
            done.send(copy).ok();
        }
    }

    /// Writes what waited, one row for each topic, in one transaction.
    fn write(&mut self, pieces: Vec<(String, Vec<Outgoing>)>) -> Result<(), Box<dyn std::error::Error>> {
        let mut topics = std::collections::BTreeMap::<String, Vec<Kept>>::new();
        for (topic, records) in pieces {
            let keep = |record: Outgoing| Kept {
                key: record.key,
                headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                payload: record.payload,
            };
            topics.entry(topic).or_default().extend(records.into_iter().map(keep));
        }
        let arrival_ms = self.clock.now_ms();
        let tx = self.connection.transaction()?;
        let (mut grown, mut ingest_bytes) = ([None; READ.len()], 0);
        for (topic, kept) in topics.iter().filter(|(_, kept)| !kept.is_empty()) {
            let first = next_offset(&tx, topic)?;
            let payload = zstd::bulk::compress(&postcard::to_allocvec(kept)?, ZSTD_LEVEL)?;
            let sql = "INSERT INTO groups (topic, first, records, arrival_ms, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.execute(sql, params![topic, first, kept.len() as i64, arrival_ms, payload])?;
            if let Some((_, end)) = READ.iter().zip(&mut grown).find(|(read, _)| *read == topic) {
                *end = Some(first + kept.len() as i64);
            }
            if topic == INGEST_TOPIC {
                ingest_bytes = payload.len() as u64;
            } else {
                trim(&tx, topic, self.config.unread_topic_bytes_max)?;
            }
        }
        tx.commit()?;
        self.shared.ingest_bytes.fetch_add(ingest_bytes, std::sync::atomic::Ordering::Relaxed);
        if grown.iter().any(Option::is_some) {
            let mut ends = self.shared.ends.lock();
            ends.iter_mut().zip(grown).for_each(|(end, grown)| *end = grown.unwrap_or(*end));
            self.shared.grown.notify_all();
        }
        Ok(())
    }
}

/// Drops the oldest groups of a topic that nobody reads.
fn trim(tx: &rusqlite::Transaction<'_>, topic: &str, bytes_max: u64) -> rusqlite::Result<()> {
    let held = |tx: &rusqlite::Transaction<'_>| -> rusqlite::Result<i64> {
        tx.query_row("SELECT sum(length(payload)) FROM groups WHERE topic = ?1", [topic], |row| row.get(0))
    };
    while held(tx)?.max(0) as u64 > bytes_max {
        tx.execute("DELETE FROM groups WHERE topic = ?1 AND first = (SELECT min(first) FROM groups WHERE topic = ?1)", [topic])?;
    }
    Ok(())
}

fn fatal(error: rusqlite::Error) -> LogError {
    LogError::Fatal(format!("journal: {error}"))
}

fn retry(error: rusqlite::Error) -> LogError {
    LogError::Retry(format!("journal: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn open(path: &Path, bytes_max: u64) -> Journal {
        Journal::open(path, &JournalConfig { bytes_max, ..JournalConfig::default() }).unwrap()
    }

    fn record(text: &str) -> Outgoing {
        Outgoing { payload: text.as_bytes().to_vec(), ..Outgoing::default() }
    }

    fn read_all(source: &mut JournalSource) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        loop {
            let mut notices = Vec::new();
            source.fetch(Duration::ZERO, &mut notices).unwrap();
            let before = all.len();
            for notice in notices {
                if let Notice::Records(_, records) = notice {
                    all.extend(records.into_iter().map(|r| (r.offset, String::from_utf8(r.payload).unwrap())));
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn what_was_appended_is_read_from_any_position_and_goes_once_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = open(&path, 1 << 20);
        journal.append(INGEST_TOPIC, vec![record("a"), record("b")]).await.unwrap();
        journal.append(DEAD, vec![record("x")]).await.unwrap();
        journal.append(INGEST_TOPIC, vec![record("c")]).await.unwrap();
        let mut source = journal.source(&path, &at(1)).unwrap();
        assert_eq!(read_all(&mut source), [(1, "b".to_owned()), (2, "c".to_owned())]);
        commit(&journal, 3);
        drop(journal);
        let journal = open(&path, 1 << 20);
        journal.append(INGEST_TOPIC, vec![record("d")]).await.unwrap();
        let mut source = journal.source(&path, &at(3)).unwrap();
        assert_eq!(read_all(&mut source), [(3, "d".to_owned())]);
    }

    fn at(position: i64) -> Positions {
        Positions::from([(partition(INGEST_TOPIC), position)])
    }

    fn commit(journal: &Journal, position: i64) {
        journal.commit(&at(position), &at(position)).unwrap();
    }

    #[tokio::test]
    async fn both_topics_are_read_as_they_were_written_from_positions_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = open(&path, 1 << 20);
        for (topic, text) in [(INGEST_TOPIC, "a"), (canary::TOPIC, "x"), (canary::TOPIC, "y"), (INGEST_TOPIC, "b"), (canary::TOPIC, "z")] {
            journal.append(topic, vec![record(text)]).await.unwrap();
        }
        let read = |start: &Positions| {
            let mut source = journal.source(&path, start).unwrap();
            read_all(&mut source).into_iter().map(|(_, text)| text).collect::<String>()
        };
        assert_eq!(read(&Positions::new()), "axybz");
        let middle = Positions::from([(partition(INGEST_TOPIC), 1), (partition(canary::TOPIC), 1)]);
        assert_eq!(read(&middle), "ybz");
        assert_eq!(journal.ends(), Positions::from([(partition(INGEST_TOPIC), 2), (partition(canary::TOPIC), 3)]));
        let bytes = journal.ingest_bytes();
        journal.commit(&middle, &middle).unwrap();
        assert!(journal.ingest_bytes() < bytes);
        assert_eq!(read(&middle), "ybz");
    }

    const DEAD: &str = super::super::DEAD_LETTER_TOPIC;

    #[tokio::test]
    async fn a_full_journal_refuses_and_takes_again_after_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = open(&path, 1);
        journal.append(INGEST_TOPIC, vec![record("a")]).await.unwrap();
        assert!(matches!(journal.append(INGEST_TOPIC, vec![record("b")]).await, Err(LogError::Full { .. })));
        drop(journal);
        let journal = open(&path, 1_000);
        journal.append(INGEST_TOPIC, vec![record("b")]).await.unwrap();
        commit(&journal, 1);
        assert!(journal.ingest_bytes() > 0);
        assert_eq!(journal.ends(), at(2));
    }

    /// How many records each group of a topic has.
    fn groups(journal: &Journal, topic: &str) -> Vec<i64> {
        let connection = journal.connection.lock();
        let mut statement = connection.prepare("SELECT records FROM groups WHERE topic = ?1 ORDER BY first").unwrap();
        let groups = statement.query_map([topic], |row| row.get(0)).unwrap();
        groups.map(Result::unwrap).collect()
    }

    #[tokio::test]
    async fn groups_waiting_appends_and_topics_without_a_reader_are_limited() {
        let folder = tempfile::tempdir().unwrap();
        let limits = JournalConfig {
            unread_topic_bytes_max: 300,
            group_records_max: 4,
            group_bytes_max: 1_000,
            appends_waiting_max: 5,
            ..JournalConfig::default()
        };
        let (journal, mut writer) = Journal::at_rest(&folder.path().join("journal.db"), &limits, Clock::system()).unwrap();
        let append = |topic, records| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(topic, records).await })
        };
        let waiting: Vec<_> = (0..5).map(|_| append(INGEST_TOPIC, vec![record("a"), record("b")])).collect();
        tokio::task::yield_now().await;
        assert!(matches!(append(INGEST_TOPIC, vec![record("c")]).await.unwrap(), Err(LogError::Full { .. })), "five wait");
        (0..5).for_each(|_| writer.turn(|| true));
        for done in waiting {
            done.await.unwrap().unwrap();
        }
        assert_eq!(groups(&journal, INGEST_TOPIC), [4, 4, 2], "a group ends with the append that fills it");

        let large = [0; 2].map(|_| append(INGEST_TOPIC, vec![record(&"x".repeat(1_000))]));
        tokio::task::yield_now().await;
        (0..2).for_each(|_| writer.turn(|| true));
        for done in large {
            done.await.unwrap().unwrap();
        }
        assert_eq!(groups(&journal, INGEST_TOPIC), [4, 4, 2, 1, 1], "by bytes, too");

        for number in 0..20_u32 {
            let noise =
                (0..100).map(|n| char::from(33 + (number.wrapping_mul(7_919).wrapping_add(n * n * 31) % 90) as u8)).collect::<String>();
            let dead = append(DEAD, vec![record(&noise)]);
            tokio::task::yield_now().await;
            writer.turn(|| true);
            dead.await.unwrap().unwrap();
        }
        let kept = groups(&journal, DEAD).len();
        assert!((1..10).contains(&kept), "{kept}");
    }
}
