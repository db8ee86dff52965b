//! Stolen tokens and sessions.

use super::raid::{Raid, victim};
use super::{Attack, far_address, has_past, hosted, near_address, use_account};
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::{Draft, Request, Token, User};
use crate::simulate::people::{Person, Session};
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use crate::simulate::visits::{Actor, open_session, refresh_once, request, rotated};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// Long enough after a rotation that nobody can take it for a race.
const OUT_OF_GRACE_MS: i64 = 5 * MINUTE_MS;

/// A theft in the making: the victim at the laptop, the session, the thief elsewhere.
struct Theft {
    raid: Raid,
    owner: Actor,
    thief: Actor,
    session: Session,
}

impl Theft {
    /// Finds a victim with a session of the web client (or lets one sign in) and a thief.
    fn prepare(stage: &mut Stage, attack: Attack, now_ms: i64, fits: impl Fn(&Person, &Session) -> bool) -> Option<Self> {
        let victim = victim(stage, now_ms, |_, p| !p.dormant && p.laptop_session.is_some_and(|s| fits(p, &s))).or_else(|| {
            if attack == Attack::SessionOfIdle && !stage.pace.haste { None } else { victim(stage, now_ms, |_, p| !p.dormant) }
        })?;
        let (mut raid, thief_ip) = Raid::on(victim, stage, attack, now_ms, |s, p| match attack {
            Attack::ReplaySameTown => near_address(s, p),
            Attack::SessionOfIdle => hosted(s),
            _ => far_address(s, p, now_ms, 500.0, 20_100.0),
        })?;
        let owner = raid.owner(stage);
        let thief = raid.thief(stage, thief_ip);
        let session = match raid.person.laptop_session {
            Some(session) => session,
            None => {
                let session = open_session(stage, Actor { label: 0, ..owner }, raid.time_ms);
                raid.time_ms += 2 * SECOND_MS;
                raid.person.laptop_session = Some(session);
                session
            }
        };
        Some(Self { raid, owner, thief, session })
    }

    /// The owner refreshes as always.
    fn owner_refreshes(&mut self, stage: &mut Stage) {
        let issued = stage.number();
        let owner = Actor { label: 0, ..self.owner };
        refresh_once(stage, owner, self.session, issued, self.raid.time_ms);
        self.session = rotated(self.session, issued, self.raid.time_ms);
        self.raid.person.laptop_session = Some(self.session);
    }

    fn finish(mut self, stage: &mut Stage, hit: bool) {
        self.raid.time_ms += SECOND_MS;
        self.raid.close(stage, hit);
    }
}

/// A refresh that is refused because the token was used before.
fn refused(stage: &mut Stage, actor: Actor, session: u64, token: u64, time_ms: i64) {
    refused_for(stage, actor, session, token, "token_reused", time_ms);
}

fn refused_for(stage: &mut Stage, actor: Actor, session: u64, token: u64, reason: &'static str, time_ms: i64) {
    let draft = Draft { reason, grant: "refresh_token", session, ..actor.draft(time_ms, "token_refresh", "failure") };
    stage.emit(Draft { token: Some(Token::Refresh(token)), ..draft });
}

/// The thief refreshes with the owner's current token; the owner comes after with the same one.
pub(super) fn thief_first(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let theft = Theft::prepare(stage, attack, now_ms, |_, _| true)?;
    refresh_before_owner(stage, theft)
}

/// The same from another line of the victim's own town, by the same kind of browser.
pub(super) fn same_town(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let mut theft = Theft::prepare(stage, attack, now_ms, |_, _| true)?;
    theft.thief.client = Client { device: stage.number(), ..theft.raid.person.laptop };
    refresh_before_owner(stage, theft)
}

fn refresh_before_owner(stage: &mut Stage, mut theft: Theft) -> Option<()> {
    let stolen = theft.session;
    theft.raid.time_ms += stage.wait_ms(5 * MINUTE_MS, 40 * MINUTE_MS);
    let issued = stage.number();
    refresh_once(stage, theft.thief, stolen, issued, theft.raid.time_ms);
    let used_until_ms = use_account(stage, theft.thief, rotated(stolen, issued, theft.raid.time_ms), theft.raid.time_ms);
    theft.raid.time_ms = used_until_ms.max(theft.raid.time_ms + stage.wait_ms(5 * MINUTE_MS, 50 * MINUTE_MS));
    if stage.tenant(theft.raid.person.tenant).refuses_reuse {
        refused(stage, theft.owner, stolen.id, stolen.refresh, theft.raid.time_ms);
        // Signed out by the refusal, the owner signs in again.
        theft.raid.time_ms += stage.wait_ms(10 * SECOND_MS, MINUTE_MS);
        theft.raid.person.laptop_session = Some(open_session(stage, Actor { label: 0, ..theft.owner }, theft.raid.time_ms));
    } else {
        let second = stage.number();
        refresh_once(stage, theft.owner, stolen, second, theft.raid.time_ms);
        theft.raid.person.laptop_session = Some(rotated(stolen, second, theft.raid.time_ms));
    }
    theft.finish(stage, true);
    Some(())
}

