//! The Bartizan daemon: everything around the detectors.

#[macro_use]
mod limits;
#[macro_use]
mod sabotage;

pub mod alert;
pub mod api;
pub mod app;
pub mod blocking;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod detect;
pub mod enrich;
pub mod evaluate;
pub mod explain;
pub mod flow;
pub mod forward;
pub mod incident;
pub mod ingest;
pub mod keycloak;
pub mod log;
pub mod normalise;
pub mod notify;
pub mod pipeline;
pub mod respond;
pub mod secret;
pub mod simulate;
pub mod store;
pub mod suppress;
pub mod teach;
pub mod telemetry;
