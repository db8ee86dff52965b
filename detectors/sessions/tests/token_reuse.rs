//! Scenarios of stolen sessions and tokens, and of what looks like them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{Action, EntityKind, Kind, NetworkClass, Severity};
use bartizan_sessions::token_reuse::SPEC;
use bartizan_testkit::{TestEvent, event, named, run};

const START: &str = "2026-03-02T09:00:00Z";

fn base(second: i64) -> TestEvent {
    event(START).plus_ms(second * 1_000).user("ann").session("ses-1")
}

fn home(second: i64) -> TestEvent {
    base(second)
        .ip("198.51.100.7")
        .asn(3320, NetworkClass::Residential)
        .agent("Mozilla/5.0 (iPhone) Safari/604.1")
        .ja4("t13d1516h2_aaaa_bbbb")
}

fn thief(second: i64) -> TestEvent {
    base(second).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).agent("python-requests/2.32").ja4("t13d1011h1_cccc_dddd")
}

/// The same phone on the cellular network.
fn cellular(second: i64) -> TestEvent {
    home(second).ip("192.0.2.77").asn(20057, NetworkClass::Mobile)
}

#[test]
fn an_exchanged_token_from_another_client_is_theft() {
    let found = run(&SPEC, &[home(0).refresh("r1", "r2"), home(900).refresh("r2", "r3"), thief(1_800).refresh("r1", "x1")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity), ("session:ses-1", Severity::Critical));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    assert!(found[0].actions.contains(&Action::RevokeSessions));
    assert_eq!(found[0].event_ids, ["e1", "e3"]);
}

#[test]
fn a_refused_replay_is_theft_too_and_the_owner_may_be_the_one_refused() {
    let refused = run(&SPEC, &[home(0).refresh("r1", "r2"), thief(1_800).refresh("r1", "").fail("invalid_grant")]);
    assert_eq!(refused[0].severity, Severity::High);
    let owner = [home(0).refresh("r1", "r2"), thief(600).refresh("r2", "x3"), home(1_200).refresh("r2", "").fail("invalid_grant")];
    let found = run(&SPEC, &owner);
    assert_eq!(found.len(), 1);
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"], "{found:#?}");
    assert_eq!(found[0].severity, Severity::Critical);
}

/// As an identity provider logs it, which says nothing of the client but its address.
fn unseen(second: i64, ip: &str, asn: u32) -> TestEvent {
    base(second).ip(ip).asn(asn, NetworkClass::Residential)
}

#[test]
fn where_clients_are_not_logged_another_network_after_the_successor_was_used_is_theft() {
    let own = |second| unseen(second, "198.51.100.7", 3320);
    let strange = |second| unseen(second, "203.0.113.9", 14061);
    let found = run(&SPEC, &[own(0).refresh("r1", "r2"), own(300).refresh("r2", "r3"), strange(310).refresh("r1", "x1")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity), ("session:ses-1", Severity::Critical));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    // Who comes back from the network of all earlier exchanges is the owner, whose token the thief took first.
    let owner = [
        own(0).refresh("r0", "r1"),
        own(300).refresh("r1", "r2"),
        strange(400).refresh("r2", "x3"),
        strange(700).refresh("x3", "x4"),
        own(900).refresh("r2", "r3"),
    ];
    let found = run(&SPEC, &owner);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
}

#[test]
fn where_clients_are_not_logged_a_lost_answer_or_the_own_network_stays_silent() {
    let own = |second| unseen(second, "198.51.100.7", 3320);
    // The answer was lost, or the client never keeps new tokens: nobody used the successor.
    let lost = [own(0).refresh("r1", "r2"), unseen(900, "192.0.2.77", 20057).refresh("r1", "r3")];
    let same_line = [own(0).refresh("r1", "r2"), own(300).refresh("r2", "r3"), unseen(600, "198.51.77.7", 3320).refresh("r1", "r4")];
    // Another address of who knows which network.
    let unknown = |second, ip| unseen(second, ip, 0);
    let nameless = [
        unknown(0, "198.51.100.7").refresh("r1", "r2"),
        unknown(300, "198.51.100.7").refresh("r2", "r3"),
        unknown(600, "203.0.113.9").refresh("r1", "r4"),
    ];
    for innocent in [&lost[..], &same_line, &nameless] {
        assert!(run(&SPEC, innocent).is_empty());
    }
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let found = run(&SPEC, &[thief(500).refresh("r1", "x1"), home(0).refresh("r1", "r2")]);
    assert_eq!(found.len(), 1);
}

#[test]
fn races_retries_and_lost_answers_stay_silent() {
    let innocent = [
        vec![home(0).refresh("r1", "r2"), home(1).refresh("r1", "r3"), home(2).refresh("r1", "").fail("invalid_grant")],
        vec![home(0).refresh("r1", "r2"), cellular(20).refresh("r1", "r3")],
        vec![home(0).refresh("r1", "r2"), home(7_200).refresh("r1", "r3")],
        vec![home(0).refresh("r1", "r2"), cellular(7_200).refresh("r1", "r3"), cellular(7_260).refresh("r3", "r4")],
        vec![home(0).device("d1").refresh("r1", "r2"), thief(300).device("d1").refresh("r1", "r3")],
    ];
    for (number, events) in innocent.iter().enumerate() {
        assert!(run(&SPEC, events).is_empty(), "case {number}");
    }
}

/// How two honest uses of one session meet: tabs, a lost answer, a phone that changes networks, two processes of an app.
/// `number` gives the kind and the times.
fn race(number: i64) -> Vec<TestEvent> {
    let (begin, apart_ms, later) = (number * 7, 1 + number * 37 % 900, 1 + number * 13 % 25);
    let of = |event: TestEvent| event.user(format!("user-{number}")).session(format!("ses-{number}"));
    let (wifi, radio) = (|second| of(home(begin + second)), |second| of(cellular(begin + second)));
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|token| format!("r{token}-{number}"));
    let mut race = match number % 6 {
        0 => vec![wifi(900).refresh(&first, &second), wifi(900).plus_ms(apart_ms).refresh(&first, &third)],
        1 => vec![wifi(900).refresh(&first, &second), wifi(900).plus_ms(apart_ms).refresh(&first, "").fail("invalid_grant")],
        2 => vec![wifi(900).refresh(&first, &second), wifi(900 + later).refresh(&first, &third)],
        3 => vec![wifi(900).refresh(&first, &second), radio(900 + later).refresh(&first, &third)],
        4 => vec![wifi(900).request(), radio(900 + later).request(), wifi(960).request(), radio(960 + later).refresh(&first, &third)],
        _ => vec![radio(900).refresh(&first, &second), wifi(900).plus_ms(apart_ms).refresh(&first, &third)],
    };
    race.insert(0, wifi(0).login());
    race.push(wifi(1_800).refresh(&third, &fourth));
    race
}

