//! Scenarios of credential stuffing and of what looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{EntityKind, Finding, Severity};
use bartizan_credentials::credential_stuffing::SPEC;
use bartizan_testkit::{TestEvent, event, run};

const START: &str = "2026-03-02T09:00:00Z";

fn login(second: i64, user: &str, ip: &str) -> TestEvent {
    event(START).login().plus_ms(second * 1_000).user(user).ip(ip).agent("python-requests/2.32").session(format!("s-{user}-{second}"))
}

/// One try each of `users` names, one a second.
fn spray(users: i64, ip: &str) -> Vec<TestEvent> {
    (0..users).map(|n| login(n, &format!("victim{n}"), ip).fail(if n % 3 == 0 { "unknown_user" } else { "bad_password" })).collect()
}

fn hits(findings: &[Finding]) -> Vec<String> {
    let mut hits: Vec<_> = findings.iter().flat_map(|f| &f.subjects).filter(|s| s.hit).map(|s| format!("{}:{}", s.kind, s.value)).collect();
    hits.sort();
    hits.dedup();
    hits
}

#[test]
fn the_try_that_passes_the_limit_tells_of_all_before_it() {
    let found = run(&SPEC, &spray(12, "203.0.113.7"));
    assert_eq!(found.len(), 3, "{found:#?}");
    let first = &found[0];
    assert_eq!((first.key.as_str(), first.severity, first.event_count), ("ip:203.0.113.7", Severity::Medium, 10));
    assert_eq!(first.event_ids.last().unwrap(), "e10");
    assert_eq!(first.subjects.iter().filter(|s| s.kind == EntityKind::User).count(), 10);
    assert_eq!(found[1].event_count, 1);
    assert!(hits(&found).is_empty());
}

#[test]
fn a_success_in_the_pattern_is_a_critical_hit_with_its_session() {
    let mut events = spray(15, "203.0.113.7");
    events.push(login(20, "ann", "203.0.113.7"));
    let found = run(&SPEC, &events);
    let last = found.last().unwrap();
    assert_eq!((last.severity, last.event_ids.last().unwrap().as_str()), (Severity::Critical, "e16"));
    assert_eq!(hits(&found), ["session:s-ann-20", "user:ann"]);
}

#[test]
fn a_success_before_the_limit_is_told_with_it() {
    let mut events = spray(12, "203.0.113.7");
    events.insert(3, login(3, "ann", "203.0.113.7"));
    let found = run(&SPEC, &events);
    assert_eq!(found[0].severity, Severity::Critical);
    assert_eq!(hits(&found), ["session:s-ann-3", "user:ann"]);
}

#[test]
fn a_network_whose_addresses_stay_below_the_limit_is_told_once() {
    let events: Vec<_> = (0..60).map(|n| login(n, &format!("v{n}"), &format!("203.0.113.{}", 1 + n % 20)).fail("bad_password")).collect();
    let found = run(&SPEC, &events);
    assert!(!found.is_empty() && found.iter().all(|f| f.key == "net:203.0.113.0/24"), "{found:#?}");
    assert_eq!(found[0].event_ids.last().unwrap(), "e15");
}

#[test]
fn a_network_of_loud_addresses_makes_few_alerts() {
    let events: Vec<_> = (0..600).map(|n| login(n, &format!("v{n}"), &format!("203.0.113.{}", n / 100)).fail("bad_password")).collect();
    let mut keys: Vec<_> = run(&SPEC, &events).into_iter().map(|f| f.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys, ["ip:203.0.113.0", "ip:203.0.113.1", "net:203.0.113.0/24"]);
}

#[test]
fn one_client_over_many_networks_is_found() {
    let events: Vec<_> = (0..60)
        .map(|n| {
            login(n, &format!("v{n}"), &format!("198.{}.100.9", n % 30)).fail(if n % 2 == 0 { "unknown_user" } else { "bad_password" })
        })
        .collect();
    let found = run(&SPEC, &events);
    assert_eq!(found[0].key, "client:|python-requests/2.32");
    assert_eq!(found[0].event_ids.last().unwrap(), "e25");
}

#[test]
fn out_of_order_tries_count_where_their_time_says() {
    let mut events = spray(10, "203.0.113.7");
    events.reverse();
    assert_eq!(run(&SPEC, &events).len(), 1);
    let apart: Vec<_> = spray(10, "203.0.113.7").into_iter().enumerate().map(|(n, e)| e.plus_ms(n as i64 * 420_000)).collect();
    assert!(run(&SPEC, &apart).is_empty(), "ten names in 70 minutes are not ten within an hour");
}

