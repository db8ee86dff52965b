//! Scenarios of accounts that are taken, and of people who change things themselves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_accounts::account_takeover::SPEC;
use bartizan_core::{Action, EntityKind, Finding, Kind, NetworkClass, Severity};
use bartizan_testkit::{Runner, TestEvent, event, named, run, worst};

const START: &str = "2026-03-02T09:00:00Z";
const MINUTE: i64 = 60_000;

fn ann(minute: i64) -> TestEvent {
    event(START).plus_ms(minute * MINUTE).user("ann").login()
}

/// Ann's laptop at home.
fn home(minute: i64) -> TestEvent {
    on_line(ann(minute)).device("laptop").agent("Firefox/140").session("own")
}

/// Ann's line at home.
fn on_line(one: TestEvent) -> TestEvent {
    one.ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.5, 13.4)
}

/// Somebody in the same town.
fn near(minute: i64) -> TestEvent {
    let who = ann(minute).ip("192.0.2.9").asn(680, NetworkClass::Residential).place("DE", 52.4, 13.3);
    who.device("stranger").agent("Chrome/140").session("stolen")
}

fn past() -> Vec<TestEvent> {
    (1..8).rev().map(|day| home(-day * 1_440)).collect()
}

fn after_past(events: impl IntoIterator<Item = TestEvent>) -> Vec<Finding> {
    run(&SPEC, &past().into_iter().chain(events).collect::<Vec<_>>())
}

#[test]
fn a_factor_added_by_a_stranger_in_the_same_town_is_a_takeover() {
    let found = after_past([near(0), near(9).kind(Kind::AccountChange).factor("totp")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity), ("user:ann", Severity::Critical));
    assert!(found[0].reason.starts_with("Changed the second factor 9 minutes after"), "{}", found[0].reason);
    assert_eq!((named(&found[0], EntityKind::Ip), named(&found[0], EntityKind::Session)), (vec!["192.0.2.9"], vec!["stolen"]));
    let changed = ["changed", "changed_time"].map(|name| found[0].evidence.iter().find(|(one, _)| one == name).unwrap().1.clone());
    assert_eq!(changed, ["second factor", "2026-03-02T09:09:00.000Z"]);
    assert!(found[0].actions.contains(&Action::RevokeSessions));
    assert!(found[0].subjects.iter().any(|subject| subject.kind == EntityKind::User && subject.hit));
}

#[test]
fn each_kind_of_change_is_told_once() {
    let mail = |minute| near(minute).kind(Kind::AccountChange);
    let factor = |minute| near(minute).kind(Kind::AccountChange).factor("totp");
    let found = after_past([near(0), mail(4), mail(5), factor(6), factor(7), mail(8)]);
    let changed: Vec<_> =
        found.iter().filter_map(|one| one.evidence.iter().find(|(name, _)| name == "changed")).map(|(_, what)| what).collect();
    assert_eq!(changed, ["account", "second factor"], "{found:#?}");
}

#[test]
fn what_is_less_strange_is_high() {
    // A kind of program that Ann uses, on a device and a line that she does not.
    let found = after_past([near(0).agent("Firefox/140"), near(9).agent("Firefox/140").kind(Kind::AccountChange)]);
    assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::High], "{found:#?}");
    // With Ann at work at home meanwhile it is no longer her.
    let found = after_past([near(0).agent("Firefox/140"), home(5), near(9).agent("Firefox/140").kind(Kind::AccountChange)]);
    assert_eq!(worst(&found), Some(Severity::Critical));
}

#[test]
fn on_the_same_provider_the_owner_at_work_is_what_proves_it() {
    let neighbour = |minute| near(minute).asn(3320, NetworkClass::Residential);
    let change = |minute| neighbour(minute).kind(Kind::AccountChange).factor("totp");
    assert!(after_past([neighbour(0), change(9)]).is_empty(), "a new phone after the line got another address");
    let found = after_past([neighbour(0), change(9), home(30).request()]);
    assert_eq!((found.len(), worst(&found)), (1, Some(Severity::High)), "{found:#?}");
    assert_eq!((named(&found[0], EntityKind::Ip), named(&found[0], EntityKind::Session)), (vec!["192.0.2.9"], vec!["stolen"]));
    assert_eq!(found[0].event_ids.len(), 2, "the change, and what the owner did");
    assert_eq!(after_past([neighbour(0), change(9), home(30).request(), home(31).request()]).len(), 1, "told once");
    // The same kind of browser as hers: then it takes the change and her at work.
    let alike = |minute| neighbour(minute).agent("Firefox/140");
    let changed = |minute| alike(minute).kind(Kind::AccountChange).factor("totp");
    assert_eq!(worst(&after_past([alike(0), changed(9), home(30).request()])), Some(Severity::High));
    assert!(after_past([alike(0), changed(9), home(300).request()]).is_empty(), "home again");
}

