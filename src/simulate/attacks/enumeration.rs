//! Objects of others by number.

use super::raid::Raid;
use super::{Attack, fetch, has_past, hosted, thief_client};
use crate::simulate::draft::User;
use crate::simulate::probes::probe;
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use crate::simulate::visits::{Actor, open_session};
use bartizan_core::time::SECOND_MS;

/// How an enumeration goes from one number to the next.
#[derive(Clone, Copy)]
struct Walk {
    wait_ms: (i64, i64),
    in_order: bool,
}

/// A fresh account walks through the invoices of others, by number.
pub(super) fn newcomer(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let walk = match attack {
        Attack::ApiSlow => Walk { wait_ms: (25 * SECOND_MS, 35 * SECOND_MS), in_order: true },
        Attack::ApiRandomOrder => Walk { wait_ms: (200, 5 * SECOND_MS), in_order: false },
        _ => Walk { wait_ms: (150, 3 * SECOND_MS), in_order: true },
    };
    let thief = fresh_account(stage, attack)?;
    let label = thief.label;
    stage.emit(thief.draft(now_ms, "signup", "success"));
    let session = open_session(stage, thief, now_ms + SECOND_MS);
    let mut time_ms = now_ms + 5 * SECOND_MS;
    let first = stage.dice.between(1_000, 80_000) as u64;
    let leaks = stage.dice.chance(0.4);
    for step in 0..stage.dice.between(80, stage.pace.attempts_max.max(80)) {
        time_ms += stage.wait_ms(walk.wait_ms.0, walk.wait_ms.1);
        let object = if walk.in_order { first + step as u64 } else { stage.dice.bits() % 90_000 + 1 };
        let status = if leaks && stage.dice.chance(0.3) { 200 } else { stage.dice.of(&[403, 404, 404]) };
        fetch(stage, thief, session, object, status, time_ms);
    }
    stage.book.seal(label, leaks);
    Some(())
}

/// Somebody in a data centre whom nobody here knows.
fn fresh_account(stage: &mut Stage, attack: Attack) -> Option<Actor> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let ip = hosted(stage)?;
    let label = stage.open_label(attack.plan(), tenant);
    let client = thief_client(stage);
    Some(Actor { tenant, user: User::Leaked(stage.dice.bits() as u32), ip, client, label, by_owner: false })
}

/// Routes that might be there, asked for without an account, or with one made for it.
pub(super) fn routes(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let thief = fresh_account(stage, attack)?;
    if stage.dice.chance(0.5) {
        probe(stage, Actor { user: User::Nobody, ..thief }, None, now_ms);
    } else {
        stage.emit(thief.draft(now_ms, "signup", "success"));
        let session = open_session(stage, thief, now_ms + SECOND_MS);
        probe(stage, thief, Some(session), now_ms + 5 * SECOND_MS);
    }
    stage.book.seal(thief.label, false);
    Some(())
}

/// Somebody finds out that the number in the address is all that it takes, and helps themselves.
pub(super) fn insider(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ()) = Raid::open(stage, attack, now_ms, |_, p| !p.dormant && has_past(p, now_ms), |_, _| Some(()))?;
    let actor = Actor { by_owner: false, ..raid.owner(stage) };
    let session = open_session(stage, actor, raid.time_ms);
    raid.person.laptop_session = Some(session);
    let first = stage.dice.between(1_000, 80_000) as u64;
    for step in 0..stage.dice.between(150, stage.pace.attempts_max.max(150)) {
        raid.time_ms += stage.wait_ms(SECOND_MS, 8 * SECOND_MS);
        let status = if stage.dice.chance(0.05) { 404 } else { 200 };
        fetch(stage, actor, session, first + step as u64, status, raid.time_ms);
    }
    raid.close(stage, true);
    Some(())
}
