//! The daemon killed (SIGKILL) at random moments, again and again, while simulated traffic flows from
//! Kafka into the embedded store.
//!
//! Afterwards every event is in the store once, no version of an alert was told in two ways or is
//! missing, the alerts are those of an undisturbed run, and each message had its effect once. `make
//! test` runs a few rounds of it, `make soak` as many as it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};

use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, written};
use crate::support::outcome::{Versions, assert_same_alerts, assert_stored_once, replayed_file, stop_whole, told_whole, wait_until_done};
use crate::support::scenario::{
    BASE, Kills, SECRET, Script, Store, assert_repeated_only_over, by_id, kafka_section, kill, revocation_section, revocations,
    webhook_section,
};
use crate::support::setting;
use crate::support::traffic::{Event, PARTITIONS, Traffic, send};
use crate::support::webhook::{Received, Webhook};

/// Stolen sessions in the last hour of the traffic: each must be ended once.
const THEFTS: usize = 40;
/// Longest life between two kills: a start takes about a second, so about half of the lives end before
/// they have read anything new.
const LIFE_MAX: Duration = Duration::from_millis(3_000);
/// How long the rest may take after the last kill.
const SETTLED: Duration = Duration::from_secs(300);
/// The brakes on revocations count by the clock, so what they would hold depends on the kills.
const NO_BRAKES: &str = "brakes = { ten_minutes_max = 100000, hour_max = 100000, active_min = 1000000, user_day_max = 1000 }\n";

#[test]
fn kills_at_random_moments_change_nothing_of_what_comes_out() {
    let (rounds, seed) = (setting("SOAK_ROUNDS", 20) as usize, setting("SOAK_SEED", u64::from(std::process::id())));
    let mut broker = Broker::start();
    broker.cluster.create_topic("auth", PARTITIONS);
    let thefts = (0..THEFTS).fold(Script::new("robbed"), Script::theft).lines();
    let traffic = Traffic::simulate(seed, setting("SOAK_EVENTS", 40_000), &thefts);
    println!("SOAK_SEED={seed}: {rounds} kills, {} events over {PARTITIONS} partitions", traffic.len());

    let (told, asked) = (Webhook::start(), Webhook::start());
    let mut config = kafka_section(&broker.cluster, "bartizan", &["auth"]) + BASE;
    config += &webhook_section("oncall", &told.url("/alerts"));
    config += &(revocation_section("identity", &asked.url("/revoke"), false) + NO_BRAKES);
    let mut daemon = Daemon::prepare(&config);
    let wanted = replayed_file(&daemon, &traffic.write(&daemon.folder));

    let started = Instant::now();
    let kills = live_and_die(&mut daemon, &broker, &traffic, rounds, seed);
    let killed = started.elapsed();
    daemon.wait_until_ready(SETTLED);
    wait_until_done(&mut daemon, "auth", traffic.len(), SETTLED);
    println!("{killed:.0?} of kills, {:.0?} to the end", started.elapsed());
    assert_stored_once(&Store::of(&daemon).expect("the store"), "bartizan", traffic.distinct());
    let alerts = told_whole(&broker.cluster);
    assert_same_alerts(&alerts, &wanted);
    assert_effects_once(&daemon, &kills, &alerts, (&told, &asked));
    stop_whole(&mut daemon, &broker.cluster, ("bartizan", "auth"), traffic.len());
    broker.stop();
}

/// Writes the traffic piece by piece, and ends each piece with a kill at a random moment of the life.
fn live_and_die(daemon: &mut Daemon, broker: &Broker, traffic: &Traffic, rounds: usize, seed: u64) -> Kills {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (producer, mut kills) = (broker.cluster.producer(), Kills::new());
    let events: Vec<Event<'_>> = traffic.events().collect();
    daemon.launch();
    for piece in events.chunks(events.len().div_ceil(rounds.max(1))) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                send(&producer, "auth", piece.iter().copied());
                written(&producer, SETTLED);
            });
            std::thread::sleep(random.random_range(Duration::ZERO..LIFE_MAX));
            kill(daemon, &mut kills);
        });
        daemon.launch();
    }
    kills
}

/// Each message came once for a receiver that honours ids, each alert was opened by one message, and
/// each theft asked for once.
fn assert_effects_once(daemon: &Daemon, kills: &Kills, alerts: &Versions, hooks: (&Webhook, &Webhook)) {
    let (told, asked) = (hooks.0.received(), revocations(&hooks.1.received()));
    for received in [&told, &asked] {
        assert_repeated_only_over(kills, received);
        for request in received {
            request.verify(SECRET).unwrap();
        }
    }
    let status = daemon.get("/api/v1/status", &daemon.token("viewer", None)).json();
    let channel = |name: &str| status["channels"].as_array().unwrap().iter().find(|channel| channel["name"] == name).unwrap();
    assert_eq!((channel("oncall")["delivered"].as_u64(), channel("oncall")["failed"].as_u64()), (Some(by_id(&told).len() as u64), Some(0)));

    let mut openings: HashMap<String, usize> = HashMap::new();
    for message in by_id(&told).values().filter(|message| message["type"] == "alert.opened") {
        *openings.entry(message["data"]["id"].to_string()).or_default() += 1;
    }
    assert!(openings.values().all(|count| *count == 1), "opened by several messages: {openings:?}");
    // Hits are told singly however many there are.
    let hits = alerts.values().filter(|alert| ["high", "critical"].iter().any(|severity| alert["severity"] == *severity));
    let untold: BTreeSet<_> = hits.map(|alert| alert["id"].to_string()).filter(|id| !openings.contains_key(id)).collect();
    assert!(untold.is_empty(), "never opened: {untold:?}");

    let mut sessions: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let of_script = |request: &&Received| request.json()["data"]["tenant"] == "robbed";
    for request in asked.iter().filter(of_script) {
        sessions.entry(request.json()["data"]["session"].to_string()).or_default().insert(request.id());
    }
    assert_eq!(sessions.len(), THEFTS, "stolen sessions that were ended: {sessions:?}");
    assert!(sessions.values().all(|ids| ids.len() == 1), "ended by several messages: {sessions:?}");
    for (what, received) in [("webhook", &told), ("revocation", &asked)] {
        let different = by_id(received).len();
        println!("{different} {what} messages, {} repetitions that a receiver without their ids had seen", received.len() - different);
    }
}