#[test]
fn another_line_of_the_person_s_provider_is_told_at_the_change_though_its_owner_is_idle() {
    let neighbour = |minute| near(minute).asn(3320, NetworkClass::Residential);
    let change = |one: TestEvent| one.kind(Kind::AccountChange).factor("totp");
    assert_eq!(worst(&after_past([home(-400).request(), neighbour(0), change(neighbour(9))])), Some(Severity::Critical));
    let alike = |minute| neighbour(minute).agent("Firefox/140");
    assert_eq!(worst(&after_past([home(-400).request(), alike(0), change(alike(9))])), Some(Severity::High));
    let found = after_past([home(-400).request(), alike(0), alike(4).kind(Kind::PasswordChange)]);
    assert!(found.is_empty(), "a password alone, as people change it: {found:#?}");
    // An own device in the same building, in the same /24, or by the other family of addresses.
    let beside = |minute| alike(minute).ip("198.51.100.7");
    assert!(after_past([home(-400).request(), beside(0), change(beside(9))]).is_empty(), "at home");
    let next = |minute| alike(minute).ip("198.51.100.99");
    assert!(after_past([home(-400).request(), next(0), change(next(9))]).is_empty(), "the line's next address");
    let six = |minute| neighbour(minute).ip("2001:db8::99");
    assert!(after_past([home(-400).request(), six(0), change(six(9))]).is_empty(), "the line's IPv6");
    // A provider who gives another address all the time.
    let each_day = (1..4).rev().map(|day| home(-day * 400).ip(&format!("198.51.{day}.7")).request());
    assert!(after_past(each_day.chain([neighbour(0), change(neighbour(9))])).is_empty(), "a new phone at home");
}

#[test]
fn who_leaves_out_the_second_factor_that_the_person_has_is_told() {
    let neighbour = |minute| near(minute).asn(3320, NetworkClass::Residential);
    let change = |one: TestEvent| one.kind(Kind::AccountChange);
    let proof = |one: TestEvent| one.kind(Kind::MfaResult).factor("totp");
    let found = after_past([proof(home(-1_400)), neighbour(0), change(neighbour(9))]);
    assert_eq!(worst(&found), Some(Severity::High), "{found:#?}");
    assert!(found[0].reason.contains("no second factor, which the person has"), "{}", found[0].reason);
    assert!(after_past([proof(home(-1_400)), proof(neighbour(0)), neighbour(1), change(neighbour(9))]).is_empty(), "a new laptop");
    let removed = home(-900).kind(Kind::AccountChange).factor("totp");
    assert!(
        after_past([proof(home(-1_400)), removed, neighbour(900), change(neighbour(909))]).is_empty(),
        "it was lost, and a new one set up"
    );
}

#[test]
fn a_recovery_by_a_stranger_is_a_takeover_once_something_is_changed() {
    let reset = near(0).kind(Kind::PasswordReset);
    assert!(after_past([reset.clone(), near(2)]).is_empty(), "so far it may be Ann at a friend's");
    let found = after_past([reset, near(2), near(4).kind(Kind::AccountChange)]);
    assert_eq!(worst(&found), Some(Severity::Critical), "{found:#?}");
    assert!(found[0].reason.contains("password reset by the same client"), "{}", found[0].reason);
}

#[test]
fn a_device_code_used_elsewhere_is_a_hit_and_a_change_makes_it_critical() {
    let code = |minute| near(minute).kind(Kind::TokenIssue).grant("device_code");
    let found = after_past([home(0), code(3), near(8).kind(Kind::AccountChange)]);
    assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::High, Severity::Critical], "{found:#?}");
    assert_eq!(named(&found[0], EntityKind::Session), ["stolen"]);
    let over_ipv6 = |minute| home(minute).ip("2001:db8::7");
    assert_eq!(worst(&after_past([over_ipv6(0), code(3)])), Some(Severity::High));
    assert!(after_past([home(0), code(30)]).is_empty(), "nobody approved that");
    assert!(after_past([home(0), on_line(code(3))]).is_empty(), "the television at home");
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let late = after_past([near(9), home(5), near(10).kind(Kind::PasswordChange)]);
    let early = after_past([home(5), near(9), near(10).kind(Kind::PasswordChange)]);
    let change_first = after_past([near(10).kind(Kind::PasswordChange), near(9), home(5)]);
    assert_eq!([late, early, change_first].map(|found| worst(&found)), [Some(Severity::Critical); 3]);
}

