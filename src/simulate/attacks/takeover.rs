//! Sign-ins with stolen credentials, and what makes an account the thief's own.

use super::raid::{Raid, settle, victim};
use super::{Attack, Class, SIGN_INS_MIN, far_address, has_place, has_routine, near_address, thief_client, thief_of, use_account};
use crate::simulate::draft::Draft;
use crate::simulate::people::Person;
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, open_session, request};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// The owner is here; minutes later somebody signs in from another continent.
pub(super) fn impossible_travel(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let fits = |s: &Stage, p: &Person| !p.dormant && has_place(s, p);
    let (mut raid, thief_ip) = Raid::open(stage, attack, now_ms, fits, |s, p| far_address(s, p, now_ms, 3_000.0, 20_100.0))?;
    let owner = Actor { label: 0, ..raid.owner(stage) };
    let session = open_session(stage, owner, raid.time_ms);
    raid.person.laptop_session = Some(session);
    raid.time_ms += 2 * SECOND_MS;
    request(stage, owner, session, raid.time_ms);
    raid.time_ms += stage.wait_ms(5 * MINUTE_MS, HOUR_MS);
    let thief = raid.thief(stage, thief_ip);
    let stolen = open_session(stage, thief, raid.time_ms);
    raid.time_ms = use_account(stage, thief, stolen, raid.time_ms);
    raid.close(stage, true);
    Some(())
}

/// The owner has been away for hours; the thief's place is new but could have been reached.
pub(super) fn unusual_location(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let idle_ms = if stage.pace.haste { 20 * HOUR_MS } else { 8 * HOUR_MS };
    let haste = stage.pace.haste;
    let fits = |s: &Stage, p: &Person| {
        let has_past = p.sign_ins >= SIGN_INS_MIN && p.active_days >= 2 && has_place(s, p);
        has_past && p.dormant == haste && now_ms - p.busy_until_ms > idle_ms
    };
    let (mut raid, thief_ip) = Raid::open(stage, attack, now_ms, fits, |s, p| {
        let idle_hours = (now_ms - p.busy_until_ms) as f64 / HOUR_MS as f64;
        far_address(s, p, now_ms, 2_000.0, idle_hours * 550.0)
    })?;
    raid.time_ms = now_ms;
    let thief = raid.thief(stage, thief_ip);
    let session = open_session(stage, thief, raid.time_ms);
    raid.time_ms = use_account(stage, thief, session, raid.time_ms);
    raid.close(stage, true);
    Some(())
}

/// A thief in the victim's own town has the password, gets in at once, adds a factor of their own and waits.
pub(super) fn near(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ip) = Raid::open(stage, attack, now_ms, has_routine(now_ms), near_address)?;
    raid.owner_goes_on(stage);
    raid.time_ms += stage.wait_ms(20 * MINUTE_MS, 3 * HOUR_MS);
    let thief = raid.thief(stage, ip);
    let session = open_session(stage, thief, raid.time_ms);
    raid.time_ms += stage.wait_ms(MINUTE_MS, 10 * MINUTE_MS);
    stage.emit(Draft {
        session: session.id,
        action: "factor_added",
        factor: "totp",
        ..thief.draft(raid.time_ms, "account_change", "success")
    });
    raid.time_ms += stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    raid.owner_goes_on(stage);
    raid.close(stage, true);
    Some(())
}

/// The thief reads the victim's mail: resets the password, signs in, changes what the account is reached by.
pub(super) fn recovery(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ip) = Raid::open(stage, attack, now_ms, has_routine(now_ms), near_address)?;
    let thief = raid.thief(stage, ip);
    stage.emit(thief.draft(raid.time_ms, "password_reset", "success"));
    raid.time_ms += stage.wait_ms(30 * SECOND_MS, 5 * MINUTE_MS);
    let session = open_session(stage, thief, raid.time_ms);
    for _ in 0..stage.dice.between(1, 2) {
        raid.time_ms += stage.wait_ms(30 * SECOND_MS, 5 * MINUTE_MS);
        stage.emit(Draft { session: session.id, action: "email_changed", ..thief.draft(raid.time_ms, "account_change", "success") });
    }
    raid.time_ms = use_account(stage, thief, session, raid.time_ms);
    raid.close(stage, true);
    Some(())
}

