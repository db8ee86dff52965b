//! What every detector is made of: the event it sees, the state it keeps, the finding it returns.
//!
//! This crate knows no runtime, no I/O, no clock and no metrics. Time is event time in milliseconds
//! since the Unix epoch, handed in with each event together with the watermark; so the same events in
//! the same order always give the same findings, on any machine, at any speed.

pub mod batch;
pub mod client;
pub mod colleagues;
pub mod common;
pub mod detector;
pub mod event;
pub mod familiar;
pub mod finding;
pub mod geo;
pub mod keys;
pub mod memo;
pub mod params;
pub mod people;
pub mod state;
pub mod time;

pub use batch::{EventBatch, EventDraft, Programs};
pub use client::{Changes, ClientPrint};
pub use colleagues::Colleagues;
pub use common::{Common, Epoch, Report, Reports};
pub use detector::{Detector, Spec};
pub use event::{Attestation, Event, Kind, NetworkClass, Outcome, Place, TokenHash, UserKind};
pub use finding::{Action, EntityKind, Excuse, Finding, Findings, HALF_PROVED, Remark, Role, Said, Severity, Subject, Trust};
pub use keys::{Key, KeyHasher, KeyKind};
pub use memo::Memo;
pub use params::{Parameter, ParameterError, Parameters, Value};
pub use people::{Familiar, People, Person};
pub use state::{Budget, KeyedState, Retained, State, heap_bytes};
pub use time::TimeMs;
