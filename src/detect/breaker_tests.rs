//! The arithmetic of a breaker.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use bartizan_core::time::MINUTE_MS;

const LIMITS: Limits = Limits { alerts_min: 50, factor: 10, pairs_max: 3 };
/// The beginning of an hour.
const START_MS: i64 = 1_780_272_000_000;

fn spec() -> &'static Spec {
    bartizan_catalogue::find("token_reuse").unwrap()
}

fn finding(key: &str, time_ms: i64) -> Finding {
    Finding {
        tenant: "acme".into(),
        key: key.into(),
        title: String::new(),
        reason: String::new(),
        severity: Severity::High,
        confidence: 0.5,
        first_time_ms: time_ms,
        time_ms,
        event_count: 1,
        evidence: Vec::new(),
        subjects: vec![bartizan_core::Subject::new(EntityKind::User, key, bartizan_core::Role::Victim).hit()],
        event_ids: Vec::new(),
        actions: Vec::new(),
        sign: None,
    }
}

/// So many alerts, evenly over the hour from this one on.
fn hour(breakers: &mut Breakers, number: i64, alerts: i64) {
    (0..alerts).for_each(|alert| breakers.count("d", "acme", START_MS + number * HOUR_MS + alert * HOUR_MS / alerts));
}

fn fold(breakers: &mut Breakers, key: &str, time_ms: i64) -> Finding {
    breakers.open_of("d", "acme").unwrap().fold(spec(), finding(key, time_ms)).1
}

#[test]
fn it_opens_at_the_limit_within_an_hour_and_not_below() {
    let mut breakers = Breakers::new(LIMITS);
    // 45 an hour, for a day, though they come in one half of it.
    for alert in 0..24 * 45 {
        breakers.count("d", "acme", START_MS + alert / 45 * HOUR_MS + alert % 45 * HOUR_MS / 90);
    }
    assert_eq!(breakers.open(), []);
    let mut breakers = Breakers::new(LIMITS);
    hour(&mut breakers, 0, 49);
    assert!(breakers.open().is_empty() && breakers.open_of("d", "acme").is_none());
    breakers.count("e", "acme", START_MS + 59 * MINUTE_MS);
    breakers.count("d", "globex", START_MS + 59 * MINUTE_MS);
    breakers.count("d", "acme", START_MS - HOUR_MS);
    assert_eq!(breakers.open(), [], "another detector, another tenant and another hour do not count");
    breakers.count("d", "acme", START_MS + 59 * MINUTE_MS);
    let open = breakers.open();
    assert_eq!((open.len(), open[0].alerts_opened, open[0].usual, open[0].limit), (1, 50, 1.0, 50));
    assert!(breakers.open_of("d", "acme").is_some() && breakers.open_of("d", "globex").is_none());
}

#[test]
fn where_many_are_usual_more_are_needed_and_open_hours_teach_nothing() {
    let mut breakers = Breakers::new(LIMITS);
    (0..72).for_each(|number| hour(&mut breakers, number, 20));
    hour(&mut breakers, 72, 150);
    assert_eq!(breakers.open(), [], "not ten times as many");
    let usual = breakers.rates[&pair("d", "acme")].usual();
    assert!((15.0..20.0).contains(&usual), "{usual}");
    hour(&mut breakers, 73, 400);
    let limit = breakers.open()[0].limit;
    assert!((160..230).contains(&limit), "{limit}");
    let known = breakers.rates[&pair("d", "acme")].usual();
    for minute in 0..180 {
        fold(&mut breakers, &format!("s{minute}"), START_MS + 74 * HOUR_MS + minute * MINUTE_MS);
    }
    breakers.advance(START_MS + 90 * HOUR_MS);
    assert_eq!(breakers.open(), []);
    hour(&mut breakers, 90, 1);
    hour(&mut breakers, 91, 1);
    assert_eq!(breakers.rates[&pair("d", "acme")].usual(), known, "nor does the rest of the hour in which it closes");
    hour(&mut breakers, 92, 1);
    assert!(breakers.rates[&pair("d", "acme")].usual() < known);
    hour(&mut breakers, 92 + 31 * 24, 1);
    assert_eq!(breakers.rates[&pair("d", "acme")].usual(), 1.0, "after a month nothing is left");
}

