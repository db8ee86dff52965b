//! `GET /api/v1/stream`: alerts as they are opened or updated, as server-sent events.
//!
//! One [`Hub`] follows the changes of alerts and keeps the newest in memory, each written once for
//! all streams. A stream reads the ring at its own pace: a client that is too slow, or was away for
//! too long, misses what the ring no longer holds; its stream ends, and on reconnecting it should read
//! again what it shows. Ids grow over restarts, so `Last-Event-ID` never means another run's alert.

use super::auth::Caller;
use super::problem::Problem;
use super::query::{NoParams, Params};
use super::{ApiState, HttpConfig, openapi};
use crate::alert::change::AlertChange;
use crate::clock::now_ms;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, Interval};
use tokio_util::sync::CancellationToken;

/// A comment is sent when nothing else was for this long.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often an open stream's token is looked up again.
const TOKEN_CHECK: Duration = Duration::from_secs(2);
/// What clients should wait before they come back.
const RETRY: Duration = Duration::from_secs(2);
/// Ids in one millisecond: they begin at the time of the start.
const IDS_PER_MS: u64 = 1_000;

/// One change as it is sent.
#[derive(Debug)]
struct Frame {
    id: u64,
    event: &'static str,
    tenant: String,
    data: String,
}

/// The newest changes.
#[derive(Debug)]
pub struct Hub {
    frames_max: usize,
    bytes_max: usize,
    frames: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

impl Hub {
    /// A hub of a process that starts now.
    #[must_use]
    pub fn new(now_ms: i64, config: &HttpConfig) -> Self {
        let first = u64::try_from(now_ms).unwrap_or(0).saturating_mul(IDS_PER_MS);
        let HttpConfig { stream_frames_max: frames_max, stream_bytes_max: bytes_max, .. } = *config;
        Self { frames_max, bytes_max, frames: Mutex::default(), newest: watch::Sender::new(first) }
    }

    /// Keeps a change and tells all streams.
    pub fn publish(&self, change: &AlertChange) {
        // An alert is always written.
        let Ok(data) = serde_json::to_string(&change.alert) else { return };
        let mut ring = self.frames.lock();
        let id = *self.newest.borrow() + 1;
        ring.bytes += data.len();
        ring.frames.push_back(Arc::new(Frame { id, event: change.kind, tenant: change.alert.tenant.clone(), data }));
        while ring.frames.len() > self.frames_max || ring.bytes > self.bytes_max {
            let Some(oldest) = ring.frames.pop_front() else { break };
            ring.bytes -= oldest.data.len();
        }
        self.newest.send_replace(id);
    }

    /// Publishes all changes until there will be no more.
    pub async fn follow(self: Arc<Self>, mut changes: broadcast::Receiver<Arc<AlertChange>>) {
        loop {
            match changes.recv().await {
                Ok(change) => self.publish(&change),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "live view missed changes of alerts"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The frames after `id`; `None`: some of them are gone.
    fn after(&self, id: u64) -> Option<VecDeque<Arc<Frame>>> {
        let ring = self.frames.lock();
        let newest = *self.newest.borrow();
        let oldest = ring.frames.front().map_or(newest + 1, |frame| frame.id);
        (id + 1 >= oldest).then(|| ring.frames.iter().filter(|frame| frame.id > id).cloned().collect())
    }

    /// All frames that are there, for a client whose last one is gone.
    fn all(&self) -> VecDeque<Arc<Frame>> {
        self.frames.lock().frames.clone()
    }
}

/// One open stream.
struct Feed {
    state: ApiState,
    caller: Caller,
    newest: watch::Receiver<u64>,
    waiting: VecDeque<Arc<Frame>>,
    last: u64,
    check: Interval,
    shutdown: CancellationToken,
    greeted: bool,
    _open: Open,
}

/// Counts an open stream.
struct Open {
    streams: crate::telemetry::metrics::Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.dec();
    }
}

impl Feed {
    /// The next frame for this caller; `None`: the stream is over.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if !self.greeted {
            self.greeted = true;
            return Some((Ok(Event::default().retry(RETRY).comment("connected")), self));
        }
        loop {
            while let Some(frame) = self.waiting.pop_front() {
                self.last = frame.id;
                if self.caller.sees(&frame.tenant) {
                    let event = Event::default().id(frame.id.to_string()).event(frame.event).data(&frame.data);
                    return Some((Ok(event), self));
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                changed = self.newest.changed() => {
                    changed.ok()?;
                    self.waiting = self.state.hub.after(self.last)?;
                }
                _ = self.check.tick() => {
                    if !self.caller.is_still_valid(&self.state).await {
                        return None;
                    }
                }
            }
        }
    }
}

/// Alerts as they are opened or updated.
#[utoipa::path(get, path = "/api/v1/stream", tag = "alerts",
    params(("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was seen: what came since is sent first, as far as it is still known")),
    responses((status = 200, description = "Server-sent events `alert.opened`, `alert.updated` and `alert.resolved`; the data of each is an alert",
        body = String, content_type = "text/event-stream"), openapi::QuestionErrors))]
pub async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| Problem::unavailable("too many open streams", 30))?;
    state.reads.note(&caller, "stream.opened", "alerts", caller.tenant.as_deref());
    state.metrics.streams.inc();
    let open = Open { streams: state.metrics.streams.clone(), _permit: permit };
    let newest = state.hub.newest.subscribe();
    let now = *newest.borrow();
    // An id that is not of ours is as good as none.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let waiting = last.filter(|last| *last <= now).map(|last| state.hub.after(last).unwrap_or_else(|| state.hub.all())).unwrap_or_default();
    let check = tokio::time::interval_at(Instant::now() + TOKEN_CHECK, TOKEN_CHECK);
    let shutdown = state.shutdown.clone();
    let feed = Feed { state, caller, newest, waiting, last: now, check, shutdown, greeted: false, _open: open };
    Ok(Sse::new(futures::stream::unfold(feed, Feed::next)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")))
}

/// A hub that follows `changes`, in a task of its own.
pub(super) fn start(changes: &broadcast::Sender<Arc<AlertChange>>, config: &HttpConfig) -> Arc<Hub> {
    let hub = Arc::new(Hub::new(now_ms(), config));
    tokio::spawn(Arc::clone(&hub).follow(changes.subscribe()));
    hub
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn change(id: &str) -> AlertChange {
        AlertChange { kind: "alert.opened", alert: crate::notify::testing::alert(id) }
    }

    #[test]
    fn the_ring_replays_what_it_holds_and_says_what_it_does_not() {
        let config = HttpConfig { stream_frames_max: 100, ..HttpConfig::default() };
        let hub = Hub::new(5, &config);
        let start = *hub.newest.borrow();
        assert!(hub.after(start).unwrap().is_empty());
        for number in 0..110 {
            hub.publish(&change(&number.to_string()));
        }
        assert!(hub.after(start).is_none(), "ten are gone");
        assert_eq!(hub.after(start + 10).unwrap().len(), 100);
        assert_eq!(hub.after(start + 109).unwrap().len(), 1);
        assert!(*Hub::new(7, &config).newest.borrow() > *hub.newest.borrow(), "ids grow over restarts");
    }
}
