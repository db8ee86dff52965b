//! Guessing: stuffing, spraying, brute force.

use super::raid::{settle, victim};
use super::{Attack, Class, thief_client, use_account};
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::{Draft, User};
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use crate::simulate::visits::{Actor, open_session};
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use std::net::{IpAddr, Ipv4Addr};

/// A failed sign-in.
fn miss(stage: &mut Stage, actor: Actor, reason: &'static str, time_ms: i64) {
    stage.emit(Draft { reason, grant: "password", ..actor.draft(time_ms, "login", "failure") });
}

/// The addresses that a stuffing run comes from.
fn sources(stage: &mut Stage, attack: Attack, attempts: i64) -> Option<Vec<IpAddr>> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let first = stage.atlas.address(network, number);
    Some(match (attack, first) {
        (Attack::StuffingSubnet | Attack::StuffingRotating, IpAddr::V4(address)) => {
            let base = u32::from(address) & !0xff;
            let count = stage.dice.between(20, 120) as u32;
            (0..count).map(|host| IpAddr::V4(Ipv4Addr::from(base | (host * 2 + 3) & 0xff))).collect()
        }
        (Attack::StuffingDistributed, _) => {
            let count = stage.dice.between(attempts / 3, attempts / 2).max(30);
            (0..count).filter_map(|_| anywhere(stage)).collect()
        }
        (Attack::StuffingProxies, _) => (0..attempts).filter_map(|_| somebodys_home(stage)).collect(),
        _ => vec![first],
    })
}

/// A proxy in somebody's home.
fn somebodys_home(stage: &mut Stage) -> Option<IpAddr> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Residential)?;
    let number = stage.dice.bits();
    Some(stage.atlas.address(network, number))
}

/// A proxy: mostly somebody's home, now and then a hoster or a VPN.
fn anywhere(stage: &mut Stage) -> Option<IpAddr> {
    let class = stage.dice.of(&[Class::Residential, Class::Residential, Class::Residential, Class::Mobile, Class::Hosting, Class::Vpn]);
    let network = stage.atlas.anywhere(&mut stage.dice, class)?;
    let number = stage.dice.bits();
    Some(stage.atlas.address(network, number))
}

/// A leaked list of names and passwords, each tried once or twice.
pub(super) fn stuffing(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let most = stage.pace.attempts_max.max(60);
    let attempts = match attack {
        // A day of a try a minute, where the simulation is large enough for it.
        Attack::StuffingDrip if !stage.pace.haste => (most * 2).min(DAY_MS / MINUTE_MS),
        _ => stage.dice.between(60, most),
    };
    let addresses = sources(stage, attack, attempts)?;
    // Two or three tries an address stay small.
    let attempts = if attack == Attack::StuffingRotating { attempts.min(addresses.len() as i64 * 2) } else { attempts };
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let label = stage.open_label(attack.plan(), tenant);
    let tool = Client::tool(stage.dice.of(&[Family::StaleChrome, Family::PythonRequests, Family::GoHttp]));
    let known_share = stage.dice.between(10, 40) as f64 / 100.0;
    let hits = if stage.dice.chance(0.5) { stage.dice.between(1, 3) } else { 0 };
    // Ten minutes for a small list, hours for a long one over many addresses.
    let gap_ms = match attack {
        Attack::StuffingDistributed => stage.dice.between(2 * SECOND_MS, 8 * SECOND_MS),
        Attack::StuffingProxies => stage.dice.between(4 * SECOND_MS, 20 * SECOND_MS),
        Attack::StuffingRotating => stage.dice.between(10 * SECOND_MS, 40 * SECOND_MS),
        Attack::StuffingDrip => MINUTE_MS,
        _ => stage.dice.between(300, 4 * SECOND_MS),
    };
    let gap_ms = if stage.pace.haste { 40 } else { gap_ms };
    let mut time_ms = now_ms;
    for number in 0..attempts {
        time_ms += stage.dice.around(gap_ms);
        let place = if attack == Attack::StuffingProxies { number as usize % addresses.len() } else { stage.dice.index(addresses.len()) };
        let ip = *addresses.get(place)?;
        let client = if attack == Attack::StuffingRotating { guise(stage) } else { tool };
        let actor = Actor { tenant, user: User::Leaked(stage.dice.bits() as u32), ip, client, label, by_owner: false };
        let is_hit = hits > 0
            && number % (attempts / (hits + 1)).max(1) == attempts / (hits + 1) - 1
            && number / (attempts / (hits + 1)).max(1) < hits;
        if is_hit {
            hit(stage, actor, time_ms);
        } else if stage.dice.chance(known_share) {
            known(stage, actor, time_ms);
        } else {
            miss(stage, actor, "unknown_user", time_ms);
        }
    }
    stage.book.seal(label, hits > 0);
    Some(())
}

