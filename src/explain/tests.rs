//! What detectors say of events when they are asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::detect::DetectorTables;
use crate::store::{EventRow, Position, StoredEvent};
use crate::suppress::{By, Tally};
use bartizan_core::batch::Field;
use bartizan_core::{EventDraft, Kind, NetworkClass, Outcome, Place, Severity};

const JUNE_MS: i64 = 1_780_272_000_000;
const DAY_MS: i64 = 86_400_000;

fn explainer() -> Explainer {
    Explainer::new(&DetectConfig::default(), &Enabled::new(bartizan_catalogue::all(), &DetectorTables::new()).unwrap())
}

/// A sign-in of ann's, at these coordinates.
fn sign_in(batch: &mut EventBatch, id: &str, time_ms: i64, device: &str, (country, latitude, longitude): (&str, f32, f32), asn: u32) {
    let mut draft = EventDraft { time_ms, kind: Kind::Login, outcome: Outcome::Success, ..EventDraft::default() };
    draft.ip = Some(format!("81.2.{}.7", asn % 250).parse().unwrap());
    for (field, text) in
        [(Field::Id, id), (Field::Tenant, "acme"), (Field::User, "ann"), (Field::Device, device), (Field::UserAgent, "Firefox")]
    {
        draft.texts.set(field, text.to_owned());
    }
    let record = batch.push(&draft);
    record.place = Some(Place { country: country.as_bytes().try_into().unwrap(), latitude, longitude, accuracy_km: 20 });
    (record.asn, record.network_class, record.arrival_ms) = (asn, NetworkClass::Residential, time_ms);
}

const HOME: (&str, f32, f32) = ("DE", 52.5, 13.4);
const FAR: (&str, f32, f32) = ("US", 40.7, -74.0);

/// Ten days at home.
fn past() -> EventBatch {
    let mut past = EventBatch::default();
    (0..10).for_each(|day| sign_in(&mut past, &format!("d{day}"), JUNE_MS + day * DAY_MS, "laptop", HOME, 3320));
    past
}

fn explain(events: &EventBatch, suppressions: Option<Arc<Suppressions>>) -> Explanation {
    let mut explainer = explainer();
    explainer.judge(past().iter());
    explainer.explain(&events.get(0).unwrap(), suppressions)
}

fn of<'a>(explanation: &'a Explanation, detector: &str) -> &'a DetectorAccount {
    explanation.detectors.iter().find(|account| account.detector == detector).unwrap()
}

#[test]
fn what_is_found_is_told_and_what_is_suppressed_says_by_what() {
    let mut events = EventBatch::default();
    sign_in(&mut events, "x", JUNE_MS + 9 * DAY_MS + 3_600_000, "other", FAR, 7018);
    let explanation = explain(&events, None);
    let travel = of(&explanation, "impossible_travel");
    assert_eq!((travel.verdict, travel.key.as_deref(), travel.severity), (Verdict::Found, Some("user:ann"), Some(Severity::High)));
    assert!(travel.text.contains("limit 1000 km/h"), "{travel}");
    assert_eq!((explanation.standing, explanation.events_before), (Standing::Judged, 10));

    let entry = crate::suppress::Suppression {
        id: "sup_1".into(),
        tenant: "acme".into(),
        detector: Some("impossible_travel".into()),
        about: crate::suppress::About::Entity { kind: crate::suppress::Kind::User, value: "ann".into() },
        owner: "bob".into(),
        reason: "travels with a crew".into(),
        created_ms: 0,
        expires_ms: i64::MAX,
        added: 1,
        removed: None,
    };
    let explanation = explain(&events, Some(Arc::new(Suppressions::new(vec![entry]))));
    let travel = of(&explanation, "impossible_travel");
    assert_eq!((travel.verdict, travel.suppression.as_deref()), (Verdict::Suppressed, Some("sup_1")));
}

/// The phone that ann has at home, too, far away.
fn far_with_the_phone() -> (Explainer, EventBatch) {
    let mut explainer = explainer();
    let mut before = past();
    (0..9).for_each(|day| sign_in(&mut before, &format!("p{day}"), JUNE_MS + day * DAY_MS + 1_000, "phone", HOME, 3320));
    let mut sorted: Vec<_> = before.iter().collect();
    sorted.sort_by_key(Event::time_ms);
    explainer.judge(sorted.into_iter());
    let mut far = EventBatch::default();
    sign_in(&mut far, "far", JUNE_MS + 9 * DAY_MS + 600_000, "phone", FAR, 7018);
    (explainer, far)
}

