#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::db::Db;
use crate::db::outbox::State;
use crate::notify::Routing;
use crate::notify::testing::{START_MS, alert, commit_at, messages, people};
use bartizan_core::Severity;
use serde_json::{Value, json};

fn config(changes: Value) -> ChannelConfig {
    let mut table = json!({
        "name": "mail", "kind": "email", "smtp": "smtps://user%40a.example@mail.example:465", "password": "p%41@:/ss",
        "from": "Bartizan <bartizan@a.example>", "to": ["oncall@a.example"],
    });
    for (name, value) in changes.as_object().unwrap() {
        table[name] = value.clone();
    }
    serde_json::from_value(table).unwrap()
}

fn message_of(alert: &crate::alert::Alert) -> Message {
    let db = Db::in_memory().unwrap();
    let routing = Routing {
        channels: vec![people("mail", Severity::Info)],
        targets: Vec::new(),
        public_url: Some("https://bartizan.example".to_owned()),
        ..Routing::default()
    };
    commit_at(&db, alert, &routing, START_MS);
    messages(&db, "mail", State::Pending).remove(0)
}

#[test]
fn goldens_of_the_mail() {
    let rendered = render(&View::of(&message_of(&alert("a1")).body).unwrap());
    assert_eq!(rendered.subject, "[HIGH] Refresh token used again: session:ses-1 (acme)");
    assert_eq!(rendered.text, include_str!("../../../tests/goldens/mail.txt"));
    assert_eq!(rendered.html, include_str!("../../../tests/goldens/mail.html"));
}

#[test]
fn a_mail_keeps_its_message_id_and_its_thread() {
    let message = message_of(&alert("a1"));
    let email = Email::new(&config(json!({})), 2).unwrap();
    let mail = String::from_utf8(email.mail(&message).unwrap().formatted()).unwrap();
    assert!(mail.contains(&format!("Message-ID: <{}@a.example>\r\n", message.message_id)), "{mail}");
    assert!(mail.contains("References: <msg_"));
    assert!(mail.contains("multipart/alternative"));
}

#[test]
fn nothing_goes_unencrypted_but_to_this_machine() {
    let secret = Secret::new("p%41@:/ss".to_owned());
    let url = server_url("smtps://user%40a.example@mail.example:465", Some(&secret)).unwrap();
    assert_eq!((url.username(), url.password()), ("user%40a.example", Some("p%2541%40%3A%2Fss")));
    for (text, with_password) in [
        ("smtp://user@mail.example:587?tls=required", true),
        ("smtps://mail.example", false),
        ("smtp://127.0.0.1:2525", false),
        ("smtp://localhost:2525", false),
    ] {
        assert!(server_url(text, with_password.then_some(&secret)).is_ok(), "{text}");
    }
    for (text, with_password) in [
        ("smtp://mail.example", false),
        ("smtp://user@127.0.0.1:2525", true),
        ("smtp://mail.example?tls=opportunistic", false),
        ("http://mail.example", false),
        ("smtps://user@mail.example", false),
        ("smtps://mail.example", true),
        ("smtps://user:word@mail.example", false),
        ("mail.example", false),
    ] {
        assert!(server_url(text, with_password.then_some(&secret)).is_err(), "{text}");
    }
    let many = config(json!({"to": ["a@a.example", "b@a.example", "c@a.example"]}));
    assert!(matches!(Email::new(&many, 2), Err(MailError::Recipients(2))));
    assert!(matches!(Email::new(&config(json!({"to": ["no address"]})), 2), Err(MailError::Address { key: "to", .. })));
}
