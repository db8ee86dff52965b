//! What people decide on actions: yes, no, and back.
//!
//! What a brake holds wants one person, who may let go all of it at once; what a policy proposes wants as many as it says, each with a token of
//! their own. What was done can be undone where there is a way back, by an action of its own.

use super::order::{ActionKind, Order};
use super::plan::{self, VALID_MS};
use super::progress;
use super::record::{ActionRecord, Approval, State};
use crate::db::actions::{self, Filter};
use crate::db::outbox::{self, NewMessage};
use crate::db::{DbError, audit};
use crate::notify::payload::{Payload, message_id};
use crate::notify::routing::Routing;
use bartizan_core::TimeMs;
use rusqlite::Connection;
use serde_json::json;

/// Why a decision is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such action.
    #[error("there is no action of this id")]
    NotFound,
    /// It is not one to decide on so.
    #[error("{0}")]
    Conflict(String),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<rusqlite::Error> for DecisionError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Who decides.
#[derive(Clone, Debug)]
pub struct Person {
    /// Name of the token.
    pub name: String,
    /// Id of the token.
    pub token: String,
    /// The tenant whose actions exist for it; `None`: all.
    pub tenant: Option<String>,
}

/// A decision about one action, within the transaction of its caller.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    /// The transaction.
    pub tx: &'a Connection,
    /// What is configured.
    pub routing: &'a Routing,
    /// Who decides.
    pub person: &'a Person,
    /// When.
    pub now_ms: i64,
}

