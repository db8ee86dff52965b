//! Scenarios of push bombing, and of phones that are off, denials by mistake and other ordinary lives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use bartizan_core::{Action, EntityKind, Finding, Kind, NetworkClass, Outcome, Role, Severity};
use bartizan_factors::mfa_fatigue::SPEC;
use bartizan_testkit::{Runner, TestEvent, contract, event, run};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// When the scenarios begin: after ten days of history.
const THEN: i64 = 10 * DAY;

type Client = fn(TestEvent) -> TestEvent;

fn at(ms: i64) -> TestEvent {
    event("2026-03-02T09:00:00Z").plus_ms(ms).user("ann")
}

fn laptop(one: TestEvent) -> TestEvent {
    let at_home = one.ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.5, 13.4).region("Berlin");
    at_home.device("laptop").agent("Firefox/140")
}

fn phone(one: TestEvent) -> TestEvent {
    one.ip("109.40.1.9").asn(20057, NetworkClass::Mobile).place("DE", 50.1, 8.7).device("phone").agent("App/7")
}

/// Another device in another country.
fn abroad(one: TestEvent) -> TestEvent {
    one.ip("203.0.113.9").asn(1221, NetworkClass::Residential).place("BR", -23.5, -46.6).region("SP").device("thief").agent("Chrome/1")
}

/// The same in a hosting network.
fn hosted(one: TestEvent) -> TestEvent {
    one.ip("203.0.113.80").asn(14061, NetworkClass::Hosting).place("US", 40.7, -74.0).device("bot").agent("python")
}

/// Another device in the same town, with the person's browser, through a residential proxy.
fn near(one: TestEvent) -> TestEvent {
    laptop(one).ip("84.1.7.9").asn(6805, NetworkClass::Residential).device("other")
}

fn nobody(one: TestEvent) -> TestEvent {
    one
}

fn challenge(ms: i64, client: Client) -> TestEvent {
    client(at(ms)).kind(Kind::MfaChallenge).factor("push")
}

fn result(ms: i64, client: Client) -> TestEvent {
    client(at(ms)).kind(Kind::MfaResult).factor("push")
}

fn refused(ms: i64, client: Client, reason: &str) -> TestEvent {
    result(ms, client).fail(reason)
}

fn login(ms: i64, client: Client) -> TestEvent {
    client(at(ms)).login().session(format!("s{ms}"))
}

/// Ten days of sign-ins with an accepted push each, from the laptop and at times the phone.
fn history() -> Vec<TestEvent> {
    let day = |day: i64| {
        let mut events = sign_in(day * DAY, laptop);
        if day % 2 == 0 {
            events.push(login(day * DAY + HOUR, phone));
        }
        events
    };
    (0..10).flat_map(day).collect()
}

/// A push, its acceptance, and the sign-in.
fn sign_in(ms: i64, client: Client) -> Vec<TestEvent> {
    vec![challenge(ms, client), result(ms + 9 * SECOND, client), login(ms + 10 * SECOND, client)]
}

/// Pushes with one ending, `gap` apart.
fn pushes(start: i64, count: i64, gap: i64, client: Client, reason: &str) -> Vec<TestEvent> {
    let wait = if reason == "timeout" { gap.min(60 * SECOND) } else { 8 * SECOND };
    let push = |n: i64| [challenge(start + n * gap, client), refused(start + n * gap + wait, client, reason)];
    (0..count).flat_map(push).collect()
}

fn found(then: Vec<TestEvent>) -> Vec<Finding> {
    run(&SPEC, &history().into_iter().chain(then).collect::<Vec<_>>())
}

fn worst(then: Vec<TestEvent>) -> Option<Severity> {
    found(then).iter().map(|finding| finding.severity).max()
}

fn names(finding: &Finding, kind: EntityKind) -> Vec<(&str, Role, bool)> {
    finding.subjects.iter().filter(|one| one.kind == kind).map(|one| (one.value.as_str(), one.role, one.hit)).collect()
}

fn with(mut events: Vec<TestEvent>, more: Vec<TestEvent>) -> Vec<TestEvent> {
    events.extend(more);
    events
}