#[test]
fn people_who_change_things_themselves_stay_silent() {
    let change = |one: TestEvent| one.kind(Kind::AccountChange).factor("totp");
    let new_phone = |minute| on_line(near(minute));
    let hotel = |minute| home(minute).ip("203.0.113.5").asn(7922, NetworkClass::Residential).place("US", 40.7, -74.0);
    let private = |minute| on_line(ann(minute)).device(format!("private {minute}")).agent("Firefox/140").session("p");
    let lodger = |minute| hotel(minute).device("").session("q");
    let innocent = [
        ("a new phone at home", vec![new_phone(0), change(new_phone(5))]),
        ("the own laptop on a journey", vec![hotel(0), change(hotel(5)), hotel(7).kind(Kind::PasswordChange)]),
        ("a private window", vec![private(0), change(private(0))]),
        ("a laptop without a device id in a hotel", vec![lodger(0), change(lodger(5))]),
        ("forgotten at home", vec![home(0).kind(Kind::PasswordReset), home(2), change(home(3))]),
        ("a strange sign-in that does nothing", vec![near(0), near(5).request(), near(9).kind(Kind::Logout)]),
        ("a change the day after", vec![near(0), change(near(1_500))]),
        ("a change by Ann, with a stranger in", vec![near(0), change(home(5))]),
        ("a help desk", vec![near(0), change(ann(5).ip("10.0.0.1").service())]),
        ("a password changed as it has to be, on a new phone on the way", vec![near(0), near(1).kind(Kind::PasswordChange)]),
        ("a change that failed", vec![near(0), change(near(5)).fail("denied")]),
    ];
    for (name, events) in innocent {
        assert_eq!(worst(&after_past(events)), None, "{name}");
    }
    let unknown = [near(0), change(near(5))];
    assert!(run(&SPEC, &unknown).is_empty(), "of somebody new nothing is strange");
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut runner = Runner::new(&SPEC, 1);
    runner.feed(&past());
    for round in 0..200 {
        let one =
            |minute: i64| near(minute).device(format!("d{minute}")).ip(&format!("10.0.{}.9", minute % 250)).asn(0, NetworkClass::Unknown);
        runner.feed(&[one(round), one(round).kind(Kind::PasswordReset)]);
    }
    assert!(runner.bytes() < 4_000, "{} bytes for one person", runner.bytes());
}

/// An application in a cloud, with a token for these scopes.
fn application(minute: i64, scope: &str) -> TestEvent {
    let cloud = ann(minute).ip("203.0.113.80").asn(14061, NetworkClass::Hosting).place("US", 40.0, -74.0);
    cloud.agent("MailMerge/1.0").session("granted").kind(Kind::TokenIssue).grant("authorization_code").scope(scope)
}

#[test]
fn wide_access_given_to_an_application_is_told_and_narrow_access_is_held_back() {
    let consent = |minute| home(minute).kind(Kind::AccountChange);
    let wide = "profile mail.read mail.send files.readwrite.all offline_access";
    let found = after_past([home(0), consent(2), application(3, wide)]);
    assert_eq!((found.len(), worst(&found)), (1, Some(Severity::High)), "{found:#?}");
    assert!(found[0].reason.contains("5 scopes (limit 5), 2 of them"), "{}", found[0].reason);
    assert_eq!(found[0].actions[0], Action::RevokeTokens);
    assert!(after_past([home(0), consent(2), application(3, "orders.read offline_access")]).is_empty(), "little");
    let much_to_read = "openid profile email mail.read calendar.read contacts.read";
    assert!(after_past([home(0), consent(2), application(3, much_to_read)]).is_empty(), "nothing but to read");
    assert!(after_past([home(0), consent(2), application(40, wide)]).is_empty(), "long after");
    assert!(after_past([home(0), application(3, wide)]).is_empty(), "without a consent");
}

