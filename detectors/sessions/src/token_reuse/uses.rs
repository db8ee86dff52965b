//! The uses of one session or token: which clients, in which turns, and when it ended.

use super::{Config, Step};
use bartizan_core::client::short;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Changes, ClientPrint, Event, KeyKind, Retained, TokenHash, heap_bytes};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Clients told apart; further ones are not followed.
const CLIENTS_MAX: usize = 6;
/// Turns remembered; beyond them the oldest goes.
const TURNS_MAX: usize = 12;
/// How long a session is remembered after its last event.
const KEPT_MS: i64 = DAY_MS;

/// A client of the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    print: ClientPrint,
    /// User agent and JA4 to the letter: equal ones need no closer look.
    exact: u32,
    first_ms: i64,
    pub ip: Option<IpAddr>,
    pub event: Box<str>,
    /// Did it change something or get a token?
    pub changed: bool,
}

/// Uses by one client with no other client's use between them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Turn {
    client: u8,
    first_ms: i64,
    last_ms: i64,
}

/// What proves the theft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Proof {
    /// The owner, the intruder, the owner again, or the other way round.
    Turns { span_ms: i64 },
    /// Used so long after its end.
    AfterEnd { after_ms: i64 },
}

/// A theft: by which client, and what proves it.
pub(super) struct Theft {
    pub proof: Proof,
    pub changes: Changes,
    pub intruder: usize,
    /// Was it told before?
    pub again: bool,
    /// Did it get nowhere?
    pub refused: bool,
    /// First event of what proves it.
    pub first_ms: i64,
}

/// The uses of one session or token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Uses {
    start_ms: i64,
    last_ms: i64,
    ended_ms: i64,
    /// The latest revoked token of a session, and when.
    revoked: Option<(TokenHash, i64)>,
    user: u32,
    /// Several users under one id: whatever it is, it is no session.
    is_shared: bool,
    clients: Vec<Seen>,
    turns: Vec<Turn>,
    /// The stranger, and what proved it.
    intruder: Option<(u8, Proof)>,
}

impl Retained for Uses {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn heap_bytes(&self) -> usize {
        let lists = heap_bytes(size_of_val(self.clients.as_slice())) + heap_bytes(size_of_val(self.turns.as_slice()));
        lists + self.clients.iter().map(|seen| heap_bytes(seen.event.len())).sum::<usize>()
    }

    fn worth(&self) -> u8 {
        if self.intruder.is_some() {
            3
        } else {
            u8::from(self.clients.len() > 1) + u8::from(self.ended_ms < i64::MAX || self.revoked.is_some())
        }
    }
}

