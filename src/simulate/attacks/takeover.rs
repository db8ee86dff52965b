//! Sign-ins with stolen credentials, second factors worn down, and objects of others by number.

use super::{Attack, Class, far_address, fetch, has_place, settle, thief_client, thief_of, use_account, victim};
use crate::simulate::draft::{Draft, User};
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use crate::simulate::visits::{Actor, open_session, request};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// Without a past no place is unusual: its victims have signed in at least this often.
const SIGN_INS_MIN: u32 = 4;

/// The owner is here; minutes later somebody signs in from another continent.
pub(super) fn impossible_travel(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| !p.dormant && has_place(s, p))?;
    let thief_ip = far_address(stage, &person, now_ms, 3_000.0, 20_100.0)?;
    let label = stage.open_label(Attack::ImpossibleTravel.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let owner_ip = person.home_ip(stage, time_ms);
    let owner = Actor::owner(&person, false, owner_ip, 0);
    let session = open_session(stage, owner, time_ms);
    person.laptop_session = Some(session);
    time_ms += 2 * SECOND_MS;
    request(stage, owner, session, time_ms);
    time_ms += stage.wait_ms(5 * MINUTE_MS, HOUR_MS);
    let thief = thief_of(stage, &person, label, thief_ip);
    let stolen = open_session(stage, thief, time_ms);
    time_ms = use_account(stage, thief, stolen, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The owner has been away for hours; the thief's place is new but could have been reached.
pub(super) fn unusual_location(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let idle_ms = if stage.pace.haste { 20 * HOUR_MS } else { 8 * HOUR_MS };
    let haste = stage.pace.haste;
    let (index, person) = victim(stage, now_ms, |s, p| {
        let has_past = p.sign_ins >= SIGN_INS_MIN && p.active_days >= 2 && has_place(s, p);
        has_past && p.dormant == haste && now_ms - p.busy_until_ms > idle_ms
    })?;
    let idle_hours = (now_ms - person.busy_until_ms) as f64 / HOUR_MS as f64;
    let thief_ip = far_address(stage, &person, now_ms, 2_000.0, idle_hours * 550.0)?;
    let label = stage.open_label(Attack::UnusualLocation.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, thief_ip);
    let session = open_session(stage, thief, now_ms);
    let time_ms = use_account(stage, thief, session, now_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The thief has the password and sends push after push.
pub(super) fn mfa_fatigue(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |_, p| p.mfa && !p.dormant)?;
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let ip = stage.atlas.address(network, number);
    let label = stage.open_label(Attack::MfaFatigue.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, ip);
    let gives_in = stage.dice.chance(0.4);
    let mut time_ms = now_ms;
    let pushes = stage.dice.between(5, 15);
    for push in 1..=pushes {
        stage.emit(Draft { factor: "push", ..thief.draft(time_ms, "mfa_challenge", "success") });
        time_ms += stage.wait_ms(5 * SECOND_MS, 30 * SECOND_MS);
        if push == pushes && gives_in {
            stage.emit(Draft { factor: "push", ..thief.draft(time_ms, "mfa_result", "success") });
            let session = open_session(stage, thief, time_ms + 300);
            time_ms = use_account(stage, thief, session, time_ms + 300);
        } else {
            stage.emit(Draft { factor: "push", reason: "mfa_denied", ..thief.draft(time_ms, "mfa_result", "failure") });
            time_ms += stage.wait_ms(5 * SECOND_MS, 40 * SECOND_MS);
        }
    }
    stage.book.seal(label, gives_in);
    settle(stage, index, person, time_ms);
    Some(())
}

/// A fresh account walks through the invoices of others, number by number.
pub(super) fn api_enumeration(stage: &mut Stage, now_ms: i64) -> Option<()> {
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
