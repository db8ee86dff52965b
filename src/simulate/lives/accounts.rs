//! Passwords, names and factors: forgotten, mistyped, replaced.

use super::Cue;
use super::part::Part;
use crate::simulate::atlas::Class;
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::{Draft, Token, User};
use crate::simulate::people::{Person, Session, make_laptop};
use crate::simulate::stage::Stage;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// The phone is offline: pushes run out, again and again, until its owner takes a code instead.
pub(super) fn offline_phone(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.mfa)?;
    let ask = |stage: &mut Stage, who: &mut Part, factor, answer: (&'static str, &'static str), wait_ms: (i64, i64)| {
        stage.emit(Draft { factor, ..who.actor.draft(who.time_ms, "mfa_challenge", "success") });
        who.waits(stage, wait_ms.0, wait_ms.1);
        stage.emit(Draft { factor, reason: answer.1, ..who.actor.draft(who.time_ms, "mfa_result", answer.0) });
    };
    for _ in 0..stage.dice.between(2, 6) {
        ask(stage, &mut who, "push", ("failure", "timeout"), (MINUTE_MS, MINUTE_MS));
        who.waits(stage, 5 * SECOND_MS, MINUTE_MS);
    }
    ask(stage, &mut who, "totp", ("success", ""), (8 * SECOND_MS, 40 * SECOND_MS));
    who.waits(stage, 300, 300).gets_in(stage);
    who.ends(stage)
}

/// Somebody forgot the password: fails, resets it at home, signs in, and sets up a factor again.
pub(super) fn forgotten_password(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    let tries = stage.dice.between(4, 12);
    who.misses(stage, tries, "bad_password").resets_password(stage);
    who.gets_in(stage).waits(stage, MINUTE_MS, 5 * MINUTE_MS).changes(stage, "factor_added", "totp");
    who.ends(stage)
}

/// A password manager fills in the old password, on the laptop and on the phone, as fast as pages load.
pub(super) fn password_manager(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    let at_once = (SECOND_MS, 3 * SECOND_MS);
    let tries = (stage.dice.between(3, 7), stage.dice.between(2, 5));
    who.misses_each(stage, tries.0, "bad_password", at_once).waits(stage, MINUTE_MS, 10 * MINUTE_MS);
    who.takes_phone().misses_each(stage, tries.1, "bad_password", at_once).waits(stage, MINUTE_MS, 10 * MINUTE_MS);
    who.takes_laptop().signs_in(stage).browses(stage, 3);
    who.ends(stage)
}

/// A letter of the user name is missing, and nobody sees it.
pub(super) fn mistyped_name(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    let tries = stage.dice.between(2, 5);
    let meant = std::mem::replace(&mut who.actor.user, User::Mistyped(who.person.number));
    who.misses(stage, tries, "unknown_user");
    who.actor.user = meant;
    who.signs_in(stage).browses(stage, 2);
    who.ends(stage)
}

/// A new laptop, and everything made new with it: address, password, factor.
pub(super) fn power_user(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    let laptop = make_laptop(stage);
    who.has_new_laptop(laptop).signs_in(stage).browses(stage, 3).waits(stage, MINUTE_MS, 20 * MINUTE_MS);
    who.changes(stage, "email_changed", "").changes_password(stage).changes(stage, "factor_added", "webauthn");
    who.changes(stage, "factor_removed", "totp").browses(stage, 2).waits(stage, 5 * MINUTE_MS, HOUR_MS);
    who.takes_phone().signs_in(stage).browses(stage, 2);
    who.ends(stage)
}

/// Somebody who is known well adds a second factor, as everybody should.
pub(super) fn new_factor(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| !p.mfa)?;
    let factor = stage.dice.of(&["totp", "webauthn"]);
    who.enters(stage).browses(stage, 2).changes(stage, "factor_added", factor);
    who.person.mfa = true;
    who.browses(stage, 2);
    who.ends(stage)
}

/// Somebody lets a well-meant app read their orders; it does so from its maker's cloud.
pub(super) fn app_consent(stage: &mut Stage, cue: Cue) -> Option<()> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let cloud = stage.atlas.address(network, number);
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    who.enters(stage).browses(stage, 1).changes(stage, "consent_granted", "");
    let (session, token) = (stage.number(), stage.number());
    who.takes(Client::tool(Family::ForeignApp)).at(cloud);
    let draft = who.actor.draft(who.time_ms, "token_issue", "success");
    let token_text = Some(Token::Refresh(token));
    stage.emit(Draft { grant: "authorization_code", scope: "orders.read", session, token: token_text, ..draft });
    let opened_ms = who.time_ms;
    who.session = Some(Session { id: session, refresh: token, previous: 0, opened_ms, refreshed_ms: opened_ms });
    for page in 1..=stage.dice.between(3, 8) as u64 {
        who.waits(stage, SECOND_MS, 10 * SECOND_MS).fetches(stage, "/api/v1/orders?page=#", page, 200);
    }
    who.takes_laptop();
    who.ends(stage)
}

/// After days away somebody comes back, on a laptop that nobody has seen.
pub(super) fn long_absence(stage: &mut Stage, cue: Cue) -> Option<()> {
    let is_back = |p: &Person| p.trip.is_none_or(|trip| trip.back_ms < cue.now_ms);
    let is_away = |p: &Person| cue.now_ms > p.stops_ms && cue.now_ms - p.busy_until_ms > 2 * DAY_MS && is_back(p);
    let fits = |p: &Person| is_away(p) && p.sign_ins > 0 && cue.now_ms - p.attacked_ms > 3 * DAY_MS;
    let index = stage.people.iter().position(fits)?;
    let person = stage.people.get_mut(index)?;
    (person.stops_ms, person.trip) = (i64::MAX, None);
    let tenant = person.tenant;
    stage.arrivals.push(index);
    let label = cue.open(stage, tenant);
    let mut who = Part::of(stage, index, label, cue.now_ms)?;
    let laptop = make_laptop(stage);
    who.has_new_laptop(laptop).misses(stage, 2, "bad_password").signs_in(stage).browses(stage, 4).waits(stage, HOUR_MS, 2 * HOUR_MS);
    who.takes_phone().signs_in(stage).browses(stage, 2);
    who.ends(stage)
}
