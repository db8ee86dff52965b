//! What becomes of an action, written in the transaction of what brought it there.
//!
//! The message in the outbox carries the order and knows whether it arrived. The action knows what that
//! came to: a target that can be read back has ended a session only when it no longer knows it; one that
//! cannot has the session contained once a later use was refused, or what was issued before has run out. What stays unconfirmed until
//! the order is void, and what was never done, is for people.

use super::adapter::Answer;
use super::added::Added;
use super::later_use::LaterUse;
use super::order::Order;
use super::record::{ActionRecord, State};
use crate::db::outbox::{self, Message, NewMessage};
use crate::db::{DbError, actions, audit, held_tokens};
use crate::notify::notice::{Announcement, tell_everyone};
use crate::notify::payload::{Notice, Payload, message_id};
use crate::notify::routing::{ACTIONS_TOPIC_CHANNEL, Routing};
use bartizan_core::TimeMs;
use bartizan_core::time::SECOND_MS;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Kind of the messages to the topic of actions.
pub const ACTION: &str = "action";

/// Writes an action as it is now, and tells the topic of it. At `due_ms` its state changes by time alone.
///
/// # Errors
/// SQLite says no.
pub fn write(tx: &Connection, action: &ActionRecord, due_ms: Option<i64>, now_ms: i64) -> Result<(), DbError> {
    actions::put(tx, action, due_ms, now_ms)?;
    if !matches!(action.state, State::Held | State::Proposed | State::Requested) {
        // Its order is not sent any more.
        held_tokens::erase(tx, &action.id)?;
    }
    let message = NewMessage {
        channel: ACTIONS_TOPIC_CHANNEL.to_owned(),
        message_id: message_id(&[ACTION, &action.id, &action.version.to_string()]),
        kind: ACTION.to_owned(),
        about: action.id.clone(),
        version: action.version,
        body: serde_json::to_string(action)?,
        state: outbox::State::Pending,
        next_ms: now_ms,
        not_after_ms: None,
    };
    outbox::enqueue(tx, &message, now_ms)?;
    Ok(())
}

/// Changes an action; one that is unknown by now is left alone.
fn change(tx: &Connection, id: &str, due_ms: Option<i64>, now_ms: i64, change: impl FnOnce(&mut ActionRecord)) -> Result<(), DbError> {
    let Some(mut action) = actions::get(tx, id)? else { return Ok(()) };
    change(&mut action);
    action.version += 1;
    write(tx, &action, due_ms, now_ms)
}

/// Writes what a target answered to an order that was sent to it. An answer that wants another try is written, but
/// the message is left to its schedule.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn answered(tx: &Connection, routing: &Routing, message: &Message, answer: &Answer, now_ms: i64) -> Result<(), DbError> {
    let now = TimeMs(now_ms);
    let (state, remark) = match answer {
        Answer::Refused(reason) => return failed(tx, routing, message, reason, now_ms),
        Answer::Unconfirmed(remark) => {
            return change(tx, &message.message_id, None, now_ms, |action| {
                action.state = State::Unconfirmed;
                action.remark = Some(remark.clone());
                action.delivered_time.get_or_insert(now);
            });
        }
        Answer::Taken => (State::Unconfirmed, None),
        Answer::Ended(remark) | Answer::Unchanged(remark) => (State::Ended, Some(remark.as_str())),
        Answer::NotKnown(remark) => (State::NotFound, Some(remark.as_str())),
    };
    outbox::finish(tx, message.id, outbox::State::Delivered, remark, now_ms)?;
    let ends_with_time =
        state == State::Unconfirmed && actions::get(tx, &message.message_id)?.is_some_and(|one| one.action.ends_with_time());
    let contained_ms = ends_with_time.then(|| now_ms.saturating_add(routing.response.access_token_max_ms));
    change(tx, &message.message_id, contained_ms, now_ms, |action| {
        // What an earlier try had ended is not there for a later one.
        let ended_before = state == State::NotFound && action.delivered_time.is_some();
        action.state = if ended_before { State::Ended } else { state };
        action.remark = remark.map(str::to_owned);
        if !matches!(answer, Answer::Unchanged(_)) && action.state != State::NotFound {
            action.delivered_time.get_or_insert(now);
        }
        if action.state == State::Ended {
            action.confirmed_time = Some(now);
        }
    })?;
    undone(tx, &message.message_id, now_ms)?;
    record_end(tx, message, "revocation.delivered", ("answer", remark.unwrap_or("done")), now_ms)?;
    Ok(())
}

