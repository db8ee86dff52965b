//! Where the real parts are, as `deploy/setup/test-parts.sh` wrote it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The value of one key of the set-up's `env` file, for example `JAVA`.
///
/// # Panics
/// When the set-up has not been run.
pub fn part(key: &str) -> &'static str {
    static PARTS: OnceLock<HashMap<String, String>> = OnceLock::new();
    PARTS.get_or_init(read).get(key).unwrap_or_else(|| panic!("no {key}: run deploy/setup/test-parts.sh (make test does)"))
}

fn read() -> HashMap<String, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .expect("a cache folder");
    let text = std::fs::read_to_string(cache.join("bartizan/test/env")).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
