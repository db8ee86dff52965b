//! Second factors worn down.

use super::{Attack, hosted, settle, thief_of, use_account, victim};
use crate::simulate::draft::Draft;
use crate::simulate::stage::Stage;
use crate::simulate::visits::open_session;
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// The thief has the password and sends push after push.
pub(super) fn mfa_fatigue(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |_, p| p.mfa && !p.dormant)?;
    let ip = hosted(stage)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let thief = thief_of(stage, &person, label, ip);
    let gives_in = attack != Attack::MfaRefused && stage.dice.chance(0.4);
    let mut time_ms = now_ms;
    let pushes = if attack == Attack::MfaRefused { stage.dice.between(10, 25) } else { stage.dice.between(5, 15) };
    for push in 1..=pushes {
        stage.emit(Draft { factor: "push", ..thief.draft(time_ms, "mfa_challenge", "success") });
        time_ms += stage.wait_ms(5 * SECOND_MS, 30 * SECOND_MS);
        if push == pushes && gives_in {
            stage.emit(Draft { factor: "push", ..thief.draft(time_ms, "mfa_result", "success") });
            let session = open_session(stage, thief, time_ms + 300);
            time_ms = use_account(stage, thief, session, time_ms + 300);
        } else {
            let reason = if attack == Attack::MfaRefused { stage.dice.of(&["mfa_denied", "timeout"]) } else { "mfa_denied" };
            stage.emit(Draft { factor: "push", reason, ..thief.draft(time_ms, "mfa_result", "failure") });
            time_ms += match attack {
                Attack::MfaPatient => stage.wait_ms(20 * MINUTE_MS, HOUR_MS),
                _ => stage.wait_ms(5 * SECOND_MS, 40 * SECOND_MS),
            };
        }
    }
    stage.book.seal(label, gives_in);
    settle(stage, index, person, time_ms);
    Some(())
}