/// The owner has rotated the token; later the thief comes with the old one.
pub(super) fn owner_first(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let is_old = |s: &Session| s.previous != 0 && now_ms - s.refreshed_ms > OUT_OF_GRACE_MS;
    let mut theft = Theft::prepare(stage, attack, now_ms, |_, s| is_old(s))?;
    if !is_old(&theft.session) {
        theft.owner_refreshes(stage);
        theft.raid.time_ms += stage.dice.between(OUT_OF_GRACE_MS, 3 * HOUR_MS);
    }
    let stolen = theft.session.previous;
    theft.raid.time_ms += stage.wait_ms(MINUTE_MS, 10 * MINUTE_MS);
    let is_hit = !stage.tenant(theft.raid.person.tenant).refuses_reuse;
    if is_hit {
        let issued = stage.number();
        let session = Session { refresh: stolen, ..theft.session };
        refresh_once(stage, theft.thief, session, issued, theft.raid.time_ms);
        theft.raid.time_ms = use_account(stage, theft.thief, rotated(session, issued, theft.raid.time_ms), theft.raid.time_ms);
    } else {
        for _ in 0..stage.dice.between(1, 3) {
            refused(stage, theft.thief, theft.session.id, stolen, theft.raid.time_ms);
            theft.raid.time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
        }
        // The provider ends the family; the owner signs in at the next visit.
        theft.raid.person.laptop_session = None;
    }
    theft.finish(stage, is_hit);
    Some(())
}

/// A stolen cookie: owner and thief use one session in turns.
pub(super) fn in_turns(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let fresh = |s: &Session| now_ms - s.refreshed_ms < HOUR_MS;
    let mut theft = Theft::prepare(stage, attack, now_ms, |_, s| fresh(s))?;
    if !fresh(&theft.session) {
        theft.owner_refreshes(stage);
    }
    let owner = Actor { label: 0, ..theft.owner };
    for _ in 0..stage.dice.between(4, 9) {
        for actor in [owner, theft.thief] {
            for _ in 0..stage.dice.between(1, 4) {
                theft.raid.time_ms += stage.wait_ms(2 * SECOND_MS, 30 * SECOND_MS);
                request(stage, actor, theft.session, theft.raid.time_ms);
            }
            theft.raid.time_ms += stage.wait_ms(10 * SECOND_MS, 3 * MINUTE_MS);
        }
    }
    theft.finish(stage, true);
    Some(())
}

/// The owner signs out; the thief goes on with the session or its token.
pub(super) fn after_logout(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let mut theft = Theft::prepare(stage, attack, now_ms, |_, _| true)?;
    let owner = Actor { label: 0, ..theft.owner };
    request(stage, owner, theft.session, theft.raid.time_ms);
    theft.raid.time_ms += stage.wait_ms(5 * SECOND_MS, MINUTE_MS);
    stage.emit(Draft { session: theft.session.id, ..owner.draft(theft.raid.time_ms, "logout", "success") });
    theft.raid.person.laptop_session = None;
    theft.raid.time_ms += stage.wait_ms(5 * MINUTE_MS, HOUR_MS);
    let mut is_hit = true;
    if stage.dice.chance(0.5) {
        // The access token is validated locally and outlives the session.
        for _ in 0..stage.dice.between(3, 10) {
            theft.raid.time_ms += stage.wait_ms(2 * SECOND_MS, 30 * SECOND_MS);
            request(stage, theft.thief, theft.session, theft.raid.time_ms);
        }
    } else if stage.tenant(theft.raid.person.tenant).refuses_reuse {
        is_hit = false;
        refused_for(stage, theft.thief, theft.session.id, theft.session.refresh, "revoked", theft.raid.time_ms);
    } else {
        let issued = stage.number();
        refresh_once(stage, theft.thief, theft.session, issued, theft.raid.time_ms);
        theft.raid.time_ms = use_account(stage, theft.thief, rotated(theft.session, issued, theft.raid.time_ms), theft.raid.time_ms);
    }
    theft.finish(stage, is_hit);
    Some(())
}

