//! Outages of broker, store, channels and disk under half load, one after another and together.
//!
//! The load goes on through all of them. Afterwards nothing is missing or doubled, everything was told,
//! memory stayed flat, and nobody had to help. `make soak` runs it, and prints how long each outage took
//! to be caught up with.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::disk::Disk;
use crate::support::kafka::{Broker, Producing, written};
use crate::support::outcome::{assert_same_alerts, assert_stored_once, replayed_file, stop_whole, told_whole, wait_until_done};
use crate::support::proxy::Proxy;
use crate::support::scenario::{BASE, Store, by_id, kafka_section, webhook_section};
use crate::support::smtp::Smtp;
use crate::support::traffic::{PARTITIONS, Traffic, send, send_at};
use crate::support::webhook::Webhook;
use crate::support::{PATIENCE, setting};

/// The database in the server.
const DATABASE: &str = "elsewhere";
const SETTLED: Duration = Duration::from_secs(600);
/// Events of the first, measured part: as fast as it goes.
const WARM_EVENTS: usize = 400_000;
/// Messages that may wait at any time: at this load a day of events goes by in minutes, its attacks as well.
const MESSAGES_MAX: usize = 200;
/// The daemon's own disk; it keeps 256 MiB of it in reserve.
const DISK_MEBIBYTES: u64 = 1_024;
/// Resident memory may grow by this much beyond its greatest before any outage: what the bounded queues
/// and buffers of pipeline and Kafka client hold when they are full, and users seen since.
const GROWTH_KIB_MAX: u64 = 384 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Broker,
    Store,
    Channels,
    Disk,
}

