//! Offices, colleagues, and people whose work is to look at what others are.

use super::{Cue, Team, crowd, find, is_free, team, together};
use crate::simulate::atlas::Class;
use crate::simulate::clients::{Client, Family};
use crate::simulate::people::{Person, Stay, hotel, newcomer, trip_to};
use crate::simulate::stage::Stage;
use crate::simulate::tenants::TENANTS;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// People of an office who take part in what concerns all of it.
const TEAM_MAX: usize = 60;
/// Below that it is a morning like any other.
const TEAM_MIN: usize = 5;

/// All passwords of an office have expired: from one address, within half an hour, many people fail
/// once or twice and then sign in.
pub(super) fn office_morning(stage: &mut Stage, cue: Cue) -> Option<()> {
    let Team { office, people, .. } = team(stage, cue.now_ms, 7..12, TEAM_MIN..TEAM_MAX)?;
    together(stage, cue, &people, 30 * MINUTE_MS, |stage, who| {
        who.at(office.ip);
        for _ in 0..stage.dice.between(0, 2) {
            let reason = stage.dice.of(&["expired", "bad_password"]);
            who.misses_each(stage, 1, reason, (8 * SECOND_MS, 50 * SECOND_MS));
        }
        who.gets_in(stage);
    })
}

/// Nine o'clock: the portal signs a whole office in within minutes.
pub(super) fn sso_morning(stage: &mut Stage, cue: Cue) -> Option<()> {
    let Team { office, people, .. } = team(stage, cue.now_ms, 9..10, TEAM_MIN..TEAM_MAX)?;
    together(stage, cue, &people, 8 * MINUTE_MS, |stage, who| {
        who.at(office.ip).signs_in(stage).browses(stage, 2);
    })
}

/// Up to sixty people begin on one day: new laptops, first passwords changed, factors set up, at one address.
pub(super) fn new_employees(stage: &mut Stage, cue: Cue) -> Option<()> {
    let Team { number, office, .. } = team(stage, cue.now_ms, 8..11, 1..2)?;
    let most = stage.pace.attempts_max.min(600) / 10;
    let mut people = Vec::new();
    for _ in 0..stage.dice.between(most * 2 / 3, most) {
        let person = newcomer(stage, office.tenant, office.town, Some(number), cue.now_ms);
        people.extend(stage.welcome(person));
    }
    together(stage, cue, &people, 3 * HOUR_MS, |stage, who| {
        let mistakes = stage.dice.of(&[0, 0, 0, 1, 2]);
        who.at(office.ip).misses(stage, mistakes, "bad_password").gets_in(stage).changes_password(stage);
        who.changes(stage, "factor_added", "totp").browses(stage, 3);
    })
}

/// An office gets a VPN client. Its tunnel is split: the API goes through it, sign-ins go past it.
pub(super) fn office_vpn(stage: &mut Stage, cue: Cue) -> Option<()> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Vpn)?;
    let Team { office, people, .. } = team(stage, cue.now_ms, 8..16, 3..TEAM_MAX)?;
    let exits = [0, 1, 2].map(|number| stage.atlas.address(network, number));
    together(stage, cue, &people, 3 * HOUR_MS, |stage, who| {
        let exit = stage.dice.of(&exits);
        who.at(office.ip).enters(stage).browses(stage, 2).waits(stage, MINUTE_MS, 10 * MINUTE_MS);
        who.at(exit).browses(stage, 3).at(office.ip).refreshes(stage).at(exit).browses(stage, 3);
    })
}

/// A company was bought: people of another organisation's office appear in this one, with the devices they had.
pub(super) fn merger(stage: &mut Stage, cue: Cue) -> Option<()> {
    let Team { office, people, .. } = team(stage, cue.now_ms, 8..16, 3..TEAM_MAX)?;
    let step = stage.dice.between(1, TENANTS.len() as i64 - 1) as u8;
    let tenant = (office.tenant + step) % TENANTS.len() as u8;
    let mut bought = Vec::new();
    for index in people {
        let Some(known) = stage.people.get(index).copied() else { continue };
        let person = newcomer(stage, tenant, office.town, None, cue.now_ms);
        let Person { home, home_v6, carrier, carrier_v6, laptop, phone, .. } = known;
        bought.extend(stage.welcome(Person { home, home_v6, carrier, carrier_v6, laptop, phone, ..person }));
    }
    together(stage, cue, &bought, 2 * HOUR_MS, |stage, who| {
        who.at(office.ip).gets_in(stage).changes(stage, "factor_added", "totp").browses(stage, 3);
    })
}

