//! Deliverers against a real receiver on this machine; retries are quick here, the clock is real.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::log::{Appender, Appending, LogError, Outgoing};
use crate::notify::channels::kafka::TopicChannel;
use crate::notify::channels::webhook::Webhook;
use crate::notify::config::ChannelConfig;
use crate::notify::payload::message_id;
use crate::notify::signed_http::SigningKey;
use crate::notify::testing::{SECRET, alert, commit_at, messages, people, target};
use crate::notify::{Effects, Route};
use crate::respond::Target;
use crate::secret::Secret;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::time::Instant;

/// Longest wait for anything in these tests.
const DEADLINE: Duration = Duration::from_secs(20);

/// One call as the receiver saw it.
#[derive(Clone, Debug)]
struct Call {
    id: String,
    body: String,
}

/// What the receiver answers, by the number of the call (from 0) and its body.
type Answer = dyn Fn(usize, &str) -> (u16, Vec<(&'static str, &'static str)>) + Send + Sync;

struct Receiver {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    async fn start(answer: impl Fn(usize, &str) -> (u16, Vec<(&'static str, &'static str)>) + Send + Sync + 'static) -> Self {
        let (calls, answer): (Arc<Mutex<Vec<Call>>>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let seen = Arc::clone(&calls);
        let handle = move |headers: HeaderMap, body: String| {
            let number = {
                let mut seen = seen.lock();
                seen.push(checked(&headers, &body));
                seen.len() - 1
            };
            let (status, headers) = answer(number, &body);
            async move {
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                let mut response = StatusCode::from_u16(status).unwrap().into_response();
                headers.into_iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, value.parse().unwrap())));
                response
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/in", post(handle))).await });
        Self { url, calls }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }
}

/// Checks the signature as a receiver does.
fn checked(headers: &HeaderMap, body: &str) -> Call {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let key = SigningKey::new(&Secret::new(SECRET.to_owned())).unwrap();
    assert_eq!(header("webhook-signature"), key.sign(&id, timestamp.parse().unwrap(), body));
    Call { id, body: body.to_owned() }
}

fn webhook(name: &str, url: &str, allow_private: bool) -> Arc<dyn Channel> {
    let table = json!({"name": name, "kind": "webhook", "url": url, "secret": SECRET, "allow_private": allow_private});
    let config: ChannelConfig = serde_json::from_value(table).unwrap();
    assert!(config.problems().is_empty());
    Arc::new(Webhook::new(&config).unwrap())
}

/// Deliverers at work on a database, until dropped.
struct Running {
    deliveries: Deliveries,
    tasks: JoinSet<()>,
}

impl Running {
    fn start(db: &Db, routing: &Routing, channels: Vec<Arc<dyn Channel>>) -> Self {
        Self::switched(db, routing, channels, &StopSwitch::of("/nowhere".as_ref()))
    }

    fn switched(db: &Db, routing: &Routing, channels: Vec<Arc<dyn Channel>>, switch: &StopSwitch) -> Self {
        let quick = Schedule { first_ms: 20, quick_max_ms: 50, ..Schedule::default() };
        let deliveries = Deliveries {
            db: db.clone(),
            routing: Arc::new(routing.clone()),
            schedule: quick,
            clock: Clock::system(),
            switch: switch.clone(),
            telemetry: Telemetry::default(),
            wake: Wake::default(),
            shutdown: CancellationToken::new(),
        };
        let tasks = deliveries.spawn(channels).unwrap();
        Self { deliveries, tasks }
    }

    async fn stop(mut self) {
        self.deliveries.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn routing(names: &[&str]) -> Routing {
    Routing { channels: names.iter().map(|name| people(name, Severity::Info)).collect(), ..Routing::default() }
}

/// Commits a fresh alert (its events are of now, so it is no backlog).
fn open(db: &Db, id: &str, version: u32, severity: Severity, routing: &Routing) -> Effects {
    let now_ms = crate::clock::now_ms();
    let mut one = crate::alert::Alert { version, severity, ..alert(id) };
    (one.first_event_time, one.last_event_time, one.detected_time) = (TimeMs(now_ms), TimeMs(now_ms), TimeMs(now_ms));
    commit_at(db, &one, routing, now_ms).unwrap()
}

#[tokio::test]
async fn errors_are_tried_again_under_the_same_id_and_in_the_alerts_order() {
    let receiver = Receiver::start(|number, _| (if number < 3 { 500 } else { 204 }, vec![])).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["oncall"]));
    open(&db, "a1", 1, Severity::High, &routing);
    open(&db, "a1", 2, Severity::Critical, &routing);
    let running = Running::start(&db, &routing, vec![webhook("oncall", &receiver.url, true)]);
    until("both are delivered", || messages(&db, "oncall", State::Delivered).len() == 2).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 5);
    assert!(calls[..4].iter().all(|call| call.id == calls[0].id && call.body.contains("alert.opened")));
    assert!(calls[4].body.contains("alert.updated"));
    assert_eq!(messages(&db, "oncall", State::Delivered)[0].attempts, 4);
    let Telemetry { metrics, latencies, .. } = running.deliveries.telemetry.clone();
    running.stop().await;
    let counted = |outcome| metrics.deliveries.with(["oncall", outcome]).get();
    assert_eq!([counted("delivered"), counted("retried"), counted("failed")], [2, 3, 0]);
    let samples = |wanted| latencies.snapshot().into_iter().find(|(stage, _)| *stage == wanted).map(|(_, measured)| measured.count);
    assert_eq!((samples(Stage::Deliver), samples(Stage::EventToDelivery)), (Some(5), Some(1)), "one opening");
}