struct Scene {
    broker: Broker,
    server: Daemon,
    proxy: Proxy,
    webhook: Webhook,
    mail: Smtp,
    disk: Option<Disk>,
    daemon: Daemon,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let broker = Broker::start();
        broker.cluster.create_topic("auth", PARTITIONS);
        let server = Daemon::start(BASE);
        let store = Store::of(&server).expect("the server's store");
        let (_, user, password) = store.endpoint();
        let (webhook, mail, proxy, disk) = (Webhook::start(), Smtp::start(), Proxy::closed(), Disk::mount(DISK_MEBIBYTES));
        let mut config = kafka_section(&broker.cluster, "bartizan", &["auth"]) + BASE + &webhook_section("oncall", &webhook.url("/"));
        config += &format!(
            "[[channels]]\nname = \"mail\"\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:{}\"\nfrom = \"bartizan@example.org\"\n\
             to = [\"oncall@example.org\"]\nmin_severity = \"critical\"\n",
            mail.port
        );
        config += &format!(
            "[clickhouse]\nurl = \"http://127.0.0.1:{}\"\ndatabase = \"{DATABASE}\"\nuser = \"{user}\"\npassword_file = \"store.secret\"\n",
            proxy.port
        );
        let mut daemon = Daemon::prepare(&config);
        daemon.write("store.secret", password);
        if let Some(disk) = &disk {
            daemon.set_env("BARTIZAN__DATA_DIR", disk.path.display().to_string());
        }
        let token = daemon.token("viewer", None);
        let mut scene = Self { broker, server, proxy, webhook, mail, disk, daemon, token };
        scene.open_store();
        scene
    }

    fn store(&self) -> Store {
        Store::of(&self.server).expect("the server's store")
    }

    fn open_store(&mut self) {
        let store = self.store();
        self.proxy.open(store.endpoint().0.strip_prefix("http://").expect("a plain address"));
    }

    /// Takes a part away.
    fn fail(&mut self, part: Part) {
        match part {
            Part::Broker => self.broker.kill(),
            Part::Store => self.proxy.close(),
            Part::Channels => {
                self.webhook.stop();
                self.mail.stop();
            }
            Part::Disk => self.disk.as_ref().expect("a disk").fill(),
        }
    }

    /// Gives it back.
    fn mend(&mut self, part: Part) {
        match part {
            Part::Broker => self.broker.start_again(),
            Part::Store => self.open_store(),
            Part::Channels => {
                self.webhook.start_again();
                self.mail.start_again();
            }
            Part::Disk => self.disk.as_ref().expect("a disk").empty(),
        }
    }

    /// Events that were sent and are not stored yet, and messages that are not delivered.
    fn backlog(&self, shared: &Shared) -> Option<(usize, usize)> {
        let sent = shared.sent.load(Ordering::Acquire);
        let status = self.daemon.get("/api/v1/status", &self.token).json();
        let received = usize::try_from(status["events"]["in"].as_u64()?).ok()?;
        let waiting = usize::try_from(status["store"]["rows_pending"].as_u64()?).ok()?;
        let pending = status["channels"].as_array()?.iter().filter_map(|channel| channel["pending"].as_u64()).sum::<u64>();
        Some((sent.saturating_sub(received) + waiting, usize::try_from(pending).ok()?))
    }

    /// Waits until all is well, less than a second of the load is waiting, and no more messages than an
    /// attack under way makes.
    fn wait_caught_up(&mut self, shared: &Shared, load: f64) {
        let token = self.token.clone();
        let mut last = None;
        let start = Instant::now();
        while !last.is_some_and(|(events, messages)| (events as f64) < load && messages < MESSAGES_MAX) {
            assert!(start.elapsed() < SETTLED, "not caught up: {last:?}; {}", self.daemon.get("/api/v1/status", &token).body);
            self.daemon.wait_until_ready(SETTLED);
            last = self.backlog(shared);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What the load and the watch on memory share with the outages.
#[derive(Default)]
struct Shared {
    sent: AtomicUsize,
    /// Greatest resident memory since it was last asked for, KiB.
    memory_kib: AtomicU64,
    over: AtomicBool,
}

#[test]
#[ignore = "takes minutes: make soak"]
fn outages_one_after_another_and_together_cost_nothing() {
    let outage = Duration::from_secs(setting("SOAK_OUTAGE_S", 20));
    let traffic = Traffic::simulate(setting("SOAK_SEED", 7), setting("SOAK_OUTAGE_EVENTS", 20_000_000), &[]);
    let mut scene = Scene::new();
    if scene.disk.is_none() {
        println!("no full disk: this user may not mount one");
    }
    let producer = scene.broker.cluster.producer();
    send(&producer, "auth", traffic.events().take(WARM_EVENTS));
    written(&producer, SETTLED);
    scene.daemon.launch();
    scene.daemon.wait_until_ready(PATIENCE);
    let started = Instant::now();
    wait_until_done(&mut scene.daemon, "auth", WARM_EVENTS, SETTLED);
    let capacity = WARM_EVENTS as f64 / started.elapsed().as_secs_f64();
    let (half, id) = (capacity / 2.0, scene.daemon.id());
    println!("capacity {capacity:.0} events/s from Kafka to ClickHouse; load {half:.0} events/s; outages of {outage:?}");

    let shared = Shared { sent: AtomicUsize::new(WARM_EVENTS), ..Shared::default() };
    let all_sent = std::thread::scope(|scope| {
        scope.spawn(|| watch_memory(id, &shared));
        let load = scope.spawn(|| feed(&producer, &traffic, half, &shared));
        // Whatever fails, the other two threads end.
        let outages = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| all_outages(&mut scene, &shared, outage, half)));
        shared.over.store(true, Ordering::Release);
        let sent = load.join().expect("the load");
        outages.map(|()| sent)
    });
    let sent = all_sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) + WARM_EVENTS;
    assert!(sent < traffic.len(), "the traffic ended before the outages: SOAK_OUTAGE_EVENTS must be larger");

    wait_until_done(&mut scene.daemon, "auth", sent, SETTLED);
    let all = sent;
    let sent = traffic.first(sent);
    assert_stored_once(&scene.store(), DATABASE, sent.distinct());
    let alerts = told_whole(&scene.broker.cluster);
    assert_same_alerts(&alerts, &replayed_file(&scene.daemon, &sent.write(&scene.daemon.folder)));
    assert_channels_told(&scene);
    stop_whole(&mut scene.daemon, &scene.broker.cluster, ("bartizan", "auth"), all);
}

