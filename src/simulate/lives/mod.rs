//! Awkward but innocent happenings: what people, offices and services do that may look like an attack.
//!
//! One table lists them all. A happening plans its events at once, under a label that says what it
//! really was; whoever takes part is busy until it is over. Some only change a life (a journey, a clock
//! that goes wrong), and the visits of those concerned carry the label. Adding one is a function and a line.
//!
//! Deliberately absent: what visits themselves bring along (journeys, tunnels, carriers' gateways,
//! refresh races), which is in `visits`.

mod accounts;
mod devices;
mod homes;
mod part;
mod services;
mod tenants;
mod work;

use super::labels::{LabelId, Plan};
use super::people::{Office, Person};
use super::stage::Stage;
use part::Part;
pub(crate) use services::turn as service_turn;
use std::ops::Range;

/// Its turn: what it is called, and when it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cue {
    kind: &'static str,
    now_ms: i64,
}

impl Cue {
    fn open(self, stage: &mut Stage, tenant: u8) -> LabelId {
        stage.open_label(Plan::innocent(self.kind), tenant)
    }
}

/// Something that happens. `None` from `act`: nobody fits at the moment.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) kind: &'static str,
    /// Is it somebody's work, each day again?
    pub(crate) daily: bool,
    act: fn(&mut Stage, Cue) -> Option<()>,
}

impl Life {
    const fn once(kind: &'static str, act: fn(&mut Stage, Cue) -> Option<()>) -> Self {
        Self { kind, daily: false, act }
    }

    const fn daily(kind: &'static str, act: fn(&mut Stage, Cue) -> Option<()>) -> Self {
        Self { kind, daily: true, act }
    }

    /// Lets it happen from `now_ms` on. False if nobody fits.
    pub(crate) fn happen(&self, stage: &mut Stage, now_ms: i64) -> bool {
        (self.act)(stage, Cue { kind: self.kind, now_ms }).is_some()
    }
}

/// All of them, in the order in which they are scheduled.
pub(crate) const LIVES: [Life; 47] = [
    Life::once("office_morning", work::office_morning),
    Life::once("offline_phone", accounts::offline_phone),
    Life::once("forgotten_password", accounts::forgotten_password),
    Life::once("stale_service_secret", services::stale_secret),
    Life::once("moving_house", homes::moving_house),
    Life::once("family_holiday", homes::family_holiday),
    Life::once("browser_update", devices::browser_update),
    Life::once("kiosk", work::kiosk),
    Life::once("family_account", homes::family_account),
    Life::once("travel_agent", work::travel_agent),
    Life::daily("support_day", work::support_day),
    Life::daily("paid_scanner", services::paid_scanner),
    Life::daily("monitors", services::monitors),
    Life::daily("night_batch", services::night_batch),
    Life::once("assistant", work::assistant),
    Life::once("dormitory", homes::dormitory),
    Life::once("password_manager", accounts::password_manager),
    Life::once("sso_morning", work::sso_morning),
    Life::once("forced_reset", tenants::forced_reset),
    Life::once("bad_deployment", tenants::bad_deployment),
    Life::once("broken_app_release", tenants::broken_app_release),
    Life::once("new_employees", work::new_employees),
    Life::once("office_vpn", work::office_vpn),
    Life::once("cleared_cookies", devices::cleared_cookies),
    Life::once("private_windows", devices::private_windows),
    Life::once("second_phone", devices::second_phone),
    Life::once("lost_phone", devices::lost_phone),
    Life::once("export_job", work::export_job),
    Life::once("service_export", services::export),
    Life::once("service_moves", services::moves),
    Life::once("flaky_refresh", devices::flaky_refresh),
    Life::once("clock_skew", tenants::clock_skew),
    Life::once("pods", services::pods),
    Life::once("merger", work::merger),
    Life::once("power_user", accounts::power_user),
    Life::once("mistyped_name", accounts::mistyped_name),
    Life::once("consultant", work::consultant),
    Life::once("conference", work::conference),
    Life::once("ipv6_privacy", homes::ipv6_privacy),
    Life::once("satellite_home", homes::satellite_home),
    Life::once("remote_desktop", work::remote_desktop),
    Life::once("mobile_hotspot", homes::mobile_hotspot),
    Life::once("cafe_wifi", homes::cafe_wifi),
    Life::once("hotel_desk", work::hotel_desk),
    Life::once("long_absence", accounts::long_absence),
    Life::once("new_factor", accounts::new_factor),
    Life::once("app_consent", accounts::app_consent),
];

/// Is somebody here, settled, and not in the middle of anything?
fn is_free(person: &Person, now_ms: i64) -> bool {
    !person.dormant && now_ms < person.stops_ms && person.trip.is_none() && person.busy_until_ms <= now_ms
}

/// Somebody who is free, has signed in before, and fits.
fn find(stage: &mut Stage, now_ms: i64, fits: impl Fn(&Stage, &Person) -> bool) -> Option<usize> {
    let count = stage.people.len();
    (0..200).find_map(|_| {
        let index = stage.dice.index(count);
        let person = stage.people.get(index)?;
        (is_free(person, now_ms) && person.sign_ins > 0 && fits(stage, person)).then_some(index)
    })
}

/// Those who are free and fit, at most `max`, from a random one on.
fn gather(stage: &mut Stage, now_ms: i64, max: usize, fits: impl Fn(&Stage, &Person) -> bool) -> Vec<usize> {
    let first = stage.dice.index(stage.people.len());
    let (before, after) = stage.people.split_at(first);
    let around = after.iter().zip(first..).chain(before.iter().zip(0..));
    let fitting = around.filter(|(person, _)| is_free(person, now_ms) && person.sign_ins > 0 && fits(stage, person));
    fitting.map(|(_, index)| index).take(max).collect()
}

/// The same, if they are enough.
fn crowd(stage: &mut Stage, now_ms: i64, size: Range<usize>, fits: impl Fn(&Stage, &Person) -> bool) -> Option<Vec<usize>> {
    let found = gather(stage, now_ms, size.end, fits);
    (found.len() >= size.start).then_some(found)
}

/// Those who work in an office and are free.
struct Team {
    number: u16,
    office: Office,
    people: Vec<usize>,
}

/// An office where a workday has reached one of these hours, with at least `min` people who are free.
fn team(stage: &mut Stage, now_ms: i64, hours: Range<i64>, size: Range<usize>) -> Option<Team> {
    let first = stage.dice.index(stage.offices.len());
    let count = stage.offices.len();
    (0..count).find_map(|step| {
        let number = (first + step) % count;
        let office = *stage.offices.get(number)?;
        let clock = stage.atlas.clock(office.town, now_ms);
        if !clock.is_workday() || !hours.contains(&clock.hour) {
            return None;
        }
        let number = number as u16;
        let people = crowd(stage, now_ms, size.clone(), |_, p| p.office == Some(number))?;
        Some(Team { number, office, people })
    })
}

/// Several people do something within `spread_ms`, each on their own, under one label.
fn together(stage: &mut Stage, cue: Cue, people: &[usize], spread_ms: i64, mut act: impl FnMut(&mut Stage, &mut Part)) -> Option<()> {
    let tenant = people.first().and_then(|index| stage.people.get(*index))?.tenant;
    let label = cue.open(stage, tenant);
    for index in people {
        let from_ms = cue.now_ms + stage.dice.between(0, spread_ms);
        let Some(mut part) = Part::of(stage, *index, label, from_ms) else { continue };
        act(stage, &mut part);
        part.leaves(stage);
    }
    stage.book.seal(label, false);
    Some(())
}
