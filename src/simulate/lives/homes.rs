//! Where people live, and the lines they come by.

use super::part::Part;
use super::{Cue, crowd, together};
use crate::simulate::atlas::Class;
use crate::simulate::people::{Person, Stay, home_town, hotel, make_laptop, make_phone, newcomer, trip_to};
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// Somebody moves to another town of the country, or of the same one: new lines, old devices.
pub(super) fn moving_house(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.office.is_none())?;
    let from = who.person.town;
    let country = stage.atlas.town(from).map(|town| town.place.country).unwrap_or_default();
    let towns: Vec<u16> = stage.atlas.towns_in(country).collect();
    let to = towns.get(stage.dice.index(towns.len())).copied().unwrap_or(from);
    let drive_ms = stage.atlas.journey_ms(from, to);
    who.waits(stage, drive_ms, drive_ms + 8 * HOUR_MS);
    who.person.moves_to(stage, to);
    who.takes_phone().on_carrier(stage).enters(stage).browses(stage, 3).waits(stage, HOUR_MS, 6 * HOUR_MS);
    who.takes_laptop().at_home(stage).enters(stage).browses(stage, 4).changes(stage, "profile_changed", "");
    who.ends(stage)
}

/// A family flies abroad together; the visits from there carry the label.
pub(super) fn family_holiday(stage: &mut Stage, cue: Cue) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let home = home_town(stage, tenant);
    let family = crowd(stage, cue.now_ms, 2..5, |_, p| p.tenant == tenant && p.town == home && p.vpn.is_none())?;
    let country = |stage: &Stage, town| stage.atlas.town(town).map(|town| town.place.country);
    let town = (0..32).find_map(|_| {
        let town = stage.atlas.any_town(&mut stage.dice);
        (country(stage, town) != country(stage, home)).then_some(town)
    })?;
    let stay = Stay { town, hotel: hotel(stage, town)?, stay_ms: stage.dice.between(2 * DAY_MS, 4 * DAY_MS), kind: cue.kind };
    let depart_ms = cue.now_ms + stage.dice.between(HOUR_MS, 6 * HOUR_MS);
    for index in family {
        let Some(person) = stage.people.get(index).copied() else { continue };
        let trip = trip_to(stage, &person, stay, depart_ms);
        if let Some(person) = stage.people.get_mut(index) {
            person.trip = Some(trip);
            person.been_in = Some(town);
        }
    }
    Some(())
}

/// A family uses one account on all that it has: tablets, a second laptop, a child's phone on the way to school.
pub(super) fn family_account(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| !p.mfa)?;
    let mut devices = vec![(who.person.laptop, who.session), (who.person.phone, who.person.phone_session)];
    for _ in 0..stage.dice.between(2, 3) {
        devices.push((make_laptop(stage), None));
    }
    devices.push((make_phone(stage), None));
    let last = devices.len() - 1;
    for _ in 0..3 {
        for (number, (client, session)) in devices.iter_mut().enumerate() {
            who.takes(*client).session = *session;
            if number == last {
                who.on_carrier(stage)
            } else {
                who.at_home(stage)
            };
            who.enters(stage).browses(stage, 2).waits(stage, MINUTE_MS, 20 * MINUTE_MS);
            *session = who.session;
        }
    }
    who.takes_laptop();
    who.ends(stage)
}

/// Students move into a house with one address; on the evening of the enrolment many try again and again.
pub(super) fn dormitory(stage: &mut Stage, cue: Cue) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let town = home_town(stage, tenant);
    let network = stage.atlas.pick(&mut stage.dice, town, Class::Residential, false)?;
    let number = stage.dice.bits();
    let house = stage.atlas.address(network, number);
    let most = (stage.pace.attempts_max / 5).clamp(30, 300);
    let count = stage.dice.between(most / 2, most);
    let mut students = Vec::new();
    for _ in 0..count {
        let person = newcomer(stage, tenant, town, None, cue.now_ms);
        let person = Person { home: network, home_v6: None, shared_home: Some(house), vpn: None, ..person };
        students.extend(stage.welcome(person));
    }
    together(stage, cue, &students, 2 * HOUR_MS, |stage, who| {
        let mistakes = stage.dice.of(&[0, 0, 1, 1, 2, 4]);
        who.misses(stage, mistakes, "bad_password").gets_in(stage).browses(stage, 1);
    })
}

/// The interface identifier of a home's IPv6 address changes every few hours, under one session.
pub(super) fn ipv6_privacy(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.home_v6.is_some() && p.shared_home.is_none())?;
    let network = who.person.home_v6.unwrap_or(who.person.home);
    let line = stage.dice.bits() & !0xff;
    for step in 0..stage.dice.between(4, 7) as u64 {
        let ip = stage.atlas.address(network, line | step);
        who.at(ip).enters(stage).browses(stage, 3).waits(stage, 2 * HOUR_MS, 4 * HOUR_MS);
    }
    who.ends(stage)
}

/// A house in the country gets a dish: the operator leads it into the net now in this town, now in that.
pub(super) fn satellite_home(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.office.is_none() && p.vpn.is_none())?;
    let near = stage.atlas.pick(&mut stage.dice, who.person.town, Class::Satellite, false);
    let dish = near.or_else(|| stage.atlas.anywhere(&mut stage.dice, Class::Satellite)).unwrap_or(who.person.home);
    (who.person.home, who.person.home_v6) = (dish, None);
    for _ in 0..stage.dice.between(3, 6) {
        let other = stage.atlas.elsewhere(&mut stage.dice, dish).unwrap_or(dish);
        let number = stage.dice.between(0, 50) as u64;
        let ip = stage.atlas.address(stage.dice.of(&[dish, other]), number);
        who.at(ip).enters(stage).browses(stage, 3).waits(stage, 20 * MINUTE_MS, 3 * HOUR_MS);
    }
    who.ends(stage)
}

/// The line is down: the laptop goes on by way of the phone.
pub(super) fn mobile_hotspot(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, p| p.carrier.is_some())?;
    who.enters(stage).browses(stage, 4);
    who.on_carrier(stage).browses(stage, 5).refreshes(stage).browses(stage, 3).waits(stage, 5 * MINUTE_MS, 40 * MINUTE_MS);
    who.at_home(stage).browses(stage, 3);
    who.ends(stage)
}

/// A morning with the laptop in a café, among people whom nobody knows.
pub(super) fn cafe_wifi(stage: &mut Stage, cue: Cue) -> Option<()> {
    let mut who = Part::of_one(stage, cue, |_, _| true)?;
    let cafe = hotel(stage, who.person.town).unwrap_or(who.actor.ip);
    who.waits(stage, 20 * MINUTE_MS, HOUR_MS).at(cafe).enters(stage);
    who.browses(stage, 5).waits(stage, 10 * MINUTE_MS, 2 * HOUR_MS).enters(stage).browses(stage, 3);
    who.ends(stage)
}
