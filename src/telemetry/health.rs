//! What is wrong with the daemon itself, now: a small registry that everything may raise and clear.
//!
//! `/readyz`, `/api/v1/status` and the metric read it. An alert has an id from a closed list and a
//! subject where there are several of a kind (a channel, a detector, a file); raising again what is
//! raised keeps its beginning. Each id has an entry of that name in the runbook.

use super::TelemetryConfig;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;

/// Bytes of a detail or subject that are kept.
const TEXT_BYTES_MAX: usize = 512;
/// The file whose headings are the ids.
pub const RUNBOOK: &str = "deploy/runbook.md";

/// Subject of [`HealthId::DiskFull`] when free space under `data_dir` is below the reserve.
pub const DATA_DIR: &str = "data_dir";

/// Declares the ids with their name, whether they stop the daemon from being ready, and their text.
macro_rules! ids {
    ($($variant:ident = $name:literal, $ready:ident, $text:literal;)+) => {
        /// What can be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum HealthId { $(#[doc = $text] #[serde(rename = $name)] $variant,)+ }

        impl HealthId {
            /// All ids.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The id in answers, in metrics, and as the heading in the runbook.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Is the daemon unready while this is raised?
            #[must_use]
            pub const fn stops_readiness(self) -> bool {
                match self { $(Self::$variant => ids!(@ $ready),)+ }
            }
        }
    };
    (@ ready) => { false };
    (@ unready) => { true };
}

ids! {
    StoreDown = "store_down", unready, "The store does not answer; events wait in the log and nothing is lost.";
    BrokerDown = "broker_down", unready, "The Kafka brokers do not answer; no events come in.";
    PartitionsLost = "partitions_lost", unready, "Partitions were taken away; detection has stopped until they are back.";
    SourcePaused = "source_paused", ready, "Reading is paused because a later stage is slow.";
    PipelineLate = "pipeline_late", ready, "Records have waited too long to be judged; alerts come late.";
    PipelineSilent = "pipeline_silent", ready, "No record has come for a long time; what sends them may have stopped.";
    DiskFull = "disk_full", unready, "The disk is full or over its budget; nothing new is taken.";
    ChannelFailing = "channel_failing", ready, "A channel does not take messages; they are tried again.";
    DeliveryFailed = "delivery_failed", ready, "Messages could not be delivered in time and were given up.";
    RevocationFailing = "revocation_failing", ready, "Actions failed or wait for people: somebody has to decide.";
    ResponseStopped = "response_stopped", ready, "Machines were stopped from acting; people have to end sessions themselves.";
    CheckpointFailed = "checkpoint_failed", ready, "State and positions could not be saved; a restart would repeat more work.";
    PositionsLost = "positions_lost", ready, "The log no longer has the records after the saved positions; some were never judged.";
    PlacesMissing = "places_missing", ready, "A place or network file is missing or damaged; events have no place or network from it.";
    DetectorDisabled = "detector_disabled", ready, "A detector failed and was switched off; the others go on.";
    BreakerOpen = "breaker_open", ready, "A detector opens far more alerts than usual; further ones are folded into one campaign.";
    DetectorSilent = "detector_silent", ready, "The canary's attack was not found, or did not come back.";
    ClockSkew = "clock_skew", ready, "Events come from the future, or this machine's clock is wrong.";
}

/// A health alert that is raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthAlert {
    /// Which.
    pub id: HealthId,
    /// Of what there are several: the channel, detector or file; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// The id's sentence.
    pub text: &'static str,
    /// What exactly is wrong.
    pub detail: String,
    /// Where the runbook says what to do.
    pub runbook: String,
}

/// What is wrong now; shared by reference.
#[derive(Debug)]
pub struct Health {
    active_max: usize,
    active: Mutex<BTreeMap<(HealthId, String), (i64, String)>>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(TelemetryConfig::default().health_alerts_max)
    }
}

impl Health {
    /// Nothing wrong; records so many alerts at once.
    #[must_use]
    pub fn new(active_max: usize) -> Self {
        Self { active_max, active: Mutex::default() }
    }

    /// Raises an alert, or renews its detail. True if it was not raised before.
    pub fn raise(&self, id: HealthId, subject: &str, since_ms: i64, detail: &str) -> bool {
        let mut active = self.active.lock();
        let full = active.len() >= self.active_max;
        match active.entry((id, cut(subject))) {
            std::collections::btree_map::Entry::Occupied(mut raised) => {
                raised.get_mut().1 = cut(detail);
                return false;
            }
            std::collections::btree_map::Entry::Vacant(_) if full => return false,
            std::collections::btree_map::Entry::Vacant(free) => free.insert((since_ms, cut(detail))),
        };
        tracing::warn!(id = id.as_str(), subject, detail, "health alert raised");
        true
    }

