//! Sign-ins with stolen credentials, and what makes an account the thief's own.

use super::{
    Attack, Class, SIGN_INS_MIN, far_address, has_place, is_known, near_address, owner_goes_on, settle, thief_client, thief_of,
    use_account, victim,
};
use crate::simulate::draft::Draft;
use crate::simulate::people::Person;
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, open_session, request};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// The owner is here; minutes later somebody signs in from another continent.
pub(super) fn impossible_travel(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| !p.dormant && has_place(s, p))?;
    let thief_ip = far_address(stage, &person, now_ms, 3_000.0, 20_100.0)?;
    let label = stage.open_label(attack.plan(), person.tenant);
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
pub(super) fn unusual_location(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let idle_ms = if stage.pace.haste { 20 * HOUR_MS } else { 8 * HOUR_MS };
    let haste = stage.pace.haste;
    let (index, person) = victim(stage, now_ms, |s, p| {
        let has_past = p.sign_ins >= SIGN_INS_MIN && p.active_days >= 2 && has_place(s, p);
        has_past && p.dormant == haste && now_ms - p.busy_until_ms > idle_ms
    })?;
    let idle_hours = (now_ms - person.busy_until_ms) as f64 / HOUR_MS as f64;
    let thief_ip = far_address(stage, &person, now_ms, 2_000.0, idle_hours * 550.0)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, thief_ip);
    let session = open_session(stage, thief, now_ms);
    let time_ms = use_account(stage, thief, session, now_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// A thief in the victim's own town has the password, gets in at once, adds a factor of their own and waits.
pub(super) fn near(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = near_address(stage, &person)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let from_ms = now_ms.max(person.busy_until_ms) + 500;
    let mut time_ms = owner_goes_on(stage, &mut person, from_ms);
    time_ms += stage.wait_ms(20 * MINUTE_MS, 3 * HOUR_MS);
    let thief = thief_of(stage, &person, label, ip);
    let session = open_session(stage, thief, time_ms);
    time_ms += stage.wait_ms(MINUTE_MS, 10 * MINUTE_MS);
    stage.emit(Draft { session: session.id, action: "factor_added", factor: "totp", ..thief.draft(time_ms, "account_change", "success") });
    let after_ms = time_ms + stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    time_ms = owner_goes_on(stage, &mut person, after_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The thief reads the victim's mail: resets the password, signs in, changes what the account is reached by.
pub(super) fn recovery(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = near_address(stage, &person)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, ip);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    stage.emit(thief.draft(time_ms, "password_reset", "success"));
    time_ms += stage.wait_ms(30 * SECOND_MS, 5 * MINUTE_MS);
    let session = open_session(stage, thief, time_ms);
    for _ in 0..stage.dice.between(1, 2) {
        time_ms += stage.wait_ms(30 * SECOND_MS, 5 * MINUTE_MS);
        stage.emit(Draft { session: session.id, action: "email_changed", ..thief.draft(time_ms, "account_change", "success") });
    }
    time_ms = use_account(stage, thief, session, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// Owner and thief sign in within a minute of each other on two continents, and both go on.
pub(super) fn two_continents(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| !p.dormant && has_place(s, p))?;
    let thief_ip = far_address(stage, &person, now_ms, 5_000.0, 20_100.0)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let owner_ip = person.home_ip(stage, time_ms);
    let owner = Actor::owner(&person, false, owner_ip, 0);
    let own = open_session(stage, owner, time_ms);
    person.laptop_session = Some(own);
    time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
    let thief = thief_of(stage, &person, label, thief_ip);
    let stolen = open_session(stage, thief, time_ms);
    for _ in 0..stage.dice.between(4, 8) {
        for (actor, session) in [(owner, own), (thief, stolen)] {
            time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
            request(stage, actor, session, time_ms);
        }
    }
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The thief signs in through a VPN's exit in another country, and goes on without it, from a home far away.
pub(super) fn tunnel_first(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let country = |stage: &Stage, town| stage.atlas.town(town).map(|town| town.place.country);
    let exit = (0..32).find_map(|_| {
        let network = stage.atlas.anywhere(&mut stage.dice, Class::Vpn)?;
        let town = stage.atlas.network(network)?.town;
        (country(stage, town) != country(stage, person.town)).then_some(network)
    })?;
    let abroad = far_address(stage, &person, now_ms, 3_000.0, 20_100.0)?;
    let number = stage.dice.bits();
    let exit_ip = stage.atlas.address(exit, number);
    let label = stage.open_label(attack.plan(), person.tenant);
    let from_ms = now_ms.max(person.busy_until_ms) + 500;
    let mut time_ms = owner_goes_on(stage, &mut person, from_ms);
    time_ms += stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    let hidden = thief_of(stage, &person, label, exit_ip);
    let session = open_session(stage, hidden, time_ms);
    for _ in 0..stage.dice.between(2, 5) {
        time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
        request(stage, hidden, session, time_ms);
    }
    time_ms += stage.wait_ms(10 * MINUTE_MS, HOUR_MS);
    let plain = Actor { ip: abroad, ..hidden };
    let again = open_session(stage, plain, time_ms);
    time_ms = use_account(stage, plain, again, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// An account whose owner has not come for days, opened from another country and on another device.
pub(super) fn dormant(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let has_stopped = |p: &Person| p.dormant || (now_ms > p.stops_ms && now_ms - p.busy_until_ms > 2 * DAY_MS);
    let (index, person) = victim(stage, now_ms, |s, p| has_stopped(p) && p.sign_ins >= SIGN_INS_MIN && has_place(s, p))?;
    let thief_ip = far_address(stage, &person, now_ms, 1_500.0, 20_100.0)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, thief_ip);
    let session = open_session(stage, thief, now_ms);
    let time_ms = use_account(stage, thief, session, now_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The thief adds a key of their own and comes back with it, while the old device goes on as ever.
pub(super) fn factor_beside(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = far_address(stage, &person, now_ms, 300.0, 2_500.0)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let thief = thief_of(stage, &person, label, ip);
    let session = open_session(stage, thief, time_ms);
    time_ms += stage.wait_ms(MINUTE_MS, 5 * MINUTE_MS);
    let change = thief.draft(time_ms, "account_change", "success");
    stage.emit(Draft { session: session.id, action: "factor_added", factor: "webauthn", ..change });
    for _ in 0..2 {
        time_ms += stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
        time_ms = owner_goes_on(stage, &mut person, time_ms) + stage.wait_ms(20 * MINUTE_MS, HOUR_MS);
        for (kind, wait_ms) in [("mfa_challenge", 0), ("mfa_result", 4 * SECOND_MS)] {
            stage.emit(Draft { factor: "webauthn", ..thief.draft(time_ms + wait_ms, kind, "success") });
        }
        let again = open_session(stage, thief, time_ms + 5 * SECOND_MS);
        time_ms = use_account(stage, thief, again, time_ms + 5 * SECOND_MS);
    }
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// A list of names whose passwords are right, each used once, from a home in its owner's own country, with one tool.
pub(super) fn valid_list(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (_, first) = victim(stage, now_ms, |_, p| !p.dormant && !p.mfa)?;
    let label = stage.open_label(attack.plan(), first.tenant);
    let client = thief_client(stage);
    let mut time_ms = now_ms;
    for _ in 0..stage.dice.between(10, 25) {
        time_ms += stage.wait_ms(30 * SECOND_MS, 4 * MINUTE_MS);
        let Some((index, person)) = victim(stage, time_ms, |_, p| p.tenant == first.tenant && !p.dormant && !p.mfa) else { break };
        let country = stage.atlas.town(person.town).map(|town| town.place.country).unwrap_or_default();
        let towns: Vec<u16> = stage.atlas.towns_in(country).collect();
        let town = towns.get(stage.dice.index(towns.len())).copied().unwrap_or(person.town);
        let Some(network) = stage.atlas.pick(&mut stage.dice, town, Class::Residential, false) else { continue };
        let number = stage.dice.bits();
        let thief = Actor { client, ..thief_of(stage, &person, label, stage.atlas.address(network, number)) };
        let session = open_session(stage, thief, time_ms);
        request(stage, thief, session, time_ms + 2 * SECOND_MS);
        settle(stage, index, person, time_ms + 3 * SECOND_MS);
    }
    stage.book.seal(label, true);
    Some(())
}
