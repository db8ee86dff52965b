//! Scenarios of walks over objects of others, and of people and programs who ask for much.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_api::api_enumeration::SPEC;
use bartizan_core::{EntityKind, Said, Severity};
use bartizan_testkit::{Runner, TestEvent, contract, event, run, worst};
use std::collections::{BTreeMap, BTreeSet};

const START: &str = "2026-03-02T09:00:00Z";
const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;

fn ann(ms: i64) -> TestEvent {
    event(START).plus_ms(ms).user("ann").session("ses-1").ip("203.0.113.9")
}

fn invoice(ms: i64, number: u64, status: u16) -> TestEvent {
    ann(ms).asks("GET", format!("/api/v1/invoices/{number}"), status)
}

/// A number that looks like chance.
fn any(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44
}

#[test]
fn guessed_ids_that_are_refused_are_an_attempt() {
    let found = run(&SPEC, &(0..40).map(|n| invoice(n * 2_000, any(n as u64), 404)).collect::<Vec<_>>());
    assert_eq!(worst(&found), Some(Severity::Medium), "{found:#?}");
    assert!((8..=14).contains(&found.len()), "from about the thirtieth on: {}", found.len());
    assert_eq!(found[0].key, "user:ann");
    let named: Vec<_> = found[0].subjects.iter().map(|subject| (subject.kind, subject.value.as_str())).collect();
    assert_eq!(named, [(EntityKind::User, "ann"), (EntityKind::Session, "ses-1"), (EntityKind::Ip, "203.0.113.9")]);
    assert!(found[0].reason.contains("100 % of the requests refused (limit 50 %)"), "{}", found[0].reason);
}

#[test]
fn one_number_after_the_other_is_a_hit_where_it_is_granted() {
    let walk = |status, step: u64, gap| (0..260).map(move |n: i64| invoice(n * gap, 40_000 + n as u64 * step, status)).collect::<Vec<_>>();
    assert_eq!(worst(&run(&SPEC, &walk(200, 1, 3_000))), Some(Severity::High), "fast");
    assert_eq!(worst(&run(&SPEC, &walk(200, 3, 3_000))), Some(Severity::High), "each third");
    assert_eq!(worst(&run(&SPEC, &walk(200, 1, 4 * MINUTE))), Some(Severity::High), "patient: over a day");
    assert_eq!(worst(&run(&SPEC, &walk(403, 1, 3_000))), Some(Severity::Medium), "refused");
    let deletes: Vec<_> = (0..80).map(|n| ann(n * 3_000).asks("DELETE", format!("/api/v1/invoices/{n}"), 204)).collect();
    assert_eq!(worst(&run(&SPEC, &deletes)), Some(Severity::Critical));
}

#[test]
fn far_more_than_ever_is_a_hit() {
    let usual = (0..3).flat_map(|day| (0..12).map(move |n| invoice(day * DAY + n * 9 * MINUTE, any(n as u64 + day as u64 * 50), 200)));
    let theft = (0..700).map(|n| invoice(3 * DAY + n * 60_000, any(n as u64 + 900), 200));
    let found = run(&SPEC, &usual.chain(theft).collect::<Vec<_>>());
    assert_eq!(worst(&found), Some(Severity::High));
    assert!(found[0].reason.contains("on a usual day (limit 10 times that)"), "{}", found[0].reason);
}

#[test]
fn paths_that_are_not_there_are_a_scan_of_whoever_asks() {
    let probe = |n: i64| {
        event(START).plus_ms(n * 900).ip("203.0.113.77").asks(
            "GET",
            format!("/{}.php", ["wp", "old", "cgi"][n as usize % 3].repeat(1 + n as usize / 3)),
            404,
        )
    };
    let found = run(&SPEC, &(0..60).map(probe).collect::<Vec<_>>());
    assert_eq!((worst(&found), found[0].key.as_str()), (Some(Severity::Medium), "ip:203.0.113.77"));
}

