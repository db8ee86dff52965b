//! Apache Kafka as the log, by librdkafka.
//!
//! The consumer is a static member of its group (`group.instance.id`), so a restart gets its
//! partitions back at once instead of after the session timeout. One active instance holds all
//! partitions of the input topics: the source speaks of an assignment only when it is complete, and
//! of a loss as soon as any partition goes. Reading starts at the checkpoint's positions; what Kafka
//! has committed matters only where there is none. Offsets are committed by hand.
//!
//! The producer is idempotent with `acks=all`: an append is done when all replicas have it.

mod assigned;

pub use assigned::Assigned;

use super::{Appender, Appending, Committer, Fetched, INGEST_TOPIC, LogError, Notice, Outgoing, Source};
use crate::canary;
use crate::flow::{PartitionId, Positions};
use crate::normalise::Format;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Unread records from which a partition is behind. The last offsets of a log may be of transactions, which no
/// reader is given, so nobody waits for a few.
const BACKLOG_MIN: i64 = 1_000;
/// How long metadata and watermark requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the question for end offsets may take; a broker that needs longer is down.
const WATCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the end offsets of partitions are asked for.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);
/// How long librdkafka tries to deliver a message before the append fails.
const MESSAGE_TIMEOUT_MS: &str = "30000";

/// One input topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Name of the topic.
    pub name: String,
    /// Format of its records.
    #[serde(default = "auto")]
    pub format: String,
}

fn auto() -> String {
    "auto".to_owned()
}

/// `[kafka]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Bootstrap servers, `host:port` separated by commas.
    pub brokers: String,
    /// Consumer group.
    pub group: String,
    /// Input topics.
    pub topics: Vec<TopicConfig>,
    /// Passed to librdkafka as they are (TLS, SASL, and so on).
    pub properties: BTreeMap<String, String>,
    /// `sasl.password` from a file; empty for none.
    pub sasl_password_file: PathBuf,
    /// Static member id; empty: made once and kept in the data directory.
    pub instance_id: String,
    /// Messages taken in one fetch before they are handed on; default 10,000.
    pub fetch_records_max: usize,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        let topic = |name: &str, format: &str| TopicConfig { name: name.to_owned(), format: format.to_owned() };
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "bartizan".to_owned(),
            topics: vec![topic("auth-logs", "bartizan"), topic("api-logs", "auto")],
            properties: BTreeMap::new(),
            sasl_password_file: PathBuf::new(),
            instance_id: String::new(),
            fetch_records_max: 10_000,
        }
    }
}

impl KafkaConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        if self.brokers.trim().is_empty() {
            errors.push(("brokers", "must name at least one broker as host:port".to_owned()));
        }
        if self.group.trim().is_empty() {
            errors.push(("group", "must not be empty".to_owned()));
        }
        let mut names = BTreeSet::from([INGEST_TOPIC, canary::TOPIC, super::ALERTS_TOPIC, super::ACTIONS_TOPIC, super::DEAD_LETTER_TOPIC]);
        for topic in &self.topics {
            if topic.name.is_empty() || !names.insert(&topic.name) {
                errors.push(("topics", format!("{:?} is empty, named twice, or a topic of the daemon's own", topic.name)));
            }
            if topic.format.parse::<Format>().is_err() {
                errors.push(("topics", format!("{}: there is no format {:?}", topic.name, topic.format)));
            }
        }
        if let Err(error) = self.client_without_password().create_native_config() {
            errors.push(("properties", error.to_string()));
        }
        errors.extend(out_of_range!(self; fetch_records_max: 1..=1_000_000));
        errors
    }

    /// Settings that clients of all kinds share.
    fn client(&self) -> Result<ClientConfig, LogError> {
        let mut client = self.client_without_password();
        if !self.sasl_password_file.as_os_str().is_empty() {
            let password = std::fs::read_to_string(&self.sasl_password_file)
                .map_err(|error| LogError::Fatal(format!("kafka.sasl_password_file {}: {error}", self.sasl_password_file.display())))?;
            client.set("sasl.password", password.trim_end());
        }
        Ok(client)
    }

    fn client_without_password(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("client.id", "bartizan");
        client.set("reconnect.backoff.max.ms", "2000").set_log_level(RDKafkaLogLevel::Warning);
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client
    }

    /// All topics that are read: the configured ones, and those that HTTP ingest and the canary write. The latter also
    /// while the canary is off, as the recorded order may hold it.
    fn inputs(&self) -> Vec<&str> {
        self.topics.iter().map(|topic| topic.name.as_str()).chain([INGEST_TOPIC, canary::TOPIC]).collect()
    }
}

