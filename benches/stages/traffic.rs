//! The events that everything is measured on: simulated native events, the same bytes for the same seed.

use bartizan::simulate::{Attack, Simulation, SimulationConfig};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// 2026-06-01T00:00:00Z.
const START_MS: i64 = 1_780_272_000_000;

/// Simulated events, in a file and in memory.
pub struct Traffic {
    /// JSON Lines.
    pub path: PathBuf,
    /// The file's content.
    pub text: String,
    /// How many lines.
    pub events: u64,
}

impl Traffic {
    /// Simulates `events` events into a file under `folder`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn simulate(seed: u64, events: u64, folder: &Path) -> io::Result<Self> {
        let days = SimulationConfig::days_for(events);
        let attacks = Attack::ALL.into_iter().collect();
        let mut simulation = Simulation::new(SimulationConfig { seed, events, start_ms: START_MS, days, attacks });
        let mut text = String::with_capacity(events as usize * 540);
        let mut given = 0;
        while simulation.next_event(&mut text) {
            text.push('\n');
            given += 1;
        }
        let path = folder.join("events.jsonl");
        let mut file = BufWriter::new(File::create(&path)?);
        file.write_all(text.as_bytes())?;
        file.flush()?;
        Ok(Self { path, text, events: given })
    }
}