impl Decision<'_> {
    /// Agrees to an action that waits; it goes once enough have.
    ///
    /// # Errors
    /// It does not wait, or this token agreed already.
    pub fn approve(&self, id: &str) -> Result<ActionRecord, DecisionError> {
        let mut action = self.waiting(id)?;
        if action.approvals.iter().any(|approval| approval.token == self.person.token) {
            return Err(DecisionError::Conflict("this token agreed already: another person's is wanted".to_owned()));
        }
        action.approvals.push(Approval { by: self.person.name.clone(), token: self.person.token.clone(), time: TimeMs(self.now_ms) });
        let audited = if action.state == State::Held { "revocation.released" } else { "action.approved" };
        if action.approvals.len() >= usize::from(action.approvals_needed) {
            self.let_go(&mut action)?;
        }
        self.written(action, audited)
    }

    /// Lets go up to `limit` of what brakes hold at a target, the last held first, each with a new time limit. Returns
    /// how many. What a policy proposes is not among it.
    ///
    /// # Errors
    /// SQLite says no, or a stored order does not read.
    pub fn release_held(&self, target: &str, limit: u32) -> Result<usize, DecisionError> {
        let held = Filter { states: vec![State::Held], target: Some(target.to_owned()), limit, ..Filter::default() };
        let held = actions::list(self.tx, &held)?.items;
        held.iter().try_for_each(|action| self.approve(&action.id).map(drop))?;
        Ok(held.len())
    }

    /// Says no to an action that waits.
    ///
    /// # Errors
    /// It does not wait.
    pub fn reject(&self, id: &str) -> Result<ActionRecord, DecisionError> {
        let mut action = self.waiting(id)?;
        outbox::cancel(self.tx, &action.channel(), &action.id, "a person said no", self.now_ms)?;
        (action.state, action.remark) = (State::Rejected, Some(format!("{} said no", self.person.name)));
        self.written(action, "action.rejected")
    }

    /// Undoes an action: a block at once, anything else by an action of its own, which is returned.
    ///
    /// # Errors
    /// It was not done, there is no way back, or it is being undone.
    pub fn undo(&self, id: &str) -> Result<ActionRecord, DecisionError> {
        let mut action = self.find(id)?;
        if action.action == ActionKind::BlockAddress && action.state == State::InForce {
            (action.state, action.remark) = (State::Undone, Some(format!("{} undid it", self.person.name)));
            return self.written(action, "action.undone");
        }
        let done = matches!(action.state, State::Ended | State::Unconfirmed | State::Contained);
        let Some(back) = action.action.undone_by().filter(|_| done) else {
            let if_wrong = action.action.if_wrong().map(|what| format!(": {what}")).unwrap_or_default();
            let what = format!("{} that is {} cannot be undone{if_wrong}", action.action.as_str(), action.state.as_str());
            return Err(DecisionError::Conflict(what));
        };
        if action.delivered_time.is_none() {
            return Err(DecisionError::Conflict("it was so before: there is nothing to undo".to_owned()));
        }
        if let Some(under_way) = &action.undone_by
            && actions::get(self.tx, under_way)?.is_some_and(|undo| !matches!(undo.state, State::Failed | State::Expired | State::NotFound))
        {
            return Err(DecisionError::Conflict("it is being undone".to_owned()));
        }
        let undo = self.way_back(&action, back)?;
        action.undone_by = Some(undo.id.clone());
        self.written(action, "action.undone")?;
        Ok(undo)
    }

    fn find(&self, id: &str) -> Result<ActionRecord, DecisionError> {
        let action = actions::get(self.tx, id)?;
        action.filter(|action| self.person.tenant.as_ref().is_none_or(|own| *own == action.tenant)).ok_or(DecisionError::NotFound)
    }

    fn waiting(&self, id: &str) -> Result<ActionRecord, DecisionError> {
        let action = self.find(id)?;
        match action.state {
            State::Held | State::Proposed => Ok(action),
            state => Err(DecisionError::Conflict(format!("it does not wait for anybody: it is {}", state.as_str()))),
        }
    }

    /// The action goes, with a new time limit.
    fn let_go(&self, action: &mut ActionRecord) -> Result<(), DecisionError> {
        if action.action == ActionKind::BlockAddress {
            action.not_after = TimeMs(self.now_ms.saturating_add(self.routing.response.block_ms));
            (action.state, action.confirmed_time) = (State::InForce, Some(TimeMs(self.now_ms)));
        } else {
            action.not_after = TimeMs(self.now_ms.saturating_add(VALID_MS));
            let channel = action.channel();
            let gone = || DecisionError::Conflict("its order is not kept any more".to_owned());
            let (body, _) = outbox::find(self.tx, &channel, &action.id)?.ok_or_else(gone)?;
            let mut payload: Payload<Order> = serde_json::from_str(&body).map_err(DbError::from)?;
            payload.data.not_after = action.not_after;
            let body = serde_json::to_string(&payload).map_err(DbError::from)?;
            if !outbox::release(self.tx, &channel, &action.id, &body, action.not_after.0, self.now_ms)? {
                return Err(gone());
            }
            action.state = State::Requested;
        }
        action.requested_time = Some(TimeMs(self.now_ms));
        Ok(())
    }

    /// The action that undoes another one, on its way.
    fn way_back(&self, action: &ActionRecord, back: ActionKind) -> Result<ActionRecord, DecisionError> {
        let now = TimeMs(self.now_ms);
        let undo = ActionRecord {
            id: message_id(&["undo", &action.id, &action.version.to_string()]),
            version: 1,
            action: back,
            policy: None,
            state: State::Requested,
            remark: Some(format!("{} undoes an action", self.person.name)),
            brake: None,
            event_time: now,
            decided_time: now,
            requested_time: Some(now),
            delivered_time: None,
            confirmed_time: None,
            not_after: TimeMs(self.now_ms.saturating_add(VALID_MS)),
            approvals_needed: 0,
            approvals: Vec::new(),
            undoes: Some(action.id.clone()),
            undone_by: None,
            ..action.clone()
        };
        let order = Order::of(&undo, undo.remark.as_deref().unwrap_or_default());
        let message: NewMessage = plan::message(&undo.channel(), &undo.id, 1, &order, outbox::State::Pending, self.now_ms)?;
        outbox::enqueue(self.tx, &message, self.now_ms)?;
        progress::write(self.tx, &undo, None, self.now_ms)?;
        Ok(undo)
    }

    /// Writes an action as it was decided on.
    fn written(&self, mut action: ActionRecord, audited: &str) -> Result<ActionRecord, DecisionError> {
        action.version += 1;
        let detail = json!({"action": action.action, "target": action.target, "tenant": action.tenant, "alert": action.alert, "user": action.user,
                            "session": action.session, "address": action.address, "what": action.what, "state": action.state});
        audit::record(self.tx, self.now_ms, &self.person.name, audited, &action.id, &detail)?;
        progress::write(self.tx, &action, action.due_ms(), self.now_ms)?;
        Ok(action)
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
