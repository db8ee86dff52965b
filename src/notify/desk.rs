//! Where people's words about alerts and incidents are taken in: each in one transaction, after which live views, the
//! teacher and the deliverers hear of it.

use super::commit::{Triaged, commit_incident_triage, commit_merge, commit_silence, commit_triage, follow_incident};
use super::{Routing, Wake};
use crate::alert::change::{AlertChange, AlertChanges};
use crate::alert::model::Disposition;
use crate::alert::{Alert, Status};
use crate::clock::Clock;
use crate::db::alerts::{self, TriageError, TriageStep};
use crate::db::{Db, incidents};
use crate::incident::by_hand::{self, Hand};
use crate::incident::{self, Incident};
use crate::teach::Lessons;
use rusqlite::Connection;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

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

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// An alert.
    Alert,
    /// An incident.
    Incident,
}

/// Where one of them stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Standing {
    /// Where it stands.
    pub status: Status,
    /// What it turned out to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub disposition: Option<Disposition>,
    /// Who works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub assignee: Option<String>,
}

impl Case {
    /// Its title, and where it stands.
    fn find(self, tx: &Connection, id: &str) -> Result<(String, Standing), TriageError> {
        let found = match self {
            Self::Alert => alerts::get(tx, id)?.map(|one| (one.title, one.status, one.disposition, one.assignee)),
            Self::Incident => incidents::get(tx, id)?.map(|one| (one.title, one.status, one.disposition, one.assignee)),
        };
        let (title, status, disposition, assignee) = found.ok_or(TriageError::NotFound)?;
        Ok((title, Standing { status, disposition, assignee }))
    }

    /// The step itself, without what follows from it.
    fn triage(self, tx: &Connection, step: &TriageStep<'_>, now_ms: i64) -> Result<(), TriageError> {
        match self {
            Self::Alert => alerts::triage(tx, step, now_ms).map(drop),
            Self::Incident => incident::triage::triage(tx, step, now_ms).map(drop),
        }
    }
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

    /// Takes in a step on one of many, or, for a `preview`, only tells what would become of it. Returns its title, where it
    /// stood and where it stands then. Works on the calling thread.
    ///
    /// # Errors
    /// As [`Self::alert`] and [`Self::incident`].
    pub fn each(&self, case: Case, step: &TriageStep<'_>, preview: bool) -> Result<(String, Standing, Standing), TriageError> {
        let (title, from) = self.db.read(|tx| case.find(tx, step.id))?;
        if preview {
            let (_, to) = self.db.rehearse(|tx| {
                case.triage(tx, step, self.clock.now_ms())?;
                case.find(tx, step.id)
            })?;
            return Ok((title, from, to));
        }
        match case {
            Case::Alert => self.alert(step)?,
            Case::Incident => self.incident(step)?,
        }
        let (_, to) = self.db.read(|tx| case.find(tx, step.id))?;
        Ok((title, from, to))
    }

    /// Merges incidents. Works on the calling thread.
    ///
    /// # Errors
    /// As [`by_hand::merge`].
    pub fn merge(&self, id: &str, others: &[String], hand: Hand<'_>) -> Result<Incident, TriageError> {
        let incident = self.db.write(|tx| commit_merge(tx, (id, others), &self.routing, hand))?;
        self.wake.wake();
        Ok(incident)
    }

    /// Splits an incident. Works on the calling thread.
    ///
    /// # Errors
    /// As [`by_hand::split`].
    pub fn split(&self, id: &str, taken: &[String], hand: Hand<'_>) -> Result<Incident, TriageError> {
        self.db.write(|tx| by_hand::split(tx, id, taken, &self.routing.incidents, hand))
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
