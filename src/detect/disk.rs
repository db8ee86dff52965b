//! The calls to the disk that the durability of checkpoints hangs on.
//!
//! A test can have each of them refused, and ask what a power cut leaves of the files: bytes that were
//! not synced, and names whose folder was not, may be lost.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes a file, or makes it empty.
pub(super) fn create(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    ledger::ask("create", path)?;
    let file = File::create(path)?;
    #[cfg(test)]
    ledger::note(|files| files.extend([(path.to_owned(), ledger::Durable { bytes: false, name: false })]));
    Ok(file)
}

/// Returns once the bytes of `file`, which is at `path`, are on the disk.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(test)]
    ledger::ask("sync", path)?;
    file.sync_all().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    #[cfg(test)]
    ledger::note(|files| files.entry(path.to_owned()).or_default().bytes = true);
    Ok(())
}

/// Gives a file its name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    ledger::ask("rename", to)?;
    fs::rename(from, to)?;
    #[cfg(test)]
    ledger::note(|files| {
        let bytes = files.remove(from).unwrap_or_default().bytes;
        files.insert(to.to_owned(), ledger::Durable { bytes, name: false });
    });
    Ok(())
}

/// Returns once the names in `folder` are on the disk.
pub(super) fn sync_names(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    ledger::ask("sync names", folder)?;
    File::open(folder)?.sync_all()?;
    #[cfg(test)]
    ledger::note(|files| files.iter_mut().filter(|(path, _)| path.parent() == Some(folder)).for_each(|(_, durable)| durable.name = true));
    Ok(())
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    ledger::ask("remove", path)?;
    fs::remove_file(path)
}

#[cfg(test)]
pub(crate) use ledger::{at_risk, watch};

#[cfg(test)]
mod ledger {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};

    /// What of a file is on the disk for certain.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Durable {
        pub(crate) bytes: bool,
        pub(crate) name: bool,
    }

    /// Files that nothing is known of are old.
    impl Default for Durable {
        fn default() -> Self {
            Self { bytes: true, name: true }
        }
    }

    /// Is asked before each call; false refuses it.
    type Ask = Box<dyn FnMut(&str, &Path) -> bool>;

    thread_local! {
        static ASK: RefCell<Option<Ask>> = const { RefCell::new(None) };
        static FILES: RefCell<BTreeMap<PathBuf, Durable>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Watches the calls of this thread: each is refused where `ask` says false.
    pub(crate) fn watch(ask: impl FnMut(&str, &Path) -> bool + 'static) {
        ASK.set(Some(Box::new(ask)));
        FILES.take();
    }

    /// Files that a power cut can harm now; all of them are old from then on.
    pub(crate) fn at_risk() -> BTreeMap<PathBuf, Durable> {
        FILES.take()
    }

    pub(super) fn ask(call: &str, path: &Path) -> io::Result<()> {
        let allowed = ASK.with_borrow_mut(|ask| ask.as_mut().is_none_or(|ask| ask(call, path)));
        if allowed { Ok(()) } else { Err(io::Error::other("refused")) }
    }

    pub(super) fn note(change: impl FnOnce(&mut BTreeMap<PathBuf, Durable>)) {
        FILES.with_borrow_mut(change);
    }
}