#[test]
fn people_and_programs_who_ask_for_much_stay_silent() {
    let desk = |day: i64| {
        (0..160).map(move |n: i64| invoice(day * DAY + n * 3 * MINUTE, any((day * 200 + n) as u64), if n % 40 == 7 { 404 } else { 200 }))
    };
    let page = |n: i64| ann(n * 1_000).asks("GET", format!("/api/v1/orders?page={n}"), 200);
    let page_in_path = |n: i64| ann(n * 1_000).asks("GET", format!("/catalog/page/{n}"), 200);
    let export = |n: i64| invoice(n * 100, 1 + n as u64, 200).service();
    let screen = |n: i64| ann(n * 30).asks("GET", format!("/api/v1/items/{}", 700 + n), 200);
    let tickets = |day: i64| {
        (0..110).map(move |n: i64| ann(day * DAY + n * 5 * MINUTE).asks("GET", format!("/tickets/{}", 9_000 + day * 110 + n), 200))
    };
    let innocent: [(&str, Vec<TestEvent>); 9] = [
        ("a support desk from its first day on", (0..5).flat_map(desk).collect()),
        ("tickets one after the other, at the pace of people", (0..5).flat_map(tickets).collect()),
        ("pages of a list", (0..400).map(page).collect()),
        ("pages in the path", (0..400).map(page_in_path).collect()),
        ("an export job", (0..5_000).map(export).collect()),
        ("one screen with forty things", (0..40).map(screen).collect()),
        ("a broken link, again and again", (0..300).map(|n| invoice(n * 700, 17, 404)).collect()),
        ("a route that is broken for everybody", (0..20).map(|n| invoice(n * 2_000, any(n as u64), 404)).collect()),
        ("own objects, synchronised by a phone", (0..400).map(|n| invoice(n * 50, any(n as u64), 200)).collect()),
    ];
    for (name, events) in innocent {
        assert_eq!(worst(&run(&SPEC, &events)), None, "{name}");
    }
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut events: Vec<_> = (0..60).map(|n| invoice(n * 20_000, any(n as u64), 404)).collect();
    let ordered = worst(&run(&SPEC, &events));
    (0..events.len() - 7).step_by(4).for_each(|at| events.swap(at, at + 7));
    assert_eq!((ordered, worst(&run(&SPEC, &events))), (Some(Severity::Medium), Some(Severity::Medium)));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut runner = Runner::new(&SPEC, 1);
    for round in 0..40 {
        let paths =
            (0..250).map(|n| ann((round * 250 + n) * 100).asks("GET", format!("/r{}/{}/x", (round * 250 + n) % 97, n * round), 404));
        runner.feed(&paths.collect::<Vec<_>>());
    }
    assert!(runner.bytes() < 24_000, "{} bytes for one principal and what is known of its tenant", runner.bytes());
    let mut runner = Runner::new(&SPEC, 1);
    runner.feed(&(0..1_000).map(|n| invoice(n * 100, n as u64 % 3, 200).user(format!("u{n}"))).collect::<Vec<_>>());
    assert!(runner.bytes() / 1_000 < 450, "{} bytes for a principal with a few objects", runner.bytes() / 1_000);
}

/// Days on which people each ask for some of their own invoices, so that they and the route are known.
fn usual_days(people: u64, days: i64, each: i64) -> Vec<TestEvent> {
    let one = move |day: i64, who: u64, n: i64| {
        let asked = ann(day * DAY + n * 7 * MINUTE + who as i64 * 1_000).session(format!("s{who}")).ip(&format!("198.51.100.{who}"));
        asked.user(format!("peer{who}")).asks("GET", format!("/api/v1/invoices/{}", any(who * 1_000 + n as u64)), 200)
    };
    in_order((0..days).flat_map(|day| (0..people).flat_map(move |who| (0..each).map(move |n| one(day, who, n)))))
}

fn in_order(events: impl IntoIterator<Item = TestEvent>) -> Vec<TestEvent> {
    let mut events: Vec<_> = events.into_iter().collect();
    events.sort_by_key(TestEvent::time_ms);
    events
}