#[tokio::test]
async fn a_channel_that_hangs_delays_no_other_and_no_shutdown() {
    let hangs = Receiver::start(|_, _| (0, vec![])).await;
    let works = Receiver::start(|_, _| (200, vec![])).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["hangs", "works"]));
    let running = Running::start(&db, &routing, vec![webhook("hangs", &hangs.url, true), webhook("works", &works.url, true)]);
    for number in 0..20 {
        open(&db, &format!("a{number}"), 1, Severity::High, &routing);
    }
    running.deliveries.wake.wake();
    until("the other has all", || messages(&db, "works", State::Delivered).len() == 20).await;
    assert_eq!(messages(&db, "hangs", State::Pending).len(), 20);
    until("tries hang", || hangs.calls().len() == 4).await;
    let begun = Instant::now();
    running.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn gone_ends_a_channel_for_its_address_and_others_hear_of_it() {
    let gone = Receiver::start(|_, _| (410, vec![])).await;
    let works = Receiver::start(|_, _| (200, vec![])).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["gone", "works"]));
    let running = Running::start(&db, &routing, vec![webhook("gone", &gone.url, true), webhook("works", &works.url, true)]);
    open(&db, "a1", 1, Severity::High, &routing);
    running.deliveries.wake.wake();
    until("the other hears of it", || works.calls().iter().any(|call| call.body.contains("channel.ended"))).await;
    open(&db, "a2", 1, Severity::High, &routing);
    assert_eq!(messages(&db, "gone", State::Failed).len(), 1);
    assert!(messages(&db, "gone", State::Pending).is_empty());
    running.stop().await;
    let again = Running::start(&db, &routing, vec![webhook("gone", &works.url, true)]);
    until("it lives at its new address", || db.read(channels::ended).unwrap().is_empty()).await;
    again.stop().await;
}

#[tokio::test]
async fn redirects_and_private_addresses_are_refused() {
    let inner = Receiver::start(|_, _| (200, vec![])).await;
    let location: &'static str = Box::leak(inner.url.clone().into_boxed_str());
    let redirects = Receiver::start(move |_, _| (307, vec![("location", location)])).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["redirects", "inner"]));
    open(&db, "a1", 1, Severity::High, &routing);
    let named = inner.url.replace("http://127.0.0.1", "https://localhost");
    let running = Running::start(&db, &routing, vec![webhook("redirects", &redirects.url, true), webhook("inner", &named, false)]);
    let error =
        |channel: &str| messages(&db, channel, State::Pending).first().and_then(|message| message.last_error.clone()).unwrap_or_default();
    until("both failed", || !error("redirects").is_empty() && !error("inner").is_empty()).await;
    assert!(error("redirects").contains("redirects are not followed"), "{}", error("redirects"));
    assert!(error("inner").contains("private address"), "{}", error("inner"));
    assert!(inner.calls().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_channel_that_asks_for_time_gets_it() {
    let receiver = Receiver::start(|number, _| if number == 0 { (429, vec![("retry-after", "2")]) } else { (200, vec![]) }).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["oncall"]));
    let running = Running::start(&db, &routing, vec![webhook("oncall", &receiver.url, true)]);
    open(&db, "a1", 1, Severity::High, &routing);
    running.deliveries.wake.wake();
    until("the first call", || receiver.calls().len() == 1).await;
    until("it waits", || messages(&db, "oncall", State::Pending).iter().any(|message| message.last_error.is_some())).await;
    let begun = Instant::now();
    open(&db, "a2", 1, Severity::High, &routing);
    running.deliveries.wake.wake();
    until("both are delivered", || messages(&db, "oncall", State::Delivered).len() == 2).await;
    assert!(begun.elapsed() > Duration::from_millis(1_500), "the second message waits as well");
    running.stop().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_delivers_each_message_once_in_effect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work.db");
    let routing = routing(&["oncall"]);
    let receiver = Receiver::start(|number, _| match number % 3 {
        0 => (503, vec![]),
        _ => (200, vec![]),
    })
    .await;
    let db = Db::open(&path).unwrap();
    for number in 0..30 {
        open(&db, &format!("a{number}"), 1, Severity::High, &routing);
    }
    let running = Running::start(&db, &routing, vec![webhook("oncall", &receiver.url, true)]);
    until("it is in the middle", || receiver.calls().len() >= 10).await;
    // Dropped, not stopped: as in a crash, nothing is recorded of what is in flight.
    drop(running);
    drop(db);
    let db = Db::open(&path).unwrap();
    let running = Running::start(&db, &routing, vec![webhook("oncall", &receiver.url, true)]);
    until("all are delivered", || messages(&db, "oncall", State::Delivered).len() == 30).await;
    let ids: BTreeSet<String> = receiver.calls().into_iter().map(|call| call.id).collect();
    let wanted: BTreeSet<String> = (0..30).map(|number| message_id(&["alert", "oncall", &format!("a{number}"), "1"])).collect();
    assert_eq!(ids, wanted, "repetitions come under the same id");
    running.stop().await;
}

