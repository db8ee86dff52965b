//! Scenarios of guessing at one account, and of people who fail by themselves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{EntityKind, Finding, Kind, NetworkClass, Severity};
use bartizan_credentials::brute_force::SPEC;
use bartizan_testkit::{Runner, TestEvent, event, named, run, worst};

const START: &str = "2026-03-02T09:00:00Z";
const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;

fn ann(ms: i64) -> TestEvent {
    event(START).plus_ms(ms).user("ann").login()
}

/// Ann's laptop at home.
fn home(ms: i64) -> TestEvent {
    ann(ms).ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.5, 13.4).device("laptop").agent("Firefox/140")
}

/// A browser without a device id, of the kind that Ann uses, somewhere else.
fn abroad(ms: i64) -> TestEvent {
    ann(ms).ip("192.0.2.9").asn(680, NetworkClass::Residential).place("FR", 48.8, 2.3).agent("Firefox/140")
}

fn guesser(ms: i64) -> TestEvent {
    ann(ms).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).agent("python-requests/2.32")
}

fn miss(one: TestEvent) -> TestEvent {
    one.fail("bad_password")
}

/// A week of ordinary sign-ins, which makes Ann known.
fn past() -> Vec<TestEvent> {
    (1..8).rev().map(|day| home(-day * DAY)).collect()
}

fn after_past(events: impl IntoIterator<Item = TestEvent>) -> Vec<Finding> {
    run(&SPEC, &past().into_iter().chain(events).collect::<Vec<_>>())
}

#[test]
fn many_guesses_from_one_place_are_an_attempt() {
    let found = after_past((0..20).map(|n| miss(guesser(n * 3_000 + n * n * 17))));
    assert_eq!(found.len(), 6, "from the fifteenth on: {found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity, found[0].event_count), ("user:ann", Severity::Medium, 15));
    assert_eq!((named(&found[0], EntityKind::User), named(&found[0], EntityKind::Ip)), (vec!["ann"], vec!["203.0.113.9"]));
    assert!(found[0].reason.contains("15 failed tries within an hour") && found[0].reason.contains("(limit 15)"), "{}", found[0].reason);
    assert_eq!(found[1].event_count, 1);
}

#[test]
fn guesses_from_many_networks_are_an_attempt_sooner() {
    let spread = |n: i64| miss(guesser(n * 40_000).ip(&format!("203.0.{n}.9")).asn(100 + n as u32, NetworkClass::Residential));
    let found = after_past((0..12).map(spread));
    assert_eq!((found.len(), found[0].severity), (3, Severity::Medium), "{found:#?}");
    assert!(found[0].reason.contains("10 networks"), "{}", found[0].reason);
}

#[test]
fn a_try_every_ten_minutes_is_found_within_the_day() {
    let found = after_past((0..40).map(|n| miss(guesser(n * 10 * MINUTE + n % 7 * 9_000))));
    assert_eq!((found[0].severity, found[0].event_count), (Severity::Medium, 25), "{found:#?}");
    let neighbour = |n: i64| miss(home(n * 11 * MINUTE + n % 3 * 3 * MINUTE).ip("198.51.100.99").device("neighbour"));
    assert_eq!(worst(&after_past((0..40).map(neighbour))), Some(Severity::Medium), "on the same provider, by the same browser");
    // And by the clock of a script, too: only what the person uses may be a loop of theirs.
    assert!(!after_past((0..40).map(|n| miss(guesser(n * 10 * MINUTE)))).is_empty());
}

#[test]
fn a_success_of_the_guesser_is_a_hit_and_a_change_makes_it_critical() {
    let tries = (0..8).map(|n| miss(guesser(n * 20_000 + n * n * 900)));
    let change = guesser(300_000).kind(Kind::AccountChange).session("stolen");
    let found = after_past(tries.chain([guesser(200_000).session("stolen"), change.clone()]));
    assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::High, Severity::Critical], "{found:#?}");
    assert_eq!(named(&found[0], EntityKind::Session), ["stolen"]);
    assert!(found[0].subjects.iter().any(|subject| subject.hit && subject.kind == EntityKind::User));
    // The owner, at home all the while, is no hit, nor is what they change.
    let tries = (0..20).map(|n| miss(guesser(n * 20_000)));
    let found = after_past(tries.chain([home(500_000).session("own"), home(560_000).kind(Kind::PasswordChange).session("own")]));
    assert_eq!(worst(&found), Some(Severity::Medium));
    assert!(found.iter().all(|finding| named(finding, EntityKind::Session).is_empty()));
}

#[test]
fn hours_between_guesses_do_not_end_an_attack() {
    // Thirty guesses, then one each three hours or so.
    let tries = (0..30).map(|n| n * 11 * MINUTE + n % 7 * 9_000).chain((1..8).map(|n| 330 * MINUTE + n * 170 * MINUTE));
    let found = after_past(tries.map(|ms| miss(guesser(ms))));
    assert!(found.windows(2).all(|pair| pair[1].time_ms - pair[0].time_ms <= SPEC.quiet_gap_ms));
    assert!(found.len() > 10, "{}", found.len());
}

