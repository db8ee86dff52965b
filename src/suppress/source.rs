//! The list of suppressions in all its versions.

use super::{Suppression, Suppressions};
use crate::db::{Db, DbError, suppressions};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// All entries that any version still needs, and the newest version.
#[derive(Debug, Default)]
struct Known {
    entries: Vec<Suppression>,
    newest: u64,
}

/// The list, read by the pipeline and renewed by whoever changes it.
#[derive(Debug, Default)]
pub struct Lists(ArcSwap<Known>);

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
        Self(ArcSwap::from_pointee(Known { entries, newest }))
    }

    /// Reads the database again, after a change.
    ///
    /// # Errors
    /// SQLite says no; what was known stays then.
    pub fn renew(&self, db: &Db) -> Result<(), DbError> {
        let entries = db.read(suppressions::all)?;
        let newest = suppressions::newest_of(&entries);
        self.0.store(Arc::new(Known { entries, newest }));
        Ok(())
    }

    /// The newest version; 0 is the empty list that there was before any.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.0.load().newest
    }

    /// One version of the list.
    #[must_use]
    pub fn of_version(&self, version: u64) -> Arc<Suppressions> {
        let known = self.0.load();
        Arc::new(Suppressions::new(known.entries.iter().filter(|entry| entry.is_in(version)).cloned().collect()))
    }

    /// All entries that any version needs.
    #[must_use]
    pub fn entries(&self) -> Vec<Suppression> {
        self.0.load().entries.clone()
    }
}