/// Adds a message to those of its partition.
fn gather(records: &mut Vec<(PartitionId, Vec<Fetched>)>, message: &impl Message) {
    let fetched = Fetched {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        payload: message.payload().unwrap_or_default().to_vec(),
    };
    // Few partitions; the same one nearly always goes on.
    let is_its = |(id, _): &(PartitionId, _)| id.partition == message.partition() && *id.topic == *message.topic();
    match records.iter().rposition(is_its).and_then(|at| records.get_mut(at)) {
        Some((_, list)) => list.push(fetched),
        None => records.push((PartitionId::new(message.topic(), message.partition()), vec![fetched])),
    }
}

fn retry(error: KafkaError) -> LogError {
    LogError::Retry(format!("kafka: {error}"))
}

fn fatal(error: KafkaError) -> LogError {
    LogError::Fatal(format!("kafka: {error}"))
}

/// What the callbacks of librdkafka leave for the source, within its own calls to `poll`.
#[derive(Default)]
struct Context {
    start: Mutex<Positions>,
    news: Mutex<Vec<News>>,
}

enum News {
    Assigned,
    Lost(Vec<PartitionId>),
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    /// Puts our own positions into the assignment; librdkafka would take the committed ones.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = if matches!(error, RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
            let start = self.start.lock();
            for partition in ids(list) {
                if let Some(offset) = start.get(&partition) {
                    // The partition comes from the list itself, so it is found.
                    list.set_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset)).ok();
                }
            }
            self.news.lock().push(News::Assigned);
            // Nothing may be read before the source has checked the assignment, which can fail: what
            // came meanwhile would be lost.
            consumer.assign(list).and_then(|()| consumer.pause(list))
        } else {
            self.news.lock().push(News::Lost(ids(list)));
            consumer.unassign()
        };
        if let Err(error) = done {
            tracing::warn!(%error, "kafka rebalance failed");
        }
    }
}

fn ids(list: &TopicPartitionList) -> Vec<PartitionId> {
    list.elements().iter().map(|element| PartitionId::new(element.topic(), element.partition())).collect()
}

type GroupConsumer = BaseConsumer<Context>;

/// What is asked of the brokers from time to time.
#[derive(Debug, Default)]
struct Watched {
    /// End offsets by partition, and when each was asked for.
    ends: BTreeMap<PartitionId, (i64, Instant)>,
    /// Why the brokers did not answer the last time.
    unreachable: Option<String>,
}

type Ends = Arc<Mutex<Watched>>;

/// Kafka as a source of records.
pub struct KafkaSource {
    config: KafkaConfig,
    instance_id: String,
    consumer: Arc<GroupConsumer>,
    /// The same, for whoever commits.
    current: Arc<Mutex<Arc<GroupConsumer>>>,
    inputs: Vec<String>,
    held: BTreeSet<PartitionId>,
    next: BTreeMap<PartitionId, Reading>,
    ends: Ends,
}

struct Reading {
    next: i64,
    last_record: Instant,
    told_end: bool,
}

/// Commits offsets and tells how far behind the source is.
#[derive(Clone)]
pub struct KafkaPositions {
    current: Arc<Mutex<Arc<GroupConsumer>>>,
    ends: Ends,
}