fn hook(db: &Db, url: &str) -> (Routing, Arc<dyn Channel>) {
    let config = target("identity", url, false);
    let target = Target::new(&config, db, &crate::normalise::HeldTokens::default()).unwrap();
    (Routing { channels: vec![people("oncall", Severity::Info)], targets: vec![config], ..Routing::default() }, Arc::new(target))
}

#[tokio::test]
async fn a_tested_target_says_gone_and_an_untested_one_is_misconfigured() {
    let tested = Receiver::start(|_, body| (if body.contains("\"test\"") { 200 } else { 404 }, vec![])).await;
    let db = Db::in_memory().unwrap();
    let (routing, channel) = hook(&db, &tested.url);
    let running = Running::start(&db, &routing, vec![channel]);
    open(&db, "a1", 1, Severity::High, &routing);
    running.deliveries.wake.wake();
    until("the session is gone", || messages(&db, "revoke:identity", State::Delivered).len() == 1).await;
    assert!(messages(&db, "revoke:identity", State::Delivered)[0].last_error.as_ref().unwrap().contains("gone"));
    running.stop().await;

    let wrong = Receiver::start(|_, _| (404, vec![])).await;
    let db = Db::in_memory().unwrap();
    let (routing, channel) = hook(&db, &wrong.url);
    let running = Running::start(&db, &routing, vec![channel]);
    open(&db, "a1", 1, Severity::High, &routing);
    running.deliveries.wake.wake();
    let error = || messages(&db, "revoke:identity", State::Pending).first().and_then(|message| message.last_error.clone());
    until("it is tried again", || error().is_some_and(|error| error.contains("wrong address"))).await;
    running.stop().await;
}

#[tokio::test]
async fn a_revocation_that_cannot_be_made_in_time_is_told_to_people() {
    let down = Receiver::start(|_, _| (500, vec![])).await;
    let db = Db::in_memory().unwrap();
    let (routing, channel) = hook(&db, &down.url);
    open(&db, "a1", 1, Severity::High, &routing);
    let soon = crate::clock::now_ms() + 300;
    db.write::<_, DbError>(|tx| Ok(tx.execute("UPDATE outbox SET not_after_ms = ?1 WHERE kind = 'session.revoke'", [soon])?)).unwrap();
    let running = Running::start(&db, &routing, vec![channel]);
    until("it expired", || messages(&db, "revoke:identity", State::Expired).len() == 1).await;
    let told = messages(&db, "oncall", State::Pending);
    assert!(told.iter().any(|message| message.kind == "revocation.failed" && message.body.contains("ses-1")));
    let order = down.calls().into_iter().filter(|call| call.body.contains("session.revoke")).count();
    assert!(order >= 2, "it was tried until then");
    running.stop().await;
}

