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
    login(hour).ip("203.0.113.9").asn(28573, NetworkClass::Residential).place("BR", -23.5, -46.6).region("SP").device("thief").agent("curl")
}

fn days(count: i64) -> Vec<TestEvent> {
    (0..count).map(|day| home(day * 24)).collect()
}

fn severities(mut history: Vec<TestEvent>, then: Vec<TestEvent>) -> Vec<Severity> {
    history.extend(then);
    run(&SPEC, &history).iter().map(|finding| finding.severity).collect()
}

#[test]
fn all_new_is_told_after_three_sign_ins_and_high_of_who_is_well_known() {
    let mut history = days(2);
    history.push(home(30));
    assert_eq!(severities(history, vec![abroad(48)]), [Severity::Low]);
    assert_eq!(severities(days(2), vec![abroad(48)]), []);
    assert_eq!(severities(days(10), vec![abroad(24 * 11)]), [Severity::High]);
    assert_eq!(severities(days(60), vec![abroad(24 * 61)]), [Severity::High]);
    let nameless = abroad(24 * 61).device("").agent("Firefox");
    assert_eq!(severities(days(60), vec![nameless]), [Severity::High], "without the usual device id");
}

#[test]
fn a_journey_without_device_ids_is_low_and_told_once() {
    let hotel = |hour| abroad(hour).asn(27699, NetworkClass::Residential).device("").agent("Firefox");
    let history = (0..20).map(|day| home(day * 24).device("")).collect();
    assert_eq!(severities(history, vec![hotel(500), hotel(520), hotel(540)]), [Severity::Low]);
}

#[test]
fn another_device_abroad_of_whom_one_device_alone_is_known_is_low_or_medium() {
    let phone = |hour| abroad(hour).asn(27699, NetworkClass::Residential).device("phone").agent("App");
    assert_eq!(severities(days(7), vec![phone(200), phone(210), phone(220)]), [Severity::Low, Severity::Medium, Severity::Medium]);
    assert_eq!(severities(days(8), vec![phone(200)]), [Severity::Medium], "well known");
    let mut two = days(7);
    two.extend((0..7).map(|day| home(day * 24 + 5).device("tablet").agent("App")));
    assert_eq!(severities(two, vec![phone(200)]), [Severity::High]);
}

#[test]
fn a_stranger_in_another_region_is_low_with_the_same_provider_too() {
    let far = |hour| home(hour).place("DE", 48.1, 11.6).region("Bayern").ip("192.0.2.9").device("thief").agent("Chrome");
    assert_eq!(severities(days(5), vec![far(130)]), [Severity::Low]);
    let phone = |hour| far(hour).asn(20057, NetworkClass::Mobile);
    assert_eq!(severities(days(5), vec![phone(130)]), [], "a first phone behind its carrier's gateway");
    assert_eq!(severities(days(5), vec![phone(130).place("DE", 10.0, -100.0)]), [Severity::Low], "farther than gateways lie");
}

#[test]
fn what_a_stranger_told_as_low_brought_stays_strange() {
    let mut history = days(4);
    history.push(abroad(100));
    assert_eq!(severities(history, vec![abroad(130)]), [Severity::Low, Severity::Low]);
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
        ("a journey with one's own device", vec![abroad(500).asn(27699, NetworkClass::Residential).device("laptop").agent("Firefox")]),
        ("failed tries", vec![abroad(500).fail("bad_password"), abroad(501).fail("bad_password")]),
        ("a program", vec![abroad(500).service()]),
    ];
    for (name, then) in cases {
        assert_eq!(severities(days(20), then), [], "{name}");
    }
}

#[test]
fn a_laptop_always_behind_a_tunnel_becomes_known() {
    let phone = |day: i64| home(day * 24).device("phone").agent("App");
    let tunnel = |day: i64| abroad(day * 24 + 2).asn(9009, NetworkClass::Vpn).device("laptop").agent("Firefox");
    let history = || (0..12).flat_map(|day| [phone(day), tunnel(day)]).collect::<Vec<_>>();
    let hotel = |device: &str| abroad(300).asn(27699, NetworkClass::Residential).device(device).agent("Firefox");
    let told = |device| run(&SPEC, &[history(), vec![hotel(device)]].concat()).last().map(|last| last.severity);
    assert_eq!(told("thief"), Some(Severity::High));
    assert!(severities(history(), vec![hotel("laptop")]).iter().all(|severity| *severity == Severity::Low), "the tunnel's first days");
}