#[test]
fn it_closes_after_an_hour_with_less_than_half_of_the_limit() {
    let mut breakers = Breakers::new(LIMITS);
    hour(&mut breakers, 0, 50);
    let since_ms = breakers.open()[0].since_ms;
    for round in 0..3 {
        let from_ms = since_ms + round * HOUR_MS;
        (0..25).for_each(|key| _ = fold(&mut breakers, &format!("s{key}"), from_ms + key));
        breakers.advance(from_ms + HOUR_MS);
        breakers.advance(from_ms + HOUR_MS + 1);
        assert_eq!(breakers.open().len(), 1, "half of the limit in hour {round}");
    }
    // One key says much, and would have been one alert.
    (0..1_000).for_each(|n| _ = fold(&mut breakers, "s0", since_ms + 3 * HOUR_MS + n));
    let open = &breakers.open()[0];
    assert_eq!((open.alerts_folded, open.users_hit, open.sessions_hit, open.findings_folded), (25, 25, 0, 1_075));
    breakers.advance(since_ms + 4 * HOUR_MS);
    assert_eq!(breakers.open().len(), 1);
    breakers.advance(since_ms + 4 * HOUR_MS + 1);
    assert_eq!(breakers.open(), []);
    hour(&mut breakers, 6, 49);
    assert_eq!(breakers.open(), [], "it counts anew");
    hour(&mut breakers, 6, 1);
    breakers.count("d", "acme", START_MS + 7 * HOUR_MS - 1);
    assert_eq!(breakers.open().len(), 1);
}

#[test]
fn one_that_a_person_closed_stays_closed_for_a_day() {
    let mut breakers = Breakers::new(LIMITS);
    hour(&mut breakers, 0, 50);
    let closing = |number| Closing { number, detector: "d".into(), tenant: "acme".into() };
    let other = Closing { tenant: "globex".into(), ..closing(1) };
    let now_ms = START_MS + HOUR_MS;
    breakers.close_all(std::slice::from_ref(&other), now_ms);
    assert_eq!(breakers.open().len(), 1);
    breakers.close_all(&[other, closing(2)], now_ms);
    assert_eq!(breakers.open(), []);
    (1..24).for_each(|number| hour(&mut breakers, number, 49 + number * 10));
    assert_eq!(breakers.open(), []);
    hour(&mut breakers, 25, 20_000);
    assert_eq!(breakers.open().len(), 1);
    breakers.close_all(&[closing(2)], now_ms);
    assert_eq!(breakers.open().len(), 1, "what took effect does not do so again");
    breakers.close_all(&[closing(3)], i64::MIN);
    hour(&mut breakers, 30, 20_000);
    assert_eq!(breakers.open(), [], "before there is a watermark, too");
}

#[test]
fn the_quietest_pairs_make_room() {
    let mut breakers = Breakers::new(Limits { alerts_min: 2, ..LIMITS });
    let limits = Limits { factor: 1, ..breakers.limits() };
    breakers = breakers.within(limits);
    for (tenant, minute) in [("a", 0), ("a", 1), ("b", 10), ("c", 20), ("d", 30), ("e", 40)] {
        breakers.count("d", tenant, START_MS + minute * MINUTE_MS);
    }
    let tenants: Vec<_> = breakers.rates.keys().map(|(_, tenant)| tenant.as_str()).collect();
    assert_eq!(tenants, ["a", "d", "e"], "an open one stays");
    ["d", "e", "f"].into_iter().for_each(|tenant| breakers.count("d", tenant, START_MS + 41 * MINUTE_MS));
    assert_eq!(breakers.rates.len(), 3);
    assert!(breakers.open().iter().all(|open| breakers.rates.contains_key(&pair(&open.detector, &open.tenant))));
}

#[test]
fn many_values_are_counted_nearly_and_few_exactly() {
    let mut distinct = Distinct::default();
    for number in 0..100_000_u64 {
        distinct.add(&number.to_string());
        distinct.add(&number.to_string());
        let counted = distinct.count();
        let exact = number + 1;
        assert!(if exact < 512 { counted == exact } else { counted.abs_diff(exact) < exact / 5 }, "{counted} for {exact}");
    }
    assert_eq!(distinct.0.len(), EXACT_MAX);
}

#[test]
fn a_campaign_says_what_it_stands_for() {
    let mut breakers = Breakers::new(LIMITS);
    hour(&mut breakers, 0, 50);
    fold(&mut breakers, "ann", START_MS + HOUR_MS);
    let milder = Finding { severity: Severity::Low, ..finding("bob", START_MS + HOUR_MS) };
    let (spec, campaign) = breakers.open_of("d", "acme").unwrap().fold(spec(), milder);
    assert!(spec.quiet_gap_ms >= 2 * HOUR_MS);
    assert_eq!((campaign.key.as_str(), campaign.severity), ("campaign:token_reuse", Severity::High), "the worst");
    assert!(campaign.title.starts_with("Far more alerts than usual: "));
    assert_eq!(
        campaign.reason,
        "2 more alerts since 2026-06-01T00:58:48.000Z are told here together, after 50 within an hour where 1.0 are usual (limit 50); users hit: 2, sessions hit: 0."
    );
    assert!(campaign.evidence.contains(&("users_hit".into(), 2.into())));
    assert!(campaign.subjects[0].hit);
}
