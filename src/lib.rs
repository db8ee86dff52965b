//! The Bartizan daemon: everything around the detectors.

pub mod alert;
pub mod cli;
pub mod db;
pub mod ingest;
pub mod normalise;
