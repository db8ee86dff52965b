//! What lies in `deploy/` holds against the code: a rename there must not leave an
//! operator without a runbook entry, or with a rule that never fires.

use std::collections::BTreeSet;
use std::path::Path;

use bartizan::telemetry::health::HealthId;
use bartizan::telemetry::metrics::Metrics;

use crate::support::{daemon::bartizan, folder};

fn deployed(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The words of a text that are made of lower-case letters, digits and underscores.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).collect()
}

#[test]
fn every_health_alert_has_an_entry_in_the_runbook() {
    let runbook = deployed("runbook.md");
    let headings: BTreeSet<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for id in HealthId::ALL {
        assert!(headings.contains(id.as_str()), "no entry for {}", id.as_str());
    }
}

#[test]
fn rules_use_existing_metrics_and_point_to_existing_entries() {
    let (rules, runbook) = (deployed("prometheus-rules.yml"), deployed("runbook.md"));
    let series: BTreeSet<String> = Metrics::series().into_iter().map(|(name, _)| name).collect();
    let used: Vec<_> = words(&rules).into_iter().filter(|word| word.starts_with("bartizan_")).collect();
    assert!(used.len() > 3, "{used:?}");
    for name in used {
        assert!(series.contains(name), "no metric {name}");
    }
    for anchor in rules.split("runbook.md#").skip(1).map(|rest| words(rest.lines().next().unwrap_or(""))) {
        let found = anchor.iter().any(|name| !name.is_empty() && runbook.contains(&format!("\n## {name}\n")));
        assert!(found || anchor.contains("labels"), "no entry for {anchor:?}");
    }
}

#[test]
fn rules_name_existing_health_alerts() {
    let rules = deployed("prometheus-rules.yml");
    let known: BTreeSet<_> = HealthId::ALL.iter().map(|id| id.as_str()).collect();
    for list in rules.split("bartizan_health_alerts_active{id").skip(1) {
        let list = list.split('"').nth(1).unwrap();
        for id in list.split('|') {
            assert!(known.contains(id), "no health alert {id}");
        }
    }
}

#[test]
fn the_configuration_inside_the_compose_file_is_valid() {
    let compose = deployed("compose.yaml");
    let (_, inline) = compose.split_once("    content: |\n").unwrap();
    let config: String = inline
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("      "))
        .map(|line| format!("{}\n", line.get(6..).unwrap_or("")))
        .collect();
    // The secret exists only inside the containers.
    let folder = folder("compose");
    std::fs::write(folder.join("secret"), "secret").unwrap();
    let secret = folder.join("secret").display().to_string();
    let config = config.replace("/run/secrets/clickhouse_password", &secret);
    std::fs::write(folder.join("compose.toml"), config).unwrap();
    let output = bartizan(&folder, &["check", "-c", "compose.toml"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_example_of_the_forwarder_is_valid() {
    let folder = folder("forwarder");
    std::fs::write(folder.join("secret"), "secret").unwrap();
    let config = deployed("keycloak/forward.toml");
    let secrets = ["kafka.password", "keycloak.secret"].map(|name| format!("/run/credentials/bartizan-keycloak.service/secrets_{name}"));
    let config = secrets.iter().fold(config, |config, secret| {
        assert!(config.contains(secret.as_str()));
        config.replace(secret, "secret")
    });
    std::fs::write(folder.join("forward.toml"), config).unwrap();
    let output = bartizan(&folder, &["check", "-c", "forward.toml"]);
    assert!(output.status.success(), "{output:?}");
}
