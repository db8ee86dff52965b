//! The supports themselves: each real part starts, does its work and comes back.

use std::time::{SystemTime, UNIX_EPOCH};

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};
use serde_json::json;

use crate::support::browser::browse;
use crate::support::http::{client, send};
use crate::support::kafka::{Broker, shared};
use crate::support::smtp::{Encryption, Smtp};
use crate::support::tls::Authority;
use crate::support::webhook::{Webhook, signature};
use crate::support::{PATIENCE, folder, unique};

#[test]
fn a_broker_keeps_its_records_over_a_stop_and_a_kill() {
    let mut broker = Broker::start();
    let topic = "kept";
    broker.cluster.create_topic(topic, 3);
    broker.cluster.produce(topic, &[("a", "1"), ("b", "2"), ("", "3")]);
    broker.stop();
    broker.start_again();
    broker.cluster.produce(topic, &[("a", "4")]);
    broker.kill();
    broker.start_again();
    let records = broker.cluster.wait_for_records(topic, 4, PATIENCE);
    let mut values: Vec<_> = records.iter().map(|r| r.value.as_slice()).collect();
    values.sort_unstable();
    assert_eq!(values, [b"1", b"2", b"3", b"4"]);
}

#[test]
fn the_console_producer_writes_each_line_of_a_file() {
    let (cluster, topic) = (shared(), unique("lines"));
    cluster.create_topic(&topic, 2);
    let file = folder("lines").join("lines.jsonl");
    let lines: String = (0..10_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    std::fs::write(&file, &lines).unwrap();
    cluster.console_produce(&topic, &file);
    assert_eq!(cluster.end_offsets(&topic).iter().sum::<i64>(), 10_000);
    let mut read: Vec<_> = cluster.records(&topic).into_iter().map(|r| r.value).collect();
    let mut wanted: Vec<_> = lines.lines().map(|line| line.as_bytes().to_vec()).collect();
    read.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(read, wanted);
}

#[test]
fn headers_and_commits_are_read_back() {
    let (cluster, topic, group) = (shared(), unique("headers"), unique("group"));
    cluster.create_topic(&topic, 1);
    cluster.produce_with_headers(&topic, b"\xff\0", &[("reason", b"not_utf8")]);
    let records = cluster.records(&topic);
    assert_eq!(records[0].value, b"\xff\0");
    assert_eq!(records[0].headers, [("reason".to_owned(), b"not_utf8".to_vec())]);
    assert_eq!(cluster.committed(&group, &topic), [None]);
}

fn mail(to: &str) -> Message {
    let to: Mailbox = to.parse().unwrap();
    Message::builder()
        .from("bartizan@example.org".parse().unwrap())
        .to(to)
        .subject("Prüfung")
        .message_id(Some("<one@example.org>".to_owned()))
        .multipart(MultiPart::alternative_plain_html("plain".to_owned(), "<p>rich</p>".to_owned()))
        .unwrap()
}

#[test]
fn an_smtp_server_takes_refuses_and_comes_back() {
    let mut server = Smtp::start();
    let transport = SmtpTransport::builder_dangerous("127.0.0.1").port(server.port).build();
    transport.send(&mail("oncall@example.org")).unwrap();
    let received = server.wait_for_mails(1, PATIENCE);
    assert_eq!(received[0].from, "bartizan@example.org");
    assert_eq!(received[0].to, ["oncall@example.org"]);
    assert_eq!(received[0].headers["subject"], "Prüfung");
    assert_eq!(received[0].headers["message-id"], "<one@example.org>");
    assert_eq!(received[0].text.as_deref().map(str::trim), Some("plain"));
    assert_eq!(received[0].html.as_deref().map(str::trim), Some("<p>rich</p>"));
    assert!(!received[0].tls);
    assert!(transport.send(&mail("busy@example.org")).unwrap_err().is_transient());
    assert!(transport.send(&mail("unknown@example.org")).unwrap_err().is_permanent());
    server.stop();
    assert!(transport.send(&mail("oncall@example.org")).is_err());
    server.start_again();
    transport.send(&mail("oncall@example.org")).unwrap();
    assert_eq!(server.wait_for_mails(2, PATIENCE).len(), 2);
}

#[test]
fn an_smtp_server_wants_encryption_and_a_password() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let authority = Authority::new();
    let pem = std::fs::read(&authority.ca_file).unwrap();
    for encryption in [Encryption::Implicit, Encryption::Starttls] {
        let server = Smtp::start_secure(&authority, encryption, "mailer", "right");
        let parameters =
            TlsParameters::builder("localhost".to_owned()).add_root_certificate(Certificate::from_pem(&pem).unwrap()).build().unwrap();
        let tls = match encryption {
            Encryption::Implicit => Tls::Wrapper(parameters),
            Encryption::Starttls => Tls::Required(parameters),
        };
        let transport = |password: &str| {
            SmtpTransport::builder_dangerous("127.0.0.1")
                .port(server.port)
                .tls(tls.clone())
                .credentials(Credentials::new("mailer".to_owned(), password.to_owned()))
                .build()
        };
        assert!(transport("wrong").send(&mail("a@example.org")).is_err());
        transport("right").send(&mail("a@example.org")).unwrap();
        let received = server.wait_for_mails(1, PATIENCE);
        assert!(received[0].tls, "{encryption:?}");
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].user.as_deref(), Some("mailer"), "{encryption:?}");
    }
}

