//! The HTTP surface: query API, ingest, console.

pub mod config;

pub use config::HttpConfig;