#[test]
fn of_a_thousand_races_of_honest_clients_none_ends_a_session() {
    let mut events: Vec<TestEvent> = (0..1_000).flat_map(race).collect();
    events.sort_by_key(TestEvent::time_ms);
    let found = run(&SPEC, &events);
    assert!(found.is_empty(), "{} of them: {found:#?}", found.len());
}

#[test]
fn what_the_thief_was_given_is_followed() {
    let theft = |second| thief(second).refresh("r1", "x1");
    let past = [home(-900).refresh("r0", "r1"), home(0).refresh("r1", "r2")];
    let found = run(&SPEC, &[past.as_slice(), &[theft(600), thief(1_200).refresh("x1", "x2")]].concat());
    assert_eq!(found.len(), 2);
    // Where nothing says who is who, nobody is followed.
    assert_eq!(run(&SPEC, &[home(0).refresh("r1", "r2"), theft(600), thief(1_200).refresh("x1", "x2")]).len(), 1);
}

#[test]
fn a_session_used_in_turns_is_theft() {
    let events =
        [home(0).login(), home(60).request(), thief(120).request(), home(180).request(), thief(240).request(), home(300).request()];
    let found = run(&SPEC, &events);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((found[0].severity, found[0].event_ids.last().unwrap().as_str()), (Severity::High, "e4"));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    assert_eq!(named(&found[0], EntityKind::Session), ["ses-1"]);
}

#[test]
fn a_change_by_the_thief_is_critical() {
    let events = [home(0).login(), thief(120).kind(Kind::AccountChange), home(180).request()];
    assert_eq!(run(&SPEC, &events)[0].severity, Severity::Critical);
}

#[test]
fn a_thief_with_the_owners_provider_in_another_region_is_told() {
    let owner = |second| home(second).place("US", 47.6, -122.3).region("Washington");
    let thief = |second| thief(second).asn(3320, NetworkClass::Residential);
    let turns = |thief: TestEvent| run(&SPEC, &[owner(0).login(), owner(60).request(), thief.request(), owner(180).request()]).len();
    assert_eq!(turns(thief(120).place("US", 25.8, -80.2).region("Florida")), 1);
    assert_eq!(turns(thief(120).place("US", 47.5, -122.2).region("Washington")), 0, "an app and its web view");
    assert_eq!(turns(thief(120).place("US", 25.8, -80.2).region("Florida").asn(3320, NetworkClass::Mobile)), 0, "a carrier's gateway");
}

#[test]
fn a_thief_known_from_a_theft_before_is_told_when_refused_after_the_end() {
    let stolen = [home(0).login(), thief(120).request(), home(180).request(), home(200).kind(Kind::Logout)];
    let refused = thief(3_000).refresh("r1", "").fail("revoked");
    let found = run(&SPEC, &[stolen.as_slice(), &[refused]].concat());
    assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::High, Severity::Medium], "{found:#?}");
}

