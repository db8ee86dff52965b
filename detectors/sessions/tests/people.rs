//! Scenarios in which it matters whose session it is: after a change of the password, and behind a phishing proxy.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{Action, EntityKind, Finding, Kind, NetworkClass, Said, Severity};
use bartizan_sessions::token_reuse::SPEC;
use bartizan_testkit::{Runner, TestEvent, contract, event, named, run};

const START: &str = "2026-03-12T09:00:00Z";
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn base(second: i64) -> TestEvent {
    event(START).plus_ms(second * 1_000).user("ann")
}

fn laptop(second: i64) -> TestEvent {
    let who = base(second).ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.5, 13.4);
    who.agent("Mozilla/5.0 (Windows) Firefox/140").ja4("t13_aaaa_b").device("laptop").session("laptop's")
}

fn phone(second: i64) -> TestEvent {
    laptop(second).agent("Acme/7 (iPhone)").ja4("t13_bbbb_c").device("phone").session("phone's")
}

fn cellular(one: TestEvent) -> TestEvent {
    one.ip("192.0.2.77").asn(20057, NetworkClass::Mobile)
}

/// The session "old" in its owner's hands.
fn owned() -> TestEvent {
    phone(-HOUR).session("old").request()
}

/// A client that is nobody's, with a session that somebody else began.
fn thief(second: i64, session: &str) -> TestEvent {
    let who = base(second).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).place("US", 40.7, -74.0);
    who.agent("Mozilla/5.0 (X11; Linux) Chrome/141").ja4("t13_cccc_d").session(session)
}

/// An application's back end, or a thief's script.
fn script(second: i64, session: &str) -> TestEvent {
    thief(second, session).agent("python-requests/2.32")
}

/// Ten days on which laptop and phone sign in.
fn past() -> Vec<TestEvent> {
    (-10..0).flat_map(|day| [laptop(day * DAY).login(), phone(day * DAY + 600).login()]).collect()
}

fn after(past: Vec<TestEvent>, events: &[TestEvent]) -> Vec<Finding> {
    run(&SPEC, &[past.as_slice(), events].concat())
}

fn found(events: &[TestEvent]) -> Vec<Finding> {
    after(past(), events)
}

/// Gates of what was held back.
fn held(events: &[TestEvent]) -> Vec<&'static str> {
    let mut runner = Runner::new(&SPEC, 1);
    runner.feed(&past());
    let said = runner.ask(events).into_iter();
    said.filter_map(|said| if let Said::Excuse(excuse) = said { Some(excuse.gate) } else { None }).collect()
}

fn silent(cases: &[Vec<TestEvent>]) {
    for (number, events) in cases.iter().enumerate() {
        let found = found(events);
        assert!(found.is_empty(), "case {number}: {found:#?}");
    }
}

#[test]
fn a_strangers_session_that_lives_on_after_the_password_was_changed_is_theft() {
    for kind in [Kind::PasswordChange, Kind::PasswordReset] {
        let found = found(&[owned(), laptop(0).kind(kind), thief(HOUR, "old").request(), thief(HOUR + 9, "old").request()]);
        assert_eq!(found.len(), 1, "{kind}: {found:#?}");
        assert_eq!((found[0].key.as_str(), found[0].severity), ("session:old", Severity::High));
        assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
        assert!(found[0].actions.contains(&Action::RevokeSessions));
        assert!(found[0].reason.contains("60 minutes") && found[0].reason.contains("24 hours"), "{}", found[0].reason);
    }
}

#[test]
fn a_session_that_had_no_other_client_goes_on_after_the_change() {
    // A phone that only ever signed in through a relay is nobody's by what is known of people.
    let unknown = |second| thief(second, "from the start");
    assert!(found(&[unknown(-HOUR).request(), laptop(0).kind(Kind::PasswordChange), unknown(HOUR).request()]).is_empty());
    assert_eq!(held(&[unknown(-HOUR).request(), laptop(0).kind(Kind::PasswordChange), unknown(HOUR).request()]), ["half_proved"]);
}