/// Takes parts away and gives them back, in turns and together, and waits each time until all is caught up with.
fn all_outages(scene: &mut Scene, shared: &Shared, length: Duration, load: f64) {
    use Part::{Broker, Channels, Disk, Store};
    scene.wait_caught_up(shared, load);
    let steady_kib = shared.memory_kib.swap(0, Ordering::AcqRel);
    println!("{:<40} {:>12} {:>14} {:>14}", "outage", "caught up", "events behind", "memory");
    println!("{:<40} {:>12} {:>14} {:>10} MiB", "none", "", "", steady_kib >> 10);
    let disks: &[Part] = if scene.disk.is_some() { &[Disk] } else { &[] };
    let together = [&[Broker, Store, Channels], disks].concat();
    let alone = [vec![Broker], vec![Store], vec![Channels], disks.to_vec()].map(|parts| (parts, length));
    let outages = alone.into_iter().chain([(together, length), (vec![Broker, Store, Channels], length * 6)]);
    let mut most_kib = steady_kib;
    for (parts, length) in outages.filter(|(parts, _)| !parts.is_empty()) {
        let begun = Instant::now();
        parts.iter().for_each(|part| scene.fail(*part));
        if parts != [Channels] {
            scene.daemon.wait_for("an unready daemon", PATIENCE, Daemon::unready);
        }
        std::thread::sleep(length.saturating_sub(begun.elapsed()));
        parts.iter().for_each(|part| scene.mend(*part));
        let (mended, behind) = (Instant::now(), scene.backlog(shared).map_or(0, |(events, _)| events));
        scene.wait_caught_up(shared, load);
        let (took, kib) = (mended.elapsed().as_secs_f64(), shared.memory_kib.swap(0, Ordering::AcqRel));
        most_kib = most_kib.max(kib);
        println!("{:<40} {took:>10.1} s {behind:>14} {:>10} MiB", format!("{parts:?} for {length:?}"), kib >> 10);
    }
    assert!(most_kib < steady_kib + GROWTH_KIB_MAX, "memory grew from {steady_kib} to {most_kib} KiB");
}

/// Sends the rest of the traffic at a rate, until it is over.
fn feed(producer: &Producing, traffic: &Traffic, per_second: f64, shared: &Shared) -> usize {
    send_at(producer, "auth", traffic.events().skip(WARM_EVENTS), per_second, |sent| {
        shared.sent.store(WARM_EVENTS + sent, Ordering::Release);
        !shared.over.load(Ordering::Acquire)
    })
}

fn watch_memory(process: u32, shared: &Shared) {
    while !shared.over.load(Ordering::Acquire) {
        shared.memory_kib.fetch_max(resident_kib(process).unwrap_or(0), Ordering::AcqRel);
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// What the daemon says that it delivered is what came, each message once for who honours ids.
fn assert_channels_told(scene: &Scene) {
    let status = scene.daemon.get("/api/v1/status", &scene.token).json();
    let count = |name: &str, what: &str| {
        let channels = status["channels"].as_array().expect("channels");
        let channel = channels.iter().find(|channel| channel["name"] == name).expect("the channel");
        usize::try_from(channel[what].as_u64().expect("a count")).expect("a count")
    };
    let (received, mails) = (scene.webhook.received(), scene.mail.mails());
    let webhooks = by_id(&received).len();
    let mail_ids: BTreeSet<_> = mails.iter().map(|mail| &mail.headers["message-id"]).collect();
    for (name, came, different) in [("oncall", received.len(), webhooks), ("mail", mails.len(), mail_ids.len())] {
        assert_eq!((different, 0, 0), (count(name, "delivered"), count(name, "pending"), count(name, "failed")), "{name}");
        println!("{name}: {different} messages, {} repetitions", came - different);
    }
}
