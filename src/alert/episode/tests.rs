//! Episodes over their whole life.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use bartizan_core::{EntityKind, Role, Severity, Subject, TimeMs};

fn spec() -> &'static Spec {
    bartizan_catalogue::find("credential_stuffing").unwrap()
}

fn finding(time_ms: i64, severity: Severity, victim: &str, hit: bool) -> Finding {
    let victim = Subject::new(EntityKind::User, victim, Role::Victim);
    Finding {
        tenant: "acme".into(),
        key: "ip:203.0.113.7".into(),
        title: "Credential stuffing".into(),
        reason: format!("at {time_ms}"),
        severity,
        confidence: 0.5,
        first_time_ms: time_ms,
        time_ms,
        event_count: 1,
        evidence: vec![("users".into(), 3.into()), ("share".into(), 0.5.into())],
        subjects: vec![if hit { victim.hit() } else { victim }],
        event_ids: vec![format!("e{time_ms}")],
        actions: Vec::new(),
        sign: None,
    }
}

/// The session `s` was hit.
fn of_session(time_ms: i64, hit: bool) -> Finding {
    let session = Subject::new(EntityKind::Session, "s", Role::Victim);
    let mut finding = finding(time_ms, Severity::High, "u1", hit);
    finding.subjects.push(if hit { session.hit() } else { session });
    finding
}

#[test]
fn a_session_is_told_as_hit_while_an_alert_that_says_so_is_open() {
    let other = bartizan_catalogue::find("impossible_travel").unwrap();
    let (mut episodes, mut out) = (Episodes::default(), Vec::new());
    let told = |episodes: &Episodes| [other, spec()].map(|spec| episodes.tell_hit(spec, &of_session(9, true)));
    episodes.apply(spec(), of_session(1, false), 1, &mut out);
    assert_eq!(told(&episodes), [false; 2], "tried, and not hit");
    episodes.apply(spec(), of_session(2, true), 2, &mut out);
    assert_eq!(told(&episodes), [true, false], "its own detector may say more");
    assert!(!episodes.tell_hit(other, &finding(9, Severity::High, "u1", true)), "about no session");
    assert!(!episodes.tell_hit(other, &Finding { tenant: "other".into(), ..of_session(9, true) }));
    let mut two = saved(&mut episodes, |_| {});
    assert_eq!(told(&two), [true, false], "after a restart, too");
    two.advance(3 + spec().quiet_gap_ms, 3, &mut out);
    assert_eq!(told(&two), [false; 2]);
}

#[test]
fn versions_are_cut_by_what_happens() {
    let (mut episodes, mut out) = (Episodes::default(), Vec::new());
    for time_ms in 1..=8 {
        episodes.apply(spec(), finding(time_ms, Severity::Medium, &format!("u{time_ms}"), false), time_ms, &mut out);
    }
    let counts: Vec<_> = out.iter().map(|alert| (alert.version, alert.event_count)).collect();
    assert_eq!(counts, [(1, 1), (2, 2), (3, 4), (4, 8)], "opening and each doubling");
    episodes.apply(spec(), finding(9, Severity::Medium, "u1", true), 9, &mut out);
    assert!(out[4].subjects[0].hit, "something more was hit");
    episodes.apply(spec(), finding(10, Severity::Critical, "u1", true), 10, &mut out);
    assert_eq!((out[5].version, out[5].severity), (6, Severity::Critical));
    episodes.advance(10 + spec().quiet_gap_ms, 11, &mut out);
    assert_eq!(out.len(), 6, "quiet for no longer than the gap");
    episodes.advance(11 + spec().quiet_gap_ms, 12, &mut out);
    assert!(!out[6].ongoing && episodes.is_empty());
}

#[test]
fn a_late_event_does_not_rename_and_a_new_wave_does() {
    let (mut episodes, mut out) = (Episodes::default(), Vec::new());
    let gap = spec().quiet_gap_ms;
    episodes.apply(spec(), finding(1_000, Severity::Medium, "u1", false), 0, &mut out);
    episodes.apply(spec(), finding(500, Severity::Medium, "u2", false), 0, &mut out);
    assert_eq!(out[0].id, out[1].id);
    assert_eq!(out[1].first_event_time, TimeMs(500));
    episodes.apply(spec(), finding(1_001 + gap, Severity::Medium, "u3", false), 0, &mut out);
    assert!(!out[2].ongoing && out[3].version == 1 && out[3].id != out[0].id);
    let looks_back = Finding { first_time_ms: 1_001 + gap, ..finding(1_002 + 2 * gap, Severity::Medium, "u4", false) };
    episodes.apply(spec(), looks_back, 0, &mut out);
    assert_eq!(out[5].first_event_time, out[3].first_event_time, "it counts what the wave before began with");
    assert_ne!(out[5].id, out[3].id, "and is another one");
}

