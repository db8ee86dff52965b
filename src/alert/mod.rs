//! From findings to alerts: one alert for one episode.

pub mod change;
pub mod concern;
pub mod episode;
pub mod model;
pub mod ocsf;
pub(crate) mod schema;

pub use concern::{Concern, EntityPattern};
pub use model::{Alert, Entities, Status};