    /// Clears an alert. True if it was raised.
    pub fn clear(&self, id: HealthId, subject: &str) -> bool {
        let cleared = self.active.lock().remove(&(id, cut(subject))).is_some();
        if cleared {
            tracing::info!(id = id.as_str(), subject, "health alert cleared");
        }
        cleared
    }

    /// Is the disk so full that nothing new may be taken?
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.active.lock().contains_key(&(HealthId::DiskFull, DATA_DIR.to_owned()))
    }

    /// Sets the alerts of one id to exactly these subjects with their details, as after files were read again.
    pub fn replace(&self, id: HealthId, since_ms: i64, subjects: &BTreeMap<String, String>) {
        let gone: Vec<String> = self.active().into_iter().filter(|alert| alert.id == id).map(|alert| alert.subject).collect();
        for subject in gone.iter().filter(|subject| !subjects.keys().any(|kept| cut(kept) == **subject)) {
            self.clear(id, subject);
        }
        for (subject, detail) in subjects {
            self.raise(id, subject, since_ms, detail);
        }
    }

    /// Everything that is raised, in the order of the ids.
    #[must_use]
    pub fn active(&self) -> Vec<HealthAlert> {
        let active = self.active.lock();
        let shown = active.iter().map(|((id, subject), (since_ms, detail))| HealthAlert {
            id: *id,
            subject: subject.clone(),
            since_ms: *since_ms,
            text: id.text(),
            detail: detail.clone(),
            runbook: format!("{RUNBOOK}#{}", id.as_str()),
        });
        shown.collect()
    }

    /// What keeps the daemon from being ready; empty if nothing does.
    #[must_use]
    pub fn unready(&self) -> Vec<HealthAlert> {
        self.active().into_iter().filter(|alert| alert.id.stops_readiness()).collect()
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or("").to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_alert_keeps_its_beginning_until_it_is_cleared() {
        let health = Health::default();
        assert!(health.raise(HealthId::StoreDown, "", 10, "refused"));
        assert!(!health.raise(HealthId::StoreDown, "", 20, "timed out"));
        let active = health.active();
        assert_eq!((active.len(), active[0].since_ms, active[0].detail.as_str()), (1, 10, "timed out"));
        assert_eq!(active[0].runbook, "deploy/runbook.md#store_down");
        assert!(health.clear(HealthId::StoreDown, ""));
        assert!(!health.clear(HealthId::StoreDown, ""));
        assert_eq!(health.active(), []);
    }

    #[test]
    fn channels_fail_one_by_one_and_do_not_stop_readiness() {
        let health = Health::default();
        health.raise(HealthId::ChannelFailing, "oncall", 1, "503");
        health.raise(HealthId::ChannelFailing, "mail", 2, "refused");
        health.clear(HealthId::ChannelFailing, "oncall");
        assert_eq!(health.active()[0].subject, "mail");
        assert_eq!(health.unready(), []);
        health.raise(HealthId::PartitionsLost, "", 3, "rebalance");
        assert_eq!(health.unready().len(), 1);
        let json = serde_json::to_value(&health.unready()[0]).unwrap();
        assert_eq!((json["id"].as_str(), json.get("subject")), (Some("partitions_lost"), None));
    }

    #[test]
    fn replacing_keeps_what_stays_and_clears_what_is_gone() {
        let health = Health::default();
        let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "not found".to_owned())).collect();
        health.replace(HealthId::PlacesMissing, 1, &files(&["a", "b"]));
        health.replace(HealthId::PlacesMissing, 2, &files(&["b", "c"]));
        let shown: Vec<_> = health.active().into_iter().map(|alert| (alert.subject, alert.since_ms)).collect();
        assert_eq!(shown, [("b".into(), 1), ("c".into(), 2)]);
    }

    #[test]
    fn the_registry_is_bounded() {
        let health = Health::new(70);
        for number in 0..140 {
            health.raise(HealthId::DeliveryFailed, &number.to_string(), 0, &"é".repeat(1_000));
        }
        assert_eq!(health.active().len(), 70);
        assert!(health.active().iter().all(|alert| alert.detail.len() <= TEXT_BYTES_MAX));
    }
}
