//! One integration binary, on real parts: Apache Kafka, the embedded ClickHouse
//! engine, Keycloak, an SMTP server, a webhook receiver and a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bad_config;
mod broker_restart;
mod canary;
mod channels_down;
mod cli;
mod console_suite;
mod crash;
mod decisions;
mod deploy;
mod dispositions;
mod export;
mod http_end_to_end;
mod kafka_end_to_end;
mod keycloak;
mod kills;
mod notify;
mod outages;
mod parts;
mod place_files;
mod poison;
mod published;
mod rebalance;
mod revocation;
mod shutdown;
mod store_down;
mod support;
mod suppressions;
