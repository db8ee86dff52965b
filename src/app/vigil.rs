//! What the daemon tells of itself: health alerts to the channels for people, and signs of life to whoever misses them.
//!
//! A daemon that died, or that reads nothing, tells nobody. So it says itself when records wait or none come, and a
//! channel with `heartbeat_ms` gets a sign of life while all is well: its other end (a dead man's switch like
//! healthchecks.io, Alertmanager's, a service of one's own) raises the alarm when that stays away. Signs of life are not in
//! the outbox: an old one is worth nothing.

use super::pipeline::Seen;
use crate::canary;
use crate::clock::now_ms;
use crate::db::{Db, DbError};
use crate::flow::Positions;
use crate::log::Committer;
use crate::notify::notice::{Announcement, tell_everyone};
use crate::notify::payload::Notice;
use crate::notify::sample;
use crate::notify::{Channel, Routing, Wake};
use crate::telemetry::health::HealthAlert;
use crate::telemetry::{HealthId, Telemetry, TelemetryConfig};
use bartizan_core::TimeMs;
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(10);
/// Longest try of a sign of life.
const BEAT_MAX: Duration = Duration::from_secs(15);
/// What has notices, or a campaign, of its own.
const TOLD_OTHERWISE: [HealthId; 4] =
    [HealthId::DeliveryFailed, HealthId::RevocationFailing, HealthId::BreakerOpen, HealthId::ResponseStopped];

/// Whether records are judged soon after they are there.
#[derive(Debug)]
struct Flow {
    /// Where the log ended at some times, oldest first: the first is at least `late_ms` old, once there is one.
    ends: VecDeque<(i64, Positions)>,
    /// How many records there were when one last came, and when that was.
    came: (i64, i64),
}

impl Flow {
    fn new(now_ms: i64) -> Self {
        Self { ends: VecDeque::new(), came: (-1, now_ms) }
    }

    /// Takes in where the log ends and what is judged; returns what is wrong: late, silent.
    fn look(&mut self, config: &TelemetryConfig, now_ms: i64, ends: Positions, judged: &Positions) -> (Option<String>, Option<String>) {
        let count: i64 = ends.iter().filter(|(partition, _)| !canary::is_own(partition)).map(|(_, end)| end).sum();
        if count != self.came.0 {
            self.came = (count, now_ms);
        }
        self.ends.push_back((now_ms, ends));
        while self.ends.get(1).is_some_and(|(at_ms, _)| now_ms - at_ms >= config.late_ms) {
            self.ends.pop_front();
        }
        let old = self.ends.front().filter(|(at_ms, _)| now_ms - at_ms >= config.late_ms);
        let waiting: i64 = old.iter().flat_map(|(_, ends)| ends).map(|(at, end)| (end - judged.get(at).unwrap_or(end)).max(0)).sum();
        let late = (waiting > 0).then(|| format!("{waiting} records have waited for over {} s", config.late_ms / SECOND_MS));
        let quiet_ms = now_ms - self.came.1;
        let silent = (config.silent_ms > 0 && quiet_ms >= config.silent_ms).then(|| format!("no record for {} min", quiet_ms / MINUTE_MS));
        (late, silent)
    }
}

/// A channel that gets signs of life.
pub(super) struct Heart {
    /// The channel.
    pub channel: Arc<dyn Channel>,
    /// How often.
    pub every_ms: i64,
}

/// What is watched, and who is told.
pub(super) struct Vigil {
    pub config: TelemetryConfig,
    pub db: Db,
    pub routing: Arc<Routing>,
    pub wake: Wake,
    pub telemetry: Telemetry,
    pub seen: Arc<Mutex<Seen>>,
    pub committer: Arc<dyn Committer>,
    pub hearts: Vec<Heart>,
    pub stop: CancellationToken,
}

