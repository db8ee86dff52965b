//! What machines do about an alert: end the sessions that were hit, and more where a policy says so.
//!
//! Off until configured, and then a dry run until told otherwise. An action is decided, held, proposed or
//! recorded in the transaction of its alert's version ([`plan`]), within limits that stop a faulty detector
//! ([`brakes`]), goes at once or with the word of people ([`decide`]), and is sent from the outbox by the
//! adapter of its target ([`adapter`]). What becomes of it is written in the transaction of its delivery
//! ([`progress`]): asking is not the end of it, and where a target can be read back, only that is. Every
//! step is in the audit trail and in the topic `bartizan.actions`. An order means one thing and one cause, and
//! what the owner was issued later lives on. What the attacker added to an account ([`added`]) is taken back with the word of
//! a person alone. One switch stops all of it ([`stop`]).

pub mod active;
pub mod adapter;
pub mod added;
pub mod brakes;
pub mod config;
pub mod decide;
pub mod hook;
pub mod keycloak;
pub mod later_use;
pub mod order;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod progress;
pub mod record;
pub mod stop;
pub mod subjects;
pub mod token_endpoint;

pub use active::ActiveSessions;
pub use adapter::{Answer, Target};
pub use added::Change;
pub use config::{ResponseConfig, RevocationConfig};
pub use later_use::LaterUses;
pub use policy::PolicyConfig;
pub use record::ActionRecord;
pub use stop::StopSwitch;
pub use subjects::{Facts, SessionFacts};
