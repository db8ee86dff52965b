//! What one request costs: `cargo test --release -p bartizan-api --test cost -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use bartizan_api::api_enumeration::SPEC;
use bartizan_core::batch::Field;
use bartizan_core::{Budget, EventBatch, EventDraft, Findings, KeyHasher, Kind, Parameters};
use std::sync::Arc;
use std::time::Instant;

const EVENTS: u64 = 1 << 19;
const BATCH: u64 = 1 << 12;
const HOUR_MS: u64 = 3_600_000;

/// Requests of a number of people: their own invoices, an order, lists and a profile, now and then one that is not there.
fn requests(people: u64, round: u64, part: u64) -> EventBatch {
    let mut batch = EventBatch::with_capacity(BATCH as usize);
    for n in part * BATCH..(part + 1) * BATCH {
        let dice = (n + round * EVENTS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let who = dice % people;
        let path = match dice >> 20 & 7 {
            0..=2 => format!("/api/v1/invoices/{}", who * 50 + (dice >> 24) % 20),
            3 => format!("/api/v2/customers/0f8fad5b-d9cb-469f-a165-7086772{who:05x}/orders?page=2&limit=50"),
            4 => format!("/api/v1/orders/{}/lines", who * 9 + (dice >> 24) % 3),
            5 => "/api/v1/me".to_owned(),
            _ => "/api/v1/orders?page=3&sort=date".to_owned(),
        };
        let time_ms = 1_772_442_000_000 + (round * 20 * HOUR_MS + n * 16 * HOUR_MS / EVENTS) as i64;
        let status = Some(if dice >> 30 & 63 == 0 { 404 } else { 200 });
        let ip = format!("10.{}.{}.9", who >> 8 & 0xff, who & 0xff).parse().ok();
        let mut draft = EventDraft { time_ms, kind: Kind::ApiRequest, status, ip, ..EventDraft::default() };
        draft.texts.set(Field::Tenant, "acme");
        draft.texts.set(Field::Id, format!("e{n}"));
        draft.texts.set(Field::User, format!("user{who}"));
        draft.texts.set(Field::Method, "GET");
        draft.texts.set(Field::Path, path);
        let record = batch.push(&draft);
        (record.seq, record.watermark_ms) = (round * EVENTS + n, time_ms - 60_000);
    }
    batch.hash_keys(&KeyHasher::new([3; 16]));
    batch
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds_of_a_request() {
    for people in [100, 10_000, 100_000] {
        let budget = Arc::new(Budget::new(4 << 30));
        let mut detector = (SPEC.build)(&Parameters::defaults(SPEC.parameters), &budget);
        let mut common = detector.common(&budget).unwrap();
        let (mut findings, mut reports, mut reported) = (Findings::default(), Vec::new(), 0);
        let mut best = f64::MAX;
        for round in 0..6 {
            let mut nanoseconds = 0;
            for part in 0..EVENTS / BATCH {
                let batch = requests(people, round, part);
                let start = Instant::now();
                for (watermark_ms, report) in reports.drain(..) {
                    common.apply(&report, watermark_ms);
                }
                for event in batch.iter() {
                    let event = event.with_common(Some(&*common));
                    for kind in SPEC.keys {
                        if let Some(key) = event.key(*kind).filter(|key| detector.looks_at(key.kind, event.kind())) {
                            detector.observe(key, &event, &mut findings);
                        }
                    }
                    findings.drain();
                    reports.extend(findings.reports().map(|report| (event.watermark_ms(), report)));
                }
                reported += reports.len();
                nanoseconds += start.elapsed().as_nanos();
            }
            if round > 2 {
                best = best.min(nanoseconds as f64 / EVENTS as f64);
            }
        }
        let (rate, bytes) = (reported as f64 / (6 * EVENTS) as f64, budget.held() as u64 / people);
        println!("{people} people: {best:.0} ns a request, {bytes} bytes a person, {rate:.4} reports a request");
    }
}