#[test]
fn a_webhook_receiver_records_and_answers_as_told() {
    let mut webhook = Webhook::start();
    let post = |webhook: &Webhook| send(client().post(webhook.url("/in?a=b")).body("{\"a\":1}"));
    webhook.reply([503, 410]);
    let statuses = [(); 3].map(|()| post(&webhook).unwrap().status);
    assert_eq!(statuses, [503, 410, 204]);
    let received = webhook.received();
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].path, "/in?a=b");
    assert_eq!(received[0].json(), json!({"a": 1}));
    assert!(received[0].at <= received[1].at);
    let answered: Vec<_> = received.iter().map(|r| r.answered).collect();
    assert_eq!(answered, statuses);
    webhook.stop();
    assert!(post(&webhook).is_err());
    webhook.start_again();
    webhook.reply_always(500);
    assert_eq!(post(&webhook).unwrap().status, 500);
}

#[test]
fn a_webhook_receiver_verifies_signatures() {
    // The example of the Standard Webhooks specification.
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
    let signed = |stamp: &str| signature(secret, id, stamp, body.as_bytes()).unwrap();
    assert_eq!(signed("1614265330"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let webhook = Webhook::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (stamp, body) in [(now, body), (now - 3600, body), (now, "other")] {
        let stamp = stamp.to_string();
        let request = client()
            .post(webhook.url("/"))
            .header("webhook-id", id)
            .header("webhook-timestamp", &stamp)
            .header("webhook-signature", format!("v1,AAAA {}", signed(&stamp)))
            .body(body);
        send(request).unwrap();
    }
    let received = webhook.wait_for_count(3, PATIENCE);
    let verified: Vec<_> = received.iter().map(|r| r.verify(secret).is_ok()).collect();
    assert_eq!(verified, [true, false, false]);
}

#[test]
fn a_browser_runs_steps_and_takes_pictures() {
    let outcome = browse(&json!([
        {"do": "goto", "url": "data:text/html,<h1>one</h1><input id=i><p>two<p>three"},
        {"do": "text", "selector": "h1", "name": "title"},
        {"do": "fill", "selector": "#i", "value": "typed"},
        {"do": "eval", "script": "document.getElementById('i').value", "name": "input"},
        {"do": "wait_count", "selector": "p", "at_least": 2},
        {"do": "texts", "selector": "p", "name": "all"},
        {"do": "eval", "script": "console.warn('seen')"},
        {"do": "screenshot", "name": "page"},
    ]));
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.values["title"], "one");
    assert_eq!(outcome.values["input"], "typed");
    assert_eq!(outcome.values["all"], json!(["two", "three"]));
    assert_eq!(outcome.console, ["warning: seen"]);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let picture = std::fs::read(outcome.screenshot("page")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert!(picture.len() > 1000, "an empty picture");
    let failed = browse(&json!([{"do": "press", "key": "NoSuchKey"}]));
    assert!(failed.error.is_some_and(|error| error.contains("NoSuchKey")));
}
