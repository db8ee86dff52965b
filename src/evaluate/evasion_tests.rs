//! Limits that are found must be those of the configuration.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::evasion::Evasion;
use super::tests::bench;
use crate::config::Config;
use crate::simulate::SimulationConfig;

fn simulated(days: u32) -> SimulationConfig {
    SimulationConfig { seed: 7, events: 16_000, start_ms: 1_780_000_000_000, days, attacks: Vec::new() }
}

/// The strategies whose name begins so, with a parameter of a detector set.
fn evade(prefix: &str, detector: &str, parameter: &str, value: i64) -> Vec<Evasion> {
    let mut config = Config::default();
    config.detectors.entry(detector.to_owned()).or_default().insert(parameter.to_owned(), value.into());
    bench(config).evade(simulated(8), prefix).unwrap().strategies
}

#[test]
fn guesses_at_one_name_stay_silent_up_to_the_limit_of_a_day() {
    let silent = |slow_tries_min: i64| {
        let [found] = &evade("one name: one address", "brute_force", "slow_tries_min", slow_tries_min)[..] else { unreachable!() };
        let (rate, by) = found.told.unwrap();
        assert!(by == "brute_force" && rate > found.silent && found.unit == "guesses", "{found:?}");
        found.silent
    };
    // A day's guesses are those of any 24 hours: evenly spread, one more falls into some of them.
    assert!((22..=25).contains(&silent(25)) && (9..=12).contains(&silent(12)));
}

#[test]
fn a_list_from_one_address_is_told_beyond_a_handful() {
    let found = evade("list: one address, in one hour", "credential_stuffing", "users_min", 10);
    let (rate, by) = found[0].told.unwrap();
    assert!((2..=20).contains(&found[0].silent) && rate <= 25, "{found:?}");
    assert!(["credential_stuffing", "password_spraying"].contains(&by), "{found:?}");
}

#[test]
fn there_must_be_a_past_before_an_attack() {
    let error = bench(Config::default()).evade(simulated(4), "").unwrap_err();
    assert!(error.contains("more days than 4"), "{error}");
}
