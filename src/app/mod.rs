//! The composition root: the one place that sees every part and puts them together.

mod actions;
mod canary;
mod daemon;
mod disk;
mod export;
mod history;
mod incidents;
mod log;
mod maintain;
mod outbox;
mod pipeline;
mod places;
mod secrets;
mod sessions;
#[cfg(test)]
mod simulation;
mod status;
mod store;
mod vigil;

pub use daemon::{Daemon, StartError};
pub use export::{ExportError, Exported, export};
pub(crate) use log::own_formats;
pub use secrets::{held_tokens, installed_token_key, token_key_of};

use crate::config::Config;
use crate::db::{Db, DbError};
use crate::enrich::{Enricher, Folders, Problem};
use std::fs;

/// Name of the working database within `data_dir`.
const DATABASE: &str = "bartizan.db";

/// Does the data directory hold an installation?
#[must_use]
pub fn is_installed(config: &Config) -> bool {
    config.data_dir.join(DATABASE).is_file()
}

/// Opens the working database under `data_dir`, made if it is not there.
///
/// # Errors
/// The folder or the database cannot be opened.
pub fn open_database(config: &Config) -> Result<Db, DbError> {
    if let Err(error) = fs::create_dir_all(&config.data_dir) {
        tracing::error!(folder = %config.data_dir.display(), %error, "data_dir cannot be made");
    }
    Db::open(&config.data_dir.join(DATABASE))
}

/// The same place files, with those that a daemon keeps for what is judged again.
#[must_use]
pub fn find_places(config: &Config, enricher: Enricher) -> Enricher {
    enricher.with_kept(places::kept(&config.data_dir))
}

/// Reads the place files, with what is wrong with them.
#[must_use]
pub fn open_enricher(config: &Config) -> (Enricher, Vec<Problem>) {
    // Of a configuration that was named without a folder, it is empty.
    let folder = config.folder.as_deref().and_then(|folder| std::path::absolute(std::path::Path::new(".").join(folder)).ok());
    Enricher::open(config.places.clone(), Folders::usual(folder.as_deref()))
}