#[test]
fn a_strangers_refresh_token_after_a_reset_by_the_help_desk_is_theft() {
    let reset = base(0).kind(Kind::PasswordReset).ip("10.0.0.1").agent("help desk");
    let found = found(&[owned(), reset, thief(600, "old").refresh("r1", "r2")]);
    assert_eq!((found.len(), found[0].severity), (1, Severity::High), "{found:#?}");
}

#[test]
fn a_script_with_what_was_another_clients_before_the_change_is_theft() {
    let phones = |second, presented: &str, issued: &str| phone(second).refresh(presented, issued);
    let found = found(&[phones(-HOUR, "p1", "p2"), laptop(0).kind(Kind::PasswordChange), script(HOUR, "phone's").refresh("p2", "p3")]);
    assert_eq!((found.len(), found[0].severity), (1, Severity::High), "{found:#?}");
    let minted = [proxy(0).login(), script(600, "minted").request()];
    assert_eq!(self::found(&minted).len(), 1, "signed in from a data centre as well");
}

#[test]
fn refused_after_the_change_it_was_an_attempt_until_it_gets_in() {
    let refused = |second| thief(second, "old").refresh("r1", "").fail("invalid_grant");
    let events = [owned(), laptop(0).kind(Kind::PasswordChange), refused(600), refused(700), thief(800, "old").request()];
    let found = found(&events);
    assert_eq!(found.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Medium, Severity::High], "{found:#?}");
    assert!(found[0].actions.is_empty() && found[0].subjects.iter().all(|subject| !subject.hit));
}

#[test]
fn a_thief_who_changed_the_password_does_not_make_the_owner_one() {
    silent(&[vec![thief(0, "stolen").kind(Kind::PasswordChange), laptop(HOUR).request(), cellular(phone(2 * HOUR)).request()]]);
}

#[test]
fn what_goes_on_after_a_change_of_the_password_is_silent() {
    let changed = || laptop(0).kind(Kind::PasswordChange);
    silent(&[
        // The other devices live on for hours, at home and elsewhere.
        vec![changed(), phone(HOUR).request(), cellular(phone(5 * HOUR)).request(), cellular(phone(20 * HOUR)).refresh("r1", "r2")],
        // A stale phone is refused.
        vec![changed(), cellular(phone(HOUR)).refresh("r1", "").fail("invalid_grant")],
        // The laptop moves.
        vec![changed(), laptop(3 * HOUR).ip("192.0.2.200").asn(9009, NetworkClass::Vpn).request()],
        // An application's back end has the phone's session, as ever.
        vec![
            script(-HOUR, "app's").refresh("a1", "a2"),
            changed(),
            script(HOUR, "app's").request(),
            script(HOUR, "app's").refresh("a2", "a3"),
        ],
        // Another browser, at home.
        vec![changed(), laptop(HOUR).device("").agent("Mozilla/5.0 Chrome/140").ja4("t13_zzzz_d").session("old").request()],
        // Signed in with the new password: a matter of other detectors.
        vec![changed(), thief(HOUR, "new").login(), thief(HOUR + 60, "new").request()],
        vec![changed(), thief(HOUR, "new").kind(Kind::TokenIssue), thief(HOUR + 60, "new").request()],
        vec![changed(), thief(HOUR, "").login(), thief(HOUR + 60, "new").request()],
        // Days later.
        vec![changed(), thief(2 * DAY, "old").request()],
        // Before it, told late; and at the same time.
        vec![changed(), thief(-60, "old").request(), thief(5, "old").request()],
        // A change that failed.
        vec![changed().fail("bad_password"), thief(HOUR, "old").request()],
        // Somebody else's, and a program.
        vec![changed(), thief(HOUR, "old").user("bob").request(), thief(HOUR, "old").service().request()],
    ]);
}