#[test]
fn bombing_without_acceptance_is_medium_from_the_fourth_denial() {
    for client in [abroad as Client, hosted, near] {
        let found = found(pushes(THEN, 10, MINUTE, client, "mfa_denied"));
        let severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities.iter().position(|one| *one == Severity::Medium), Some(4), "{severities:?}");
        assert!(severities.iter().all(|one| *one <= Severity::Medium));
        let first = found.iter().find(|finding| finding.severity == Severity::Medium).unwrap();
        assert_eq!((first.key.as_str(), first.time_ms), ("user:ann", at(THEN + 3 * MINUTE + 8 * SECOND).time_ms()));
        assert_eq!(names(first, EntityKind::User), [("ann", Role::Victim, false)]);
        assert_eq!(names(first, EntityKind::Ip).len(), 1);
        assert!(names(first, EntityKind::Session).is_empty());
        assert_eq!(first.actions, [Action::StepUp]);
        let counted: u64 = found.iter().map(|finding| finding.event_count).sum();
        assert_eq!(counted, 20, "each event once, all of them the attacker's");
    }
}

#[test]
fn pushes_of_a_client_that_gave_another_factor_go_unanswered_in_peace() {
    let vouched = |ms| result(ms, near).factor("totp");
    let unanswered = || pushes(THEN + 3 * HOUR, 8, MINUTE, near, "timeout");
    assert_eq!(worst(unanswered()), Some(Severity::Medium));
    assert_eq!(worst(with(vec![vouched(THEN)], unanswered())), None, "the phone is not at hand");
    let another = with(vec![vouched(THEN)], pushes(THEN + 3 * HOUR, 8, MINUTE, abroad, "timeout"));
    assert_eq!(worst(another), Some(Severity::Medium), "another client's");
    let denied = with(vec![vouched(THEN)], pushes(THEN + 3 * HOUR, 5, MINUTE, near, "mfa_denied"));
    assert_eq!(worst(denied), Some(Severity::Medium), "that is the person's word");
}

#[test]
fn another_new_client_s_push_is_no_part_of_a_bombing_that_is_over() {
    let bombing = || pushes(THEN, 6, MINUTE, abroad, "mfa_denied");
    let desktop = |one| hosted(one).device("desktop").agent("Edge/140");
    let later = |client: Client| found(with(bombing(), vec![challenge(THEN + 20 * HOUR, client)]));
    assert_eq!(later(desktop).len(), found(bombing()).len(), "a desktop of the person's own");
    assert_eq!(later(abroad).len(), found(bombing()).len() + 1, "the same client");
}

#[test]
fn an_accepted_push_after_denials_is_high_at_once_and_again_with_its_session() {
    for client in [abroad as Client, hosted, near] {
        let start = THEN + 6 * MINUTE;
        let events = with(pushes(THEN, 6, MINUTE, client, "mfa_denied"), sign_in(start, client));
        let found = found(events);
        let hits: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::High).collect();
        let times: Vec<_> = hits.iter().map(|finding| finding.time_ms).collect();
        assert_eq!(times, [at(start + 9 * SECOND).time_ms(), at(start + 10 * SECOND).time_ms()]);
        assert_eq!(names(hits[0], EntityKind::User), [("ann", Role::Victim, true)]);
        let session = format!("s{}", start + 10 * SECOND);
        assert_eq!(names(hits[1], EntityKind::Session), [(session.as_str(), Role::Victim, true)]);
        assert_eq!(hits[1].actions, [Action::RevokeSessions, Action::StepUp]);
    }
}

#[test]
fn what_a_hit_changes_within_the_hour_is_critical() {
    let start = THEN + 6 * MINUTE;
    let hit = || with(pushes(THEN, 6, MINUTE, abroad, "mfa_denied"), sign_in(start, abroad));
    for kind in [Kind::PasswordChange, Kind::AccountChange, Kind::TokenIssue] {
        assert_eq!(worst(with(hit(), vec![abroad(at(start + 30 * MINUTE)).kind(kind)])), Some(Severity::Critical));
        let of_session = at(start + 30 * MINUTE).session(format!("s{}", start + 10 * SECOND)).kind(kind);
        assert_eq!(worst(with(hit(), vec![of_session])), Some(Severity::Critical), "another address, the same session");
        assert_eq!(worst(with(hit(), vec![abroad(at(start + 2 * HOUR)).kind(kind)])), Some(Severity::High), "too late");
        assert_eq!(worst(with(hit(), vec![laptop(at(start + 30 * MINUTE)).kind(kind)])), Some(Severity::High), "the owner's");
        assert_eq!(worst(with(hit(), vec![abroad(at(start + MINUTE)).kind(kind).fail("no")])), Some(Severity::High), "refused");
    }
}

