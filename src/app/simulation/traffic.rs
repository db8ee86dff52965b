//! Short streams of events with attacks in them, on their way to a log.
//!
//! A backlog lies in the log from the beginning; the rest comes in while the daemon lives. Events come
//! out of order, twice, late, without an id, and broken. Times are often whole seconds, and some lie
//! just the lateness behind their neighbour, so that every limit is met exactly now and then.

use super::plan::{LIVE_MS, Plan};
use crate::simulate::dice::Dice;
use bartizan_core::time::{MINUTE_MS, SECOND_MS};
use serde_json::{Value, json};

/// The wall clock's time at the virtual time 0: 2026-03-01T12:00:00Z.
pub(super) const EPOCH_MS: i64 = 1_772_366_400_000;
/// The lateness that simulated daemons allow.
pub(super) const LATENESS_MS: i64 = 60_000;
const BACKLOG_MS: i64 = 100 * MINUTE_MS;
/// Bytes of a record that is too large for the dead-letter topic as a whole.
const HUGE: usize = 300 << 10;

/// One record on its way to the log.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Virtual time at which it comes in.
    pub at_ms: i64,
    /// The log's own time of it.
    pub timestamp_ms: i64,
    pub partition: i32,
    pub text: Vec<u8>,
}

/// All records, in the order in which they come in.
pub(super) fn lines(plan: &Plan) -> Vec<Line> {
    let mut script = Script { dice: Dice::new(plan.seed ^ 0x5eed), journal: plan.partitions == 0, number: 0, lines: Vec::new() };
    for story in 0..plan.stories {
        let begin =
            if script.dice.chance(0.6) { script.dice.between(-BACKLOG_MS, -MINUTE_MS) } else { script.dice.between(0, LIVE_MS / 2) };
        script.tell(story, begin);
    }
    let partitions = i64::from(plan.partitions.max(1));
    let mut lines = script.lines;
    for line in &mut lines {
        line.partition = script.dice.between(0, partitions - 1) as i32;
    }
    if partitions > 1 && script.dice.chance(0.3) {
        // A partition may have next to nothing.
        lines.iter_mut().filter(|line| line.partition == 1).for_each(|line| line.partition = 0);
    }
    lines.sort_by_key(|line| line.timestamp_ms);
    lines
}

struct Script {
    dice: Dice,
    /// With a journal every event has an id: a client that had no answer sends it again.
    journal: bool,
    number: u32,
    lines: Vec<Line>,
}

impl Script {
    fn tell(&mut self, story: u32, begin: i64) {
        match self.dice.index(5) {
            0 | 1 => self.stuffing(story, begin),
            2 => self.stolen_session(story, begin),
            3 => self.stolen_token(story, begin),
            _ => self.ordinary(story, begin),
        }
    }

    /// Many names from one address.
    fn stuffing(&mut self, story: u32, begin: i64) {
        let users = self.dice.between(11, 30);
        let step = if begin < 0 { self.dice.between(1, 40) * SECOND_MS } else { self.dice.between(100, 900) };
        let mut time = begin;
        for user in 0..users {
            time += step;
            let hit = self.dice.chance(0.08);
            let edge = self.dice.chance(0.15);
            let event = json!({
                "kind": "login", "outcome": if hit { "success" } else { "failure" }, "reason": if hit { Value::Null } else { "unknown_user".into() },
                "user": format!("s{story}u{user}"), "ip": format!("203.0.113.{}", story + 1), "user_agent": "python-requests/2.32",
                "session": if hit { format!("s{story}h{user}").into() } else { Value::Null },
            });
            let (time, delay) = self.event(story, time, event);
            if edge {
                let event = json!({
                    "kind": "login", "outcome": "failure", "reason": "unknown_user", "user": format!("s{story}e{user}"),
                    "ip": format!("203.0.113.{}", story + 1), "user_agent": "python-requests/2.32",
                });
                self.send(story, time - LATENESS_MS, LATENESS_MS + delay + 1, &event);
            }
        }
        // Long after it the episode is over, which the next event shows.
        if begin < -80 * MINUTE_MS {
            self.ordinary(story, -2 * MINUTE_MS);
        }
    }

    fn of_client(&mut self, event: &mut Value, thief: bool) {
        let (ip, agent, ja4) = if thief {
            ("192.0.2.99", "python-requests/2.32", "t13d1011h1_cccccccccccc_dddddddddddd")
        } else {
            ("198.51.100.7", "Mozilla/5.0 (iPhone) Safari/604.1", "t13d1516h2_aaaaaaaaaaaa_bbbbbbbbbbbb")
        };
        if let Some(members) = event.as_object_mut() {
            members.extend([("ip".to_owned(), ip.into()), ("user_agent".to_owned(), agent.into()), ("ja4".to_owned(), ja4.into())]);
        }
    }

