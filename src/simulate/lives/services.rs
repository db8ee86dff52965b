//! Service accounts: their ordinary work, their moves, and machines that look after other machines.

use super::Cue;
use crate::simulate::atlas::Class;
use crate::simulate::clients::{Client, Family};
use crate::simulate::dice::Dice;
use crate::simulate::draft::{Draft, Request, Token, User};
use crate::simulate::people::{Service, Session};
use crate::simulate::probes::probe;
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, open_session, outcome_of, request};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// How long a service's token lasts.
const TOKEN_MS: i64 = HOUR_MS;
/// Numbers of accounts that nothing else is done with.
const MONITOR: u16 = 900;
const SCANNER: u16 = 901;
/// Hour (UTC) of the nightly batch.
const NIGHT_MS: i64 = 2 * HOUR_MS;

/// A service at work.
#[derive(Clone, Copy)]
struct Job {
    actor: Actor,
    session: u64,
    token: u64,
    time_ms: i64,
}

impl Job {
    fn of(service: &Service, label: u32, time_ms: i64) -> Self {
        let user = User::Service(service.number);
        let actor = Actor { tenant: service.tenant, user, ip: service.ip, client: service.client, label, by_owner: false };
        Self { actor, session: service.session, token: service.token, time_ms }
    }

    /// Gets a new token.
    fn signs_in(&mut self, stage: &mut Stage) {
        (self.token, self.session) = (stage.number(), stage.number());
        let draft = self.actor.draft(self.time_ms, "token_issue", "success");
        stage.emit(Draft { grant: "client_credentials", session: self.session, token: Some(Token::Access(self.token)), ..draft });
        self.time_ms += 200;
    }

    fn asks(&mut self, stage: &mut Stage, path: &'static str, object: u64, status: u16) {
        let bytes = if status == 200 { stage.dice.between(2_000, 90_000) as u32 } else { 160 };
        let request = Request { method: "GET", path, object, status, bytes, duration_ms: 140 };
        let draft = self.actor.draft(self.time_ms, "api_request", outcome_of(status));
        stage.emit(Draft { session: self.session, token: Some(Token::Access(self.token)), request: Some(request), ..draft });
    }

    fn waits(&mut self, stage: &mut Stage, low_ms: i64, high_ms: i64) -> &mut Self {
        self.time_ms += stage.dice.between(low_ms, high_ms);
        self
    }
}

/// A service account's turn: a new token each hour, and a few requests.
pub(crate) fn turn(stage: &mut Stage, index: usize, now_ms: i64) {
    let Some(mut service) = stage.services.get(index).copied() else { return };
    let mut job = Job::of(&service, 0, now_ms);
    if now_ms - service.issued_ms > TOKEN_MS {
        job.signs_in(stage);
        (service.session, service.token, service.issued_ms) = (job.session, job.token, now_ms);
    }
    for _ in 0..stage.dice.between(1, 4) {
        let page = stage.dice.between(1, 400) as u64;
        job.waits(stage, 20, 2 * SECOND_MS).asks(stage, "/api/v1/export/orders?page=#", page, 200);
    }
    if let Some(slot) = stage.services.get_mut(index) {
        *slot = service;
    }
}

/// Any service that has a token, under a label, from now on.
fn any_job(stage: &mut Stage, cue: Cue) -> Option<(usize, Job)> {
    let index = stage.dice.index(stage.services.len());
    let service = *stage.services.get(index).filter(|service| service.token != 0)?;
    let label = cue.open(stage, service.tenant);
    Some((index, Job::of(&service, label, cue.now_ms)))
}

fn done(stage: &mut Stage, job: &Job) -> Option<()> {
    stage.book.seal(job.actor.label, false);
    Some(())
}

/// A secret was rotated and one job has the old one: it fails each minute until somebody looks.
pub(super) fn stale_secret(stage: &mut Stage, cue: Cue) -> Option<()> {
    let (_, mut job) = any_job(stage, cue)?;
    for _ in 0..stage.dice.between(30, 180) {
        let draft = job.actor.draft(job.time_ms, "token_issue", "failure");
        stage.emit(Draft { reason: "bad_password", grant: "client_credentials", ..draft });
        job.waits(stage, MINUTE_MS, MINUTE_MS + 500);
    }
    done(stage, &job)
}

/// A service pages through all there is, in order.
pub(super) fn export(stage: &mut Stage, cue: Cue) -> Option<()> {
    let (_, mut job) = any_job(stage, cue)?;
    job.signs_in(stage);
    let most = stage.pace.attempts_max * 3;
    for page in 1..=stage.dice.between(most / 3, most) as u64 {
        job.waits(stage, 150, 900).asks(stage, "/api/v1/export/customers/#", page, 200);
    }
    done(stage, &job)
}