#[test]
fn of_whom_nothing_is_known_nothing_is_strange() {
    assert!(after(Vec::new(), &[laptop(0).kind(Kind::PasswordChange), thief(HOUR, "old").request()]).is_empty());
}

/// A sign-in through a proxy: the victim's program, the proxy's line and TLS.
fn proxy(second: i64) -> TestEvent {
    laptop(second)
        .device("")
        .ip("203.0.113.50")
        .asn(16276, NetworkClass::Hosting)
        .place("FR", 48.8, 2.3)
        .ja4("t13_goes_x")
        .session("minted")
}

#[test]
fn a_session_minted_behind_a_proxy_and_used_elsewhere_is_theft() {
    let found = found(&[proxy(0).login(), thief(600, "minted").request(), thief(660, "minted").request()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity), ("session:minted", Severity::High));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.50", "203.0.113.9"]);
    assert_eq!(found[0].event_ids, ["e21", "e22"]);
    assert!(found[0].reason.contains("10 minutes") && found[0].reason.contains("60 minutes"), "{}", found[0].reason);
    assert!(found[0].actions.contains(&Action::RevokeSessions));
}

#[test]
fn relays_in_the_victims_country_and_vpns_are_seen_through() {
    let near =
        |second| proxy(second).ip("84.1.1.1").asn(6805, NetworkClass::Residential).place("DE", 52.5, 13.4).agent("Mozilla/5.0 Chrome/99");
    let vpn = |second| proxy(second).ip("185.9.9.9").asn(9009, NetworkClass::Vpn);
    for mint in [near(0), vpn(0)] {
        assert_eq!(found(&[mint.login(), thief(600, "minted").refresh("r1", "r2")]).len(), 1);
    }
}

#[test]
fn what_an_own_sign_in_or_an_own_line_explains_is_no_proxy() {
    let vpn = |second: i64| laptop(second).ip("185.9.9.9").asn(9009, NetworkClass::Vpn).session("s");
    let back_end = |second| script(second, "s");
    silent(&[
        // Signed in at home; the rest goes through the company's VPN, or an app's back end.
        vec![laptop(0).session("s").login(), vpn(60).device("").agent("Acme CLI").ja4("t13_cli_x").request()],
        vec![laptop(0).session("s").login(), back_end(60).request()],
        // A new VPN for the browser, the app beside it.
        vec![vpn(0).device("").login(), phone(60).session("s").request()],
        // The same browser, on and off the VPN.
        vec![vpn(0).device("").login(), laptop(60).device("").session("s").request()],
        // Signed in in the phone's browser on a strange Wi-Fi, used by the app there.
        vec![
            proxy(0).asn(6805, NetworkClass::Residential).agent("Mozilla/5.0 (iPhone) Safari").login(),
            proxy(60).asn(6805, NetworkClass::Residential).agent("Acme/7 (iPhone)").request(),
        ],
        // Later than an hour, and another session.
        vec![proxy(0).login(), thief(2 * HOUR, "minted").request()],
        vec![proxy(0).login(), thief(600, "other").request()],
        // Refused, and a program.
        vec![proxy(0).login(), thief(600, "minted").request().fail("expired")],
        vec![proxy(0).login(), thief(600, "minted").service().request()],
        vec![proxy(0).login().fail("bad_password"), thief(600, "minted").request()],
    ]);
}

