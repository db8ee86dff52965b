//! The contract, over the whole catalogue.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bartizan_catalogue::all;
use bartizan_core::{Attestation, Kind, NetworkClass, Outcome, Spec};
use bartizan_testkit::{Runner, TestEvent, contract, event};
use proptest::prelude::*;

/// A small generator of numbers (xorshift), so that each run sees the same traffic.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const CLASSES: [NetworkClass; 4] = [NetworkClass::Residential, NetworkClass::Mobile, NetworkClass::Hosting, NetworkClass::Vpn];

/// Any event over `width` users, addresses, sessions and devices.
fn any_event(numbers: &mut Numbers, time_ms: i64, width: u64) -> TestEvent {
    let mut pick = |limit: u64| numbers.below(limit);
    let (user, client) = (pick(width), pick(12));
    let kind = Kind::ALL[pick(Kind::ALL.len() as u64) as usize];
    let one = TestEvent::at_ms(time_ms)
        .kind(if pick(3) == 0 { Kind::Login } else { kind })
        .user(format!("u{user}"))
        .session(format!("s{}", pick(width)))
        .ip(&format!("10.{}.{}.{}", pick(width) % 250, pick(4), pick(250)))
        .agent(format!("{}-agent", (b'a' + client as u8) as char))
        .device(format!("d{}", pick(width)))
        .place("DE", pick(180) as f32 - 90.0, pick(360) as f32 - 180.0)
        .asn(1 + pick(40) as u32, CLASSES[pick(4) as usize]);
    let one = if pick(2) == 0 { one.refresh(&format!("t{}", pick(width)), &format!("t{}", pick(width))) } else { one };
    let one = if pick(2) == 0 { one.factor("push") } else { one };
    let one = one.app(["mobile", "web", ""][pick(3) as usize]).attestation(Attestation::ALL[pick(3) as usize]);
    match pick(3) {
        0 => one.fail(if pick(2) == 0 { "unknown_user" } else { "bad_password" }),
        1 => one.outcome(Outcome::Denied),
        _ => one,
    }
}

fn wild(count: usize, width: u64) -> impl Iterator<Item = TestEvent> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    (0..count as i64).map(move |n| {
        let jitter = numbers.below(300_000) as i64;
        any_event(&mut numbers, 1_772_442_000_000 + n * 2_000 - jitter, width)
    })
}

/// Few people at work for days, each with two devices on two lines, now and then with one or on one that is not theirs.
fn goes_on(count: usize) -> impl Iterator<Item = TestEvent> {
    const KINDS: [Kind; 4] = [Kind::Login, Kind::TokenRefresh, Kind::MfaResult, Kind::AccountChange];
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    (0..count as i64).map(move |n| {
        let mut pick = |limit: u64| numbers.below(limit);
        let (user, seldom) = (pick(5), pick(40));
        let client = if seldom == 0 { 5 + pick(3) } else { pick(2) };
        let line = if seldom == 1 { 5 + pick(3) } else { client };
        let kind = if pick(12) == 0 { KINDS[pick(4) as usize] } else { Kind::ApiRequest };
        let class = if line == 1 { NetworkClass::Mobile } else { NetworkClass::Residential };
        let one = TestEvent::at_ms(1_772_460_000_000 + n * 60_000).kind(kind).user(format!("worker{user}"));
        let one = one.session(format!("worker{user}'s {client}")).device(format!("worker{user}'s {client}")).agent("Firefox/140");
        one.ip(&format!("198.51.{user}.{line}")).asn(3_320 + line as u32, class).place("DE", 52.5, 13.4)
    })
}

/// Ordinary days and one attack of each sort, in order.
fn incidents() -> Vec<TestEvent> {
    let at = |minute: i64| event("2026-03-02T09:00:00Z").plus_ms(minute * 60_000);
    let home = |minute, user: &str| {
        let who = at(minute).user(user).ip("198.51.100.7").asn(3320, NetworkClass::Residential).place("DE", 52.5, 13.4);
        who.device(format!("{user}'s laptop")).agent("Firefox").session(format!("{user}'s"))
    };
    let thief = |minute, user: &str, class| {
        let who = at(minute).user(user).ip("203.0.113.9").asn(1221, class).place("AU", -33.8, 151.2);
        who.device("thief").agent("curl").session(format!("{user}'s"))
    };
    let mut events: Vec<_> = (0..4).flat_map(|day| ["ann", "bob", "eve", "joe"].map(|user| home(day * 1_440, user).login())).collect();
    let start = 4 * 1_440;
    events.push(home(start, "ann").login());
    events.push(thief(start + 20, "ann", NetworkClass::Residential).login().session("stolen"));
    events.push(thief(start + 25, "ann", NetworkClass::Residential).kind(Kind::AccountChange).session("stolen"));
    events.extend(
        (0..6)
            .map(|n| if n % 2 == 0 { home(start + 30 + n, "bob") } else { thief(start + 30 + n, "bob", NetworkClass::Unknown) }.request()),
    );
    events.push(home(start + 40, "eve").refresh("r1", "r2"));
    events.push(thief(start + 55, "eve", NetworkClass::Unknown).refresh("r1", "r3"));
    events.extend(
        (0..30)
            .map(|n| at(start + 60).plus_ms(n * 10_000).login().user(format!("v{n}")).ip("192.0.2.66").agent("bot").fail("unknown_user")),
    );
    events.push(thief(start + 90, "bob", NetworkClass::Hosting).login().session("other"));
    events.extend((0..20).map(|n| thief(start + 95, "joe", NetworkClass::Hosting).plus_ms(n * 9_000).login().fail("bad_password")));
    let walk =
        |n: i64| thief(start + 100, "joe", NetworkClass::Hosting).plus_ms(n * 2_000).asks("GET", format!("/things/{}", n * 7_919), 404);
    events.extend((0..40).map(walk));
    events.extend((0..10).map(|n| {
        let push = thief(start + 120 + n / 2, "ann", NetworkClass::Hosting).session("").factor("push");
        if n % 2 == 0 { push.kind(Kind::MfaChallenge) } else { push.plus_ms(9_000).kind(Kind::MfaResult).fail("mfa_denied") }
    }));
    // Phones with an app for three days, and then a script with the session of one of them.
    let phone = |minute, n: i64| {
        let who = at(minute).user(format!("phone{n}")).session(format!("phone{n}'s")).device(format!("phone{n}")).app("mobile");
        who.agent("Acme/5.1 (Android 16)").ja4("t13_aaaa_b").ip(&format!("84.{n}.1.1")).asn(3320, NetworkClass::Residential)
    };
    events.extend((0..3).flat_map(|day| (0..20).map(move |n| phone(day * 1_440 + n, n).request())));
    events.push(
        phone(start + 100, 3).request().agent("curl/8.9").ja4("t13_cccc_d").device("").ip("203.0.113.77").asn(14061, NetworkClass::Hosting),
    );
    events
        .extend((0..12).map(|n| phone(start + 110 + n, 99).kind(Kind::Signup).user(format!("fresh{n}")).asn(14061, NetworkClass::Hosting)));
    events.sort_by_key(TestEvent::time_ms);
    events
        .extend((0..24).map(|n| at(start + 100 + n * 8).login().user(format!("w{n}")).ip("198.18.5.9").agent("bot").fail("bad_password")));
    events
}

