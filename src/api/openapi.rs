//! `GET /openapi.json`: the API as an OpenAPI 3.1 document, made from the handlers and their types.

use super::auth::Caller;
use super::problem::{CONTENT_TYPE_PROBLEM, Problem};
use super::query::{NoParams, Params};
use super::{ApiState, Documented};
use crate::alert::Alert;
use crate::alert::ocsf::DetectionFinding;
use axum::Extension;
use axum::body::Bytes;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bartizan_core::{Kind, Outcome};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "Bartizan", description = "Security monitoring and anomaly detection for API and sign-in logs",
        license(name = "Apache-2.0", identifier = "Apache-2.0")),
    components(schemas(Problem, Alert, DetectionFinding)),
    security(("token" = [])),
    modifiers(&Security),
    tags((name = "alerts", description = "What was found, and what people made of it"), (name = "events", description = "What happened"),
        (name = "entities", description = "Users, addresses, sessions, devices"), (name = "suppressions", description = "What is to open no alert, and what that held back"), (name = "actions", description = "What machines were asked to do, and what came of it"), (name = "breakers", description = "Detectors that open alerts out of all proportion"),
        (name = "operation", description = "The daemon itself")),
)]
struct Head;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("A token made by `bartizan token create`.".to_owned());
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// A router whose document has the head.
pub(super) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Head::openapi())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), QuestionErrors))]
pub async fn get(caller: Caller, Extension(Documented(document)): Extension<Documented>, uri: Uri) -> Result<impl IntoResponse, Problem> {
    caller.may_read()?;
    Params::read::<NoParams>(&uri)?;
    Ok(([(CONTENT_TYPE, "application/json")], Bytes::clone(&document)))
}

/// An answer in the one form or the other, as a parameter asks. Not "one of": an empty list has both.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AnyOf<A, B> {
    /// The first form.
    First(A),
    /// The second.
    Second(B),
}

impl<A: ToSchema, B: ToSchema> PartialSchema for AnyOf<A, B> {
    fn schema() -> RefOr<Schema> {
        Schema::from(AnyOfBuilder::new().item(A::schema()).item(B::schema()).build()).into()
    }
}

impl<A: ToSchema, B: ToSchema> ToSchema for AnyOf<A, B> {
    fn name() -> Cow<'static, str> {
        format!("{}Or{}", A::name(), B::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        A::schemas(schemas);
        B::schemas(schemas);
    }
}

/// Declares sets of error answers.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident: $($status:literal),+;)+) => {
        $($(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($status),+].into_iter().map(problem).collect()
            }
        })+
    };
}

errors! {
    /// Errors of routes that list or tell.
    QuestionErrors: 400, 401, 403, 405, 408, 429, 500, 503;
    /// Errors of routes about one thing.
    ItemErrors: 400, 401, 403, 404, 405, 408, 429, 500, 503;
    /// Errors of triage.
    TriageErrors: 400, 401, 403, 404, 405, 408, 412, 413, 429, 500, 503;
    /// Errors of routes that set something going.
    ActionErrors: 400, 401, 403, 404, 405, 408, 413, 429, 500, 503;
    /// Errors of deciding on an action.
    DecisionErrors: 400, 401, 403, 404, 405, 408, 409, 413, 429, 500, 503;
    /// Errors of suppressing something.
    SuppressionErrors: 400, 401, 403, 405, 408, 409, 413, 429, 500, 503;
    /// Errors of ingest.
    IngestErrors: 400, 401, 403, 405, 408, 413, 415, 429, 500, 503;
    /// Errors of probes.
    ProbeErrors: 405, 429, 500, 503;
}

fn problem(status: u16) -> (String, RefOr<Response>) {
    let title = axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    (status.to_string(), ResponseBuilder::new().description(title).content(CONTENT_TYPE_PROBLEM, content).build().into())
}

fn names<'a>(description: &str, all: impl Iterator<Item = &'a str>) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(all)).into()
}

/// Kinds of events.
pub(super) fn kind() -> Schema {
    names("What happened.", Kind::ALL.iter().map(|kind| kind.as_str()))
}

/// Outcomes of events.
pub(super) fn outcome() -> Schema {
    names("How it ended.", Outcome::ALL.iter().map(|outcome| outcome.as_str()))
}

/// An address, IPv4 or IPv6.
pub(super) fn ip() -> Schema {
    let address = |format: &str| {
        let format = SchemaFormat::Custom(format.to_owned());
        ObjectBuilder::new().schema_type(Type::String).format(Some(format))
    };
    AnyOfBuilder::new().item(address("ipv4")).item(address("ipv6")).description(Some("Client address.")).into()
}

/// Kinds of entities.
pub(super) fn entity() -> Schema {
    names("What it is.", ["user", "ip", "session", "device"].into_iter())
}

/// Formats of logs.
pub(super) fn format() -> Schema {
    names("Format of the records; `auto` recognises each.", crate::normalise::Format::names())
}