/// Alerts, and lines of the ledger by detector, gate and key, with their findings.
type Gathered = (usize, Vec<(&'static str, By, String, u64)>);

fn gathered(explainer: Explainer) -> Gathered {
    let (alerts, lines) = explainer.gathered().unwrap().newest_first();
    let line = |line: Tally| (line.sample.detector, line.sample.by, line.sample.key, line.findings);
    (alerts.len(), lines.into_iter().map(line).collect())
}

#[test]
fn what_became_of_those_concerned_is_gathered() {
    let of = |events: &EventBatch| Around::of(&StoredEvent::from(EventRow::new(&events.get(0).unwrap(), Position::default())));
    let (mut explainer, far) = far_with_the_phone();
    explainer.gather(of(&far));
    assert_eq!(explainer.explain(&far.get(0).unwrap(), None).standing, Standing::Judged);
    let (alerts, ledger) = gathered(explainer);
    assert_eq!(alerts, 0);
    assert!(ledger.contains(&("impossible_travel", By::Gate("own_at_both_ends"), "user:ann".to_owned(), 1)), "{ledger:?}");

    let mut strange = EventBatch::default();
    sign_in(&mut strange, "x", JUNE_MS + 9 * DAY_MS + 3_600_000, "other", FAR, 7018);
    let mut soon_after = EventBatch::default();
    sign_in(&mut soon_after, "z", JUNE_MS + 9 * DAY_MS + 5_400_000, "other", FAR, 7018);
    let mut the_day_before = EventBatch::default();
    sign_in(&mut the_day_before, "y", JUNE_MS + 8 * DAY_MS, "laptop", HOME, 3320);
    for (about, told) in [(&strange, true), (&soon_after, true), (&the_day_before, false)] {
        let mut explainer = self::explainer();
        explainer.gather(of(about));
        explainer.judge(past().iter());
        explainer.judge(strange.iter());
        assert_eq!(gathered(explainer).0 > 0, told, "an alert of another day is none around the event");
    }
}

#[test]
fn what_is_held_back_names_its_gate_and_numbers() {
    let (mut explainer, far) = far_with_the_phone();
    let explanation = explainer.explain(&far.get(0).unwrap(), None);
    let travel = of(&explanation, "impossible_travel");
    assert_eq!((travel.verdict, travel.gate.as_deref()), (Verdict::HeldBack, Some("own_at_both_ends")), "{travel}");
    let unusual = of(&explanation, "unusual_location");
    assert_eq!((unusual.verdict, unusual.gate.as_deref()), (Verdict::HeldBack, Some("own_device")), "{unusual}");
    assert!(unusual.text.contains("country") && unusual.text.contains("19 sign-ins"), "{unusual}");
}

#[test]
fn what_an_analyst_taught_counts() {
    let mut before = past();
    sign_in(&mut before, "stranger", JUNE_MS + 9 * DAY_MS + 3_600_000, "other", FAR, 7018);
    sign_in(&mut before, "d10", JUNE_MS + 10 * DAY_MS, "laptop", HOME, 3320);
    let (mut again, mut lessons) = (EventBatch::default(), EventBatch::default());
    sign_in(&mut again, "again", JUNE_MS + 10 * DAY_MS + 3_600_000, "other", FAR, 7018);
    before.iter().skip(10).take(1).for_each(|event| _ = lessons.copy(&event));
    let travel = |lessons: Option<EventBatch>| {
        let mut explainer = explainer();
        explainer.judge(before.iter());
        lessons.into_iter().for_each(|lessons| explainer.learn(lessons));
        of(&explainer.explain(&again.get(0).unwrap(), None), "impossible_travel").verdict
    };
    assert_eq!((travel(None), travel(Some(lessons))), (Verdict::Found, Verdict::HeldBack));
}

#[test]
fn each_detector_gives_an_account_and_says_why_it_does_not_look() {
    let mut events = EventBatch::default();
    sign_in(&mut events, "usual", JUNE_MS + 10 * DAY_MS, "laptop", HOME, 3320);
    let explanation = explain(&events, None);
    assert_eq!(explanation.detectors.len(), bartizan_catalogue::all().count());
    let silent = explanation.detectors.iter().filter(|account| account.verdict == Verdict::Silent);
    // Nearly all that look at a sign-in say more than that there was nothing.
    assert!(silent.clone().filter(|account| account.gate.is_some()).count() >= 6, "{:#?}", silent.collect::<Vec<_>>());
    let api = of(&explanation, "api_enumeration");
    assert_eq!((api.verdict, api.gate.as_deref()), (Verdict::NotConcerned, None));
    assert!(api.text.contains("login"), "{api}");
}

#[test]
fn what_comes_late_or_again_is_said_not_to_be_judged() {
    let mut late = EventBatch::default();
    sign_in(&mut late, "late", JUNE_MS, "laptop", HOME, 3320);
    let explanation = explain(&late, None);
    assert_eq!(explanation.standing, Standing::Late);
    assert!(explanation.detectors.iter().all(|account| account.verdict == Verdict::NotConcerned));
    let mut again = EventBatch::default();
    sign_in(&mut again, "d9", JUNE_MS + 9 * DAY_MS, "laptop", HOME, 3320);
    assert_eq!(explain(&again, None).standing, Standing::Repeated);
}
