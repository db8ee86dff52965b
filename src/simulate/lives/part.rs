//! One person's part in a happening: who, at which device and address, and what they do next.
//!
//! What is done takes its time: each step moves the part's clock on.

use super::{Cue, find};
use crate::simulate::clients::Client;
use crate::simulate::draft::{Draft, Request};
use crate::simulate::labels::LabelId;
use crate::simulate::people::{Person, Session};
use crate::simulate::stage::Stage;
use crate::simulate::visits::{ACCESS_TOKEN_MS, Actor, open_session, prove_factor, refresh_once, request, rotated, send};
use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// A person in the middle of something.
pub(super) struct Part {
    index: usize,
    pub(super) person: Person,
    pub(super) actor: Actor,
    /// The session at the device in hand.
    pub(super) session: Option<Session>,
    pub(super) time_ms: i64,
}

impl Part {
    /// Somebody who is free, at home at the laptop, under a label of their own.
    pub(super) fn of_one(stage: &mut Stage, cue: Cue, fits: impl Fn(&Stage, &Person) -> bool) -> Option<Self> {
        let index = find(stage, cue.now_ms, fits)?;
        let tenant = stage.people.get(index)?.tenant;
        let label = cue.open(stage, tenant);
        Self::of(stage, index, label, cue.now_ms)
    }

    /// A given person, at home at the laptop.
    pub(super) fn of(stage: &mut Stage, index: usize, label: LabelId, from_ms: i64) -> Option<Self> {
        let person = *stage.people.get(index)?;
        let ip = person.home_ip(stage, from_ms);
        let actor = Actor { by_owner: false, ..Actor::owner(&person, false, ip, label) };
        Some(Self { index, person, actor, session: person.laptop_session, time_ms: from_ms })
    }

    /// Goes on at another address.
    pub(super) fn at(&mut self, ip: IpAddr) -> &mut Self {
        self.actor.ip = ip;
        self
    }

    /// At the carrier's gateway, if the person has a carrier.
    pub(super) fn on_carrier(&mut self, stage: &mut Stage) -> &mut Self {
        let ip = self.person.carrier_ip(stage).unwrap_or(self.actor.ip);
        self.at(ip)
    }

    pub(super) fn at_home(&mut self, stage: &mut Stage) -> &mut Self {
        let ip = self.person.home_ip(stage, self.time_ms);
        self.at(ip)
    }

    /// Puts the device away and takes another one.
    pub(super) fn takes(&mut self, client: Client) -> &mut Self {
        self.stows();
        self.actor.client = client;
        self.session = match client.device {
            device if device == self.person.laptop.device => self.person.laptop_session,
            device if device == self.person.phone.device => self.person.phone_session,
            _ => None,
        };
        self
    }

    pub(super) fn takes_phone(&mut self) -> &mut Self {
        self.takes(self.person.phone)
    }

    pub(super) fn takes_laptop(&mut self) -> &mut Self {
        self.takes(self.person.laptop)
    }

    /// The phone is gone; from now on there is another one.
    pub(super) fn has_new_phone(&mut self, phone: Client) -> &mut Self {
        self.stows();
        self.person.phone = phone;
        self.person.phone_session = None;
        self.takes(phone)
    }

    /// The laptop is replaced, or shows itself as another one.
    pub(super) fn has_new_laptop(&mut self, laptop: Client) -> &mut Self {
        self.stows();
        self.person.laptop = laptop;
        self.person.laptop_session = None;
        self.takes(laptop)
    }

    fn stows(&mut self) {
        let device = self.actor.client.device;
        if device == self.person.laptop.device {
            self.person.laptop_session = self.session;
        } else if device == self.person.phone.device {
            self.person.phone_session = self.session;
        }
    }

    pub(super) fn waits(&mut self, stage: &mut Stage, low_ms: i64, high_ms: i64) -> &mut Self {
        self.time_ms += stage.dice.between(low_ms, high_ms);
        self
    }

    /// Fails to sign in, several times at the pace of somebody who types.
    pub(super) fn misses(&mut self, stage: &mut Stage, count: i64, reason: &'static str) -> &mut Self {
        self.misses_each(stage, count, reason, (5 * SECOND_MS, 40 * SECOND_MS))
    }

    /// The same, at a given pace.
    pub(super) fn misses_each(&mut self, stage: &mut Stage, count: i64, reason: &'static str, pause_ms: (i64, i64)) -> &mut Self {
        for _ in 0..count {
            stage.emit(Draft { reason, grant: "password", ..self.actor.draft(self.time_ms, "login", "failure") });
            self.waits(stage, pause_ms.0, pause_ms.1);
        }
        self
    }