#[test]
fn failed_sign_ins_and_relays_teach_nothing() {
    let mut history = days(20);
    history.extend((0..20).map(|n| abroad(480 + n).fail("bad_password")));
    history.extend((0..5).map(|n| abroad(500 + n).asn(36183, NetworkClass::Relay)));
    assert_eq!(severities(history, vec![abroad(510)]), [Severity::High]);
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
    assert_eq!(severities(history.clone(), vec![abroad(100)]), [Severity::Low]);
    assert_eq!(severities(history, vec![abroad(100).request()]), [], "only sign-ins are judged");
}

#[test]
fn a_desktop_in_a_data_centre_is_its_person_s_and_a_tool_there_is_not() {
    let hosted = |device: &str, agent: &str| abroad(500).asn(14061, NetworkClass::Hosting).device(device).agent(agent);
    assert_eq!(severities(days(20), vec![hosted("desktop", "Edge")]), []);
    assert_eq!(severities(days(20), vec![hosted("", "curl")]), [Severity::Medium]);
}

/// Somebody else of the same tenant, at work.
fn colleague(name: &str, hour: i64) -> TestEvent {
    abroad(hour).user(name).device(name).agent("Firefox").ip("203.0.113.40")
}

#[test]
fn colleagues_vouch_for_their_devices_and_their_places() {
    let at_work = |names: &[&str]| -> Vec<TestEvent> {
        let mut all: Vec<_> = (0..10).flat_map(|day| names.iter().map(move |name| colleague(name, day * 24 + 1))).collect();
        all.extend(days(20));
        all.sort_by_key(TestEvent::time_ms);
        all
    };
    let with_device = abroad(500).device("bob").agent("Firefox").ip("192.0.2.200");
    assert_eq!(severities(at_work(&["bob"]), vec![with_device.clone()]), [], "a travel agent's machine");
    assert_eq!(severities(days(20), vec![with_device]), [Severity::High], "nobody's");
    let there = abroad(500).ip("203.0.113.77").device("new");
    assert_eq!(severities(at_work(&["bob", "eve", "joe"]), vec![there.clone()]), [], "another office");
    assert_eq!(severities(at_work(&["bob", "eve", "joe"]), vec![there.clone().device("").agent("curl")]), [Severity::High], "a tool there");
    assert_eq!(severities(at_work(&["bob", "eve"]), vec![there]), [Severity::Medium], "two are no office, but in that country");
}

#[test]
fn a_session_that_goes_on_shows_who_comes_to_an_address() {
    let names = ["bob", "eve", "joe"];
    let goes_on = |name: &str, hour: i64| colleague(name, hour).refresh(&format!("{name} {hour}"), &format!("{name} {}", hour + 24));
    let with = |later: &dyn Fn(&str, i64) -> TestEvent| {
        let sign_ins = names.iter().map(|name| colleague(name, 1).ip("192.0.2.1"));
        let rest = (1..10).flat_map(|day| names.iter().map(move |name| later(name, day * 24 + 1)));
        let mut all: Vec<_> = sign_ins.chain(rest).chain(days(20)).collect();
        all.sort_by_key(TestEvent::time_ms);
        severities(all, vec![abroad(500).ip("203.0.113.40").device("new")])
    };
    assert_eq!(with(&goes_on), []);
    assert_ne!(with(&|name, hour| goes_on(name, hour).ip("203.0.113.77")), [], "on a neighbour's line");
    assert_ne!(with(&|name, hour| goes_on(name, hour).device("thief")), [], "with another device");
}

#[test]
fn what_came_today_vouches_for_nobody() {
    let mut history = days(20);
    history.extend(["bob", "eve", "joe", "kim"].map(|name| colleague(name, 490)));
    let there = abroad(491).ip("203.0.113.77").device("bob");
    assert_eq!(severities(history, vec![there]), [Severity::High]);
}