#[test]
fn what_speaks_for_a_strange_sign_in_is_written_down() {
    let vpn = laptop(0).ip("185.9.9.9").asn(9009, NetworkClass::Vpn).session("minted");
    let relay =
        laptop(0).device("").ip("172.224.1.1").asn(36183, NetworkClass::Relay).agent("Mozilla/5.0 (iPhone) Safari").session("minted");
    let back_end = |second| script(second, "minted");
    let cases = [
        // The provider's or the app's own back end takes over at once: a part of the sign-in.
        (vec![proxy(0).login(), back_end(2).kind(Kind::TokenIssue), back_end(60).request()], "from_start"),
        (vec![proxy(0).login(), back_end(3).request(), back_end(60).request()], "from_start"),
        // Apple's relay is for the browser only.
        (vec![relay.login(), cellular(phone(60)).device("new").session("minted").request()], "relay"),
        // An own client goes on.
        (vec![vpn.clone().device("").login(), cellular(phone(60)).session("minted").request()], "own_client"),
        // An application's back end takes over, later.
        (vec![vpn.clone().device("").login(), script(600, "minted").request()], "back_end"),
        (vec![laptop(0).kind(Kind::PasswordChange), script(600, "app's").request()], "back_end"),
        // The session lives on where it began as well.
        (vec![proxy(0).login(), proxy(300).request(), thief(600, "minted").request()], "lives_on"),
    ];
    for (events, gate) in cases {
        assert!(found(&events).is_empty(), "{gate}");
        assert!(held(&events).contains(&gate), "{gate}: {:?}", held(&events));
    }
}

/// A browser that is not the laptop's, in a data centre, which shows no device.
fn away(second: i64) -> TestEvent {
    thief(second, "laptop's")
}

/// The laptop's session at home, hours ago, and what somebody else does with it now: five uses in four minutes.
fn carried(uses: impl Fn(i64) -> TestEvent) -> Vec<TestEvent> {
    let at_home = [laptop(-5 * HOUR).login(), laptop(-5 * HOUR + 60).request(), laptop(-4 * HOUR).request()];
    at_home.into_iter().chain((0..5).map(|n| uses(n * MINUTE))).collect()
}

fn found_carried(uses: impl Fn(i64) -> TestEvent) -> Vec<Finding> {
    found(&carried(uses))
}

#[test]
fn a_session_that_a_stranger_goes_on_with_while_its_owner_is_away_is_theft() {
    let found = found_carried(|at| away(at).request());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity), ("session:laptop's", Severity::High));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    assert!(found[0].actions.contains(&Action::RevokeSessions));
    assert!(found[0].reason.contains("3 times over 2 minutes (limits 3 and 60 seconds)"), "{}", found[0].reason);
    // The owner comes back hours later, and all goes on.
    let back = (0..5).flat_map(|n| [laptop(4 * HOUR + n * 60).request(), laptop(6 * HOUR + n * 60).request()]);
    assert_eq!(self::found(&carried(|at| away(at).request()).into_iter().chain(back).collect::<Vec<_>>()).len(), 1);
}

#[test]
fn each_ground_for_another_client_is_enough() {
    let cases = [
        ("another browser", found_carried(|at| away(at).agent("Mozilla/5.0 (Windows) Chrome/141").request())),
        ("another system", found_carried(|at| away(at).agent("Mozilla/5.0 (Macintosh) Firefox/140").request())),
        ("the same browser on another device, where nobody lives", {
            found_carried(|at| away(at).agent("Mozilla/5.0 (Windows) Firefox/140").ja4("t13_aaaa_b").device("other").request())
        }),
        ("the same behind a VPN", {
            let vpn = |at| away(at).asn(9009, NetworkClass::Vpn).agent("Mozilla/5.0 (Windows) Firefox/140").ja4("t13_aaaa_b");
            found_carried(move |at| vpn(at).device("other").request())
        }),
        ("a script", found_carried(|at| script(at, "laptop's").request())),
        ("at somebody's home", found_carried(|at| away(at).asn(6805, NetworkClass::Residential).place("DE", 48.1, 11.6).request())),
        ("on a phone abroad", found_carried(|at| away(at).asn(31_430, NetworkClass::Mobile).place("BR", -23.5, -46.6).request())),
        ("refreshing", found_carried(|at| away(at).refresh(&format!("r{at}"), &format!("r{}", at + 60)))),
    ];
    for (name, found) in cases {
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
    }
}