/// Records what became of an order, as the member `word` says; returns the particulars.
fn record_end(tx: &Connection, message: &Message, action: &str, (word, text): (&str, &str), now_ms: i64) -> Result<Value, DbError> {
    let order = serde_json::from_str::<Payload<Order>>(&message.body)?.data;
    let detail = json!({
        "target": message.channel, (word): text, "tries": message.attempts, "action": order.action, "tenant": order.tenant,
        "source": order.source, "user": order.user, "session": order.session, "token_id": order.token_id,
        "token_hash": order.token_hash, "what": order.added.as_ref().map(Added::shown), "issued_before": order.issued_before, "alert": order.alert, "detector": order.detector,
        "severity": order.severity, "message_id": message.message_id,
    });
    audit::record(tx, now_ms, "delivery", action, order.session.as_deref().unwrap_or_default(), &detail)?;
    Ok(detail)
}

/// If this action undid another one, that one is undone.
fn undone(tx: &Connection, id: &str, now_ms: i64) -> Result<(), DbError> {
    let Some(undo) = actions::get(tx, id)? else { return Ok(()) };
    match &undo.undoes {
        Some(undone) if undo.delivered_time.is_some() || undo.state == State::Ended => {
            change(tx, undone, None, now_ms, |action| action.state = State::Undone)
        }
        _ => Ok(()),
    }
}

/// The order will not be carried out: that is for people now.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn failed(tx: &Connection, routing: &Routing, message: &Message, error: &str, now_ms: i64) -> Result<(), DbError> {
    outbox::finish(tx, message.id, outbox::State::Failed, Some(error), now_ms)?;
    given_up(tx, routing, message, State::Failed, error, now_ms)
}

/// The order is void by now, and was not carried out, or not as far as anybody can tell.
///
/// # Errors
/// As [`failed`].
pub fn expired(tx: &Connection, routing: &Routing, message: &Message, error: &str, now_ms: i64) -> Result<(), DbError> {
    outbox::finish(tx, message.id, outbox::State::Expired, Some(error), now_ms)?;
    given_up(tx, routing, message, State::Expired, error, now_ms)
}

fn given_up(tx: &Connection, routing: &Routing, message: &Message, state: State, error: &str, now_ms: i64) -> Result<(), DbError> {
    let delivered = actions::get(tx, &message.message_id)?.and_then(|action| action.delivered_time);
    change(tx, &message.message_id, None, now_ms, |action| {
        action.state = if delivered.is_some() { State::Unconfirmed } else { state };
        action.remark = Some(error.to_owned());
    })?;
    escalate(tx, routing, message, delivered, error, now_ms)
}

/// An action that was not carried out is now for people: one notice for each.
fn escalate(
    tx: &Connection,
    routing: &Routing,
    message: &Message,
    delivered: Option<TimeMs>,
    error: &str,
    now_ms: i64,
) -> Result<(), DbError> {
    let order = serde_json::from_str::<Payload<Order>>(&message.body)?.data;
    let detail = record_end(tx, message, "revocation.failed", ("error", error), now_ms)?;
    let notice = match delivered {
        None => Notice {
            title: format!("Not done: {}", order.named()),
            text: "The target did not take the order. Do it by hand, and look at why the target failed.".to_owned(),
            details: detail,
        },
        Some(delivered) => Notice {
            title: order
                .session
                .as_deref()
                .map_or_else(|| format!("Not confirmed: {}", order.named()), |session| still_active(session, now_ms - delivered.0)),
            text: "The target took the order, but says that it is not done, or does not say. Do it by hand, and look at the target."
                .to_owned(),
            details: detail,
        },
    };
    let key = [message.channel.as_str(), &message.message_id];
    tell_everyone(tx, routing, &Announcement { kind: "revocation.failed", key: &key, except: None, notice: &notice }, now_ms)
}