#[test]
fn a_new_office_is_everybodys_once_colleagues_came_to_it_with_what_they_had() {
    let names = ["bob", "eve", "joe"];
    let at_home = |name: &str, hour| home(hour).user(name).device(name).ip("198.51.100.99");
    let mut history = days(20);
    history.extend((0..20).flat_map(|day| names.map(|name| at_home(name, day * 24 + 2))));
    history.sort_by_key(TestEvent::time_ms);
    let there = abroad(491).ip("203.0.113.40").device("new").agent("App");
    assert_eq!(severities(history.clone(), vec![there.clone()]), [Severity::High], "the first to come");
    let one_is_there: Vec<_> = history.iter().cloned().chain([colleague("bob", 490)]).collect();
    assert_eq!(severities(one_is_there, vec![there.clone()]), [Severity::High], "two may meet by chance");
    let two_are_there: Vec<_> = history.iter().cloned().chain(["bob", "eve"].map(|name| colleague(name, 490))).collect();
    assert_eq!(severities(two_are_there, vec![there.clone()]), []);
    history.extend(names.map(|name| colleague(name, 490)));
    assert_eq!(severities(history.clone(), vec![there.clone()]), []);
    assert_eq!(severities(history.clone(), vec![there.ip("203.0.113.77")]), [Severity::High], "a neighbour's line");
    let phones = |hour| abroad(hour).ip("203.0.113.78").asn(28573, NetworkClass::Mobile).device("new").agent("App");
    let on_carrier = names.map(|name| colleague(name, 490).ip("203.0.113.78").asn(28573, NetworkClass::Mobile));
    let last = history.len() - names.len();
    history.truncate(last);
    history.extend(on_carrier);
    assert_eq!(severities(history, vec![phones(491)]), [Severity::High], "a carrier's gateway is nobody's office");
}

#[test]
fn a_country_where_colleagues_are_at_home_is_less_of_a_surprise() {
    let tablet = |day: i64| home(day * 24 + 5).device("tablet").agent("App");
    let with_colleagues = |count: usize| {
        let names = (0..count).map(|number| format!("c{number}"));
        let there = names.flat_map(|name| (0..3).map(move |day| colleague(&name, day * 24 + 1).ip("192.0.2.1")));
        let mut history: Vec<_> = there.chain(days(10)).chain((0..10).map(tablet)).collect();
        history.sort_by_key(TestEvent::time_ms);
        severities(history, vec![abroad(300)])
    };
    assert_eq!(with_colleagues(0), [Severity::High]);
    assert_eq!(with_colleagues(30), [Severity::Medium]);
}

#[test]
fn a_tool_without_the_usual_device_id_is_told_as_high_after_three_sign_ins() {
    let known = || [days(2), vec![home(30)]].concat();
    assert_eq!(severities(known(), vec![abroad(48).device("")]), [Severity::High]);
    assert_eq!(severities(known(), vec![home(48).device("")]), [], "at home");
}

#[test]
fn a_new_laptop_in_doubt_is_its_person_s_once_the_phone_comes_from_the_same_line() {
    let phone = |hour| home(hour).device("phone").agent("App");
    let known = || (0..20).flat_map(|day| [home(day * 24), phone(day * 24 + 3)]).collect::<Vec<_>>();
    let moved = |event: TestEvent| event.ip("192.0.2.9").asn(6805, NetworkClass::Residential).place("DE", 48.1, 11.6).region("Bayern");
    let laptop = |hour| moved(home(hour)).device("new laptop").agent("Safari");
    let journey = || abroad(530).device("new laptop").agent("Safari");
    assert_eq!(severities(known(), vec![laptop(500), journey()]), [Severity::Low, Severity::High]);
    assert_eq!(severities(known(), vec![laptop(500), moved(phone(501)), journey()]), [Severity::Low]);
    let elsewhere = moved(phone(501)).ip("192.0.3.9");
    assert_eq!(severities(known(), vec![laptop(500), elsewhere, journey()]), [Severity::Low, Severity::High], "of the same town only");
}
