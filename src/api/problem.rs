//! Errors as RFC 9457 problem documents: every error of the API looks like this, whoever made it.
//!
//! A problem names the wrong parameter where there is one. It never repeats secrets, and what went
//! wrong inside (SQL, paths, addresses) goes to the log, not to the caller.

use crate::db::DbError;
use crate::store::{ErrorClass, StoreError};
use axum::extract::Request;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::any::Any;
use utoipa::ToSchema;

/// Media type of problem documents (RFC 9457 §3).
pub const CONTENT_TYPE_PROBLEM: &str = "application/problem+json";
/// Bytes of a detail that are sent.
const DETAIL_BYTES_MAX: usize = 1_000;

/// A problem document.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// The parameter, header or member that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<String>,
    #[serde(skip)]
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    /// A problem of this status.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status: status.as_u16(), detail, parameter: None, header: None }
    }

    /// 400: `parameter` is wrong.
    #[must_use]
    pub fn parameter(parameter: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        let parameter = parameter.into();
        Self::bad_request(format!("{parameter}: {detail}")).naming(parameter)
    }

    /// 400: the request as a whole is wrong.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401, with the challenge of RFC 6750 §3.
    #[must_use]
    pub fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 403.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 413.
    #[must_use]
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 429: not now, again in `seconds`.
    #[must_use]
    pub fn too_many(detail: &str, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).again_in(seconds)
    }

    /// 503: it may pass, again in `seconds`.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).again_in(seconds)
    }

    /// 500. The cause goes to the log alone.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something failed inside; the log says what")
    }

    /// The same problem with a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// The same problem, naming what is wrong.
    #[must_use]
    pub fn naming(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into());
        self
    }

    fn again_in(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A document of strings and numbers is always written.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, CONTENT_TYPE_PROBLEM), (CACHE_CONTROL, "no-store")], body).into_response();
        if let Some(header) = self.header {
            let (name, value) = *header;
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        Self::internal(&error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store did not answer a request");
        match error.class() {
            ErrorClass::Retry => Self::unavailable("the store does not answer at the moment", 2),
            ErrorClass::Refused => Self::unavailable("the question takes the store too long: narrow the time range or the filters", 30),
            ErrorClass::Fatal => Self::unavailable("the store cannot answer until an operator mends it; the log says why", 60),
        }
    }
}

/// Work on a blocking thread that did not come to an end.
impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(&error)
    }
}

/// What a panic in a handler becomes. The message stays in the log.
#[must_use]
pub fn of_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(&format!("panic: {}", text.unwrap_or("no text"))).into_response()
}

/// Makes a problem of every error answer that is none yet: the framework's own 404, 405 and others.
pub async fn ensure(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == CONTENT_TYPE_PROBLEM);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let detail = match (status, &allow) {
        (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) => format!("this route takes {}", allow.to_str().unwrap_or_default()),
        _ => status.canonical_reason().unwrap_or("error").to_lowercase(),
    };
    let problem = Problem::new(status, detail);
    allow.map_or(problem.clone(), |allow| problem.with(ALLOW, allow)).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_the_caller_nothing_of_the_inside() {
        let response = of_panic(Box::new("secret detail"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let problem = serde_json::to_string(&Problem::internal(&"secret detail")).unwrap();
        assert!(!problem.contains("secret") && problem.contains("\"status\":500"), "{problem}");
    }

    #[test]
    fn a_detail_is_bounded() {
        assert!(Problem::bad_request("é".repeat(5_000)).detail.len() <= DETAIL_BYTES_MAX);
    }
}
