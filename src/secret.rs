//! Secrets from the configuration: given in place or, better, in a file of their own.
//!
//! A [`Secret`] is printed and serialised as stars, so that no log line, error or dump of the
//! configuration shows one by accident. Not here: key derivation, rotation, zeroing of memory.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A secret file larger than this is surely another file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret given in place or in a file; `None` if neither is given. An empty path counts as
    /// not given. White space around a file's content is cut off.
    ///
    /// # Errors
    /// Both are given, or the file cannot be read, is empty, too large or not UTF-8.
    pub fn resolve(inline: Option<&Self>, file: Option<&Path>) -> Result<Option<Self>, SecretError> {
        let file = file.filter(|path| !path.as_os_str().is_empty());
        match (inline, file) {
            (Some(_), Some(_)) => Err(SecretError::Both),
            (Some(inline), None) => Ok(Some(inline.clone())),
            (None, Some(path)) => Self::read(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        let mut text = String::new();
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(SecretError::TooLarge(path.to_owned()));
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty(path.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Given twice.
    #[error("given both in place and as a file: keep one")]
    Both,
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("{0} is empty")]
    Empty(PathBuf),
    /// The file is no secret.
    #[error("{0} is larger than 64 KiB: not a secret file")]
    TooLarge(PathBuf),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = Secret::resolve(None, Some(&path)).unwrap().unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert!(matches!(Secret::resolve(Some(&secret), Some(&path)), Err(SecretError::Both)));
        assert!(Secret::resolve(None, Some(Path::new(""))).unwrap().is_none());
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(Secret::resolve(None, Some(&path)), Err(SecretError::Empty(_))));
        assert!(matches!(Secret::resolve(None, Some(&dir.path().join("none"))), Err(SecretError::File { .. })));
    }
}
