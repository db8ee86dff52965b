//! Limits on actions, so that a faulty detector or log cannot sign everybody out.
//!
//! They are counted in the database, in the transaction that decides, so they hold through restarts.
//! The defaults leave room for a real incident. What a brake holds waits for a person. A share of
//! each limit is kept for critical alerts, so that a noisy detector cannot use up what a certain one
//! will need. Dry runs have a count of their own; the audit trail says
//! which of them a brake would have held.

use super::order::ActionKind;
use crate::detect::breaker::CIRCUIT_BREAKER;
use crate::notify::config::Problem;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

/// Limits of one target. Each counts actions of one kind in one tenant: sessions that are to end.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Brakes {
    /// In any ten minutes. Default 30.
    pub ten_minutes_max: u32,
    /// In any hour. Default 100.
    pub hour_max: u32,
    /// In any day, as a share of the sessions that were active in the last day. Default 0.2.
    pub active_share_max: f64,
    /// The share counts where more sessions than this are active. Default 200.
    pub active_min: u64,
    /// In any day, of one user. Default 2.
    pub user_day_max: u32,
    /// The part of the first three limits that is kept for critical alerts. Default 0.2.
    pub critical_share: f64,
}

impl Default for Brakes {
    fn default() -> Self {
        Self { ten_minutes_max: 30, hour_max: 100, active_share_max: 0.2, active_min: 200, user_day_max: 2, critical_share: 0.2 }
    }
}

/// The brake that holds an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// Too many for the tenant in ten minutes.
    TenMinutes,
    /// Too many for the tenant in an hour.
    Hour,
    /// Too large a share of the tenant's active sessions in a day.
    ActiveShare,
    /// Too many for the user in a day.
    User,
    /// As many addresses are blocked as may be.
    Blocks,
    /// Machines are [stopped](super::stop): what asks nobody, and so is not stopped on its way, does not begin.
    Stopped,
    /// The alert stands for many that a [circuit breaker](crate::detect::breaker) folded.
    CircuitBreaker,
}

impl Brake {
    /// Its name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenMinutes => "tenant_ten_minutes",
            Self::Hour => "tenant_hour",
            Self::ActiveShare => "tenant_active_share",
            Self::User => "user_day",
            Self::Blocks => "blocks",
            Self::Stopped => "stopped",
            Self::CircuitBreaker => CIRCUIT_BREAKER,
        }
    }
}

/// One action that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Name of the target.
    pub target: &'a str,
    /// What is to be done.
    pub action: ActionKind,
    /// Tenant.
    pub tenant: &'a str,
    /// Whose session, if known.
    pub user: Option<&'a str>,
    /// Is the alert critical?
    pub critical: bool,
    /// Is the target in dry run?
    pub dry_run: bool,
    /// Sessions of the tenant that were active in the last day, if there is an estimate.
    pub active_sessions: Option<u64>,
}

impl Brakes {
    /// The brake that holds this action at `now_ms`; `None`: it may go.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn hold(&self, tx: &Connection, asked: &Asked<'_>, now_ms: i64) -> rusqlite::Result<Option<Brake>> {
        let (ten_minutes, hour, day) = counts(tx, asked, now_ms)?;
        if let Some(user) = asked.user
            && count_of_user(tx, asked, user, now_ms)? >= self.user_day_max
        {
            return Ok(Some(Brake::User));
        }
        let room = |limit: f64| if asked.critical { limit } else { limit * (1.0 - self.critical_share) };
        // One more would be counted: the limit is what may have gone at most.
        let full = |count: u32, limit: f64| f64::from(count) + 1.0 > room(limit) + 1e-9;
        if full(ten_minutes, f64::from(self.ten_minutes_max)) {
            return Ok(Some(Brake::TenMinutes));
        }
        if full(hour, f64::from(self.hour_max)) {
            return Ok(Some(Brake::Hour));
        }
        let active = asked.active_sessions.filter(|active| *active > self.active_min);
        Ok(active.filter(|active| full(day, *active as f64 * self.active_share_max)).map(|_| Brake::ActiveShare))
    }

    /// What is wrong with these limits.
    #[must_use]
    pub fn problems(&self, table: &str) -> Vec<Problem> {
        let shares = [("active_share_max", self.active_share_max), ("critical_share", self.critical_share)];
        let wrong = shares.iter().filter(|(_, share)| !(0.0..=1.0).contains(share));
        wrong.map(|(name, share)| Problem::new(format!("{table}.{name}"), format!("{share}: must lie between 0 and 1"))).collect()
    }
}

/// What is counted: actions of this kind that the machine let go at this target, or in a dry run would have.
const COUNTED: &str =
    "FROM actions WHERE target = ?1 AND tenant = ?2 AND action = ?3 AND (state = 'shadow') = ?4 AND decided_ms > ?5 AND by_machine";

/// Actions of the tenant that went in the last ten minutes, hour and day.
fn counts(tx: &Connection, asked: &Asked<'_>, now_ms: i64) -> rusqlite::Result<(u32, u32, u32)> {
    let sql = format!("SELECT count(*) FILTER (WHERE decided_ms > ?6), count(*) FILTER (WHERE decided_ms > ?7), count(*) {COUNTED}");
    let [ten_minutes, hour, day] = [10 * MINUTE_MS, HOUR_MS, DAY_MS].map(|window| now_ms.saturating_sub(window));
    let row = params![asked.target, asked.tenant, asked.action.as_str(), asked.dry_run, day, ten_minutes, hour];
    tx.prepare_cached(&sql)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

fn count_of_user(tx: &Connection, asked: &Asked<'_>, user: &str, now_ms: i64) -> rusqlite::Result<u32> {
    let row = params![asked.target, asked.tenant, asked.action.as_str(), asked.dry_run, now_ms.saturating_sub(DAY_MS), user];
    tx.prepare_cached(&format!("SELECT count(*) {COUNTED} AND user = ?6"))?.query_row(row, |row| row.get(0))
}