/// With so little room.
fn small(bytes_max: usize) -> Episodes {
    Episodes::new(Limits { bytes_max, ..Limits::default() })
}

/// What is held, counted anew.
fn counted(episodes: &Episodes) -> usize {
    episodes.open.iter().map(|(key, episode)| episode.count_bytes(key)).sum()
}

fn hits(alerts: &[Alert]) -> BTreeSet<String> {
    let subjects = alerts.iter().flat_map(|alert| &alert.subjects).filter(|subject| subject.hit);
    subjects.map(|subject| subject.value.clone()).collect()
}

#[test]
fn bytes_are_bounded_and_the_quietest_makes_room() {
    let (mut episodes, mut out) = (small(20_000), Vec::new());
    for time_ms in 1..=500 {
        let finding = finding(time_ms, Severity::High, &format!("u{time_ms}"), true);
        episodes.apply(spec(), Finding { key: format!("ip:{}", time_ms / 10), ..finding }, time_ms, &mut out);
        assert!(episodes.bytes() <= 20_000 && episodes.bytes() == counted(&episodes), "{}", episodes.bytes());
    }
    assert!(episodes.len() > 2, "there is room for some");
    let closed: Vec<_> = out.iter().filter(|alert| !alert.ongoing).collect();
    assert_eq!(episodes.take_closed_early(), closed.len() as u64);
    assert_eq!(episodes.take_closed_early(), 0);
    assert!(closed.len() > 20 && closed.iter().all(|alert| alert.evidence["closed_early"] == true));
    assert!(closed.is_sorted_by_key(|alert| alert.last_event_time), "the one that was quiet for longest goes first");
    assert_eq!(hits(&out).len(), 500, "what was hit is named all the same");
    let before = closed.len();
    episodes.advance(i64::MAX, 501, &mut out);
    assert_eq!((episodes.bytes(), episodes.take_closed_early()), (0, 0));
    let rest: Vec<_> = out.iter().filter(|alert| !alert.ongoing).skip(before).collect();
    assert!(rest.iter().all(|alert| !alert.evidence.contains_key("closed_early")), "these were over");
}

#[test]
fn one_that_is_larger_than_all_may_be_goes_on_as_another() {
    let (mut episodes, mut out) = (small(5_000), Vec::new());
    for time_ms in 1..=200 {
        episodes.apply(spec(), finding(time_ms, Severity::High, &format!("u{time_ms}"), true), time_ms, &mut out);
        assert!(episodes.bytes() <= 5_000);
    }
    let ids: BTreeSet<_> = out.iter().map(|alert| &alert.id).collect();
    assert!(ids.len() > 2 && episodes.take_closed_early() == ids.len() as u64 - episodes.len() as u64);
    assert_eq!(hits(&out).len(), 200);
}

#[test]
fn a_smaller_limit_holds_from_the_next_finding_on() {
    let (mut one, mut out) = (Episodes::default(), Vec::new());
    for time_ms in 1..=100 {
        let finding = finding(time_ms, Severity::Low, "u1", false);
        one.apply(spec(), Finding { key: format!("ip:{time_ms}"), ..finding }, time_ms, &mut out);
    }
    let bytes = {
        let mut bytes = Vec::new();
        one.begin_save();
        while !one.save_some(3, &mut bytes).unwrap() {}
        bytes
    };
    let mut two = small(one.bytes() / 2);
    two.load_some(&bytes).unwrap();
    assert_eq!((two.len(), two.bytes()), (100, one.bytes()), "held bytes are counted when loading");
    two.apply(spec(), finding(101, Severity::Low, "u1", false), 101, &mut out);
    assert!(two.bytes() <= one.bytes() / 2 && two.len() > 40);
}

#[test]
fn lists_of_one_alert_are_bounded() {
    let limits = Limits { hits_max: 3, attempts_max: 2, event_ids_each_max: 2, ..Limits::default() };
    let (mut episodes, mut out) = (Episodes::new(limits), Vec::new());
    for time_ms in 1..=20 {
        let finding = finding(time_ms, Severity::High, &format!("u{time_ms}"), time_ms > 10);
        episodes.apply(spec(), finding, time_ms, &mut out);
    }
    let last = out.last().unwrap();
    assert_eq!((last.subjects.len(), hits(&out).len()), (5, 3), "attempts take no room from hits");
    assert_eq!(last.event_ids, ["e1", "e2", "e11", "e12", "e19", "e20"]);
}

