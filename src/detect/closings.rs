//! The breakers that people closed, on their way into the recorded order.

use super::breaker::Closing;
use crate::db::{Db, DbError, breakers};
use parking_lot::Mutex;
use std::sync::Arc;

/// The newest closing of each breaker, read by the pipeline and renewed by whoever closes one.
#[derive(Debug, Default)]
pub struct Closings(Mutex<Arc<[Closing]>>);

impl Closings {
    /// What the database holds.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn open(db: &Db) -> Result<Self, DbError> {
        let closings = Self::default();
        closings.renew(db)?;
        Ok(closings)
    }

    /// Reads the database again, after a change.
    ///
    /// # Errors
    /// SQLite says no; what was known stays then.
    pub fn renew(&self, db: &Db) -> Result<(), DbError> {
        // Held while the database is read: of two changes at once the later one must stay.
        let mut known = self.0.lock();
        *known = db.read(breakers::closings)?.into();
        Ok(())
    }

    /// All that may not have taken effect yet.
    #[must_use]
    pub fn latest(&self) -> Arc<[Closing]> {
        Arc::clone(&self.0.lock())
    }
}
