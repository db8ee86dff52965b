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
    }
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
