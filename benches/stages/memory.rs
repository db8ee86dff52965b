//! What a user costs in resident memory, measured: the growth of this process while an engine takes the
//! events of many users in, less the growth that an engine without detectors shows over the same events.
//!
//! Each measurement runs in a process of its own, whose allocator gives freed memory back at once.
//!
//! All users have signed in within the last day, so that their sign-ins are still compared with others; but for
//! one measurement, in which they do so in waves, one after the other, and only the last wave has.

use crate::stages::{BATCH_EVENTS, engine, only};
use bartizan::detect::Enabled;
use bartizan::detect::engine::Engine;
use bartizan::flow::EventFlow;
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, Kind, NetworkClass, Outcome, Place, TokenHash};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::process::Command;

/// Set to the name of a measurement, the benchmark does nothing but that.
pub const VARIABLE: &str = "BENCH_MEMORY_OF";
/// What is freed goes back at once, and not some seconds later: nobody waits for it here.
const GIVING_BACK: (&str, &str) = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
/// Users fed.
const USERS: u32 = 200_000;
const START_MS: i64 = 1_780_272_000_000;
const DAY_MS: i64 = 86_400_000;
/// Waves in which they come, where they do not come at once.
const WAVES: u32 = 20;
/// Days on which each user signs in, at another place and with another device on each.
const DAYS: u32 = 4;
/// Places of the users: country, region, network (the last two are one carrier's) and its class.
const PLACES: [([u8; 2], &str, u32, NetworkClass); DAYS as usize] = [
    (*b"DE", "Berlin", 3_320, NetworkClass::Residential),
    (*b"DE", "Hamburg", 680, NetworkClass::Residential),
    (*b"NL", "Utrecht", 20_057, NetworkClass::Mobile),
    (*b"NL", "Limburg", 20_057, NetworkClass::Mobile),
];

/// Measurements that are of no single detector.
const PLACES_OF_ALL: &str = "places";
const WAVE_BY_WAVE: &str = "places in waves";
const NONE_WAVE_BY_WAVE: &str = "none in waves";

/// Prints what users cost.
///
/// # Errors
/// A measurement fails.
pub fn print() -> Result<(), Box<dyn Error>> {
    let growth = |of: &str| -> Result<i64, Box<dyn Error>> {
        let output = Command::new(std::env::current_exe()?).arg("--bench").env(VARIABLE, of).env(GIVING_BACK.0, GIVING_BACK.1).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    println!("\nresident memory of {USERS} users with 4 places, 4 devices, 3 networks and a last sign-in");
    let base = growth("none")?;
    for (name, of) in [
        ("impossible_travel", "impossible_travel"),
        ("unusual_location", "unusual_location"),
        ("both detectors of places", PLACES_OF_ALL),
        ("the same, 19 of 20 users signed in days ago", WAVE_BY_WAVE),
        ("all detectors", "all"),
    ] {
        let base = if of == WAVE_BY_WAVE { growth(NONE_WAVE_BY_WAVE)? } else { base };
        println!("{name:<46} {:>6} bytes a user", (growth(of)? - base) / i64::from(USERS));
    }
    println!(
        "{:<46} {:>6} bytes a user",
        "all detectors, each user with a live session",
        (growth("sessions")? - growth("none")?) / i64::from(USERS)
    );
    Ok(())
}

/// One measurement: prints the growth in bytes.
///
/// # Errors
/// There is no such measurement.
pub fn measure(of: &str) -> Result<(), Box<dyn Error>> {
    let catalogue = bartizan_catalogue::all;
    let places = catalogue().filter(|spec| ["impossible_travel", "unusual_location"].contains(&spec.id));
    let enabled = match of {
        "none" | NONE_WAVE_BY_WAVE => Enabled { detectors: Vec::new() },
        "all" | "sessions" => Enabled::new(catalogue(), &BTreeMap::new()).map_err(|errors| errors.join("; "))?,
        PLACES_OF_ALL | WAVE_BY_WAVE => Enabled::new(places, &BTreeMap::new()).map_err(|errors| errors.join("; "))?,
        detector => only(detector)?,
    };
    let waves = if [WAVE_BY_WAVE, NONE_WAVE_BY_WAVE].contains(&of) { WAVES } else { 1 };
    let mut engine = engine(&enabled);
    let before = resident()?;
    for wave in 0..waves {
        let users = USERS / waves * wave..USERS / waves * (wave + 1);
        for place in 0..DAYS {
            feed(&mut engine, users.clone(), wave * DAYS + place, place, &[Kind::Login]);
        }
    }
    if of == "sessions" {
        feed(&mut engine, 0..USERS, DAYS, DAYS - 1, &[Kind::TokenRefresh, Kind::ApiRequest]);
    }
    println!("{}", resident()? - before);
    Ok(())
}

/// Resident memory of this process, by proc(5).
fn resident() -> Result<i64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: i64 = statm.split_ascii_whitespace().nth(1).ok_or("no second field")?.parse()?;
    Ok(pages * rustix::param::page_size() as i64)
}

/// Users, one after the other over eight hours of a day, at one of their places, each with events of these kinds.
fn feed(engine: &mut Engine, users: Range<u32>, day: u32, place: u32, kinds: &[Kind]) {
    let mut batch = EventBatch::with_capacity(BATCH_EVENTS);
    let end = users.end;
    for user in users {
        for (step, kind) in kinds.iter().enumerate() {
            add(&mut batch, user, (day, place), step as u32, *kind);
        }
        if batch.len() >= BATCH_EVENTS || user + 1 == end {
            engine.process(&mut EventFlow::replayed(std::mem::take(&mut batch), engine.next_seq()));
        }
    }
}

fn add(batch: &mut EventBatch, user: u32, (day, place): (u32, u32), step: u32, kind: Kind) {
    let (country, region, asn, class) = PLACES[place as usize];
    let mut token = [step as u8; 16];
    token.iter_mut().zip(user.to_be_bytes()).for_each(|(to, from)| *to = from);
    let mut issued = token;
    issued[15] = 0xff;
    // At home each user has a line of their own; carriers put 200 users into each network.
    let address = if class == NetworkClass::Mobile { 0x6000_0000 + user / 200 * 256 + user % 200 } else { 0x0100_0000 + user * 256 };
    let mut draft = EventDraft {
        time_ms: START_MS + i64::from(day) * DAY_MS + i64::from(user) * 8 * 3_600_000 / i64::from(USERS) + i64::from(step),
        kind,
        outcome: Outcome::Success,
        ip: Some(IpAddr::V4(Ipv4Addr::from_bits(address + place * 0x1000_0000))),
        token: (kind != Kind::Login).then_some(TokenHash(token)),
        token_issued: (kind == Kind::TokenRefresh).then_some(TokenHash(issued)),
        ..EventDraft::default()
    };
    draft.texts.set(Field::Tenant, "acme");
    draft.texts.set(Field::Id, format!("{day}-{user}-{step}"));
    draft.texts.set(Field::User, format!("user{user}@acme.example"));
    draft.texts.set(Field::Session, format!("ses-{place}-{user:016x}"));
    draft.texts.set(Field::Device, format!("dev-{place}-{user:012x}"));
    draft.texts.set(Field::UserAgent, ["Firefox", "Chrome", "Acme for phones", "Acme for tablets"][place as usize]);
    let region = batch.append_text(region);
    let record = batch.push(&draft);
    record.set_text(Field::Region, region);
    (record.asn, record.network_class) = (asn, class);
    record.place = Some(Place { country, latitude: 52.0, longitude: 4.0 + place as f32, accuracy_km: 50 });
}
