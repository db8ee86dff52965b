//! Scenarios of backends reached past their app, and of what looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_clients::client_integrity::SPEC;
use bartizan_core::{Action, Attestation, EntityKind, Finding, Kind, NetworkClass, Severity};
use bartizan_testkit::{Runner, TestEvent, at, contract, event, worst};

const START: &str = "2026-03-02T08:00:00Z";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const IOS: &str = "Acme/5.41 (iPhone; iOS 26.1) CFNetwork/3826.500";
const ANDROID: &str = "Acme/5.41 (Android 16; Pixel 9) okhttp/4.12.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) Version/26.1 Mobile/15E148 Safari/604.1";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0.0.0 Safari/537.36";
const IOS_TLS: &str = "t13d2014h2_a09f3c656075_14788d8d241b";
const ANDROID_TLS: &str = "t13d1513h2_8daaf6152771_eca864cca44a";
const PYTHON_TLS: &str = "t13d1812h1_85036bcba153_d41ae481755e";
const NEW_TLS: &str = "t13d1714h2_0123456789ab_14788d8d241b";
const PEOPLE: i64 = 20;

/// An event `ms` after the start, of the app.
fn of_app(ms: i64) -> TestEvent {
    event(START).plus_ms(ms).app("acme-mobile")
}

/// A person's phone at home. Odd ones have Android.
fn phone(person: i64, ms: i64) -> TestEvent {
    let (agent, tls) = if person % 2 == 0 { (IOS, IOS_TLS) } else { (ANDROID, ANDROID_TLS) };
    let one = of_app(ms).user(format!("person{person}")).session(format!("ses{person}")).device(format!("dev{person}"));
    one.agent(agent).ja4(tls).attestation(Attestation::Passed).ip(&format!("84.{person}.7.9")).asn(3320, NetworkClass::Residential)
}

/// A script of a stranger, with a person's session.
fn script(person: i64, ms: i64) -> TestEvent {
    let one = of_app(ms).user(format!("person{person}")).session(format!("ses{person}"));
    one.agent("python-requests/2.32.3").ja4(PYTHON_TLS).ip("203.0.113.9").asn(14061, NetworkClass::Hosting)
}

/// Everybody's phones for some days, each with a few requests a day.
fn days(from: i64, to: i64) -> Vec<TestEvent> {
    let day = |day: i64| {
        (0..PEOPLE).flat_map(move |person| {
            let morning = day * DAY + person * MINUTE;
            let login = phone(person, morning).login();
            std::iter::once(login).chain((1..5).map(move |n| phone(person, morning + n * 90 * MINUTE).request()))
        })
    };
    let mut events: Vec<_> = (from..to).flat_map(day).collect();
    events.sort_by_key(TestEvent::time_ms);
    events
}

/// What is found in `more` after three ordinary days, in which nothing may be.
fn after_days(more: &[TestEvent]) -> Vec<Finding> {
    let mut runner = Runner::new(&SPEC, 2);
    let quiet = runner.feed(&days(0, 3));
    assert!(quiet.is_empty(), "{quiet:#?}");
    let mut more = more.to_vec();
    more.sort_by_key(TestEvent::time_ms);
    runner.feed(&more)
}

fn named(finding: &Finding, kind: EntityKind) -> Vec<(&str, bool)> {
    finding.subjects.iter().filter(|s| s.kind == kind).map(|s| (s.value.as_str(), s.hit)).collect()
}

const NOW: i64 = 3 * DAY + 5 * HOUR;

#[test]
fn a_script_with_a_live_session_of_the_app_is_a_hit_on_its_first_use() {
    let found = after_days(&[script(4, NOW).request().id("theft"), phone(4, NOW + MINUTE).request()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].severity, found[0].key.as_str()), (Severity::High, "session:ses4"));
    assert_eq!(named(&found[0], EntityKind::Session), [("ses4", true)]);
    assert_eq!(named(&found[0], EntityKind::User), [("person4", true)]);
    assert_eq!(named(&found[0], EntityKind::Ip)[0].0, "203.0.113.9");
    assert_eq!(found[0].actions, [Action::RevokeSessions]);
    assert!(found[0].reason.contains("acme-mobile") && found[0].evidence.iter().any(|(name, _)| name == "pieces"));
}

