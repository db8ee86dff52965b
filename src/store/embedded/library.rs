//! Finds the engine's shared library.
//!
//! The search goes by configuration, beside the executable, the user's cache and the system's
//! library folders, in this order, and never by the working directory: a library that an attacker
//! leaves there would be run.

use std::path::{Path, PathBuf};

/// File name of the engine's shared library on this system.
pub const LIBRARY_NAME: &str = if cfg!(target_os = "macos") { "libchdb.dylib" } else { "libchdb.so" };

/// The engine's library is nowhere it is looked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the ClickHouse engine ({LIBRARY_NAME}) was not found; looked at: {looked_at}. Run `make build` in the source tree, which fetches it, \
     or put the file of the npm package @chdb/lib-linux-x64-gnu (or the one for this system) at one of these places, \
     or set `embedded.library`, or use a ClickHouse server with `clickhouse.url`"
)]
pub struct LibraryMissing {
    /// Every path that was tried, separated by commas.
    pub looked_at: String,
}

/// The path of the engine's library.
///
/// # Errors
/// [`LibraryMissing`] when there is none; a configured path that does not exist is not replaced by
/// another one.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, LibraryMissing> {
    let places = places(configured);
    match places.iter().find(|place| place.is_file()) {
        Some(found) => Ok(found.clone()),
        None => {
            let looked_at: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            Err(LibraryMissing { looked_at: looked_at.join(", ") })
        }
    }
}

fn places(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = configured {
        // A relative path means the one beside the working directory at start, said explicitly.
        return vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let cache = cache.map(|cache| cache.join("bartizan").join("lib"));
    let system = ["/usr/local/lib", "/usr/lib"].map(PathBuf::from);
    beside.into_iter().chain(cache).chain(system).map(|folder| folder.join(LIBRARY_NAME)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_configured_path_is_the_only_one_tried() {
        let missing = find(Some(Path::new("/nowhere/libchdb.so"))).unwrap_err();
        assert_eq!(missing.looked_at, "/nowhere/libchdb.so");
        assert!(missing.to_string().contains("make build"), "{missing}");
    }

    #[test]
    fn the_working_directory_is_never_searched() {
        assert!(places(None).iter().all(|place| place.is_absolute()));
    }
}
