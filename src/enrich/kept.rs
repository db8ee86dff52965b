//! Copies of the place files in use, so that what is judged again after a crash is judged with the files of then,
//! whatever has become of them.
//!
//! Each version has a folder of its own, named by its hash, in which the files keep their names. Large files are
//! linked, not copied, where the file system can: whoever renews them puts a new file in the old one's place, as
//! the usual updaters do. One that was written over all the same is noticed, as its version is another one then.

use super::config::{Folders, PlacesConfig};
use super::{Places, Seen};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes up to which a file is copied: lists that people write by hand are written over in place.
const COPIED_BYTES_MAX: u64 = 4 << 20;
/// Extension of a folder that is being filled.
const UNFINISHED: &str = "part";

/// The folder of kept versions.
#[derive(Clone, Debug)]
pub struct Kept(PathBuf);

impl Kept {
    /// Keeps in `folder`, which is made when it is needed.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn folder(&self, version: &str) -> PathBuf {
        let hash = Sha256::digest(version.as_bytes());
        let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.0.join(name)
    }

    /// Keeps the files of `places` as they are now.
    ///
    /// # Errors
    /// The disk says no, or a file is no longer the one that was read.
    pub(super) fn keep(&self, places: &Places, folders: &Folders) -> io::Result<()> {
        let folder = self.folder(places.version());
        if folder.is_dir() {
            return Ok(());
        }
        let beside = folder.with_extension(UNFINISHED);
        match fs::remove_dir_all(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&beside)?,
        }
        for (number, seen) in places.seen.iter().enumerate() {
            let Some((path, bytes, _)) = &seen.file else { continue };
            let to = path_of(&beside, number, seen);
            fs::create_dir_all(to.parent().unwrap_or(&beside))?;
            if *bytes <= COPIED_BYTES_MAX || fs::hard_link(path, &to).is_err() {
                fs::copy(path, &to)?;
            }
            if *seen != Seen::look(folders, &seen.name) {
                return Err(io::Error::other(format!("{} is being written", seen.shown())));
            }
        }
        fs::rename(beside, folder)
    }

    /// Reads the files of a version; `None` if they are not kept or no longer what they were.
    pub(super) fn load(&self, version: &str, config: &PlacesConfig) -> Option<Places> {
        let folder = self.folder(version);
        let mut config = config.clone();
        let named = config.city.iter_mut().chain(&mut config.networks).chain(config.classes.iter_mut().map(|list| &mut list.path));
        for (number, name) in named.enumerate() {
            let seen = Seen { name: name.clone(), file: None };
            *name = path_of(&folder, number, &seen).to_str()?.to_owned();
        }
        let (places, _) = Places::load(&config, &Folders::only(Vec::new()));
        (folder.is_dir() && places.version() == version).then_some(places)
    }

    /// Forgets all versions but these.
    ///
    /// # Errors
    /// The disk says no.
    pub fn forget_all_but<'v>(&self, versions: impl Iterator<Item = &'v str>) -> io::Result<()> {
        let needed: Vec<_> = versions.map(|version| self.folder(version)).collect();
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if !needed.contains(&path) {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

/// Where the file of this number among the configured ones is kept.
fn path_of(folder: &Path, number: usize, seen: &Seen) -> PathBuf {
    folder.join(number.to_string()).join(seen.base_name())
}