#[test]
fn an_office_where_many_mistype_stays_silent() {
    let mut events = Vec::new();
    for n in 0..200 {
        if n % 4 == 0 {
            events.push(login(n * 10, &format!("clerk{n}"), "192.0.2.1").fail("bad_password"));
        }
        if n % 16 != 0 {
            events.push(login(n * 10 + 8, &format!("clerk{n}"), "192.0.2.1"));
        }
    }
    assert!(run(&SPEC, &events).is_empty());
}

#[test]
fn an_office_whose_sign_in_breaks_for_everybody_stays_silent() {
    let day: Vec<_> = (0..100).map(|n| login(n, &format!("clerk{n}"), "192.0.2.1")).collect();
    let broken = (0..100).map(|n| login(7_200 + n, &format!("clerk{n}"), "192.0.2.1").fail("bad_password"));
    assert!(run(&SPEC, &day.into_iter().chain(broken).collect::<Vec<_>>()).is_empty());
}

#[test]
fn an_attack_from_an_office_spares_its_people() {
    let mut events: Vec<_> = (0..20).map(|n| login(n, &format!("clerk{n}"), "192.0.2.1").agent("Edge")).collect();
    events.extend((0..60).map(|n| login(7_200 + n, &format!("v{n}"), "192.0.2.1").fail("bad_password")));
    events.push(login(7_270, "clerk3", "192.0.2.1").agent("Edge"));
    events.push(login(7_271, "newcomer", "192.0.2.1").agent("Edge"));
    let found = run(&SPEC, &events);
    assert!(!found.is_empty());
    assert!(hits(&found).is_empty());
}

#[test]
fn retry_loops_with_stale_passwords_stay_silent() {
    let phones: Vec<_> = (0..3_000).map(|n| login(n, &format!("phone{}", n % 8), "192.0.2.1").fail("bad_password")).collect();
    assert!(run(&SPEC, &phones).is_empty());
    let one: Vec<_> = (0..600).map(|n| login(n, "phone", "192.0.2.1").fail("bad_password")).collect();
    assert!(run(&SPEC, &one).is_empty());
}

#[test]
fn a_carrier_gateway_stays_silent() {
    let events: Vec<_> = (0..900)
        .map(|n| {
            let try_ = login(n * 4, &format!("caller{n}"), &format!("100.64.7.{}", n % 50)).agent(format!("Phone {}", n % 7));
            if n % 12 == 0 { try_.fail("bad_password") } else { try_ }
        })
        .collect();
    assert!(run(&SPEC, &events).is_empty());
}

#[test]
fn one_client_over_many_networks_is_found_without_word_of_unknown_names() {
    let events: Vec<_> = (0..90).map(|n| login(n * 5, &format!("v{n}"), &format!("198.{}.100.9", n % 30)).fail("bad_password")).collect();
    let found = run(&SPEC, &events);
    assert_eq!(found[0].key, "client:|python-requests/2.32");
}

#[test]
fn a_bad_release_over_many_networks_stays_silent() {
    let fails = |n: i64, second| login(second, &format!("u{n}"), &format!("198.{}.{}.9", n % 200, n / 200)).fail("bad_password");
    // Each person tries, two thirds of them try again.
    let mut events: Vec<_> = (0..400).map(|n| fails(n, n)).collect();
    events.extend((0..400).filter(|n| n % 3 != 0).map(|n| fails(n, n + 40)));
    events.sort_by_key(TestEvent::time_ms);
    assert!(run(&SPEC, &events).is_empty());
}

#[test]
fn other_people_with_the_attacked_client_are_not_named() {
    let attack = |n: i64| login(n * 5, &format!("v{n}"), &format!("198.{}.100.9", n % 30)).fail("unknown_user");
    let mut events: Vec<_> = (0..90).map(attack).collect();
    events.extend((0..9).map(|n| login(n * 40 + 7, &format!("person{n}"), &format!("100.{n}.1.1"))));
    events.sort_by_key(TestEvent::time_ms);
    let found = run(&SPEC, &events);
    assert!(!found.is_empty());
    assert!(found.iter().flat_map(|f| &f.subjects).all(|s| !s.value.starts_with("person")));
}