impl Vigil {
    /// Runs until stopped.
    pub async fn run(self) {
        let (mut flow, mut told) = (Flow::new(now_ms()), Told::default());
        let mut beats: Vec<i64> = vec![0; self.hearts.len()];
        while self.stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            let now_ms = now_ms();
            let judged = self.seen.lock().positions.clone();
            let (late, silent) = flow.look(&self.config, now_ms, self.committer.ends(), &judged);
            self.telemetry.report(HealthId::PipelineLate, "", late.as_deref());
            self.telemetry.report(HealthId::PipelineSilent, "", silent.as_deref());
            if self.config.tell_after_ms > 0 {
                self.tell(told.news(&self.telemetry.health.active(), self.config.tell_after_ms, now_ms), now_ms).await;
            }
            if late.is_none() && silent.is_none() && self.telemetry.health.unready().is_empty() {
                self.beat(&mut beats, now_ms).await;
            }
        }
    }

    async fn tell(&self, news: Vec<News>, now_ms: i64) {
        if news.is_empty() {
            return;
        }
        let (db, routing) = (self.db.clone(), Arc::clone(&self.routing));
        let work = move || db.write(|tx| news.iter().try_for_each(|one| one.tell(tx, &routing, now_ms)));
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(())) => self.wake.wake(),
            Ok(Err(error)) => tracing::warn!(%error, "health alerts cannot be told"),
            Err(error) => tracing::error!(%error, "telling health alerts failed"),
        }
    }

    async fn beat(&self, beats: &mut [i64], now_ms: i64) {
        let due = self.hearts.iter().zip(beats).filter(|(heart, last)| now_ms - **last >= heart.every_ms);
        let tries = due.map(|(heart, last)| {
            *last = now_ms;
            heart.beat(now_ms)
        });
        futures::future::join_all(tries).await;
    }
}

impl Heart {
    async fn beat(&self, now_ms: i64) {
        let name = self.channel.name();
        let message = sample::sign_of_life(name, now_ms);
        match tokio::time::timeout(BEAT_MAX, self.channel.deliver(&message, now_ms)).await {
            Ok(outcome) => {
                if let Some(error) = outcome.failure() {
                    crate::warn_limited!(channel = name, error, "a sign of life was not taken");
                }
            }
            Err(_) => crate::warn_limited!(channel = name, "a sign of life took too long"),
        }
    }
}

/// Health alerts that were told and are still raised.
#[derive(Debug, Default)]
struct Told(BTreeMap<(HealthId, String), HealthAlert>);

/// A health alert that is to be told: raised, or over.
#[derive(Debug)]
struct News {
    alert: HealthAlert,
    over: bool,
}

impl Told {
    /// What is new since the last look.
    fn news(&mut self, active: &[HealthAlert], after_ms: i64, now_ms: i64) -> Vec<News> {
        let key = |alert: &HealthAlert| (alert.id, alert.subject.clone());
        let raised: BTreeSet<_> = active.iter().map(key).collect();
        let over: Vec<_> = self.0.keys().filter(|known| !raised.contains(*known)).cloned().collect();
        let mut news: Vec<News> = over.iter().filter_map(|key| self.0.remove(key)).map(|alert| News { alert, over: true }).collect();
        for alert in active.iter().filter(|alert| !TOLD_OTHERWISE.contains(&alert.id) && now_ms - alert.since_ms >= after_ms) {
            if self.0.insert(key(alert), alert.clone()).is_none() {
                news.push(News { alert: alert.clone(), over: false });
            }
        }
        news
    }
}

