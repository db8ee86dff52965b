//! Scenarios of walks over objects of others, and of people and programs who ask for much.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_api::api_enumeration::SPEC;
use bartizan_core::{EntityKind, Severity};
use bartizan_testkit::{Runner, TestEvent, event, run, worst};

const START: &str = "2026-03-02T09:00:00Z";
const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;

fn ann(ms: i64) -> TestEvent {
    event(START).plus_ms(ms).user("ann").session("ses-1").ip("203.0.113.9")
}

fn invoice(ms: i64, number: u64, status: u16) -> TestEvent {
    ann(ms).asks("GET", format!("/api/v1/invoices/{number}"), status)
}

/// A number that looks like chance.
fn any(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44
}

#[test]
fn guessed_ids_that_are_refused_are_an_attempt() {
    let found = run(&SPEC, &(0..40).map(|n| invoice(n * 2_000, any(n as u64), 404)).collect::<Vec<_>>());
    assert_eq!(worst(&found), Some(Severity::Medium), "{found:#?}");
    assert!((8..=14).contains(&found.len()), "from about the thirtieth on: {}", found.len());
    assert_eq!(found[0].key, "user:ann");
    let named: Vec<_> = found[0].subjects.iter().map(|subject| (subject.kind, subject.value.as_str())).collect();
    assert_eq!(named, [(EntityKind::User, "ann"), (EntityKind::Session, "ses-1"), (EntityKind::Ip, "203.0.113.9")]);
    assert!(found[0].reason.contains("100 % of the requests refused (limit 50 %)"), "{}", found[0].reason);
}

#[test]
fn one_number_after_the_other_is_a_hit_where_it_is_granted() {
    let walk = |status, step: u64, gap| (0..260).map(move |n: i64| invoice(n * gap, 40_000 + n as u64 * step, status)).collect::<Vec<_>>();
    assert_eq!(worst(&run(&SPEC, &walk(200, 1, 3_000))), Some(Severity::High), "fast");
    assert_eq!(worst(&run(&SPEC, &walk(200, 3, 3_000))), Some(Severity::High), "each third");
    assert_eq!(worst(&run(&SPEC, &walk(200, 1, 4 * MINUTE))), Some(Severity::High), "patient: over a day");
    assert_eq!(worst(&run(&SPEC, &walk(403, 1, 3_000))), Some(Severity::Medium), "refused");
    let deletes: Vec<_> = (0..80).map(|n| ann(n * 3_000).asks("DELETE", format!("/api/v1/invoices/{n}"), 204)).collect();
    assert_eq!(worst(&run(&SPEC, &deletes)), Some(Severity::Critical));
}

#[test]
fn far_more_than_ever_is_a_hit() {
    let usual = (0..3).flat_map(|day| (0..12).map(move |n| invoice(day * DAY + n * 9 * MINUTE, any(n as u64 + day as u64 * 50), 200)));
    let theft = (0..700).map(|n| invoice(3 * DAY + n * 60_000, any(n as u64 + 900), 200));
    let found = run(&SPEC, &usual.chain(theft).collect::<Vec<_>>());
    assert_eq!(worst(&found), Some(Severity::High));
    assert!(found[0].reason.contains("on a usual day (limit 10 times that)"), "{}", found[0].reason);
}

#[test]
fn paths_that_are_not_there_are_a_scan_of_whoever_asks() {
    let probe = |n: i64| {
        event(START).plus_ms(n * 900).ip("203.0.113.77").asks(
            "GET",
            format!("/{}.php", ["wp", "old", "cgi"][n as usize % 3].repeat(1 + n as usize / 3)),
            404,
        )
    };
    let found = run(&SPEC, &(0..60).map(probe).collect::<Vec<_>>());
    assert_eq!((worst(&found), found[0].key.as_str()), (Some(Severity::Medium), "ip:203.0.113.77"));
}

#[test]
fn people_and_programs_who_ask_for_much_stay_silent() {
    let desk = |day: i64| {
        (0..160).map(move |n: i64| invoice(day * DAY + n * 3 * MINUTE, any((day * 200 + n) as u64), if n % 40 == 7 { 404 } else { 200 }))
    };
    let page = |n: i64| ann(n * 1_000).asks("GET", format!("/api/v1/orders?page={n}"), 200);
    let page_in_path = |n: i64| ann(n * 1_000).asks("GET", format!("/catalog/page/{n}"), 200);
    let export = |n: i64| invoice(n * 100, 1 + n as u64, 200).service();
    let screen = |n: i64| ann(n * 30).asks("GET", format!("/api/v1/items/{}", 700 + n), 200);
    let tickets = |day: i64| {
        (0..110).map(move |n: i64| ann(day * DAY + n * 5 * MINUTE).asks("GET", format!("/tickets/{}", 9_000 + day * 110 + n), 200))
    };
    let innocent: [(&str, Vec<TestEvent>); 9] = [
        ("a support desk from its first day on", (0..5).flat_map(desk).collect()),
        ("tickets one after the other, at the pace of people", (0..5).flat_map(tickets).collect()),
        ("pages of a list", (0..400).map(page).collect()),
        ("pages in the path", (0..400).map(page_in_path).collect()),
        ("an export job", (0..5_000).map(export).collect()),
        ("one screen with forty things", (0..40).map(screen).collect()),
        ("a broken link, again and again", (0..300).map(|n| invoice(n * 700, 17, 404)).collect()),
        ("a route that is broken for everybody", (0..20).map(|n| invoice(n * 2_000, any(n as u64), 404)).collect()),
        ("own objects, synchronised by a phone", (0..400).map(|n| invoice(n * 50, any(n as u64), 200)).collect()),
    ];
    for (name, events) in innocent {
        assert_eq!(worst(&run(&SPEC, &events)), None, "{name}");
    }
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut events: Vec<_> = (0..60).map(|n| invoice(n * 20_000, any(n as u64), 404)).collect();
    let ordered = worst(&run(&SPEC, &events));
    (0..events.len() - 7).step_by(4).for_each(|at| events.swap(at, at + 7));
    assert_eq!((ordered, worst(&run(&SPEC, &events))), (Some(Severity::Medium), Some(Severity::Medium)));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut runner = Runner::new(&SPEC, 1);
    for round in 0..40 {
        let paths =
            (0..250).map(|n| ann((round * 250 + n) * 100).asks("GET", format!("/r{}/{}/x", (round * 250 + n) % 97, n * round), 404));
        runner.feed(&paths.collect::<Vec<_>>());
    }
    assert!(runner.bytes() < 24_000, "{} bytes for one principal and what is known of its tenant", runner.bytes());
    let mut runner = Runner::new(&SPEC, 1);
    runner.feed(&(0..1_000).map(|n| invoice(n * 100, n as u64 % 3, 200).user(format!("u{n}"))).collect::<Vec<_>>());
    assert!(runner.bytes() / 1_000 < 450, "{} bytes for a principal with a few objects", runner.bytes() / 1_000);
}