/// The owner has been away for hours; the cookie is used from a data centre, and later the owner comes back to it.
pub(super) fn idle_owner(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let is_idle = |p: &Person, s: &Session| now_ms - s.refreshed_ms > HOUR_MS && now_ms - p.busy_until_ms > HOUR_MS && has_past(p, now_ms);
    let mut theft = Theft::prepare(stage, attack, now_ms, is_idle)?;
    for _ in 0..stage.dice.between(5, 20) {
        theft.raid.time_ms += stage.wait_ms(5 * SECOND_MS, 4 * MINUTE_MS);
        request(stage, theft.thief, theft.session, theft.raid.time_ms);
    }
    theft.raid.time_ms += stage.wait_ms(30 * MINUTE_MS, 3 * HOUR_MS);
    let owner = Actor { label: 0, ..theft.owner };
    for _ in 0..stage.dice.between(3, 6) {
        theft.raid.time_ms += stage.wait_ms(2 * SECOND_MS, 30 * SECOND_MS);
        request(stage, owner, theft.session, theft.raid.time_ms);
    }
    theft.finish(stage, true);
    Some(())
}

/// The owner changes the password and signs in anew; the old session goes on elsewhere.
pub(super) fn after_password_change(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let mut theft = Theft::prepare(stage, attack, now_ms, |_, _| true)?;
    let owner = Actor { label: 0, ..theft.owner };
    request(stage, owner, theft.session, theft.raid.time_ms);
    theft.raid.time_ms += stage.wait_ms(20 * SECOND_MS, 2 * MINUTE_MS);
    stage.emit(Draft { session: theft.session.id, ..owner.draft(theft.raid.time_ms, "password_change", "success") });
    theft.raid.time_ms += stage.wait_ms(5 * SECOND_MS, 30 * SECOND_MS);
    theft.raid.person.laptop_session = Some(open_session(stage, owner, theft.raid.time_ms));
    theft.raid.owner_goes_on(stage);
    for _ in 0..stage.dice.between(6, 15) {
        theft.raid.time_ms += stage.wait_ms(10 * SECOND_MS, 8 * MINUTE_MS);
        request(stage, theft.thief, theft.session, theft.raid.time_ms);
    }
    theft.finish(stage, true);
    Some(())
}

/// The thief uses a token where it belongs, and tries what else it opens: the gateways of other organisations.
pub(super) fn across_tenants(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let mut theft = Theft::prepare(stage, attack, now_ms, |_, s| now_ms - s.refreshed_ms < HOUR_MS)?;
    let owner = Actor { label: 0, ..theft.owner };
    request(stage, owner, theft.session, theft.raid.time_ms);
    for step in 0..TENANTS.len() as u8 {
        let tenant = (theft.raid.person.tenant + step) % TENANTS.len() as u8;
        for _ in 0..stage.dice.between(4, 10) {
            theft.raid.time_ms += stage.wait_ms(2 * SECOND_MS, 30 * SECOND_MS);
            if step == 0 {
                request(stage, theft.thief, theft.session, theft.raid.time_ms);
            } else {
                stranger(stage, Actor { tenant, user: User::Nobody, ..theft.thief }, theft.session, theft.raid.time_ms);
            }
        }
    }
    theft.raid.time_ms += stage.wait_ms(10 * SECOND_MS, MINUTE_MS);
    request(stage, owner, theft.session, theft.raid.time_ms);
    theft.finish(stage, true);
    Some(())
}

/// A request with a token that the gateway does not know: it cannot say whose it is.
fn stranger(stage: &mut Stage, actor: Actor, session: Session, time_ms: i64) {
    let request = Request { method: "GET", path: "/api/v1/me", object: 0, status: 401, bytes: 90, duration_ms: 3 };
    let draft = actor.draft(time_ms, "api_request", "denied");
    stage.emit(Draft { token: Some(Token::Access(session.refresh)), request: Some(request), ..draft });
}

/// A token taken from the victim's phone, used by a script beside the app.
pub(super) fn app_token(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let fits = |_: &Stage, p: &Person| !p.dormant && p.phone.family == Family::AppAndroid;
    let (mut raid, thief_ip) = Raid::open(stage, attack, now_ms, fits, |s, p| far_address(s, p, now_ms, 500.0, 20_100.0))?;
    let home_ip = raid.person.home_ip(stage, raid.time_ms);
    let owner = Actor::owner(&raid.person, true, home_ip, raid.label);
    let session = open_session(stage, owner, raid.time_ms);
    raid.person.phone_session = Some(session);
    let script = Actor { ip: thief_ip, client: Client::tool(Family::AppScript), by_owner: false, ..owner };
    for _ in 0..stage.dice.between(3, 6) {
        raid.time_ms += stage.wait_ms(MINUTE_MS, 10 * MINUTE_MS);
        request(stage, owner, session, raid.time_ms);
        raid.time_ms += stage.wait_ms(10 * SECOND_MS, MINUTE_MS);
        request(stage, script, session, raid.time_ms);
    }
    raid.time_ms = use_account(stage, script, session, raid.time_ms);
    raid.close(stage, true);
    Some(())
}