impl News {
    /// Writes it for every channel for people but the one that it is about; the same at most once an hour.
    fn tell(&self, tx: &rusqlite::Connection, routing: &Routing, now_ms: i64) -> Result<(), DbError> {
        let HealthAlert { id, subject, text, detail, runbook, since_ms } = &self.alert;
        let (kind, title) = if self.over { ("health.cleared", "is over") } else { ("health.raised", "is raised") };
        let of = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
        let notice = Notice {
            title: format!("Bartizan itself: {}{of} {title}", id.as_str()),
            text: (*text).to_owned(),
            details: json!({"id": id.as_str(), "subject": subject, "since": TimeMs(*since_ms), "detail": detail, "runbook": runbook}),
        };
        let hour = now_ms.div_euclid(HOUR_MS).to_string();
        let key = [id.as_str(), subject, &hour];
        let except = (*id == HealthId::ChannelFailing).then_some(subject.as_str());
        tell_everyone(tx, routing, &Announcement { kind, key: &key, except, notice: &notice }, now_ms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::db::outbox::State;
    use crate::flow::PartitionId;
    use crate::notify::testing::{messages, people};
    use bartizan_core::Severity;
    use bartizan_core::time::DAY_MS;

    fn at(topic: &str, offset: i64) -> Positions {
        Positions::from([(PartitionId { topic: topic.into(), partition: 0 }, offset)])
    }

    #[test]
    fn what_waits_for_too_long_is_late_and_no_backlog_that_is_worked_off() {
        let (config, mut flow) = (TelemetryConfig { silent_ms: 0, ..TelemetryConfig::default() }, Flow::new(0));
        let mut late = |now_ms, end, judged| flow.look(&config, now_ms, at("logs", end), &at("logs", judged)).0;
        assert_eq!(late(0, 100, 0), None, "it has just come");
        assert_eq!(late(4 * MINUTE_MS, 500, 90), None);
        assert_eq!(late(5 * MINUTE_MS, 600, 90).unwrap(), "10 records have waited for over 300 s");
        assert_eq!(late(6 * MINUTE_MS, 900, 100), None, "what came first is judged");
        assert!(late(9 * MINUTE_MS, 900, 499).is_some());
        assert_eq!(late(20 * MINUTE_MS, 900, 900), None);
    }

    #[test]
    fn silence_is_told_and_the_canary_does_not_break_it() {
        let (config, mut flow) = (TelemetryConfig::default(), Flow::new(0));
        let mut silent = |now_ms, topic, end| flow.look(&config, now_ms, at(topic, end), &at(topic, end)).1;
        assert_eq!(silent(HOUR_MS, "logs", 5), None);
        assert_eq!(silent(DAY_MS, "logs", 5), None, "an hour is missing");
        assert_eq!(silent(DAY_MS + HOUR_MS, "logs", 5).unwrap(), "no record for 1440 min");
        assert_eq!(silent(DAY_MS + HOUR_MS, "logs", 6), None);
        let mut flow = Flow::new(0);
        let both = |end| at("logs", 5).into_iter().chain(at(canary::TOPIC, end)).collect::<Positions>();
        assert_eq!(flow.look(&config, 0, both(0), &both(0)).1, None);
        assert!(flow.look(&config, DAY_MS, both(24), &both(24)).1.is_some());
    }

    #[test]
    fn a_health_alert_that_lasts_is_told_once_and_so_is_its_end() {
        let (telemetry, mut told) = (Telemetry::default(), Told::default());
        telemetry.health.raise(HealthId::StoreDown, "", 0, "refused");
        telemetry.health.raise(HealthId::BreakerOpen, "token_reuse", 0, "acme");
        telemetry.health.raise(HealthId::ResponseStopped, "", 0, "by ann");
        let mut kinds = |now_ms| {
            let news = told.news(&telemetry.health.active(), MINUTE_MS, now_ms);
            news.iter().map(|one| (one.alert.id, one.over)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(MINUTE_MS - 1), []);
        assert_eq!(kinds(MINUTE_MS), [(HealthId::StoreDown, false)], "breakers have their campaign, the switch its notice");
        assert_eq!(kinds(2 * MINUTE_MS), []);
        telemetry.health.clear(HealthId::StoreDown, "");
        assert_eq!(kinds(3 * MINUTE_MS), [(HealthId::StoreDown, true)]);
    }

    #[test]
    fn a_failing_channel_is_told_by_the_others() {
        let db = Db::in_memory().unwrap();
        let routing = Routing { channels: vec![people("a", Severity::Medium), people("b", Severity::Medium)], ..Routing::default() };
        let telemetry = Telemetry::default();
        telemetry.health.raise(HealthId::ChannelFailing, "a", 0, "503");
        let news = Told::default().news(&telemetry.health.active(), MINUTE_MS, MINUTE_MS);
        for _ in 0..2 {
            db.write(|tx| news.iter().try_for_each(|one| one.tell(tx, &routing, MINUTE_MS))).unwrap();
        }
        assert_eq!(messages(&db, "a", State::Pending), []);
        let told = messages(&db, "b", State::Pending);
        assert_eq!(told.iter().map(|message| message.kind.as_str()).collect::<Vec<_>>(), ["health.raised"]);
    }
}
