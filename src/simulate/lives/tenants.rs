//! What concerns a whole organisation: its rules, its releases, its clocks.

use super::{Cue, crowd, together};
use crate::simulate::clients::Family;
use crate::simulate::draft::{Draft, Token};
use crate::simulate::people::Person;
use crate::simulate::stage::{Skew, Stage};
use crate::simulate::tenants::TENANTS;
use crate::simulate::visits::{refresh_once, rotated};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// How wrong a clock goes at most. With the delay of collectors it stays within the lateness that is usual to allow.
const SKEW_MAX_MS: i64 = 25 * SECOND_MS;

/// Everybody of an organisation has to set a new password: fails, resets it, and signs in, from wherever they are.
pub(super) fn forced_reset(stage: &mut Stage, cue: Cue) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let most = usize::try_from(stage.pace.attempts_max / 4).unwrap_or(0).clamp(10, 150);
    let people = crowd(stage, cue.now_ms, 8..most, |_, p| p.tenant == tenant)?;
    together(stage, cue, &people, 5 * HOUR_MS, |stage, who| {
        let tries = stage.dice.between(1, 3);
        who.misses(stage, tries, "expired").resets_password(stage).signs_in(stage).browses(stage, 2);
        if stage.dice.chance(0.3) {
            who.takes_phone().misses(stage, 2, "bad_password").signs_in(stage);
        }
    })
}

/// A bad deployment: for some minutes every sign-in of an organisation ends in an error, and people try again.
pub(super) fn bad_deployment(stage: &mut Stage, cue: Cue) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let most = usize::try_from(stage.pace.attempts_max / 5).unwrap_or(0).clamp(10, 120);
    let people = crowd(stage, cue.now_ms, 8..most, |_, p| p.tenant == tenant)?;
    let repaired_ms = cue.now_ms + stage.dice.between(6 * MINUTE_MS, 15 * MINUTE_MS);
    together(stage, cue, &people, 6 * MINUTE_MS, |stage, who| {
        for _ in 0..5 {
            if who.time_ms >= repaired_ms {
                break;
            }
            let reason = stage.dice.of(&["server_error", "server_error", "timeout"]);
            who.misses_each(stage, 1, reason, (10 * SECOND_MS, 2 * MINUTE_MS));
        }
        who.time_ms = who.time_ms.max(repaired_ms);
        who.waits(stage, 0, 10 * MINUTE_MS).signs_in(stage).browses(stage, 1);
    })
}

/// A release of the app forgets the refresh token that it was given, and comes with the one before.
pub(super) fn broken_app_release(stage: &mut Stage, cue: Cue) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let refuses = stage.tenant(tenant).refuses_reuse;
    let fits = |p: &Person| p.tenant == tenant && p.phone.family == Family::AppAndroid && p.phone_session.is_some();
    let people = crowd(stage, cue.now_ms, 4..60, |_, p| fits(p))?;
    together(stage, cue, &people, 3 * HOUR_MS, |stage, who| {
        who.takes_phone().enters(stage).browses(stage, 2).waits(stage, HOUR_MS, 2 * HOUR_MS);
        let Some(session) = who.session else { return };
        who.refreshes(stage).browses(stage, 2).waits(stage, 2 * MINUTE_MS, 30 * MINUTE_MS);
        if refuses {
            let draft = who.actor.draft(who.time_ms, "token_refresh", "failure");
            let token = Some(Token::Refresh(session.refresh));
            stage.emit(Draft { reason: "token_reused", grant: "refresh_token", session: session.id, token, ..draft });
            who.waits(stage, 5 * SECOND_MS, MINUTE_MS).signs_in(stage).browses(stage, 1);
        } else {
            let issued = stage.number();
            refresh_once(stage, who.actor, session, issued, who.time_ms);
            who.session = Some(rotated(session, issued, who.time_ms));
            who.browses(stage, 2);
        }
    })
}

/// The clock of an organisation's gateway is wrong for half an hour; the visits of that time carry the label.
pub(super) fn clock_skew(stage: &mut Stage, cue: Cue) -> Option<()> {
    if stage.skew.is_some_and(|skew| skew.until_ms > cue.now_ms) {
        return None;
    }
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let by_ms = stage.dice.of(&[-1, 1]) * stage.dice.between(SKEW_MAX_MS / 2, SKEW_MAX_MS);
    let until_ms = cue.now_ms + stage.dice.between(15 * MINUTE_MS, 40 * MINUTE_MS);
    stage.skew = Some(Skew { tenant, from_ms: cue.now_ms, until_ms, by_ms });
    Some(())
}
