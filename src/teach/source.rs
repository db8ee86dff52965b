//! The list of lessons, as far as the order has not come to it.

use super::{Lesson, version_in};
use crate::db::{Db, DbError, lessons};
use crate::flow::Change;
use bartizan_core::EventBatch;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is to come.
#[derive(Debug, Default)]
struct Known {
    /// Entries of versions after `passed`, oldest first.
    ahead: Vec<Lesson>,
    /// The newest version; 0 is the empty list that there was before any.
    newest: u64,
    /// The version up to which the pipeline has come.
    passed: u64,
}

/// The list, read by the pipeline, which goes forward only, and renewed by whoever changes it.
#[derive(Debug, Default)]
pub struct Lessons {
    known: Mutex<Known>,
    /// Held while the database is read again: of two changes at once the later one must stay.
    renewing: Mutex<()>,
    noted: Notify,
}

impl Lessons {
    /// What the database holds after what is in force.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn open(db: &Db, in_force: &[Change]) -> Result<Self, DbError> {
        let lessons = Self::default();
        lessons.go_on_from(version_in(in_force));
        lessons.renew(db)?;
        Ok(lessons)
    }

    /// These entries, as an export has them.
    #[must_use]
    pub fn fixed(ahead: Vec<Lesson>) -> Self {
        Self { known: Mutex::new(Known { ahead, ..Known::default() }), ..Self::default() }
    }

    /// Reads the database again, after a change.
    ///
    /// # Errors
    /// SQLite says no; what was known stays then.
    pub fn renew(&self, db: &Db) -> Result<(), DbError> {
        let _renewing = self.renewing.lock();
        let passed = self.known.lock().passed;
        let (newest, ahead) =
            db.read(|connection| Ok::<_, DbError>((lessons::newest(connection)?, lessons::after(connection, passed)?)))?;
        let mut known = self.known.lock();
        (known.ahead, known.newest) = (ahead, newest);
        let passed = known.passed;
        known.ahead.retain(|lesson| lesson.added > passed);
        Ok(())
    }

    /// The newest version.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.known.lock().newest
    }

    /// What is before `version` was learnt.
    pub fn go_on_from(&self, version: u64) {
        let mut known = self.known.lock();
        known.passed = known.passed.max(version);
        let passed = known.passed;
        known.ahead.retain(|lesson| lesson.added > passed);
    }

    /// The events that are learnt where the order goes on to `version`.
    #[must_use]
    pub fn due(&self, version: u64) -> EventBatch {
        let mut events = EventBatch::default();
        {
            let known = self.known.lock();
            for lesson in known.ahead.iter().filter(|lesson| lesson.is_between(known.passed, version)) {
                if let Err(error) = lesson.push(&mut events) {
                    tracing::error!(version = lesson.added, %error, "a lesson does not read and is left out");
                }
            }
        }
        self.go_on_from(version);
        events
    }

    /// Tells the teacher that there may be something to do.
    pub fn wake(&self) {
        self.noted.notify_one();
    }

    /// Waits until it is told.
    pub async fn noted(&self) {
        self.noted.notified().await;
    }
}
