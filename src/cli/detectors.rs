//! `bartizan detectors`: the catalogue, for people or as JSON.

use super::{CommandError, print};
use crate::api::detectors::DetectorView;
use bartizan_core::Spec;
use std::fmt::Write as _;

/// Arguments of `detectors`.
#[derive(clap::Args)]
pub struct DetectorsArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Prints the catalogue.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &DetectorsArgs) -> Result<(), CommandError> {
    let catalogue = bartizan_catalogue::all();
    if args.json {
        let all: Vec<_> = catalogue.map(DetectorView::of).collect();
        return print(&serde_json::to_string_pretty(&all).map_err(CommandError::failed)?);
    }
    let mut out = String::new();
    for spec in catalogue {
        describe(spec, &mut out).map_err(CommandError::failed)?;
    }
    print(out.trim_end())
}

fn describe(spec: &Spec, out: &mut String) -> std::fmt::Result {
    let attack: Vec<_> = spec.attack.iter().map(|(tactic, technique)| format!("{technique} ({tactic})")).collect();
    let keys: Vec<_> = spec.keys.iter().map(|key| key.as_str()).collect();
    writeln!(out, "{}: {}\n", spec.id, spec.title)?;
    writeln!(out, "  looks for        {}", spec.looks_for)?;
    writeln!(out, "  blind spots      {}", spec.blind_spots)?;
    writeln!(out, "  innocent causes  {}", spec.innocent_causes)?;
    writeln!(out, "  keys             {}", keys.join(", "))?;
    writeln!(out, "  ATT&CK           {}", attack.join(", "))?;
    writeln!(out, "  parameters       enabled = true")?;
    for parameter in spec.parameters {
        writeln!(out, "                   {} = {}: {}", parameter.name, parameter.default, parameter.doc)?;
    }
    writeln!(out)
}
