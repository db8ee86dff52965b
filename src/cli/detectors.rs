//! `bartizan detectors`: the catalogue, for people or as JSON.

use super::CommandError;
use bartizan_core::{Spec, Value};
use serde_json::json;

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
        let all: Vec<_> = catalogue.map(describe).collect();
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

/// A detector as JSON, for the command and the API.
#[must_use]
pub fn describe(spec: &Spec) -> serde_json::Value {
    let value = |value: Value| match value {
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Bool(value) => json!(value),
    };
    json!({
        "id": spec.id, "title": spec.title, "looks_for": spec.looks_for,
        "blind_spots": spec.blind_spots, "innocent_causes": spec.innocent_causes,
        "keys": spec.keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(),
        "quiet_gap_ms": spec.quiet_gap_ms,
        "attack": spec.attack.iter().map(|(tactic, technique)| json!({"tactic": tactic, "technique": technique})).collect::<Vec<_>>(),
        "parameters": spec.parameters.iter().map(|parameter| json!({
            "name": parameter.name, "default": value(parameter.default),
            "min": parameter.min, "max": parameter.max, "doc": parameter.doc,
        })).collect::<Vec<_>>(),
    })
}
