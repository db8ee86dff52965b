//! Sign-ins with stolen credentials, and what makes an account the thief's own.

use super::{Attack, Class, far_address, has_past, has_place, settle, thief_of, use_account, victim};
use crate::simulate::draft::{Draft, Token};
use crate::simulate::people::{Person, Session};
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, open_session, request};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

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

/// An address of the victim's own town, on a line or a phone that is not theirs.
fn near_address(stage: &mut Stage, person: &Person) -> Option<IpAddr> {
    let asn = |stage: &Stage, network: Option<u16>| network.and_then(|n| stage.atlas.network(n)).map(|n| n.asn);
    let own = [Some(person.home), person.carrier].map(|network| asn(stage, network));
    (0..50).find_map(|_| {
        let class = stage.dice.of(&[Class::Residential, Class::Mobile]);
        let network = stage.atlas.pick(&mut stage.dice, person.town, class, false)?;
        let number = stage.dice.bits();
        // One provider's lines look alike from the outside.
        (!own.contains(&asn(stage, Some(network)))).then(|| stage.atlas.address(network, number))
    })
}

/// Days in which somebody must have come to be known.
fn is_known(person: &Person, now_ms: i64) -> bool {
    !person.dormant && person.sign_ins >= SIGN_INS_MIN && has_past(person, now_ms)
}

/// The owner goes on as ever, at the laptop.
fn owner_goes_on(stage: &mut Stage, person: &mut Person, from_ms: i64) -> i64 {
    let ip = person.home_ip(stage, from_ms);
    let owner = Actor::owner(person, false, ip, 0);
    let mut time_ms = from_ms;
    let session = person.laptop_session.unwrap_or_else(|| open_session(stage, owner, time_ms));
    person.laptop_session = Some(session);
    for _ in 0..stage.dice.between(2, 5) {
        time_ms += stage.wait_ms(5 * SECOND_MS, 2 * MINUTE_MS);
        request(stage, owner, session, time_ms);
    }
    time_ms
}

/// A thief in the victim's own town has the password, gets in at once, adds a factor of their own and waits.
pub(super) fn near(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = near_address(stage, &person)?;
    let label = stage.open_label(Attack::TakeoverNear.plan(), person.tenant);
    let from_ms = now_ms.max(person.busy_until_ms) + 500;
    let mut time_ms = owner_goes_on(stage, &mut person, from_ms);
    time_ms += stage.wait_ms(20 * MINUTE_MS, 3 * HOUR_MS);
    let thief = thief_of(stage, &person, label, ip);
    let session = open_session(stage, thief, time_ms);
    time_ms += stage.wait_ms(MINUTE_MS, 10 * MINUTE_MS);
    stage.emit(Draft { session: session.id, factor: "totp", ..thief.draft(time_ms, "account_change", "success") });
    let after_ms = time_ms + stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    time_ms = owner_goes_on(stage, &mut person, after_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The thief reads the victim's mail: resets the password, signs in, changes what the account is reached by.
pub(super) fn recovery(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = near_address(stage, &person)?;
    let label = stage.open_label(Attack::TakeoverRecovery.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, ip);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    stage.emit(thief.draft(time_ms, "password_reset", "success"));
    time_ms += stage.wait_ms(30 * SECOND_MS, 5 * MINUTE_MS);
    let session = open_session(stage, thief, time_ms);
    for _ in 0..stage.dice.between(1, 2) {
        time_ms += stage.wait_ms(30 * SECOND_MS, 5 * MINUTE_MS);
        stage.emit(Draft { session: session.id, ..thief.draft(time_ms, "account_change", "success") });
    }
    time_ms = use_account(stage, thief, session, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The victim enters a code that the thief sent, at home and with their own device; the token goes to the thief.
pub(super) fn device_code(stage: &mut Stage, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let ip = stage.atlas.address(network, number);
    let label = stage.open_label(Attack::TakeoverDeviceCode.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let home_ip = person.home_ip(stage, time_ms);
    let owner = Actor::owner(&person, false, home_ip, label);
    let session = open_session(stage, owner, time_ms);
    time_ms += stage.wait_ms(20 * SECOND_MS, 3 * MINUTE_MS);
    let thief = thief_of(stage, &person, label, ip);
    let stolen = stage.number();
    let issue = thief.draft(time_ms, "token_issue", "success");
    let token = Some(Token::Refresh(stage.number()));
    stage.emit(Draft { grant: "device_code", session: stolen, token, ..issue });
    time_ms = use_account(stage, thief, Session { id: stolen, ..session }, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}
