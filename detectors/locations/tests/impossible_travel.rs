//! Scenarios of impossible travel, and of what looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{EntityKind, NetworkClass, Severity};
use bartizan_locations::impossible_travel::SPEC;
use bartizan_testkit::{TestEvent, event, run};

const START: &str = "2026-03-02T09:00:00Z";
const DAY: i64 = 1_440;

fn login(minute: i64) -> TestEvent {
    event(START).plus_ms(minute * 60_000).login().user("ann").session(format!("s{minute}"))
}

fn berlin(minute: i64) -> TestEvent {
    login(minute).ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.52, 13.4).device("laptop").agent("Firefox")
}

fn sydney(minute: i64) -> TestEvent {
    login(minute).ip("203.0.113.9").asn(1221, NetworkClass::Residential).place("AU", -33.87, 151.2).device("thief").agent("Chrome")
}

/// A phone whose carrier leaves the net in Dublin.
fn carrier(minute: i64) -> TestEvent {
    login(minute).ip("192.0.2.7").asn(20057, NetworkClass::Mobile).place("IE", 53.3, -6.2).device("phone").agent("App")
}

#[test]
fn two_places_at_once_are_told_on_the_second() {
    let found = run(&SPEC, &[berlin(0), berlin(DAY), sydney(DAY + 30)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let one = &found[0];
    assert_eq!((one.key.as_str(), one.severity), ("user:ann", Severity::High));
    assert_eq!(one.event_ids, ["e2", "e3"]);
    assert_eq!(one.first_time_ms, berlin(DAY).time_ms());
    let hit: Vec<_> = one.subjects.iter().filter(|s| s.hit).map(|s| (s.kind, s.value.as_str())).collect();
    assert_eq!(hit, [(EntityKind::User, "ann"), (EntityKind::Session, "s1470")]);
}

#[test]
fn simultaneous_sign_ins_count() {
    assert_eq!(run(&SPEC, &[berlin(0), sydney(0)]).len(), 1);
}

#[test]
fn a_late_sign_in_is_compared_with_the_one_after_it() {
    let found = run(&SPEC, &[berlin(-DAY), sydney(8), berlin(0)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].subjects.iter().any(|s| s.kind == EntityKind::Ip && s.value == "203.0.113.9"), "{found:#?}");
    assert!(found[0].subjects.iter().any(|s| s.hit && s.value == "s8"));
}

#[test]
fn the_attacker_going_on_is_told_and_the_owner_going_on_is_not() {
    let found = run(&SPEC, &[berlin(0), berlin(DAY), sydney(DAY + 30), berlin(DAY + 60), sydney(DAY + 90)]);
    assert_eq!(found.iter().map(|f| f.event_ids.last().unwrap().as_str()).collect::<Vec<_>>(), ["e3", "e5"]);
}

#[test]
fn innocent_travel_stays_silent() {
    let vpn = |minute| sydney(minute).asn(9009, NetworkClass::Vpn);
    let relay = |minute| sydney(minute).asn(36183, NetworkClass::Relay);
    let innocent = [
        ("a flight", vec![berlin(0), sydney(DAY)]),
        ("a train", vec![berlin(0), login(60).ip("192.0.2.1").place("DE", 51.0, 11.0)]),
        ("a VPN", vec![berlin(0), vpn(5), berlin(10), vpn(15)]),
        ("a relay", vec![berlin(0), relay(5)]),
        ("hosting", vec![berlin(0), sydney(5).asn(14061, NetworkClass::Hosting)]),
        ("the same device", vec![berlin(0), sydney(30).device("laptop")]),
        ("the same network", vec![berlin(0), sydney(30).asn(3320, NetworkClass::Residential)]),
        ("the same address after the place file changed", vec![berlin(0), sydney(30).ip("198.51.100.7")]),
        ("a failed try", vec![berlin(0), sydney(30).fail("bad_password"), berlin(40)]),
        ("no place", vec![berlin(0), login(5).ip("203.0.113.9")]),
        ("a new phone behind its carrier", vec![berlin(0), carrier(5), berlin(10), carrier(20)]),
        (
            "a wrong place within the country",
            vec![berlin(0).device("").agent(""), login(5).ip("192.0.2.1").asn(6805, NetworkClass::Residential).place("DE", 47.0, 1.0)],
        ),
        ("the company's gateway", vec![berlin(0).device(""), sydney(5).device("").agent("Firefox").asn(64_501, NetworkClass::Corporate)]),
        ("a program", vec![berlin(0).service(), sydney(5).service()]),
        ("an approval on the phone", vec![berlin(0), sydney(1).kind(bartizan_core::Kind::MfaResult).factor("push")]),
        ("an unsound place", vec![berlin(0), sydney(5).place("AU", f32::NAN, 151.0)]),
    ];
    for (name, events) in innocent {
        let found = run(&SPEC, &events);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn a_phone_and_a_laptop_that_are_both_known_stay_silent_anywhere() {
    let mut events = Vec::new();
    for day in 0..5 {
        events.extend([berlin(day * DAY), carrier(day * DAY + 30)]);
    }
    // Holiday in Australia: the laptop on the hotel's line, the phone roams and leaves the net in Dublin.
    events.extend([sydney(6 * DAY).device("laptop").agent("Firefox"), carrier(6 * DAY + 5), sydney(6 * DAY + 9).device("laptop")]);
    assert!(run(&SPEC, &events).is_empty());
}

#[test]
fn a_carrier_far_away_is_told_of_who_has_been_known_for_days_though_seldom_signing_in() {
    let thief = |minute| sydney(minute).asn(1221, NetworkClass::Mobile);
    assert_eq!(run(&SPEC, &[berlin(0), berlin(3 * DAY), thief(3 * DAY + 40)]).len(), 1);
    assert_eq!(run(&SPEC, &[berlin(0), berlin(DAY), thief(DAY + 40)]).len(), 0, "may be a phone not seen so far");
}

#[test]
fn one_provider_far_apart_takes_a_new_client() {
    let home = |minute| berlin(minute).asn(7922, NetworkClass::Residential).place("US", 47.6, -122.3).region("Washington");
    let miami = |minute| sydney(minute).asn(7922, NetworkClass::Residential).place("US", 25.8, -80.2).region("Florida");
    assert_eq!(run(&SPEC, &[home(0), home(3 * DAY), home(5 * DAY), miami(5 * DAY + 30)]).len(), 1);
    assert_eq!(run(&SPEC, &[home(0), home(3 * DAY), home(5 * DAY), miami(5 * DAY + 30).device("").agent("")]).len(), 0);
}

#[test]
fn a_travellers_new_phone_leaves_the_net_at_home() {
    let hotel = |minute| sydney(minute).device("laptop").agent("Firefox");
    let phone = |minute| carrier(minute).place("DE", 50.1, 8.7);
    let mut events = vec![berlin(0), berlin(DAY), berlin(3 * DAY), hotel(5 * DAY)];
    events.push(phone(5 * DAY + 60));
    assert!(run(&SPEC, &events).is_empty());
    events.push(phone(5 * DAY + 80).asn(852, NetworkClass::Residential).region("Hessen"));
    assert_eq!(run(&SPEC, &events).len(), 1, "a line where the person never was");
    events.pop();
    events.push(carrier(5 * DAY + 90).place("BR", -23.5, -46.6).device("thief"));
    assert_eq!(run(&SPEC, &events).len(), 1, "a gateway in a third country");
    let at_home = |minute| berlin(minute).region("Berlin").asn(852, NetworkClass::Residential);
    let lines = [at_home(0), at_home(DAY), at_home(3 * DAY), hotel(5 * DAY), at_home(5 * DAY + 60).device("phone").agent("App")];
    assert!(run(&SPEC, &lines).is_empty(), "a carrier that is not known as one");
    let owner = |minute| berlin(minute).asn(8412, NetworkClass::Mobile);
    let stolen = [owner(0), owner(DAY), owner(3 * DAY), owner(5 * DAY), sydney(5 * DAY + 60)];
    assert_eq!(run(&SPEC, &stolen).len(), 1, "a stranger abroad while the person is at home");
}

#[test]
fn a_first_phone_within_the_country_stays_silent() {
    let home = |minute| berlin(minute).place("CA", 49.2, -123.1).region("British Columbia");
    let phone = |minute| sydney(minute).place("CA", 45.5, -73.6).region("Quebec").asn(812, NetworkClass::Residential);
    assert_eq!(run(&SPEC, &[home(0), home(DAY), phone(DAY + 60)]).len(), 0);
    assert_eq!(run(&SPEC, &[home(0), home(3 * DAY), phone(3 * DAY + 60)]).len(), 1);
}

#[test]
fn a_new_tunnel_becomes_known() {
    let split = |minute| sydney(minute).device("").agent("Firefox").asn(64500, NetworkClass::Unknown);
    let home = |minute| berlin(minute).device("");
    let events: Vec<_> = (0..10).flat_map(|day| [home(day * DAY), split(day * DAY + 10)]).collect();
    let found = run(&SPEC, &events);
    assert!(found.len() <= 3 && found.iter().all(|f| f.severity == Severity::Medium), "{found:#?}");
}

#[test]
fn what_an_agent_does_with_their_own_machine_is_nobody_elses_journey_on_any_day() {
    let agent = |minute| sydney(minute).device("agent's laptop").agent("Edge");
    let mut events: Vec<_> = (0..4).flat_map(|day| [berlin(day * DAY), agent(day * DAY + 5).user("bob")]).collect();
    for day in 4..6 {
        events.extend([agent(day * DAY), berlin(day * DAY + 60).device("cookies cleared").agent("Firefox")]);
    }
    assert!(run(&SPEC, &events).is_empty());
    // Nobody's on an earlier day: a thief who comes back.
    assert_eq!(
        run(&SPEC, &[berlin(0), berlin(DAY), sydney(DAY + 30), sydney(DAY + 60).user("bob"), sydney(2 * DAY), berlin(2 * DAY + 60)]).len(),
        2
    );
}
