//! Labels against alerts: what was found and how soon, whom it accused wrongly, and how loud it was.
//!
//! How it is counted:
//!
//! - An attack is *found* if an alert of a fitting detector, of the same tenant, names a user, an address (or a
//!   network that contains it) or a session that took part, in the version that first reaches medium severity, and
//!   that version was told not before the attack began and no more than ten minutes after it ended. Told is its
//!   `last_event_time`.
//! - Where somebody got in (a *hit*), an alert must be told at high or above within the same limits; a mere
//!   attempt needs medium. The delay runs from the attack's first event to the version that reached this.
//! - An alert (its last version) of medium or above is *about* an attack if it names who took part and overlaps it in
//!   time, with the same ten minutes after its end. About none, it is *false*: once for each innocent person it names,
//!   or for each session if it names more of those, and at least once. Of the alerts about one attack, each beyond
//!   three is false once, too (*too many*). There an alert belongs to the attacks of which it names what is the
//!   attacker's (an address or its network, a session), as several attacks try the same names, and to those of which it
//!   names victims alone only if there are none; of these to the ones that its detector is for, and to others only if
//!   there are none.
//! - Innocent people whom an alert about an attack names besides are *bystanders*: told, and not counted as false.
//! - Alerts below medium are counted on their own.
//! - An attack cut off by the end of the traffic and not found is left out, and counted as cut off.
//! - Rates are per 100,000 sign-ins of people: logins that succeeded or failed, without services. An attack's are left
//!   out: those by a user and from an address of one label, within its time. Which label an event belongs to does not
//!   leave the simulation, so an owner's own sign-in from the thief's address would be left out, too.
//!
//! Besides, [`Ablation`] says what each part of the detectors is worth by that count, and [`Evasions`] what is left over
//! to an attacker who knows them.
//!
//! Invariant: what is counted depends on the labels, the alerts and the events alone, not on their batches.
//!
//! Memory is bounded by one seed: its labels, up to three versions of each alert, one short entry for each sign-in; of
//! files by the lines that `evaluate` takes.
//! Of a seed that was scored only sums, delays of its attacks, and its single misses and false alerts stay.

mod ablation;
mod ablation_table;
mod cases;
mod evasion;
mod parties;
mod report;
mod score;
mod sign_ins;
mod table;
mod traffic;
mod workbench;

#[cfg(test)]
mod ablation_tests;
#[cfg(test)]
mod evasion_tests;
#[cfg(test)]
mod tests;

pub use ablation::{Ablated, Ablation, Group, Switch, Worth};
pub use cases::Cases;
pub use evasion::{Evasion, Evasions};
pub use report::Report;
pub use score::{Score, score};
pub use sign_ins::SignIns;
pub use workbench::Workbench;

use crate::simulate::Attack;

/// The attacks that a detector of the catalogue looks for: those that are simulated unless others are named.
#[must_use]
pub fn attacks_looked_for() -> Vec<Attack> {
    let has_detector = |attack: &Attack| bartizan_catalogue::all().any(|spec| attack.detectors().contains(&spec.id));
    Attack::ALL.into_iter().filter(has_detector).collect()
}
