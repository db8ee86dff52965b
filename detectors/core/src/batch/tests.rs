use super::*;
use crate::keys::KeyHasher;
use proptest::prelude::*;

fn draft<'a>(user: &'a str, ip: &str) -> EventDraft<'a> {
    let mut draft = EventDraft { ip: ip.parse().ok(), kind: Kind::Login, ..EventDraft::default() };
    draft.texts.set(Field::Tenant, "acme");
    draft.texts.set(Field::User, user);
    draft
}

#[test]
fn a_batch_gives_back_what_was_put_in() {
    let mut batch = EventBatch::default();
    batch.push(&draft("ann", "203.0.113.7"));
    batch.push(&draft("b\u{202e}ob", "2001:db8::1"));
    let users: Vec<_> = batch.iter().map(|event| event.user().unwrap()).collect();
    assert_eq!(users, ["ann", "b\u{202e}ob"]);
    assert_eq!(batch.get(0).unwrap().session(), None);
}

#[test]
fn keys_differ_by_tenant_and_agree_within_a_subnet() {
    let mut batch = EventBatch::default();
    batch.push(&draft("ann", "203.0.113.7"));
    batch.push(&draft("bob", "203.0.113.99"));
    let mut other = draft("ann", "203.0.113.7");
    other.texts.set(Field::Tenant, "beta");
    batch.push(&other);
    batch.hash_keys(&KeyHasher::new([7; 16]));
    let key = |index: usize, kind| batch.get(index).unwrap().key(kind);
    assert_eq!(key(0, KeyKind::Subnet), key(1, KeyKind::Subnet));
    assert_ne!(key(0, KeyKind::Address), key(1, KeyKind::Address));
    assert_ne!(key(0, KeyKind::User), key(2, KeyKind::User));
    assert_eq!(key(0, KeyKind::Session), None);
}

proptest! {
    /// What is taken over from the event before is what would have been hashed.
    #[test]
    fn events_of_one_session_have_the_keys_that_each_has_alone(events in prop::collection::vec(any::<[bool; 11]>(), 1..40)) {
        let mut together = EventBatch::default();
        for [session, tenant, user, device, agent, ja4, app, address, place, region, token] in events {
            let mut one = draft(if user { "ann" } else { "" }, if address { "203.0.113.7" } else { "2001:db8::1" });
            let texts = [(Field::Tenant, tenant, "beta"), (Field::Session, session, "s"), (Field::Device, device, "laptop"),
                (Field::UserAgent, agent, "Firefox/140"), (Field::Ja4, ja4, "t13_a_b"), (Field::App, app, "web")];
            texts.into_iter().filter(|(_, is, _)| *is).for_each(|(field, _, text)| one.texts.set(field, text));
            one.token = token.then_some(TokenHash([7; 16]));
            together.push(&one).place = place.then_some(Place { country: *b"DE", latitude: 0.0, longitude: 0.0, accuracy_km: 0 });
            let region = together.append_text(if region { "Bavaria" } else { "Bremen" });
            together.records.last_mut().unwrap().set_text(Field::Region, region);
        }
        together.hash_keys(&KeyHasher::new([7; 16]));
        let mut programs = Programs::default();
        for event in together.iter() {
            let mut alone = EventBatch::default();
            alone.copy(&event);
            // In one batch after another, with what was read before.
            let mut after_others = alone.clone();
            alone.hash_keys(&KeyHasher::new([7; 16]));
            after_others.hash_keys_with(&KeyHasher::new([7; 16]), &mut programs);
            let prints = |record: &Record| (record.keys, record.identity, record.software, record.region);
            prop_assert_eq!(prints(event.record), prints(&alone.records[0]));
            prop_assert_eq!(prints(event.record), prints(&after_others.records[0]));
        }
    }
}

#[test]
fn an_app_is_one_key_within_its_tenant() {
    let mut batch = EventBatch::default();
    for (user, tenant, app) in [("ann", "acme", "ios"), ("bob", "acme", "ios"), ("ann", "beta", "ios"), ("ann", "acme", "")] {
        let mut one = draft(user, "203.0.113.7");
        one.texts.set(Field::Tenant, tenant);
        one.texts.set(Field::App, app);
        batch.push(&one);
    }
    batch.hash_keys(&KeyHasher::new([7; 16]));
    let key = |index: usize| batch.get(index).unwrap().key(KeyKind::App);
    assert!(key(0).is_some() && key(0) == key(1) && key(0) != key(2));
    assert_eq!(key(3), None);
}

#[test]
fn what_a_request_bears_is_one_key_in_all_tenants() {
    let mut batch = EventBatch::default();
    for (tenant, session, token) in [("acme", "s", 1), ("beta", "s", 2), ("acme", "", 1), ("beta", "", 1), ("acme", "", 2), ("acme", "", 0)]
    {
        let mut one = draft("ann", "203.0.113.7");
        one.texts.set(Field::Tenant, tenant);
        one.texts.set(Field::Session, session);
        one.token = (token > 0).then_some(TokenHash([token; 16]));
        batch.push(&one);
    }
    batch.hash_keys(&KeyHasher::new([7; 16]));
    let key = |index: usize| batch.get(index).unwrap().key(KeyKind::Bearer);
    assert!(key(0).is_some() && key(0) == key(1) && key(2).is_some() && key(2) == key(3));
    assert!(key(0) != key(2) && key(2) != key(4));
    assert_eq!(key(5), None);
}

#[test]
fn the_canonical_record_survives_its_json_form() {
    let mut one = draft("a\"nn\n", "203.0.113.7");
    one.token = Some(TokenHash([9; 16]));
    one.status = Some(200);
    let json = serde_json::to_string(&one).unwrap();
    let back: EventDraft<'_> = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
    assert_eq!(back.texts.get(Field::User), "a\"nn\n");
}
