//! Incidents: alerts that have one cause, told and worked on as one.
//!
//! An incident is joined in the transaction of each alert's version ([`join`]), over the attacker's side and over
//! victims, never over what many share:
//!
//! 1. An alert that names an attacker's address, device, session or token which an incident names in that role, too,
//!    belongs to it.
//! 2. An alert about one victim alone (its hit user, session, token or device) belongs to the incident in which that
//!    victim was hit. Alerts about many victims do not join over them: two attacks may hit the same person.
//! 3. Networks never join, nor do addresses in the role `shared`: an office is not an incident.
//!
//! Both count within `reopen_ms` of the incident's events, before or after. Where several incidents fit, the attacker's
//! side counts more than the victim, then the one that was active last; the others are named as `related` and stay what
//! they are, so one chance meeting never chains two attacks together. An alert that fits none opens an incident from
//! `min_severity` on; a milder one is kept and counts towards the [risk](risk) of what it names, which opens an incident
//! by itself when many mild ones come together. At an opening, milder alerts of the same attacker or victim that came
//! before are taken in.
//!
//! Silence resolves an incident (`quiet_ms` without an alert, unless something was hit and nobody acknowledged it); a
//! further wave within `reopen_ms` of its last event opens it again. What a person resolved stays resolved, and so does
//! what is older: the next wave opens another incident that names it as `previous`. An incident whose every alert was
//! resolved is resolved; resolving one resolves its alerts. What the rules see wrongly people put right [by hand](by_hand).
//!
//! Joining asks no clock, so that a recorded order gives the same incidents [again] as long as no person resolved one. It
//! is no part of detection, and a replay of plain files does not do it.

pub mod again;
pub mod by_hand;
pub mod config;
pub mod join;
pub mod model;
pub mod quiet;
pub mod risk;
pub mod triage;

#[cfg(test)]
mod tests;

pub use again::Again;
pub use config::IncidentConfig;
pub use join::{Joined, join};
pub use model::{Incident, Resolution};