#[test]
fn pushes_that_nobody_answers_are_an_attempt_and_their_acceptance_a_hit() {
    assert_eq!(worst(pushes(THEN, 10, MINUTE, abroad, "timeout")), Some(Severity::Medium));
    assert_eq!(worst(pushes(THEN, 10, MINUTE, near, "expired")), Some(Severity::Medium));
    let accepted = with(pushes(THEN, 9, MINUTE, near, "timeout"), sign_in(THEN + 10 * MINUTE, near));
    assert_eq!(worst(accepted), Some(Severity::High));
}

#[test]
fn a_mixed_four_with_one_denial_is_an_attempt() {
    let events = with(pushes(THEN, 3, 2 * MINUTE, near, "timeout"), pushes(THEN + 7 * MINUTE, 1, MINUTE, near, "mfa_denied"));
    assert_eq!(worst(events), Some(Severity::Medium));
}

#[test]
fn patient_pushes_over_nights_are_found_and_so_is_their_acceptance() {
    let night = |night: i64| pushes(THEN + night * DAY + 14 * HOUR, 2, 50 * MINUTE, hosted, "timeout");
    let nights = || (0..3).flat_map(night).collect::<Vec<_>>();
    assert_eq!(worst(nights()), Some(Severity::Medium));
    // The person works by day, on the own laptop.
    let mut days = with(nights(), (0..3).flat_map(|day| sign_in(THEN + day * DAY, laptop)).collect());
    days.extend(sign_in(THEN + 2 * DAY + 20 * HOUR, hosted));
    days.sort_by_key(TestEvent::time_ms);
    assert_eq!(worst(days), Some(Severity::High));
    let hourly = pushes(THEN + 14 * HOUR, 8, HOUR, near, "mfa_denied");
    assert_eq!(worst(hourly), Some(Severity::Medium));
}

#[test]
fn one_address_for_each_push_is_one_attack() {
    let spread =
        |n: i64, one: TestEvent| one.ip(&format!("201.{n}.7.9")).asn(700 + n as u32, NetworkClass::Residential).device(format!("d{n}"));
    let mut events: Vec<_> = (0..6)
        .flat_map(|n| {
            let start = THEN + n * 9 * MINUTE;
            [spread(n, challenge(start, abroad)), spread(n, refused(start + 20 * SECOND, abroad, "mfa_denied"))]
        })
        .collect();
    events.extend(sign_in(THEN + HOUR, abroad));
    let found = found(events);
    assert_eq!(found.iter().map(|finding| finding.severity).max(), Some(Severity::High));
    let attackers: std::collections::BTreeSet<_> =
        found.iter().flat_map(|finding| names(finding, EntityKind::Ip)).map(|(ip, ..)| ip.to_owned()).collect();
    assert_eq!(attackers.len(), 7, "{attackers:?}");
}

#[test]
fn a_report_is_told_at_once() {
    for client in [abroad as Client, near] {
        let found = found(pushes(THEN, 1, MINUTE, client, "user_reported_fraud"));
        assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Medium]);
    }
    assert_eq!(worst(pushes(THEN, 1, MINUTE, laptop, "fraud_reported")), Some(Severity::Low));
    let reported = with(pushes(THEN, 1, MINUTE, abroad, "reported"), sign_in(THEN + 2 * MINUTE, abroad));
    assert_eq!(worst(reported), Some(Severity::High));
}

#[test]
fn results_alone_suffice() {
    let denied = |count: i64, client| (0..count).map(move |n| refused(THEN + n * MINUTE, client, "mfa_denied"));
    let mut events: Vec<_> = denied(5, hosted).collect();
    assert_eq!(worst(events.clone()), Some(Severity::Medium));
    events.push(result(THEN + 6 * MINUTE, hosted));
    assert_eq!(worst(events.clone()), Some(Severity::High));
    let denied: Vec<_> = denied(4, hosted).map(|one| one.outcome(Outcome::Denied).text(bartizan_core::batch::Field::Reason, "")).collect();
    assert_eq!(worst(denied), Some(Severity::Medium), "denied without a reason");
}

