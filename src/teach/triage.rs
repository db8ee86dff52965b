//! What a triage step means for what is learnt.

use crate::alert::Alert;
use crate::alert::model::Disposition;
use crate::db::lessons::{self, Noted};
use crate::db::{DbError, alerts, audit};
use bartizan_core::{Budget, Parameters};
use rusqlite::Connection;
use serde_json::json;
use std::sync::Arc;

/// Notes what there is to learn of an alert that became harmless by a triage step, or takes it back where it is harmless
/// no more, in the transaction of the step; `before` is what it was judged before. Wake [`super::Lessons`] after it.
///
/// # Errors
/// SQLite says no.
pub fn triaged(tx: &Connection, before: Option<Disposition>, alert: &Alert, actor: &str, now_ms: i64) -> Result<(), DbError> {
    let is_harmless = |disposition: Option<Disposition>| disposition.is_some_and(Disposition::is_harmless);
    match (is_harmless(before), is_harmless(alert.disposition)) {
        (false, true) => note(tx, alert, actor, now_ms),
        (true, false) => take_back(tx, alert, actor, now_ms),
        (true, true) | (false, false) => Ok(()),
    }
}

fn note(tx: &Connection, alert: &Alert, actor: &str, now_ms: i64) -> Result<(), DbError> {
    let nothing = |why: &str| alerts::tell_lesson(tx, &alert.id, actor, &format!("nothing to learn: {why}"), now_ms);
    if !goes_by_people(&alert.detector) {
        return nothing(&format!("{} does not go by what is known of people", alert.detector));
    }
    if alert.entities.users.is_empty() || alert.event_ids.is_empty() {
        return nothing("the alert names nobody, or no events");
    }
    lessons::note(
        tx,
        &Noted {
            id: 0,
            tenant: alert.tenant.clone(),
            alert_id: alert.id.clone(),
            event_ids: alert.event_ids.clone(),
            span_ms: (alert.first_event_time.0, alert.last_event_time.0),
            users: alert.entities.users.clone(),
            actor: actor.to_owned(),
            created_ms: now_ms,
        },
    )
}

fn take_back(tx: &Connection, alert: &Alert, actor: &str, now_ms: i64) -> Result<(), DbError> {
    let (waiting, taught) = lessons::take_back(tx, &alert.id)?;
    let text = match (waiting, taught) {
        (0, 0) => return Ok(()),
        (_, 0) => "taken back: nothing of it was learnt",
        _ => "taken back: what was learnt of it fades",
    };
    alerts::tell_lesson(tx, &alert.id, actor, text, now_ms)?;
    Ok(audit::record(tx, now_ms, actor, "lesson.taken_back", &alert.id, &json!({"tenant": alert.tenant, "taught": taught > 0}))?)
}

/// Does this detector judge people by what is known of them? One that there is no more does not.
pub(super) fn goes_by_people(detector: &str) -> bool {
    let instance = |spec: &bartizan_core::Spec| (spec.build)(&Parameters::defaults(spec.parameters), &Arc::new(Budget::new(0)));
    bartizan_catalogue::find(detector).is_some_and(|spec| instance(spec).goes_by_people())
}
