//! The daemon killed (SIGKILL) at chosen moments of a stream whose order is known.
//!
//! Afterwards every event is in the store once, the alerts are those of an undisturbed run to the byte,
//! and nobody was told anything twice, except what was in flight at a kill, and that under the same id.
//! (`kills` does it at random moments, with several partitions and many events.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Cluster, shared};
use crate::support::outcome;
use crate::support::scenario::{
    BASE, Kills, Line, Script, assert_repeated_only_over, by_id, distinct, kafka_section, kill, replayed, revocation_section, revocations,
    stored, wait_until_stored, wait_until_told, webhook_section,
};
use crate::support::unique;
use crate::support::webhook::Webhook;

const SETTLED: Duration = Duration::from_secs(90);
const THEFTS: usize = 8;

/// When a daemon is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Right after its start.
    Starting,
    /// Once half of what was written is in the store.
    Storing,
    /// Once it has told something new, or everything is stored.
    Telling,
    /// While everything that was written is stored, and its checkpoint is being taken.
    Idle,
}

/// A daemon on Kafka with a webhook and a revocation hook.
struct Scene {
    cluster: &'static Cluster,
    topic: String,
    tenant: String,
    lines: Vec<Line>,
    told: Webhook,
    asked: Webhook,
    daemon: Daemon,
}

impl Scene {
    fn new() -> Self {
        let (cluster, topic, tenant) = (shared(), unique("crash"), unique("crash"));
        cluster.create_topic(&topic, 1);
        let script = (0..THEFTS).fold(Script::new(&tenant).ordinary(4_000), |script, n| script.stuffing(n).theft(n));
        let (told, asked) = (Webhook::start(), Webhook::start());
        let mut config = kafka_section(cluster, &unique("group"), &[&topic]) + BASE;
        config += &webhook_section("oncall", &told.url("/alerts"));
        config += &revocation_section("identity", &asked.url("/revoke"), false);
        let daemon = Daemon::prepare(&config);
        Self { cluster, topic, tenant, lines: script.lines(), told, asked, daemon }
    }

    /// Writes the lines piece by piece, and kills the daemon after some of them.
    fn run(&mut self, kills_after: &[(usize, Moment)]) -> Kills {
        let mut kills = Kills::new();
        let mut written = 0;
        self.daemon.launch();
        let lines = self.lines.clone();
        for (piece, chunk) in lines.chunks(lines.len().div_ceil(12)).enumerate() {
            let records = chunk.iter().map(|line| (self.topic.as_str(), line.user.as_str(), line.time_ms, line.text.as_bytes()));
            self.cluster.produce_at(records);
            written += chunk.len();
            for (_, moment) in kills_after.iter().filter(|(after, _)| *after == piece) {
                self.wait_for(*moment, written);
                kill(&mut self.daemon, &mut kills);
                self.daemon.launch();
            }
        }
        kills
    }

    fn wait_for(&mut self, moment: Moment, written: usize) {
        let told_before = self.told.received().len();
        let told = &self.told;
        let reached = |daemon: &Daemon| match moment {
            Moment::Starting => true,
            Moment::Storing => stored(daemon).is_some_and(|stored| stored >= written / 2),
            Moment::Telling => told.received().len() > told_before || stored(daemon) == Some(written),
            Moment::Idle => stored(daemon) == Some(written),
        };
        self.daemon.wait_for(&format!("{moment:?} after {written}"), SETTLED, |daemon| reached(daemon).then_some(()));
    }

    /// Each alert was opened once, each theft asked for once, and nothing was repeated without cause.
    fn assert_told_once(&self, kills: &Kills, wanted: &BTreeMap<(String, u64), Value>) {
        let ids: BTreeSet<&str> = wanted.keys().map(|(id, _)| id.as_str()).collect();
        let is_open = |request: &Value| request["type"] == "alert.opened";
        let opened = |messages: &BTreeMap<String, Value>| messages.values().filter(|message| is_open(message)).count();
        self.told.wait_until("all alerts opened", SETTLED, |received| opened(&by_id(received)) >= ids.len());
        self.asked.wait_until("all revocations", SETTLED, |received| by_id(&revocations(received)).len() >= THEFTS);
        let (told, asked) = (self.told.received(), revocations(&self.asked.received()));
        assert_repeated_only_over(kills, &told);
        assert_repeated_only_over(kills, &asked);
        assert_eq!(opened(&by_id(&told)), ids.len(), "alerts opened");
        let sessions: Vec<String> = by_id(&asked).values().map(|ask| ask["data"]["session"].to_string()).collect();
        assert_eq!(sessions.len(), THEFTS, "{sessions:?}");
        assert_eq!(sessions.iter().collect::<BTreeSet<_>>().len(), THEFTS, "{sessions:?}");
        for request in told.iter().chain(&asked) {
            request.verify(crate::support::scenario::SECRET).unwrap();
        }
    }
}