#[test]
fn an_own_client_elsewhere_is_no_thief() {
    let hosting = |one: TestEvent| one.ip("203.0.113.9").asn(14061, NetworkClass::Hosting).place("US", 40.7, -74.0);
    let vpn = |one: TestEvent| one.ip("185.9.9.9").asn(9009, NetworkClass::Vpn).place("NL", 52.4, 4.9);
    let hotel = |one: TestEvent| one.ip("81.1.1.1").asn(3215, NetworkClass::Residential).place("FR", 48.8, 2.3);
    let page = |at| laptop(at).device("").session("phone's").agent("Mozilla/5.0 (iPhone) Mobile/15E148").ja4("t13_page_c");
    let app = |uses: &dyn Fn(i64) -> TestEvent| {
        let at_home = [phone(-5 * HOUR).login(), phone(-4 * HOUR).request()];
        at_home.into_iter().chain((0..5).map(|n| uses(n * MINUTE))).collect::<Vec<_>>()
    };
    silent(&[
        // The browser was updated in the night, and a VPN switched on for the first time; with device ids and without.
        carried(|at| vpn(laptop(at)).agent("Mozilla/5.0 (Windows) Firefox/141").request()),
        carried(|at| vpn(laptop(at)).device("").agent("Mozilla/5.0 (Windows) Firefox/141").request()),
        // A company's gateway in the cloud looks into TLS.
        carried(|at| hosting(laptop(at)).device("").ja4("t13_goes_x").request()),
        // Split tunnel: some of it through the company's network, some not.
        carried(|at| if at % 120 == 0 { laptop(at).request() } else { hosting(laptop(at)).device("").request() }),
        // Wi-Fi to cellular, also roaming, and the pages within the app.
        app(&|at| cellular(phone(at)).request()),
        app(&|at| cellular(phone(at)).place("ES", 40.4, -3.7).request()),
        app(&|at| cellular(page(at)).request()),
        app(&|at| hotel(page(at)).request()),
        app(&|at| vpn(page(at)).request()),
        app(&|at| hosting(page(at)).request()),
        // Apple's relay for the pages, none for the app.
        app(&|at| page(at).ip("172.224.1.1").asn(36183, NetworkClass::Relay).request()),
        carried(|at| away(at).asn(36183, NetworkClass::Relay).request()),
        // The other address family of the line.
        carried(|at| laptop(at).device("").ip("2001:db8::7").request()),
        // A phone that was handed the session, at its carrier.
        carried(|at| away(at).asn(31_430, NetworkClass::Mobile).place("DE", 52.5, 13.4).request()),
        // Another browser of this person's line, and of a device of theirs.
        carried(|at| away(at).ip("198.51.100.9").asn(3320, NetworkClass::Residential).place("DE", 52.5, 13.4).request()),
        carried(|at| hotel(phone(at)).session("laptop's").request()),
        // Looked through for viruses: a few requests at once.
        carried(|at| away(at / 20).request()),
        // Refused.
        carried(|at| away(at).request().fail("expired")),
    ]);
}

#[test]
fn a_session_that_was_begun_elsewhere_is_at_home_there() {
    // A remote desktop, or a browser in the cloud, that the person signs in on; the same from home later.
    let desktop = |at| away(at).session("desktop's");
    let begun = [desktop(0).login(), desktop(60).request(), desktop(900).request(), desktop(HOUR).request()];
    silent(&[
        begun.to_vec(),
        begun.iter().cloned().chain((0..5).map(|n| laptop(2 * HOUR + n * 60).session("desktop's").request())).collect(),
        // Signed in on it to a session that was begun at home.
        carried(|at| if at == 0 { away(at).login() } else { away(at).request() }),
        // The provider's back end has it from the start.
        with_back_end(|at| script(at, "new").request()),
    ]);
    let found = self::found(&with_back_end(|at| thief(at, "new").request()));
    assert_eq!(found.len(), 1, "a thief beside the back end: {found:#?}");
}

/// The session of a sign-in that a back end shares from its start, and what is done with it hours later.
fn with_back_end(uses: impl Fn(i64) -> TestEvent) -> Vec<TestEvent> {
    let begun = [laptop(-5 * HOUR).session("new").login(), script(-5 * HOUR + 2, "new").request()];
    begun.into_iter().chain((0..5).map(|n| uses(n * MINUTE))).collect()
}

