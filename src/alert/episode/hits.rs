//! Sessions that open alerts tell as hit, to know what a further detector finds of them for no news.

use super::identity::EpisodeKey;
use bartizan_core::{EntityKind, Finding, Subject};
use std::collections::BTreeSet;

/// Tenant, session, and the detector and key of the alert that tells it; it follows from the open episodes alone.
#[derive(Debug, Default)]
pub(super) struct Hits(BTreeSet<(String, String, String, String)>);

/// Sessions that were hit.
pub(super) fn hit_sessions(subjects: &[Subject]) -> impl Iterator<Item = &str> {
    sessions(subjects).filter(|subject| subject.hit).map(|subject| subject.value.as_str())
}

fn sessions(subjects: &[Subject]) -> impl Iterator<Item = &Subject> {
    subjects.iter().filter(|subject| subject.kind == EntityKind::Session)
}

impl Hits {
    /// An alert tells of these.
    pub(super) fn add<'a>(&mut self, (tenant, detector, key): &EpisodeKey, sessions: impl Iterator<Item = &'a str>) {
        self.0.extend(sessions.map(|session| (tenant.clone(), session.to_owned(), detector.clone(), key.clone())));
    }

    /// An alert that told of these is closed.
    pub(super) fn remove<'a>(&mut self, (tenant, detector, key): &EpisodeKey, sessions: impl Iterator<Item = &'a str>) {
        for session in sessions {
            self.0.remove(&(tenant.clone(), session.to_owned(), detector.clone(), key.clone()));
        }
    }

    /// Is a finding about sessions alone of which alerts of other detectors tell that they were hit?
    pub(super) fn tell(&self, detector: &str, finding: &Finding) -> bool {
        let is_told = |session: &str| {
            let of_session = (finding.tenant.clone(), session.to_owned(), String::new(), String::new());
            let mut of_it = self.0.range(of_session..).take_while(|(tenant, one, ..)| (tenant, one.as_str()) == (&finding.tenant, session));
            of_it.any(|(.., other, _)| other != detector)
        };
        let mut about = sessions(&finding.subjects).peekable();
        about.peek().is_some() && about.all(|subject| is_told(&subject.value))
    }
}
