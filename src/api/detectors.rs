//! `GET /api/v1/detectors`: the catalogue.

use super::auth::Caller;
use super::openapi;
use super::page::Page;
use super::problem::Problem;
use super::query::{NoParams, Params};
use crate::alert::model::Attack;
use axum::Json;
use axum::http::Uri;
use bartizan_core::params::Parameter;
use bartizan_core::{Spec, Value};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// A parameter of a detector.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParameterView {
    /// Name in the configuration.
    pub name: &'static str,
    /// Default: a number or a switch.
    #[schema(value_type = Value)]
    pub default: serde_json::Value,
    /// Smallest value allowed, of a number.
    pub min: f64,
    /// Largest value allowed, of a number.
    pub max: f64,
    /// What it does.
    pub doc: &'static str,
}

/// A detector of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetectorView {
    /// Id.
    pub id: &'static str,
    /// Title.
    pub title: &'static str,
    /// What it looks for.
    pub looks_for: &'static str,
    /// What it cannot see.
    pub blind_spots: &'static str,
    /// What may look like it and is harmless.
    pub innocent_causes: &'static str,
    /// By what it keeps its state.
    pub keys: Vec<&'static str>,
    /// Findings with no more than this between them are one alert.
    pub quiet_gap_ms: i64,
    /// MITRE ATT&CK.
    pub attack: Vec<Attack>,
    /// Parameters.
    pub parameters: Vec<ParameterView>,
}

impl DetectorView {
    /// The view of a detector, for the API and the command line.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        Self {
            id: spec.id,
            title: spec.title,
            looks_for: spec.looks_for,
            blind_spots: spec.blind_spots,
            innocent_causes: spec.innocent_causes,
            keys: spec.keys.iter().map(|key| key.as_str()).collect(),
            quiet_gap_ms: spec.quiet_gap_ms,
            attack: spec
                .attack
                .iter()
                .map(|(tactic, technique)| Attack { tactic: (*tactic).to_owned(), technique: (*technique).to_owned() })
                .collect(),
            parameters: spec.parameters.iter().map(parameter).collect(),
        }
    }
}

fn parameter(parameter: &Parameter) -> ParameterView {
    let default = match parameter.default {
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Bool(value) => json!(value),
    };
    ParameterView { name: parameter.name, default, min: parameter.min, max: parameter.max, doc: parameter.doc }
}

/// The catalogue of detectors.
#[utoipa::path(get, path = "/api/v1/detectors", tag = "operation",
    responses((status = 200, description = "All detectors", body = Page<DetectorView>), openapi::QuestionErrors))]
pub async fn list(caller: Caller, uri: Uri) -> Result<Json<Page<DetectorView>>, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    Ok(Json(Page { items: bartizan_catalogue::all().map(DetectorView::of).collect(), next_cursor: None }))
}
