//! Innocent things that look like attacks, and the work of service accounts.

use super::draft::{Draft, Request, Token, User};
use super::labels::Plan;
use super::people::Service;
use super::stage::Stage;
use super::visits::{Actor, open_session};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// People of an office who take part in its odd morning.
const OFFICE_PEOPLE_MAX: usize = 60;

/// A service account's turn: a new token each hour, and a few requests.
pub(crate) fn service(stage: &mut Stage, index: usize, now_ms: i64) {
    let Some(mut service) = stage.services.get(index).copied() else { return };
    let actor = actor_of(&service);
    if now_ms - service.issued_ms > HOUR_MS {
        service.token = stage.number();
        service.session = stage.number();
        service.issued_ms = now_ms;
        let draft = actor.draft(now_ms, "token_issue", "success");
        stage.emit(Draft { grant: "client_credentials", session: service.session, token: Some(Token::Access(service.token)), ..draft });
    }
    let mut time_ms = now_ms + 200;
    for _ in 0..stage.dice.between(1, 4) {
        time_ms += stage.dice.between(20, 2 * SECOND_MS);
        let page = stage.dice.between(1, 400) as u64;
        let bytes = stage.dice.between(2_000, 90_000) as u32;
        let request = Request { method: "GET", path: "/api/v1/export/orders?page=#", object: page, status: 200, bytes, duration_ms: 140 };
        let draft = actor.draft(time_ms, "api_request", "success");
        stage.emit(Draft { session: service.session, token: Some(Token::Access(service.token)), request: Some(request), ..draft });
    }
    if let Some(slot) = stage.services.get_mut(index) {
        *slot = service;
    }
}

fn actor_of(service: &Service) -> Actor {
    Actor { tenant: service.tenant, user: User::Service(service.number), ip: service.ip, client: service.client, label: 0, by_owner: false }
}

/// A secret was rotated and one job has the old one: it fails each minute until somebody looks.
pub(crate) fn stale_secret(stage: &mut Stage, now_ms: i64) {
    let index = stage.dice.index(stage.services.len());
    let Some(service) = stage.services.get(index).copied() else { return };
    let label = stage.open_label(Plan { kind: "stale_service_secret", variant: "", detectors: &[] }, service.tenant);
    let actor = Actor { label, ..actor_of(&service) };
    let mut time_ms = now_ms;
    for _ in 0..stage.dice.between(30, 180) {
        stage.emit(Draft { reason: "bad_password", grant: "client_credentials", ..actor.draft(time_ms, "token_issue", "failure") });
        time_ms += MINUTE_MS + stage.dice.between(0, 500);
    }
    stage.book.seal(label, false);
}

/// All passwords of an office have expired: from one address, within half an hour, many people fail
/// once or twice and then sign in.
pub(crate) fn office_morning(stage: &mut Stage, now_ms: i64) {
    let chosen = stage.dice.index(stage.offices.len());
    let Some(office) = stage.offices.get(chosen).copied() else { return };
    let members: Vec<usize> = stage
        .people
        .iter()
        .enumerate()
        .filter(|(_, p)| p.office == Some(chosen as u16) && p.trip.is_none() && p.busy_until_ms <= now_ms)
        .map(|(index, _)| index)
        .take(OFFICE_PEOPLE_MAX)
        .collect();
    // Below that it is a morning like any other.
    if members.len() < 5 {
        return;
    }
    let label = stage.open_label(Plan { kind: "office_morning", variant: "", detectors: &[] }, office.tenant);
    for index in members {
        let Some(mut person) = stage.people.get(index).copied() else { continue };
        let actor = Actor { by_owner: false, ..Actor::owner(&person, false, office.ip, label) };
        let mut time_ms = now_ms + stage.dice.between(0, 30 * MINUTE_MS);
        for _ in 0..stage.dice.between(0, 2) {
            let reason = stage.dice.of(&["expired", "bad_password"]);
            stage.emit(Draft { reason, grant: "password", ..actor.draft(time_ms, "login", "failure") });
            time_ms += stage.dice.between(8 * SECOND_MS, 50 * SECOND_MS);
        }
        person.laptop_session = Some(open_session(stage, actor, time_ms));
        person.busy_until_ms = time_ms + SECOND_MS;
        if let Some(slot) = stage.people.get_mut(index) {
            *slot = person;
        }
    }
    stage.book.seal(label, false);
}
