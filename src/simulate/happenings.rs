//! Innocent things that look like attacks, and the work of service accounts.

use super::draft::{Draft, Request, Token, User};
use super::labels::Plan;
use super::people::{Person, Service};
use super::stage::Stage;
use super::visits::{Actor, open_session, send};
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

/// Somebody who is at home, settled, and not in the middle of anything.
fn at_home(stage: &mut Stage, now_ms: i64, fits: impl Fn(&Person) -> bool) -> Option<(usize, Person)> {
    let count = stage.people.len();
    (0..200).find_map(|_| {
        let index = stage.dice.index(count);
        let person = *stage.people.get(index)?;
        let settled = !person.dormant && person.trip.is_none() && person.sign_ins > 0 && person.busy_until_ms <= now_ms;
        (settled && fits(&person)).then_some((index, person))
    })
}

fn done(stage: &mut Stage, index: usize, mut person: Person, until_ms: i64) {
    person.busy_until_ms = until_ms;
    if let Some(slot) = stage.people.get_mut(index) {
        *slot = person;
    }
}

/// The phone is offline: pushes run out, again and again, until its owner takes a code instead.
pub(crate) fn offline_phone(stage: &mut Stage, now_ms: i64) {
    let Some((index, mut person)) = at_home(stage, now_ms, |p| p.mfa) else { return };
    let label = stage.open_label(Plan { kind: "offline_phone", variant: "", detectors: &[] }, person.tenant);
    let mut time_ms = now_ms;
    let ip = person.home_ip(stage, time_ms);
    let actor = Actor { by_owner: false, ..Actor::owner(&person, false, ip, label) };
    for _ in 0..stage.dice.between(2, 6) {
        stage.emit(Draft { factor: "push", ..actor.draft(time_ms, "mfa_challenge", "success") });
        time_ms += MINUTE_MS;
        stage.emit(Draft { factor: "push", reason: "timeout", ..actor.draft(time_ms, "mfa_result", "failure") });
        time_ms += stage.dice.between(5 * SECOND_MS, MINUTE_MS);
    }
    stage.emit(Draft { factor: "totp", ..actor.draft(time_ms, "mfa_challenge", "success") });
    time_ms += stage.dice.between(8 * SECOND_MS, 40 * SECOND_MS);
    stage.emit(Draft { factor: "totp", ..actor.draft(time_ms, "mfa_result", "success") });
    person.laptop_session = Some(open_session(stage, actor, time_ms + 300));
    stage.book.seal(label, false);
    done(stage, index, person, time_ms + SECOND_MS);
}

/// Somebody forgot the password: fails, resets it at home, signs in, and sets up a factor again.
pub(crate) fn forgotten_password(stage: &mut Stage, now_ms: i64) {
    let Some((index, mut person)) = at_home(stage, now_ms, |_| true) else { return };
    let label = stage.open_label(Plan { kind: "forgotten_password", variant: "", detectors: &[] }, person.tenant);
    let mut time_ms = now_ms;
    let ip = person.home_ip(stage, time_ms);
    let actor = Actor { by_owner: false, ..Actor::owner(&person, false, ip, label) };
    for _ in 0..stage.dice.between(4, 12) {
        stage.emit(Draft { reason: "bad_password", grant: "password", ..actor.draft(time_ms, "login", "failure") });
        time_ms += stage.dice.between(6 * SECOND_MS, 50 * SECOND_MS);
    }
    stage.emit(actor.draft(time_ms, "password_reset", "success"));
    time_ms += stage.dice.between(MINUTE_MS, 5 * MINUTE_MS);
    let session = open_session(stage, actor, time_ms);
    time_ms += stage.dice.between(MINUTE_MS, 5 * MINUTE_MS);
    stage.emit(Draft { session: session.id, factor: "totp", ..actor.draft(time_ms, "account_change", "success") });
    person.laptop_session = Some(session);
    stage.book.seal(label, false);
    done(stage, index, person, time_ms + SECOND_MS);
}

/// A support agent's day: the invoices of many customers, each asked for by somebody who called.
pub(crate) fn support_day(stage: &mut Stage, now_ms: i64) {
    let Some(office) = stage.offices.first().copied() else { return };
    // The same two or three people do this all the time.
    let agents = stage.people.iter().enumerate().filter(|(_, p)| p.office == Some(0) && !p.dormant && p.trip.is_none());
    let agents: Vec<(usize, Person)> = agents.take(3).map(|(index, person)| (index, *person)).collect();
    for (index, mut person) in agents.into_iter().filter(|(_, person)| person.busy_until_ms <= now_ms) {
        let label = stage.open_label(Plan { kind: "support_day", variant: "", detectors: &[] }, office.tenant);
        let actor = Actor { by_owner: false, ..Actor::owner(&person, false, office.ip, label) };
        let mut time_ms = now_ms + stage.dice.between(0, HOUR_MS);
        let session = open_session(stage, actor, time_ms);
        person.laptop_session = Some(session);
        for _ in 0..stage.dice.between(40, 160) {
            time_ms += stage.dice.between(MINUTE_MS, 4 * MINUTE_MS);
            let object = stage.dice.bits() % 90_000 + 1;
            let status = if stage.dice.chance(0.02) { 404 } else { 200 };
            let request = Request { method: "GET", path: "/api/v1/invoices/#", object, status, bytes: 2_400, duration_ms: 30 };
            send(stage, actor, session, request, time_ms);
        }
        stage.book.seal(label, false);
        done(stage, index, person, time_ms + SECOND_MS);
    }
}