#[test]
fn challenges_alone_suffice_and_the_sign_in_is_the_acceptance() {
    let mut events: Vec<_> = (0..10).map(|n| challenge(THEN + n * MINUTE, hosted)).collect();
    assert_eq!(worst(events.clone()), Some(Severity::Medium));
    events.push(login(THEN + 9 * MINUTE + 20 * SECOND, hosted));
    let found = found(events);
    let last = found.last().unwrap();
    assert_eq!(last.severity, Severity::High);
    assert_eq!(names(last, EntityKind::Session).len(), 1);
}

#[test]
fn answers_that_name_the_phone_belong_to_the_challenge_or_the_sign_in_that_asked() {
    let with_challenge: Vec<_> =
        (0..5).flat_map(|n| [challenge(THEN + n * MINUTE, abroad), refused(THEN + n * MINUTE + 9 * SECOND, phone, "mfa_denied")]).collect();
    let found_first = found(with_challenge);
    assert_eq!(found_first.iter().map(|finding| finding.severity).max(), Some(Severity::Medium));
    let ips: Vec<_> = found_first.iter().flat_map(|finding| names(finding, EntityKind::Ip)).collect();
    assert!(ips.iter().all(|(ip, ..)| *ip == "203.0.113.9"), "not the phone's: {ips:?}");

    let mut without: Vec<_> = (0..3).map(|n| refused(THEN + n * MINUTE, phone, "mfa_denied")).collect();
    without.push(result(THEN + 4 * MINUTE, phone));
    assert_eq!(worst(without.clone()), None);
    without.push(login(THEN + 4 * MINUTE + SECOND, abroad));
    let found = found(without);
    assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::High]);
    assert_eq!(names(&found[0], EntityKind::Ip), [("203.0.113.9", Role::Attacker, false)]);
}

#[test]
fn refused_sign_ins_say_who_asked() {
    let tries = |result_too: bool| {
        (0..5).flat_map(move |n| {
            let start = THEN + n * MINUTE;
            let told = result_too.then(|| refused(start, nobody, "mfa_denied"));
            told.into_iter().chain([login(start + 400, abroad).session("").fail("mfa_denied")])
        })
    };
    for result_too in [false, true] {
        let found = found(tries(result_too).collect());
        let medium = found.iter().find(|finding| finding.severity == Severity::Medium).unwrap();
        assert!(medium.time_ms >= at(THEN + 3 * MINUTE).time_ms(), "a result and its sign-in are one push");
    }
}

#[test]
fn a_log_that_writes_the_sign_in_first_hides_no_bombing() {
    let round = |n: i64| {
        let start = THEN + n * MINUTE;
        [login(start, abroad), challenge(start + SECOND, abroad), refused(start + 20 * SECOND, abroad, "mfa_denied")]
    };
    assert_eq!(worst((0..6).flat_map(round).collect()), Some(Severity::Medium));
    let round = |n: i64| [login(THEN + n * MINUTE, abroad), challenge(THEN + n * MINUTE + SECOND, abroad)];
    assert_eq!(worst((0..8).flat_map(round).collect()), Some(Severity::Medium));
}

#[test]
fn who_is_hardly_known_is_judged_by_denials_alone() {
    let denied = pushes(THEN, 8, MINUTE, hosted, "mfa_denied");
    let medium = run(&SPEC, &denied);
    assert_eq!(medium.iter().map(|finding| finding.severity).max(), Some(Severity::Medium));
    let hit = run(&SPEC, &with(denied, sign_in(THEN + 9 * MINUTE, hosted)));
    assert_eq!(hit.iter().map(|finding| finding.severity).max(), Some(Severity::High));
    assert!(run(&SPEC, &pushes(THEN, 8, MINUTE, hosted, "timeout")).is_empty());
}

#[test]
fn the_attackers_device_does_not_become_the_persons_by_a_hit() {
    let hit = with(pushes(THEN, 6, MINUTE, abroad, "mfa_denied"), sign_in(THEN + 6 * MINUTE, abroad));
    let again = with(hit, pushes(THEN + 5 * DAY, 5, MINUTE, abroad, "mfa_denied"));
    let found = found(again);
    assert!(found.iter().any(|finding| finding.severity == Severity::Medium && finding.time_ms > at(THEN + 4 * DAY).time_ms()));
}