/// What peers do at some time of a day, each a little later than the one before.
fn peers(people: u64, day: i64, each: i64, does: impl Fn(TestEvent, u64, i64) -> TestEvent) -> Vec<TestEvent> {
    let at = |who: u64, n: i64| ann(day * DAY + n * 2_000 + who as i64 * 60).session(format!("s{who}")).ip(&format!("198.51.100.{who}"));
    let one = |who: u64, n: i64| does(at(who, n).user(format!("peer{who}")), who, n);
    in_order((0..people).flat_map(|who| (0..each).map(move |n| (who, n))).map(|(who, n)| one(who, n)))
}

fn after(mut before: Vec<TestEvent>, events: impl IntoIterator<Item = TestEvent>) -> Vec<TestEvent> {
    before.extend(events);
    in_order(before)
}

/// What was said of the events: the keys of what was found, and the gates that excused.
fn said(events: &[TestEvent]) -> (BTreeSet<String>, BTreeMap<&'static str, usize>) {
    let (mut keys, mut gates) = (BTreeSet::new(), BTreeMap::new());
    for said in Runner::new(&SPEC, 1).ask(events) {
        match said {
            Said::Finding(finding) => drop(keys.insert(finding.key)),
            Said::Excuse(excuse) => *gates.entry(excuse.gate).or_default() += 1,
            Said::Remark(_) | Said::Half(..) | Said::OtherHalf(_) => {}
        }
    }
    (keys, gates)
}

fn alone(key: &str) -> BTreeSet<String> {
    BTreeSet::from([key.to_owned()])
}

#[test]
fn far_more_than_peers_is_a_walk_on_the_first_day() {
    let theft = (0..500).map(|n| invoice(4 * DAY + n * 30_000, any(n as u64 + 900_000), 200));
    let found = run(&SPEC, &after(usual_days(40, 5, 8), theft.clone()));
    assert_eq!((worst(&found), found[0].key.as_str()), (Some(Severity::High), "user:ann"));
    assert!(found[0].reason.contains("99 of 100 days of others stay below"), "{}", found[0].reason);
    assert!((180..320).contains(&found[0].event_count.max(500 - found.len() as u64)), "from 200 on: {}", found.len());
    assert_eq!(worst(&run(&SPEC, &theft.clone().collect::<Vec<_>>())), None, "nothing is known of peers");
    assert_eq!(worst(&run(&SPEC, &after(usual_days(40, 5, 60), theft))), None, "peers ask for sixty a day");
}

#[test]
fn one_object_each_half_minute_for_hours_is_a_walk_in_any_order() {
    let slow = |status| (0..600).map(move |n| invoice(4 * DAY + n * 30_000, any(n as u64 + 7_000), status)).collect::<Vec<_>>();
    assert_eq!(worst(&run(&SPEC, &slow(403))), Some(Severity::Medium), "refused");
    assert_eq!(worst(&run(&SPEC, &after(usual_days(30, 5, 5), slow(200)))), Some(Severity::High), "granted");
    let rare = (0..90).map(|n| invoice(n * 12 * MINUTE, any(n as u64), 404)).collect::<Vec<_>>();
    assert_eq!(worst(&run(&SPEC, &rare)), Some(Severity::Medium), "five an hour");
}

#[test]
fn what_everybody_prefetches_is_no_walk_until_it_is_far_more() {
    let mine = |who: u64, n: i64| format!("/api/v1/tiles/{}", who * 100_000 + n as u64);
    let all = peers(20, 3, 300, |one, who, n| one.asks("GET", mine(who, n), 200));
    let (found, _) = said(&after(usual_days(20, 3, 4), all.clone()));
    assert!(found.len() <= 5, "only who came first: {found:?}");
    let late = |many: i64| (0..many).map(move |n| ann(3 * DAY + 60 * MINUTE + n * 1_000).asks("GET", mine(77, n), 200));
    let (found, gates) = said(&after(after(usual_days(20, 3, 4), all.clone()), late(300)));
    assert!(!found.contains("user:ann") && gates["prefetched"] >= 1, "{found:?} {gates:?}");
    assert!(said(&after(after(usual_days(20, 3, 4), all), late(2_500))).0.contains("user:ann"), "eight times as many");
}

