//! `bartizan detectors`: the catalogue, for people or as JSON.

use super::CommandError;
use crate::api::detectors::DetectorView;

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
/// None; for the form.
pub fn run(args: &DetectorsArgs) -> Result<(), CommandError> {
    let catalogue = bartizan_catalogue::all();
    if args.json {
        let all: Vec<_> = catalogue.map(DetectorView::of).collect();
        println!("{}", serde_json::to_string_pretty(&all).map_err(CommandError::failed)?);
        return Ok(());
    }
    for spec in catalogue {
        let attack: Vec<_> = spec.attack.iter().map(|(tactic, technique)| format!("{technique} ({tactic})")).collect();
        let keys: Vec<_> = spec.keys.iter().map(|key| key.as_str()).collect();
        println!("{}: {}\n", spec.id, spec.title);
        println!("  looks for        {}", spec.looks_for);
        println!("  blind spots      {}", spec.blind_spots);
        println!("  innocent causes  {}", spec.innocent_causes);
        println!("  keys             {}", keys.join(", "));
        println!("  ATT&CK           {}", attack.join(", "));
        println!("  parameters       enabled = true");
        for parameter in spec.parameters {
            println!("                   {} = {}: {}", parameter.name, parameter.default, parameter.doc);
        }
        println!();
    }
    Ok(())
}
