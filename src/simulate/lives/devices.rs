//! Browsers and phones: new ones, lost ones, and those that do not remember.

use super::Cue;
use super::part::Part;
use crate::simulate::clients::Client;
use crate::simulate::draft::Draft;
use crate::simulate::people::make_phone;
use crate::simulate::stage::Stage;
use crate::simulate::visits::{refresh_once, rotated};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// The browser restarts into a new release in the middle of a session.
pub(super) fn browser_update(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.laptop.is_behind(cue.now_ms))?;
    who.enters(stage).browses(stage, 4).waits(stage, 10 * SECOND_MS, 2 * MINUTE_MS);
    who.person.laptop = who.person.laptop.updated();
    who.actor.client = who.person.laptop;
    who.browses(stage, 4);
    who.ends(stage)
}

/// All cookies are cleared, the device's id among them: the same laptop comes as a stranger.
pub(super) fn cleared_cookies(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    who.enters(stage).browses(stage, 3).waits(stage, MINUTE_MS, HOUR_MS);
    let device = stage.number();
    let laptop = Client { device, ..who.person.laptop };
    who.has_new_laptop(laptop).signs_in(stage).browses(stage, 4);
    who.ends(stage)
}

/// Private windows, one after another: each is a new device that signs in and forgets.
pub(super) fn private_windows(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    for _ in 0..stage.dice.between(3, 6) {
        let device = stage.number();
        let window = Client { device, ..who.person.laptop };
        who.takes(window).signs_in(stage).browses(stage, 3).waits(stage, 5 * MINUTE_MS, 2 * HOUR_MS);
    }
    who.ends(stage)
}

/// A second phone beside the first.
pub(super) fn second_phone(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.carrier.is_some())?;
    let second = make_phone(stage);
    who.takes_phone().enters(stage).browses(stage, 2).waits(stage, MINUTE_MS, 10 * MINUTE_MS);
    who.takes(second).on_carrier(stage).signs_in(stage).browses(stage, 2).changes(stage, "phone_changed", "").waits(
        stage,
        5 * MINUTE_MS,
        HOUR_MS,
    );
    who.takes_phone().on_carrier(stage).enters(stage).browses(stage, 3);
    who.ends(stage)
}

/// The phone is lost: signed out from the laptop, its factor removed, and a new one set up.
pub(super) fn lost_phone(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.phone_session.is_some())?;
    who.enters(stage).browses(stage, 1);
    if let Some(lost) = who.person.phone_session {
        stage.emit(Draft { session: lost.id, ..who.actor.draft(who.time_ms, "logout", "success") });
    }
    who.waits(stage, 10 * SECOND_MS, MINUTE_MS).changes(stage, "factor_removed", "push").changes_password(stage);
    who.waits(stage, 2 * HOUR_MS, 10 * HOUR_MS);
    let phone = make_phone(stage);
    // The old factor is gone: the new one is set up with the first sign-in.
    who.has_new_phone(phone).at_home(stage).gets_in(stage).changes(stage, "factor_added", "push").browses(stage, 3);
    who.ends(stage)
}

/// A train through tunnels: the app sends the same refresh again and again until an answer comes through.
pub(super) fn flaky_refresh(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.carrier.is_some())?;
    who.takes_phone().on_carrier(stage).enters(stage).browses(stage, 2).waits(stage, HOUR_MS, HOUR_MS + 10 * MINUTE_MS);
    for _ in 0..stage.dice.between(4, 9) {
        let Some(session) = who.session else { break };
        let issued = stage.number();
        who.on_carrier(stage);
        refresh_once(stage, who.actor, session, issued, who.time_ms);
        // Only the last answer arrives.
        who.person.phone_session = Some(rotated(session, issued, who.time_ms));
        who.waits(stage, SECOND_MS, 6 * SECOND_MS);
    }
    who.session = who.person.phone_session;
    who.browses(stage, 3);
    who.ends(stage)
}