#[test]
fn a_tool_without_the_device_id_that_the_person_always_has_is_a_stranger() {
    let tool = |minute| near(minute).device("").agent("python-requests/2.32");
    let found = after_past([tool(0), tool(9).kind(Kind::AccountChange)]);
    assert_eq!(worst(&found), Some(Severity::Critical), "{found:#?}");
}

/// A phone of Ann's, behind a carrier.
fn on_carrier(one: TestEvent, ip: &str) -> TestEvent {
    one.ip(ip).asn(20057, NetworkClass::Mobile).place("DE", 52.5, 13.4).session("phone")
}

#[test]
fn a_second_phone_on_the_person_s_own_carrier_is_theirs() {
    let first = |minute| on_carrier(ann(minute), "192.0.2.40").device("phone").agent("App/1");
    let second = |minute| on_carrier(ann(minute), "192.0.2.99").device("second").agent("OtherApp/1");
    let change = |minute| second(minute).kind(Kind::AccountChange);
    let mut events: Vec<_> = (1..8).rev().map(|day| first(-day * 1_440)).collect();
    events.extend([first(0), second(5), change(6), first(20).request()]);
    assert!(run(&SPEC, &events).is_empty());
    // Ann signs in at home alone, and her laptop was behind the carrier for a moment, as with a phone's hotspot.
    assert!(after_past([on_carrier(home(-600), "192.0.2.40").request(), home(0), second(5), change(6)]).is_empty());
}

#[test]
fn the_first_phone_that_is_seen_behind_a_carrier_may_be_in_the_same_room() {
    let iphone = |minute| on_carrier(ann(minute), "192.0.2.99").device("second").agent("Acme/7 (iPhone; iOS 26.4)");
    let change = |one: TestEvent| one.kind(Kind::AccountChange);
    let set_up = [home(0), iphone(5), change(iphone(6)), home(20).request()];
    assert!(after_past(set_up).is_empty(), "which carrier Ann has was not known");
    let known = on_carrier(home(-600), "192.0.2.40").asn(3209, NetworkClass::Mobile).request();
    assert_eq!(worst(&after_past([known, home(0), iphone(5), change(iphone(6))])), Some(Severity::Critical), "hers is another one");
    let abroad = |minute| iphone(minute).place("US", 40.7, -74.0);
    assert_eq!(worst(&after_past([home(0), abroad(5), change(abroad(6))])), Some(Severity::Critical));
    let somewhere =
        |minute| ann(minute).ip("192.0.2.99").asn(20057, NetworkClass::Mobile).device("second").agent("Acme/7 (iPhone; iOS 26.4)");
    assert_eq!(worst(&after_past([home(0), somewhere(5), change(somewhere(6))])), Some(Severity::Critical), "perhaps in another country");
    let desktop = |minute| iphone(minute).agent("Chrome/140");
    assert_eq!(worst(&after_past([home(0), desktop(5), change(desktop(6))])), Some(Severity::Critical), "no phone");
}

#[test]
fn a_phone_at_home_does_not_make_the_home_s_provider_its_carrier() {
    let iphone = |one: TestEvent| one.agent("Acme/7 (iPhone; iOS 26.4)");
    let own = |minute, ip: &str| iphone(on_line(ann(minute)).ip(ip).device("phone").session("phone"));
    let second = |minute| iphone(on_carrier(ann(minute), "192.0.2.99").device("second"));
    let set_up = |past: Vec<TestEvent>| past.into_iter().chain([second(5), second(6).kind(Kind::AccountChange)]).collect::<Vec<_>>();
    // The line got another address, and the phone alone was seen on it so far.
    let days = || (1..8).rev().map(|day| -day * 1_440);
    let at_home = days().flat_map(|day| [home(day), own(day + 90, "198.51.101.9")]).collect();
    assert_eq!(worst(&run(&SPEC, &set_up(at_home))), None);
    let elsewhere = days().flat_map(|day| [home(day), own(day + 90, "192.0.3.9").asn(3209, NetworkClass::Residential)]).collect();
    assert_eq!(worst(&run(&SPEC, &set_up(elsewhere))), Some(Severity::High), "that may be a carrier, and the phone's");
}

/// Ann's dish.
fn by_dish(one: TestEvent) -> TestEvent {
    one.ip("143.105.1.9").asn(14593, NetworkClass::Satellite).place("DE", 50.1, 8.7)
}

