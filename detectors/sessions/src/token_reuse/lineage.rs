//! The refresh tokens of one user: which was exchanged for which, when, and by which client.

use super::Config;
use bartizan_core::{Changes, ClientPrint, Event, Outcome, Retained, TokenHash, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Exchanges remembered; beyond them the oldest goes.
const ROTATIONS_MAX: usize = 12;
/// Tokens issued to whoever reused one, that are followed.
const TAINTED_MAX: usize = 4;

/// One exchange of a refresh token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rotation {
    presented: u64,
    issued: u64,
    pub time_ms: i64,
    /// First use of what was issued; `i64::MAX` if none was seen.
    used_ms: i64,
    client: ClientPrint,
    pub ip: Option<IpAddr>,
    pub session: Option<Box<str>>,
    pub event: Box<str>,
}

/// A reuse that no innocent cause explains.
pub(super) struct Reuse {
    /// The exchange before; `None` for a token that a reuse had given to the attacker.
    pub before: Option<Rotation>,
    pub changes: Changes,
    pub gap_ms: i64,
    pub successor_used: bool,
    /// Is the attacker the one who exchanged it first, so that the owner brings the old one?
    pub thief_came_first: bool,
    /// Is it beyond doubt that the attacker is the present client, so that its tokens are followed?
    presenter_is_thief: bool,
    /// Did the attacker get a new token?
    pub token_gained: bool,
}

/// Refresh tokens of one user (or session, or token).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lineage {
    expires_ms: i64,
    rotations: Vec<Rotation>,
    /// Tokens descended from a reused one, and when that was reused.
    tainted: Vec<(u64, i64)>,
}

impl Default for Lineage {
    fn default() -> Self {
        Self { expires_ms: i64::MIN, rotations: Vec::new(), tainted: Vec::new() }
    }
}

impl Retained for Lineage {
    fn expires_ms(&self) -> i64 {
        self.expires_ms
    }

    fn heap_bytes(&self) -> usize {
        let texts = |one: &Rotation| heap_bytes(one.event.len()) + one.session.as_ref().map_or(0, |session| heap_bytes(session.len()));
        let lists = heap_bytes(size_of_val(self.rotations.as_slice())) + heap_bytes(size_of_val(self.tainted.as_slice()));
        lists + self.rotations.iter().map(texts).sum::<usize>()
    }

    fn worth(&self) -> u8 {
        if self.tainted.is_empty() { u8::from(self.rotations.len() > 1) } else { 3 }
    }
}

impl Lineage {
    /// Looks at a refresh token that was presented.
    pub fn observe(&mut self, event: &Event<'_>, token: TokenHash, exchanged: bool, config: &Config) -> Option<Reuse> {
        let (presented, time_ms, client) = (short(token), event.time_ms(), ClientPrint::of(event));
        let issued = event.token_issued().filter(|_| exchanged).map_or(0, short);
        if event.outcome() == Outcome::Success {
            self.rotations.iter_mut().filter(|one| one.issued == presented).for_each(|one| one.used_ms = one.used_ms.min(time_ms));
        }
        let reuse = self.judge(presented, time_ms, &client, issued != 0, config);
        if issued != 0 {
            self.remember(event, presented, issued, client, config);
        }
        if reuse.as_ref().is_some_and(|reuse| reuse.presenter_is_thief) && issued != 0 {
            if self.tainted.len() >= TAINTED_MAX {
                self.tainted.remove(0);
            }
            let since_ms =
                reuse.as_ref().map_or(time_ms, |reuse| if reuse.before.is_none() { time_ms.saturating_sub(reuse.gap_ms) } else { time_ms });
            self.tainted.push((issued, since_ms));
        }
        reuse
    }

    fn judge(&self, presented: u64, time_ms: i64, client: &ClientPrint, gained: bool, config: &Config) -> Option<Reuse> {
        if let Some((_, since_ms)) = self.tainted.iter().find(|(token, _)| *token == presented) {
            let (changes, gap_ms) = (Changes::default(), time_ms.saturating_sub(*since_ms).max(0));
            return Some(Reuse {
                before: None,
                changes,
                gap_ms,
                successor_used: false,
                thief_came_first: false,
                presenter_is_thief: true,
                token_gained: gained,
            });
        }
        let before = self.rotations.iter().find(|one| one.presented == presented)?;
        // The two may arrive in either order; what counts is who came first in event time.
        let gap_ms = time_ms.saturating_sub(before.time_ms).saturating_abs();
        let successor_used = before.used_ms <= time_ms.max(before.time_ms);
        let changes = before.client.changes(client);
        let stolen = changes.count() >= 2 || (successor_used && changes.of_client());
        if !stolen || (gap_ms <= config.grace_ms && !successor_used) {
            return None;
        }
        let looks_like_owner = |who: &ClientPrint| {
            let others = self.rotations.iter().filter(|one| one.presented != presented && one.time_ms < before.time_ms.min(time_ms));
            others.filter(|one| !one.client.changes(who).of_client()).count()
        };
        let (now, then) = (looks_like_owner(client), looks_like_owner(&before.client));
        let thief_came_first = if time_ms >= before.time_ms { now > then } else { now >= then };
        let presenter_is_thief = then > now;
        let token_gained = gained || thief_came_first;
        Some(Reuse { before: Some(before.clone()), changes, gap_ms, successor_used, thief_came_first, presenter_is_thief, token_gained })
    }

    fn remember(&mut self, event: &Event<'_>, presented: u64, issued: u64, client: ClientPrint, config: &Config) {
        if self.rotations.len() >= ROTATIONS_MAX
            && let Some((oldest, _)) = self.rotations.iter().enumerate().min_by_key(|(_, one)| one.time_ms)
        {
            self.rotations.remove(oldest);
        }
        let last_ms = self.rotations.iter().map(|one| one.time_ms).fold(event.time_ms(), i64::max);
        self.expires_ms = last_ms.saturating_add(config.lineage_kept_ms);
        self.rotations.push(Rotation {
            presented,
            issued,
            time_ms: event.time_ms(),
            used_ms: self.rotations.iter().filter(|one| one.presented == issued).map(|one| one.time_ms).min().unwrap_or(i64::MAX),
            client,
            ip: event.ip(),
            session: event.session().map(Into::into),
            event: event.id().into(),
        });
    }
}

/// Half of the keyed hash: enough among the few tokens of one user.
fn short(token: TokenHash) -> u64 {
    token.0.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