fn hold(check: impl Fn(&'static Spec) -> Result<(), String>) {
    for spec in all() {
        if let Err(problem) = check(spec) {
            panic!("{}: {problem}", spec.id);
        }
    }
}

#[test]
fn every_detector_finds_its_incident() {
    hold(|spec| if Runner::new(spec, 1).feed(&incidents()).is_empty() { Err("finds nothing".to_owned()) } else { Ok(()) });
}

#[test]
fn same_input_same_bytes_in_any_number_of_slices_and_batches() {
    let events: Vec<_> = incidents().into_iter().chain(wild(6_000, 40)).collect();
    hold(|spec| contract::is_deterministic(spec, &events));
}

#[test]
fn save_and_load_midway_change_nothing() {
    let events: Vec<_> = incidents().into_iter().chain(wild(6_000, 40)).collect();
    hold(|spec| contract::survives_reload(spec, &events));
}

#[test]
fn what_a_detector_does_not_look_at_changes_nothing() {
    let events: Vec<_> = incidents().into_iter().chain(wild(6_000, 40)).collect();
    hold(|spec| contract::looks_at_all_that_matters(spec, &events));
}

#[test]
fn who_asks_for_remarks_changes_nothing() {
    let events: Vec<_> = wild(6_000, 40).chain(goes_on(6_000)).collect();
    hold(|spec| contract::may_be_asked(spec, &events).and_then(|()| contract::may_be_asked(spec, &incidents())));
}

#[test]
fn random_keys_never_pass_the_caps() {
    hold(|spec| contract::stays_bounded(spec, wild(200_000, 1_000_000)));
}

#[test]
fn disorder_within_the_lateness_finds_the_same() {
    for seed in 1..=20 {
        let mut numbers = Numbers(seed * 0x9e37_79b9);
        let mut shuffled: Vec<_> = incidents().into_iter().map(|event| (event.time_ms() + numbers.below(540_000) as i64, event)).collect();
        shuffled.sort_by_key(|(arrival_ms, _)| *arrival_ms);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, event)| event).collect();
        hold(|spec| contract::bears_disorder(spec, &incidents(), &shuffled).map_err(|problem| format!("seed {seed}: {problem}")));
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\PC{1,8}", "[\u{0}-\u{1f}\u{202a}-\u{202e}<>\"'_.|]{1,12}", Just("x".repeat(70_000))]
}

fn hostile() -> impl Strategy<Value = TestEvent> {
    let time = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>(), 1_772_442_000_000..1_772_445_600_000_i64];
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    let ip = prop_oneof![Just("203.0.113.9".to_owned()), any::<std::net::IpAddr>().prop_map(|ip| ip.to_string()), Just(String::new())];
    (time, kind, outcome, ip, (text(), text(), text(), text(), text()), (any::<f32>(), any::<f32>(), any::<u32>(), text(), text()))
        .prop_map(|(time, kind, outcome, ip, (user, session, agent, ja4, device), (latitude, longitude, asn, presented, issued))| {
            let one = TestEvent::at_ms(time).ip(&ip).app("mobile").user(user).session(session).agent(agent).ja4(ja4).device(device);
            one.refresh(&presented, &issued)
                .factor("push")
                .kind(kind)
                .outcome(outcome)
                .place("\u{e9}", latitude, longitude)
                .asn(asn, NetworkClass::Unknown)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_values_break_nothing(events in proptest::collection::vec(hostile(), 1..60)) {
        for spec in all() {
            // As they come (one time far ahead makes all after it late), and in order.
            let mut in_order = events.clone();
            in_order.sort_by_key(TestEvent::time_ms);
            for events in [&events, &in_order] {
                let mut runner = Runner::new(spec, 2);
                runner.feed(events);
                prop_assert!(runner.reloaded().is_ok());
            }
        }
    }
}
