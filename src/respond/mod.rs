//! What machines do about an alert: ask a target to end the sessions that were hit.
//!
//! Off until configured, and then a dry run until told otherwise. A call is decided, held or
//! recorded in the transaction of its alert's version ([`plan`]), within limits that stop a faulty
//! detector ([`brakes`]), and sent from the outbox ([`hook`]). Every decision is in the audit trail.
//! One switch stops all of it ([`stop`]).
//! The calls mean one session and one cause each, and what the owner was issued later lives on.
//!
//! Deliberately absent: blocking of addresses or accounts; lists of sessions that no alert names.

pub mod active;
pub mod brakes;
pub mod config;
pub mod hook;
pub mod plan;
pub mod release;
pub mod stop;

pub use active::ActiveSessions;
pub use config::RevocationConfig;
pub use plan::SessionFacts;
pub use stop::StopSwitch;