#[tokio::test]
async fn a_faulty_detector_ends_no_more_sessions_than_the_brakes_allow() {
    let idp = Receiver::start(|_, _| (200, vec![])).await;
    let db = Db::in_memory().unwrap();
    let (routing, channel) = hook(&db, &idp.url);
    let now_ms = crate::clock::now_ms();
    for number in 0..5_000 {
        let mut healthy = alert(&format!("a{number}"));
        (healthy.last_event_time, healthy.detected_time) = (TimeMs(now_ms), TimeMs(now_ms));
        healthy.severity = Severity::Critical;
        healthy.subjects = vec![
            Subject::new(EntityKind::User, format!("u{number}"), Role::Victim),
            Subject::new(EntityKind::Session, format!("ses-{number}"), Role::Victim).hit(),
        ];
        healthy.entities = crate::alert::Entities::of(&healthy.subjects);
        commit_at(&db, &healthy, &routing, now_ms);
    }
    let running = Running::start(&db, &routing, vec![channel]);
    let delivered = || messages(&db, "revoke:identity", State::Delivered).len();
    until("nothing waits any more", || messages(&db, "revoke:identity", State::Pending).is_empty()).await;
    assert_eq!(delivered(), 30, "what the brakes allow in ten minutes");
    let ended: BTreeSet<String> = idp.calls().into_iter().filter(|call| call.body.contains("session.revoke")).map(|call| call.id).collect();
    assert_eq!(ended.len(), 30);
    assert_eq!(messages(&db, "revoke:identity", State::Held).len(), 4_970, "the others wait for a person");
    running.stop().await;
}

#[tokio::test]
async fn what_is_given_up_is_visible_and_told_elsewhere() {
    let down = Receiver::start(|_, _| (500, vec![])).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["down", "other"]));
    open(&db, "a1", 1, Severity::High, &routing);
    db.write::<_, DbError>(|tx| Ok(tx.execute("UPDATE outbox SET created_ms = created_ms - 86400000 WHERE channel = 'down'", [])?))
        .unwrap();
    let running = Running::start(&db, &routing, vec![webhook("down", &down.url, true)]);
    until("it failed", || messages(&db, "down", State::Failed).len() == 1).await;
    assert!(messages(&db, "other", State::Pending).iter().any(|message| message.kind == "delivery.failed"));
    assert!(messages(&db, "down", State::Pending).is_empty(), "a failure is not told to the channel that failed");
    running.stop().await;
}

/// A channel that takes nothing.
struct Refuses;

impl Channel for Refuses {
    fn name(&self) -> &str {
        "refuses"
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, _: &'a Message, _: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Refused("HTTP 400 invalid_blocks".to_owned())))
    }
}

#[tokio::test]
async fn what_is_refused_is_given_up_at_once_and_told_elsewhere() {
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["refuses", "other"]));
    open(&db, "a1", 1, Severity::High, &routing);
    let running = Running::start(&db, &routing, vec![Arc::new(Refuses)]);
    until("it failed", || messages(&db, "refuses", State::Failed).len() == 1).await;
    let failed = messages(&db, "refuses", State::Failed).remove(0);
    assert_eq!((failed.attempts, failed.last_error.as_deref()), (1, Some("HTTP 400 invalid_blocks")));
    assert!(messages(&db, "other", State::Pending).iter().any(|message| message.kind == "delivery.failed"));
    running.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_channel_that_is_gone_has_failed_and_can_come_back() {
    let receiver = Receiver::start(|_, _| (200, vec![])).await;
    let (db, routing) = (Db::in_memory().unwrap(), routing(&["oncall"]));
    open(&db, "a1", 1, Severity::High, &routing);
    Running::start(&db, &routing, vec![]).stop().await;
    assert_eq!(messages(&db, "oncall", State::Failed).len(), 1);
    db.write::<_, DbError>(|tx| Ok(outbox::retry_failed(tx, "oncall", crate::clock::now_ms())?)).unwrap();
    let running = Running::start(&db, &routing, vec![webhook("oncall", &receiver.url, true)]);
    until("it is delivered", || messages(&db, "oncall", State::Delivered).len() == 1).await;
    running.stop().await;
}

/// Topic, key and payload.
type Record = (String, Vec<u8>, Vec<u8>);

/// A log that fails its first append.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<Record>>,
    failed: std::sync::atomic::AtomicBool,
}

impl Appender for Log {
    fn append<'a>(&'a self, topic: &'a str, records: Vec<Outgoing>) -> Appending<'a> {
        Box::pin(async move {
            if !self.failed.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return Err(LogError::Retry("not now".to_owned()));
            }
            self.records.lock().extend(records.into_iter().map(|record| (topic.to_owned(), record.key.into_bytes(), record.payload)));
            Ok(())
        })
    }
}