impl Uses {
    /// A session first seen at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self {
            start_ms: time_ms,
            last_ms: time_ms,
            ended_ms: i64::MAX,
            revoked: None,
            user: 0,
            is_shared: false,
            clients: Vec::new(),
            turns: Vec::new(),
            intruder: None,
        }
    }

    /// A client by its number.
    pub fn client(&self, number: usize) -> Option<&Seen> {
        self.clients.get(number)
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event<'_>, step: Step, config: &Config) -> Option<Theft> {
        let time_ms = event.time_ms();
        if step == Step::Start && time_ms > self.ended_ms {
            *self = Self::new(time_ms);
        }
        self.start_ms = self.start_ms.min(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
        if self.is_anybodys(short(event.key(KeyKind::User))) {
            return None;
        }
        if step == Step::Revoke {
            // Who revokes may be an administrator, so the event tells nothing of the session's clients.
            return self.revoke(event, config);
        }
        let client = self.client_of(event)?;
        if step == Step::Change
            && let Some(seen) = self.clients.get_mut(client)
        {
            seen.changed = true;
        }
        self.take_turn(client as u8, time_ms);
        if step == Step::SignOut {
            self.ended_ms = self.ended_ms.min(time_ms);
        }
        if let Some((intruder, proof)) = &self.intruder {
            let (intruder, proof) = (usize::from(*intruder), proof.clone());
            let changes = self.change_from_owner(client);
            return (intruder == client).then_some(Theft { proof, changes, intruder, again: true, refused: false, first_ms: time_ms });
        }
        let theft = self.used_after(self.end_for(event), config).or_else(|| self.in_turns(config));
        self.told(theft)
    }

    /// When the session, or the token that this event presents, ended.
    fn end_for(&self, event: &Event<'_>) -> i64 {
        match self.revoked {
            Some((token, revoked_ms)) if event.token() == Some(token) => self.ended_ms.min(revoked_ms),
            _ => self.ended_ms,
        }
    }

    /// A refused use: an attempt, if it comes after the end and from a stranger beyond doubt.
    pub fn refused(&mut self, event: &Event<'_>, config: &Config) -> Option<Theft> {
        let (time_ms, ended_ms) = (event.time_ms(), self.end_for(event));
        if self.is_shared || time_ms <= ended_ms.saturating_add(config.end_grace_ms) {
            return None;
        }
        let print = ClientPrint::of(event);
        // Whoever stole it before is none of its clients.
        let thief = self.intruder.as_ref().map(|(number, _)| usize::from(*number));
        let mut before = self.clients.iter().enumerate().filter(|(number, seen)| seen.first_ms <= ended_ms && Some(*number) != thief);
        if self.clients.is_empty() || !before.all(|(_, seen)| seen.print.changes(&print).count() >= 2) {
            return None;
        }
        let changes = self.clients.get(self.owner())?.print.changes(&print);
        let proof = Proof::AfterEnd { after_ms: time_ms.saturating_sub(ended_ms) };
        Some(Theft { proof, changes, intruder: usize::MAX, again: false, refused: true, first_ms: time_ms })
    }

    fn is_anybodys(&mut self, user: u32) -> bool {
        if self.user == 0 {
            self.user = user;
        }
        self.is_shared |= user != 0 && self.user != user;
        self.is_shared
    }

    /// The revocation of one token of a session leaves the session's other tokens alone.
    fn revoke(&mut self, event: &Event<'_>, config: &Config) -> Option<Theft> {
        if let (Some(token), Some(_)) = (event.token(), event.session()) {
            self.revoked = Some((token, event.time_ms()));
            return None;
        }
        self.ended_ms = self.ended_ms.min(event.time_ms());
        let theft = if self.intruder.is_none() { self.used_after(self.ended_ms, config) } else { None };
        self.told(theft)
    }

    fn told(&mut self, theft: Option<Theft>) -> Option<Theft> {
        if let Some(theft) = &theft {
            self.intruder = Some((theft.intruder as u8, theft.proof.clone()));
        }
        theft
    }

    /// The number of the event's client; `None` when it says nothing or there are too many.
    fn client_of(&mut self, event: &Event<'_>) -> Option<usize> {
        let exact = short(event.key(KeyKind::Client));
        let (subnet, device) = (short(event.key(KeyKind::Subnet)), short(event.key(KeyKind::Device)));
        let time_ms = event.time_ms();
        let alike = |seen: &Seen| seen.exact == exact && seen.print.subnet == subnet && seen.print.device == device;
        let known = self.clients.iter().position(alike).or_else(|| {
            let print = ClientPrint::of(event);
            self.clients.iter().position(|seen| seen.print.changes(&print) == Changes::default())
        });
        if let Some(seen) = known.and_then(|number| self.clients.get_mut(number)) {
            seen.first_ms = seen.first_ms.min(time_ms);
            return known;
        }
        let print = ClientPrint::of(event);
        if print.is_blank() || self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        self.clients.push(Seen { print, exact, first_ms: time_ms, ip: event.ip(), event: event.id().into(), changed: false });
        Some(self.clients.len() - 1)
    }

    /// Puts a use where its time says.
    fn take_turn(&mut self, client: u8, time_ms: i64) {
        let next = self.turns.partition_point(|turn| turn.first_ms <= time_ms);
        let before = next.checked_sub(1).and_then(|index| self.turns.get(index)).copied();
        match before {
            Some(before) if before.client == client => {
                if let Some(turn) = self.turns.get_mut(next - 1) {
                    turn.last_ms = turn.last_ms.max(time_ms);
                }
                return;
            }
            // A late use within another client's turn parts that turn.
            Some(before) if before.last_ms > time_ms => {
                if let Some(turn) = self.turns.get_mut(next - 1) {
                    turn.last_ms = turn.first_ms;
                }
                self.turns.insert(next, Turn { first_ms: before.last_ms, ..before });
            }
            _ => {}
        }
        match self.turns.get_mut(next) {
            Some(turn) if turn.client == client => turn.first_ms = time_ms,
            _ => self.turns.insert(next, Turn { client, first_ms: time_ms, last_ms: time_ms }),
        }
        while self.turns.len() > TURNS_MAX {
            self.turns.remove(0);
        }
    }

    /// The owner, as far as one can tell: who was there first.
    fn owner(&self) -> usize {
        self.clients.iter().enumerate().min_by_key(|(_, seen)| seen.first_ms).map_or(0, |(number, _)| number)
    }

    fn changes(&self, a: usize, b: usize) -> Changes {
        match (self.clients.get(a), self.clients.get(b)) {
            (Some(a), Some(b)) => a.print.changes(&b.print),
            _ => Changes::default(),
        }
    }

    fn change_from_owner(&self, client: usize) -> Changes {
        self.changes(self.owner(), client)
    }

    /// Two clients that cannot be one that moved, was updated, or shares the session from its start.
    fn are_strangers(&self, a: usize, b: usize, config: &Config) -> bool {
        let changes = self.changes(a, b);
        let settled_ms = self.start_ms.saturating_add(config.settle_ms);
        let from_start = |number: usize| self.clients.get(number).is_some_and(|seen| seen.first_ms <= settled_ms);
        let differ = (changes.network && changes.of_client()) || changes.count() >= 3;
        differ && !(from_start(a) && from_start(b))
    }

    fn in_turns(&self, config: &Config) -> Option<Theft> {
        for (index, middle) in self.turns.iter().enumerate().skip(1) {
            let (earlier, later) = (self.turns.get(..index)?, self.turns.get(index + 1..)?);
            for first in earlier.iter().rev() {
                let Some(last) = later.iter().find(|turn| turn.client == first.client) else { continue };
                let span_ms = last.first_ms.saturating_sub(first.last_ms);
                let (a, b) = (usize::from(first.client), usize::from(middle.client));
                if a == b || span_ms > config.turns_window_ms || !self.are_strangers(a, b, config) {
                    continue;
                }
                let intruder = if b == self.owner() { a } else { b };
                let proof = Proof::Turns { span_ms };
                return Some(Theft { proof, changes: self.changes(a, b), intruder, again: false, refused: false, first_ms: first.last_ms });
            }
        }
        None
    }

    /// A use past the end and its grace by a client that is none of those before the end.
    fn used_after(&self, ended_ms: i64, config: &Config) -> Option<Theft> {
        let allowed_ms = ended_ms.saturating_add(config.end_grace_ms);
        let before = |seen: &&Seen| seen.first_ms <= allowed_ms;
        if ended_ms == i64::MAX || !self.clients.iter().any(|seen| before(&seen)) {
            return None;
        }
        let stranger = |seen: &Seen| {
            let mut owners = self.clients.iter().filter(before);
            seen.first_ms > allowed_ms && owners.all(|owner| owner.print.changes(&seen.print).count() > 0)
        };
        let intruder = self.clients.iter().position(stranger)?;
        let first_ms = self.clients.get(intruder)?.first_ms;
        let proof = Proof::AfterEnd { after_ms: first_ms.saturating_sub(ended_ms) };
        Some(Theft { proof, changes: self.change_from_owner(intruder), intruder, again: false, refused: false, first_ms })
    }
}
