//! Routes that scanners ask for, whoever has sent them.

use super::draft::{Draft, Request, Token};
use super::people::Session;
use super::stage::Stage;
use super::visits::{Actor, outcome_of};
use bartizan_core::time::SECOND_MS;

const ROUTES: [&str; 24] = [
    "/admin",
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/api/v1/users",
    "/api/v1/users/#",
    "/api/v1/admin/settings",
    "/api/v1/internal/metrics",
    "/api/v2/orders",
    "/api/v1/debug",
    "/actuator/env",
    "/actuator/health",
    "/graphql",
    "/swagger.json",
    "/openapi.yaml",
    "/api/v1/backup",
    "/api/v1/tokens",
    "/api/v1/keys/#",
    "/server-status",
    "/phpinfo.php",
    "/api/v1/files/#",
    "/console",
    "/api/v1/reports/#",
    "/api/v1/config",
];

/// Asks for one route after another that may not be there, signed in or not; returns when it is done.
pub(crate) fn probe(stage: &mut Stage, actor: Actor, session: Option<Session>, from_ms: i64) -> i64 {
    let mut time_ms = from_ms;
    let (session, token) = session.map_or((0, None), |session| (session.id, Some(Token::Access(session.refresh))));
    for _ in 0..stage.dice.between(60, stage.pace.attempts_max.clamp(80, 400)) {
        time_ms += stage.wait_ms(100, 3 * SECOND_MS);
        let status = stage.dice.of(&[404, 404, 404, 404, 403, 403, 401, 200]);
        let (path, object) = (stage.dice.of(&ROUTES), stage.dice.bits() % 10_000);
        let request = Request { method: "GET", path, object, status, bytes: 160, duration_ms: 9 };
        let draft = actor.draft(time_ms, "api_request", outcome_of(status));
        stage.emit(Draft { session, token, request: Some(request), ..draft });
    }
    time_ms
}
