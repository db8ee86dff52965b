//! Does a flood of random keys push out what matters?
//!
//! 100,000 users sign in on five days from home. Then comes the flood, within an hour, with an attack on
//! some of them in its midst. Then some users sign in from another continent, which must be found, and
//! many from home as ever, of which nothing may be said.

use crate::judge::{Judged, judge, without_detectors};
use crate::people::{ATTACKER, DAY_MS, HOUR_MS, Lines, START_MS};
use crate::support::setting;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{self, Write};

const USERS: u64 = 100_000;
const DAYS: i64 = 5;
/// Every so many users have an odd sign-in after the flood; the others sign in as ever.
const ODD_EVERY: u64 = 100;
/// Names tried in the attack, and every so many of them with success.
const TRIED: u64 = 60;
const HIT_EVERY: u64 = 20;
const FLOOD_START_MS: i64 = START_MS + DAYS * DAY_MS;

pub fn run() {
    let (noise, state_bytes_max) = (setting("BENCH_FLOOD", 20_000_000), setting("BENCH_STATE", 256 << 20));
    let limited = format!("[detect]\nstate_bytes_max = {state_bytes_max}\n");
    let idle = format!("{limited}{}", without_detectors());
    let flooded = judge(&limited, |lines| story(lines, noise));
    let bare = judge(&idle, |lines| story(lines, noise));
    let calm = judge(&limited, |lines| story(lines, 0));
    let start_up = judge(&limited, |_| Ok(())).seconds;

    println!("flood of {noise} random events over the habits of {USERS} users; state_bytes_max {} MiB\n", state_bytes_max >> 20);
    let state_kib = flooded.peak_kib.saturating_sub(bare.peak_kib);
    let share = state_kib as f64 * 1_024.0 / state_bytes_max as f64;
    println!("{:<58} {:>8} MiB", "peak of replay", flooded.peak_kib >> 10);
    println!("{:<58} {:>8} MiB, {share:.2} of the setting", "the same less that of replay without detectors", state_kib >> 10);
    let in_flood = noise as f64 / (flooded.seconds - calm.seconds);
    let normal = calm.events as f64 / (calm.seconds - start_up);
    println!("{:<58} {in_flood:>8.0} events/s", "throughput in the flood, one core");
    println!("{:<58} {normal:>8.0} events/s", "throughput of the rest alone");
    println!("{:<58} {:>8.2}", "flood : rest", in_flood / normal);
    for (name, judged) in [("without the flood", &calm), ("with it", &flooded)] {
        println!("{:<58} {}", format!("found {name}"), found(judged));
    }
    println!();
}

fn story(lines: &mut Lines<impl Write>, noise: u64) -> io::Result<()> {
    for day in 0..DAYS {
        for user in 0..USERS {
            lines.sign_in(START_MS + day * DAY_MS + at(user, USERS, 12 * HOUR_MS), user)?;
        }
    }
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let mut tried = 0;
    for n in 0..noise.max(TRIED * 3) {
        let time_ms = FLOOD_START_MS + at(n, noise.max(TRIED * 3), HOUR_MS);
        if noise > 0 {
            lines.noise(time_ms, &mut random)?;
        }
        // The attack takes the middle third of the hour.
        if n >= noise / 3 && tried < TRIED && n % (noise / (3 * TRIED)).max(1) == 0 {
            lines.attempt(time_ms, tried, tried % HIT_EVERY == HIT_EVERY - 1)?;
            tried += 1;
        }
    }
    for user in 0..USERS {
        let time_ms = FLOOD_START_MS + 2 * HOUR_MS + at(user, USERS, 12 * HOUR_MS);
        if is_odd(user) { lines.sign_in_abroad(time_ms, user)? } else { lines.sign_in(time_ms, user)? }
    }
    Ok(())
}

/// The time of one of many evenly spread things.
fn at(n: u64, of: u64, span_ms: i64) -> i64 {
    (u128::from(n) * span_ms as u128 / u128::from(of)) as i64
}

fn is_odd(user: u64) -> bool {
    user % ODD_EVERY == ODD_EVERY - 1
}

fn found(judged: &Judged) -> String {
    let of = |detectors: &[&str]| -> BTreeSet<u64> {
        let alerts = judged.alerts.iter().filter(|alert| detectors.iter().any(|id| alert["detector"] == *id));
        let users = alerts.flat_map(|alert| alert["entities"]["users"].as_array().into_iter().flatten());
        users.filter_map(|user| user.as_str()?.strip_prefix("user-")?.parse().ok()).collect()
    };
    let places = of(&["unusual_location", "impossible_travel"]);
    // Who was hit in the attack did sign in from elsewhere.
    let places: BTreeSet<u64> = places.into_iter().filter(|user| *user >= TRIED).collect();
    let odd = (0..USERS).filter(|user| is_odd(*user)).count();
    let odd_found = places.iter().filter(|user| is_odd(**user)).count();
    let key = Value::from(format!("ip:{ATTACKER}"));
    let attack = judged.alerts.iter().rfind(|alert| alert["detector"] == "credential_stuffing" && alert["key"] == key);
    let attack = attack.map_or("missed".to_owned(), |alert| format!("{} of {} events", alert["severity"], alert["event_count"]));
    let others: BTreeSet<&str> = judged.alerts.iter().filter_map(|alert| alert["id"].as_str()).collect();
    format!(
        "{odd_found} of {odd} odd sign-ins, {} of {} ordinary ones; the attack: {attack}; {} alerts in all",
        places.len() - odd_found,
        USERS as usize - odd,
        others.len()
    )
}
