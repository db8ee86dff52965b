//! One integration binary, on real parts: Apache Kafka, the embedded ClickHouse
//! engine, an SMTP server, a webhook receiver and a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bad_config;
mod crash;
mod deploy;
mod parts;
mod poison;
mod support;
