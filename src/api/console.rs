//! The web console: its files, embedded in the program, under a strict content security policy.

use super::problem::Problem;
use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Scripts, styles and requests from this origin alone; no markup from strings (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Lists the console's files by name and type; a name that is not there does not compile.
macro_rules! files {
    ($($name:literal: $kind:ident),+ $(,)?) => {
        &[$(($name, $kind, include_bytes!(concat!("../../dashboards/console/", $name)))),+]
    };
}

/// Name, content type, content.
const FILES: &[(&str, &str, &[u8])] = files! {
    "index.html": HTML, "favicon.svg": SVG, "base.css": STYLE, "views.css": STYLE,
    "action.js": SCRIPT, "actions.js": SCRIPT, "acts.js": SCRIPT, "alert.js": SCRIPT, "alerts.js": SCRIPT, "api.js": SCRIPT,
    "audit.js": SCRIPT, "blocks.js": SCRIPT, "breakers.js": SCRIPT, "bulk.js": SCRIPT,
    "case.js": SCRIPT, "cases.js": SCRIPT, "decide.js": SCRIPT, "dialog.js": SCRIPT, "dom.js": SCRIPT, "entity.js": SCRIPT,
    "events_table.js": SCRIPT, "evidence.js": SCRIPT, "feed.js": SCRIPT, "filters.js": SCRIPT, "format.js": SCRIPT,
    "history.js": SCRIPT, "incident.js": SCRIPT, "incidents.js": SCRIPT, "keys.js": SCRIPT, "labels.js": SCRIPT,
    "ledger.js": SCRIPT, "listing.js": SCRIPT, "main.js": SCRIPT, "paged.js": SCRIPT, "parts.js": SCRIPT, "poll.js": SCRIPT,
    "regroup.js": SCRIPT, "response.js": SCRIPT, "roles.js": SCRIPT,
    "router.js": SCRIPT, "signin.js": SCRIPT, "sse.js": SCRIPT, "status.js": SCRIPT, "stream.js": SCRIPT,
    "subjects.js": SCRIPT, "tabs.js": SCRIPT, "ticks.js": SCRIPT, "timeline.js": SCRIPT, "triage.js": SCRIPT, "visible.js": SCRIPT,
    "why.js": SCRIPT,
};

/// `GET /` and the files under `/console/`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(async || file("index.html"))).route("/console/{name}", get(named))
}

async fn named(path: Result<Path<String>, PathRejection>) -> Response {
    path.map_or_else(|_| file(""), |Path(name)| file(&name))
}

fn file(name: &str) -> Response {
    let Some((_, kind, content)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return Problem::not_found("there is no such file").into_response();
    };
    let headers = [(CONTENT_TYPE, *kind), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache"), (REFERRER_POLICY, "no-referrer")];
    (headers, *content).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_console_is_embedded() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/console");
        let mut on_disk: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut embedded: Vec<_> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        on_disk.sort();
        embedded.sort();
        assert_eq!(embedded, on_disk);
    }
}
