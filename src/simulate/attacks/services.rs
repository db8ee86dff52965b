//! Keys of service accounts in other hands.

use super::{Attack, hosted};
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::User;
use crate::simulate::people::Session;
use crate::simulate::probes::probe;
use crate::simulate::stage::Stage;
use crate::simulate::visits::Actor;

/// The key of a service, found in a repository, tries from another network what it opens; the service works on.
pub(super) fn stolen_key(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let index = stage.dice.index(stage.services.len());
    let service = *stage.services.get(index).filter(|service| service.token != 0)?;
    let ip = hosted(stage)?;
    let label = stage.open_label(attack.plan(), service.tenant);
    let client = Client::tool(stage.dice.of(&[Family::Curl, Family::PythonRequests]));
    let thief = Actor { tenant: service.tenant, user: User::Service(service.number), ip, client, label, by_owner: false };
    let session =
        Session { id: service.session, refresh: service.token, previous: 0, opened_ms: service.issued_ms, refreshed_ms: service.issued_ms };
    probe(stage, thief, Some(session), now_ms);
    stage.book.seal(label, true);
    Some(())
}