#[test]
fn a_hit_that_changes_something_is_critical() {
    for kind in [Kind::AccountChange, Kind::PasswordChange, Kind::TokenIssue] {
        let found = after_days(&[script(4, NOW).request(), script(4, NOW + MINUTE).kind(kind)]);
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High, Severity::Critical], "{kind}");
        assert_eq!(found[0].key, found[1].key);
    }
}

#[test]
fn a_token_without_a_session_is_followed_through_the_thiefs_own_exchanges() {
    let bare = |one: TestEvent| one.session("");
    let events = [
        bare(phone(4, NOW)).refresh("r1", "r2"),
        bare(script(4, NOW + HOUR)).refresh("r2", "x3"),
        bare(script(4, NOW + 2 * HOUR)).token("x3").request(),
    ];
    let found = after_days(&events);
    assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High; 2], "{found:#?}");
    assert!(found[0].key.starts_with("token:hash:") && found[0].actions == [Action::RevokeTokens]);
}

#[test]
fn tools_of_all_sorts_are_found_with_one_more_piece() {
    let headless = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/142.0.0.0 Safari/537.36";
    for agent in ["curl/8.9.1", "Go-http-client/2.0", "okhttp/4.12.0", headless] {
        // Without a fingerprint in the log, at home in another town.
        let near = script(4, NOW).agent(agent).ja4("").ip("91.4.4.4").asn(3209, NetworkClass::Residential).request();
        assert_eq!(worst(&after_days(&[near])), Some(Severity::High), "{agent}");
        // A sign-in of its own: nobody's session is hit.
        let own = script(4, NOW).session("own").agent(agent).login();
        assert_eq!(worst(&after_days(&[own])), Some(Severity::Medium), "{agent}");
    }
}

#[test]
fn a_copy_with_the_apps_user_agent_is_found_by_its_tls_and_attestation() {
    let copy = script(4, NOW).agent(IOS).request();
    assert_eq!(worst(&after_days(&[copy.clone().attestation(Attestation::Failed)])), Some(Severity::High));
    assert_eq!(worst(&after_days(std::slice::from_ref(&copy))), Some(Severity::High), "missing, where all have it");
    let residential = copy.clone().ip("91.4.4.4").asn(3209, NetworkClass::Residential);
    assert_eq!(worst(&after_days(&[residential])), Some(Severity::High));
    // The right TLS client, too, in a hosting network and without device and proof.
    assert_eq!(worst(&after_days(&[copy.ja4(IOS_TLS)])), Some(Severity::High));
}

#[test]
fn a_session_of_one_system_in_an_emulator_of_another_is_a_hit() {
    let emulator = script(4, NOW).agent(ANDROID).ja4(ANDROID_TLS).ip("91.4.4.4").asn(3209, NetworkClass::Residential).request();
    assert_eq!(worst(&after_days(&[emulator.clone().attestation(Attestation::Failed)])), Some(Severity::High));
    // With a valid proof it may be the owner's tablet.
    assert_eq!(worst(&after_days(&[emulator.attestation(Attestation::Passed)])), None);
}

#[test]
fn a_refused_try_is_an_attempt_and_names_no_hit() {
    let found =
        after_days(&[script(4, NOW).request().fail("attestation_failed"), script(4, NOW + MINUTE).refresh("r1", "").fail("denied")]);
    assert_eq!(found.len(), 2);
    assert!(
        found.iter().all(|f| f.severity == Severity::Medium && f.subjects.iter().all(|s| !s.hit) && f.actions.is_empty()),
        "{found:#?}"
    );
}

#[test]
fn a_version_never_released_is_odd_and_with_hosting_an_attempt() {
    let far = |ms| phone(4, ms).agent("Acme/99.0 (iPhone; iOS 26.1) CFNetwork/3826.500").session("new").login();
    assert_eq!(worst(&after_days(&[far(NOW)])), Some(Severity::Low));
    assert_eq!(worst(&after_days(&[far(NOW).ip("203.0.113.9").asn(14061, NetworkClass::Hosting)])), Some(Severity::Medium));
}

