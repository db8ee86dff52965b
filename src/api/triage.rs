//! What a triage step on an alert or an incident says, and which version it means.

use super::problem::Problem;
use crate::alert::model::{Disposition, Status};
use crate::db::alerts::{self, Change, TriageError};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a person changes; members that are left out stay as they are.
#[derive(Debug, Default, ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read member by member to name the wrong one")]
pub struct Triage {
    /// Where it stands.
    #[schema(nullable = false)]
    status: Option<Status>,
    /// What it turned out to be; of a resolved alert.
    #[schema(nullable = false)]
    disposition: Option<Disposition>,
    /// Who works on it; `null`: nobody.
    #[schema(max_length = 256)]
    assignee: Option<String>,
    /// A remark, kept in the history.
    #[schema(nullable = false, max_length = 8192)]
    note: Option<String>,
    /// Where more of it stands, such as a ticket: an `http` or `https` address, kept in the history.
    #[schema(nullable = false, max_length = 2048)]
    link: Option<String>,
}

/// Reads the body of a triage step.
///
/// # Errors
/// It is no object of such members; the wrong one is named.
pub fn change_of(bytes: &[u8]) -> Result<Change, Problem> {
    read(serde_json::from_slice(bytes).map_err(|error| Problem::bad_request(format!("the body is no JSON object: {error}")))?)
}

/// Reads what changes, member by member.
///
/// # Errors
/// One is wrong, which is named.
pub fn read(members: Map<String, Value>) -> Result<Change, Problem> {
    let mut change = Change::default();
    for (name, value) in members {
        match name.as_str() {
            "status" => change.status = Some(member(&name, value, "open, acknowledged or resolved")?),
            "disposition" => change.disposition = Some(member(&name, value, "true_positive, false_positive or benign")?),
            "assignee" if value.is_null() => change.assignee = Some(String::new()),
            "assignee" => change.assignee = Some(member(&name, value, "a text, or null for nobody")?),
            "note" => change.note = Some(member(&name, value, "a text")?),
            "link" => change.link = Some(member(&name, value, "a text")?),
            _ => return Err(Problem::parameter(name.chars().take(64).collect::<String>(), "there is no such member here")),
        }
    }
    check(&change)?;
    Ok(change)
}

fn member<T: serde::de::DeserializeOwned>(name: &str, value: Value, wanted: &str) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|_| Problem::parameter(name, format_args!("must be {wanted}")))
}

fn check(change: &Change) -> Result<(), Problem> {
    let texts = [
        ("assignee", &change.assignee, alerts::ASSIGNEE_BYTES_MAX),
        ("note", &change.note, alerts::NOTE_BYTES_MAX),
        ("link", &change.link, alerts::LINK_BYTES_MAX),
    ];
    for (name, text, bytes_max) in texts {
        if text.as_ref().is_some_and(|text| text.len() > bytes_max) {
            return Err(Problem::parameter(name, format_args!("longer than {bytes_max} bytes")));
        }
    }
    if change.link.as_deref().is_some_and(|link| !is_of_the_web(link)) {
        return Err(Problem::parameter("link", "must be an http or https address without a password"));
    }
    if change.disposition.is_some() && change.status.is_some_and(|status| status != Status::Resolved) {
        return Err(Problem::parameter("disposition", "needs status resolved"));
    }
    Ok(())
}

/// Can people follow it? What a browser runs, or reads from their disk, is none.
fn is_of_the_web(link: &str) -> bool {
    let is_written_out = link.starts_with("https://") || link.starts_with("http://");
    is_written_out && reqwest::Url::parse(link).is_ok_and(|url| url.has_host() && url.username().is_empty() && url.password().is_none())
}

/// The version that `If-Match` asks for; `None`: any.
///
/// # Errors
/// It is no version.
pub fn expected_version(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.trim_start_matches("W/").trim_matches('"').parse();
    version.map(Some).map_err(|_| Problem::parameter("If-Match", "must be a version, like \"3\""))
}

impl From<TriageError> for Problem {
    fn from(error: TriageError) -> Self {
        match error {
            TriageError::NotFound => Self::not_found("there is none of this id"),
            TriageError::Conflict { .. } => Self::new(StatusCode::PRECONDITION_FAILED, error.to_string()).naming("If-Match"),
            TriageError::Invalid { member: None, reason } => Self::bad_request(reason),
            TriageError::Invalid { member: Some(member), reason } => Self::bad_request(reason).naming(member),
            TriageError::Db(error) => error.into(),
        }
    }
}

/// The entity tag of a version.
#[must_use]
pub fn etag(version: u32) -> String {
    format!("\"{version}\"")
}
