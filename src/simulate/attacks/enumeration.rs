//! Objects of others by number.

use super::{Attack, Class, fetch, has_past, settle, thief_client, victim};
use crate::simulate::draft::User;
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use crate::simulate::visits::{Actor, open_session};
use bartizan_core::time::SECOND_MS;

/// A fresh account walks through the invoices of others, number by number.
pub(super) fn newcomer(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let ip = stage.atlas.address(network, number);
    let label = stage.open_label(Attack::ApiEnumeration.plan(), tenant);
    let client = thief_client(stage);
    let thief = Actor { tenant, user: User::Leaked(stage.dice.bits() as u32), ip, client, label, by_owner: false };
    stage.emit(thief.draft(now_ms, "signup", "success"));
    let session = open_session(stage, thief, now_ms + SECOND_MS);
    let mut time_ms = now_ms + 5 * SECOND_MS;
    let first = stage.dice.between(1_000, 80_000) as u64;
    let leaks = stage.dice.chance(0.4);
    for step in 0..stage.dice.between(80, stage.pace.attempts_max.max(80)) {
        time_ms += stage.wait_ms(150, 3 * SECOND_MS);
        let status = if leaks && stage.dice.chance(0.3) { 200 } else { stage.dice.of(&[403, 404, 404]) };
        fetch(stage, thief, session, first + step as u64, status, time_ms);
    }
    stage.book.seal(label, leaks);
    Some(())
}

/// Somebody finds out that the number in the address is all that it takes, and helps themselves.
pub(super) fn insider(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |_, p| !p.dormant && has_past(p, now_ms))?;
    let label = stage.open_label(Attack::ApiInsider.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let ip = person.home_ip(stage, time_ms);
    let actor = Actor { by_owner: false, ..Actor::owner(&person, false, ip, label) };
    let session = open_session(stage, actor, time_ms);
    person.laptop_session = Some(session);
    let first = stage.dice.between(1_000, 80_000) as u64;
    for step in 0..stage.dice.between(150, stage.pace.attempts_max.max(150)) {
        time_ms += stage.wait_ms(SECOND_MS, 8 * SECOND_MS);
        let status = if stage.dice.chance(0.05) { 404 } else { 200 };
        fetch(stage, actor, session, first + step as u64, status, time_ms);
    }
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}