#[test]
fn many_sessions_in_the_hands_of_one_script_are_few_alerts() {
    let events: Vec<_> = (0..PEOPLE).map(|person| script(person, NOW + person * MINUTE).request()).collect();
    let found = after_days(&events);
    assert_eq!(found.len(), PEOPLE as usize);
    assert!(found.iter().all(|f| f.severity == Severity::High));
    assert!(contract::keys(&found).len() <= 3, "{:?}", contract::keys(&found));
}

#[test]
fn a_patient_script_never_becomes_usual() {
    let mut runner = Runner::new(&SPEC, 1);
    let mut last = Vec::new();
    for day in 0..40 {
        runner.feed(&days(day, day + 1));
        if day >= 3 {
            let address = format!("203.0.{day}.9");
            let uses: Vec<_> = (0..6).map(|n| script(n, day * DAY + 9 * HOUR + n * MINUTE).ip(&address).request()).collect();
            last = runner.feed(&uses);
        }
    }
    assert_eq!(last.len(), 6);
    assert!(last.iter().all(|f| f.severity == Severity::High));
}

#[test]
fn arrival_out_of_order_gives_the_same() {
    let mut runner = Runner::new(&SPEC, 2);
    runner.feed(&days(0, 3));
    let found = runner.feed(&[phone(4, NOW + 5 * MINUTE).request(), script(4, NOW).request(), phone(4, NOW - MINUTE).request()]);
    assert_eq!(worst(&found), Some(Severity::High));
    assert_eq!(found.len(), 1);
}

// Innocent lives.

/// Nothing of medium severity, and at most `low_max` findings.
fn is_left_in_peace(name: &str, events: &[TestEvent], low_max: usize) {
    let found = after_days(events);
    assert!(worst(&found) <= Some(Severity::Low), "{name}: {found:#?}");
    assert!(found.len() <= low_max, "{name}: {} of {found:#?}", found.len());
}

#[test]
fn a_release_and_its_staged_roll_out_are_silent() {
    // A few on the first day, all on the third, with beta testers a step ahead.
    let release: Vec<_> = (0..3)
        .flat_map(|day| (0..=(day * 9 + 1)).map(move |person| phone(person, NOW + day * DAY + person * MINUTE).request()))
        .map(|one| one.agent("Acme/5.42 (iPhone; iOS 26.1) CFNetwork/3826.500"))
        .collect();
    is_left_in_peace("release", &release, 0);
    let beta = phone(2, NOW).agent("Acme/6.0 (iPhone; iOS 26.1) CFNetwork/3826.500").request();
    is_left_in_peace("beta", &[beta], 0);
}

#[test]
fn an_update_of_the_system_is_silent() {
    let update: Vec<_> = (0..PEOPLE).step_by(2).map(|person| phone(person, NOW + person * MINUTE).ja4(NEW_TLS).request()).collect();
    is_left_in_peace("same sessions", &update, 0);
    let new: Vec<_> =
        (0..PEOPLE).map(|person| phone(person, NOW + person * MINUTE).ja4(NEW_TLS).session(format!("new{person}")).login()).collect();
    is_left_in_peace("new sessions", &new, 0);
    // One of the first has it behind a hosting network.
    let abroad = phone(4, NOW).ja4(NEW_TLS).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).request();
    is_left_in_peace("behind a tunnel", &[abroad], 0);
    // The first new phone of its kind, restored from the old one's backup.
    let restored = phone(4, NOW).ja4(NEW_TLS).device("new phone").ip("109.40.1.1").asn(20057, NetworkClass::Mobile).request();
    is_left_in_peace("a new phone", &[restored], 0);
}

#[test]
fn a_company_that_looks_into_its_traffic_is_silent() {
    let office = |person, ms| phone(person, ms).ja4(PYTHON_TLS).ip("62.1.1.1").asn(680, NetworkClass::Corporate);
    let proxied: Vec<_> =
        (0..12).flat_map(|person| (0..3).map(move |n| office(person, NOW + person * MINUTE + n * HOUR).request())).collect();
    is_left_in_peace("proxy", &proxied, 0);
    // And its proxy breaks the proof.
    let broken: Vec<_> = proxied.into_iter().map(|one| one.attestation(Attestation::Failed)).collect();
    is_left_in_peace("proxy that breaks proofs", &broken, 16);
}

