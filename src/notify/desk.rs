//! Where people's words about alerts and incidents are taken in: each in one transaction, after which live views, the
//! teacher and the deliverers hear of it.

use super::commit::{Triaged, commit_incident_triage, commit_silence, commit_triage, follow_incident};
use super::{Routing, Wake};
use crate::alert::Alert;
use crate::alert::change::{AlertChange, AlertChanges};
use crate::clock::Clock;
use crate::db::alerts::{TriageError, TriageStep};
use crate::db::{Db, incidents};
use crate::teach::Lessons;
use std::sync::Arc;

/// What a desk works with; clones share it.
#[derive(Clone)]
pub struct Desk {
    /// The working database.
    pub db: Db,
    /// Who is told.
    pub routing: Arc<Routing>,
    /// Wakes the deliverers.
    pub wake: Wake,
    /// Changes of alerts, for live views.
    pub changes: AlertChanges,
    /// Lessons as the pipeline sees them.
    pub lessons: Arc<Lessons>,
    /// The time.
    pub clock: Clock,
}

impl Desk {
    /// Takes in a step on an alert. Works on the calling thread.
    ///
    /// # Errors
    /// As [`commit_triage`].
    pub fn alert(&self, step: &TriageStep<'_>) -> Result<(), TriageError> {
        let alert = self.db.write(|tx| commit_triage(tx, step, &self.routing, self.clock.now_ms()))?;
        self.tell(vec![alert])
    }

    /// Takes in a step on an incident, which its alerts follow. Works on the calling thread.
    ///
    /// # Errors
    /// As [`commit_incident_triage`].
    pub fn incident(&self, step: &TriageStep<'_>) -> Result<(), TriageError> {
        let Triaged { followers, .. } = self.db.write(|tx| commit_incident_triage(tx, step, &self.routing, self.clock.now_ms()))?;
        self.tell(followers)
    }

    /// Has some alerts follow that still have to. Returns how many did. Works on the calling thread.
    ///
    /// # Errors
    /// SQLite says no, or a record does not read.
    pub fn follow(&self) -> Result<usize, TriageError> {
        let followers = self.db.write(|tx| {
            let Some((incident, actor)) = incidents::to_follow(tx)? else { return Ok(Vec::new()) };
            follow_incident(tx, &incident, &actor, &self.routing, self.clock.now_ms())
        })?;
        let count = followers.len();
        self.tell(followers)?;
        Ok(count)
    }

    /// Resolves up to `incidents_max` incidents that went silent. Returns how many. Works on the calling thread.
    ///
    /// # Errors
    /// SQLite says no, or a record does not read.
    pub fn silence(&self, incidents_max: u32) -> Result<usize, TriageError> {
        let ended = self.db.write(|tx| commit_silence(tx, &self.routing, incidents_max, self.clock.now_ms()))?;
        if ended > 0 {
            self.wake.wake();
        }
        Ok(ended)
    }

    fn tell(&self, triaged: Vec<Alert>) -> Result<(), TriageError> {
        // A lesson may have been noted, or taken back.
        self.lessons.renew(&self.db)?;
        self.lessons.wake();
        self.wake.wake();
        for alert in triaged {
            // Nobody may be looking.
            self.changes.send(Arc::new(AlertChange::triaged(alert))).ok();
        }
        Ok(())
    }
}
