//! What needs the store: events, entities, the events behind an alert. On the real engine.

use super::answers::as_the_console_expects;
use super::*;
use crate::store::tests::{JUNE_MS, row, store};
use serde_json::json;

#[tokio::test]
async fn events_and_entities_come_from_the_store() {
    let (_folder, embedded, store) = store().await;
    let hostile = "<img src=x>\t\u{202e}'\\";
    let mut other = row("o1", "u1", JUNE_MS);
    other.tenant = "umbrella";
    let ids: Vec<_> = (0..30).map(|number| format!("e{number}")).collect();
    let rows: Vec<_> = ids
        .iter()
        .zip(0..)
        .map(|(id, number)| row(id, if number == 7 { hostile } else { "u1" }, JUNE_MS + number))
        .chain([other])
        .collect();
    store.insert_events(rows.iter().copied()).await.unwrap();
    let api = Api::with(HttpConfig::default(), Some(store));
    let (acme, all) = (api.token(Role::Viewer, Some("acme")), api.token(Role::Viewer, None));

    let page = api.get(&acme, "/api/v1/events?limit=20&user=u1").await;
    as_the_console_expects("events", &page);
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = api.get(&acme, &format!("/api/v1/events?user=u1&cursor={cursor}")).await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (9, &Value::Null));
    api.get(&acme, &format!("/api/v1/events?user=u2&cursor={cursor}")).await.is_problem(400, Some("cursor"));

    let name: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    let found = api.get(&acme, &format!("/api/v1/events?user={name}")).await.json();
    assert_eq!((found["items"].as_array().unwrap().len(), &found["items"][0]["user"]), (1, &json!(hostile)));

    let events =
        api.get(&all, "/api/v1/events?ip=203.0.113.7&limit=1000&kind=login&outcome=failure&since=2026-06-01T00:00:00Z").await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 31);
    let first = &events["items"][0];
    assert_eq!(
        (&first["ip"], &first["network"]["asn"], &first["place"]["country_code"]),
        (&json!("203.0.113.7"), &json!(64496), &json!("DE"))
    );

    // Times beyond the store's calendar, and texts that are hard to quote.
    for (query, count) in
        [("since=0001-01-01T00:00:00Z&until=9999-12-30T00:00:00Z", 31), ("since=9999-12-30T00:00:00Z", 0), ("user=%00%0a%5cN%27", 0)]
    {
        let page = api.get(&all, &format!("/api/v1/events?{query}")).await;
        assert_eq!(page.json()["items"].as_array().map(Vec::len), Some(count), "{query}: {page:?}");
    }

    api.alert("a1", "acme");
    let entity = api.get(&acme, "/api/v1/entities/user/u1").await;
    as_the_console_expects("entity", &entity);
    let entity = entity.json();
    assert_eq!((&entity["event_count"], &entity["alerts"][0]["id"]), (&json!(29), &json!("a1")));
    assert!(entity["risk"]["score"].as_u64().is_some() && entity["places"][0]["country_code"] == "DE");
    let device = api.get(&acme, "/api/v1/entities/device/d1").await.json();
    assert_eq!((&device["event_count"], &device["alerts"]), (&json!(30), &json!([])));
    assert_eq!(api.get(&acme, "/api/v1/events?device=d1&limit=1000").await.json()["items"].as_array().unwrap().len(), 30);
    let nobody = api.get(&acme, "/api/v1/entities/session/%2e%2e%2fx%20y").await.json();
    assert_eq!((&nobody["first_seen"], &nobody["value"], &nobody["event_count"]), (&Value::Null, &json!("../x y"), &json!(0)));
    assert_eq!(api.get("", "/readyz").await.status, 200);
    embedded.stop().await;
}

