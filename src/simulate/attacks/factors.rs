//! Second factors worn down.

use super::raid::Raid;
use super::{Attack, hosted, use_account};
use crate::simulate::draft::Draft;
use crate::simulate::stage::Stage;
use crate::simulate::visits::open_session;
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// The thief has the password and sends push after push.
pub(super) fn mfa_fatigue(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ip) = Raid::open(stage, attack, now_ms, |_, p| p.mfa && !p.dormant, |s, _| hosted(s))?;
    let thief = raid.thief(stage, ip);
    let gives_in = attack != Attack::MfaRefused && stage.dice.chance(0.4);
    // Whatever the victim is at.
    raid.time_ms = now_ms;
    let pushes = if attack == Attack::MfaRefused { stage.dice.between(10, 25) } else { stage.dice.between(5, 15) };
    for push in 1..=pushes {
        stage.emit(Draft { factor: "push", ..thief.draft(raid.time_ms, "mfa_challenge", "success") });
        raid.time_ms += stage.wait_ms(5 * SECOND_MS, 30 * SECOND_MS);
        if push == pushes && gives_in {
            stage.emit(Draft { factor: "push", ..thief.draft(raid.time_ms, "mfa_result", "success") });
            let session = open_session(stage, thief, raid.time_ms + 300);
            raid.time_ms = use_account(stage, thief, session, raid.time_ms + 300);
        } else {
            let reason = if attack == Attack::MfaRefused { stage.dice.of(&["mfa_denied", "timeout"]) } else { "mfa_denied" };
            stage.emit(Draft { factor: "push", reason, ..thief.draft(raid.time_ms, "mfa_result", "failure") });
            raid.time_ms += match attack {
                Attack::MfaPatient => stage.wait_ms(20 * MINUTE_MS, HOUR_MS),
                _ => stage.wait_ms(5 * SECOND_MS, 40 * SECOND_MS),
            };
        }
    }
    raid.close(stage, gives_in);
    Some(())
}
