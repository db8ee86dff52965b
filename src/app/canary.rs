//! Sends the canary's rounds, and tells what came of them.

use crate::canary::{Far, Rounds, TOPIC, Watch};
use crate::clock::now_ms;
use crate::enrich::Enricher;
use crate::log::Appender;
use crate::telemetry::{HealthId, Telemetry};
use bartizan_core::geo::distance_km;
use bartizan_core::{EventBatch, EventDraft, NetworkClass, Place};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked what came of a round, and whether another is due.
const LOOK: Duration = Duration::from_secs(1);
/// The first round waits so long at most, for a daemon that has just started has other things to do.
const FIRST_MS: i64 = 60_000;
/// What is far away: more than any place file or gateway is wrong by.
const FAR_KM: f64 = 6_000.0;
/// Where one may be at home, and far away: universities, which have held their addresses for decades.
const HOMES: [Ipv4Addr; 2] = [Ipv4Addr::new(130, 149, 7, 20), Ipv4Addr::new(129, 132, 19, 20)];
const AWAYS: [Ipv4Addr; 3] = [Ipv4Addr::new(128, 250, 201, 20), Ipv4Addr::new(133, 11, 9, 20), Ipv4Addr::new(143, 107, 1, 20)];

/// Sends rounds.
pub(super) struct Canary {
    pub rounds: Rounds,
    pub watch: Watch,
    pub interval_ms: i64,
    pub appender: Arc<dyn Appender>,
    pub enricher: Arc<Enricher>,
    pub telemetry: Telemetry,
    pub stop: CancellationToken,
}

impl Canary {
    /// Runs until stopped.
    pub async fn run(mut self) {
        let mut due_ms = now_ms().saturating_add(self.interval_ms.min(FIRST_MS));
        while self.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let now_ms = now_ms();
            let is_held_up = self.is_held_up();
            self.telemetry.health.replace(HealthId::DetectorSilent, now_ms, &self.watch.look(now_ms, is_held_up));
            if let Some(judged_ms) = self.watch.standing().judged_ms {
                self.telemetry.metrics.canary_last.set(judged_ms as f64 / 1e3);
            }
            if now_ms >= due_ms && !is_held_up && self.watch.is_free(now_ms) {
                due_ms = now_ms.saturating_add(self.interval_ms);
                self.send(now_ms).await;
            }
        }
    }

    /// Is it known, and told, why nothing is judged?
    fn is_held_up(&self) -> bool {
        self.telemetry.health.active().iter().any(|alert| alert.id.stops_readiness() || alert.id == HealthId::SourcePaused)
    }

    async fn send(&mut self, now_ms: i64) {
        if self.watch.standing().missing_ms.is_some() {
            self.rounds.start_over();
        }
        let round = self.rounds.next(now_ms, &self.watch.days(), far(&self.enricher));
        let records = match round.records() {
            Ok(records) => records,
            Err(error) => return tracing::error!(%error, "canary cannot be written"),
        };
        // Before it is sent, as it may be back at once.
        self.watch.begin(&round);
        if let Err(error) = self.appender.append(TOPIC, records).await {
            tracing::warn!(%error, "canary cannot be appended to the log");
            self.watch.give_up();
            self.rounds.start_over();
        }
    }
}

/// Two addresses that the place files put far apart; none if they know no such.
fn far(enricher: &Enricher) -> Option<Far> {
    let mut events = EventBatch::default();
    for ip in HOMES.iter().chain(&AWAYS) {
        events.push(&EventDraft { ip: Some(IpAddr::V4(*ip)), ..EventDraft::default() });
    }
    enricher.enrich(&mut events, &mut enricher.cache());
    let places: Vec<(IpAddr, Place)> = events
        .iter()
        .filter(|event| event.network_class().tells_place() && event.network_class() != NetworkClass::Mobile)
        .filter_map(|event| Some((event.ip()?, event.place()?)))
        .collect();
    let pairs = places.iter().flat_map(|home| places.iter().map(move |away| (home, away)));
    let mut far = pairs.filter(|((_, home), (_, away))| distance_km(home, away) > FAR_KM && home.country != away.country);
    far.next().map(|((home, _), (away, _))| [*home, *away])
}