#[test]
fn kills_in_mid_stream_change_nothing_of_what_comes_out() {
    let mut scene = Scene::new();
    let wanted = replayed(&scene.daemon, &scene.lines);
    assert!(wanted.len() >= 2 * THEFTS, "a script with attacks");
    let moments = [(0, Moment::Starting), (2, Moment::Telling), (4, Moment::Storing), (6, Moment::Idle), (9, Moment::Telling)];
    let kills = scene.run(&moments);
    wait_until_stored(&mut scene.daemon, distinct(&scene.lines), SETTLED);
    wait_until_told(scene.cluster, &mut scene.daemon, &scene.tenant, &wanted, SETTLED);
    scene.assert_told_once(&kills, &wanted);
}

/// Two partitions whose records came in another order than their times: read again from the log, they
/// would be merged by their times, and what was late would be judged.
#[test]
fn the_order_in_which_records_came_survives_a_kill() {
    let (cluster, ahead, behind, tenant) = (shared(), unique("ahead"), unique("behind"), unique("order"));
    cluster.create_topic(&ahead, 1);
    cluster.create_topic(&behind, 1);
    let lines = (22..24).fold(Script::new(&tenant).ordinary(500), Script::stuffing).lines();
    let late = Script::new(&tenant).stuffing(1).lines();
    let write = |topic: &str, lines: &[Line]| {
        cluster.produce_at(lines.iter().map(|line| (topic, line.user.as_str(), line.time_ms, line.text.as_bytes())));
    };
    // The second attack of the stream comes after the kill.
    let first_of_last = lines.iter().position(|line| line.user == "name-23-0").unwrap();
    let (before, after) = lines.split_at(first_of_last);
    let quiet = lines.iter().position(|line| line.user == "name-22-0").unwrap();

    let without_checkpoints = BASE.replace("checkpoint_interval_ms = 500", "checkpoint_interval_ms = 3600000");
    let mut daemon = Daemon::prepare(&(kafka_section(cluster, &unique("group"), &[&ahead, &behind]) + &without_checkpoints));
    daemon.launch();
    write(&ahead, &before[..quiet]);
    let token = daemon.token("admin", None);
    let status = |daemon: &Daemon| daemon.get("/api/v1/status", &token).json();
    let judged_ms = |daemon: &Daemon| {
        let time = status(daemon)["complete_up_to"].as_str()?.parse::<jiff::Timestamp>().ok()?;
        Some(time.as_millisecond())
    };
    daemon.wait_until_ready(SETTLED);
    daemon.wait_for("a judgement of the partition that is ahead", SETTLED, |daemon| {
        judged_ms(daemon).filter(|ms| *ms > late[11].time_ms + 1_200_000)
    });
    write(&behind, &late);
    daemon.wait_for("the late events", SETTLED, |daemon| (status(daemon)["events"]["late"] == late.len()).then_some(()));
    write(&ahead, &before[quiet..]);
    let ids = |daemon: &Daemon| {
        let items = daemon.get("/api/v1/alerts?limit=1000", &token).json()["items"].take();
        items.as_array().unwrap().iter().map(|alert| alert["key"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    daemon.wait_for("the first alert", SETTLED, |daemon| (!ids(daemon).is_empty()).then_some(()));

    daemon.kill();
    daemon.launch();
    daemon.wait_until_ready(SETTLED);
    write(&ahead, after);
    daemon.wait_for("the second alert", SETTLED, |daemon| (ids(daemon).len() >= 2).then_some(()));
    assert_eq!(
        ids(&daemon),
        BTreeSet::from(["ip:203.0.22.7".to_owned(), "ip:203.0.23.7".to_owned()]),
        "what was late was judged after all"
    );
    wait_until_stored(&mut daemon, lines.len() + late.len(), SETTLED);

    // What comes out of the recorded order is what was told, to the byte and the time of arrival.
    let told = || {
        let told: Vec<String> =
            cluster.records("bartizan.alerts").into_iter().map(|record| String::from_utf8(record.value).unwrap()).collect();
        outcome::lines(told.iter().map(String::as_str).filter(|line| line.contains(&tenant)))
    };
    let told = daemon.wait_for("both alerts in the topic", SETTLED, |_| Some(told()).filter(|told| told.len() >= 2));
    let again = outcome::judged_again(&daemon);
    assert!(again.len() >= 2 && again.iter().all(|(key, line)| told.get(key).is_none_or(|told| told == line)), "{again:#?} {told:#?}");
    assert!(told.keys().all(|key| again.contains_key(key)), "{again:#?} {told:#?}");
}
