//! Who read personal data: on its way to the audit trail, and never in the way of the read.
//!
//! A read is put into a bounded queue, and one task writes what is there in one transaction. A console that refreshes
//! makes one record an hour for each caller and thing. What finds the queue full or the database failing is counted, and
//! recorded when it is read again.

use super::HttpConfig;
use super::auth::Caller;
use super::query::Params;
use crate::blocking::blocking;
use crate::clock::now_ms;
use crate::db::{Db, DbError, audit};
use crate::telemetry::Metrics;
use bartizan_core::TimeMs;
use bartizan_core::time::HOUR_MS;
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Reads written in one transaction.
const BATCH_MAX: usize = 256;

/// One read.
#[derive(Debug)]
struct Read {
    at_ms: i64,
    actor: String,
    token: String,
    action: &'static str,
    subject: String,
    tenant: Option<String>,
}

/// Names a read but for its time.
type Key = [u8; 32];

/// What was noted within one hour.
#[derive(Debug, Default)]
struct Noted {
    hour: i64,
    keys: HashSet<Key>,
}

/// Takes note of reads; clones share it.
#[derive(Clone, Debug)]
pub struct Reads {
    queue: mpsc::Sender<Read>,
    noted: Arc<Mutex<Noted>>,
    noted_max: usize,
    metrics: Metrics,
}

impl Reads {
    /// Starts the task that writes, until `shutdown`. Wants to be called on a runtime.
    #[must_use]
    pub fn start(db: Db, config: &HttpConfig, metrics: Metrics, shutdown: CancellationToken) -> Self {
        let (queue, read) = mpsc::channel(config.reads_queue_max);
        let reads = Self { queue, noted: Arc::default(), noted_max: config.reads_noted_max, metrics };
        tokio::spawn(write(reads.clone(), read, db, shutdown));
        reads
    }

    /// Takes note that `caller` read `subject`, of this tenant (`None`: of all).
    pub fn note(&self, caller: &Caller, action: &'static str, subject: &str, tenant: Option<&str>) {
        let read = Read {
            at_ms: now_ms(),
            actor: caller.name.clone(),
            token: caller.id.clone(),
            action,
            subject: subject.to_owned(),
            tenant: tenant.map(str::to_owned),
        };
        if self.is_new(&read)
            && let Err(mpsc::error::TrySendError::Full(read) | mpsc::error::TrySendError::Closed(read)) = self.queue.try_send(read)
        {
            self.lose(&read);
        }
    }

    /// The same of a list: what it was asked, but for the page, times to the hour.
    pub fn note_list(&self, caller: &Caller, action: &'static str, params: &Params, tenant: Option<&str>) {
        let asked = params.pairs().filter(|(name, _)| !matches!(*name, "cursor" | "limit" | "tenant")).map(|(name, value)| {
            let time = matches!(name, "since" | "until").then(|| TimeMs::parse(value)).flatten();
            time.map_or_else(|| format!("{name}={value}"), |time| format!("{name}={}", TimeMs(time.0.div_euclid(HOUR_MS) * HOUR_MS)))
        });
        let mut asked: Vec<_> = asked.collect();
        asked.sort();
        self.note(caller, action, &asked.join("&"), tenant);
    }

    fn is_new(&self, read: &Read) -> bool {
        let (mut noted, hour) = (self.noted.lock(), read.at_ms.div_euclid(HOUR_MS));
        if noted.hour != hour || noted.keys.len() >= self.noted_max {
            *noted = Noted { hour, keys: HashSet::new() };
        }
        noted.keys.insert(key(read))
    }

    fn lose(&self, read: &Read) {
        self.metrics.reads_lost.inc();
        self.noted.lock().keys.remove(&key(read));
        crate::warn_limited!(actor = read.actor, action = read.action, "a read could not be recorded");
    }
}

fn key(read: &Read) -> Key {
    Sha256::digest(format!("{:?}", (&read.token, read.action, &read.subject, &read.tenant))).into()
}

async fn write(reads: Reads, mut queue: mpsc::Receiver<Read>, db: Db, shutdown: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        if shutdown.run_until_cancelled(queue.recv_many(&mut batch, BATCH_MAX)).await.is_none() {
            queue.close();
            // Waits for nothing more: what is there, or the end.
            queue.recv_many(&mut batch, BATCH_MAX).await;
        }
        if batch.is_empty() {
            return;
        }
        let (db, reads, read) = (db.clone(), reads.clone(), std::mem::take(&mut batch));
        let work = move || {
            if let Err(error) = db.write(|tx| read.iter().try_for_each(|read| record(tx, read))) {
                tracing::error!(%error, "reads cannot be recorded");
                read.iter().for_each(|read| reads.lose(read));
            }
        };
        if let Err(error) = blocking(work).await {
            tracing::error!(%error, "recording reads failed");
        }
    }
}

fn record(tx: &rusqlite::Connection, read: &Read) -> Result<(), DbError> {
    let detail = json!({"tenant": read.tenant, "token": read.token});
    Ok(audit::record(tx, read.at_ms, &read.actor, read.action, &read.subject, &detail)?)
}