#[test]
fn ordinary_lives_stay_silent_or_low() {
    let hotel: Client = |one| laptop(one).ip("201.7.7.9").asn(27699, NetworkClass::Residential).place("BR", -23.5, -46.6).region("SP");
    let tunnel: Client = |one| laptop(one).ip("185.9.9.7").asn(9009, NetworkClass::Vpn).place("US", 40.7, -74.0);
    let new_laptop: Client = |one| laptop(one).device("new laptop");
    let new_phone: Client = |one| phone(one).device("new phone").ip("80.1.1.1").asn(6805, NetworkClass::Mobile);
    let new_abroad: Client = |one| abroad(one).device("new laptop").agent("Firefox/141");
    let totp = |ms, client: Client| client(at(ms)).kind(Kind::MfaResult).factor("totp");
    let regular = |client: Client, reason: &str| pushes(THEN, 30, 5 * MINUTE, client, reason);
    let cases: Vec<(&str, Vec<TestEvent>)> = vec![
        (
            "a phone that is off",
            with(pushes(THEN, 6, MINUTE, laptop, "timeout"), vec![totp(THEN + 8 * MINUTE, laptop), login(THEN + 8 * MINUTE, laptop)]),
        ),
        ("a phone that is off, on a journey", pushes(THEN, 12, MINUTE, hotel, "timeout")),
        ("a VPN that reconnects", regular(tunnel, "timeout")),
        ("a VPN that reconnects, without results", (0..30).map(|n| challenge(THEN + n * 5 * MINUTE, tunnel)).collect()),
        ("one denied by mistake", with(pushes(THEN, 1, MINUTE, laptop, "mfa_denied"), sign_in(THEN + MINUTE, laptop))),
        ("two denied by mistake", with(pushes(THEN, 2, MINUTE, laptop, "mfa_denied"), sign_in(THEN + 3 * MINUTE, laptop))),
        (
            "one denied by mistake on a new laptop abroad",
            with(pushes(THEN, 1, MINUTE, new_abroad, "mfa_denied"), sign_in(THEN + MINUTE, new_abroad)),
        ),
        (
            "two denied by mistake on a new laptop at home",
            with(pushes(THEN, 2, MINUTE, new_laptop, "mfa_denied"), sign_in(THEN + 3 * MINUTE, new_laptop)),
        ),
        ("two denied by mistake on a journey", with(pushes(THEN, 2, MINUTE, hotel, "mfa_denied"), sign_in(THEN + 3 * MINUTE, hotel))),
        (
            "two pushes at once",
            vec![
                challenge(THEN, near),
                challenge(THEN + SECOND, near),
                result(THEN + 9 * SECOND, near),
                login(THEN + 10 * SECOND, near),
                refused(THEN + MINUTE, near, "timeout"),
            ],
        ),
        (
            "a new phone in its carrier's net, slow to answer",
            with(pushes(THEN, 3, MINUTE, new_phone, "timeout"), sign_in(THEN + 4 * MINUTE, new_phone)),
        ),
        ("a new laptop at home while the phone is off", pushes(THEN, 12, MINUTE, new_laptop, "timeout")),
        ("wrong numbers", with(pushes(THEN, 5, MINUTE, laptop, "number_mismatch"), sign_in(THEN + 6 * MINUTE, laptop))),
        (
            "wrong numbers on a new laptop abroad",
            with(pushes(THEN, 3, MINUTE, new_abroad, "wrong_number"), sign_in(THEN + 4 * MINUTE, new_abroad)),
        ),
        ("pushes that cannot be delivered", pushes(THEN, 12, MINUTE, abroad, "device_unreachable")),
        (
            "the provider is down, for own and new clients",
            with(pushes(THEN, 3, 2 * MINUTE, laptop, "timeout"), pushes(THEN + 7 * MINUTE, 8, 2 * MINUTE, new_abroad, "timeout")),
        ),
        (
            "another factor each time",
            (0..6)
                .flat_map(|n| {
                    with(
                        pushes(THEN + n * 4 * HOUR, 1, MINUTE, new_abroad, "timeout"),
                        vec![totp(THEN + n * 4 * HOUR + 2 * MINUTE, new_abroad), login(THEN + n * 4 * HOUR + 2 * MINUTE, new_abroad)],
                    )
                })
                .collect(),
        ),
        (
            "slow answers day after day on a new laptop",
            (0..5)
                .flat_map(|n| {
                    with(pushes(THEN + n * 12 * HOUR, 1, MINUTE, near, "timeout"), sign_in(THEN + n * 12 * HOUR + 2 * MINUTE, near))
                })
                .collect(),
        ),
        ("a service", regular(abroad, "mfa_denied").into_iter().map(TestEvent::service).collect()),
        (
            "codes that are wrong",
            (0..12).map(|n| abroad(at(THEN + n * MINUTE)).kind(Kind::MfaResult).factor("totp").fail("bad_code")).collect(),
        ),
        (
            "codes of no named factor that are wrong",
            (0..12).map(|n| abroad(at(THEN + n * MINUTE)).kind(Kind::MfaResult).fail("bad_code")).collect(),
        ),
        ("sign-ins without pushes, then changes", vec![login(THEN, new_laptop), new_laptop(at(THEN + MINUTE)).kind(Kind::PasswordChange)]),
        ("an empty log of pushes", (0..12).map(|n| result(THEN + n * MINUTE, nobody).fail("")).collect()),
    ];
    for (name, then) in cases {
        let found = found(then);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    let refuses_own = found(regular(tunnel, "mfa_denied"));
    assert!(!refuses_own.is_empty() && refuses_own.iter().all(|finding| finding.severity == Severity::Low));
    assert!(refuses_own.iter().all(|finding| names(finding, EntityKind::Ip).is_empty() && finding.actions.is_empty()));
    let mistakes_abroad = with(pushes(THEN, 3, 5 * MINUTE, laptop, "mfa_denied"), sign_in(THEN + 20 * MINUTE, laptop));
    assert_eq!(worst(mistakes_abroad), None);
}

#[test]
fn a_household_without_device_ids_is_known_by_its_browser_and_network() {
    let old: Client = |one| laptop(one).device("");
    let abroad: Client = |one| hosted(one).device("");
    let cafe: Client = |one| laptop(one).device("").ip("84.1.7.9").asn(6805, NetworkClass::Residential);
    let days: Vec<_> = (0..10).flat_map(|day| sign_in(day * DAY, old)).collect();
    let worst = |then| run(&SPEC, &with(days.clone(), then)).iter().map(|finding| finding.severity).max();
    assert_eq!(worst(pushes(THEN, 12, MINUTE, old, "timeout")), None);
    assert_eq!(worst(pushes(THEN, 12, MINUTE, cafe, "timeout")), None);
    assert_eq!(worst(with(pushes(THEN, 2, MINUTE, cafe, "mfa_denied"), sign_in(THEN + 3 * MINUTE, cafe))), None);
    assert_eq!(worst(pushes(THEN, 6, MINUTE, abroad, "mfa_denied")), Some(Severity::Medium));
    assert_eq!(worst(with(pushes(THEN, 6, MINUTE, abroad, "mfa_denied"), sign_in(THEN + 7 * MINUTE, abroad))), Some(Severity::High));
}

#[test]
fn the_owners_own_sign_in_during_an_attack_is_no_hit_and_names_no_one() {
    let mut events = pushes(THEN, 6, 2 * MINUTE, abroad, "mfa_denied");
    events.extend(sign_in(THEN + 5 * MINUTE + 30 * SECOND, laptop));
    events.push(laptop(at(THEN + 7 * MINUTE)).kind(Kind::TokenIssue));
    // Between the strangers' pushes, by which time theirs count as unanswered.
    events.extend((0..4).map(|n| laptop(at(THEN + n * 2 * MINUTE + MINUTE)).login()));
    events.sort_by_key(TestEvent::time_ms);
    let found = found(events);
    assert_eq!(found.iter().map(|finding| finding.severity).max(), Some(Severity::Medium));
    assert!(found.iter().all(|finding| names(finding, EntityKind::Session).is_empty()));
    assert!(found.iter().flat_map(|finding| names(finding, EntityKind::Ip)).all(|(ip, ..)| ip == "203.0.113.9"));
    assert_eq!(found.iter().map(|finding| finding.event_count).sum::<u64>(), 12);
}

#[test]
fn an_acceptance_on_the_phone_while_both_ask_is_the_owners_unless_a_stranger_comes_in() {
    let mut events = pushes(THEN, 6, MINUTE, abroad, "mfa_denied");
    let start = THEN + 6 * MINUTE;
    events.extend([challenge(start, laptop), challenge(start + 5 * SECOND, abroad), result(start + 9 * SECOND, phone)]);
    let own = with(events.clone(), vec![login(start + 10 * SECOND, laptop)]);
    assert_eq!(worst(own), Some(Severity::Medium));
    let strangers = found(with(events, vec![login(start + 10 * SECOND, abroad)]));
    assert_eq!(strangers.last().map(|finding| finding.severity), Some(Severity::High));
}

#[test]
fn a_sign_in_that_overtakes_its_pushes_is_a_hit_all_the_same() {
    let start = THEN + 4 * MINUTE;
    let hit = login(start + 10 * SECOND, abroad);
    let late = with(pushes(THEN, 4, MINUTE, abroad, "mfa_denied"), vec![challenge(start, abroad), result(start + 9 * SECOND, abroad)]);
    let found = found(with(vec![hit], late));
    let with_session = found.iter().filter(|finding| !names(finding, EntityKind::Session).is_empty());
    assert_eq!(with_session.map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::High]);
}