/// An address of another organisation's office, with the town it is in.
fn client_office(stage: &mut Stage, person: &Person) -> Option<(u16, IpAddr)> {
    let near: Vec<_> = stage.offices.iter().filter(|o| o.tenant != person.tenant).copied().collect();
    (0..near.len()).find_map(|_| {
        let office = near.get(stage.dice.index(near.len()))?;
        (stage.atlas.distance_km(person.town, office.town) < 2_500.0).then_some((office.town, office.ip))
    })
}

/// A consultant works at a client's office: behind an address that belongs to others. Where it is far,
/// the visits of the journey carry the label.
pub(super) fn consultant(stage: &mut Stage, cue: Cue) -> Option<()> {
    let index = find(stage, cue.now_ms, |_, p| p.office.is_some())?;
    let person = *stage.people.get(index)?;
    let (town, ip) = client_office(stage, &person)?;
    if town != person.town {
        let stay = Stay { town, hotel: ip, stay_ms: stage.dice.between(DAY_MS, 3 * DAY_MS), kind: cue.kind };
        let trip = trip_to(stage, &person, stay, cue.now_ms + HOUR_MS);
        let person = stage.people.get_mut(index)?;
        (person.trip, person.been_in) = (Some(trip), Some(town));
        return Some(());
    }
    together(stage, cue, &[index], 0, |stage, who| {
        who.waits(stage, 20 * MINUTE_MS, HOUR_MS).at(ip);
        for _ in 0..3 {
            who.enters(stage).browses(stage, 4).waits(stage, 30 * MINUTE_MS, 2 * HOUR_MS);
        }
    })
}

/// A conference: people of one organisation from many towns in one hotel; their visits there carry the label.
pub(super) fn conference(stage: &mut Stage, cue: Cue) -> Option<()> {
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let town = stage.atlas.any_town(&mut stage.dice);
    let hotel = hotel(stage, town)?;
    let people = crowd(stage, cue.now_ms, 8..30, |stage, p| {
        p.tenant == tenant && p.town != town && p.vpn.is_none() && stage.atlas.distance_km(p.town, town) < 5_000.0
    })?;
    let opens_ms = cue.now_ms + 14 * HOUR_MS;
    let stay_ms = stage.dice.between(DAY_MS, 2 * DAY_MS);
    for index in people {
        let Some(person) = stage.people.get(index).copied() else { continue };
        let depart_ms = opens_ms - stage.atlas.journey_ms(person.town, town) + stage.dice.between(0, 2 * HOUR_MS);
        let trip = trip_to(stage, &person, Stay { town, hotel, stay_ms, kind: cue.kind }, depart_ms);
        if let Some(person) = stage.people.get_mut(index) {
            (person.trip, person.been_in) = (Some(trip), Some(town));
        }
    }
    Some(())
}

/// An assistant at the office signs in as the manager, who goes on with the phone meanwhile.
pub(super) fn assistant(stage: &mut Stage, cue: Cue) -> Option<()> {
    let Team { office, people, .. } = team(stage, cue.now_ms, 9..17, 2..TEAM_MAX)?;
    let (manager, helper) = (*people.first()?, *people.last()?);
    let device = stage.people.get(helper)?.laptop;
    together(stage, cue, &[manager], 0, |stage, who| {
        who.takes_phone().on_carrier(stage).enters(stage).browses(stage, 2).waits(stage, MINUTE_MS, 20 * MINUTE_MS);
        let mut at_desk = None;
        for _ in 0..3 {
            who.takes(device).at(office.ip).session = at_desk;
            who.enters(stage).browses(stage, 4).waits(stage, MINUTE_MS, 30 * MINUTE_MS);
            at_desk = who.session;
            who.takes_phone().on_carrier(stage).enters(stage).browses(stage, 2).waits(stage, MINUTE_MS, 10 * MINUTE_MS);
        }
    })
}

/// One device signs in as one person after another, and out again each time.
fn one_after_another(stage: &mut Stage, cue: Cue, people: &[usize], device: Client, ip: IpAddr) -> Option<()> {
    let mut free_ms = cue.now_ms;
    together(stage, cue, people, 0, |stage, who| {
        who.time_ms = free_ms;
        who.takes(device).at(ip).waits(stage, MINUTE_MS, 6 * MINUTE_MS);
        let mistakes = stage.dice.of(&[0, 0, 0, 1]);
        who.misses(stage, mistakes, "bad_password").signs_in(stage).browses(stage, 3).signs_out(stage);
        free_ms = who.time_ms;
    })
}

/// A travel agent, far from most of the customers, sees to the bookings of each in their name.
pub(super) fn travel_agent(stage: &mut Stage, cue: Cue) -> Option<()> {
    let agency = find(stage, cue.now_ms, |_, p| p.office.is_some())?;
    let agent = *stage.people.get(agency)?;
    let ip = stage.offices.get(usize::from(agent.office?))?.ip;
    let customers = crowd(stage, cue.now_ms, 4..12, |_, p| p.tenant == agent.tenant && !p.mfa && p.number != agent.number)?;
    one_after_another(stage, cue, &customers, agent.laptop, ip)
}