#[test]
fn a_new_phone_by_the_dish_at_home_is_the_person_s() {
    let past = || (1..8).rev().map(|day| by_dish(home(-day * 1_440)));
    let factor = |one: TestEvent| one.kind(Kind::AccountChange).factor("push");
    // The operator leads it into the net elsewhere now.
    let new = |minute| by_dish(near(minute)).ip("143.105.77.2");
    let events: Vec<_> = past().chain([by_dish(home(-300)).request(), new(0), factor(new(1))]).collect();
    assert_eq!(worst(&run(&SPEC, &events)), None);
    let stranger: Vec<_> = past().chain([by_dish(home(-300)).request(), near(0), factor(near(1))]).collect();
    assert_eq!(worst(&run(&SPEC, &stranger)), Some(Severity::Critical));
}

#[test]
fn a_stranger_of_days_ago_is_judged_anew() {
    // A new device in doubt, which turns out to be Ann's as her laptop comes to the same building's network.
    let beside = |minute| home(minute).ip("192.0.2.77").asn(680, NetworkClass::Residential);
    let change = |minute| near(minute).kind(Kind::AccountChange).factor("totp");
    assert!(worst(&after_past([near(0), beside(30), change(40)])) >= Some(Severity::High), "of the same day what was found stands");
    assert_eq!(worst(&after_past([near(0), beside(30), home(1_500).request(), near(2_900), change(2_910)])), None);
}

#[test]
fn a_network_that_hides_where_its_users_are_says_nothing_of_their_country() {
    let tunnel = |minute| near(minute).asn(9009, NetworkClass::Vpn).place("US", 40.7, -74.0);
    let found = after_past([tunnel(0), tunnel(9).kind(Kind::AccountChange)]);
    assert!(found[0].reason.contains("hosting, VPN or relay") && !found[0].reason.contains("country"), "{}", found[0].reason);
}

#[test]
fn a_new_device_where_an_own_one_was_of_late_is_the_person_s() {
    let hotel = |one: TestEvent| one.ip("203.0.113.5").asn(7922, NetworkClass::Residential).place("US", 40.7, -74.0);
    let new = |minute| hotel(near(minute));
    let change = |one: TestEvent| one.kind(Kind::AccountChange).factor("totp");
    assert!(after_past([hotel(home(0)).request(), new(5), change(new(9))]).is_empty(), "in the hotel where the laptop is");
    assert!(after_past([new(5), hotel(home(7)).request(), change(new(9))]).is_empty(), "and where it turns up");
    assert_eq!(worst(&after_past([new(5), change(new(9))])), Some(Severity::Critical));
    let found = after_past([new(5), change(new(9)), hotel(home(10)).request()]);
    assert_eq!(worst(&found), Some(Severity::Critical), "what was told stays told");
}

#[test]
fn a_second_factor_that_was_proved_speaks_for_the_person() {
    let proof = |minute| near(minute).kind(Kind::MfaResult).factor("totp").session("");
    let change = |minute| near(minute).kind(Kind::AccountChange);
    assert_eq!(worst(&after_past([near(1), change(3)])), Some(Severity::Critical));
    assert!(after_past([proof(0), near(1), change(3)]).is_empty(), "a second phone at a friend's");
    let abroad = |one: TestEvent| one.place("US", 40.7, -74.0);
    let found = after_past([abroad(proof(0)), abroad(near(1)), abroad(change(3))]);
    assert_eq!(worst(&found), Some(Severity::Critical), "with more against it all the same: {found:#?}");
}

/// Ann's phone behind her carrier, which she has had for a week, too.
fn phone(minute: i64) -> TestEvent {
    on_carrier(ann(minute), "109.40.1.5").device("phone").agent("Acme/7 (iPhone; iOS 26.4)")
}

/// A laptop and a phone for a week.
fn with_two_devices(events: impl IntoIterator<Item = TestEvent>) -> Vec<Finding> {
    let days = (1..8).rev().map(|day| -day * 1_440);
    let past = days.flat_map(|day| [home(day), phone(day + 90), home(day + 91).request()]);
    run(&SPEC, &past.chain(events).collect::<Vec<_>>())
}