    /// A session that its owner and a thief use in turns.
    fn stolen_session(&mut self, story: u32, begin: i64) {
        let step = if begin < 0 { self.dice.between(10, 90) * SECOND_MS } else { self.dice.between(5_000, 6_000) / 2 };
        let mut time = begin;
        for turn in 0..self.dice.between(4, 9) {
            let mut event = json!({
                "kind": if turn == 0 { "login" } else { "api_request" }, "outcome": "success", "user": format!("s{story}victim"),
                "session": format!("s{story}ses"),
            });
            self.of_client(&mut event, turn >= 2 && turn % 2 == 0);
            self.event(story, time, event);
            time += if turn == 0 { 3 * step } else { step };
        }
    }

    /// A refresh token that comes back.
    fn stolen_token(&mut self, story: u32, begin: i64) {
        let begin = begin.min(-40 * MINUTE_MS);
        for (turn, (token, issued)) in [("a", "b"), ("b", "c"), ("a", "x")].into_iter().enumerate() {
            let mut event = json!({
                "kind": "token_refresh", "outcome": "success", "user": format!("s{story}holder"), "session": format!("s{story}tok"),
                "token": format!("s{story}{token}"), "token_issued": format!("s{story}{issued}"),
            });
            self.of_client(&mut event, turn == 2);
            self.event(story, begin + turn as i64 * 15 * MINUTE_MS, event);
        }
    }

    fn ordinary(&mut self, story: u32, begin: i64) {
        for number in 0..self.dice.between(3, 30) {
            let time = begin + number * self.dice.between(1, 2_000);
            let user = self.dice.between(0, 9);
            let event = json!({
                "kind": self.dice.of(&["login", "api_request", "logout"]), "outcome": self.dice.of(&["success", "success", "failure"]),
                "user": format!("o{user}"), "ip": format!("198.51.100.{}", 10 + user), "user_agent": "Mozilla/5.0", "session": format!("s{story}o{user}"),
            });
            self.event(story, time, event);
        }
    }

    /// An event, sooner or later, once or twice; returns its time and its delay.
    fn event(&mut self, story: u32, time: i64, mut event: Value) -> (i64, i64) {
        let time = if self.dice.chance(0.5) { time.div_euclid(SECOND_MS) * SECOND_MS } else { time };
        self.number += 1;
        if (self.journal || !self.dice.chance(0.15))
            && let Some(members) = event.as_object_mut()
        {
            members.insert("id".to_owned(), format!("e{}", self.number).into());
        }
        let delay = match self.dice.index(20) {
            0 | 1 => self.dice.between(0, 5 * MINUTE_MS),
            2..4 => self.dice.between(0, LATENESS_MS),
            _ => self.dice.between(0, 300),
        };
        self.send(story, time, delay, &event);
        if self.dice.chance(0.1) && event.get("id").is_some() {
            // Often when it is nearly too late.
            let later = if self.dice.chance(0.5) {
                self.dice.between(LATENESS_MS * 3 / 4, LATENESS_MS)
            } else {
                self.dice.between(0, LATENESS_MS * 3 / 2)
            };
            self.send(story, time, delay + later, &event);
        }
        if self.dice.chance(0.02) {
            self.broken(time);
        }
        (time, delay)
    }

    fn send(&mut self, story: u32, time: i64, delay: i64, event: &Value) {
        let mut event = event.clone();
        if let Some(members) = event.as_object_mut() {
            members.retain(|_, value| !value.is_null());
            members.insert("time".to_owned(), (EPOCH_MS + time).into());
            members.insert("tenant".to_owned(), if story.is_multiple_of(2) { "acme" } else { "globex" }.into());
        }
        self.put(time + delay, event.to_string().into_bytes());
    }

    fn broken(&mut self, time: i64) {
        let mut text = match self.dice.index(4) {
            0 => b"not an event".to_vec(),
            1 => br#"{"kind":"login"}"#.to_vec(),
            2 => vec![0xff, 0xfe, b'{'],
            _ => br#"{"time":"yesterday","kind":"login"}"#.to_vec(),
        };
        if self.dice.chance(0.05) {
            text.resize(HUGE, b'#');
        }
        self.put(time, text);
    }

    /// Nothing comes in after the end of the traffic.
    fn put(&mut self, at_ms: i64, text: Vec<u8>) {
        let at_ms = at_ms.min(LIVE_MS + LATENESS_MS);
        self.lines.push(Line { at_ms: at_ms.max(0), timestamp_ms: EPOCH_MS + at_ms, partition: 0, text });
    }
}