/// People of one town, at least so many.
fn townsfolk(stage: &mut Stage, now_ms: i64, size: std::ops::Range<usize>) -> Option<(Person, Vec<usize>)> {
    let first = find(stage, now_ms, |_, _| true)?;
    let first = *stage.people.get(first)?;
    let people = crowd(stage, now_ms, size, |_, p| p.tenant == first.tenant && p.town == first.town)?;
    Some((first, people))
}

/// A machine in a hall that everybody may use.
pub(super) fn kiosk(stage: &mut Stage, cue: Cue) -> Option<()> {
    let (first, people) = townsfolk(stage, cue.now_ms, 3..25)?;
    let hall = hotel(stage, first.town)?;
    let number = stage.number();
    let device = Client { family: Family::ChromeWindows, device: number, update_lag_days: 30 };
    one_after_another(stage, cue, &people, device, hall)
}

/// The desk of a hotel checks guests in with the guests' own phones: one address, many people, within minutes.
pub(super) fn hotel_desk(stage: &mut Stage, cue: Cue) -> Option<()> {
    let (first, people) = townsfolk(stage, cue.now_ms, 3..25)?;
    let lobby = hotel(stage, first.town)?;
    together(stage, cue, &people, 20 * MINUTE_MS, |stage, who| {
        let mistakes = stage.dice.of(&[0, 1, 1, 2]);
        who.takes_phone().at(lobby).misses(stage, mistakes, "bad_password").signs_in(stage).browses(stage, 2);
    })
}

/// Desktops in a data centre: many people at home, all of them behind its one address.
pub(super) fn remote_desktop(stage: &mut Stage, cue: Cue) -> Option<()> {
    let network = stage.atlas.anywhere(&mut stage.dice, Class::Hosting)?;
    let number = stage.dice.bits();
    let centre = stage.atlas.address(network, number);
    let tenant = stage.dice.index(TENANTS.len()) as u8;
    let people = crowd(stage, cue.now_ms, 6..40, |_, p| p.tenant == tenant && p.office.is_some())?;
    together(stage, cue, &people, 4 * HOUR_MS, |stage, who| {
        let desktop = Client { family: Family::Edge, device: stage.number(), update_lag_days: 20 };
        who.enters(stage).browses(stage, 1).waits(stage, MINUTE_MS, 5 * MINUTE_MS);
        who.takes(desktop).at(centre).signs_in(stage).browses(stage, 5).waits(stage, 10 * MINUTE_MS, HOUR_MS).browses(stage, 3);
        who.takes_laptop().at_home(stage).enters(stage).browses(stage, 1);
    })
}

/// The books of the year are fetched, document by document in the order of their numbers.
pub(super) fn export_job(stage: &mut Stage, cue: Cue) -> Option<()> {
    let Team { office, people, .. } = team(stage, cue.now_ms, 8..17, 1..2)?;
    let first = stage.dice.between(1_000, 80_000) as u64;
    let most = stage.pace.attempts_max * 2;
    let pages = stage.dice.between(most / 2, most) as u64;
    together(stage, cue, people.get(..1)?, 0, |stage, who| {
        who.at(office.ip).enters(stage).browses(stage, 2);
        for page in first..first + pages {
            who.waits(stage, 300, 900).fetches(stage, "/api/v1/export/invoices/#", page, 200);
        }
    })
}

/// A support agent's day: the invoices of many customers, each asked for by somebody who called.
pub(super) fn support_day(stage: &mut Stage, cue: Cue) -> Option<()> {
    let office = *stage.offices.first()?;
    let clock = stage.atlas.clock(office.town, cue.now_ms);
    if !clock.is_workday() || !(8..11).contains(&clock.hour) {
        return None;
    }
    // The same two or three people do this all the time.
    let agents: Vec<usize> = stage.people.iter().zip(0..).filter(|(p, _)| p.office == Some(0)).map(|(_, index)| index).take(3).collect();
    for index in agents {
        if !stage.people.get(index).is_some_and(|person| is_free(person, cue.now_ms)) {
            continue;
        }
        together(stage, cue, &[index], HOUR_MS, |stage, who| {
            who.at(office.ip).gets_in(stage);
            for _ in 0..stage.dice.between(40, 160) {
                let object = stage.dice.bits() % 90_000 + 1;
                let status = if stage.dice.chance(0.02) { 404 } else { 200 };
                who.waits(stage, MINUTE_MS, 4 * MINUTE_MS).fetches(stage, "/api/v1/invoices/#", object, status);
            }
        });
    }
    Some(())
}