#[test]
fn a_route_that_is_broken_for_everybody_excuses_what_is_refused() {
    for status in [404, 403, 500] {
        let fails = |one: TestEvent, who: u64, n: i64| one.asks("GET", format!("/api/v1/photos/{}", any(who * 900 + n as u64)), status);
        let all = peers(12, 3, 25, fails);
        let refused = (0..50).map(|n| ann(3 * DAY + MINUTE + n * 3_000).asks("GET", format!("/api/v1/photos/{}", any(n as u64)), 404));
        let (found, gates) = said(&after(after(usual_days(12, 3, 4), all), refused.clone()));
        assert_eq!((found.len(), gates.get("broken_for_all")), (0, Some(&1)), "{status}: {found:?}");
        let fine = |one: TestEvent, who: u64, n: i64| one.asks("GET", format!("/api/v1/photos/{}", any(who * 900 + n as u64)), 200);
        assert_eq!(said(&after(after(usual_days(12, 3, 4), peers(12, 3, 25, fine)), refused)).0, alone("user:ann"), "works for others");
    }
}

#[test]
fn throwaway_accounts_do_not_excuse_each_other() {
    let guess = |n: i64, bot: u64| {
        let one =
            ann(3 * DAY + n * 3_000 + bot as i64 * 100).user(format!("bot{bot}")).session(format!("b{bot}")).ip(&format!("203.0.{bot}.9"));
        one.asks("GET", format!("/api/v1/invoices/{}", any(n as u64 * 10 + bot)), 404)
    };
    let bots = (0..6).flat_map(|bot| (0..40).map(move |n| guess(n, bot)));
    assert_eq!(said(&after(usual_days(12, 3, 4), bots)).0.len(), 6);
}

#[test]
fn names_and_ids_in_the_query_are_objects() {
    let profile = |who: u64| {
        format!(
            "/users/{}.{}/profile",
            ["ann", "bob", "eve", "joe"][who as usize % 4],
            ["lee", "ray", "fox"][who as usize / 4 % 3].repeat(1 + who as usize / 12)
        )
    };
    let own = peers(150, 0, 2, |one, who, _| one.asks("GET", profile(who), 200));
    let others = (0..60).map(|n| ann(DAY + n * 4_000).asks("GET", profile(n as u64 * 2), 403));
    assert_eq!(said(&after(own.clone(), others)).0, alone("user:ann"), "names");
    let known = after(own, peers(150, 0, 1, |one, who, _| one.asks("GET", "/users/me/profile", if who < 140 { 200 } else { 404 })));
    assert_eq!(said(&known).0.len(), 0);
    let query = |n: i64| ann(n * 2_000).asks("GET", format!("/account?lang=de&user_id={}", 300 + n), 200);
    assert_eq!(worst(&run(&SPEC, &(0..80).map(query).collect::<Vec<_>>())), Some(Severity::High), "one number after the other");
    let mail = |n: i64| ann(n * 2_000).asks("GET", format!("/lookup?email=p{n}%40acme.example"), 404);
    assert_eq!(worst(&run(&SPEC, &(0..50).map(mail).collect::<Vec<_>>())), Some(Severity::Medium), "addresses");
}

/// A request for an invoice by one of several accounts at one address, which takes turns or comes by itself.
fn shared(n: i64, account: i64, number: u64, status: u16) -> TestEvent {
    let one = invoice(3 * DAY + n * 4_000, number, status).user(format!("throwaway{account}")).session(format!("t{account}"));
    one.ip("203.0.113.50")
}

#[test]
fn a_walk_over_several_accounts_of_one_address_is_one() {
    let walks: [(&str, Severity, Vec<TestEvent>); 3] = [
        ("refused in turn", Severity::Medium, (0..60).map(|n| shared(n, n % 6, any(n as u64), 403)).collect()),
        ("in order in turn", Severity::High, (0..120).map(|n| shared(n, n % 8, 5_000 + n as u64, 200)).collect()),
        ("in order, one after the other", Severity::High, (0..160).map(|n| shared(n, n / 20, 9_000 + n as u64, 200)).collect()),
    ];
    for (name, severity, walk) in walks {
        let found = run(&SPEC, &after(usual_days(10, 3, 4), walk));
        assert_eq!((worst(&found), found.first().map(|one| one.key.as_str())), (Some(severity), Some("ip:203.0.113.50")), "{name}");
        assert!(found[0].reason.contains("new accounts of one address"), "{}", found[0].reason);
    }
}

