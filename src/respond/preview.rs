//! What policies would have done about alerts that are stored: the same planning, in a database of its own.
//!
//! Time passes as it did then, so that brakes hold as they would have; nothing of it is sent or kept. Of an alert its
//! newest version counts: what would have been done at an earlier one comes a little later here. What only its events tell
//! (the client that was given access, a key, a mail address) is not known here.

use super::order::ActionKind;
use super::plan;
use super::policy::PolicyConfig;
use super::record::{ActionRecord, State};
use super::subjects::Facts;
use crate::alert::Alert;
use crate::db::actions::{self, Filter};
use crate::db::alert_list::PAGE_MAX;
use crate::db::{Db, DbError};
use crate::normalise::HeldTokens;
use crate::notify::{Detected, Routing};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Actions of one kind that are shown.
const SAMPLES_MAX: usize = 10;

/// What would have become of the actions of one kind.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Foreseen {
    /// The policy; none: the target's table by itself.
    pub policy: Option<String>,
    /// What would have been done.
    pub action: ActionKind,
    /// Who would have been asked; empty: nobody, as Bartizan does it itself.
    pub target: String,
    /// Where it would have begun: `requested`, `held`, `proposed`, `in_force` or `protected`.
    pub state: State,
    /// The brake that would have held it.
    pub brake: Option<String>,
    /// How many.
    pub count: usize,
    /// People whom they concern.
    pub users: usize,
    /// Some of them.
    #[schema(max_items = 10)]
    pub samples: Vec<ActionRecord>,
}

/// Policy, action, target, state and brake.
type KindOfAction = (Option<String>, ActionKind, String, State, Option<String>);

/// What would have been done about these alerts, oldest first, if nothing had been a dry run: by a policy alone, or by all
/// that is configured.
///
/// # Errors
/// SQLite cannot make a database in memory, or says no.
pub fn foresee(alerts: &[Alert], alone: Option<&PolicyConfig>, routing: &Routing) -> Result<Vec<Foreseen>, DbError> {
    let (db, routing, alone) = (Db::in_memory()?, meant(routing), alone.map(|policy| PolicyConfig { shadow: false, ..policy.clone() }));
    let mut by_kind: BTreeMap<KindOfAction, Vec<ActionRecord>> = BTreeMap::new();
    db.write(|tx| {
        for alert in alerts {
            let detected = Detected { alert, facts: &Facts::default(), active_sessions: None };
            let policies = match &alone {
                Some(policy) => Some(policy.clone()).filter(|policy| policy.takes(alert)).into_iter().collect(),
                None => routing.policies_for(alert),
            };
            plan::plan_by(tx, &policies, &detected, &routing, alert.detected_time.0)?;
        }
        let mut filter = Filter { limit: PAGE_MAX, ..Filter::default() };
        loop {
            let page = actions::list(tx, &filter)?;
            for one in page.items {
                let kind = (one.policy.clone(), one.action, one.target.clone(), one.state, one.brake.clone());
                by_kind.entry(kind).or_default().push(one);
            }
            filter.cursor = page.next;
            if filter.cursor.is_none() {
                return Ok::<_, DbError>(());
            }
        }
    })?;
    Ok(by_kind
        .into_iter()
        .map(|((policy, action, target, state, brake), mut all)| {
            let users = all.iter().filter_map(|one| one.user.as_deref()).collect::<BTreeSet<_>>().len();
            let count = all.len();
            all.truncate(SAMPLES_MAX);
            Foreseen { policy, action, target, state, brake, count, users, samples: all }
        })
        .collect())
}

/// The same, meant seriously, and told to nobody.
fn meant(routing: &Routing) -> Routing {
    let mut routing = Routing { channels: Vec::new(), held: HeldTokens::default(), ..routing.clone() };
    for target in &mut routing.targets {
        target.dry_run = false;
    }
    for policy in &mut routing.policies {
        policy.shadow = false;
    }
    routing
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::notify::testing::{START_MS, alert, target};
    use bartizan_core::time::MINUTE_MS;
    use bartizan_core::{EntityKind, Role, Subject, TimeMs};
    use serde_json::json;

    /// An alert about a session of its own, `minute` after the start.
    fn stolen(number: i64, minute: i64) -> Alert {
        let time = TimeMs(START_MS + minute * MINUTE_MS);
        let subjects = vec![
            Subject::new(EntityKind::User, format!("u{number}"), Role::Victim),
            Subject::new(EntityKind::Session, format!("ses-{number}"), Role::Victim).hit(),
        ];
        let entities = crate::alert::Entities::of(&subjects);
        Alert { subjects, entities, first_event_time: time, last_event_time: time, detected_time: time, ..alert(&format!("a{number}")) }
    }

    #[test]
    fn what_a_dry_run_would_have_done_is_told_with_the_brakes_that_would_have_held_it() {
        let routing = Routing { targets: vec![target("identity", "http://127.0.0.1:9/revoke", true)], ..Routing::default() };
        let together: Vec<Alert> = (0..30).map(|number| stolen(number, 0)).collect();
        let foreseen = foresee(&together, None, &routing).unwrap();
        let counts: Vec<_> =
            foreseen.iter().map(|one| (one.state, one.brake.as_deref(), one.count, one.users, one.samples.len())).collect();
        // A fifth of the thirty is kept for critical alerts.
        assert_eq!(counts, [(State::Held, Some("tenant_ten_minutes"), 6, 6, 6), (State::Requested, None, 24, 24, 10)]);
        let apart: Vec<Alert> = (0..30).map(|number| stolen(number, number)).collect();
        assert_eq!(foresee(&apart, None, &routing).unwrap().len(), 1, "spread over half an hour no brake holds");
    }

    #[test]
    fn a_policy_that_there_is_not_yet_is_tried_alone() {
        let routing = Routing { targets: vec![target("identity", "http://127.0.0.1:9/revoke", true)], ..Routing::default() };
        let policy =
            json!({"name": "careful", "detectors": ["token_reuse"], "actions": ["revoke_session"], "target": "identity", "approvals": 1});
        let policy: PolicyConfig = serde_json::from_value(policy).unwrap();
        let other = Alert { detector: "brute_force".to_owned(), ..stolen(2, 0) };
        let foreseen = foresee(&[stolen(1, 0), other], Some(&policy), &routing).unwrap();
        assert_eq!(foreseen.len(), 1);
        let one = &foreseen[0];
        assert_eq!((one.policy.as_deref(), one.state, one.count), (Some("careful"), State::Proposed, 1));
        assert_eq!(one.samples[0].session.as_deref(), Some("ses-1"));
    }
}
