//! `bartizan forward`: takes events from where they can only be asked for, and appends them to the log.
//!
//! A process of its own, so that it may run beside the source, with nothing but that source's credentials.
//! It knows no events: what it reads is written as it is, and read by the format of its topic.

pub mod config;
mod destination;
pub mod keycloak;
mod positions;

pub use config::KeycloakConfig;

/// Why something could not be forwarded.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The configuration must be mended.
    #[error("{0}")]
    Config(String),
    /// It may pass: try again.
    #[error("{0}")]
    Retry(String),
}

impl ForwardError {
    fn retry(error: impl std::fmt::Display) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<reqwest::Error> for ForwardError {
    /// A client's error says too little without its cause.
    fn from(error: reqwest::Error) -> Self {
        let cause = std::iter::successors(std::error::Error::source(&error), |cause| cause.source()).last();
        Self::Retry(cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
    }
}