#[test]
fn an_outage_of_attestation_is_everybodys() {
    for fallen in [Attestation::Failed, Attestation::Unknown] {
        let all: Vec<_> = (0..PEOPLE)
            .flat_map(|person| (0..4).map(move |n| phone(person, NOW + person * MINUTE + n * HOUR).request().attestation(fallen)))
            .collect();
        is_left_in_peace("outage", &all, 8);
    }
}

#[test]
fn a_rooted_phone_is_context() {
    let rooted: Vec<_> = (0..15).map(|n| phone(4, NOW + n * HOUR).request().attestation(Attestation::Failed)).collect();
    is_left_in_peace("rooted", &rooted, 2);
    let abroad = phone(4, NOW).request().attestation(Attestation::Failed).ip("203.0.113.9").asn(14061, NetworkClass::Hosting);
    is_left_in_peace("rooted behind a tunnel", &[abroad], 1);
}

#[test]
fn an_old_phone_is_context_at_most() {
    let old = |ms| phone(77, ms).agent("Acme/2.3 (Android 7; SM-G920F) okhttp/3.9.0").ja4("t12d1209h2_aaaaaaaaaaaa_bb");
    is_left_in_peace("old", &[old(NOW).login(), old(NOW + MINUTE).request()], 2);
    let failing = |ms| old(ms).attestation(Attestation::Failed);
    is_left_in_peace("old without a proof", &[failing(NOW).login(), failing(NOW + MINUTE).request()], 2);
}

#[test]
fn a_false_old_version_does_not_hide_a_stolen_session() {
    let copy = script(4, NOW).agent("Acme/2.3 (iPhone; iOS 15.1) CFNetwork/1327.0").ip("91.4.4.4").asn(3209, NetworkClass::Residential);
    assert_eq!(worst(&after_days(&[copy.request()])), Some(Severity::High));
}

#[test]
fn a_page_within_the_app_is_silent() {
    let page = |person, ms| {
        let one = phone(person, ms).agent(SAFARI).ja4("t13d2013h2_cccccccccccc_dd").device("").attestation(Attestation::Unknown);
        if person % 3 == 0 { one.ip(&format!("109.40.1.{person}")).asn(20057, NetworkClass::Mobile) } else { one }
    };
    let pages: Vec<_> = (0..PEOPLE).map(|person| page(person, NOW + person * MINUTE).request()).collect();
    is_left_in_peace("pages", &pages, 0);
}

#[test]
fn the_companys_own_programs_are_silent() {
    is_left_in_peace("monitor", &[script(4, NOW).service().request(), script(4, NOW + MINUTE).service().kind(Kind::TokenIssue)], 0);
    // Pods that pass the session on.
    let pod = |person: i64| {
        script(person, NOW + person * MINUTE).agent("Go-http-client/1.1").ja4("").ip("10.4.1.7").asn(0, NetworkClass::Unknown)
    };
    is_left_in_peace("pods", &(0..PEOPLE).map(|person| pod(person).request()).collect::<Vec<_>>(), 0);
    let test = script(4, NOW).ip("62.1.1.1").asn(680, NetworkClass::Corporate).request();
    is_left_in_peace("tests from the office", &[test], 1);
}

