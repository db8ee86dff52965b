//! What a window costs when it holds many distinct values.

use crate::checkpoint::address;
use crate::clock::seconds;
use crate::stages::{BATCH_EVENTS, engine, only};
use bartizan::flow::EventFlow;
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, Kind, Outcome};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

const START_MS: i64 = 1_780_272_000_000;
/// Events within the window of distinct counts, an hour.
const WINDOW_EVENTS: u32 = 7_200;
const WINDOW_MS: i64 = 3_600_000;
/// Windows fed.
const WINDOWS: u32 = 28;
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox";

fn time_ms(number: u32) -> i64 {
    START_MS + i64::from(number) * WINDOW_MS / i64::from(WINDOW_EVENTS)
}

/// One sign-in of 64 of each user fails: with many more, those who are few would be told as guessed, and what is measured
/// is counting.
fn gets_in(number: u32, distinct: u32) -> bool {
    !(number / distinct + number % distinct).is_multiple_of(64)
}

/// Writes the sign-ins of [`distinct`] into a file; returns how many there are.
///
/// # Errors
/// The disk says no.
pub fn write(distinct: u32, path: &Path) -> io::Result<u32> {
    let mut file = BufWriter::new(File::create(path)?);
    let events = WINDOW_EVENTS * WINDOWS;
    for number in 0..events {
        let user = number % distinct;
        let outcome = if gets_in(number, distinct) { r#""outcome":"success""# } else { r#""outcome":"failure","reason":"bad_password""# };
        writeln!(
            file,
            r#"{{"id":"{number}","time":{},"kind":"login",{outcome},"tenant":"acme","user":"user{user}@acme.example","ip":"{}","user_agent":"{AGENT}"}}"#,
            time_ms(number),
            address(0),
        )?;
    }
    file.flush()?;
    Ok(events)
}

/// Nanoseconds of `credential_stuffing` for a sign-in at one address whose window holds `distinct` users.
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
            time_ms: time_ms(number),
            kind: Kind::Login,
            outcome: if gets_in(number, distinct) { Outcome::Success } else { Outcome::Failure },
            ip: Some(address(0)),
            ..EventDraft::default()
        };
        draft.texts.set(Field::Tenant, "acme");
        draft.texts.set(Field::Id, number.to_string());
        draft.texts.set(Field::User, format!("user{user}@acme.example"));
        draft.texts.set(Field::UserAgent, AGENT);
        batch.push(&draft);
        if batch.len() >= BATCH_EVENTS || number + 1 == events {
            let mut flow = EventFlow::replayed(std::mem::take(&mut batch), engine.next_seq());
            taken += seconds(|| engine.process(&mut flow)).0;
        }
    }
    Ok(taken * 1e9 / f64::from(events))
}