/// One tool that shows another browser each time.
fn guise(stage: &mut Stage) -> Client {
    let family = stage.dice.of(&[Family::GuiseChrome, Family::GuiseFirefox, Family::GuiseSafari]);
    Client { family, device: 0, update_lag_days: stage.dice.between(0, 90) as u8 }
}

/// The list has somebody of this tenant, with an old password.
fn known(stage: &mut Stage, actor: Actor, time_ms: i64) {
    let users = stage.people_of_tenant();
    let user = User::Person(stage.dice.between(0, users - 1) as u32);
    let actor = Actor { user, ..actor };
    miss(stage, actor, "bad_password", time_ms);
    if stage.dice.chance(0.1) {
        miss(stage, actor, "bad_password", time_ms + 400);
    }
}

/// The list has somebody's password.
fn hit(stage: &mut Stage, actor: Actor, time_ms: i64) {
    let Some((index, person)) = victim(stage, time_ms, |_, p| p.tenant == actor.tenant && !p.mfa) else {
        return miss(stage, actor, "locked", time_ms);
    };
    let actor = Actor { user: User::Person(person.number), ..actor };
    let session = open_session(stage, actor, time_ms);
    if stage.dice.chance(0.5) {
        use_account(stage, actor, session, time_ms);
    }
    settle(stage, index, person, time_ms);
}

/// One common password on many accounts, then after a pause the next.
pub(super) fn spraying(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let label = stage.open_label(attack.plan(), tenant);
    let client = thief_client(stage);
    let count = if attack == Attack::SprayingSpread { stage.dice.between(3, 8) } else { 1 };
    let addresses: Vec<IpAddr> = (0..count).filter_map(|_| anywhere(stage)).collect();
    let users = stage.people_of_tenant();
    let targets: Vec<u32> = (0..stage.dice.between(15, 60)).map(|_| stage.dice.between(0, users - 1) as u32).collect();
    let mut time_ms = now_ms;
    for _ in 0..stage.dice.between(2, 4) {
        for target in &targets {
            time_ms += match attack {
                Attack::SprayingSlow => stage.wait_ms(3 * MINUTE_MS, 9 * MINUTE_MS),
                _ => stage.wait_ms(SECOND_MS, 20 * SECOND_MS),
            };
            let ip = *addresses.get(stage.dice.index(addresses.len()))?;
            miss(stage, Actor { tenant, user: User::Person(*target), ip, client, label, by_owner: false }, "bad_password", time_ms);
        }
        time_ms += stage.wait_ms(30 * MINUTE_MS, 2 * HOUR_MS);
    }
    stage.book.seal(label, false);
    Some(())
}

/// Many passwords on one account, from one or a few addresses, or each from another one.
pub(super) fn brute_force(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |_, p| !p.dormant)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let client = thief_client(stage);
    let count = match attack {
        Attack::BruteForceSpread => stage.dice.between(40, 120),
        Attack::BruteForcePair => 2,
        _ => stage.dice.between(1, 3),
    };
    let addresses: Vec<IpAddr> = (0..count).filter_map(|_| anywhere(stage)).collect();
    let tries = match attack {
        Attack::BruteForceSlow => stage.dice.between(80, 150),
        _ => stage.dice.between(40, stage.pace.attempts_max.clamp(40, 300)),
    };
    let is_hit = stage.dice.chance(0.2) && !person.mfa;
    let mut time_ms = now_ms;
    let mut actor =
        Actor { tenant: person.tenant, user: User::Person(person.number), ip: *addresses.first()?, client, label, by_owner: false };
    for number in 0..tries {
        time_ms += match attack {
            Attack::BruteForceSlow => stage.wait_ms(8 * MINUTE_MS, 15 * MINUTE_MS),
            Attack::BruteForceSpread | Attack::BruteForcePair => stage.wait_ms(5 * SECOND_MS, MINUTE_MS),
            _ => stage.wait_ms(500, 6 * SECOND_MS),
        };
        let place = if attack == Attack::BruteForcePair { number as usize % addresses.len() } else { stage.dice.index(addresses.len()) };
        actor.ip = *addresses.get(place)?;
        miss(stage, actor, "bad_password", time_ms);
    }
    if is_hit {
        let session = open_session(stage, actor, time_ms + SECOND_MS);
        use_account(stage, actor, session, time_ms + SECOND_MS);
    }
    stage.book.seal(label, is_hit);
    settle(stage, index, person, now_ms);
    Some(())
}
