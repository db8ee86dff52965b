//! The ClickHouse engine inside this program: a child process with the engine behind a loopback
//! HTTP handler, so that the rest of the store cannot tell it from a server.
//!
//! The engine runs in a process of its own because its memory limit and its crashes are the whole
//! process's. Any ClickHouse HTTP client can read the store too; address and password stand in
//! `endpoint.json` in the store's directory, readable by its owner.

mod blocks;
mod ffi;
mod library;
mod request;
mod server;
mod session;
mod supervisor;

pub use ffi::EngineError;
pub use library::{LIBRARY_NAME, LibraryMissing, find as find_library};
pub use server::{ServeError, serve};
pub use supervisor::{Embedded, EmbeddedState, Endpoint, Launch, StartError};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The embedded store, used where no ClickHouse server is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedConfig {
    /// The engine's shared library; default: searched beside the executable, in the user's cache
    /// folder and in the system's library folders.
    pub library: Option<PathBuf>,
    /// Memory that the engine may use, in bytes; default 2 GiB. A statement that needs more fails.
    pub memory_bytes_max: u64,
    /// Bytes of one request to it, before and after unpacking; default 256 MiB.
    pub body_bytes_max: usize,
    /// Bytes of one answer, which is held in memory, unless the statement says otherwise; default 256 MiB.
    pub answer_bytes_max: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { library: None, memory_bytes_max: 2 << 30, body_bytes_max: 256 << 20, answer_bytes_max: 256 << 20 }
    }
}

impl EmbeddedConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            // With less the engine does not run well.
            memory_bytes_max: 512 << 20..=1 << 50,
            body_bytes_max: 1 << 20..=4 << 30,
            answer_bytes_max: 1 << 20..=4 << 30,
        )
        .collect()
    }
}