/// Saves with changes after each piece, and loads what came out.
fn saved(episodes: &mut Episodes, mut change: impl FnMut(&mut Episodes)) -> Episodes {
    let count = episodes.begin_save();
    let mut bytes = Vec::new();
    loop {
        change(episodes);
        if episodes.save_some(3, &mut bytes).unwrap() {
            break;
        }
    }
    let mut loaded = Episodes::new(episodes.limits);
    loaded.load_some(&bytes).unwrap();
    assert_eq!(loaded.len(), count);
    loaded
}

#[test]
fn a_loaded_copy_goes_on_like_the_original() {
    goes_on_like_the_original(usize::MAX);
    for bytes_max in [2_000, 10_000, 20_000, 30_000] {
        goes_on_like_the_original(bytes_max);
    }
}

fn goes_on_like_the_original(bytes_max: usize) {
    let (mut one, mut out) = (small(bytes_max), Vec::new());
    for time_ms in 1..=50 {
        let finding = finding(time_ms, Severity::Medium, &format!("u{time_ms}"), time_ms % 3 == 0);
        one.apply(spec(), Finding { key: format!("ip:{}", time_ms % 20), ..finding }, time_ms, &mut out);
    }
    // What happens while it is saved happens to the copy afterwards.
    let later = |n: i64| {
        let finding = finding(60 + n, if n % 2 == 0 { Severity::Critical } else { Severity::Low }, "u1", true);
        Finding { key: format!("ip:{}", n * 7 % 25), ..finding }
    };
    let (mut first, mut second, mut n) = (Vec::new(), Vec::new(), 0);
    let mut two = saved(&mut one, |episodes| {
        n += 1;
        episodes.apply(spec(), later(n), 60, &mut first);
        episodes.advance(n + spec().quiet_gap_ms, 60, &mut first);
    });
    for n in 1..=n {
        two.apply(spec(), later(n), 60, &mut second);
        two.advance(n + spec().quiet_gap_ms, 60, &mut second);
    }
    assert!((n > 5 || bytes_max < usize::MAX) && !first.is_empty());
    assert_eq!((one.bytes(), counted(&one)), (two.bytes(), counted(&two)));
    one.advance(i64::MAX, 61, &mut first);
    two.advance(i64::MAX, 61, &mut second);
    assert_eq!(first, second);
}

const MINUTE_MS: i64 = 60_000;

/// An attack with a client, from an address, over these names; it is told two minutes after it began.
fn from(address: u8, sign: u64, start_ms: i64, names: std::ops::Range<i64>) -> Finding {
    let subjects = names.map(|n| Subject::new(EntityKind::User, format!("u{n}"), Role::Victim)).collect();
    let finding = finding(start_ms + 2 * MINUTE_MS, Severity::Medium, "", false);
    Finding { key: format!("ip:{address}"), first_time_ms: start_ms, subjects, sign: Some(sign), event_count: 10, ..finding }
}

/// A further try from an address, which shows nothing of the sign.
fn goes_on(address: u8, time_ms: i64, victim: &str, hit: bool) -> Finding {
    let severity = if hit { Severity::Critical } else { Severity::Medium };
    Finding { key: format!("ip:{address}"), ..finding(time_ms, severity, victim, hit) }
}

/// The last version of each alert.
fn told(findings: impl IntoIterator<Item = Finding>) -> Vec<Alert> {
    let (mut episodes, mut out) = (Episodes::default(), Vec::new());
    for finding in findings {
        let time_ms = finding.time_ms;
        episodes.apply(spec(), finding, time_ms, &mut out);
    }
    episodes.advance(i64::MAX, 0, &mut out);
    out.retain(|alert| !alert.ongoing);
    out
}

#[test]
fn addresses_of_one_attack_make_one_alert_with_all_its_hits() {
    let found = told([
        from(1, 7, 0, 0..10),
        from(2, 7, MINUTE_MS, 10..20),
        goes_on(1, 5 * MINUTE_MS, "u3", true),
        from(3, 7, 3 * MINUTE_MS, 20..30),
        goes_on(2, 6 * MINUTE_MS, "u13", true),
        goes_on(3, 200 * MINUTE_MS, "u23", true),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].key.as_str(), found[0].severity, found[0].event_count), ("ip:1", Severity::Critical, 33));
    assert_eq!(hits(&found), ["u13", "u23", "u3"].map(str::to_owned).into());
    assert!(found[0].reason.ends_with("with ip:2, ip:3."), "{}", found[0].reason);
}

