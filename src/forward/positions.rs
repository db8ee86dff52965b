//! How far each stream was forwarded, on disk.
//!
//! A position is only ever too early: what comes again has the same id, and counts once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often at most the file is written: so much comes again after a crash.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Positions by the name of their stream.
pub(super) struct Positions {
    path: PathBuf,
    times: BTreeMap<String, i64>,
    written: Option<Instant>,
}

impl Positions {
    /// Reads them; a file that is not there holds none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let times = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), times, written: None })
    }

    /// Milliseconds since 1970 up to which a stream was forwarded.
    pub(super) fn get(&self, stream: &str) -> Option<i64> {
        self.times.get(stream).copied()
    }

    /// Moves a position forward, and writes all of them if that is due.
    pub(super) fn advance(&mut self, stream: &str, time_ms: i64) -> io::Result<()> {
        if self.get(stream).is_none_or(|before| before < time_ms) {
            self.times.insert(stream.to_owned(), time_ms);
            if self.written.is_none_or(|written| written.elapsed() >= WRITE_INTERVAL) {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Writes them beside the old file, then puts them in its place.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&self.times)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.written = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn positions_only_move_forward_and_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.json");
        let mut positions = Positions::open(&path).unwrap();
        assert_eq!(positions.get("a"), None);
        positions.advance("a", 5).unwrap();
        positions.advance("a", 3).unwrap();
        positions.advance("b", 7).unwrap();
        assert_eq!(Positions::open(&path).unwrap().get("b"), None, "not due yet");
        positions.write().unwrap();
        let again = Positions::open(&path).unwrap();
        assert_eq!((again.get("a"), again.get("b")), (Some(5), Some(7)));
        fs::write(&path, "{").unwrap();
        assert!(Positions::open(&path).is_err(), "a damaged file is no start from nothing");
    }
}
