//! Scenarios of sign-ins from unusual locations, and of ordinary lives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{NetworkClass, Severity};
use bartizan_locations::unusual_location::SPEC;
use bartizan_testkit::{TestEvent, event, run};

fn login(hour: i64) -> TestEvent {
    event("2026-03-02T09:00:00Z").plus_ms(hour * 3_600_000).login().user("ann").session(format!("s{hour}"))
}

fn home(hour: i64) -> TestEvent {
    let at_home = login(hour).ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.52, 13.4).region("Berlin");
    at_home.device("laptop").agent("Firefox")
}

fn abroad(hour: i64) -> TestEvent {
    login(hour).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).place("BR", -23.5, -46.6).region("SP").device("thief").agent("curl")
}

fn days(count: i64) -> Vec<TestEvent> {
    (0..count).map(|day| home(day * 24)).collect()
}

fn severities(mut history: Vec<TestEvent>, then: Vec<TestEvent>) -> Vec<Severity> {
    history.extend(then);
    run(&SPEC, &history).iter().map(|finding| finding.severity).collect()
}

#[test]
fn all_new_is_medium_already_after_three_sign_ins_on_two_days() {
    let mut history = days(2);
    history.push(home(30));
    assert_eq!(severities(history, vec![abroad(48)]), [Severity::Medium]);
    assert_eq!(severities(days(2), vec![abroad(48)]), []);
    assert_eq!(severities(days(60), vec![abroad(24 * 61)]), [Severity::Medium]);
    let nameless = abroad(24 * 61).device("").agent("Firefox");
    assert_eq!(severities(days(60), vec![nameless]), [Severity::Medium], "without the usual device id");
}

#[test]
fn a_journey_with_ones_own_device_is_low_and_told_once() {
    let hotel = |hour| abroad(hour).asn(27699, NetworkClass::Residential).device("laptop").agent("Firefox");
    assert_eq!(severities(days(20), vec![hotel(500), hotel(520), hotel(540)]), [Severity::Low]);
}

#[test]
fn ordinary_lives_stay_silent() {
    let phone = |hour| home(hour).device("phone").agent("App");
    let cases = [
        ("a new phone", vec![phone(500), phone(510)]),
        ("a phone on its carrier", vec![phone(500).ip("192.0.2.5").asn(20057, NetworkClass::Mobile)]),
        ("a browser's update", vec![home(500).agent("Firefox")]),
        ("a café", vec![home(500).ip("192.0.2.9").asn(6805, NetworkClass::Residential)]),
        ("a visit in the country", vec![home(500).asn(6805, NetworkClass::Residential).region("Bayern")]),
        ("a relay", vec![abroad(500).asn(36183, NetworkClass::Relay)]),
        ("a VPN on one's own device", vec![home(500).asn(9009, NetworkClass::Vpn).place("US", 40.0, -74.0)]),
        ("failed tries", vec![abroad(500).fail("bad_password"), abroad(501).fail("bad_password")]),
        ("a program", vec![abroad(500).service()]),
    ];
    for (name, then) in cases {
        assert_eq!(severities(days(20), then), [], "{name}");
    }
}

#[test]
fn failed_sign_ins_and_relays_teach_nothing() {
    let mut history = days(20);
    history.extend((0..20).map(|n| abroad(480 + n).fail("bad_password")));
    history.extend((0..5).map(|n| abroad(500 + n).asn(36183, NetworkClass::Relay)));
    assert_eq!(severities(history, vec![abroad(510)]), [Severity::Medium]);
}

#[test]
fn who_moved_abroad_with_a_new_phone_is_known_after_a_while() {
    let there = |hour| abroad(hour).asn(27699, NetworkClass::Residential);
    let told = severities(days(20), (0..10).map(|n| there(500 + n * 24)).collect());
    assert!((1..=3).contains(&told.len()), "{told:?}");
}

#[test]
fn a_session_that_goes_on_is_a_past_too() {
    let history: Vec<_> = (0..4).map(|day| if day == 0 { home(0) } else { home(day * 24).request() }).collect();
    assert_eq!(severities(history.clone(), vec![abroad(100)]), [Severity::Medium]);
    assert_eq!(severities(history, vec![abroad(100).request()]), [], "only sign-ins are judged");
}
