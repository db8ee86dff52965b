//! What must hold after every run.

use super::life::{self, House, PEOPLE};
use super::world::{At, Key, Receipt, State};
use crate::alert::Alert;
use crate::db::outbox;
use crate::db::{DbError, alerts, audit};
use crate::detect::Enabled;
use crate::detect::engine::Engine;
use crate::flow::RawBatch;
use crate::incident::Again;
use crate::log::journal::read_topic;
use crate::log::{ALERTS_TOPIC, DEAD_LETTER_TOPIC};
use crate::notify::routing::{ALERTS_TOPIC_CHANNEL, HISTORY_CHANNEL};
use bartizan_core::{KeyHasher, Severity};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The key of state hashes of all simulated installations.
pub(super) const STATE_KEY: [u8; 16] = [7; 16];

/// Versions of alerts as JSON, by alert and version.
type Versions = BTreeMap<(String, u32), String>;
/// A record of a topic: its headers and its payload.
type TopicRecord = (BTreeMap<String, String>, Vec<u8>);

/// Everything that does not hold.
pub(super) fn violations(house: &House) -> Vec<String> {
    let mut wrong = std::mem::take(&mut house.world.lock().violations);
    let (mut reference, expected) = {
        let state = house.world.lock();
        (reference(house, &state), expected(&state))
    };
    let incidents = Again::new(&life::routing().incidents).and_then(|incidents| incidents.join(&mut reference).map(|()| incidents));
    let Ok(incidents) = incidents else { return vec!["the reference's incidents cannot be joined".to_owned()] };
    wrong.extend(complete(house));
    wrong.extend(stored(&house.world.lock(), &expected));
    wrong.extend(buried(house, &expected));
    wrong.extend(told(house, &reference, &incidents));
    wrong.extend(deliveries(house, &reference));
    wrong.extend(audit::verify(&house.db, None).err().map(|error| format!("the audit trail does not hold: {error}")));
    wrong
}

/// The alerts of a daemon to which nothing ever happened, over the order that stands.
pub(super) fn reference(house: &House, state: &State) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let Ok(enabled) = Enabled::new(bartizan_catalogue::all(), &house.config.detectors) else { return alerts };
    let mut engine = Engine::new(&house.config.detect, &enabled, KeyHasher::new(STATE_KEY));
    let mut preparer = House::preparer();
    for batch in state.order.values() {
        let mut flow = preparer.normalise(batch.clone());
        preparer.enrich(&mut flow);
        alerts.extend(engine.process(&mut flow).alerts);
    }
    alerts
}

/// What the records of the order are: events by their identity, with all places where they stand, and
/// records that break a rule.
struct Expected {
    events: BTreeMap<Key, BTreeSet<At>>,
    rejected: BTreeMap<At, Vec<u8>>,
}

fn expected(state: &State) -> Expected {
    let mut expected = Expected { events: BTreeMap::new(), rejected: BTreeMap::new() };
    for (partition, offset, payload) in state.order.values().flat_map(RawBatch::iter) {
        let at = (partition.topic.to_string(), partition.partition, offset);
        match identity(payload, &at) {
            Some(key) => drop(expected.events.entry(key).or_default().insert(at)),
            None => drop(expected.rejected.insert(at, payload.to_vec())),
        }
    }
    expected
}

/// Read by other means than the daemon's own.
fn identity(payload: &[u8], at: &At) -> Option<Key> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let time = event.get("time")?.as_i64()?;
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = text("id").unwrap_or_else(|| format!("{}-{}-{}", at.0, at.1, at.2));
    Some((text("tenant")?, id, time))
}

/// Has everything that was accepted passed into the order?
fn complete(house: &House) -> Vec<String> {
    let state = house.world.lock();
    let passed: BTreeSet<(&str, i32, i64)> =
        state.order.values().flat_map(RawBatch::iter).map(|(id, offset, _)| (&*id.topic, id.partition, offset)).collect();
    let mut wrong = Vec::new();
    for (id, records) in &state.log {
        let missing = records.iter().filter(|record| !passed.contains(&(&*id.topic, id.partition, record.offset))).count();
        if missing > 0 {
            wrong.push(format!("{id}: {missing} records never passed into the order"));
        }
    }
    if house.journal.is_some() {
        let texts: BTreeSet<&[u8]> = state.order.values().flat_map(RawBatch::iter).map(|(_, _, payload)| payload).collect();
        let missing = state.accepted.iter().filter(|index| house.lines.get(**index).is_some_and(|line| !texts.contains(&line.text[..])));
        let missing = missing.count();
        if missing > 0 {
            wrong.push(format!("{missing} records were accepted and never passed into the order"));
        }
    }
    wrong
}

