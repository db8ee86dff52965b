//! Much traffic: simulated events by the million, and their way into Kafka.
//!
//! They are held as one text, in order of time, and end about now, so that a run over them is no
//! backlog to the daemon. Single attacks can be mixed in ([`super::scenario::Script`]).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::producer::BaseRecord;
use serde::Deserialize;

use super::daemon::bartizan;
use super::folder;
use super::kafka::{Producing, written};
use super::scenario::{Line, now_ms};

const DAY_MS: i64 = 86_400_000;
/// How much earlier than needed a simulation begins that went on too long.
const MARGIN_MS: i64 = 3_600_000;

/// One event of the text.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its time in milliseconds since 1970.
    pub time_ms: i64,
    /// Its tenant, which decides its partition.
    pub tenant: &'a str,
    /// Its user, the key of its record.
    pub user: &'a str,
    /// All of it, without its line end.
    pub line: &'a str,
}

/// What is read of an event. Nothing of it has escapes.
#[derive(Deserialize)]
struct Head<'a> {
    id: &'a str,
    #[serde(default)]
    tenant: &'a str,
    #[serde(default)]
    user: &'a str,
    #[serde(borrow)]
    time: &'a serde_json::value::RawValue,
}

impl<'a> Head<'a> {
    fn of(line: &'a str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn time_ms(&self) -> i64 {
        let text = self.time.get();
        text.parse().unwrap_or_else(|_| text.trim_matches('"').parse::<jiff::Timestamp>().expect("an RFC 3339 time").as_millisecond())
    }
}

/// Simulated events as JSON Lines.
pub struct Traffic {
    text: String,
    events: usize,
}

impl Traffic {
    /// `events` simulated events that end by now, most of them of the last day, the same for the same seed but for
    /// their times, with `also` among them.
    pub fn simulate(seed: u64, events: u64, also: &[Line]) -> Self {
        let now_ms = now_ms();
        let mut start_ms = now_ms - DAY_MS;
        let mut text = simulated(seed, events, start_ms);
        // Very many events do not fit into a day: then they begin earlier by as much as they go on too long.
        while let over_ms @ 0.. = last_ms(&text) - now_ms {
            start_ms -= over_ms + MARGIN_MS;
            text = simulated(seed, events, start_ms);
        }
        if !also.is_empty() {
            text = merged(&text, also);
        }
        Self { events: text.lines().count(), text }
    }

    /// How many events there are, repetitions counted.
    pub fn len(&self) -> usize {
        self.events
    }

    /// How many different ones: the same tenant, id and time count once.
    pub fn distinct(&self) -> usize {
        let key = |line| {
            let head = Head::of(line);
            (head.tenant, head.id, head.time_ms())
        };
        self.text.lines().map(key).collect::<HashSet<_>>().len()
    }

    /// The events in order.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.text.lines().map(|line| {
            let head = Head::of(line);
            Event { time_ms: head.time_ms(), tenant: head.tenant, user: head.user, line }
        })
    }

    /// The first `count` of them.
    pub fn first(&self, count: usize) -> Self {
        let bytes = self.text.split_inclusive('\n').take(count).map(str::len).sum();
        Self { text: self.text[..bytes].to_owned(), events: count.min(self.events) }
    }

    /// All of them in pieces of whole lines, of about `bytes` bytes each.
    pub fn blocks(&self, bytes: usize) -> impl Iterator<Item = &str> {
        let mut rest = self.text.as_str();
        std::iter::from_fn(move || {
            let near = bytes.min(rest.len());
            let end = rest.as_bytes()[near..].iter().position(|byte| *byte == b'\n').map_or(rest.len(), |line_end| near + line_end + 1);
            let (block, behind) = rest.split_at(end);
            rest = behind;
            (!block.is_empty()).then_some(block)
        })
    }

    /// Writes all of them to a file in `folder`.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("traffic.jsonl");
        std::fs::write(&path, &self.text).expect("the events");
        path
    }
}

/// The first `events` of a simulation that begins at a time. A simulated day goes on for some hours with what has begun
/// in it, thinner and thinner, so more are made.
fn simulated(seed: u64, events: u64, start_ms: i64) -> String {
    let folder = folder("simulated");
    let start = jiff::Timestamp::from_millisecond(start_ms).expect("a time").to_string();
    let (seed, more) = (seed.to_string(), (events + events / 2).to_string());
    let arguments =
        ["simulate", "--days", "1", "--start", &start, "--seed", &seed, "--events", &more, "--out", "out", "--labels", "labels"];
    let output = bartizan(&folder, &arguments);
    assert!(output.status.success(), "{output:?}");
    let mut text = std::fs::read_to_string(folder.join("out")).expect("the events");
    std::fs::remove_dir_all(&folder).expect("the folder of the events");
    text.truncate(text.split_inclusive('\n').take(usize::try_from(events).expect("a count")).map(str::len).sum());
    text
}

fn last_ms(text: &str) -> i64 {
    text.lines().last().map_or(0, |line| Head::of(line).time_ms())
}

fn merged(simulated: &str, also: &[Line]) -> String {
    let mut text = String::with_capacity(simulated.len() + also.iter().map(|line| line.text.len() + 1).sum::<usize>());
    let mut also = also.iter().peekable();
    let mut push = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for line in simulated.lines() {
        let time_ms = Head::of(line).time_ms();
        while let Some(before) = also.next_if(|other| other.time_ms <= time_ms) {
            push(&before.text);
        }
        push(line);
    }
    also.for_each(|line| push(&line.text));
    text
}

/// How many partitions a topic for [`send`] has; the simulated tenants lie in all of them.
pub const PARTITIONS: i32 = 4;

/// The partition of a tenant: its events keep their order, and so give the same alerts however the partitions are
/// merged.
fn partition(tenant: &str) -> i32 {
    let sum = tenant.bytes().take(2).fold(0, |sum, byte| sum * 31 + i32::from(byte));
    sum % PARTITIONS
}

/// Queues events for a topic, each in the partition of its tenant, with its time as the record's.
pub fn send<'a>(producer: &Producing, topic: &str, events: impl Iterator<Item = Event<'a>>) {
    for event in events {
        let record = BaseRecord::to(topic).key(event.user).partition(partition(event.tenant)).payload(event.line).timestamp(event.time_ms);
        producer.send(record).map_err(|(error, _)| error).expect("a queued record");
        producer.poll(Duration::ZERO);
    }
}

/// Sends events at a rate until they or `go_on` end; returns how many it sent. None is left queued.
pub fn send_at<'a>(
    producer: &Producing,
    topic: &str,
    mut events: impl Iterator<Item = Event<'a>>,
    per_second: f64,
    mut go_on: impl FnMut(usize) -> bool,
) -> usize {
    const STEP: Duration = Duration::from_millis(5);
    let (start, mut sent) = (Instant::now(), 0);
    while go_on(sent) {
        let due = (start.elapsed().as_secs_f64() * per_second) as usize;
        let mut step = 0;
        send(producer, topic, events.by_ref().take(due.saturating_sub(sent)).inspect(|_| step += 1));
        if step == 0 && due > sent {
            break;
        }
        sent += step;
        producer.poll(STEP);
    }
    written(producer, Duration::from_secs(300));
    sent
}