#[test]
fn offices_and_carriers_share_addresses_without_a_walk() {
    let at = |n: i64, who: i64, number: u64, status| shared(n, who, number, status);
    let carrier = (0..3_000).map(|n| at(n, n % 400, any(n as u64), if n % 9 == 0 { 404 } else { 200 }));
    let office = (0..1_000).map(|n| at(n, n % 40, 100 * (n as u64 % 40) + n as u64 / 40 % 12, 200));
    let broken_links = (0..60).map(|n| at(n, n % 30, any(n as u64 % 30), 404));
    for (name, events) in
        [("a carrier", carrier.collect::<Vec<_>>()), ("an office", office.collect()), ("one broken link each", broken_links.collect())]
    {
        assert_eq!(said(&after(usual_days(10, 3, 4), events)).0.len(), 0, "{name}");
    }
}

#[test]
fn scanners_are_found_whoever_they_are_and_new_releases_are_not() {
    let word = |n: i64| {
        format!("/{}/{}", ["admin", "backup", "old", "test", "api"][n as usize % 5], "abcdefghijkl".get(n as usize / 5 % 12..).unwrap())
    };
    let scan = |accounts: i64| move |n: i64| shared(n, n % accounts, 0, 404).asks("GET", word(n), 404);
    assert_eq!(said(&after(usual_days(10, 3, 4), (0..60).map(scan(1)))).0, alone("user:throwaway0"), "one account");
    assert_eq!(said(&after(usual_days(10, 3, 4), (0..60).map(scan(5)))).0, alone("ip:203.0.113.50"), "accounts in turn");
    let release = peers(30, 3, 40, |one, _, n| one.asks("GET", format!("/assets{}", word(n)), 404));
    assert!(said(&after(usual_days(30, 3, 4), release)).0.len() <= 2, "a release that leads nowhere: only who came first");
}

#[test]
fn a_route_for_exports_may_be_gone_through_by_whoever_gets_it_all() {
    let of = |path: fn(i64) -> String, many: i64, every: i64| {
        (0..many).map(move |n| ann(3 * DAY + n * 2_000).asks("GET", path(n), if every > 0 && n % every == 0 { 403 } else { 200 }))
    };
    let export = |n: i64| format!("/api/v1/documents/{}/download", 4_000 + n);
    let (found, gates) = said(&after(usual_days(40, 4, 8), of(export, 3_000, 0)));
    assert_eq!((found.len(), gates.keys().copied().collect::<Vec<_>>()), (0, vec!["bulk_route"]));
    let any_order = |n: i64| format!("/api/v1/exports/{}", any(n as u64));
    let others = (0..4).flat_map(|day| peers(40, day, 4, |one, who, n| one.asks("GET", any_order(who as i64 * 9 + n), 200)));
    let (found, gates) = said(&after(others.collect(), of(any_order, 3_000, 0)));
    assert_eq!((found.len(), gates.contains_key("bulk_route")), (0, true), "{found:?}, {gates:?}");
    assert_eq!(said(&after(usual_days(40, 4, 8), of(export, 400, 3))).0, alone("user:ann"), "a third is refused");
    assert_eq!(said(&after(usual_days(40, 4, 8), of(export, 200, 1))).0, alone("user:ann"), "all is refused");
    let plain = |n: i64| format!("/api/v1/documents/{}/lines", 4_000 + n);
    assert_eq!(said(&after(usual_days(40, 4, 8), of(plain, 400, 0))).0, alone("user:ann"), "another route");
    let deletes = (0..200).map(|n| ann(3 * DAY + n * 2_000).asks("DELETE", export(n), 204));
    assert_eq!(said(&after(usual_days(40, 4, 8), deletes)).0, alone("user:ann"), "what is deleted");
}