/// A service moves to another cloud region: for a while both are in use, then the new one alone.
pub(super) fn moves(stage: &mut Stage, cue: Cue) -> Option<()> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let there = stage.atlas.address(network, number);
    let (index, mut job) = any_job(stage, cue)?;
    let here = job.actor.ip;
    for ip in [here, there, here, there, there] {
        job.actor.ip = ip;
        job.signs_in(stage);
        for _ in 0..stage.dice.between(2, 5) {
            let page = stage.dice.between(1, 400) as u64;
            job.waits(stage, 100, 3 * SECOND_MS).asks(stage, "/api/v1/export/orders?page=#", page, 200);
        }
        job.waits(stage, MINUTE_MS, 10 * MINUTE_MS);
    }
    if let Some(service) = stage.services.get_mut(index) {
        // With the move comes a new token.
        (service.ip, service.issued_ms) = (there, 0);
    }
    done(stage, &job)
}

/// A service is scaled out: pods on many addresses of one provider share its token.
pub(super) fn pods(stage: &mut Stage, cue: Cue) -> Option<()> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let pods: Vec<IpAddr> = (0..stage.dice.between(10, 40) as u64).map(|pod| stage.atlas.address(network, pod << 8)).collect();
    let (_, mut job) = any_job(stage, cue)?;
    job.signs_in(stage);
    for _ in 0..stage.dice.between(40, stage.pace.attempts_max.clamp(60, 200)) {
        job.actor.ip = pods.get(stage.dice.index(pods.len())).copied().unwrap_or(job.actor.ip);
        let page = stage.dice.between(1, 400) as u64;
        job.waits(stage, 500, 20 * SECOND_MS).asks(stage, "/api/v1/queue?page=#", page, 200);
    }
    done(stage, &job)
}

/// The batch of the night: all partitions of yesterday, one after another.
pub(super) fn night_batch(stage: &mut Stage, cue: Cue) -> Option<()> {
    let service = *stage.services.last()?;
    let label = cue.open(stage, service.tenant);
    let until_night_ms = (NIGHT_MS - cue.now_ms).rem_euclid(DAY_MS);
    let mut job = Job::of(&service, label, cue.now_ms + until_night_ms);
    job.signs_in(stage);
    let most = stage.pace.attempts_max / 2;
    for page in 1..=stage.dice.between(most / 2, most) as u64 {
        job.waits(stage, 200, 4 * SECOND_MS).asks(stage, "/api/v1/export/events?page=#", page, 200);
    }
    done(stage, &job)
}

/// Somebody whose task it is, at the same addresses in the same regions every day.
fn appointed(stage: &Stage, number: u16, tenant: u8, client: Client) -> Vec<Service> {
    let mut dice = Dice::new(u64::from(number) << 8 | u64::from(tenant));
    let regions = (0..5).filter_map(|_| stage.atlas.anywhere(&mut dice, Class::Hosting)).collect::<Vec<_>>();
    let at = |network| stage.atlas.address(network, u64::from(number));
    regions.into_iter().map(|n| Service { tenant, number, ip: at(n), client, session: 0, token: 0, issued_ms: 0 }).collect()
}

/// Monitors on several continents sign in with one account every few minutes, look, and sign out.
pub(super) fn monitors(stage: &mut Stage, cue: Cue) -> Option<()> {
    let regions = appointed(stage, MONITOR, 1, Client::tool(Family::Headless));
    let label = cue.open(stage, 1);
    let checks = (stage.pace.attempts_max / 2).min(280);
    let mut time_ms = cue.now_ms;
    for (_, region) in (0..checks).zip(regions.iter().cycle()) {
        time_ms += stage.dice.between(DAY_MS / checks - 20 * SECOND_MS, DAY_MS / checks);
        let actor = Job::of(region, label, time_ms).actor;
        let session = open_session(stage, actor, time_ms);
        request(stage, actor, session, time_ms + 2 * SECOND_MS);
        stage.emit(Draft { session: session.id, ..actor.draft(time_ms + 4 * SECOND_MS, "logout", "success") });
    }
    stage.book.seal(label, false);
    Some(())
}

/// A scanner that the customer pays for tries every route there could be, with its own account.
pub(super) fn paid_scanner(stage: &mut Stage, cue: Cue) -> Option<()> {
    let service = *appointed(stage, SCANNER, 0, Client::tool(Family::Scanner)).first()?;
    let label = cue.open(stage, service.tenant);
    let mut job = Job::of(&service, label, cue.now_ms);
    job.signs_in(stage);
    let session = Session { id: job.session, refresh: job.token, previous: 0, opened_ms: cue.now_ms, refreshed_ms: cue.now_ms };
    probe(stage, job.actor, Some(session), job.time_ms);
    done(stage, &job)
}