fn stored(state: &State, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    let missing: Vec<_> = expected.events.keys().filter(|key| !state.rows.contains_key(key)).collect();
    if !missing.is_empty() {
        wrong.push(format!("{} events are not in the store, such as {:?}", missing.len(), missing.first()));
    }
    for (key, places) in &state.rows {
        match expected.events.get(key) {
            None => wrong.push(format!("the store has {key:?}, which was never sent: counted twice or made up")),
            Some(known) => {
                if let Some(at) = places.iter().find(|at| !known.contains(*at)) {
                    wrong.push(format!("the store has {key:?} at {at:?}, where it does not stand"));
                }
            }
        }
    }
    wrong
}

fn topic(house: &House, topic: &str) -> Vec<TopicRecord> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match &house.journal {
        Some(path) => {
            let records = read_topic(path, topic).unwrap_or_default();
            records
                .into_iter()
                .map(|(headers, payload)| (headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(), payload))
                .collect()
        }
        None => {
            let state = house.world.lock();
            let records = state.topics.get(topic).into_iter().flatten();
            let plain = |record: &crate::log::Outgoing| {
                (record.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(), record.payload.clone())
            };
            records.map(plain).collect()
        }
    }
}

/// Is each record that broke a rule in the dead-letter topic, and nothing else?
fn buried(house: &House, expected: &Expected) -> Vec<String> {
    let mut left = expected.rejected.clone();
    let mut wrong = Vec::new();
    for (headers, payload) in topic(house, DEAD_LETTER_TOPIC) {
        let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let at = (header("topic"), header("partition").parse().unwrap_or(-1), header("offset").parse().unwrap_or(-1));
        match expected.rejected.get(&at) {
            Some(original) if original.starts_with(&payload) && !payload.is_empty() => drop(left.remove(&at)),
            _ => wrong.push(format!("the dead-letter topic has something of {at:?} that is not there")),
        }
    }
    if let Some(at) = left.keys().next() {
        wrong.push(format!("{} rejected records are not in the dead-letter topic, such as {at:?}", left.len()));
    }
    wrong
}

fn versions(alerts: &[Alert]) -> Versions {
    alerts.iter().map(|alert| ((alert.id.clone(), alert.version), serde_json::to_string(alert).unwrap_or_default())).collect()
}

fn compared(where_: &str, found: &Versions, wanted: &Versions, wrong: &mut Vec<String>) {
    for (key, json) in found {
        match wanted.get(key) {
            None => wrong.push(format!("{where_} has {key:?}, which a daemon without faults does not find")),
            Some(wanted) if wanted != json => wrong.push(format!("{where_} has another {key:?}:\n  {json}\n  {wanted}")),
            Some(_) => {}
        }
    }
    if let Some(key) = wanted.keys().find(|key| !found.contains_key(*key)) {
        wrong.push(format!("{where_} lacks {key:?} of {} versions", wanted.len()));
    }
}

