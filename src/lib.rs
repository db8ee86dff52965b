//! The Bartizan daemon: everything around the detectors.

pub mod alert;
pub mod db;
pub mod notify;
pub mod respond;
pub mod secret;
