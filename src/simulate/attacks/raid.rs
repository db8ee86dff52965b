//! An attack on one account: how it begins and how it ends.
//!
//! Whoever wants an account needs somebody on whom the attack can work and a place to act from. It begins when the
//! victim is free, as what the victim does in the same minutes is planned with it, and in the end the victim is written
//! back: attacked, and busy until then.

use super::{Attack, owner_goes_on, thief_of};
use crate::simulate::labels::LabelId;
use crate::simulate::people::Person;
use crate::simulate::stage::Stage;
use crate::simulate::visits::Actor;
use bartizan_core::time::{DAY_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// Somebody who fits, has not been attacked in the last days, and is not on a journey.
pub(super) fn victim(stage: &mut Stage, now_ms: i64, fits: impl Fn(&Stage, &Person) -> bool) -> Option<(usize, Person)> {
    let count = stage.people.len();
    let busy_until_max_ms = now_ms + if stage.pace.haste { SECOND_MS } else { 10 * MINUTE_MS };
    (0..400).find_map(|_| {
        let index = stage.dice.index(count);
        let person = *stage.people.get(index)?;
        let settled = person.trip.is_none() && person.next_trip_ms > now_ms + DAY_MS && now_ms - person.attacked_ms > 3 * DAY_MS;
        (settled && person.busy_until_ms <= busy_until_max_ms && fits(stage, &person)).then_some((index, person))
    })
}

/// Writes the victim back: attacked, and busy until `until_ms`.
pub(super) fn settle(stage: &mut Stage, index: usize, mut person: Person, until_ms: i64) {
    person.attacked_ms = until_ms;
    person.busy_until_ms = person.busy_until_ms.max(until_ms);
    if let Some(slot) = stage.people.get_mut(index) {
        *slot = person;
    }
}

/// An attack on one account in the making.
pub(super) struct Raid {
    index: usize,
    /// The victim.
    pub(super) person: Person,
    pub(super) label: LabelId,
    /// How far it has come.
    pub(super) time_ms: i64,
}

impl Raid {
    /// Finds a victim who `fits`, and by `whence` what it is done from, mostly an address. `None`: there is none.
    pub(super) fn open<T>(
        stage: &mut Stage,
        attack: Attack,
        now_ms: i64,
        fits: impl Fn(&Stage, &Person) -> bool,
        whence: impl FnOnce(&mut Stage, &Person) -> Option<T>,
    ) -> Option<(Self, T)> {
        let victim = victim(stage, now_ms, fits)?;
        Self::on(victim, stage, attack, now_ms, whence)
    }

    /// The same with a victim who was found already.
    pub(super) fn on<T>(
        (index, person): (usize, Person),
        stage: &mut Stage,
        attack: Attack,
        now_ms: i64,
        whence: impl FnOnce(&mut Stage, &Person) -> Option<T>,
    ) -> Option<(Self, T)> {
        let from = whence(stage, &person)?;
        let label = stage.open_label(attack.plan(), person.tenant);
        let time_ms = now_ms.max(person.busy_until_ms) + 500;
        Some((Self { index, person, label, time_ms }, from))
    }

    /// Somebody who acts as the victim from elsewhere.
    pub(super) fn thief(&self, stage: &mut Stage, ip: IpAddr) -> Actor {
        thief_of(stage, &self.person, self.label, ip)
    }

    /// The victim at home, at the laptop, in what belongs to the attack.
    pub(super) fn owner(&self, stage: &mut Stage) -> Actor {
        let ip = self.person.home_ip(stage, self.time_ms);
        Actor::owner(&self.person, false, ip, self.label)
    }

    /// The victim goes on as ever, at the laptop.
    pub(super) fn owner_goes_on(&mut self, stage: &mut Stage) {
        self.time_ms = owner_goes_on(stage, &mut self.person, self.time_ms);
    }

    /// It is over. `hit`: the thief got in.
    pub(super) fn close(self, stage: &mut Stage, hit: bool) {
        stage.book.seal(self.label, hit);
        settle(stage, self.index, self.person, self.time_ms);
    }
}