fn still_active(session: &str, after_ms: i64) -> String {
    format!("Session {session} still active {} s after it was revoked", after_ms / SECOND_MS)
}

/// A session whose end no target confirms was used later: refused, it is contained; granted, that is for people.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn used_later(tx: &Connection, routing: &Routing, seen: &LaterUse, now_ms: i64) -> Result<(), DbError> {
    let Some(action) = actions::get(tx, &seen.action)?.filter(|action| action.state == State::Unconfirmed) else { return Ok(()) };
    if seen.refused {
        return change(tx, &seen.action, None, now_ms, |action| {
            (action.state, action.confirmed_time) = (State::Contained, Some(TimeMs(now_ms)));
            action.remark = Some("a later use was refused".to_owned());
        });
    }
    // Its new access token is good for as long again.
    let contained_ms = seen.time_ms.saturating_add(routing.response.access_token_max_ms);
    change(tx, &seen.action, Some(contained_ms), now_ms, |action| action.remark = Some("a later refresh was granted".to_owned()))?;
    let after_ms = seen.time_ms - action.delivered_time.map_or(seen.time_ms, |time| time.0);
    let session = action.session.as_deref().unwrap_or_default();
    let notice = Notice {
        title: still_active(session, after_ms),
        text: "The target took the order, but a refresh of the session was granted afterwards. End it by hand, and look at the target."
            .to_owned(),
        details: serde_json::to_value(&action)?,
    };
    let key = [action.target.as_str(), &action.id, "used"];
    tell_everyone(tx, routing, &Announcement { kind: "revocation.failed", key: &key, except: None, notice: &notice }, now_ms)
}

/// Takes back what is still to be done about an alert, and lets go whom it blocks.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn cancel(tx: &Connection, alert: &str, reason: &str, now_ms: i64) -> Result<(), DbError> {
    let open = [State::Held, State::Proposed, State::Requested, State::Unconfirmed, State::InForce];
    for action in actions::of_alert(tx, alert, &open)? {
        if outbox::cancel(tx, &action.channel(), &action.id, reason, now_ms)? || action.target.is_empty() {
            change(tx, &action.id, None, now_ms, |action| {
                action.state = if action.state == State::InForce { State::Undone } else { State::Cancelled };
                action.remark = Some(reason.to_owned());
            })?;
        }
    }
    Ok(())
}

/// What waits for targets that are configured no longer has failed. `channels` are those that there are.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn fail_orphans(tx: &Connection, channels: &BTreeSet<String>, now_ms: i64) -> Result<(), DbError> {
    let waiting = actions::Filter { states: vec![State::Requested], limit: u32::MAX, ..actions::Filter::default() };
    let orphans = actions::list(tx, &waiting)?.items.into_iter();
    for action in orphans.filter(|action| !channels.contains(&action.channel())) {
        change(tx, &action.id, None, now_ms, |action| {
            (action.state, action.remark) = (State::Failed, Some("the target is not configured any more".to_owned()));
        })?;
    }
    Ok(())
}

/// Does up to `limit` of what time alone does; returns how many: nobody agreed in time, a block is over, what was
/// issued before has run out.
///
/// # Errors
/// SQLite says no, or a record does not read.
pub fn pass_time(tx: &Connection, limit: u32, now_ms: i64) -> Result<usize, DbError> {
    let due = actions::due(tx, now_ms, limit)?;
    for action in &due {
        let (state, remark) = match action.state {
            State::Proposed => (State::Expired, "nobody agreed in time"),
            State::InForce => (State::Lifted, "its time is over"),
            _ => (State::Contained, "what was issued before has run out by now"),
        };
        if state == State::Expired {
            outbox::cancel(tx, &action.channel(), &action.id, remark, now_ms)?;
        }
        change(tx, &action.id, None, now_ms, |action| {
            (action.state, action.remark) = (state, Some(remark.to_owned()));
            if state == State::Contained {
                action.confirmed_time = Some(TimeMs(now_ms));
            }
        })?;
    }
    Ok(due.len())
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