#[test]
fn arrival_out_of_order_gives_the_same_verdict() {
    let start = THEN + 6 * MINUTE;
    let mut attack = with(pushes(THEN, 6, MINUTE, abroad, "mfa_denied"), sign_in(start, abroad));
    attack.push(abroad(at(start + MINUTE)).kind(Kind::PasswordChange));
    let expected = worst(attack.clone());
    assert_eq!(expected, Some(Severity::Critical));
    let mut state = 7_u64;
    for _ in 0..40 {
        for index in (1..attack.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            attack.swap(index, (state >> 33) as usize % (index + 1));
        }
        let found = found(attack.clone());
        let high = found.iter().filter(|finding| finding.severity >= Severity::High);
        assert!(high.clone().count() > 0);
        let sessions: Vec<_> = high.clone().flat_map(|finding| names(finding, EntityKind::Session)).collect();
        assert!(!sessions.is_empty());
        // A change that comes before all else is not kept.
        let change_first = attack[0].time_ms() == at(start + MINUTE).time_ms();
        assert_eq!(high.clone().any(|finding| finding.severity == Severity::Critical), !change_first);
        let counted: u64 = found.iter().map(|finding| finding.event_count).sum();
        assert!(counted <= attack.len() as u64, "no event counts twice");
    }
    let innocent = with(pushes(THEN, 2, MINUTE, laptop, "mfa_denied"), sign_in(THEN + 3 * MINUTE, laptop));
    assert_eq!(worst(innocent.into_iter().rev().collect()), None);
}

