//! What passes the gate, and what a person weighs.

use super::*;
use crate::batch::{EventBatch, EventDraft, Field};
use crate::keys::KeyHasher;
use crate::state::heap_bytes;
use proptest::prelude::*;

const START_MS: i64 = 20_000 * DAY_MS;

/// Shows an event of `kind` on a day, with the device and network of these numbers, to `people`.
fn show(people: &mut People, user: u32, kind: Kind, day: i64, number: u32, change: impl FnOnce(&mut EventDraft<'_>), trust: Trust) {
    show_by(people, user, kind, day, number, change, trust, NetworkClass::Residential);
}

#[expect(clippy::too_many_arguments, reason = "a test's")]
fn show_by(
    people: &mut People,
    user: u32,
    kind: Kind,
    day: i64,
    number: u32,
    change: impl FnOnce(&mut EventDraft<'_>),
    trust: Trust,
    class: NetworkClass,
) {
    with_event(user, kind, day, number, change, class, |key, event| {
        let mut findings = Findings::default();
        findings.doubt(trust);
        people.learn(key, event, &findings);
    });
}

/// Makes such an event, and gives it to `take`.
fn with_event(
    user: u32,
    kind: Kind,
    day: i64,
    number: u32,
    change: impl FnOnce(&mut EventDraft<'_>),
    class: NetworkClass,
    take: impl FnOnce(Key, &Event<'_>),
) {
    let mut draft = EventDraft {
        time_ms: START_MS + day * DAY_MS,
        kind,
        outcome: Outcome::Success,
        ip: Some([203, 0, 113, number as u8].into()),
        ..EventDraft::default()
    };
    draft.texts.set(Field::User, format!("u{user}"));
    draft.texts.set(Field::Device, format!("device {number} of {user}"));
    draft.texts.set(Field::UserAgent, ["Firefox", "Chrome", "App", "Tablet"].into_iter().nth(number as usize % 4).unwrap_or_default());
    draft.texts.set(Field::Region, format!("region {number}"));
    change(&mut draft);
    let mut batch = EventBatch::default();
    let record = batch.push(&draft);
    (record.watermark_ms, record.asn, record.network_class) = (draft.time_ms, 100 + number.min(2), class);
    let country = if number.is_multiple_of(2) { *b"DE" } else { *b"NL" };
    record.place = Some(Place { country, latitude: 52.0, longitude: number as f32, accuracy_km: 50 });
    batch.hash_keys(&KeyHasher::new([0; 16]));
    let event = batch.get(0).unwrap();
    take(event.key(KEY).unwrap(), &event);
}

/// Teaches `people` an event like those of [`show`].
fn teach(people: &mut People, kind: Kind, day: i64, number: u32, change: impl FnOnce(&mut EventDraft<'_>), class: NetworkClass) {
    with_event(1, kind, day, number, change, class, |key, event| people.teach(key, event));
}

fn people() -> People {
    People::new(&Arc::new(Budget::new(1 << 30)))
}

/// The one person that is known.
fn only(people: &mut People) -> Person {
    let mut batch = EventBatch::default();
    let mut draft = EventDraft { time_ms: START_MS, ..EventDraft::default() };
    draft.texts.set(Field::User, "u1");
    batch.push(&draft).watermark_ms = START_MS;
    batch.hash_keys(&KeyHasher::new([0; 16]));
    let event = batch.get(0).unwrap();
    people.known(event.key(KEY).unwrap(), &event).person().unwrap().clone()
}

/// A user with 4 places, 4 devices, 3 networks and a last sign-in takes no more than this, the index and all that lies
/// idle included.
const BYTES_MAX: usize = 160;

#[test]
fn a_person_takes_little_memory() {
    for users in [1_000, 2_500, 4_097] {
        let mut people = people();
        for (user, number) in (0..users).flat_map(|user| (0..4).map(move |number| (user, number))) {
            // Two of the four are one carrier's.
            let class = if number < 2 { NetworkClass::Residential } else { NetworkClass::Mobile };
            show_by(&mut people, user, Kind::Login, i64::from(number), number, |_| {}, Trust::Full, class);
        }
        // Countries, regions, networks, devices, agents.
        let habits = 2 + 4 + 3 + 4 + 4;
        assert_eq!(only(&mut people).heap_bytes(), heap_bytes(habits * 5));
        let bytes = people.state().bytes() / users as usize;
        assert!(bytes <= BYTES_MAX, "{bytes} bytes for each of {users}");
    }
}

#[test]
fn nothing_but_what_is_a_persons_passes_the_gate() {
    type Refused = (&'static str, Kind, fn(&mut EventDraft<'_>), NetworkClass);
    let refused: [Refused; 5] = [
        ("a failed try", Kind::Login, |draft| draft.outcome = Outcome::Failure, NetworkClass::Residential),
        ("a program", Kind::Login, |draft| draft.user_kind = UserKind::Service, NetworkClass::Residential),
        ("a relay", Kind::Login, |_| {}, NetworkClass::Relay),
        ("an approval on the phone", Kind::MfaResult, |draft| draft.texts.set(Field::Factor, "push"), NetworkClass::Residential),
        ("a session nobody signed in for", Kind::ApiRequest, |_| {}, NetworkClass::Residential),
    ];
    for (name, kind, change, class) in refused {
        let mut people = people();
        show_by(&mut people, 1, kind, 0, 1, change, Trust::Full, class);
        assert!(people.state().is_empty(), "{name}");
    }
}

#[test]
fn a_stranger_leaves_nothing_but_the_days_of_a_network() {
    let mut people = people();
    (0..3).for_each(|day| show(&mut people, 1, Kind::Login, day, 1, |_| {}, Trust::Stranger));
    let person = only(&mut people);
    assert_eq!((person.habits.len(), person.days(), person.last_place()), (1, 3, None));
}

#[test]
fn what_is_doubtful_becomes_known_slowly_and_not_owned() {
    let mut people = people();
    for day in 0..3 {
        show(&mut people, 1, Kind::Login, day, 1, |_| {}, Trust::Doubtful);
        let person = only(&mut people);
        let country = country(*b"NL");
        let day = day_of(START_MS + day * DAY_MS);
        assert_eq!(person.habits.knows(Feature::Country, country, day), person.days() == 3);
        assert!(!person.habits.owned_before(Feature::Country, country, day + 1) && person.last_place().is_none());
    }
}

#[test]
fn behind_a_tunnel_no_place_is_learnt_and_a_new_device_slowly_with_its_network() {
    let mut people = people();
    show(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full);
    show_by(&mut people, 1, Kind::Login, 0, 2, |_| {}, Trust::Full, NetworkClass::Vpn);
    let (habits, day) = (only(&mut people).habits, day_of(START_MS));
    let weights = |feature| habits.weights(feature, 0, day).1;
    assert_eq!([Feature::Country, Feature::Region].map(weights), [1.0; 2]);
    assert!([Feature::Network, Feature::Device, Feature::Agent].map(weights).iter().all(|sum| (sum - 1.12).abs() < 0.001));
}

#[test]
fn a_dish_shows_whose_a_device_is_and_not_where() {
    let mut people = people();
    show_by(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full, NetworkClass::Satellite);
    let (person, day) = (only(&mut people), day_of(START_MS));
    let weights = |feature| person.habits.weights(feature, 0, day).1;
    assert_eq!([Feature::Country, Feature::Region, Feature::Network, Feature::Device].map(weights), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(person.last_place(), None);
}

#[test]
fn a_device_in_doubt_is_its_persons_once_it_shares_a_line_with_an_own_one_in_whatever_session() {
    let knows = |people: &mut People| {
        let mut knows = false;
        let look = |key: Key, event: &Event<'_>| knows = people.known(key, event).person().unwrap().familiar(event).device;
        with_event(1, Kind::Login, 2, 2, |_| {}, NetworkClass::Residential, look);
        knows
    };
    let elsewhere = |draft: &mut EventDraft<'_>| draft.ip = Some([198, 51, 100, 9].into());
    for class in [NetworkClass::Relay, NetworkClass::Vpn] {
        let mut people = people();
        show(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full);
        show_by(&mut people, 1, Kind::Login, 1, 2, |_| {}, Trust::Full, class);
        show(&mut people, 1, Kind::TokenRefresh, 1, 2, elsewhere, Trust::Full);
        show(&mut people, 1, Kind::ApiRequest, 1, 1, |_| {}, Trust::Full);
        assert!(!knows(&mut people), "{class}");
        show(&mut people, 1, Kind::ApiRequest, 1, 1, elsewhere, Trust::Full);
        assert!(knows(&mut people), "{class}");
    }
    let mut people = people();
    show(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full);
    show_by(&mut people, 1, Kind::Login, 1, 2, |_| {}, Trust::Stranger, NetworkClass::Relay);
    show(&mut people, 1, Kind::TokenRefresh, 1, 2, elsewhere, Trust::Full);
    show(&mut people, 1, Kind::ApiRequest, 1, 1, elsewhere, Trust::Full);
    assert!(!knows(&mut people), "told as a stranger's");
}

#[test]
fn a_session_goes_on_once_a_day_with_a_device_that_is_known() {
    let mut people = people();
    show(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full);
    for (day, number, sign_ins) in [(0, 1, 1), (1, 2, 1), (1, 1, 2), (1, 1, 2), (2, 1, 3)] {
        show(&mut people, 1, Kind::ApiRequest, day, number, |_| {}, Trust::Full);
        assert_eq!(only(&mut people).sign_ins(), sign_ins, "day {day}, device {number}");
    }
}

#[test]
fn each_device_counts_once_a_day() {
    let mut people = people();
    (1..3).for_each(|number| show(&mut people, 1, Kind::Login, 0, number, |_| {}, Trust::Full));
    for (number, sign_ins) in [(1, 3), (2, 4), (1, 4), (2, 4)] {
        show(&mut people, 1, Kind::TokenRefresh, 1, number, |_| {}, Trust::Full);
        assert_eq!(only(&mut people).sign_ins(), sign_ins, "device {number}");
    }
}

#[test]
fn a_session_that_goes_on_abroad_with_an_own_device_shows_where_its_person_is() {
    let mut people = people();
    show(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full);
    show(&mut people, 1, Kind::ApiRequest, 1, 1, |_| {}, Trust::Full);
    let knows_germany = |people: &mut People| only(people).habits.knows(Feature::Country, country(*b"DE"), day_of(START_MS + DAY_MS));
    // Number 2 comes from there.
    show(&mut people, 1, Kind::ApiRequest, 1, 2, |_| {}, Trust::Full);
    assert!(!knows_germany(&mut people), "a stranger's device");
    let own = |draft: &mut EventDraft<'_>| draft.texts.set(Field::Device, "device 1 of 1");
    show_by(&mut people, 1, Kind::ApiRequest, 1, 2, own, Trust::Full, NetworkClass::Mobile);
    assert!(!knows_germany(&mut people), "a carrier's gateway");
    show(&mut people, 1, Kind::ApiRequest, 1, 2, own, Trust::Full);
    assert!(knows_germany(&mut people));
}

#[test]
fn a_second_factor_adds_no_weight() {
    let mut people = people();
    show(&mut people, 1, Kind::Login, 0, 1, |_| {}, Trust::Full);
    let before = only(&mut people).habits;
    show(&mut people, 1, Kind::MfaResult, 0, 1, |_| {}, Trust::Full);
    let (after, country, day) = (only(&mut people).habits, country(*b"NL"), day_of(START_MS));
    assert_eq!(after.weights(Feature::Country, country, day), before.weights(Feature::Country, country, day));
}

#[test]
fn what_people_vouch_for_is_owned_on_its_own_day() {
    for (kind, class) in [
        (Kind::Login, NetworkClass::Residential),
        (Kind::Login, NetworkClass::Hosting),
        (Kind::Login, NetworkClass::Vpn),
        (Kind::AccountChange, NetworkClass::Mobile),
    ] {
        let mut people = people();
        (0..3).for_each(|day| show(&mut people, 1, Kind::Login, day, 2, |_| {}, Trust::Full));
        show_by(&mut people, 1, Kind::Login, 3, 1, |_| {}, Trust::Stranger, class);
        let before = only(&mut people);
        teach(&mut people, kind, 3, 1, |_| {}, class);
        let after = only(&mut people);
        assert_eq!((after.sign_ins(), after.last_place()), (before.sign_ins(), before.last_place()), "it is no sign-in more");
        let look = |key: Key, event: &Event<'_>| {
            let known = people.known(key, event);
            let (person, traits) = (known.person().unwrap(), Traits::of(event).unwrap());
            assert!(person.familiar(event).is_own(), "{class}");
            for (feature, value) in [(Feature::Device, traits.device), (Feature::Network, traits.network)] {
                assert!(person.habits.owned_before(feature, value, traits.day), "{feature:?}, {class}");
            }
            // Where a VPN lies says nothing of anybody.
            assert_eq!(person.familiar(event).country, class != NetworkClass::Vpn, "{class}");
        };
        with_event(1, Kind::Login, 3, 1, |_| {}, class, look);
    }
}

#[test]
fn what_shows_nothing_of_a_person_teaches_nothing() {
    type Refused = (&'static str, Kind, fn(&mut EventDraft<'_>), NetworkClass);
    let refused: [Refused; 5] = [
        ("a failed try", Kind::Login, |draft| draft.outcome = Outcome::Failure, NetworkClass::Residential),
        ("a program", Kind::Login, |draft| draft.user_kind = UserKind::Service, NetworkClass::Residential),
        ("a relay", Kind::Login, |_| {}, NetworkClass::Relay),
        ("an approval on the phone", Kind::MfaResult, |draft| draft.texts.set(Field::Factor, "push"), NetworkClass::Residential),
        ("a recovery", Kind::PasswordReset, |_| {}, NetworkClass::Residential),
    ];
    for (name, kind, change, class) in refused {
        let mut people = people();
        teach(&mut people, kind, 0, 1, change, class);
        assert!(people.state().is_empty(), "{name}");
    }
}

#[test]
fn extreme_times_have_a_day() {
    assert_eq!((day_of(i64::MIN), day_of(i64::MAX)), (0, u16::MAX));
}

proptest! {
    #[test]
    fn a_place_is_kept_to_half_a_kilometre(latitude in -90.0_f32..=90.0, longitude in -180.0_f32..=180.0, accuracy_km in any::<u16>()) {
        let place = Place { country: [0; 2], latitude, longitude, accuracy_km };
        let kept = Spot::of(place).place().unwrap();
        prop_assert!(crate::geo::distance_km(&place, &kept) < 0.5, "{:?} {:?}", place, kept);
        prop_assert_eq!(kept.accuracy_km, accuracy_km);
    }

    #[test]
    fn any_number_is_a_place(latitude in any::<f32>(), longitude in any::<f32>()) {
        let place = Place { country: [0; 2], latitude, longitude, accuracy_km: 0 };
        prop_assert!(Spot::of(place).place().is_some());
    }
}