/// Owner and thief sign in within a minute of each other on two continents, and both go on.
pub(super) fn two_continents(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let fits = |s: &Stage, p: &Person| !p.dormant && has_place(s, p);
    let (mut raid, thief_ip) = Raid::open(stage, attack, now_ms, fits, |s, p| far_address(s, p, now_ms, 5_000.0, 20_100.0))?;
    let owner = Actor { label: 0, ..raid.owner(stage) };
    let own = open_session(stage, owner, raid.time_ms);
    raid.person.laptop_session = Some(own);
    raid.time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
    let thief = raid.thief(stage, thief_ip);
    let stolen = open_session(stage, thief, raid.time_ms);
    for _ in 0..stage.dice.between(4, 8) {
        for (actor, session) in [(owner, own), (thief, stolen)] {
            raid.time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
            request(stage, actor, session, raid.time_ms);
        }
    }
    raid.close(stage, true);
    Some(())
}

/// The thief signs in through a VPN's exit in another country, and goes on without it, from a home far away.
pub(super) fn tunnel_first(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let country = |stage: &Stage, town| stage.atlas.town(town).map(|town| town.place.country);
    let (mut raid, (exit_ip, abroad)) = Raid::open(stage, attack, now_ms, has_routine(now_ms), |s, p| {
        let exit = (0..32).find_map(|_| {
            let network = s.atlas.anywhere(&mut s.dice, Class::Vpn)?;
            let town = s.atlas.network(network)?.town;
            (country(s, town) != country(s, p.town)).then_some(network)
        })?;
        let abroad = far_address(s, p, now_ms, 3_000.0, 20_100.0)?;
        let number = s.dice.bits();
        Some((s.atlas.address(exit, number), abroad))
    })?;
    raid.owner_goes_on(stage);
    raid.time_ms += stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    let hidden = raid.thief(stage, exit_ip);
    let session = open_session(stage, hidden, raid.time_ms);
    for _ in 0..stage.dice.between(2, 5) {
        raid.time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
        request(stage, hidden, session, raid.time_ms);
    }
    raid.time_ms += stage.wait_ms(10 * MINUTE_MS, HOUR_MS);
    let plain = Actor { ip: abroad, ..hidden };
    let again = open_session(stage, plain, raid.time_ms);
    raid.time_ms = use_account(stage, plain, again, raid.time_ms);
    raid.close(stage, true);
    Some(())
}

/// An account whose owner has not come for days, opened from another country and on another device.
pub(super) fn dormant(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let has_stopped = |p: &Person| p.dormant || (now_ms > p.stops_ms && now_ms - p.busy_until_ms > 2 * DAY_MS);
    let fits = |s: &Stage, p: &Person| has_stopped(p) && p.sign_ins >= SIGN_INS_MIN && has_place(s, p);
    let (mut raid, thief_ip) = Raid::open(stage, attack, now_ms, fits, |s, p| far_address(s, p, now_ms, 1_500.0, 20_100.0))?;
    raid.time_ms = now_ms;
    let thief = raid.thief(stage, thief_ip);
    let session = open_session(stage, thief, raid.time_ms);
    raid.time_ms = use_account(stage, thief, session, raid.time_ms);
    raid.close(stage, true);
    Some(())
}

/// The thief adds a key of their own and comes back with it, while the old device goes on as ever.
pub(super) fn factor_beside(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ip) = Raid::open(stage, attack, now_ms, has_routine(now_ms), |s, p| far_address(s, p, now_ms, 300.0, 2_500.0))?;
    let thief = raid.thief(stage, ip);
    let session = open_session(stage, thief, raid.time_ms);
    raid.time_ms += stage.wait_ms(MINUTE_MS, 5 * MINUTE_MS);
    let change = thief.draft(raid.time_ms, "account_change", "success");
    stage.emit(Draft { session: session.id, action: "factor_added", factor: "webauthn", ..change });
    for _ in 0..2 {
        raid.time_ms += stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
        raid.owner_goes_on(stage);
        raid.time_ms += stage.wait_ms(20 * MINUTE_MS, HOUR_MS);
        for (kind, wait_ms) in [("mfa_challenge", 0), ("mfa_result", 4 * SECOND_MS)] {
            stage.emit(Draft { factor: "webauthn", ..thief.draft(raid.time_ms + wait_ms, kind, "success") });
        }
        let again = open_session(stage, thief, raid.time_ms + 5 * SECOND_MS);
        raid.time_ms = use_account(stage, thief, again, raid.time_ms + 5 * SECOND_MS);
    }
    raid.close(stage, true);
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