#[tokio::test]
async fn every_version_goes_to_the_topic_in_order() {
    let db = Db::in_memory().unwrap();
    let routing = Routing { channels: vec![Route::every_version("alerts-topic")], ..Routing::default() };
    for version in 1..=5 {
        open(&db, "a1", version, Severity::Low, &routing);
    }
    let log = Arc::new(Log::default());
    let producer: Arc<dyn Appender> = log.clone();
    let running = Running::start(&db, &routing, vec![Arc::new(TopicChannel::new("alerts-topic", "bartizan.alerts", producer))]);
    until("all are there", || log.records.lock().len() == 5).await;
    let versions: Vec<u32> =
        log.records.lock().iter().map(|(_, _, body)| serde_json::from_slice::<crate::alert::Alert>(body).unwrap().version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    assert!(log.records.lock().iter().all(|(topic, key, _)| topic == "bartizan.alerts" && key == b"a1"));
    running.stop().await;
}

/// A target that takes its time; its tenth call finds the switch thrown while others are under way.
struct Slow {
    switch: StopSwitch,
    begun: Arc<Mutex<Vec<bool>>>,
}

impl Channel for Slow {
    fn name(&self) -> &str {
        "revoke:identity"
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn acts(&self) -> bool {
        true
    }

    fn deliver<'a>(&'a self, _: &'a Message, _: i64) -> futures::future::BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let number = {
                let mut begun = self.begun.lock();
                begun.push(self.switch.is_thrown());
                begun.len()
            };
            if number == 10 {
                assert!(self.switch.stop("ann", "a test", 1).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            // Every other one fails: what is under way is not tried again either.
            if number % 2 == 0 { Outcome::retry("503") } else { Outcome::Delivered(None) }
        })
    }
}

#[tokio::test]
async fn no_call_that_acts_begins_once_the_switch_is_thrown() {
    let folder = tempfile::tempdir().unwrap();
    let (db, switch, begun) = (Db::in_memory().unwrap(), StopSwitch::of(folder.path()), Arc::<Mutex<Vec<bool>>>::default());
    let mut target = target("identity", "http://127.0.0.1:9/", false);
    (target.brakes.ten_minutes_max, target.brakes.hour_max) = (1_000, 1_000);
    let routing = Routing { channels: vec![people("oncall", Severity::Info)], targets: vec![target], ..Routing::default() };
    let now_ms = crate::clock::now_ms();
    for number in 0..100 {
        let mut one = alert(&format!("a{number}"));
        (one.first_event_time, one.last_event_time, one.detected_time) = (TimeMs(now_ms), TimeMs(now_ms), TimeMs(now_ms));
        one.subjects = vec![
            bartizan_core::Subject::new(bartizan_core::EntityKind::User, format!("u{number}"), bartizan_core::Role::Victim),
            bartizan_core::Subject::new(bartizan_core::EntityKind::Session, format!("ses-{number}"), bartizan_core::Role::Victim).hit(),
        ];
        one.entities = crate::alert::Entities::of(&one.subjects);
        commit_at(&db, &one, &routing, now_ms);
    }
    let waiting = || messages(&db, "revoke:identity", State::Pending);
    assert_eq!(waiting().len(), 100);
    let told = Receiver::start(|_, _| (200, vec![])).await;
    let slow = Arc::new(Slow { switch: switch.clone(), begun: Arc::clone(&begun) });
    let running = Running::switched(&db, &routing, vec![slow, webhook("oncall", &told.url, true)], &switch);
    until("it is thrown", || switch.is_thrown()).await;
    let soon = crate::clock::now_ms() + 300;
    let expiring = waiting().last().unwrap().id;
    db.write::<_, DbError>(|tx| Ok(tx.execute("UPDATE outbox SET not_after_ms = ?1 WHERE id = ?2", [soon, expiring])?)).unwrap();
    // People are told as ever, among it of what runs out of time; each wake has the target's task look again.
    until("what runs out of time is escalated", || {
        running.deliveries.wake.wake();
        told.calls().iter().any(|call| call.body.contains("revocation.failed"))
    })
    .await;
    until("all that was under way is over", || begun.lock().len() == 10 && messages(&db, "revoke:identity", State::Delivered).len() == 5)
        .await;
    assert_eq!(*begun.lock(), [false; 10]);
    assert_eq!(waiting().len(), 94, "ten begun of which five are to be tried again, and one that expired");

    switch.start(&db, &routing, "kim", crate::clock::now_ms()).unwrap();
    running.deliveries.wake.wake();
    until("the rest goes out", || waiting().is_empty()).await;
    assert_eq!(messages(&db, "revoke:identity", State::Delivered).len(), 99);
    running.stop().await;
}