/// The sessions of several people, one after the other, in the hands of one program.
fn served(people: &[&str], program: impl Fn(i64, &str) -> TestEvent) -> Vec<TestEvent> {
    let life = |(number, name): (usize, &&str)| {
        let (at, session) = (number as i64 * HOUR, format!("session-of-{name}"));
        let of = |one: TestEvent| one.user(*name).session(&session);
        let days = (-10..0).map(|day| of(laptop(day * DAY)).login());
        let uses = (0..5).map(|n| program(at + n * 60, &session).user(*name).request()).collect::<Vec<_>>();
        days.chain([of(laptop(at - 30 * MINUTE)).request()]).chain(uses).collect::<Vec<_>>()
    };
    let mut events = people.iter().enumerate().flat_map(life).collect::<Vec<_>>();
    events.sort_by_key(TestEvent::time_ms);
    events
}

#[test]
fn a_program_that_has_the_sessions_of_many_is_a_back_end_and_a_browser_is_not() {
    let people = ["ann", "bob", "cid", "dan", "eve"];
    let mut runner = Runner::new(&SPEC, 4);
    let said = runner.ask(&served(&people, script));
    let told = said.iter().filter(|said| matches!(said, Said::Finding(_))).count();
    let excused = said.iter().filter(|said| matches!(said, Said::Excuse(excuse) if excuse.gate == "back_end")).count();
    assert_eq!((told, excused), (2, 3), "until three people have it");
    assert_eq!(run(&SPEC, &served(&people, thief)).len(), 5);
}

#[test]
fn of_the_person_and_the_session_neither_proves_a_theft_alone() {
    // Of whom nothing is known nothing is strange, however strange the client is to the session.
    let said = Runner::new(&SPEC, 3).ask(&carried(|at| away(at).request()));
    assert!(!said.iter().any(|said| matches!(said, Said::Finding(_))), "{said:#?}");
    assert!(said.iter().any(|said| matches!(said, Said::Excuse(excuse) if excuse.gate == "half_proved")), "{said:#?}");
    // One told behind a proxy, or after a change of the password, is not told again.
    let minted: Vec<_> = [proxy(0).login()].into_iter().chain((0..5).map(|n| thief(600 + n * 60, "minted").request())).collect();
    assert_eq!(found(&minted).len(), 1);
    let outlived: Vec<_> =
        [owned(), laptop(0).kind(Kind::PasswordChange)].into_iter().chain((0..5).map(|n| thief(600 + n * 60, "old").request())).collect();
    assert_eq!(found(&outlived).len(), 1);
}

#[test]
fn slices_batches_and_reloads_change_nothing() {
    let mut events = past();
    events.push(laptop(0).kind(Kind::PasswordChange));
    for n in 0..40 {
        let who = |one: TestEvent| if n % 3 == 0 { one.user("bob") } else { one };
        events.extend([
            who(proxy(n * 900)).login(),
            who(thief(n * 900 + 30, "minted")).request(),
            who(thief(n * 900 + 60, "old")).request(),
        ]);
        events.extend([
            phone(n * 900 + 70).request(),
            thief(n * 900 + 75, "phone's").request(),
            thief(n * 900 + 80, "old").agent(format!("Mozilla/5.0 {}", word(n))).refresh("r1", "r2"),
        ]);
    }
    assert!(run(&SPEC, &events).len() > 5);
    for check in [contract::is_deterministic, contract::survives_reload, contract::looks_at_all_that_matters] {
        assert_eq!(check(&SPEC, &events), Ok(()));
        assert_eq!(check(&SPEC, &served(&["ann", "bob", "cid", "dan"], script)), Ok(()));
    }
}

/// Another kind of program for each number.
fn word(number: i64) -> char {
    (b'a' + (number % 6) as u8) as char
}
