//! Opens the log: Kafka where it is configured, else the local journal.

use crate::canary;
use crate::config::Config;
use crate::db::Db;
use crate::flow::Positions;
use crate::log::journal::Journal;
use crate::log::kafka::{self, KafkaAppender};
use crate::log::{Appender, Committer, INGEST_TOPIC, LogError, Source};
use crate::normalise::Format;
use std::collections::HashMap;
use std::sync::Arc;

/// File of the journal within `data_dir`.
pub(super) const JOURNAL: &str = "journal.db";

/// The log as its users see it.
pub(super) struct OpenLog {
    /// Where records are appended.
    pub appender: Arc<dyn Appender>,
    /// Where records are read.
    pub source: Box<dyn Source>,
    /// Where positions are committed.
    pub committer: Arc<dyn Committer>,
    /// Format of each topic.
    pub formats: HashMap<Arc<str>, Format>,
}

/// Formats of the topics that the daemon itself writes and reads.
pub(crate) fn own_formats() -> HashMap<Arc<str>, Format> {
    HashMap::from([(Arc::from(INGEST_TOPIC), Format::Canonical), (Arc::from(canary::TOPIC), Format::Canary)])
}

/// Opens the log for reading from `start`.
pub(super) fn open(config: &Config, db: &Db, start: &Positions) -> Result<OpenLog, LogError> {
    let mut formats = own_formats();
    let Some(settings) = &config.kafka else {
        let path = config.data_dir.join(JOURNAL);
        let journal = Journal::open(&path, &config.journal)?;
        let source = Box::new(journal.source(&path, start)?);
        return Ok(OpenLog { appender: Arc::new(journal.clone()), source, committer: Arc::new(journal), formats });
    };
    for topic in &settings.topics {
        let format = topic.format.parse().map_err(|_| LogError::Fatal(format!("kafka.topics: there is no format {:?}", topic.format)))?;
        formats.insert(Arc::from(topic.name.as_str()), format);
    }
    let instance_id = instance_id(&settings.instance_id, db)?;
    let (source, positions) = kafka::open_source(settings, &instance_id, start.clone())?;
    let appender = Arc::new(KafkaAppender::new(settings)?);
    Ok(OpenLog { appender, source: Box::new(source), committer: Arc::new(positions), formats })
}

/// The configured static member id, or the one that was made for this installation.
fn instance_id(configured: &str, db: &Db) -> Result<String, LogError> {
    if !configured.is_empty() {
        return Ok(configured.to_owned());
    }
    let made = || format!("bartizan-{:016x}", rand::random::<u64>()).into_bytes();
    let kept = db.fact("kafka_instance_id", made).map_err(|error| LogError::Fatal(error.to_string()))?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}
