//! The list of suppressions in all its versions.

use super::{Suppression, Suppressions};
use crate::db::{Db, DbError, suppressions};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// All entries that any version still needs, and the newest version.
#[derive(Debug, Default)]
struct Known {
    entries: Vec<Suppression>,
    newest: u64,
}

/// The list, read by the pipeline and renewed by whoever changes it.
#[derive(Debug, Default)]
pub struct Lists {
    known: ArcSwap<Known>,
    /// Held while the database is read again: of two changes at once the later one must stay.
    renewing: Mutex<()>,
}

impl Lists {
    /// What the database holds.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn open(db: &Db) -> Result<Self, DbError> {
        let lists = Self::default();
        lists.renew(db)?;
        Ok(lists)
    }

    /// These entries, as an export has them.
    #[must_use]
    pub fn fixed(entries: Vec<Suppression>) -> Self {
        let newest = suppressions::newest_of(&entries);
        Self { known: ArcSwap::from_pointee(Known { entries, newest }), renewing: Mutex::default() }
    }

    /// Reads the database again, after a change.
    ///
    /// # Errors
    /// SQLite says no; what was known stays then.
    pub fn renew(&self, db: &Db) -> Result<(), DbError> {
        let _renewing = self.renewing.lock();
        let entries = db.read(suppressions::all)?;
        let newest = suppressions::newest_of(&entries);
        self.known.store(Arc::new(Known { entries, newest }));
        Ok(())
    }

    /// The newest version; 0 is the empty list that there was before any.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.known.load().newest
    }

    /// One version of the list.
    #[must_use]
    pub fn of_version(&self, version: u64) -> Arc<Suppressions> {
        let known = self.known.load();
        Arc::new(Suppressions::new(known.entries.iter().filter(|entry| entry.is_in(version)).cloned().collect()))
    }

    /// All entries that any version needs.
    #[must_use]
    pub fn entries(&self) -> Vec<Suppression> {
        self.known.load().entries.clone()
    }
}
