//! Channels tried and previewed, by the command line and by the API.

use std::process::Output;

use crate::support::daemon::Daemon;
use crate::support::scenario::{BASE, SECRET, webhook_section};
use crate::support::webhook::Webhook;

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_channel_is_tried_at_once_and_says_what_came_of_it() {
    let (well, broken) = (Webhook::start(), Webhook::start());
    broken.reply_always(500);
    let config = BASE.to_owned() + &webhook_section("well", &well.url("/")) + &webhook_section("broken", &broken.url("/"));
    let daemon = Daemon::start(&config);
    let tested = daemon.run(&["notify", "test", "-c", "bartizan.toml"]);
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    let said = lines(&tested);
    assert!(said[0].starts_with("well: delivered in ") && said[1].contains("HTTP 500"), "{said:?}");
    let received = well.received();
    assert_eq!((received.len(), received[0].json()["type"].as_str()), (1, Some("channel.test")));
    received[0].verify(SECRET).unwrap();
    let one = daemon.run(&["notify", "test", "-c", "bartizan.toml", "--channel", "well"]);
    assert_eq!((one.status.code(), lines(&one).len()), (Some(0), 1), "{one:?}");
    assert_eq!(daemon.run(&["notify", "test", "-c", "bartizan.toml", "--channel", "nobody"]).status.code(), Some(2));

    let answer = daemon.post("/api/v1/channels/well/test", &daemon.token("admin", None), "").json();
    assert_eq!((&answer["delivered"], &answer["error"]), (&true.into(), &serde_json::Value::Null), "{answer}");
    assert_eq!((well.received().len(), broken.received().len()), (3, 1));
}

#[test]
fn a_preview_shows_what_would_be_said_and_sends_nothing() {
    let slack = Webhook::start();
    let table = format!("[[channels]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"{}\"\nallow_private = true\n", slack.url("/"));
    let daemon = Daemon::prepare(&table);
    let shown = daemon.run(&["notify", "preview", "-c", "bartizan.toml", "--channel", "chat", "--type", "alert.opened"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let shown = lines(&shown).join("\n");
    assert!(shown.starts_with("POST\n") && shown.contains("Refresh token used again"), "{shown}");
    let wrong = daemon.run(&["notify", "preview", "-c", "bartizan.toml", "--channel", "chat", "--type", "alert.ended"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(slack.received().is_empty());
}