#[test]
fn two_attacks_at_the_same_time_stay_two_alerts() {
    let together = |sign| [from(1, 7, 0, 0..10), from(2, sign, MINUTE_MS, 10..20)];
    assert_eq!(told(together(8)).len(), 2, "another client");
    assert_eq!(told(together(7).map(|finding| Finding { sign: None, ..finding })).len(), 2, "nothing is known of clients");
    let [one, other] = together(7);
    assert_eq!(told([one, Finding { tenant: "other".into(), ..other }]).len(), 2, "another tenant");
    // The same tool against other people, while the first goes on.
    let slow = (0..20).map(|n| goes_on(1, (10 + n * 6) * MINUTE_MS, &format!("u{n}"), false));
    let later = from(2, 7, 129 * MINUTE_MS, 30..40);
    assert_eq!(told([from(1, 7, 0, 0..10)].into_iter().chain(slow).chain([later])).len(), 2);
    // A list of all people holds the few names of another by chance.
    assert_eq!(told([from(1, 7, 0, 0..150), from(2, 7, 60 * MINUTE_MS, 40..50)]).len(), 2);
}

#[test]
fn an_address_that_takes_over_where_another_stops_or_tries_the_same_names_belongs_to_it() {
    let takes_over = told([from(1, 7, 0, 0..10), from(2, 7, 12 * MINUTE_MS, 10..20), from(3, 7, 22 * MINUTE_MS, 20..30)]);
    assert_eq!(takes_over.len(), 1);
    assert_eq!(told([from(1, 7, 0, 0..30), from(2, 7, 120 * MINUTE_MS, 20..32)]).len(), 1, "another round over the same names");
}

#[test]
fn of_an_attack_from_very_many_addresses_the_sign_alone_is_enough() {
    let many = |at_ms| (0..200).map(move |n| from(n, 7, at_ms, i64::from(n) * 10..i64::from(n) * 10 + 10));
    let found = told(many(0).chain(many(30 * MINUTE_MS)));
    assert_eq!((found.len(), found[0].event_count), (1, 4_000));
    assert!(found[0].reason.ends_with("and 61 more."), "{}", found[0].reason);
}

#[test]
fn what_was_joined_stays_so_over_a_checkpoint_and_counts_in_bytes() {
    let (mut one, mut out) = (Episodes::default(), Vec::new());
    for n in 0..12 {
        let start_ms = i64::from(n) * MINUTE_MS / 4;
        one.apply(spec(), from(n, u64::from(n % 3), start_ms, i64::from(n) * 10..i64::from(n) * 10 + 10), 0, &mut out);
        assert_eq!(one.bytes(), counted(&one));
    }
    assert_eq!(one.len(), 3);
    let mut two = saved(&mut one, |_| ());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (episodes, out) in [(&mut one, &mut first), (&mut two, &mut second)] {
        for n in 0..15 {
            let at_ms = (4 + i64::from(n)) * MINUTE_MS;
            episodes.apply(spec(), goes_on(n, at_ms, "hit", true), 0, out);
            episodes.apply(spec(), from(n + 20, u64::from(n % 3), 4 * MINUTE_MS, 0..3), 0, out);
        }
    }
    assert_eq!((one.len(), one.bytes()), (6, two.bytes()), "three that nothing was known of");
    let late = goes_on(3, spec().quiet_gap_ms * 3, "u1", false);
    for (episodes, out) in [(&mut one, &mut first), (&mut two, &mut second)] {
        episodes.apply(spec(), late.clone(), 0, out);
        episodes.advance(i64::MAX, 0, out);
        assert_eq!((episodes.bytes(), episodes.joins.len()), (0, 0));
    }
    assert_eq!(first, second);
    assert!(first.iter().any(|alert| alert.key == "ip:3"), "long after, an address is by itself again");
}

#[test]
fn a_tool_that_comes_again_hours_later_with_other_names_is_another_attack() {
    let client = |start_ms, names| Finding { key: "client:curl".into(), ..from(0, 7, start_ms, names) };
    let hour = 60 * MINUTE_MS;
    assert_eq!(told([client(0, 0..25), client(3 * hour, 100..125)]).len(), 2);
    assert_eq!(told([client(0, 0..25), client(3 * hour, 5..30)]).len(), 1, "another round over the same names");
    let goes_on = Finding { sign: None, ..client(3 * hour, 100..101) };
    assert_eq!(told([client(0, 0..25), goes_on]).len(), 1, "the detector takes it for the same");
}