/// Have the topic, the history and the database exactly the alerts of a daemon without faults?
fn told(house: &House, reference: &[Alert], incidents: &Again) -> Vec<String> {
    let wanted = versions(reference);
    let mut wrong = Vec::new();
    if wanted.len() != reference.len() {
        wrong.push("two versions of an alert have one number".to_owned());
    }
    let read = |payload: &[u8]| serde_json::from_slice::<Alert>(payload).map(|alert| (alert.id, alert.version)).unwrap_or_default();
    let from_topic: Vec<_> = topic(house, ALERTS_TOPIC).into_iter().map(|(_, payload)| payload).collect();
    let history: Vec<_> = {
        let state = house.world.lock();
        state
            .receipts
            .iter()
            .filter(|receipt| receipt.channel == HISTORY_CHANNEL)
            .map(|receipt| receipt.body.clone().into_bytes())
            .collect()
    };
    for (name, payloads) in [(ALERTS_TOPIC, from_topic), (HISTORY_CHANNEL, history)] {
        let mut found = Versions::new();
        for payload in payloads {
            let json = String::from_utf8_lossy(&payload).into_owned();
            if found.insert(read(&payload), json.clone()).is_some_and(|before| before != json) {
                wrong.push(format!("{name} has two bodies of {:?}", read(&payload)));
            }
        }
        compared(name, &found, &wanted, &mut wrong);
    }
    let newest: BTreeMap<&str, &Alert> = reference.iter().map(|alert| (alert.id.as_str(), alert)).collect();
    for (id, alert) in newest {
        match house.db.read(|tx| alerts::get(tx, id)) {
            Ok(Some(kept)) if incidents.get(id).is_ok_and(|wanted| wanted.as_ref() == Some(&kept)) => {}
            kept => wrong.push(format!("the database has of {id} not the newest version {}: {kept:?}", alert.version)),
        }
    }
    wrong
}

/// Has each message one id, one body, its place in the order of versions, and reached its end?
fn deliveries(house: &House, reference: &[Alert]) -> Vec<String> {
    let mut wrong = Vec::new();
    match house.db.read(|tx| Ok::<_, DbError>(outbox::counts(tx)?)) {
        Ok(counts) => {
            let failed = counts.into_iter().filter(|(_, state, _)| !matches!(state.as_str(), "delivered" | "held" | "expired"));
            wrong.extend(failed.map(|(channel, state, count)| format!("{count} messages to {channel} are {state}")));
        }
        Err(error) => wrong.push(error.to_string()),
    }
    let state = house.world.lock();
    let mut bodies: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut ids: BTreeMap<(&str, &str, &str), &str> = BTreeMap::new();
    let mut newest: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let topic: Vec<Receipt> = topic_receipts(house, &state);
    for receipt in state.receipts.iter().chain(&topic) {
        let Receipt { channel, message_id, kind, about, version, body } = receipt;
        let first = match bodies.insert((channel, message_id), body) {
            Some(before) if before != body => {
                wrong.push(format!("{channel} got two bodies under {message_id}"));
                false
            }
            before => before.is_none(),
        };
        if about.is_empty() {
            continue;
        }
        // Without its id, a message is known by what it says.
        if ids.insert((channel, kind, body), message_id).is_some_and(|before| before != message_id) {
            wrong.push(format!("{channel} got {kind} {about} v{version} under two ids"));
        }
        if first && kind != "session.revoke" {
            let newest = newest.entry((channel, about)).or_default();
            if *version <= *newest {
                wrong.push(format!("{channel} got version {version} of {about} after {newest}"));
            }
            *newest = *version;
        }
    }
    let bad_enough = |alert: &&Alert| alert.severity >= PEOPLE.1.max(Severity::Medium);
    let untold = reference.iter().filter(bad_enough).find(|alert| !newest.contains_key(&(PEOPLE.0, alert.id.as_str())));
    wrong.extend(untold.map(|alert| format!("nobody was told of {} ({})", alert.id, alert.title)));
    wrong
}

/// The records of the alerts topic of a Kafka as receipts; those of a journal are in its own order.
fn topic_receipts(house: &House, state: &State) -> Vec<Receipt> {
    let records = if house.journal.is_some() { None } else { state.topics.get(ALERTS_TOPIC) };
    let header = |record: &crate::log::Outgoing, name: &str| {
        let found = record.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let receipt = |record: &crate::log::Outgoing| Receipt {
        channel: ALERTS_TOPIC_CHANNEL.to_owned(),
        message_id: header(record, "message-id"),
        kind: header(record, "type"),
        about: record.key.clone(),
        version: serde_json::from_slice::<Alert>(&record.payload).map(|alert| alert.version).unwrap_or_default(),
        body: String::from_utf8_lossy(&record.payload).into_owned(),
    };
    records.into_iter().flatten().map(receipt).collect()
}
