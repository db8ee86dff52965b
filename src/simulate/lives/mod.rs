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
use Rhythm::{Daily, Often, Seldom};
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

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rhythm {
    /// To this one and that one, all the time.
    Often,
    /// To so many at once that it does not come every week.
    Seldom,
    /// It is somebody's work, each day again.
    Daily,
}

/// Something that happens. `None` from `act`: nobody fits at the moment.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) kind: &'static str,
    pub(crate) rhythm: Rhythm,
    act: fn(&mut Stage, Cue) -> Option<()>,
}

const fn life(rhythm: Rhythm, kind: &'static str, act: fn(&mut Stage, Cue) -> Option<()>) -> Life {
    Life { kind, rhythm, act }
}

impl Life {
    /// Does it come in this round through the table?
    pub(crate) fn comes_in(&self, round: u64) -> bool {
        match self.rhythm {
            Rhythm::Often => true,
            Rhythm::Seldom => round.is_multiple_of(3),
            Rhythm::Daily => round == 0,
        }
    }

    /// Lets it happen from `now_ms` on. False if nobody fits.
    pub(crate) fn happen(&self, stage: &mut Stage, now_ms: i64) -> bool {
        (self.act)(stage, Cue { kind: self.kind, now_ms }).is_some()
    }
}

/// All of them, in the order in which they are scheduled.
pub(crate) static LIVES: [Life; 47] = [
    life(Often, "office_morning", work::office_morning),
    life(Often, "offline_phone", accounts::offline_phone),
    life(Often, "forgotten_password", accounts::forgotten_password),
    life(Often, "stale_service_secret", services::stale_secret),
    life(Often, "moving_house", homes::moving_house),
    life(Often, "family_holiday", homes::family_holiday),
    life(Often, "browser_update", devices::browser_update),
    life(Often, "kiosk", work::kiosk),
    life(Often, "family_account", homes::family_account),
    life(Often, "travel_agent", work::travel_agent),
    life(Daily, "support_day", work::support_day),
    life(Daily, "paid_scanner", services::paid_scanner),
    life(Daily, "monitors", services::monitors),
    life(Daily, "night_batch", services::night_batch),
    life(Often, "assistant", work::assistant),
    life(Seldom, "dormitory", homes::dormitory),
    life(Often, "password_manager", accounts::password_manager),
    life(Often, "sso_morning", work::sso_morning),
    life(Seldom, "forced_reset", tenants::forced_reset),
    life(Seldom, "bad_deployment", tenants::bad_deployment),
    life(Seldom, "broken_app_release", tenants::broken_app_release),
    life(Seldom, "new_employees", work::new_employees),
    life(Often, "office_vpn", work::office_vpn),
    life(Often, "cleared_cookies", devices::cleared_cookies),
    life(Often, "private_windows", devices::private_windows),
    life(Often, "second_phone", devices::second_phone),
    life(Often, "lost_phone", devices::lost_phone),
    life(Often, "export_job", work::export_job),
    life(Seldom, "service_export", services::export),
    life(Often, "service_moves", services::moves),
    life(Often, "flaky_refresh", devices::flaky_refresh),
    life(Seldom, "clock_skew", tenants::clock_skew),
    life(Often, "pods", services::pods),
    life(Seldom, "merger", work::merger),
    life(Often, "power_user", accounts::power_user),
    life(Often, "mistyped_name", accounts::mistyped_name),
    life(Often, "consultant", work::consultant),
    life(Often, "conference", work::conference),
    life(Often, "ipv6_privacy", homes::ipv6_privacy),
    life(Often, "satellite_home", homes::satellite_home),
    life(Seldom, "remote_desktop", work::remote_desktop),
    life(Often, "mobile_hotspot", homes::mobile_hotspot),
    life(Often, "cafe_wifi", homes::cafe_wifi),
    life(Often, "hotel_desk", work::hotel_desk),
    life(Often, "long_absence", accounts::long_absence),
    life(Often, "new_factor", accounts::new_factor),
    life(Often, "app_consent", accounts::app_consent),
];

/// Is somebody here, settled, and not in the middle of anything?
fn is_free(person: &Person, now_ms: i64) -> bool {
    !person.dormant && now_ms < person.stops_ms && person.trip.is_none() && person.busy_until_ms <= now_ms
}

/// Is somebody free, awake, and known to the log?
fn is_about(stage: &Stage, person: &Person, now_ms: i64) -> bool {
    let hour = stage.atlas.clock(person.town, now_ms).hour;
    is_free(person, now_ms) && person.sign_ins > 0 && (7..23).contains(&hour)
}

/// Somebody who is about and fits.
fn find(stage: &mut Stage, now_ms: i64, fits: impl Fn(&Stage, &Person) -> bool) -> Option<usize> {
    let count = stage.people.len();
    (0..200).find_map(|_| {
        let index = stage.dice.index(count);
        let person = stage.people.get(index)?;
        (is_about(stage, person, now_ms) && fits(stage, person)).then_some(index)
    })
}

/// Those who are about and fit, at most `max`, from a random one on.
fn gather(stage: &mut Stage, now_ms: i64, max: usize, fits: impl Fn(&Stage, &Person) -> bool) -> Vec<usize> {
    let first = stage.dice.index(stage.people.len());
    let (before, after) = stage.people.split_at(first);
    let around = after.iter().zip(first..).chain(before.iter().zip(0..));
    let fitting = around.filter(|(person, _)| is_about(stage, person, now_ms) && fits(stage, person));
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