#[test]
fn state_is_bounded_over_users_and_within_one() {
    let many = (0..60_000_i64).map(|n| challenge(n * 100, hosted).user(format!("u{n}")));
    contract::stays_bounded(&SPEC, many).unwrap();
    let mut runner = Runner::new(&SPEC, 1);
    runner.feed(&history());
    let mut held = 0;
    for round in 0..40 {
        let one = |n: i64| {
            let ms = THEN + (round * 50 + n) * 20 * SECOND;
            let one = refused(ms, abroad, "mfa_denied");
            one.device(format!("d{round}.{n}")).ip(&format!("201.{round}.{n}.1")).session(format!("x{n}"))
        };
        runner.feed(&(0..50).map(one).collect::<Vec<_>>());
        held = held.max(runner.bytes());
    }
    assert!(held < 40_000, "{held}");
}

#[test]
fn answered_pushes_of_own_clients_leave_nothing_behind() {
    let mut runner = Runner::new(&SPEC, 1);
    let people = |day: i64| {
        (0..500).flat_map(move |n| sign_in(day * DAY + n * SECOND, laptop).into_iter().map(move |one| one.user(format!("u{n}"))))
    };
    for day in 0..3 {
        let mut events: Vec<_> = people(day).collect();
        events.sort_by_key(TestEvent::time_ms);
        runner.feed(&events);
    }
    let before = runner.bytes();
    let mut events: Vec<_> = people(3).collect();
    events.sort_by_key(TestEvent::time_ms);
    runner.feed(&events);
    assert!(runner.bytes() < before + 20_000, "{before} {}", runner.bytes());
}

#[test]
fn the_contract_holds() {
    let mut events = with(history(), pushes(THEN, 10, MINUTE, abroad, "mfa_denied"));
    events.extend(sign_in(THEN + 11 * MINUTE, abroad));
    events.extend(pushes(THEN + DAY, 10, 7 * MINUTE, hosted, "timeout"));
    contract::is_deterministic(&SPEC, &events).unwrap();
    contract::survives_reload(&SPEC, &events).unwrap();
    contract::looks_at_all_that_matters(&SPEC, &events).unwrap();
}
