//! Apache Kafka: single brokers (KRaft) as processes, and what tests do with one.
//!
//! Most tests share one broker and use topics of their own; a test that stops or
//! kills a broker starts a private one. `BARTIZAN_TEST_BROKERS` points the shared
//! one at a cluster that runs already.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::parts::part;
use super::process::Process;
use super::{PATIENCE, folder, free_port, wait_for};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A Kafka cluster to talk to.
pub struct Cluster {
    /// Its address, as in `kafka.brokers`.
    pub brokers: String,
}

/// Remembers what the broker did not take.
#[derive(Debug, Default)]
pub struct Written {
    refused: Mutex<Option<KafkaError>>,
}

impl ClientContext for Written {}

impl ProducerContext for Written {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
    }
}

/// A producer that knows whether all was written.
pub type Producing = BaseProducer<Written>;

/// Waits until all that was queued is written.
///
/// # Panics
/// When the broker refused any of it, or the deadline passes.
pub fn written(producer: &Producing, deadline: Duration) {
    producer.flush(deadline).expect("all records written");
    let refused = producer.context().refused.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(refused.is_none(), "a record was refused: {refused:?}");
}

/// A record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub partition: i32,
    /// Where it stands in its partition.
    pub offset: i64,
    /// Its key, empty when it has none.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The broker that the tests of this binary share.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<(Cluster, Option<Broker>)> = OnceLock::new();
    let (cluster, _) = SHARED.get_or_init(|| match std::env::var("BARTIZAN_TEST_BROKERS") {
        Ok(brokers) => (Cluster { brokers }, None),
        Err(_) => {
            let broker = Broker::start();
            let brokers = broker.cluster.brokers.clone();
            (Cluster { brokers }, Some(broker))
        }
    });
    cluster
}

impl Cluster {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn reader(&self, group: &str) -> BaseConsumer {
        self.config().set("group.id", group).set("enable.auto.commit", "false").create().expect("a consumer")
    }

    /// The number of partitions of a topic that have a leader; 0 = no such topic.
    fn partitions(&self, topic: &str) -> usize {
        let Ok(metadata) = self.reader("bartizan-test").fetch_metadata(Some(topic), CALL_TIMEOUT) else {
            return 0;
        };
        let led = |topic: &rdkafka::metadata::MetadataTopic| topic.partitions().iter().filter(|p| p.leader() >= 0).count();
        metadata.topics().first().map_or(0, led)
    }

    /// Creates a topic and waits until all its partitions can be written to.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// As [`Self::create_topic`], with settings of the topic's own.
    pub fn create_topic_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let results = block_on(admin.create_topics([&new], &AdminOptions::new())).expect("an answer to create_topics");
        for result in results {
            result.expect("a new topic");
        }
        wait_for("the leaders of a new topic", PATIENCE, || (self.partitions(topic) == partitions.unsigned_abs() as usize).then_some(()));
    }

    /// A producer that keeps what it is given, in its order, while no broker answers.
    pub fn producer(&self) -> Producing {
        let mut config = self.config();
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "600000");
        config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "2097151").set("message.max.bytes", "100000000");
        config.create_with_context(Written::default()).expect("a producer")
    }

    /// A producer that waits for nothing before it sends.
    pub fn prompt_producer(&self) -> Producing {
        self.config().set("acks", "all").set("linger.ms", "0").create_with_context(Written::default()).expect("a producer")
    }

    /// Writes records (topic, key, time in milliseconds, value) in their order, each in the topic's
    /// partition for its key.
    pub fn produce_at<'a>(&self, records: impl Iterator<Item = (&'a str, &'a str, i64, &'a [u8])>) {
        let producer = self.producer();
        for (topic, key, time_ms, value) in records {
            let record = BaseRecord::to(topic).key(key).payload(value).timestamp(time_ms);
            producer.send(record).map_err(|(error, _)| error).expect("a queued record");
        }
        written(&producer, PATIENCE);
    }

    /// Writes records without a value: tombstones.
    pub fn produce_tombstone(&self, topic: &str, key: &str) {
        let producer = self.producer();
        producer.send(BaseRecord::<str, [u8]>::to(topic).key(key)).map_err(|(error, _)| error).expect("a queued record");
        written(&producer, PATIENCE);
    }

    /// Lets a topic take records of up to `bytes` bytes.
    pub fn allow_records_of(&self, topic: &str, bytes: usize) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let bytes = bytes.to_string();
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
        let results = block_on(admin.alter_configs([&change], &AdminOptions::new())).expect("an answer to alter_configs");
        for result in results {
            result.expect("an altered topic");
        }
    }

    /// Writes records (key, value; an empty key = none) with acks=all.
    pub fn produce<V: AsRef<[u8]>>(&self, topic: &str, records: &[(&str, V)]) {
        let producer = self.producer();
        for (key, value) in records {
            let mut record = BaseRecord::to(topic).payload(value.as_ref());
            if !key.is_empty() {
                record = record.key(*key);
            }
            producer.send(record).map_err(|(error, _)| error).expect("a queued record");
        }
        written(&producer, PATIENCE);
    }

    /// Writes one record with headers.
    pub fn produce_with_headers(&self, topic: &str, value: &[u8], headers: &[(&str, &[u8])]) {
        let producer: Producing = self.config().create_with_context(Written::default()).expect("a producer");
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let record = BaseRecord::<str, [u8]>::to(topic).payload(value).headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("a queued record");
        written(&producer, PATIENCE);
    }

    /// Writes each line of a file as a record, with Kafka's own console producer.
    /// Starts it and returns; the child ends when all is acknowledged.
    pub fn start_console_producer(&self, topic: &str, lines: &Path) -> std::process::Child {
        java("256m")
            .arg("org.apache.kafka.tools.ConsoleProducer")
            .args(["--bootstrap-server", &self.brokers, "--topic", topic])
            .stdin(File::open(lines).expect("the file to produce"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the console producer")
    }

    /// As [`Self::start_console_producer`], and waits for its success.
    pub fn console_produce(&self, topic: &str, lines: &Path) {
        let status = self.start_console_producer(topic, lines).wait();
        assert!(status.expect("its status").success(), "console producer");
    }

    /// The next offset of each partition: with a fresh topic, how many records it got.
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        let reader = self.reader("bartizan-test");
        let count = i32::try_from(self.partitions(topic)).expect("a partition count");
        let end = |partition| reader.fetch_watermarks(topic, partition, CALL_TIMEOUT).map(|(_, high)| high);
        (0..count).map(|partition| end(partition).expect("the end of a partition")).collect()
    }

    /// The committed offset of a group in each partition.
    pub fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let reader = self.reader(group);
        let count = i32::try_from(self.partitions(topic)).expect("a partition count");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, count - 1);
        let list = reader.committed_offsets(list, CALL_TIMEOUT).expect("the committed offsets");
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        list.elements().iter().map(|e| offset(e.offset())).collect()
    }

    /// A consumer of all of a topic from its beginning, and how many records it has now.
    pub fn consumer(&self, topic: &str) -> (BaseConsumer, usize) {
        let ends = self.end_offsets(topic);
        let reader = self.reader("bartizan-test");
        let mut list = TopicPartitionList::new();
        for partition in 0..ends.len() {
            let partition = i32::try_from(partition).expect("a partition");
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition to read");
        }
        reader.assign(&list).expect("an assignment");
        (reader, usize::try_from(ends.iter().sum::<i64>()).expect("a count"))
    }

    /// Shows `each` what stands in a topic now, in the order of each partition.
    pub fn scan(&self, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>)) {
        let (reader, total) = self.consumer(topic);
        let mut last = Instant::now();
        for _ in 0..total {
            let message = loop {
                assert!(last.elapsed() < PATIENCE, "reading {topic}");
                if let Some(message) = reader.poll(CALL_TIMEOUT) {
                    break message.expect("a record");
                }
            };
            last = Instant::now();
            each(&message);
        }
    }

    /// Everything that stands in a topic now, partition by partition.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let mut records = Vec::new();
        self.scan(topic, |message| records.push(record(message)));
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Waits until a topic exists and holds at least `count` records, and reads it.
    pub fn wait_for_records(&self, topic: &str, count: usize, deadline: Duration) -> Vec<Record> {
        wait_for(&format!("{count} records in {topic}"), deadline, || {
            let total: i64 = self.end_offsets(topic).iter().sum();
            (total >= i64::try_from(count).ok()?).then_some(())
        });
        self.records(topic)
    }
}