/// Joins the group and reads from `start` on.
///
/// # Errors
/// A setting that librdkafka does not take.
pub fn open_source(config: &KafkaConfig, instance_id: &str, start: Positions) -> Result<(KafkaSource, KafkaPositions), LogError> {
    let consumer = join(config, instance_id, start)?;
    let ends = Ends::default();
    watch_ends(Arc::downgrade(&consumer), Arc::clone(&ends))?;
    let current = Arc::new(Mutex::new(Arc::clone(&consumer)));
    let positions = KafkaPositions { current: Arc::clone(&current), ends: Arc::clone(&ends) };
    let source = KafkaSource {
        config: config.clone(),
        instance_id: instance_id.to_owned(),
        consumer,
        current,
        inputs: config.inputs().into_iter().map(str::to_owned).collect(),
        held: BTreeSet::new(),
        next: BTreeMap::new(),
        ends,
    };
    Ok((source, positions))
}

/// A member of the group that reads from `start` on.
fn join(config: &KafkaConfig, instance_id: &str, start: Positions) -> Result<Arc<GroupConsumer>, LogError> {
    let mut client = config.client()?;
    let defaults = [
        ("group.id", config.group.as_str()),
        ("group.instance.id", instance_id),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "earliest"),
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "10000"),
        ("topic.metadata.refresh.interval.ms", "10000"),
        ("queued.max.messages.kbytes", "65536"),
        ("fetch.message.max.bytes", "8388608"),
    ];
    for (name, value) in defaults {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    let context = Context { start: Mutex::new(start), news: Mutex::default() };
    let consumer: GroupConsumer = client.create_with_context(context).map_err(fatal)?;
    consumer.subscribe(&config.inputs()).map_err(fatal)?;
    Ok(Arc::new(consumer))
}

/// Asks for the end offsets of the assigned partitions once a second, in a thread of its own, since
/// the request waits for the broker. Ends with the consumer.
fn watch_ends(consumer: Weak<GroupConsumer>, ends: Ends) -> Result<(), LogError> {
    let watch = move || {
        while let Some(consumer) = consumer.upgrade() {
            let answered = ask_ends(&consumer, &ends);
            ends.lock().unreachable = answered.err().map(|error| error.to_string());
            drop(consumer);
            std::thread::sleep(ENDS_INTERVAL);
        }
    };
    std::thread::Builder::new().name("kafka-ends".to_owned()).spawn(watch).map_err(|error| LogError::Fatal(error.to_string()))?;
    Ok(())
}

/// Asks for the end of each assigned partition, or, while there is none, for the brokers alone.
fn ask_ends(consumer: &GroupConsumer, ends: &Ends) -> Result<(), KafkaError> {
    let assigned = ids(&consumer.assignment()?);
    if assigned.is_empty() {
        return consumer.fetch_metadata(Some(INGEST_TOPIC), WATCH_TIMEOUT).map(|_| ());
    }
    for partition in assigned {
        let asked = Instant::now();
        let (_, end) = consumer.fetch_watermarks(&partition.topic, partition.partition, WATCH_TIMEOUT)?;
        ends.lock().ends.insert(partition, (end, asked));
    }
    Ok(())
}

impl KafkaSource {
    /// Joins the group anew in place of a member that librdkafka has given up: fenced, say, as its session
    /// ended while it committed. Its partitions count as lost until they are assigned again.
    fn rejoin(&mut self, reason: &str, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        tracing::warn!(reason, "kafka consumer was given up, another one joins the group");
        let start = self.consumer.context().start.lock().clone();
        let consumer = join(&self.config, &self.instance_id, start)?;
        watch_ends(Arc::downgrade(&consumer), Arc::clone(&self.ends))?;
        self.current.lock().clone_from(&consumer);
        self.consumer = consumer;
        self.held.clear();
        notices.push(Notice::Lost(std::mem::take(&mut self.next).into_keys().collect()));
        Ok(())
    }