#[test]
fn guessed_codes_count_like_passwords() {
    let code = |n: i64| guesser(n * 5_000).kind(Kind::MfaResult).factor("totp").fail("mfa_failed");
    assert_eq!(worst(&after_past((0..20).map(code))), Some(Severity::Medium));
    let push = |n: i64| guesser(n * 5_000).kind(Kind::MfaResult).factor("push").fail("mfa_denied");
    assert!(after_past((0..40).map(push)).is_empty(), "nobody guesses a push");
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let tries: Vec<_> = (0..18).map(|n| miss(guesser(n * 20_000))).collect();
    let mut mixed = tries.clone();
    (0..mixed.len() - 3).step_by(3).for_each(|at| mixed.swap(at, at + 3));
    let counts = [tries, mixed].map(|events| after_past(events).len());
    assert_eq!(counts, [4, 4]);
}

#[test]
fn people_who_fail_by_themselves_stay_silent() {
    let stale_phone =
        |network: &dyn Fn(i64) -> TestEvent, count: i64| (0..count).map(|n| miss(network(n * 5 * MINUTE))).collect::<Vec<_>>();
    let manager = |n: i64| miss(home(n * 700));
    let forgotten =
        (0..12).map(|n| miss(abroad(n * 25_000 + n * n * 300))).chain([abroad(400_000).kind(Kind::PasswordReset), abroad(500_000)]);
    let locked = |n: i64| home(n * 30_000).fail("locked");
    let unknown = |n: i64| guesser(n * 1_000).fail("unknown_user");
    let program = |n: i64| miss(guesser(n * MINUTE)).service();
    let new_phone = (0..10).map(|n| miss(home(n * 5 * MINUTE).device("new").agent("Phone")));
    let family = |n: i64| miss(home(n * 40_000).device("tablet"));
    let cafe = |ms| home(ms).ip("192.0.2.77").asn(680, NetworkClass::Residential).device("new").agent("Phone");
    let innocent = [
        ("a phone at home with an old password", stale_phone(&home, 90)),
        ("the same in a hotel", stale_phone(&abroad, 60)),
        ("a password manager with the old one", (0..40).map(manager).collect()),
        ("forgotten on a journey", forgotten.collect()),
        ("locked out", (0..60).map(locked).collect()),
        ("a name that nobody has", (0..60).map(unknown).collect()),
        ("a program", (0..200).map(program).collect()),
        ("a new phone with the old password, put right", new_phone.chain([home(60 * MINUTE).device("new").agent("Phone")]).collect()),
        (
            "mistyped on a new phone on the way",
            (0..6).map(|n| miss(abroad(n * 15_000 + n * n * 2_000).agent("Phone"))).chain([abroad(300_000).agent("Phone")]).collect(),
        ),
        ("somebody of the family", (0..14).map(family).collect()),
        (
            "expired, and the server fails",
            (0..20).map(|n| cafe(n * 20_000).fail(if n % 3 == 0 { "server_error" } else { "expired" })).chain([cafe(600_000)]).collect(),
        ),
        ("two strangers' typing errors", (0..4).map(|n| miss(guesser(n * 3_600_000))).collect()),
    ];
    for (name, events) in innocent {
        assert_eq!(worst(&after_past(events)), None, "{name}");
    }
    // Beyond all measure it is worth knowing, and no more.
    assert_eq!(worst(&after_past(stale_phone(&home, 120))), Some(Severity::Low));
}

#[test]
fn a_guesser_who_gets_in_by_a_neighbour_s_machine_is_one_all_the_same() {
    // With the person's kind of browser, and at last by their provider.
    let bot = |n: i64| home(n * 40_000).device("bot").ip(&format!("203.0.{n}.9")).asn(100 + n as u32, NetworkClass::Residential);
    let neighbour = |n: i64| home(n * 40_000).device("bot").ip("198.51.100.200");
    let found = after_past((0..12).map(|n| miss(bot(n))).chain([neighbour(12)]));
    assert_eq!(worst(&found), Some(Severity::High), "{found:#?}");
    // Somebody at home with a new tablet has no other lines.
    let at_home = (0..12).map(|n| miss(neighbour(n))).chain([neighbour(12)]);
    assert_eq!(worst(&after_past(at_home)), None);
}

#[test]
fn a_phone_with_an_old_password_is_put_right_though_its_person_was_seen_behind_a_tunnel_alone() {
    let tunnel =
        |ms| ann(ms).ip("203.0.113.5").asn(212_238, NetworkClass::Vpn).place("TH", 13.7, 100.5).device("laptop").agent("Chrome/140");
    let phone = |ms| home(ms).device("phone").agent("Acme/7 (Android 16)");
    let change = tunnel(1).kind(Kind::PasswordChange);
    let tries = (1..18).map(|n| miss(phone(n * 5 * MINUTE)));
    let found = run(&SPEC, &[tunnel(0), change].into_iter().chain(tries).chain([phone(90 * MINUTE)]).collect::<Vec<_>>());
    assert_eq!(worst(&found), None, "{found:#?}");
}

#[test]
fn somebody_new_is_judged_by_the_measure_of_strangers() {
    let found = run(&SPEC, &(0..20).map(|n| miss(guesser(n * 3_000))).collect::<Vec<_>>());
    assert_eq!(worst(&found), Some(Severity::Medium));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut runner = Runner::new(&SPEC, 1);
    for round in 0..20 {
        let tries: Vec<_> =
            (0..500).map(|n| miss(guesser((round * 500 + n) * 1_000).ip(&format!("10.0.{}.{}", n / 250, n % 250)))).collect();
        runner.feed(&tries);
    }
    assert!(runner.bytes() < 12_000, "{} bytes for one account", runner.bytes());
}
