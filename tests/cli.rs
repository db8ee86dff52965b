//! The commands as their users run them.

use std::process::Output;

use serde_json::Value;

use crate::support::daemon::{Daemon, bartizan};
use crate::support::scenario::BASE;
use crate::support::{PATIENCE, folder, wait_for};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    text(&output.stdout)
}

#[test]
fn help_is_everywhere_and_wrong_use_is_code_2() {
    let folder = folder("cli");
    let commands: &[&[&str]] = &[
        &[],
        &["run"],
        &["demo"],
        &["replay"],
        &["normalise"],
        &["simulate"],
        &["evaluate"],
        &["check"],
        &["detectors"],
        &["notify"],
        &["notify", "test"],
        &["notify", "preview"],
        &["token"],
        &["token", "create"],
        &["token", "list"],
        &["token", "revoke"],
        &["audit"],
        &["audit", "verify"],
        &["audit", "export"],
        &["response"],
        &["response", "stop"],
        &["response", "start"],
        &["response", "status"],
    ];
    for command in commands {
        let help = done(&bartizan(&folder, &[command, &["--help"][..]].concat()));
        assert!(help.contains("Usage: bartizan"), "{command:?}: {help}");
    }
    let wrong: &[&[&str]] = &[
        &[],
        &["no-such"],
        &["run", "--no-such"],
        &["replay"],
        &["replay", "--format", "no-such", "-"],
        &["normalise"],
        &["check"],
        &["simulate", "--seed", "x", "--events", "1", "--out", "-", "--labels", "l"],
        &["evaluate"],
        &["evaluate", "--labels", "l"],
        &["evaluate", "--labels", "l", "--alerts", "a", "--seeds", "1"],
        &["evaluate", "--seeds", "9..=1"],
        &["evaluate", "--seeds", "1", "--without", "no-such"],
        &["evaluate", "--seeds", "1", "--ablate=no-such"],
        &["evaluate", "--seeds", "1", "--ablate", "--floor-recall", "0.5"],
        &["evaluate", "--seeds", "1", "--ablate", "--evade"],
        &["evaluate", "--labels", "l", "--alerts", "a", "--evade"],
        &["notify", "preview"],
        &["notify", "test"],
        &["audit"],
        &["audit", "verify", "--head", "x"],
        &["audit", "export", "--since", "yesterday"],
        &["response", "stop"],
        &["response", "stop", "--reason", " "],
        &["token", "create", "--name", "n"],
        &["token", "create", "--name", "n", "--role", "king"],
        &["token", "create", "--name", "n", "--role", "viewer", "--expires", "soon"],
    ];
    for command in wrong {
        let output = bartizan(&folder, command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{command:?}: {output:?}");
    }
    assert!(std::fs::read_dir(&folder).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn replay_finds_the_attacks_of_a_simulation_and_says_the_same_twice() {
    let folder = folder("replay");
    let run = |arguments: &str| bartizan(&folder, &arguments.split_whitespace().collect::<Vec<_>>());
    done(&run("simulate --seed 7 --events 16000 --out events.jsonl --labels labels.jsonl"));
    done(&run("simulate --seed 7 --events 16000 --out again.jsonl --labels labels-again.jsonl"));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(read("events.jsonl") == read("again.jsonl") && read("labels.jsonl") == read("labels-again.jsonl"), "one seed, two worlds");
    assert_eq!(text(&read("events.jsonl")).lines().count(), 16_000);

    let summary = run("replay --alerts alerts.jsonl --rejects rejects.jsonl events.jsonl");
    done(&summary);
    let summary = text(&summary.stderr);
    for line in ["events     16000", "rejected   0", "credential_stuffing", "token_reuse", "impossible_travel", "unusual_location"] {
        assert!(summary.contains(line), "{line} in {summary}");
    }
    let twice = run("replay events.jsonl");
    done(&twice);
    assert!(twice.stdout == read("alerts.jsonl"), "the same input gave other alerts");
    std::fs::write(folder.join("events.jsonl.zst"), zstd::encode_all(read("events.jsonl").as_slice(), 1).unwrap()).unwrap();
    assert!(run("replay events.jsonl.zst").stdout == read("alerts.jsonl"), "packed input gave other alerts");

    let found = done(&run("evaluate --labels labels.jsonl --alerts alerts.jsonl"));
    let mine = ["credential_stuffing", "token_reuse", "impossible_travel", "unusual_location"];
    let rows = found.lines().take_while(|line| !line.trim().is_empty()).filter(|line| mine.iter().any(|kind| line.starts_with(kind)));
    let count = |cell: Option<&str>| cell.unwrap().parse::<u32>().unwrap();
    let (mut attacks, mut missed) = (0, 0);
    for mut cells in rows.map(str::split_whitespace) {
        let (total, found) = (count(cells.nth(1)), count(cells.next()));
        (attacks, missed) = (attacks + total, missed + total - found);
    }
    // In three days there is little that anybody could be known by.
    assert!(attacks >= 12 && missed <= 2, "{missed} of {attacks} missed\n{found}");
}

#[test]
fn a_seed_evaluated_in_memory_scores_as_its_files_do() {
    let folder = folder("evaluate");
    let run = |arguments: &str| bartizan(&folder, &arguments.split_whitespace().collect::<Vec<_>>());
    done(&run("simulate --seed 7 --events 16000 --days 3 --out events.jsonl --labels labels.jsonl"));
    done(&run("replay --alerts alerts.jsonl events.jsonl"));
    done(&run("evaluate --labels labels.jsonl --alerts alerts.jsonl --events events.jsonl --json files.json"));
    let told = done(&run("evaluate --seeds 7 --events-per-seed 16000 --days 3 --floor-recall 0.5 --json seed.json"));
    assert!(told.contains("worst seed: 7"), "{told}");
    let read = |name: &str| serde_json::from_slice::<Value>(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    let (files, seed) = (read("files.json"), read("seed.json"));
    assert!(files["total"]["sign_ins"].as_u64() > Some(100), "{files}");
    for part in ["total", "kinds", "detectors", "habits"] {
        assert_eq!(files[part], seed[part]);
    }

    let told = done(&run("evaluate --seeds 7 --events-per-seed 16000 --days 3 --ablate=rules --json ablation.json"));
    assert!(told.contains("credential_stuffing: Credential stuffing from "), "{told}");
    let ablation = read("ablation.json");
    assert_eq!(ablation["whole"]["total"], seed["total"], "{ablation}");

    let missed = run("evaluate --seeds 7 --events-per-seed 16000 --days 3 --without credential_stuffing --floor-kind 1 --floor-recall 0");
    assert_eq!(missed.status.code(), Some(1), "{missed:?}");
    let told = text(&missed.stderr);
    assert!(told.contains("--floor-kind missed: recall of") && !told.contains("--floor-recall"), "{told}");
}

#[test]
fn replay_and_normalise_name_what_they_reject() {
    let folder = folder("rejects");
    let good = r#"{"time":"2026-03-01T12:00:00Z","kind":"login","outcome":"failure","user":"u1","ip":"::ffff:192.0.2.1"}"#;
    std::fs::write(folder.join("in.jsonl"), format!("{good}\nnonsense\n\n{good}\n{{\"time\":0}}\n")).unwrap();
    let run = |arguments: &[&str]| bartizan(&folder, arguments);
    let events = done(&run(&["normalise", "--format", "bartizan", "--rejects", "rejects", "in.jsonl"]));
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<u64> = events.iter().map(|event| event["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 4]);
    assert_eq!(events[0]["ip"], "192.0.2.1");
    let rejects = std::fs::read_to_string(folder.join("rejects")).unwrap();
    let rejects: Vec<Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rejects.iter().map(|reject| reject["line"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 5]);
    assert!(rejects.iter().all(|reject| reject["reason"].is_string()), "{rejects:?}");

    std::fs::write(folder.join("empty"), "").unwrap();
    assert_eq!(done(&run(&["replay", "empty"])), "");
    let packed = zstd::encode_all(good.as_bytes(), 1).unwrap();
    std::fs::write(folder.join("cut.zst"), &packed[..packed.len() / 2]).unwrap();
    for input in ["absent", "cut.zst"] {
        let output = run(&["replay", input]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains(input), "{output:?}");
    }
}

#[test]
fn tokens_work_at_once_beside_a_running_daemon() {
    let daemon = Daemon::start(BASE);
    let status = |token: &str| daemon.get("/api/v1/alerts", token).status;
    assert_eq!(status("unknown"), 401);
    let token = daemon.token("viewer", None);
    assert_eq!(status(&token), 200);
    let list = done(&daemon.run(&["token", "list", "-c", "bartizan.toml"]));
    assert!(!list.contains(&token), "{list}");
    let row = list.lines().find(|line| line.contains("viewer")).unwrap();
    let id = row.split_whitespace().next().unwrap();
    done(&daemon.run(&["token", "revoke", "-c", "bartizan.toml", id]));
    assert_eq!(status(&token), 401);
    assert_eq!(daemon.run(&["token", "revoke", "-c", "bartizan.toml", id]).status.code(), Some(1));
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let short =
        daemon.run(&["token", "create", "-c", "bartizan.toml", "--role", "viewer", "--name", "short", "--expires", &soon.to_string()]);
    let short = done(&short).trim().to_owned();
    assert_eq!(status(&short), 200);
    wait_for("an expired token", PATIENCE, || (status(&short) == 401).then_some(()));
    assert!(jiff::Timestamp::now() >= soon);
    let database = std::fs::read(daemon.folder.join("data/bartizan.db")).unwrap();
    let secret = token.as_bytes();
    assert!(!database.windows(secret.len()).any(|window| window == secret), "the token itself is kept");
}

#[test]
fn the_audit_trail_is_verified_and_exported_beside_a_running_daemon() {
    let daemon = Daemon::start(BASE);
    let run = |arguments: &[&str]| daemon.run(&[&["audit"], arguments].concat());
    let admin = daemon.token("admin", None);
    let head = || daemon.get("/api/v1/status", &admin).json()["audit_head"]["hash"].as_str().unwrap().to_owned();
    daemon.token("viewer", None);
    let noted = head();
    daemon.token("viewer", None);
    let verified = done(&run(&["verify", "-c", "bartizan.toml", "--head", &noted]));
    assert!(verified.contains("records ") && verified.contains(&head()), "{verified}");
    done(&run(&["export", "-c", "bartizan.toml", "--out", "trail.jsonl"]));
    done(&run(&["verify", "trail.jsonl", "--head", &noted]));
    let path = daemon.folder.join("trail.jsonl");
    let trail = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, trail.replacen("viewer", "analyst", 1)).unwrap();
    let broken = run(&["verify", "trail.jsonl"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("the trail is broken at record"), "{broken:?}");
    let elsewhere = run(&["verify", "-c", "bartizan.toml", "--head", &"0a".repeat(32)]);
    assert_eq!(elsewhere.status.code(), Some(1), "{elsewhere:?}");
}

#[test]
fn machines_are_stopped_with_and_without_a_daemon() {
    let folder = folder("response");
    std::fs::create_dir(folder.join("bartizan-data")).unwrap();
    let alone = |arguments: &[&str]| bartizan(&folder, &[&["response"], arguments].concat());
    assert_eq!(done(&alone(&["status"])), "machines may act\n");
    assert!(done(&alone(&["stop", "--reason", "a \u{1b}[31mtest"])).contains("a \\u{1b}[31mtest"));
    assert!(done(&alone(&["status"])).contains("machines are stopped since"));
    assert_eq!(done(&alone(&["start"])), "machines may act\n");

    let daemon = Daemon::start(BASE);
    let admin = daemon.token("admin", None);
    let run = |arguments: &[&str]| done(&daemon.run(&[&["response"], arguments, &["-c", "bartizan.toml"]].concat()));
    let health = |raised: bool| {
        wait_for("the health alert", PATIENCE, || {
            let status = daemon.get("/api/v1/status", &admin).json();
            let is_raised = status["health"].as_array().unwrap().iter().any(|alert| alert["id"] == "response_stopped");
            (is_raised == raised && status["response"]["stopped"] == raised).then_some(())
        });
    };
    run(&["stop", "--reason", "a drill"]);
    health(true);
    run(&["start"]);
    health(false);
    let trail = daemon.get("/api/v1/audit?subject=response", &admin).json();
    let actions: Vec<_> = trail["items"].as_array().unwrap().iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["response.started", "response.stopped"]);
    assert!(trail["items"][0]["actor"].as_str().unwrap().starts_with("command line ("), "{trail}");
}

#[test]
fn detectors_are_listed_with_their_parameters() {
    let folder = folder("detectors");
    let list = done(&bartizan(&folder, &["detectors"]));
    for word in ["credential_stuffing", "token_reuse", "impossible_travel", "unusual_location", "grace_ms", "60000", "T1110.004", "T1539"] {
        assert!(list.contains(word), "{word} in {list}");
    }
}
