//! Incidents of alerts that are judged again, from a recorded order: joined as the daemon joined them, without people.

use super::{IncidentConfig, join};
use crate::alert::Alert;
use crate::db::{Db, DbError, alerts};

/// Joins alerts in a database of its own.
pub struct Again {
    db: Db,
    config: IncidentConfig,
}

impl Again {
    /// Nothing joined yet.
    ///
    /// # Errors
    /// SQLite cannot make a database in memory.
    pub fn new(config: &IncidentConfig) -> Result<Self, DbError> {
        Ok(Self { db: Db::in_memory()?, config: config.clone() })
    }

    /// Gives versions of alerts, in their order, the incidents that they belong to.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn join(&self, versions: &mut [Alert]) -> Result<(), DbError> {
        self.db.write(|tx| {
            for alert in versions {
                let at_ms = alert.detected_time.0;
                if let Some(mut applied) = alerts::apply_detection(tx, alert, at_ms)? {
                    join(tx, &mut applied.alert, &self.config, at_ms)?;
                    alert.incident = applied.alert.incident;
                }
            }
            Ok(())
        })
    }

    /// An alert as it is by now: a milder one may have come into an incident after its last version.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn get(&self, id: &str) -> Result<Option<Alert>, DbError> {
        self.db.read(|tx| alerts::get(tx, id))
    }
}
