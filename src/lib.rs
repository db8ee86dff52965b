//! The Bartizan daemon: everything around the detectors.

pub mod alert;
pub mod api;
pub mod db;
pub mod detect;
pub mod enrich;
pub mod flow;
pub mod log;
pub mod store;