#[tokio::test]
async fn a_stored_event_is_explained_with_what_is_stored_before_it() {
    let (_folder, embedded, store) = store().await;
    let ids: Vec<_> = (0..40).map(|number| format!("e{number}")).collect();
    let rows: Vec<_> = ids.iter().zip(0..).map(|(id, number)| row(id, "u1", JUNE_MS + number * 1_000)).collect();
    store.insert_events(rows.iter().copied()).await.unwrap();
    // Written again: counted once.
    store.insert_events(rows[..10].iter().copied()).await.unwrap();
    let api = Api::with(HttpConfig::default(), Some(store));
    let (acme, other) = (api.token(Role::Viewer, Some("acme")), api.token(Role::Viewer, Some("umbrella")));
    api.alert("a1", "acme");

    let answer = api.get(&acme, "/api/v1/explain?event=e39").await.json();
    assert_eq!((&answer["event"]["id"], &answer["standing"], &answer["events_before"]), (&json!("e39"), &json!("judged"), &json!(39)));
    assert_eq!((&answer["truncated"], answer["detectors"].as_array().unwrap().len()), (&json!(false), bartizan_catalogue::all().count()));
    let brute = answer["detectors"].as_array().unwrap().iter().find(|account| account["detector"] == "brute_force").unwrap();
    assert_eq!((&brute["verdict"], &brute["key"], &brute["severity"]), (&json!("found"), &json!("user:u1"), &json!("medium")), "{brute}");
    // As the command line reads it.
    let read: crate::api::explain::ExplainView = serde_json::from_str(&answer.to_string()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&serde_json::to_string(&read).unwrap()).unwrap(), answer);
    let at = bartizan_core::TimeMs(JUNE_MS + 5_500);
    let answer = api.get(&acme, &format!("/api/v1/explain?user=u1&time={at}")).await.json();
    assert_eq!((&answer["event"]["id"], &answer["events_before"]), (&json!("e5"), &json!(5)));

    api.get(&other, "/api/v1/explain?event=e39").await.is_problem(404, None);
    api.get(&acme, "/api/v1/explain?event=nothing").await.is_problem(404, None);
    for wrong in ["", "?event=e1&user=u1", "?user=u1", "?time=2026-06-01T00:00:00Z"] {
        api.get(&acme, &format!("/api/v1/explain{wrong}")).await.is_problem(400, None);
    }
    let few = HttpConfig { explain_events_max: 10, ..HttpConfig::default() };
    let api = Api::with(few, api.store.borrow().clone());
    let acme = api.token(Role::Viewer, Some("acme"));
    let answer = api.get(&acme, "/api/v1/explain?event=e39").await.json();
    assert_eq!((&answer["truncated"], &answer["events_before"]), (&json!(true), &json!(5)));
    embedded.stop().await;
}

#[tokio::test]
async fn a_timeline_has_the_events_that_its_alerts_name() {
    let (_folder, embedded, store) = store().await;
    let api = Api::with(HttpConfig::default(), Some(store.clone()));
    let (acme, all) = (api.token(Role::Viewer, Some("acme")), api.token(Role::Viewer, None));
    let (first, _) = (api.alert("a1", "acme"), api.alert("a2", "acme"));
    let start_ms = first.first_event_time.0;
    let mut strange = row("e1", "u9", start_ms);
    strange.tenant = "umbrella";
    // One of another tenant, one that no alert names, and one that was written twice.
    let rows = [
        row("e1", "u1", start_ms),
        row("e2", "u1", start_ms + 400),
        strange,
        row("e3", "u1", start_ms + 500),
        row("e2", "u1", start_ms + 400),
    ];
    store.insert_events(rows.iter().copied()).await.unwrap();
    let incident = api.db.read(|tx| crate::db::alerts::get(tx, "a1")).unwrap().unwrap().incident.unwrap();
    let mut path = format!("/api/v1/incidents/{incident}/timeline?limit=2");
    let mut entries = Vec::new();
    loop {
        let page = api.get(&acme, &path).await.json();
        assert_eq!(page.get("events_missing"), None);
        entries.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/incidents/{incident}/timeline?limit=2&cursor={cursor}");
    }
    assert!(entries.windows(2).all(|pair| pair[0]["time"].as_str() >= pair[1]["time"].as_str()), "newest first: {entries:#?}");
    let whole = api.get(&all, &format!("/api/v1/incidents/{incident}/timeline")).await.json();
    assert_eq!(whole["items"].as_array().map(Vec::len), Some(entries.len()), "page by page nothing is lost or doubled");
    let events: Vec<_> = entries.iter().filter(|entry| entry["kind"] == "event").collect();
    assert_eq!(events.iter().map(|entry| entry["about"].as_str().unwrap()).collect::<Vec<_>>(), ["e2", "e1"]);
    assert_eq!((&events[0]["change"]["user"], &events[0]["change"]["tenant"]), (&json!("u1"), &json!("acme")));
    embedded.stop().await;
}