    /// Partitions of all input topics, as the brokers know them.
    fn expected(&self) -> Result<BTreeSet<PartitionId>, LogError> {
        let mut expected = BTreeSet::new();
        for topic in &self.inputs {
            let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(retry)?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            expected.extend(partitions.map(|partition| PartitionId::new(topic, partition.id())));
        }
        Ok(expected)
    }

    fn take_news(&mut self, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        let news: Vec<_> = std::mem::take(&mut *self.consumer.context().news.lock());
        for one in news {
            match one {
                News::Lost(partitions) => {
                    self.next.clear();
                    self.held.clear();
                    notices.push(Notice::Lost(partitions));
                }
                News::Assigned => self.assigned(notices)?,
            }
        }
        Ok(())
    }

    fn assigned(&mut self, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        let assigned: BTreeSet<_> = ids(&self.consumer.assignment().map_err(retry)?).into_iter().collect();
        let missing: Vec<_> = self.expected()?.difference(&assigned).cloned().collect();
        if !missing.is_empty() {
            notices.push(Notice::Lost(missing));
            return Ok(());
        }
        let start = self.consumer.context().start.lock().clone();
        let mut positions = Positions::new();
        for partition in assigned {
            let wanted = start.get(&partition).copied();
            if let Some(wanted) = wanted {
                let (low, high) = self.consumer.fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT).map_err(retry)?;
                if wanted < low || wanted > high {
                    notices.push(Notice::Gone(partition.clone(), wanted, low));
                }
            }
            self.next.insert(partition.clone(), Reading { next: wanted.unwrap_or(-1), last_record: Instant::now(), told_end: false });
            positions.insert(partition, wanted.unwrap_or(-1));
        }
        // Assigned partitions are paused; the first call to `hold` lets them go.
        self.held = positions.keys().cloned().collect();
        notices.insert(0, Notice::Assigned(positions));
        Ok(())
    }

    /// Which partitions have been read to an end that was asked for after their last record.
    fn tell_ends(&mut self, notices: &mut Vec<Notice>) {
        let watched = self.ends.lock();
        for (partition, reading) in &mut self.next {
            let Some((end, asked)) = watched.ends.get(partition) else { continue };
            let at_end = reading.next >= *end || (reading.next < 0 && *end == 0);
            if !reading.told_end && at_end && *asked > reading.last_record {
                reading.told_end = true;
                notices.push(Notice::End(partition.clone()));
            }
        }
    }
}

impl Source for KafkaSource {
    fn fetch(&mut self, timeout: Duration, notices: &mut Vec<Notice>) -> Result<(), LogError> {
        if let Some((_, reason)) = self.consumer.client().fatal_error() {
            return self.rejoin(&reason, notices);
        }
        let mut records: Vec<(PartitionId, Vec<Fetched>)> = Vec::new();
        let mut wait = timeout;
        let mut failed = None;
        for _ in 0..self.config.fetch_records_max {
            match self.consumer.poll(std::mem::take(&mut wait)) {
                None => break,
                Some(Err(error)) => {
                    failed = Some(retry(error));
                    break;
                }
                Some(Ok(message)) => gather(&mut records, &message),
            }
        }
        // An assignment that could not be checked is checked again with the next call.
        if let Err(error) = self.take_news(notices) {
            self.consumer.context().news.lock().push(News::Assigned);
            return Err(error);
        }
        for (partition, list) in records {
            // Records of partitions that were lost meanwhile belong to somebody else now.
            let (Some(reading), Some(last)) = (self.next.get_mut(&partition), list.last()) else { continue };
            *reading = Reading { next: last.offset + 1, last_record: Instant::now(), told_end: false };
            notices.push(Notice::Records(partition, list));
        }
        self.tell_ends(notices);
        let unreachable = || self.ends.lock().unreachable.as_ref().map(|error| LogError::Retry(format!("kafka: {error}")));
        failed.or_else(unreachable).map_or(Ok(()), Err)
    }

