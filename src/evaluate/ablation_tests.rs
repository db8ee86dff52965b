//! What is switched off against the same thing done another way, on a seed that is small enough for each run of the tests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::ablation::{Ablation, Group, Worth};
use super::tests::bench;
use super::workbench::in_parallel;
use super::{Report, attacks_looked_for};
use crate::config::Config;
use crate::simulate::SimulationConfig;

fn simulated(seed: u64) -> SimulationConfig {
    SimulationConfig { seed, events: 20_000, start_ms: 1_780_000_000_000, days: 4, attacks: attacks_looked_for() }
}

fn ablation(groups: &[Group]) -> Ablation {
    Ablation::of(vec![bench(Config::default()).ablate(simulated(7), groups).unwrap()])
}

fn worth<'a>(ablation: &'a Ablation, detector: Option<&str>, name: &str) -> &'a Worth {
    let found = ablation.without.iter().find(|worth| worth.switch.detector == detector && worth.switch.name == name);
    found.unwrap_or_else(|| panic!("{detector:?} {name} in {ablation}"))
}

#[test]
fn a_detector_that_is_switched_off_scores_as_one_that_the_configuration_does_not_name() {
    let ablation = ablation(&[Group::Detectors]);
    let whole = Report::of(vec![bench(Config::default()).score(simulated(7)).unwrap()]);
    let json = |report: &Report| serde_json::to_value(report).unwrap();
    assert_eq!(json(&ablation.whole), json(&whole), "judged, and told later");
    let mut config = Config::default();
    config.detectors.entry("credential_stuffing".to_owned()).or_default().insert("enabled".to_owned(), false.into());
    let without = Report::of(vec![bench(config).score(simulated(7)).unwrap()]);
    let off = worth(&ablation, None, "credential_stuffing");
    assert!(without.total.found < whole.total.found, "{without}");
    assert_eq!(off.total.found, without.total.found.cast_signed() - whole.total.found.cast_signed());
    assert_eq!(off.total.low, without.total.low.cast_signed() - whole.total.low.cast_signed());
    assert!(!off.is_nothing() && off.detectors["credential_stuffing"].fitting < 0, "{off:?}");
    assert_eq!(ablation.without.len(), bartizan_catalogue::all().count());
}

#[test]
fn without_a_rule_its_attacks_are_missed_and_without_a_gate_what_it_held_back_is_told() {
    let ablation = ablation(&[Group::Gates, Group::Rules]);
    let one_address = worth(&ablation, Some("credential_stuffing"), "Credential stuffing from one address");
    assert!(
        one_address.total.found < 0 && one_address.kinds.keys().all(|kind| kind.contains("stuffing") || kind.contains("spraying")),
        "{one_address:?}"
    );
    assert!(ablation.without.iter().filter(|worth| worth.switch.group == Group::Rules).all(|worth| worth.total.found <= 0), "{ablation}");
    let gates: Vec<_> = ablation.without.iter().filter(|worth| worth.switch.group == Group::Gates).collect();
    let more = |worth: &&&Worth| worth.detectors.values().any(|of| of.fitting + of.false_alerts + of.low > 0);
    assert!(gates.iter().any(|worth| more(&worth)), "{ablation}");
    assert!(gates.iter().all(|worth| worth.total.found >= 0), "{ablation}");
}

#[test]
fn detectors_miss_what_their_evidence_is_taken_from() {
    let ablation = ablation(&[Group::Evidence]);
    let found = |name: &str| worth(&ablation, None, name).kinds.clone();
    assert!(found("tokens").keys().any(|kind| kind.starts_with("token_reuse")), "{ablation}");
    assert!(found("place").contains_key("impossible_travel"), "{ablation}");
    assert!(found("people").keys().any(|kind| kind.starts_with("account_takeover") || kind.starts_with("unusual")), "{ablation}");
    let colleagues = &worth(&ablation, None, "colleagues").total;
    assert!(colleagues.low + colleagues.false_alerts > 0, "who has a colleague's device is a stranger: {ablation}");
    let text = ablation.to_string();
    assert!(text.contains("As it is: ") && text.contains("without any of these nothing changes: "), "{text}");
}

#[test]
fn what_is_done_in_parallel_keeps_its_order_and_its_errors() {
    let numbers: Vec<u32> = (0..100).collect();
    assert_eq!(in_parallel(&numbers, |number| Ok(number * 2)).unwrap(), numbers.iter().map(|number| number * 2).collect::<Vec<_>>());
    let failed = in_parallel(&numbers, |number| if *number == 70 { Err("seventy".to_owned()) } else { Ok(()) });
    assert_eq!(failed, Err("seventy".to_owned()));
    assert_eq!(in_parallel(&[], |(): &()| Ok(())), Ok(Vec::new()));
}
