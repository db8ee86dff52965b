//! Keys of service accounts in other hands.

use super::{Attack, hosted};
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::{Request, User};
use crate::simulate::people::Session;
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, send};
use bartizan_core::time::{MINUTE_MS, SECOND_MS};

/// What a key may open that its service never asks for.
const TREASURES: [&str; 5] = ["/api/v1/users?page=#", "/api/v1/users/#", "/api/v1/payouts?page=#", "/api/v1/keys", "/api/v1/customers/#"];

/// The key of a service, found in a repository: used from another network on what is worth something; the
/// service works on.
pub(super) fn stolen_key(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let index = stage.dice.index(stage.services.len());
    let service = *stage.services.get(index).filter(|service| service.token != 0)?;
    let ip = hosted(stage)?;
    let label = stage.open_label(attack.plan(), service.tenant);
    let client = Client::tool(stage.dice.of(&[Family::Curl, Family::PythonRequests]));
    let thief = Actor { tenant: service.tenant, user: User::Service(service.number), ip, client, label, by_owner: false };
    let session =
        Session { id: service.session, refresh: service.token, previous: 0, opened_ms: service.issued_ms, refreshed_ms: service.issued_ms };
    let mut time_ms = now_ms;
    for _ in 0..stage.dice.between(15, 60) {
        time_ms += stage.wait_ms(2 * SECOND_MS, MINUTE_MS);
        let (path, object) = (stage.dice.of(&TREASURES), stage.dice.bits() % 500);
        let status = stage.dice.of(&[200, 200, 200, 403]);
        let bytes = stage.dice.between(400, 60_000) as u32;
        send(stage, thief, session, Request { method: "GET", path, object, status, bytes, duration_ms: 60 }, time_ms);
    }
    stage.book.seal(label, true);
    Some(())
}
