//! Scenarios of credential stuffing and of what looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{EntityKind, Finding, NetworkClass, Said, Severity};
use bartizan_credentials::credential_stuffing::SPEC;
use bartizan_testkit::{Runner, TestEvent, contract, event, run};
use std::collections::BTreeSet;

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
fn an_attack_that_pauses_for_hours_goes_on_at_a_third_of_the_limit() {
    let later: Vec<_> = (0..5).map(|n| login(3 * 3_600 + n, &format!("later{n}"), "203.0.113.7").fail("bad_password")).collect();
    assert!(run(&SPEC, &later).is_empty());
    let found = run(&SPEC, &[spray(12, "203.0.113.7"), later].concat());
    assert_eq!(found.len(), 3 + 2, "{found:#?}");
    assert!(found.iter().skip(1).all(|finding| finding.sign.is_none()), "it is told once: {found:#?}");
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
fn attacks_with_one_client_show_the_same_sign_from_wherever_they_come() {
    let sign = |ip: &str, agent: &dyn Fn(usize) -> String| {
        let tries = spray(12, ip).into_iter().enumerate();
        run(&SPEC, &tries.map(|(n, one)| one.agent(agent(n))).collect::<Vec<_>>())[0].sign
    };
    let tool = sign("203.0.113.7", &|_| "curl/8".into());
    assert!(tool.is_some());
    assert_eq!(sign("198.51.100.7", &|n| if n == 11 { "Edge".into() } else { "curl/8".into() }), tool, "somebody else fails there, too");
    assert_ne!(sign("198.51.100.7", &|_| "curl/9".into()), tool);
    assert_eq!(sign("198.51.100.7", &|n| format!("Firefox/{n}")), None);
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
fn a_client_that_comes_again_hours_later_begins_an_attack() {
    let wave = |from: i64| {
        (0..60).map(move |n| login(from + n, &format!("v{from}-{n}"), &format!("198.{}.{}.9", n % 30, from % 200)).fail("unknown_user"))
    };
    let begins = |pause: i64| run(&SPEC, &wave(0).chain(wave(pause)).collect::<Vec<_>>()).iter().filter(|f| f.sign.is_some()).count();
    assert_eq!((begins(3_600), begins(3 * 3_600)), (1, 2));
}

#[test]
fn an_attack_with_one_client_does_not_name_whom_a_loud_address_tries_with_it() {
    let loud = paced(40, 0, 30, "203.0.113.7");
    let wide = (0..40).map(|n| login(1_000 + n, &format!("w{n}"), &format!("198.{}.100.9", n % 30)).fail("unknown_user"));
    let mut events: Vec<_> = loud.into_iter().chain(wide).collect();
    events.sort_by_key(TestEvent::time_ms);
    let found = run(&SPEC, &events);
    let client: Vec<_> = found.iter().filter(|finding| finding.key.starts_with("client:")).collect();
    assert!(!client.is_empty());
    assert!(client.iter().flat_map(|finding| &finding.subjects).all(|subject| !subject.value.starts_with("v0-")));
    assert_eq!(client[0].first_time_ms - event(START).time_ms(), 1_000_000);
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

// An attack that goes on.

/// Names from one address, with so many seconds between them.
fn paced(names: i64, from: i64, gap: i64, ip: &str) -> Vec<TestEvent> {
    (0..names).map(|n| login(from + n * gap, &format!("v{from}-{n}"), ip).fail("bad_password")).collect()
}

/// Alerts that findings make: within one key, so many hours of quiet end one.
fn alerts(findings: &[Finding]) -> usize {
    let keys: BTreeSet<&str> = findings.iter().map(|finding| finding.key.as_str()).collect();
    let of_key = |key: &str| {
        let times: Vec<i64> = findings.iter().filter(|finding| finding.key == key).map(|finding| finding.time_ms).collect();
        1 + times.windows(2).filter(|pair| pair[1] - pair[0] > SPEC.quiet_gap_ms).count()
    };
    keys.into_iter().map(of_key).sum()
}

#[test]
fn a_try_now_and_then_below_the_limit_still_belongs_to_the_attack() {
    // Ten names an hour, then seven, then twelve, for a day.
    let mut events = Vec::new();
    for hour in 0..24 {
        events.extend(paced([12, 7, 5, 12][hour as usize % 4], hour * 3_600, 290, "203.0.113.7"));
    }
    let found = run(&SPEC, &events);
    assert_eq!(alerts(&found), 1);
    let told: u64 = found.iter().map(|finding| finding.event_count).sum();
    assert!(told as usize + 10 >= events.len(), "{told} of {}", events.len());
}

#[test]
fn rounds_with_hours_between_them_are_one_attack() {
    let events: Vec<_> = (0..5).flat_map(|round| paced(30, round * 5 * 3_600, 4, "203.0.113.7")).collect();
    assert_eq!(alerts(&run(&SPEC, &events)), 1);
}

#[test]
fn somebody_who_mistypes_hours_after_an_attack_is_not_drawn_into_it() {
    let mut events = paced(30, 0, 4, "203.0.113.7");
    events.push(login(3 * 3_600, "ann", "203.0.113.7").fail("bad_password"));
    let found = run(&SPEC, &events);
    assert!(found.iter().flat_map(|finding| &finding.subjects).all(|subject| subject.value != "ann"));
}

// Lists of right passwords.

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0) Chrome/145.0.1";
const DAY: i64 = 86_400;
/// When lists are used, with days of ordinary life before.
const LATER: i64 = 4 * DAY;

/// Somebody at home on their own line, every third without a device id.
fn at_home(n: i64, second: i64) -> TestEvent {
    let one = login(second, &format!("person{n}"), &format!("84.{}.{}.9", n / 200, n % 200)).agent(CHROME);
    let one = one.asn(3_320 + (n % 3) as u32, NetworkClass::Residential).place("DE", 52.5, 13.4).region(format!("region{}", n % 16));
    if n % 3 == 0 { one } else { one.device(format!("laptop{n}")) }
}

/// The same person's name, from some home in the country.
fn from_a_home(n: i64, second: i64) -> TestEvent {
    let one = login(second, &format!("person{n}"), &format!("91.{}.{}.77", n % 250, n / 250));
    one.asn(6_830 + (n % 4) as u32, NetworkClass::Residential).place("DE", 48.1, 11.6).region(format!("town{}", n % 7))
}

/// From another address on the line of their own.
fn near_home(n: i64, second: i64) -> TestEvent {
    at_home(n, second).ip(&format!("85.{}.{}.9", n / 200, n % 200))
}

fn keys(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

fn some_days(people: i64) -> Vec<TestEvent> {
    (0..4).flat_map(|day| (0..people).map(move |n| at_home(n, day * DAY + n * 60))).collect()
}

fn after_some_days(more: impl IntoIterator<Item = TestEvent>) -> Vec<TestEvent> {
    let mut events: Vec<_> = some_days(200).into_iter().chain(more).collect();
    events.sort_by_key(TestEvent::time_ms);
    events
}

fn stays_silent_after_some_days(more: impl IntoIterator<Item = TestEvent>) {
    let found = run(&SPEC, &after_some_days(more));
    assert!(found.is_empty(), "{} findings: {:#?}", found.len(), found[0]);
}

#[test]
fn a_list_of_right_passwords_used_by_one_device_is_a_hit_of_each() {
    let list = (0..12).map(|n| from_a_home(n * 7, LATER + n * 120).agent(CHROME).device("thief"));
    let found = run(&SPEC, &after_some_days(list));
    assert_eq!((found[0].key.as_str(), found[0].severity), ("device:thief", Severity::High));
    assert_eq!((found.len(), alerts(&found)), (7, 1));
    assert_eq!(hits(&found).len(), 24, "twelve users and their sessions");
}

#[test]
fn a_list_of_right_passwords_used_with_one_tool_is_a_hit_of_each() {
    let list = (0..12).map(|n| from_a_home(n * 7, LATER + n * 1_800));
    let found = run(&SPEC, &after_some_days(list));
    assert_eq!((found[0].key.as_str(), found[0].severity), ("client:|python-requests/2.32", Severity::High));
    assert_eq!((hits(&found).len(), alerts(&found)), (24, 1));
}

#[test]
fn a_list_that_is_stopped_by_second_factors_is_told_too() {
    let list = (0..12).map(|n| from_a_home(n * 7, LATER + n * 120).device("thief"));
    let list = list.enumerate().map(|(n, one)| if n % 2 == 0 { one.fail("mfa_required") } else { one });
    let found = run(&SPEC, &after_some_days(list));
    assert_eq!(hits(&found).len(), 12 + 6);
}

#[test]
fn some_names_on_their_own_lines_and_some_never_seen_hide_no_list() {
    let list = (0..20).map(|n| match n % 4 {
        0 => at_home(n * 7, LATER + n * 120).device("thief"),
        1 => login(LATER + n * 120, &format!("sleeper{n}"), &format!("91.7.{n}.77")).device("thief"),
        _ => from_a_home(n * 7, LATER + n * 120).device("thief"),
    });
    let found = run(&SPEC, &after_some_days(list));
    assert!(hits(&found).contains(&"user:sleeper17".to_owned()), "{found:#?}");
    assert_eq!(alerts(&found), 1);
}

#[test]
fn what_was_learnt_and_held_survives_a_reload_and_does_not_depend_on_luck() {
    let list = (0..12).map(|n| from_a_home(n * 7, LATER + n * 120).agent(CHROME).device("thief"));
    let events = after_some_days(list);
    contract::is_deterministic(&SPEC, &events).unwrap();
    contract::survives_reload(&SPEC, &events).unwrap();
    contract::looks_at_all_that_matters(&SPEC, &events).unwrap();
}

#[test]
fn many_people_at_one_kiosk_stay_silent_and_stand_in_the_ledger() {
    let kiosk =
        |n: i64| from_a_home(n, LATER + n * 120).ip("198.51.100.7").asn(680, NetworkClass::Corporate).region("campus").device("kiosk");
    stays_silent_after_some_days((0..60).map(kiosk));
    let said = Runner::new(&SPEC, 4).ask(&after_some_days((0..60).map(kiosk)));
    assert!(said.iter().any(|said| matches!(said, Said::Excuse(excuse) if excuse.gate == "one_place" && excuse.key == "device:kiosk")));
}

#[test]
fn a_list_is_found_where_one_provider_serves_most_of_the_country() {
    let list = (0..14).map(|n| if n % 3 == 0 { from_a_home(n, LATER + n * 120) } else { near_home(n, LATER + n * 120) }.device("thief"));
    let found = run(&SPEC, &after_some_days(list));
    assert_eq!(keys(&found), ["device:thief"].into());
    assert!(hits(&found).len() >= 24, "{:?}", hits(&found));
}

#[test]
fn an_id_that_an_image_gives_to_all_stays_silent() {
    let cloned = (0..100)
        .map(|n| at_home(n, LATER + n * 120).device("image"))
        .chain((0..4).map(|n| from_a_home(n, LATER + n * 3_000).device("image")));
    stays_silent_after_some_days(cloned);
}

#[test]
fn a_tablet_of_a_crew_on_the_move_stays_silent() {
    let tablet = |n: i64| login(LATER + n * 900, &format!("person{n}"), &format!("100.64.{n}.5")).agent("Tablet").device("van");
    stays_silent_after_some_days((0..30).map(|n| tablet(n).asn(12_576, NetworkClass::Mobile)));
}

#[test]
fn a_new_release_stays_silent() {
    let new = "Mozilla/5.0 (Windows NT 10.0) Chrome/146.0.1";
    let morning = (0..200).map(|n| at_home(n, LATER + n * 30).agent(new));
    // One in ten is abroad, half of them with something new.
    let abroad = (0..200).step_by(10).map(|n| from_a_home(n, LATER + 15 + n * 30).agent(new).device(format!("new{n}")));
    stays_silent_after_some_days(morning.chain(abroad));
}

#[test]
fn people_who_travel_with_a_common_browser_stay_silent() {
    stays_silent_after_some_days((0..60).map(|n| from_a_home(n, LATER + n * 200).agent(CHROME)));
}

#[test]
fn private_windows_stay_silent() {
    stays_silent_after_some_days((0..60).map(|n| from_a_home(n, LATER + n * 200).agent(CHROME).device(format!("fresh{n}"))));
}

#[test]
fn a_family_that_shares_a_device_stays_silent() {
    stays_silent_after_some_days((0..40).map(|n| from_a_home(n % 4, LATER + n * 3_000).region(format!("town{}", n % 9)).device("tablet")));
}

#[test]
fn a_tenant_that_is_new_here_stays_silent() {
    let mut events: Vec<_> = (0..200).map(|n| at_home(n, n * 20)).collect();
    events.extend((0..200).map(|n| from_a_home(n, 5_000 + n * 20).agent(CHROME)));
    let found = run(&SPEC, &events);
    assert!(found.is_empty(), "{:#?}", found[0]);
}
