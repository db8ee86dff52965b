//! Scenarios of password spraying and of what looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use bartizan_core::{EntityKind, Finding, Kind, NetworkClass, Role, Severity};
use bartizan_credentials::{credential_stuffing, password_spraying::SPEC};
use bartizan_testkit::{Runner, TestEvent, contract, event, run};
use std::collections::BTreeSet;

const START: &str = "2026-03-02T07:00:00Z";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// When attacks begin, with some days of ordinary life before them.
const NOON: i64 = 5 * DAY + 5 * HOUR;
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0) Chrome/145.0.1";

/// A number below `limit` that depends on its arguments alone.
fn dice(a: i64, b: i64, limit: i64) -> i64 {
    let mut x = (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    for _ in 0..3 {
        x ^= x >> 29;
        x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    ((x >> 16) % limit as u64) as i64
}

fn at(ms: i64) -> TestEvent {
    event(START).plus_ms(ms).login()
}

/// Somebody of the tenant on the line at home; every third browser names no device.
fn home(n: i64, ms: i64) -> TestEvent {
    let one = at(ms).user(format!("person{n}")).ip(&format!("84.{}.{}.9", n / 200, n % 200)).agent(CHROME).session(format!("s{n}-{ms}"));
    let one = one.asn(3320 + (n % 3) as u32, NetworkClass::Residential).place("DE", 52.5, 13.4).region(format!("region{}", n % 16));
    if n % 3 == 0 { one } else { one.device(format!("laptop{n}")) }
}

/// The same person with the same laptop behind another address.
fn elsewhere(n: i64, ms: i64, ip: &str, asn: u32) -> TestEvent {
    home(n, ms).ip(ip).asn(asn, NetworkClass::Residential).region("elsewhere")
}

/// A guess at the password of person `n`.
fn guess(n: i64, ms: i64, ip: &str, agent: &str) -> TestEvent {
    let one = at(ms).user(format!("person{n}")).ip(ip).agent(agent).asn(14_061, NetworkClass::Hosting).place("US", 40.7, -74.0);
    one.fail("bad_password")
}

/// The same, and it was right.
fn right(n: i64, ms: i64, ip: &str, agent: &str) -> TestEvent {
    guess(n, ms, ip, agent).outcome(bartizan_core::Outcome::Success).session(format!("stolen{n}"))
}

/// `people` sign in each morning; of eight one mistypes first, and one of two hundred then gives up.
fn life(people: i64, days: i64) -> Vec<TestEvent> {
    let mut events = Vec::new();
    for day in 0..days {
        for n in 0..people {
            let ms = day * DAY + dice(n, day, 9 * HOUR);
            if dice(n, day + 100, 8) == 0 {
                events.push(home(n, ms).fail("bad_password"));
            }
            if dice(n, day + 200, 200) != 0 {
                events.push(home(n, ms + 20_000));
            }
        }
    }
    events
}

fn sorted(mut events: Vec<TestEvent>) -> Vec<TestEvent> {
    events.sort_by_key(TestEvent::time_ms);
    events
}

fn found(events: Vec<TestEvent>) -> Vec<Finding> {
    run(&SPEC, &sorted(events))
}

fn amid(people: i64, attack: impl IntoIterator<Item = TestEvent>) -> Vec<Finding> {
    found(life(people, 7).into_iter().chain(attack).collect())
}

fn stays_silent(events: Vec<TestEvent>) {
    let found = found(events);
    assert!(found.is_empty(), "{} findings: {:#?}", found.len(), found[0]);
}

fn stays_silent_amid(people: i64, events: impl IntoIterator<Item = TestEvent>) {
    stays_silent(life(people, 7).into_iter().chain(events).collect());
}

fn keys(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

fn named(findings: &[Finding], kind: EntityKind) -> BTreeSet<&str> {
    findings.iter().flat_map(|f| &f.subjects).filter(|s| s.kind == kind).map(|s| s.value.as_str()).collect()
}

fn hits(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().flat_map(|f| &f.subjects).filter(|s| s.hit).map(|s| format!("{}:{}", s.kind, s.value)).collect()
}

fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

fn minutes_to(findings: &[Finding]) -> i64 {
    (findings[0].time_ms - event(START).time_ms() - NOON) / MINUTE
}

/// A proxy in somebody's home, another one each time.
fn proxy(n: i64) -> String {
    format!("{}.{}.{}.{}", 150 + dice(n, 1, 40), dice(n, 2, 250), dice(n, 3, 250), 1 + dice(n, 4, 250))
}

// Attacks.

/// A name every `gap` minutes from one address.
fn slow(names: i64, gap: i64) -> Vec<TestEvent> {
    (0..names).map(|n| guess(n, NOON + n * gap * MINUTE, "203.0.113.9", "python-requests/2.32")).collect()
}

#[test]
fn a_name_every_few_minutes_from_one_address_is_found_though_no_hour_has_ten() {
    let attack = slow(60, 7);
    assert!(run(&credential_stuffing::SPEC, &attack).is_empty());
    let found = amid(120, attack);
    assert_eq!(keys(&found), ["net:203.0.113.0/24"].into());
    assert_eq!((worst(&found), found[0].event_count), (Some(Severity::Medium), 10));
    // Somebody may sign in at home right after the guess, which then looks like a mistake.
    assert!((70..=84).contains(&minutes_to(&found)), "{}", minutes_to(&found));
    assert_eq!(found[0].subjects.iter().filter(|s| s.kind == EntityKind::User && s.role == Role::Victim).count(), 10);
    assert_eq!(named(&found, EntityKind::Ip), ["203.0.113.9"].into());
    assert!(named(&found, EntityKind::Network).is_empty());
    // The last one has had no time to settle.
    assert!((56..=59).contains(&named(&found, EntityKind::User).len()));
    assert_eq!(found.iter().map(|f| f.event_count).sum::<u64>(), named(&found, EntityKind::User).len() as u64);
}

#[test]
fn a_patient_attack_with_a_name_each_half_hour_is_found() {
    let found = amid(120, slow(40, 30));
    assert_eq!(keys(&found), ["net:203.0.113.0/24"].into());
    assert!((300..=330).contains(&minutes_to(&found)));
}

#[test]
fn it_is_found_in_a_tenant_of_which_nothing_is_known() {
    assert_eq!(keys(&found(slow(40, 7))), ["net:203.0.113.0/24"].into());
}

#[test]
fn a_network_with_many_addresses_is_named() {
    let attack = (0..80).map(|n| guess(n, NOON + n * 7 * MINUTE, &format!("203.0.113.{}", 1 + n % 20), "python-requests/2.32"));
    let found = amid(120, attack);
    assert_eq!(keys(&found), ["net:203.0.113.0/24"].into());
    assert_eq!(named(&found, EntityKind::Network), ["203.0.113.0/24"].into());
}

#[test]
fn one_client_over_many_networks_is_found_slow() {
    let attack: Vec<_> = (0..90).map(|n| guess(n % 60, NOON + n * 5 * MINUTE, &proxy(n), "Mozilla/5.0 Chrome/99.0")).collect();
    assert!(run(&credential_stuffing::SPEC, &attack).is_empty());
    let found = amid(120, attack);
    assert_eq!(keys(&found), ["client:|Mozilla/5.0 Chrome/99.0"].into());
    assert!((60..=70).contains(&minutes_to(&found)));
}

/// Rounds over the same names from a few addresses.
fn rounds(rounds: i64, names: i64, gap_ms: i64, pause_ms: i64, source: impl Fn(i64) -> (String, String)) -> Vec<TestEvent> {
    let round = |round: i64| (0..names).map(move |n| (round, n));
    let try_ = |(round, n): (i64, i64)| {
        let (ip, agent) = source(round * names + n);
        guess(n, NOON + round * (names * gap_ms + pause_ms) + n * gap_ms, &ip, &agent)
    };
    (0..rounds).flat_map(round).map(try_).collect()
}

#[test]
fn quick_rounds_from_a_few_addresses_are_found_in_the_second_round() {
    for (names, pause) in [(14, 30), (40, 120)] {
        let source = |n| (format!("{}.9.9.{}", 150 + dice(n, 7, 6), 7), "Mozilla/5.0 Chrome/99.0".to_owned());
        let found = amid(120, rounds(3, names, 10_000, pause * MINUTE, source));
        assert_eq!(worst(&found), Some(Severity::Medium), "{names}");
        assert!(keys(&found).len() <= 2, "{:?}", keys(&found));
        assert!(minutes_to(&found) <= pause + names * 20 / 60, "{names}: {}", minutes_to(&found));
        assert!(named(&found, EntityKind::User).iter().all(|user| user[6..].parse::<i64>().unwrap() < names));
    }
}

#[test]
fn rounds_with_a_client_that_everybody_has_are_found() {
    let source = |n| (format!("{}.9.9.{}", 150 + dice(n, 7, 6), 7), CHROME.to_owned());
    let found = amid(120, rounds(3, 16, 10_000, 30 * MINUTE, source));
    assert_eq!(keys(&found), ["tenant"].into());
    assert!(named(&found, EntityKind::User).len() >= 12);
    assert!(named(&found, EntityKind::Ip).iter().all(|ip| ip.ends_with(".9.9.7")));
}

#[test]
fn tries_that_share_nothing_are_found_above_what_is_usual() {
    let source = |n| (proxy(n), format!("Mozilla/5.0 {} Firefox", (b'a' + (n % 26) as u8) as char));
    let found = amid(200, rounds(2, 60, 6 * MINUTE, 20 * MINUTE, source));
    assert_eq!(keys(&found), ["tenant"].into());
    assert_eq!(worst(&found), Some(Severity::Medium));
    assert!(minutes_to(&found) <= 90, "{}", minutes_to(&found));
    assert!(named(&found, EntityKind::Network).is_empty());
    assert!(named(&found, EntityKind::User).iter().all(|user| user[6..].parse::<i64>().unwrap() < 60));
}

#[test]
fn loud_attacks_of_the_days_before_are_not_what_is_usual() {
    let list = |day: i64, n: i64| guess(day * 40 + n, day * DAY + n * 8_000, &format!("198.51.{day}.7"), &format!("curl/{day}"));
    let loud = (1..5).flat_map(|day| (0..40).map(move |n| list(day, n)));
    let source = |n| (proxy(n), format!("Mozilla/5.0 {} Firefox", (b'a' + (n % 26) as u8) as char));
    let found = amid(200, loud.chain(rounds(2, 60, 6 * MINUTE, 20 * MINUTE, source)));
    assert_eq!(keys(&found), ["tenant"].into());
    assert!(minutes_to(&found) <= 90, "{}", minutes_to(&found));
}

#[test]
fn a_near_attack_from_homes_of_the_country_is_found() {
    let attack =
        (0..60).map(|n| guess(n, NOON + n * 5 * MINUTE, &proxy(n), CHROME).asn(8881, NetworkClass::Residential).place("DE", 52.5, 13.4));
    assert_eq!(keys(&amid(200, attack)), ["tenant"].into());
}

#[test]
fn two_tries_a_name_in_each_round_are_found() {
    let attack = (0..80).map(|n| guess(n / 2, NOON + n * 5 * MINUTE, "203.0.113.9", "curl/8"));
    assert_eq!(keys(&amid(120, attack)), ["net:203.0.113.0/24"].into());
}

#[test]
fn a_hit_is_told_on_its_event_with_user_and_session() {
    let mut attack = slow(40, 7);
    attack.push(right(77, NOON + 200 * MINUTE, "203.0.113.9", "python-requests/2.32").id("the hit"));
    let found = amid(120, attack);
    assert_eq!(hits(&found), ["session:stolen77".to_owned(), "user:person77".to_owned()].into());
    let hit = found.iter().find(|finding| finding.severity == Severity::High).unwrap();
    assert_eq!((hit.time_ms - event(START).time_ms() - NOON, hit.event_ids.as_slice()), (200 * MINUTE, &["the hit".to_owned()][..]));
    assert!(!hit.actions.is_empty());
}

#[test]
fn a_second_hit_makes_it_a_campaign() {
    let mut attack = slow(40, 7);
    attack.extend([77, 78].map(|n| right(n, NOON + (130 + n) * MINUTE, "203.0.113.9", "python-requests/2.32")));
    assert_eq!(worst(&amid(120, attack)), Some(Severity::Critical));
}

#[test]
fn a_hit_before_the_limit_is_told_with_it() {
    let mut attack = slow(40, 7);
    attack.push(right(77, NOON + 40 * MINUTE, "203.0.113.9", "python-requests/2.32"));
    let found = amid(120, attack);
    assert_eq!(found[0].severity, Severity::High);
    assert_eq!(hits(&found), ["session:stolen77".to_owned(), "user:person77".to_owned()].into());
}

#[test]
fn a_right_password_before_a_second_factor_is_a_hit() {
    let mut attack = slow(40, 7);
    attack.push(guess(77, NOON + 200 * MINUTE, "203.0.113.9", "python-requests/2.32").fail("mfa_required"));
    let found = amid(120, attack);
    assert_eq!(hits(&found), ["user:person77".to_owned()].into());
    assert_eq!(worst(&found), Some(Severity::High));
}

#[test]
fn a_hit_of_tries_that_share_nothing_is_told() {
    let source = |n| (proxy(n), format!("Mozilla/5.0 {} Firefox", (b'a' + (n % 26) as u8) as char));
    let mut attack = rounds(2, 60, 6 * MINUTE, 20 * MINUTE, source);
    attack.push(right(12, NOON + 9 * HOUR, "191.4.4.4", "Mozilla/5.0 z Firefox"));
    // The owners go on as ever, one of them on a journey.
    attack.push(home(12, NOON + 9 * HOUR + 5 * MINUTE));
    attack.push(elsewhere(14, NOON + 9 * HOUR, "192.4.4.4", 7018));
    let found = amid(200, attack);
    assert_eq!(hits(&found), ["session:stolen12".to_owned(), "user:person12".to_owned()].into());
}

#[test]
fn the_owner_who_signs_in_at_home_takes_nothing_back() {
    let mut attack = slow(40, 7);
    attack.extend((0..40).map(|n| home(n, NOON + n * 7 * MINUTE + 25 * MINUTE)));
    let found = amid(120, attack);
    assert!((70..=84).contains(&minutes_to(&found)));
    assert!(hits(&found).is_empty());
}

#[test]
fn what_is_loud_within_an_hour_is_left_to_the_detector_of_stuffing() {
    let one = (0..60).map(|n| guess(n, NOON + n * 8_000, "203.0.113.9", "curl/8"));
    stays_silent_amid(120, one);
    let wide = (0..110).map(|n| guess(n, NOON + n * 20_000, &proxy(n), "curl/8"));
    stays_silent_amid(120, wide);
    let hours = (0..110).map(|n| guess(n, NOON + n * MINUTE, &format!("203.0.113.{}", 1 + n % 4), "curl/8"));
    stays_silent_amid(120, hours);
}

#[test]
fn what_a_network_tells_by_itself_is_not_told_once_more_for_each_name_of_its_client() {
    let guise = |n: i64| format!("Mozilla/5.0 {} Chrome", (b'a' + (n % 4) as u8) as char);
    let network = |first: i64, at: i64, ip: &'static str| {
        (0..80).map(move |n| guess(first + n, NOON + at + n * 20_000, &format!("{ip}.{}", 1 + n % 40), &guise(n)))
    };
    stays_silent_amid(200, network(0, 0, "203.0.113").chain(network(80, 90 * MINUTE, "198.51.100")));
}

#[test]
fn a_loud_list_with_some_names_twice_is_no_rounds_however_long_it_is() {
    // One name in six comes a second time hours later, with another password.
    let name = |n: i64| if n % 6 == 5 && n >= 300 { n - 299 } else { n };
    let list = (0..1_400).map(|n| guess(200 + name(n), NOON + n * MINUTE, "203.0.113.9", "curl/8"));
    stays_silent_amid(120, list);
}

#[test]
fn what_another_attacker_tried_before_is_no_round_of_this_one() {
    let first = (0..60).map(|n| guess(n, NOON + n * 8_000, "198.51.100.7", "python-requests/2.32"));
    let second = (0..60).map(|n| guess(n, NOON + 90 * MINUTE + n * 8_000, "203.0.113.9", "curl/8"));
    stays_silent_amid(120, first.chain(second));
}

#[test]
fn loud_rounds_with_hours_between_them_are_found() {
    let round = |at: i64| (0..60).map(move |n| guess(n, NOON + at + n * 8_000, "203.0.113.9", "curl/8"));
    assert_eq!(keys(&amid(120, round(0).chain(round(3 * HOUR)))), ["net:203.0.113.0/24"].into());
}

#[test]
fn what_is_loud_and_then_goes_on_slowly_is_found() {
    let loud = (0..40).map(|n| guess(n, NOON + n * 8_000, "203.0.113.9", "curl/8"));
    let slow = (0..30).map(|n| guess(60 + n, NOON + 2 * HOUR + n * 7 * MINUTE, "203.0.113.9", "curl/8"));
    assert_eq!(keys(&amid(120, loud.chain(slow))), ["net:203.0.113.0/24"].into());
}

#[test]
fn an_attack_hidden_behind_an_office_is_found_with_more_names() {
    let office = |n: i64, ms| elsewhere(n, ms, "62.1.1.1", 680);
    let staff = (0..6).flat_map(|day| (0..30).map(move |n| office(n, day * DAY + n * 10 * MINUTE)));
    let attack = (0..60).map(|n| guess(40 + n, NOON + n * 7 * MINUTE, "62.1.1.1", "curl/8"));
    let found = amid(120, staff.chain(attack));
    assert_eq!(keys(&found), ["net:62.1.1.0/24"].into());
    assert!(found.iter().flat_map(|f| &f.subjects).filter(|s| s.kind == EntityKind::Ip).all(|s| s.role == Role::Shared));
    assert!(named(&found, EntityKind::User).iter().all(|user| user[6..].parse::<i64>().unwrap() >= 40));
}

#[test]
fn what_comes_from_one_network_is_told_under_it_though_others_use_the_same_tool() {
    let attack = slow(90, 7);
    let others = (0..8).map(|n| guess(100 + n, NOON + n * 80 * MINUTE, &proxy(n), "python-requests/2.32"));
    assert_eq!(keys(&amid(120, attack.into_iter().chain(others))), ["net:203.0.113.0/24"].into());
}

#[test]
fn what_was_told_under_a_client_is_told_there_when_it_comes_from_fewer_networks() {
    let wide = (0..30).map(|n| guess(n, NOON + n * 5 * MINUTE, &proxy(n), "Chrome/99"));
    let narrow = (0..60).map(|n| guess(30 + n, NOON + (150 + n * 5) * MINUTE, "203.0.113.9", "Chrome/99"));
    assert_eq!(keys(&amid(120, wide.chain(narrow))), ["client:|Chrome/99"].into());
}

#[test]
fn many_places_make_few_alerts() {
    let attack = (0..600).map(|n| guess(n % 110, NOON + n * MINUTE, &format!("{}.9.9.7", 150 + n % 12), CHROME));
    let found = amid(120, attack);
    assert!((1..=3).contains(&keys(&found).len()), "{:?}", keys(&found));
}

#[test]
fn the_next_day_it_is_told_again() {
    let mut attack = slow(30, 10);
    attack.extend(slow(30, 10).into_iter().map(|one| one.plus_ms(20 * HOUR)));
    let times: Vec<_> = amid(120, attack).iter().map(|f| f.time_ms - event(START).time_ms() - NOON).collect();
    assert!(times.iter().any(|ms| *ms < 6 * HOUR) && times.iter().any(|ms| *ms > 20 * HOUR));
}

// Innocent lives.

#[test]
fn ordinary_weeks_stay_silent() {
    stays_silent(life(1_500, 14));
}

#[test]
fn travellers_who_mistype_in_hotels_stay_silent() {
    let hotels = (0..80).flat_map(|n| {
        let hotel = move |ms| elsewhere(n, NOON + n * 6 * MINUTE + ms, &format!("98.{}.6.5", n % 9), 7922);
        [hotel(0).fail("bad_password"), hotel(15_000).fail("bad_password"), hotel(40_000)]
    });
    stays_silent_amid(120, hotels);
}

#[test]
fn who_fails_abroad_and_takes_the_phone_stays_silent() {
    let people = (0..60).flat_map(|n| {
        let fails =
            elsewhere(n, NOON + n * 6 * MINUTE, &proxy(n), 7922).agent("Borrowed").device(format!("borrowed{n}")).fail("bad_password");
        [fails, home(n, NOON + n * 6 * MINUTE + 3 * MINUTE)]
    });
    stays_silent_amid(120, people);
}

#[test]
fn a_new_office_with_sixty_new_employees_stays_silent() {
    let staff = (0..60).flat_map(|n| {
        let one = move |ms| {
            at(NOON + n * 2 * MINUTE + ms).user(format!("new{n}")).ip("62.7.7.7").agent("Edge/145").asn(680, NetworkClass::Corporate)
        };
        // A third of them need the help desk for an hour.
        let wait = if n % 3 == 0 { HOUR } else { 30_000 };
        [one(0).fail("bad_password"), one(25_000).fail("bad_password"), one(wait)]
    });
    stays_silent_amid(120, staff);
}

#[test]
fn broken_sign_in_for_everybody_stays_silent() {
    // One person in ten is not at home. Most try again at once, some hours later.
    let broken = (0..400).flat_map(|n| {
        let place = move |ms: i64| if n % 10 == 0 { elsewhere(n, ms, &proxy(n), 7000 + n as u32) } else { home(n, ms) };
        let first = NOON + dice(n, 31, 2 * HOUR);
        let again = if n % 3 == 0 { 40 * MINUTE } else { 30_000 };
        [place(first).fail("bad_password"), place(first + again).fail("bad_password")]
    });
    let devices_gone = broken.map(|one| one.device(""));
    stays_silent_amid(400, devices_gone);
}

#[test]
fn a_release_that_cannot_sign_in_stays_silent() {
    let broken = (0..300).flat_map(|n| {
        let app = move |ms| home(n, NOON + dice(n, 32, 5 * HOUR) + ms).agent("Acme/8.0 (iPhone)").fail("bad_password");
        [app(0), app(30 * MINUTE)]
    });
    stays_silent_amid(400, broken);
}

#[test]
fn a_reset_for_everybody_stays_silent() {
    let reset = (0..300).flat_map(|n| {
        let place = move |ms: i64| if n % 12 == 0 { elsewhere(n, ms, &proxy(n), 7000 + n as u32).device("") } else { home(n, ms) };
        let first = NOON + dice(n, 33, 8 * HOUR);
        [
            place(first).fail("bad_password"),
            place(first + 12_000).fail("bad_password"),
            place(first + 9 * MINUTE).kind(Kind::PasswordReset),
            place(first + 10 * MINUTE),
        ]
    });
    stays_silent_amid(400, reset);
}

#[test]
fn stale_passwords_in_loops_stay_silent() {
    let at_home = (0..40).flat_map(|n| (0..40).map(move |k| home(n, NOON + k * 10 * MINUTE).agent("Mail/1").fail("bad_password")));
    let away = (0..12).flat_map(|n| (0..60).map(move |k| elsewhere(n, NOON + k * MINUTE, &proxy(n), 7018).device("").fail("bad_password")));
    stays_silent_amid(400, at_home.chain(away));
}

#[test]
fn a_vpn_rolled_out_to_all_stays_silent() {
    let vpn = (0..200).flat_map(|n| {
        let one = move |ms| elsewhere(n, NOON + n * MINUTE + ms, &format!("185.9.9.{}", n % 8), 9009).device("");
        let mut list = vec![one(30_000)];
        if n % 9 == 0 {
            list.insert(0, one(0).fail("bad_password"));
        }
        // Some give up, and go without it.
        if n % 13 == 0 {
            list = vec![one(0).fail("bad_password"), home(n, NOON + n * MINUTE + 15 * MINUTE)];
        }
        list
    });
    stays_silent_amid(200, vpn);
}

#[test]
fn a_partner_who_signs_in_for_many_from_a_new_network_stays_silent() {
    let partner = (0..400).map(|n| {
        let one = at(NOON + n * MINUTE).user(format!("person{n}")).ip("52.9.9.9").agent("Aggregator/3").asn(16_509, NetworkClass::Hosting);
        if n % 12 == 0 { one.fail("bad_password") } else { one }
    });
    stays_silent_amid(400, partner);
}

#[test]
fn a_sync_job_with_stale_passwords_on_its_known_host_stays_silent() {
    let job = |n: i64, ms| at(ms).user(format!("person{n}")).ip("52.9.9.9").agent("Sync/1").asn(16_509, NetworkClass::Hosting);
    let before = (0..5).flat_map(|day| (0..80).map(move |n| job(n, day * DAY + n * MINUTE)));
    let stale = (0..6).flat_map(|k| (0..80).map(move |n| job(n, NOON + k * 3 * HOUR + n * MINUTE).fail("bad_password")));
    stays_silent_amid(120, before.chain(stale));
}

#[test]
fn a_carrier_with_new_addresses_stays_silent() {
    let phones = (0..600).flat_map(|n| {
        let phone = move |ms| {
            let one =
                at(NOON + n * 30_000 + ms).user(format!("person{n}")).ip(&format!("109.40.{}.{}", n % 3, n % 250)).agent("Acme/7 (iPhone)");
            one.asn(20_057, NetworkClass::Mobile)
        };
        if n % 16 == 0 { vec![phone(0).fail("bad_password")] } else { vec![phone(0)] }
    });
    stays_silent_amid(600, phones);
}

#[test]
fn a_kiosk_a_family_and_a_travel_agent_stay_silent() {
    let mut events = Vec::new();
    for day in 0..6 {
        for n in 0..40 {
            // The kiosk of a library: one in four does not get in.
            let kiosk = elsewhere(n, day * DAY + n * 12 * MINUTE, "62.8.8.8", 680).agent("Kiosk").device("kiosk");
            events.push(if n % 4 == 0 { kiosk.fail("bad_password") } else { kiosk });
        }
        for n in 50..56 {
            // Guests in a family's home who never remember.
            events.push(elsewhere(n, day * DAY + (n - 50) * HOUR, "84.200.1.1", 3320).fail("bad_password"));
        }
        for n in 60..90 {
            // The agent has old passwords of some customers.
            let agent = elsewhere(n, day * DAY + n * 5 * MINUTE, "62.9.9.9", 680).agent("Edge").device("agent");
            events.push(if n % 5 == 0 { agent.fail("bad_password") } else { agent });
        }
    }
    stays_silent_amid(120, events);
}

#[test]
fn noise_of_the_net_that_is_usual_stays_silent() {
    // Robots try names that do not exist, and each day a few that do, from everywhere.
    let noise = (0..7).flat_map(|day| {
        (0..60).map(move |n| {
            let one = guess(n, day * DAY + n * 20 * MINUTE, &proxy(day * 100 + n), &format!("bot {}", proxy(n)));
            if n % 20 == 0 { one } else { one.user(format!("admin{day}x{n}")).fail("unknown_user") }
        })
    });
    stays_silent_amid(120, noise);
}

#[test]
fn services_and_reasons_that_say_nothing_of_passwords_stay_silent() {
    let services = (0..60).map(|n| guess(n, NOON + n * 7 * MINUTE, "52.9.9.9", "job").service());
    let expired = (0..60).map(|n| guess(n, NOON + n * 7 * MINUTE, "52.9.9.10", "job").fail("expired"));
    stays_silent_amid(120, services.chain(expired));
}

#[test]
fn nine_names_a_day_stay_silent() {
    stays_silent_amid(120, slow(9, 30));
}

// Bounds and order.

#[test]
fn order_of_arrival_changes_nothing() {
    let source = |n| (proxy(n), format!("Mozilla/5.0 {} Firefox", (b'a' + (n % 26) as u8) as char));
    for attack in [slow(30, 7), rounds(2, 60, 6 * MINUTE, 20 * MINUTE, source)] {
        let events = sorted(life(60, 7).into_iter().chain(attack).collect());
        let mut shuffled: Vec<_> =
            events.iter().cloned().enumerate().map(|(n, one)| (one.time_ms() + dice(n as i64, 5, 8 * MINUTE), one)).collect();
        shuffled.sort_by_key(|(arrival_ms, _)| *arrival_ms);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, one)| one).collect();
        contract::bears_disorder(&SPEC, &events, &shuffled).unwrap();
        contract::is_deterministic(&SPEC, &events).unwrap();
        contract::survives_reload(&SPEC, &events).unwrap();
    }
}

#[test]
fn state_is_bounded_under_many_names_addresses_and_tenants() {
    let names = (0..100_000).map(|n| {
        let one = guess(n, n * 700, &proxy(n), &format!("agent {}", dice(n, 9, 5_000)))
            .user("x".repeat(dice(n, 8, 300) as usize) + &n.to_string());
        if n % 3 == 0 { one.outcome(bartizan_core::Outcome::Success).tenant(format!("t{}", n % 3_000)) } else { one }
    });
    contract::stays_bounded(&SPEC, names).unwrap();
    let mut runner = Runner::new(&SPEC, 1);
    let flood: Vec<_> = (0..40_000).map(|n| guess(n, n * 700, &proxy(n), "agent").user("y".repeat(400) + &n.to_string())).collect();
    runner.feed(&flood);
    assert!(runner.bytes() < 400_000, "{}", runner.bytes());
}

#[test]
fn a_flood_from_one_place_does_not_hide_what_is_slow() {
    let flood = (0..30_000).map(|n| guess(1_000 + n, NOON + n * 600, "198.51.100.7", "flood"));
    let found = amid(120, slow(40, 7).into_iter().chain(flood));
    assert!(keys(&found).contains("net:203.0.113.0/24"), "{:?}", keys(&found));
}
