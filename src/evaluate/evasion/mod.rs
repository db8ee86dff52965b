//! How much an attacker gets away with who knows every default: by strategy, the highest rate a day at which three days
//! of it, among the ordinary traffic of one tenant, open no alert of medium severity or above; and whether somebody who
//! gets in by it at that rate is told.
//!
//! A rate is searched by doubling and halving in event time: detectors see the tenant's traffic with the attack among it
//! from the beginning, once for each rate. An alert counts if the same traffic without the attack does not open it.
//! That more is told once less is told is assumed, not proved: what is found is one rate that is silent beside one, at
//! most a sixteenth higher, that is not.
//!
//! This is the one place where attacks are written with an eye on the detectors. It is no measure of how many attacks are
//! found (the rest of [`evaluate`](super) is), but of what the limits leave over.
//!
//! Memory holds the events of one tenant, and for each thread the state of one engine.

mod scene;
mod script;
mod strategy;

use super::workbench::{Workbench, in_parallel};
use crate::simulate::SimulationConfig;
use scene::Scene;
use script::Script;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use strategy::{STRATEGIES, Strategy};

/// Highest rate that is tried, a day.
const RATE_MAX: u32 = 4_096;
/// Rates that are silent and told lie no further apart than this part of them.
const PRECISION: u32 = 16;
/// People whose accounts are got into, each in an attack of its own: what is told depends on what is known of them.
const VICTIMS: usize = 5;

/// What one strategy achieves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evasion {
    /// The strategy.
    pub strategy: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Highest rate a day that is silent.
    pub silent: u32,
    /// A rate that is told, and by which detector; absent if the highest that is tried is silent.
    pub told: Option<(u32, &'static str)>,
    /// What becomes of who gets in at the silent rate; absent if nobody does.
    pub hits: Option<Hits>,
}

/// Attacks in which somebody gets in at last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hits {
    /// How many.
    pub all: usize,
    /// Those of them that are told.
    pub told: usize,
    /// The detectors that tell them.
    pub by: BTreeSet<&'static str>,
}

/// What all strategies achieve against one tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evasions {
    /// Seed of the tenant's traffic.
    pub seed: u64,
    /// Its people.
    pub people: usize,
    /// By strategy.
    pub strategies: Vec<Evasion>,
}

impl Workbench {
    /// Searches the highest silent rate of each strategy whose name begins so, against one tenant of a simulation.
    ///
    /// # Errors
    /// A wrong configuration, a simulation that is too short or small, a detector that fails.
    pub fn evade(&self, simulated: SimulationConfig, prefix: &str) -> Result<Evasions, String> {
        let seed = simulated.seed;
        let scene = Scene::new(self, simulated)?;
        let wanted: Vec<_> = STRATEGIES.iter().filter(|strategy| strategy.name.starts_with(prefix)).collect();
        let strategies = in_parallel(&wanted, |strategy| {
            let found = self.evade_by(&scene, strategy)?;
            tracing::info!(seed, strategy = strategy.name, silent = found.silent, "searched");
            Ok(found)
        })?;
        Ok(Evasions { seed, people: scene.people.len(), strategies })
    }

    fn evade_by(&self, scene: &Scene, strategy: &Strategy) -> Result<Evasion, String> {
        let first_told = |script: Script<'_>| scene.first_told(self, &script.events());
        let (silent, told) = search(strategy.rate_max(scene), |rate| first_told(Script::new(scene, strategy, rate)))?;
        let hits = if strategy.tries.can_get_in() {
            let told = (0..VICTIMS).map(|victim| first_told(Script::new(scene, strategy, silent).getting_in(victim)));
            let told: Vec<_> = told.collect::<Result<_, _>>()?;
            let by: Vec<_> = told.into_iter().flatten().collect();
            Some(Hits { all: VICTIMS, told: by.len(), by: by.into_iter().collect() })
        } else {
            None
        };
        Ok(Evasion { strategy: strategy.name, unit: strategy.tries.unit(), silent, told, hits })
    }
}

/// The highest rate that nothing is `told` of, and one beyond it with what is; absent if `most` is silent.
fn search<T>(most: u32, mut told: impl FnMut(u32) -> Result<Option<T>, String>) -> Result<(u32, Option<(u32, T)>), String> {
    let (mut silent, mut loud) = (0, None);
    while loud.is_none() && silent < most {
        let rate = (silent * 4).clamp(1, most);
        match told(rate)? {
            Some(what) => loud = Some((rate, what)),
            None => silent = rate,
        }
    }
    while let Some((rate, _)) = &loud
        && rate - silent > (silent / PRECISION).max(1)
    {
        let middle = silent.midpoint(*rate);
        match told(middle)? {
            Some(what) => loud = Some((middle, what)),
            None => silent = middle,
        }
    }
    Ok((silent, loud))
}

impl fmt::Display for Evasions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Seed {}, a tenant with {} people. A day, for three days, without an alert:\n", self.seed, self.people)?;
        writeln!(f, "{:<66} {:>12}  {:<38} who gets in", "strategy", "silent", "told")?;
        self.strategies.iter().try_for_each(|evasion| writeln!(f, "{evasion}"))
    }
}

impl fmt::Display for Evasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strategy, unit, silent, told, hits } = self;
        let told = told.map_or_else(|| "(none higher was tried)".to_owned(), |(rate, by)| format!("{rate}: {by}"));
        write!(f, "{:<66} {silent:>12}  {told:<38} ", format!("{strategy} ({unit})"))?;
        match hits {
            Some(hits) => write!(f, "{hits}"),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, told, by } = self;
        write!(f, "{told} of {all} told")?;
        by.iter().enumerate().try_for_each(|(number, by)| write!(f, "{} {by}", if number == 0 { ":" } else { "," }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_search_ends_right_beside_the_limit() {
        for limit in [1, 2, 3, 14, 15, 100, 999, 4_096] {
            let mut tried = 0;
            let found = search(4_096, |rate| {
                tried += 1;
                Ok((rate >= limit).then_some(rate))
            });
            let (silent, loud) = found.unwrap();
            let (rate, what) = loud.unwrap();
            assert!(silent < limit && limit <= rate && what == rate && tried <= 16, "{silent} {rate} of {limit} in {tried}");
            assert!(rate - silent <= (silent / PRECISION).max(1), "{silent} {rate} of {limit}");
        }
        assert_eq!(search(100, |_| Ok(None::<()>)), Ok((100, None)));
        assert_eq!(search(0, |_| Ok(Some(()))), Ok((0, None)), "there is nothing to try");
        assert_eq!(search(9, |_| Err::<Option<()>, _>("broken".to_owned())), Err("broken".to_owned()));
    }
}