#[test]
fn a_back_end_that_was_always_there_is_silent() {
    let back_end = |person: i64, ms| script(person, ms).agent("Go-http-client/1.1").ja4("").ip("203.0.113.50");
    let mut events = days(0, 6);
    events.extend((0..6).flat_map(|day| (0..PEOPLE).map(move |person| back_end(person, day * DAY + person * MINUTE + 5_000).request())));
    events.sort_by_key(TestEvent::time_ms);
    let found = Runner::new(&SPEC, 1).feed(&events);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn browsers_with_the_same_application_are_silent() {
    let browser = |person: i64, ms| {
        let one =
            of_app(ms).user(format!("person{person}")).session(format!("web{person}")).agent(CHROME).ja4("t13d1516h2_8daaf6152771_aa");
        one.ip(&format!("84.{person}.7.9")).asn(3320, NetworkClass::Residential)
    };
    let mut events = days(0, 5);
    events.extend((0..5).flat_map(|day| (0..PEOPLE).map(move |person| browser(person, day * DAY + person * MINUTE + 20_000).login())));
    events.push(
        browser(3, 4 * DAY + HOUR)
            .agent("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Firefox/144.0")
            .ja4("t13d1715h2_5b57614c22b0_3d")
            .login(),
    );
    events.sort_by_key(TestEvent::time_ms);
    let found = Runner::new(&SPEC, 1).feed(&events);
    assert!(worst(&found) <= Some(Severity::Low) && found.len() < 2, "{found:#?}");
}

#[test]
fn a_rare_browser_beside_few_others_is_not_missing_a_proof() {
    let browser = |person: i64, ms| {
        let one = phone(person, ms).session(format!("web{person}")).device("").agent(CHROME).ja4("t13d1516h2_8daaf6152771_aa");
        one.attestation(Attestation::Unknown).request()
    };
    let mut events = days(0, 6);
    events.extend((0..2).flat_map(|day| (0..6).map(move |person| browser(person, day * DAY + person * MINUTE + 20_000))));
    events.push(browser(9, 5 * DAY).ja4("t13d1715h2_5b57614c22b0_3d"));
    events.sort_by_key(TestEvent::time_ms);
    let found = Runner::new(&SPEC, 1).feed(&events);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_probe_that_was_always_there_is_silent() {
    let probe = |day: i64, n: i64| script(0, day * DAY + n * HOUR).user("probe").session(format!("probe{day}")).login();
    let mut events = days(0, 6);
    events.extend((0..6).flat_map(|day| (0..20).map(move |n| probe(day, n))));
    events.sort_by_key(TestEvent::time_ms);
    let found = Runner::new(&SPEC, 1).feed(&events);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_web_application_is_not_judged() {
    let web = |person: i64, ms| {
        let one = event(START).plus_ms(ms).app("web").user(format!("p{person}")).session(format!("w{person}")).agent(CHROME);
        one.ja4("t13d1516h2_8daaf6152771_aa").ip(&format!("84.{person}.7.9")).asn(3320, NetworkClass::Residential)
    };
    let mut events: Vec<_> = (0..5).flat_map(|day| (0..20).map(move |person| web(person, day * DAY + person * MINUTE).request())).collect();
    events.push(web(3, 4 * DAY + HOUR).agent("curl/8.9.1").ja4(PYTHON_TLS).ip("203.0.113.9").request());
    assert!(Runner::new(&SPEC, 1).feed(&events).is_empty());
}

#[test]
fn an_enthusiasts_script_at_home_is_no_hit() {
    let home = script(4, NOW).ip("84.4.7.9").asn(3320, NetworkClass::Residential).request();
    let found = after_days(&[home]);
    assert_eq!(worst(&found), Some(Severity::Medium));
    assert!(found[0].subjects.iter().all(|s| !s.hit) && found[0].actions.is_empty());
}

#[test]
fn nothing_is_judged_before_the_app_is_known() {
    let mut events = days(0, 1);
    events.push(script(4, 20 * HOUR).request());
    assert!(Runner::new(&SPEC, 1).feed(&events).is_empty());
    // A small app never is.
    let small: Vec<_> =
        days(0, 9).into_iter().filter(|one| one.time_ms() - at(START) < 9 * DAY).take(4).chain([script(4, 9 * DAY)]).collect();
    assert!(Runner::new(&SPEC, 1).feed(&small).is_empty());
}

#[test]
fn moving_phones_are_silent() {
    let mut events = Vec::new();
    for n in 0..30 {
        let one = phone(4, NOW + n * 10 * MINUTE).request();
        events.push(match n % 4 {
            0 => one,
            1 => one.ip(&format!("109.40.{n}.1")).asn(20057, NetworkClass::Mobile),
            2 => one.ip("2001:db8::7"),
            _ => one.ip("185.9.9.9").asn(9009, NetworkClass::Vpn),
        });
    }
    is_left_in_peace("moving", &events, 0);
}

// Farms.

fn signup(n: i64, ms: i64) -> TestEvent {
    of_app(ms).kind(Kind::Signup).user(format!("new{n}")).agent(ANDROID).ja4(ANDROID_TLS)
}

#[test]
fn many_new_users_behind_one_device_are_a_farm() {
    let farm = |n: i64| signup(n, n * 20 * MINUTE).device("emulator").ip(&format!("203.0.113.{n}")).asn(14061, NetworkClass::Hosting);
    let found = Runner::new(&SPEC, 4).feed(&(0..12).map(farm).collect::<Vec<_>>());
    assert_eq!(found.len(), 5, "{found:#?}");
    assert_eq!((found[0].severity, found[0].key.as_str()), (Severity::Medium, "device:emulator"));
    // Behind homes' addresses of many networks.
    let homes = |n: i64| farm(n).ip(&format!("84.{n}.7.9")).asn(3000 + n as u32, NetworkClass::Residential);
    assert_eq!(Runner::new(&SPEC, 4).feed(&(0..12).map(homes).collect::<Vec<_>>()).len(), 5);
}

#[test]
fn shared_devices_are_no_farms() {
    let kiosk = |n: i64, one: TestEvent| one.user(format!("worker{n}")).device("kiosk").ip("62.1.1.1").asn(680, NetworkClass::Corporate);
    let shifts: Vec<_> = (0..40).map(|n| kiosk(n, of_app(n * 20 * MINUTE).login().agent("Kiosk/1"))).collect();
    let family: Vec<_> =
        (0..5).map(|n| signup(n, n * MINUTE).device("tablet").ip("84.1.1.1").asn(3320, NetworkClass::Residential)).collect();
    let shop: Vec<_> = (0..30).map(|n| signup(n, n * 9 * MINUTE).device("till").ip("62.1.1.1").asn(680, NetworkClass::Corporate)).collect();
    let unset: Vec<_> = (0..500)
        .map(|n| {
            of_app(n * MINUTE)
                .login()
                .user(format!("u{n}"))
                .device("00000000")
                .ip(&format!("84.{}.1.1", n % 250))
                .asn(3000 + n as u32 % 40, NetworkClass::Residential)
        })
        .collect();
    for (name, events) in [("kiosk", shifts), ("family", family), ("shop", shop), ("no device id", unset)] {
        let found = Runner::new(&SPEC, 2).feed(&events);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn many_new_users_of_one_model_in_hosting_networks_are_a_farm() {
    let model = "Acme/5.41 (Android 11; sdk_gphone_x86) okhttp/4.12.0";
    let emulator = |n: i64| {
        let one = signup(n, NOW + n * 20 * MINUTE).agent(model).device(format!("emu{n}")).attestation(Attestation::Passed);
        one.ip(&format!("203.0.{n}.9")).asn(14061, NetworkClass::Hosting)
    };
    let found = after_days(&(0..24).map(emulator).collect::<Vec<_>>());
    assert_eq!(worst(&found), Some(Severity::Medium), "{found:#?}");
    assert_eq!(contract::keys(&found).len(), 1);
    // The same many at home are a good campaign.
    let home = |n: i64| emulator(n).ip(&format!("84.{n}.7.9")).asn(3320, NetworkClass::Residential);
    is_left_in_peace("new users", &(0..24).map(home).collect::<Vec<_>>(), 0);
}

#[test]
fn state_stays_bounded_with_many_values_of_all_sorts() {
    let any = |n: i64| {
        let app = if n % 3 == 0 { "acme-mobile".to_owned() } else { format!("app{n}") };
        let agent = format!("A{}/{n}.{n} (Android) okhttp/4", "x".repeat(n as usize % 200));
        let one = of_app(n * 1_000).app(app).user(format!("u{n}")).session(format!("s{n}")).device(format!("d{}", n % 7)).agent(agent);
        one.ja4(format!("t13_{n}_x"))
            .ip(&format!("84.{}.{}.9", n / 250 % 250, n % 250))
            .attestation(Attestation::ALL[n as usize % 3])
            .login()
    };
    contract::stays_bounded(&SPEC, (0..30_000).map(any)).unwrap();
}

#[test]
fn the_contract_holds_with_an_app_in_use() {
    let mut events = days(0, 4);
    events.extend((0..PEOPLE).map(|person| script(person, NOW + person * MINUTE).request()));
    events.extend((0..12).map(|n| signup(n, NOW + n * MINUTE).device("emulator").ip("203.0.113.7").asn(14061, NetworkClass::Hosting)));
    events.sort_by_key(TestEvent::time_ms);
    contract::is_deterministic(&SPEC, &events).unwrap();
    contract::survives_reload(&SPEC, &events).unwrap();
    contract::looks_at_all_that_matters(&SPEC, &events).unwrap();
}