#[test]
fn other_innocents_stay_silent_beside_known_peers() {
    let of = |n: i64, gap: i64, path: String, status| ann(3 * DAY + n * gap).asks("GET", path, status);
    let innocent: [(&str, Vec<TestEvent>); 8] = [
        ("a monitor", (0..2_000).map(|n| of(n, 10_000, "/api/v1/invoices/1".to_owned(), 200)).collect()),
        ("GraphQL", (0..2_000).map(|n| of(n, 1_000, "/graphql".to_owned(), 200)).collect()),
        (
            "a phone that polls its three",
            (0..2_000).map(|n| of(n, 20_000, format!("/api/v1/invoices/{}", any(n as u64 % 3)), 200)).collect(),
        ),
        (
            "a client that tries its five again",
            (0..500).map(|n| of(n, 900, format!("/api/v1/invoices/{}", any(n as u64 % 5)), 404)).collect(),
        ),
        ("pages by offset", (0..500).map(|n| of(n, 900, format!("/api/v1/invoices?offset={}&limit=50", n * 50), 200)).collect()),
        ("a calendar", (0..300).map(|n| of(n, 900, format!("/days/2026-{:02}-{:02}", 1 + n / 28 % 12, 1 + n % 28), 404)).collect()),
        ("searches", (0..300).map(|n| of(n, 900, format!("/search?q={}", 5_000 + n), 200)).collect()),
        ("a program's synchronisation", (0..3_000).map(|n| of(n, 400, format!("/api/v1/invoices/{}", 800 + n), 200).service()).collect()),
    ];
    for (name, events) in innocent {
        assert_eq!(said(&after(usual_days(40, 5, 8), events)).0.len(), 0, "{name}");
    }
}

#[test]
fn an_excuse_is_written_down_once_an_hour() {
    let job = (0..7_200).map(|n| invoice(n * 1_000, 1 + n as u64, 200).service());
    assert_eq!(said(&job.collect::<Vec<_>>()).1, BTreeMap::from([("service", 2)]));
}

#[test]
fn peers_are_the_same_in_any_number_of_slices_and_after_a_reload() {
    let fails = |one: TestEvent, who: u64, n: i64| one.asks("GET", format!("/api/v1/photos/{}", any(who * 900 + n as u64)), 404);
    let walk = (0..400).map(|n| invoice(2 * DAY + n * 5_000, any(n as u64), 200));
    let events = after(after(usual_days(40, 4, 6), peers(10, 2, 40, fails)), walk);
    contract::is_deterministic(&SPEC, &events).unwrap();
    contract::survives_reload(&SPEC, &events).unwrap();
}

#[test]
fn any_traffic_stays_within_the_budget() {
    let one = |n: u64| {
        let (who, path) = (any(n) % 50_000, format!("/r{}/{}/name{}?user_id={n}", any(n) % 300, any(n * 3) % 7, any(n * 5) % 5_000));
        let one = ann(n as i64 * 900).user(format!("u{who}")).session("").ip(&format!("10.{}.{}.1", who / 200 % 200, who % 200));
        one.tenant(format!("t{}", any(n * 7) % 40)).asks("GET", path, [200, 200, 404, 500][n as usize % 4])
    };
    contract::stays_bounded(&SPEC, (0..60_000).map(one)).unwrap();
}

#[test]
fn hostile_paths_break_nothing() {
    let pieces = [
        "/",
        "//",
        "?",
        "#",
        "&",
        "=",
        "%40",
        "@",
        "@.",
        "-",
        "--------------------1",
        "\u{e9}",
        "9".repeat(400).as_str(),
        "_id=7",
        "0",
        "{}",
    ]
    .map(str::to_owned);
    let path = |n: u64| (0..n % 9).map(|at| pieces[any(n * 11 + at) as usize % pieces.len()].as_str()).collect::<String>();
    let events: Vec<_> = (0..4_000).map(|n| ann(n as i64 * 500).asks("POST", path(n), [200, 404, 0, 65_535][n as usize % 4])).collect();
    contract::survives_reload(&SPEC, &events).unwrap();
}
