//! Reading place files: bounded, plain files only, with what is needed to see that one has changed,
//! and problems told so that an operator knows what to do.

use super::config::Folders;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What to do about a missing or damaged file of the free set.
pub(super) const FETCH: &str = "`make build` fetches the free files; or name your own under [places]";
/// What to do about a bad list of the user's own.
pub(super) const CORRECT: &str = "correct the file or its entry in [[places.classes]]";

/// Something is wrong with a place file. The rest works on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as found, or as configured where it was not found.
    pub file: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.file, self.what, self.advice)
    }
}

/// A configured file as it was when it was last looked at; two that are equal have the same content
/// as far as size and time tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub name: String,
    pub file: Option<(PathBuf, u64, Option<SystemTime>)>,
}

impl Seen {
    pub fn look(folders: &Folders, name: &str) -> Self {
        let file = folders.find(name).map(|path| match std::fs::metadata(&path) {
            Ok(meta) => (path, meta.len(), meta.modified().ok()),
            Err(_) => (path, 0, None),
        });
        Self { name: name.to_owned(), file }
    }

    /// Reads the file if it is there and not larger than `bytes_max`.
    pub fn read(&self, bytes_max: u64) -> Result<Vec<u8>, String> {
        let Some((path, ..)) = &self.file else { return Err("not found".into()) };
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err("is not a plain file".into());
        }
        if meta.len() > bytes_max {
            return Err(format!("has {} bytes, more than the {bytes_max} allowed", meta.len()));
        }
        let mut content = Vec::with_capacity(meta.len() as usize + 1);
        file.take(bytes_max).read_to_end(&mut content).map_err(unreadable)?;
        Ok(content)
    }

    /// Where the file is, or the name it was looked for under.
    pub fn shown(&self) -> String {
        self.file.as_ref().map_or_else(|| self.name.clone(), |(path, ..)| path.display().to_string())
    }

    /// The name without folders, for version stamps that are the same on every machine.
    pub fn base_name(&self) -> &str {
        Path::new(&self.name).file_name().and_then(|name| name.to_str()).unwrap_or(&self.name)
    }
}

/// CRC-32 (IEEE) of a file, to tell contents apart in version stamps; no protection against intent.
pub(super) fn crc32(content: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    crc.sum()
}

/// The lines of a text file that could not be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BadLines {
    pub count: u64,
    pub first: u64,
}

impl BadLines {
    pub fn add(&mut self, line: u64) {
        if self.count == 0 {
            self.first = line;
        }
        self.count += 1;
    }

    pub fn describe(&self, good: usize) -> Option<String> {
        (self.count > 0).then(|| {
            let Self { count, first } = self;
            format!("{count} malformed lines were left out (the first is line {first}), {good} were used")
        })
    }
}

/// A text from a file, bounded and without control characters, as events promise.
pub(super) fn clean(text: &str, bytes_max: usize) -> std::borrow::Cow<'_, str> {
    let end = text.floor_char_boundary(bytes_max);
    let cut = text.get(..end).unwrap_or("").trim();
    if cut.chars().any(char::is_control) { cut.chars().filter(|c| !c.is_control()).collect() } else { cut.into() }
}