    /// Signs in, with the second factor if there is one.
    pub(super) fn signs_in(&mut self, stage: &mut Stage) -> &mut Self {
        if self.person.mfa {
            self.time_ms = prove_factor(stage, self.actor, self.time_ms);
        }
        self.gets_in(stage)
    }

    /// Signs in by the password alone.
    pub(super) fn gets_in(&mut self, stage: &mut Stage) -> &mut Self {
        self.session = Some(open_session(stage, self.actor, self.time_ms));
        self.person.sign_ins = self.person.sign_ins.saturating_add(1);
        self.time_ms += SECOND_MS;
        self
    }

    /// Goes on with the session of the device, or signs in where that has ended.
    pub(super) fn enters(&mut self, stage: &mut Stage) -> &mut Self {
        let limit_ms = stage.tenant(self.person.tenant).session_days * DAY_MS;
        match self.session {
            Some(session) if self.time_ms - session.opened_ms < limit_ms => {
                if self.time_ms - session.refreshed_ms >= ACCESS_TOKEN_MS {
                    self.refreshes(stage)
                } else {
                    self
                }
            }
            _ => self.signs_in(stage),
        }
    }

    pub(super) fn refreshes(&mut self, stage: &mut Stage) -> &mut Self {
        if let Some(session) = self.session {
            let issued = stage.number();
            refresh_once(stage, self.actor, session, issued, self.time_ms);
            self.session = Some(rotated(session, issued, self.time_ms));
            self.time_ms += 200;
        }
        self
    }

    /// Some requests, as people make them.
    pub(super) fn browses(&mut self, stage: &mut Stage, count: i64) -> &mut Self {
        let Some(session) = self.session else { return self };
        for _ in 0..count {
            self.waits(stage, SECOND_MS, 20 * SECOND_MS);
            request(stage, self.actor, session, self.time_ms);
        }
        self
    }

    /// One request for something by its number.
    pub(super) fn fetches(&mut self, stage: &mut Stage, path: &'static str, object: u64, status: u16) -> &mut Self {
        let Some(session) = self.session else { return self };
        let bytes = if status == 200 { 2_400 } else { 190 };
        send(stage, self.actor, session, Request { method: "GET", path, object, status, bytes, duration_ms: 30 }, self.time_ms);
        self
    }

    pub(super) fn signs_out(&mut self, stage: &mut Stage) -> &mut Self {
        if let Some(session) = self.session.take() {
            stage.emit(Draft { session: session.id, ..self.actor.draft(self.time_ms, "logout", "success") });
            self.time_ms += SECOND_MS;
        }
        self
    }

    /// Changes something of the account: what, and which factor if it is one.
    pub(super) fn changes(&mut self, stage: &mut Stage, action: &'static str, factor: &'static str) -> &mut Self {
        let session = self.session.map_or(0, |session| session.id);
        stage.emit(Draft { session, action, factor, ..self.actor.draft(self.time_ms, "account_change", "success") });
        self.waits(stage, 20 * SECOND_MS, 2 * MINUTE_MS)
    }

    pub(super) fn changes_password(&mut self, stage: &mut Stage) -> &mut Self {
        let session = self.session.map_or(0, |session| session.id);
        stage.emit(Draft { session, ..self.actor.draft(self.time_ms, "password_change", "success") });
        self.waits(stage, 10 * SECOND_MS, MINUTE_MS)
    }

    /// Resets the password by a link in a mail.
    pub(super) fn resets_password(&mut self, stage: &mut Stage) -> &mut Self {
        stage.emit(self.actor.draft(self.time_ms, "password_reset", "success"));
        self.waits(stage, MINUTE_MS, 5 * MINUTE_MS)
    }

    /// The person is free again from now on.
    pub(super) fn leaves(mut self, stage: &mut Stage) {
        self.stows();
        self.person.was_seen(self.time_ms);
        self.person.busy_until_ms = self.person.busy_until_ms.max(self.time_ms + SECOND_MS);
        if let Some(slot) = stage.people.get_mut(self.index) {
            *slot = self.person;
        }
    }

    /// The end of what was one person's happening alone.
    pub(super) fn ends(self, stage: &mut Stage) -> Option<()> {
        let label = self.actor.label;
        self.leaves(stage);
        stage.book.seal(label, false);
        Some(())
    }
}
