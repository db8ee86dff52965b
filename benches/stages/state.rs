//! Checkpoints of many users, and what a window costs when it holds many distinct values.

use crate::clock::seconds;
use crate::stages::{BATCH_EVENTS, engine, only};
use bartizan::detect::Enabled;
use bartizan::detect::checkpoint::Checkpoints;
use bartizan::flow::EventFlow;
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, Kind, Outcome, Place, TokenHash};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

const START_MS: i64 = 1_780_272_000_000;
/// Events within the window of distinct counts, an hour.
const WINDOW_EVENTS: u32 = 7_200;
const WINDOW_MS: i64 = 3_600_000;
/// Windows fed.
const WINDOWS: u32 = 28;

/// A checkpoint's costs.
pub struct Checkpoint {
    /// Users held.
    pub users: u32,
    /// The flow stands still for this long, in milliseconds.
    pub snapshot_ms: f64,
    /// Compressing and writing, beside the flow.
    pub write_ms: f64,
    /// The file.
    pub bytes: u64,
}

/// Takes a checkpoint of `users` users, each with a sign-in, a session and a token that was used.
///
/// # Errors
/// The disk says no.
pub fn checkpoint(users: u32, folder: &Path) -> Result<Checkpoint, Box<dyn Error>> {
    let all = Enabled::new(bartizan_catalogue::all(), &BTreeMap::new()).map_err(|errors| errors.join("; "))?;
    let mut engine = engine(&all);
    let mut batch = EventBatch::with_capacity(BATCH_EVENTS);
    for user in 0..users {
        for (step, kind) in [Kind::Login, Kind::TokenRefresh, Kind::ApiRequest].into_iter().enumerate() {
            sign_in(&mut batch, user, step as u8, kind);
        }
        if batch.len() >= BATCH_EVENTS || user + 1 == users {
            engine.process(&mut EventFlow::replayed(std::mem::take(&mut batch), engine.next_seq()));
        }
    }
    let start = Instant::now();
    let snapshot = engine.snapshot()?;
    let snapshot_ms = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let bytes = Checkpoints::open(folder)?.write(&snapshot)?;
    Ok(Checkpoint { users, snapshot_ms, write_ms: start.elapsed().as_secs_f64() * 1e3, bytes })
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

fn address(user: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x1400_0000 + user.wrapping_mul(37)))
}

/// Nanoseconds of `credential_stuffing` for a sign-in at one address whose window holds `distinct`
/// users. Half of the users get in, so that nothing is found and counting is all that is measured.
///
/// # Errors
/// There is no such detector.
pub fn distinct(distinct: u32) -> Result<f64, Box<dyn Error>> {
    let mut engine = engine(&only("credential_stuffing")?);
    let mut taken = 0.0;
    let events = WINDOW_EVENTS * WINDOWS;
    let mut batch = EventBatch::with_capacity(BATCH_EVENTS);
    for number in 0..events {
        let user = number % distinct;
        let mut draft = EventDraft {
            time_ms: START_MS + i64::from(number) * WINDOW_MS / i64::from(WINDOW_EVENTS),
            kind: Kind::Login,
            outcome: if user.is_multiple_of(2) { Outcome::Success } else { Outcome::Failure },
            ip: Some(address(0)),
            ..EventDraft::default()
        };
        draft.texts.set(Field::Tenant, "acme");
        draft.texts.set(Field::Id, number.to_string());
        draft.texts.set(Field::User, format!("user{user}@acme.example"));
        draft.texts.set(Field::UserAgent, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox");
        batch.push(&draft);
        if batch.len() >= BATCH_EVENTS || number + 1 == events {
            let mut flow = EventFlow::replayed(std::mem::take(&mut batch), engine.next_seq());
            taken += seconds(|| engine.process(&mut flow)).0;
        }
    }
    Ok(taken * 1e9 / f64::from(events))
}
