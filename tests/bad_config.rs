//! Configurations and surroundings that are wrong: a clear message, the right exit code, and nothing
//! left behind.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::support::daemon::{Daemon, bartizan};
use crate::support::kafka::shared;
use crate::support::scenario::{BASE, SECRET, kafka_section, now_ms, wait_until_stored};
use crate::support::{PATIENCE, folder, unique};

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `check` and `run` on a configuration that neither may take, and gives what `check` said.
fn refused(config: &str) -> String {
    let daemon = Daemon::prepare(config);
    let (check, run) = (daemon.run(&["check", "-c", "bartizan.toml"]), daemon.run(&["run", "-c", "bartizan.toml"]));
    assert_eq!((check.status.code(), run.status.code()), (Some(2), Some(2)), "{check:?} {run:?}");
    assert!(check.stdout.is_empty(), "{check:?}");
    message(&check)
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = folder("config");
    for command in ["check", "run"] {
        let output = bartizan(&folder, &[command, "-c", "absent.toml"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(message(&output).contains("absent.toml"), "{output:?}");
        let output = bartizan(&folder, &[command, "-c", "/"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    let said = refused("[http\nlisten = ");
    assert!(said.contains("bartizan.toml"), "{said}");
    let daemon = Daemon::prepare("");
    std::fs::write(daemon.folder.join("bartizan.toml"), b"data_dir = \"\xff\"").unwrap();
    assert_eq!(daemon.run(&["check", "-c", "bartizan.toml"]).status.code(), Some(2));
}

#[test]
fn every_error_is_told_at_once_with_its_key() {
    let said = refused(
        "nonsense = 1\n[http]\npublic_url = 5\nlissen = \"x\"\n[detect]\nlateness_ms = \"soon\"\n[detectors.token_reuse]\nenabled = true\n[stor]\n",
    );
    for key in ["nonsense", "http.public_url", "http.lissen", "detect.lateness_ms", "stor"] {
        assert!(said.contains(&format!("{key}: ")), "{key} in {said}");
    }
    assert!(said.contains("did you mean listen?"), "{said}");
    let said =
        refused("[detect]\nlateness_ms = -1\n[store]\nretention_days = 0\n[detectors.no_such]\n[detectors.token_reuse]\ngrace_ms = -5\n");
    for key in ["detect.lateness_ms", "store.retention_days", "detectors.no_such", "detectors.token_reuse.grace_ms"] {
        assert!(said.contains(key), "{key} in {said}");
    }
    let said = refused(
        "[kafka]\nbrokers = \"\"\ntopics = [{ name = \"a\", format = \"no-such-format\" }]\nproperties = { \"no.such\" = \"1\" }\n",
    );
    for key in ["kafka.brokers", "no-such-format", "no.such"] {
        assert!(said.contains(key), "{key} in {said}");
    }
    assert!(refused("[[channels]]\nname = \"a\"\nkind = \"webhook\"\n").contains("channels.a.url"));
}

#[test]
fn an_environment_variable_is_checked_like_the_file() {
    let mut daemon = Daemon::prepare("");
    daemon.set_env("BARTIZAN__DETECT__THREADS", "many");
    let output = daemon.run(&["check", "-c", "bartizan.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(message(&output).contains("detect.threads"), "{output:?}");
}

#[test]
fn secret_files_that_do_not_serve_are_named_and_not_shown() {
    let table = |file: &str| {
        format!("[[channels]]\nname = \"oncall\"\nkind = \"webhook\"\nurl = \"https://hooks.example/in\"\nsecret_file = \"{file}\"\n")
    };
    for (content, kind) in [(None, "absent"), (Some("not-a-secret-but-private"), "of another form"), (Some(""), "empty")] {
        let daemon = Daemon::prepare(&table("hook.secret"));
        if let Some(content) = content {
            daemon.write("hook.secret", content);
        }
        let output = daemon.run(&["run", "-c", "bartizan.toml"]);
        assert_eq!(output.status.code(), Some(2), "{kind}: {output:?}");
        let said = message(&output);
        assert!(said.contains("channels.oncall"), "{kind}: {said}");
        assert!(!said.contains("not-a-secret-but-private"), "{said}");
        let check = daemon.run(&["check", "-c", "bartizan.toml"]);
        assert_eq!(check.status.code(), Some(2), "check finds what run finds, {kind}: {check:?}");
    }
    let daemon = Daemon::prepare(&table("hook.secret"));
    daemon.write("hook.secret", &format!("{SECRET}\n"));
    let output = daemon.run(&["check", "-c", "bartizan.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_port_in_use_ends_the_start() {
    let daemon = Daemon::prepare(BASE);
    let _taken = TcpListener::bind(("127.0.0.1", daemon.port)).unwrap();
    let output = daemon.run(&["run", "-c", "bartizan.toml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(message(&output).contains(&format!("cannot listen on 127.0.0.1:{} (http.listen)", daemon.port)), "{output:?}");
}

#[test]
fn a_data_folder_in_use_ends_the_start_and_leaves_the_other_alone() {
    let mut first = Daemon::start(BASE);
    let mut second = Daemon::prepare(BASE);
    second.set_env("BARTIZAN__DATA_DIR", first.folder.join("data").display().to_string());
    let output = second.run(&["run", "-c", "bartizan.toml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(message(&output).contains("another bartizan daemon uses it"), "{output:?}");
    first.wait_until_ready(PATIENCE);
}

#[test]
fn a_missing_engine_is_said_clearly() {
    let daemon = Daemon::prepare("[embedded]\nlibrary = \"/no/such/libchdb.so\"\n");
    let output = daemon.run(&["run", "-c", "bartizan.toml"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(message(&output).contains("embedded.library") && message(&output).contains("/no/such/libchdb.so"), "{output:?}");
    let daemon = Daemon::prepare("[embedded]\nlibrary = \"broken.so\"\n");
    daemon.write("broken.so", "no library");
    let output = daemon.run(&["run", "-c", "bartizan.toml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(message(&output).contains("broken.so"), "{output:?}");
}

#[test]
fn missing_and_damaged_place_files_are_told_and_stop_nothing() {
    let (cluster, topic) = (shared(), unique("places"));
    cluster.create_topic(&topic, 1);
    let event = format!("{{\"time\":{},\"kind\":\"login\",\"user\":\"u\",\"ip\":\"192.0.2.1\"}}", now_ms());
    cluster.produce(&topic, &[("", &event)]);
    let places = "[places]\ncity = [\"absent.mmdb\", \"damaged.mmdb\"]\nnetworks = [\"damaged.csv\"]\n";
    let mut daemon = Daemon::prepare(&(kafka_section(cluster, &unique("group"), &[&topic]) + places));
    daemon.write("damaged.mmdb", "no database");
    daemon.write("damaged.csv", "one,two\n\u{0}");
    daemon.launch();
    wait_until_stored(&mut daemon, 1, PATIENCE);
    daemon.wait_until_ready(PATIENCE);
    for file in ["absent.mmdb", "damaged.mmdb", "damaged.csv"] {
        assert!(daemon.log().contains(file), "{file} in {}", daemon.log());
    }
    assert!(Path::new(&daemon.folder).join("data").exists());
}