#[test]
fn turns_are_found_out_of_order() {
    let events = [home(0).login(), home(60).request(), home(180).request(), thief(120).request()];
    let found = run(&SPEC, &events);
    assert_eq!(found.len(), 1);
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
}

#[test]
fn a_token_without_a_session_is_followed_by_itself() {
    let bare = |e: TestEvent| e.session("").token("t1").request();
    let found = run(&SPEC, &[bare(home(0)), bare(thief(60)), bare(home(120))]);
    assert_eq!(found.len(), 1);
    assert!(found[0].key.starts_with("token:hash:"));
    assert!(found[0].actions.contains(&Action::RevokeTokens));
}

#[test]
fn moving_between_networks_stays_silent() {
    let innocent = [
        vec![home(0).login(), cellular(60).request(), home(120).request(), cellular(180).request()],
        vec![home(0).login(), home(60).ip("2001:db8::7").request(), home(120).request()],
        vec![home(0).login(), home(60).agent("Mozilla/5.0 (iPhone) Safari/605.2").request(), home(120).request()],
        vec![home(0).login(), home(60).ja4("t13d1517h2_aaaa_eeee").request(), home(120).request()],
        // Home, then the office's other browser with a copied link: one way.
        vec![home(0).login(), home(60).request(), thief(3_600).request(), thief(3_660).request()],
        // A back end that shares the session from its start.
        vec![home(0).login(), thief(1).request(), home(60).request(), thief(61).request(), home(120).request()],
        // A VPN switched on and off.
        vec![home(0).login(), home(60).ip("203.0.113.200").asn(9009, NetworkClass::Vpn).request(), home(120).request()],
        // Refused attempts are no use.
        vec![home(0).login(), thief(60).request().fail("expired"), home(120).request()],
        // A program's session.
        vec![home(0).service().request(), thief(60).service().request(), home(120).service().request()],
    ];
    for (number, events) in innocent.iter().enumerate() {
        assert!(run(&SPEC, events).is_empty(), "case {number}");
    }
}

#[test]
fn use_after_sign_out_by_a_stranger_is_theft() {
    let out = |second| home(second).kind(Kind::Logout);
    let found = run(&SPEC, &[home(0).login(), out(600), thief(1_200).request()]);
    assert_eq!(found.len(), 1);
    assert!(found[0].reason.contains("10 minutes after"), "{}", found[0].reason);
    assert_eq!(run(&SPEC, &[home(0).login(), thief(1_200).request(), out(700)]).len(), 1, "late sign-out");
    let innocent = [
        vec![home(0).login(), out(600), cellular(620).request()],
        vec![home(0).login(), out(600), home(1_200).request()],
        vec![home(0).login(), out(600), cellular(1_200).request().fail("expired")],
        vec![home(0).login(), out(600), home(1_200).refresh("r1", "").fail("invalid_grant")],
        vec![home(0).login(), out(600), thief(1_200).login(), thief(1_260).request()],
    ];
    for (number, events) in innocent.iter().enumerate() {
        assert!(run(&SPEC, events).is_empty(), "case {number}");
    }
}

#[test]
fn a_revoked_token_in_a_strangers_hands_is_theft() {
    let mine = |second| home(second).session("").token("t1");
    let revoke = base(300).session("").token("t1").kind(Kind::TokenRevoke).ip("10.0.0.1");
    let found = run(&SPEC, &[mine(0).request(), revoke.clone(), thief(900).session("").token("t1").request()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(run(&SPEC, &[mine(0).request(), revoke, mine(900).request()]).is_empty());
}

#[test]
fn a_revoked_token_of_a_session_in_a_strangers_hands_is_theft() {
    let revoke = home(300).token("t1").kind(Kind::TokenRevoke);
    let found = run(&SPEC, &[home(0).login(), home(60).token("t1").request(), revoke.clone(), thief(900).token("t1").request()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let other = [home(0).login(), home(60).token("t1").request(), revoke, cellular(900).token("t2").request()];
    assert!(run(&SPEC, &other).is_empty(), "another token of the session lives on");
}

#[test]
fn an_id_that_many_users_share_is_no_session() {
    let events: Vec<_> = (0..40).map(|n| if n % 2 == 0 { home(n * 60) } else { thief(n * 60).user("bob") }.request()).collect();
    assert!(run(&SPEC, &events).is_empty());
}

#[test]
fn a_stranger_refused_after_sign_out_is_an_attempt() {
    let events = [home(0).login(), home(600).kind(Kind::Logout), thief(1_200).refresh("r1", "").fail("invalid_grant")];
    let found = run(&SPEC, &events);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].severity, found[0].key.as_str()), (Severity::Medium, "session:ses-1"));
    assert!(found[0].subjects.iter().all(|s| !s.hit) && found[0].actions.is_empty());
}
