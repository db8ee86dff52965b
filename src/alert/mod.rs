//! From findings to alerts: one alert for one episode.

pub mod episode;
pub mod model;

pub use model::{Alert, Entities, Status};