fn record(message: &impl Message<Headers = rdkafka::message::BorrowedHeaders>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let owned = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.unwrap_or_default().to_vec());
        headers.iter().map(owned).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
        headers,
    }
}

/// Java with Kafka's class path, tuned to start fast and stay small.
fn java(heap: &str) -> Command {
    let mut command = Command::new(part("JAVA"));
    command
        .arg(format!("-Xmx{heap}"))
        .args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+UseSerialGC"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .args(["-cp", part("KAFKA_CLASSPATH")]);
    command
}

/// A private broker: it can be stopped, killed and started again with the same
/// data and address.
pub struct Broker {
    /// How to talk to it.
    pub cluster: Cluster,
    folder: PathBuf,
    process: Option<Process>,
}

impl Broker {
    /// Starts a broker with no topics and waits until it answers.
    pub fn start() -> Self {
        let folder = folder("kafka");
        let (port, controller) = (free_port(), free_port());
        let properties = folder.join("server.properties");
        std::fs::write(&properties, server_properties(&folder, port, controller)).expect("the broker's configuration");
        let formatted = java("128m")
            .args(["kafka.tools.StorageTool", "format", "--standalone"])
            .args(["--cluster-id", "4L6g3nShT-eMCtK--X86sw", "--config"])
            .arg(&properties)
            .output()
            .expect("the storage tool");
        assert!(formatted.status.success(), "format: {formatted:?}");
        let mut broker = Self { cluster: Cluster { brokers: format!("127.0.0.1:{port}") }, folder, process: None };
        broker.start_again();
        broker
    }

    /// Starts it after [`Self::stop`] or [`Self::kill`], and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        let mut command = java("512m");
        command.arg("kafka.Kafka").arg(self.folder.join("server.properties"));
        let mut process = Process::start(&mut command, &self.folder.join("log"));
        process.wait_for("a Kafka broker", PATIENCE, |_| {
            TcpStream::connect(&self.cluster.brokers).ok()?;
            let reader = self.cluster.reader("bartizan-test");
            let metadata = reader.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (!metadata.brokers().is_empty()).then_some(())
        });
        self.process = Some(process);
    }

    /// Stops it in an orderly way.
    pub fn stop(&mut self) {
        let process = self.process.take().expect("the broker runs");
        process.terminate(PATIENCE);
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.take().expect("the broker runs").kill();
    }

    /// Makes it hang, or go on: connections stay, nothing is answered.
    pub fn freeze(&self, frozen: bool) {
        self.process.as_ref().expect("the broker runs").freeze(frozen);
    }
}

fn server_properties(folder: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         log.cleaner.dedupe.buffer.size=2097152\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         broker.session.timeout.ms=1000\n\
         broker.heartbeat.interval.ms=250\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         auto.create.topics.enable=false\n",
        folder.join("data").display()
    )
}