#[test]
fn new_phones_and_laptops_are_set_up_in_peace() {
    let new = |one: TestEvent| one.device("new").session("new");
    let factor = |one: TestEvent| one.kind(Kind::AccountChange).factor("totp");
    let other_make = |minute| new(phone(minute)).agent("Acme/7 (Android 16)");
    let hotel = |one: TestEvent| one.ip("203.0.113.5").asn(7922, NetworkClass::Residential).place("US", 40.7, -74.0);
    let in_hotel = |minute| hotel(new(home(minute))).agent("Chrome/140");
    let office = |one: TestEvent| one.ip("62.9.9.9").asn(680, NetworkClass::Corporate);
    let at_office = |minute| office(new(home(minute))).agent("Chrome/140");
    let by_ipv6 = |minute| on_line(new(phone(minute))).ip("2001:db8:77::5");
    let cases = [
        ("in the shop, the laptop goes on at home", vec![new(phone(0)), factor(new(phone(4))), home(30).request()]),
        ("a second one, the first goes on", vec![new(phone(0)), factor(new(phone(4))), phone(50), on_line(phone(90)).request()]),
        ("of another make", vec![other_make(0), factor(other_make(4)), home(30).request(), home(300).request()]),
        ("a laptop in the office", vec![office(home(-300)).request(), at_office(0), factor(at_office(4)), home(600).request()]),
        ("a laptop in a hotel, where the phone is", vec![hotel(phone(0)).request(), in_hotel(5), factor(in_hotel(9)), phone(40).request()]),
        ("the phone joins the hotel's Wi-Fi later", vec![in_hotel(5), hotel(phone(7)).request(), factor(in_hotel(9)), phone(40).request()]),
        ("by the other address family of the home", vec![by_ipv6(0), factor(by_ipv6(4)), home(30).request(), home(100).request()]),
    ];
    for (name, events) in cases {
        let found = with_two_devices(events);
        assert_eq!(worst(&found), None, "{name}: {found:#?}");
    }
}

#[test]
fn awkward_lives_stay_silent() {
    let factor = |one: TestEvent| one.kind(Kind::AccountChange).factor("totp");
    let hotel = |one: TestEvent| one.ip("203.0.113.5").asn(7922, NetworkClass::Residential).place("US", 40.7, -74.0);
    let web_view = |minute| hotel(ann(minute)).agent("Safari/604").session("web");
    let tablet = |minute| on_line(ann(minute)).device("tablet").agent("Safari/604").session("tablet");
    let update = |minute| home(minute).agent("Firefox/141");
    let everybody = |minute| ann(minute).service().kind(Kind::PasswordReset);
    let cases = [
        (
            "the app's web view in a café",
            vec![hotel(phone(0)).request(), web_view(2).kind(Kind::PasswordReset), web_view(4), factor(web_view(6))],
        ),
        ("a family's tablet", vec![tablet(0), factor(tablet(3)), home(10).request()]),
        ("a browser's update", vec![update(0), factor(update(3)), phone(10).request()]),
        ("a reset for everybody, away from home", vec![everybody(0), hotel(home(50)), hotel(home(52)).kind(Kind::PasswordChange)]),
        (
            "forgotten on a journey, on the own phone",
            vec![hotel(phone(0)).kind(Kind::PasswordReset), hotel(phone(2)), factor(hotel(phone(4)))],
        ),
        ("a strange client that never signs in", vec![factor(near(0)), home(10).request()]),
        ("a strange sign-in, expelled by its victim", vec![near(0), home(10).kind(Kind::PasswordChange), factor(home(12))]),
    ];
    for (name, events) in cases {
        let found = with_two_devices(events);
        assert_eq!(worst(&found), None, "{name}: {found:#?}");
    }
}

#[test]
fn every_order_of_arrival_gives_the_same_verdict() {
    let neighbour = |minute| near(minute).asn(3320, NetworkClass::Residential);
    let change = neighbour(6).kind(Kind::AccountChange).factor("totp");
    let events = [home(1), neighbour(3), change, home(8).request()];
    let mut order: Vec<usize> = (0..events.len()).collect();
    // All of them, each the next in the order of letters.
    loop {
        let found = after_past(order.iter().map(|index| events[*index].clone()));
        assert!(worst(&found) >= Some(Severity::High), "{order:?}: {found:#?}");
        let Some(at) = (1..order.len()).rev().find(|at| order[at - 1] < order[*at]) else { break };
        let next = (at..order.len()).rev().find(|next| order[*next] > order[at - 1]).unwrap();
        order.swap(at - 1, next);
        order[at..].reverse();
    }
}
