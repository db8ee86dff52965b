//! A checkpoint of many users: how long the flow stands still at a time, what it costs, how long a start
//! from it takes.

use crate::clock::seconds;
use crate::stages::{BATCH_EVENTS, engine};
use bartizan::detect::Enabled;
use bartizan::detect::checkpoint::{Checkpoints, Parts};
use bartizan::flow::EventFlow;
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, Kind, Outcome, Place, TokenHash};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

const START_MS: i64 = 1_780_272_000_000;
/// Bytes handed out at once, as the detect stage does it.
const STEP_BYTES: usize = 32 << 10;

/// A checkpoint's costs.
pub struct Checkpoint {
    /// Users held.
    pub users: u32,
    /// Each pause of the flow, in milliseconds of wall clock, in ascending order.
    pub pauses_ms: Vec<f64>,
    /// Seconds of processor time for handing out, and for writing.
    pub hand_out: f64,
    /// See above.
    pub write: f64,
    /// Seconds (wall clock) to load it.
    pub load: f64,
    /// The file.
    pub bytes: u64,
    /// State in memory.
    pub state_bytes: usize,
}

/// Takes a checkpoint of `users` users, each with a sign-in, a session and a token that was used, while as
/// many events again go through the engine.
///
/// # Errors
/// The disk says no.
pub fn checkpoint(users: u32, folder: &Path) -> Result<Checkpoint, Box<dyn Error>> {
    let all = Enabled::new(bartizan_catalogue::all(), &BTreeMap::new()).map_err(|errors| errors.join("; "))?;
    let mut detecting = engine(&all);
    feed(&mut detecting, 0..users, 0);
    let state_bytes = detecting.state_bytes();
    let checkpoints = Checkpoints::open(folder)?;
    let mut writing = checkpoints.begin(detecting.next_seq())?;
    let (mut pauses_ms, mut hand_out, mut write, mut next) = (Vec::new(), 0.0, 0.0, 0);
    let mut parts = Parts::default();
    let started = Instant::now();
    let (taken, begun) = seconds(|| detecting.begin_checkpoint(&mut parts));
    begun?;
    pauses_ms.push(started.elapsed().as_secs_f64() * 1e3);
    hand_out += taken;
    loop {
        let started = Instant::now();
        let (taken, done) = seconds(|| detecting.save_some(STEP_BYTES, &mut parts));
        pauses_ms.push(started.elapsed().as_secs_f64() * 1e3);
        hand_out += taken;
        let (taken, written) = seconds(|| writing.write(&std::mem::take(&mut parts)));
        written?;
        write += taken;
        if done? {
            break;
        }
        feed(&mut detecting, next..(next + 40).min(users), 1);
        next = (next + 40) % users;
    }
    let (taken, bytes) = seconds(|| writing.finish());
    write += taken;
    let started = Instant::now();
    let mut loaded = engine(&all);
    let saved = checkpoints.newest_first()?.next().ok_or("no checkpoint")??;
    loaded.restore(saved)?;
    let load = started.elapsed().as_secs_f64();
    pauses_ms.sort_by(f64::total_cmp);
    Ok(Checkpoint { users, pauses_ms, hand_out, write, load, bytes: bytes?, state_bytes })
}

fn feed(engine: &mut bartizan::detect::engine::Engine, users: std::ops::Range<u32>, round: u8) {
    let mut batch = EventBatch::with_capacity(BATCH_EVENTS);
    let end = users.end;
    for user in users {
        for (step, kind) in [Kind::Login, Kind::TokenRefresh, Kind::ApiRequest].into_iter().enumerate() {
            sign_in(&mut batch, user, round * 3 + step as u8, kind);
        }
        if batch.len() >= BATCH_EVENTS || user + 1 == end {
            engine.process(&mut EventFlow::replayed(std::mem::take(&mut batch), engine.next_seq()));
        }
    }
}

fn sign_in(batch: &mut EventBatch, user: u32, step: u8, kind: Kind) {
    let mut token = [step; 16];
    token.iter_mut().zip(user.to_be_bytes()).for_each(|(to, from)| *to = from);
    let mut issued = token;
    issued[15] = 0xff;
    let mut draft = EventDraft {
        time_ms: START_MS + i64::from(user) * 10 + i64::from(step),
        kind,
        outcome: Outcome::Success,
        ip: Some(address(user)),
        token: (kind != Kind::Login).then_some(TokenHash(token)),
        token_issued: (kind == Kind::TokenRefresh).then_some(TokenHash(issued)),
        ..EventDraft::default()
    };
    draft.texts.set(Field::Tenant, "acme");
    draft.texts.set(Field::Id, format!("{user}-{step}"));
    draft.texts.set(Field::User, format!("user{user}@acme.example"));
    draft.texts.set(Field::Session, format!("ses-{user:016x}"));
    draft.texts.set(Field::Device, format!("dev-{user:012x}"));
    draft.texts.set(Field::UserAgent, format!("Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Firefox", user % 40));
    let record = batch.push(&draft);
    record.asn = 1 + user % 5_000;
    record.place = Some(Place { country: *b"NL", latitude: 52.0, longitude: 4.0 + (user % 100) as f32 / 50.0, accuracy_km: 50 });
}

/// The address of a user.
pub fn address(user: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x1400_0000 + user.wrapping_mul(37)))
}