    fn behind(&self) -> BTreeSet<PartitionId> {
        let watched = self.ends.lock();
        let is_behind = |(partition, reading): &(&PartitionId, &Reading)| match watched.ends.get(*partition) {
            Some((end, _)) => end - reading.next.max(0) >= BACKLOG_MIN,
            // Not asked for yet.
            None => true,
        };
        self.next.iter().filter(is_behind).map(|(partition, _)| partition.clone()).collect()
    }

    fn hold(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), LogError> {
        let list = |partitions: &mut dyn Iterator<Item = &PartitionId>| {
            let mut list = TopicPartitionList::new();
            for partition in partitions.filter(|partition| self.next.contains_key(partition)) {
                list.add_partition(&partition.topic, partition.partition);
            }
            list
        };
        let (stop, go) = (list(&mut partitions.difference(&self.held)), list(&mut self.held.difference(partitions)));
        if stop.count() > 0 {
            self.consumer.pause(&stop).map_err(retry)?;
        }
        if go.count() > 0 {
            self.consumer.resume(&go).map_err(retry)?;
        }
        self.held.clone_from(partitions);
        Ok(())
    }

    fn resume_at(&mut self, positions: &Positions) {
        self.consumer.context().start.lock().clone_from(positions);
    }

    fn keeps_order(&self) -> bool {
        false
    }
}

impl Committer for KafkaPositions {
    fn commit(&self, newest: &Positions, _oldest: &Positions) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in newest {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset)).map_err(retry)?;
        }
        let consumer = Arc::clone(&self.current.lock());
        // While it holds nothing (its session has ended, say) a commit would be fenced, which ends a static member for
        // good. Nothing is lost: reading goes on at the checkpoint's positions, not at those.
        let holds_some = consumer.assignment().map_err(retry)?.count() > 0;
        if list.count() > 0 && holds_some { consumer.commit(&list, CommitMode::Async).map_err(retry) } else { Ok(()) }
    }

    fn ends(&self) -> Positions {
        self.ends.lock().ends.iter().map(|(partition, (end, _))| (partition.clone(), *end)).collect()
    }
}

/// Appends to Kafka topics.
#[derive(Clone)]
pub struct KafkaAppender {
    producer: FutureProducer,
}

impl KafkaAppender {
    /// Connects lazily.
    ///
    /// # Errors
    /// A setting that librdkafka does not take.
    pub fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let mut client = config.client()?;
        client.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", MESSAGE_TIMEOUT_MS);
        client.set("compression.type", "lz4").set("linger.ms", "1").set("message.max.bytes", "8388608");
        Ok(Self { producer: client.create().map_err(fatal)? })
    }

    /// Makes the topics that the daemon writes, where they are missing, with the brokers' defaults.
    ///
    /// # Errors
    /// The brokers cannot be reached or refuse.
    pub async fn create_topics(config: &KafkaConfig) -> Result<(), LogError> {
        let admin: AdminClient<_> = config.client()?.create().map_err(fatal)?;
        let topics = [INGEST_TOPIC, canary::TOPIC, super::ALERTS_TOPIC, super::ACTIONS_TOPIC, super::DEAD_LETTER_TOPIC];
        let new: Vec<_> = topics.iter().map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(-1))).collect();
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        for result in admin.create_topics(&new, &options).await.map_err(retry)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(LogError::Retry(format!("kafka: topic {topic} cannot be made: {code}"))),
            }
        }
        Ok(())
    }
}

impl Appender for KafkaAppender {
    fn append<'a>(&'a self, topic: &'a str, records: Vec<Outgoing>) -> Appending<'a> {
        Box::pin(async move {
            let send = |record: Outgoing| async move {
                let headers = record
                    .headers
                    .iter()
                    .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
                let message = FutureRecord::to(topic).key(&record.key).payload(&record.payload).headers(headers);
                self.producer.send(message, REQUEST_TIMEOUT).await.map_err(|(error, _)| match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::MessageSizeTooLarge) => LogError::TooLarge(format!("kafka: {error}")),
                    _ => retry(error),
                })
            };
            futures::future::try_join_all(records.into_iter().map(send)).await.map(|_| ())
        })
    }
}
