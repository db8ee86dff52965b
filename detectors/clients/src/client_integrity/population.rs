//! What an app's users usually have: programs with their TLS clients, versions, attestation, networks.
//!
//! Users and networks are counted in bit sets, one bit for each by its hash: never too many, and exact
//! enough for thresholds of a few. All lists are short, with a stated maximum; what few users have makes room.
//!
//! **The gate.** A value becomes usual by days that count, and a day counts when three users from two networks had
//! the value on it; so neither one address nor one day's flood makes anything usual. What was there before the
//! population was old enough to be judged by belongs to it. What is told as strange adds no day.

use super::agent::{Program, major_minor};
use super::look::Look;
use bartizan_core::time::DAY_MS;
use bartizan_core::{Attestation, Kind, Retained, heap_bytes};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Programs held.
const PRINTS_MAX: usize = 64;
/// Versions held, over all programs.
const VERSIONS_MAX: usize = 48;
/// Networks whose latest word on attestation is remembered.
const LATEST_MAX: usize = 32;
/// Findings of low severity that were told lately.
const TOLD_MAX: usize = 16;
/// Days that an app is remembered.
const KEPT_DAYS: i64 = 90;
/// Days after which an unseen value is no longer usual.
const USUAL_DAYS: u16 = 60;
/// Users and networks that make a day count.
const DAY_USERS_MIN: u32 = 3;
const DAY_NETWORKS_MIN: u32 = 2;
/// Days after which users of a version count half, and then no more.
const VERSION_DAYS: u16 = 14;
/// Requests of a kind by which its share of attestation is known.
const ATTESTED_MIN: u32 = 30;
/// From so many on, older ones count less.
const ATTESTED_MAX: u32 = 4_096;
/// Networks counted; from so many on, older ones count less.
const NETWORKS_MAX: u32 = 1_024;
/// Networks by which a share among the latest is known.
const LATEST_MIN: u32 = 8;
/// An odd program of so many users on so many networks is a release or an update on its way.
const RELEASE_USERS_MIN: u32 = 6;
const RELEASE_NETWORKS_MIN: u32 = 5;
/// A step to a version that an app may take at once, in second numbers.
const MINOR_STEP_MAX: u32 = 50;

/// The gate's limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub app_users_min: u32,
    pub days_min: u8,
    pub users_min: u32,
    pub networks_min: u32,
    pub attested_share_min: f64,
    pub outage_share_max: f64,
    pub hosting_share_max: f64,
}

/// Days on which enough users had a value.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Days {
    /// Users and networks of the latest day.
    users: u32,
    networks: u16,
    day: u16,
    counted: u8,
    is_counted: bool,
}

impl Days {
    fn take(&mut self, look: &Look, networks_min: u32) {
        if look.day > self.day {
            *self = Self { day: look.day, counted: self.counted, ..Self::default() };
        }
        if look.day < self.day || self.is_counted {
            return;
        }
        self.users |= 1 << (look.user & 31);
        self.networks |= 1 << (look.subnet & 15);
        if self.users.count_ones() >= DAY_USERS_MIN && self.networks.count_ones() >= networks_min {
            self.is_counted = true;
            self.counted = self.counted.saturating_add(1);
        }
    }
}

/// A program with its TLS client.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Print {
    agent: u32,
    ja4: u32,
    users: u64,
    networks: u32,
    days: Days,
    first_day: u16,
    last_day: u16,
    /// Is it an app on a phone, or the bare library that such an app speaks by?
    is_of_phones: bool,
    /// Was it there before the population could be judged by?
    is_founding: bool,
    /// Was it ever told at medium or higher?
    is_suspect: bool,
}

/// A version of a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Version {
    agent: u32,
    version: u32,
    /// Users of this period of [`VERSION_DAYS`] and the one before.
    users: u64,
    earlier: u64,
    period: u16,
}

/// How often an app's requests of one kind carried a valid proof, and how often not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Attested {
    passed: u32,
    others: u32,
    failed: u32,
}

/// What the latest networks showed last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Latest {
    /// In a ring, in which the oldest makes room.
    subnets: Vec<u32>,
    oldest: u8,
    /// A bit for each: does it show proofs, and was the last one valid?
    attests: u32,
    passed: u32,
}

impl Latest {
    /// Where a network stands. It is asked for each event, so several are compared at once.
    fn place(&self, subnet: u32) -> Option<usize> {
        let (several, rest) = self.subnets.as_chunks::<8>();
        let found = several.iter().position(|eight| eight.iter().fold(false, |found, one| found | (*one == subnet)));
        let (start, among) = found.and_then(|at| Some((at * 8, several.get(at)?.as_slice()))).unwrap_or((several.len() * 8, rest));
        among.iter().position(|one| *one == subnet).map(|at| start + at)
    }

    /// Takes one in that has no place yet.
    fn add(&mut self, subnet: u32) -> usize {
        let place = if self.subnets.len() < LATEST_MAX { self.subnets.len() } else { usize::from(self.oldest) };
        match self.subnets.get_mut(place) {
            Some(oldest) => {
                *oldest = subnet;
                self.oldest = ((place + 1) % LATEST_MAX) as u8;
            }
            None => add(&mut self.subnets, subnet),
        }
        place
    }

    /// Notes what one shows.
    fn set(&mut self, place: usize, attests: bool, passed: bool) {
        let bit = 1 << place;
        self.attests = self.attests & !bit | if attests { bit } else { 0 };
        self.passed = self.passed & !bit | if attests && passed { bit } else { 0 };
    }
}

/// An app.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Population {
    users: u64,
    days: Days,
    first_ms: i64,
    last_ms: i64,
    is_of_phones: bool,
    prints: Vec<Print>,
    versions: Vec<Version>,
    /// By [`Kind`].
    attested: Vec<Attested>,
    latest: Latest,
    /// Networks that came up, and how many of them were hosting ones.
    networks: u32,
    hosting: u32,
    told: Vec<u32>,
    /// Bytes of the lists, so that they are counted without a look at them.
    owned: u32,
}

/// Where the lists of a population have what an event shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    print: Option<usize>,
    version: Option<usize>,
}

/// Which parts of a client the app's users have, together or each for itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    agent: bool,
    ja4: bool,
    /// Have they any TLS client at all?
    with_ja4: bool,
}

impl Fit {
    /// Are program and TLS client what they have?
    pub fn is_whole(self, look: &Look) -> bool {
        self.agent && (self.ja4 || look.ja4 == 0)
    }
}

/// What is made of an event that is to be learnt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    /// Its client is what the app's users have.
    pub fits: bool,
    /// The population cannot be judged by yet.
    pub founding: bool,
    /// It was not told as strange.
    pub trusted: bool,
    /// It was told at medium or higher.
    pub suspect: bool,
}

/// How an event stands to the population.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// The program is what the app's users have.
    pub usual_agent: bool,
    /// A tool, where the app has none like it.
    pub tool: bool,
    /// A TLS client that the app never has, and no release on its way.
    pub tls: bool,
    /// A version that was never released.
    pub never_released: bool,
    /// An old version that nobody else has.
    pub old_version: bool,
    /// The proof of the app is wrong.
    pub attestation_failed: bool,
    /// It is missing where nearly all have it.
    pub attestation_missing: bool,
    /// A hosting network, from where the app is hardly used.
    pub hosting: bool,
    /// This user had the same odd client for long.
    pub own_oddity: bool,
    /// Users of this odd client, and their networks.
    pub users: u32,
    pub networks: u32,
    /// Share of valid proofs among requests of this kind.
    pub attested_share: f64,
}

impl Retained for Population {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_DAYS * DAY_MS)
    }

    fn worth(&self) -> u8 {
        self.days.counted.min(4)
    }

    fn heap_bytes(&self) -> usize {
        self.owned as usize
    }
}

/// Adds to a list that is never larger than it must be.
fn add<T>(list: &mut Vec<T>, value: T) {
    list.reserve_exact(1);
    list.push(value);
}

/// Puts a value into a list, in which the least by `rank` makes room, and says where.
fn put<T, R: Ord>(list: &mut Vec<T>, value: T, len_max: usize, rank: impl Fn(&T) -> R) -> usize {
    if list.len() < len_max {
        add(list, value);
        return list.len() - 1;
    }
    let least = list.iter_mut().enumerate().min_by_key(|(_, one)| rank(one));
    least.map_or(0, |(place, least)| {
        *least = value;
        place
    })
}

/// The share of a part in a whole; 0 of nothing.
fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

impl Population {
    /// An app first seen at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self { first_ms: time_ms, last_ms: time_ms, ..Self::default() }
    }

    /// Is enough known of the app to judge by it?
    pub fn is_mature(&self, time_ms: i64, gate: &Gate) -> bool {
        time_ms.saturating_sub(self.first_ms) >= DAY_MS
            && self.days.counted >= gate.days_min
            && self.users.count_ones() >= gate.app_users_min
    }

    /// Is it an app of phones, not a web application or a program? Its name says so, or its proofs, or what its users have.
    pub fn is_of_phones(&self, day: u16, gate: &Gate) -> bool {
        self.is_of_phones || self.prints.iter().any(|print| print.is_of_phones && Self::is_usual(print, day, gate))
    }

    fn is_usual(print: &Print, day: u16, gate: &Gate) -> bool {
        // Bits are counted last: most is settled without.
        let spread = || print.days.counted >= gate.days_min && print.networks.count_ones() >= gate.networks_min;
        let is_held = (print.is_founding && print.days.counted > 0) || spread();
        is_held && print.last_day.saturating_add(USUAL_DAYS) >= day && print.users.count_ones() >= gate.users_min
    }

    /// Where the lists have the program and version of an event.
    pub fn places(&self, look: &Look) -> Places {
        let is_version = |one: &Version| one.agent == look.agent && one.version == look.version;
        Places {
            print: self.prints.iter().position(|print| print.agent == look.agent && print.ja4 == look.ja4),
            version: if look.version == 0 { None } else { self.versions.iter().position(is_version) },
        }
    }

    /// Which parts of a client the app's users have.
    pub fn fit(&self, look: &Look, places: Places, gate: &Gate) -> Fit {
        let usual = |print: &&Print| Self::is_usual(print, look.day, gate);
        if places.print.and_then(|at| self.prints.get(at)).is_some_and(|print| usual(&print)) {
            return Fit { agent: true, ja4: true, with_ja4: true };
        }
        self.prints.iter().filter(usual).fold(Fit::default(), |fit, print| Fit {
            agent: fit.agent | (print.agent == look.agent),
            ja4: fit.ja4 | (print.ja4 == look.ja4),
            with_ja4: fit.with_ja4 | (print.ja4 != 0),
        })
    }

    /// How an event stands to the population.
    pub fn standing(&self, look: &Look, places: Places, fit: Fit, gate: &Gate) -> Standing {
        let print = places.print.and_then(|at| self.prints.get(at));
        let Fit { agent, ja4, with_ja4 } = fit;
        let (users, networks) = print.map_or((0, 0), |print| (print.users.count_ones(), print.networks.count_ones()));
        let fits = fit.is_whole(look);
        let tool = look.program == Program::Tool && !agent;
        let is_release = users >= RELEASE_USERS_MIN && networks >= RELEASE_NETWORKS_MIN;
        let is_own = |print: &Print| {
            print.users >> (look.user & 63) & 1 != 0
                && !print.is_suspect
                && (print.is_founding || (!tool && print.first_day.saturating_add(7) <= look.day))
        };
        // Where browsers are at home, it is known that they have no proof.
        let is_page = agent && matches!(look.program, Program::Browser | Program::PhoneBrowser);
        let attested = self.attested.get(look.kind as usize).copied().unwrap_or_default();
        let known = attested.passed + attested.others;
        let passed = share(attested.passed, known);
        let is_expected = || known >= ATTESTED_MIN && passed >= gate.attested_share_min && !self.has_outage(gate);
        let is_failing = || known >= ATTESTED_MIN && share(attested.failed, known) > gate.outage_share_max;
        let [never_released, old_version] = self.version_is_odd(look, places);
        Standing {
            usual_agent: agent,
            tool,
            tls: look.ja4 != 0 && with_ja4 && !ja4 && (tool || !is_release || print.is_some_and(|print| print.is_suspect)),
            never_released,
            old_version,
            attestation_failed: look.attestation == Attestation::Failed && !is_failing() && !self.has_outage(gate),
            attestation_missing: look.attestation == Attestation::Unknown && !is_page && is_expected(),
            hosting: look.hosting && share(self.hosting, self.networks) <= gate.hosting_share_max,
            own_oddity: !fits && print.is_some_and(is_own),
            users,
            networks,
            attested_share: passed,
        }
    }

    /// Do proofs fail for everybody? Each network has one vote, and only the app's usual clients.
    fn has_outage(&self, gate: &Gate) -> bool {
        let (attesting, passed) = (self.latest.attests.count_ones(), self.latest.passed.count_ones());
        attesting >= LATEST_MIN && share(attesting - passed, attesting) > gate.outage_share_max
    }

    /// A version never released, or an old one that nobody else has.
    fn version_is_odd(&self, look: &Look, places: Places) -> [bool; 2] {
        if look.version == 0 {
            return [false; 2];
        }
        let others = |version: &Version| (version.users | version.earlier) & !(1 << (look.user & 63));
        let is_recent = |version: &&Version| version.period + 1 >= look.day / VERSION_DAYS;
        let same = places.version.and_then(|at| self.versions.get(at)).filter(is_recent);
        if same.is_some_and(|version| others(version) != 0) {
            return [false; 2];
        }
        let of_several = |version: &&Version| version.agent == look.agent && others(version).count_ones() >= DAY_USERS_MIN;
        let newest = self.versions.iter().filter(is_recent).filter(of_several).map(|version| version.version).max().unwrap_or(0);
        let ((major, minor), (newest_major, newest_minor)) = (major_minor(look.version), major_minor(newest));
        let is_step = major == newest_major && minor <= newest_minor.saturating_add(MINOR_STEP_MAX) || major == newest_major + 1;
        [newest != 0 && look.version > newest && !is_step, look.version < newest]
    }

    /// Takes an event in.
    pub fn learn(&mut self, look: &Look, places: Places, lesson: Lesson) {
        let Lesson { fits, founding, trusted, suspect } = lesson;
        self.last_ms = self.last_ms.max(look.time_ms);
        self.is_of_phones |= look.app_of_phones;
        let place = places.print.unwrap_or_else(|| self.add_print(look, founding));
        self.learn_print(place, look, trusted, suspect);
        if trusted {
            self.users |= 1 << (look.user & 63);
            self.days.take(look, DAY_NETWORKS_MIN);
            if look.version != 0 {
                let place = places.version.unwrap_or_else(|| self.add_version(look));
                self.learn_version(place, look);
            }
        }
        // New users are not the app's users yet.
        if (fits || founding) && trusted && look.kind != Kind::Signup {
            self.learn_latest(look);
        }
    }

    fn count_owned(&mut self) {
        let bytes = heap_bytes(self.prints.len() * size_of::<Print>())
            + heap_bytes(self.versions.len() * size_of::<Version>())
            + heap_bytes(self.attested.len() * size_of::<Attested>())
            + heap_bytes(self.latest.subnets.len() * size_of::<u32>())
            + heap_bytes(self.told.len() * size_of::<u32>());
        self.owned = bytes as u32;
    }

    fn add_print(&mut self, look: &Look, founding: bool) -> usize {
        let new = Print {
            agent: look.agent,
            ja4: look.ja4,
            users: 0,
            networks: 0,
            days: Days::default(),
            first_day: look.day,
            last_day: look.day,
            is_of_phones: look.program_of_phones,
            is_founding: founding,
            is_suspect: false,
        };
        let rank = |print: &Print| (print.days.counted, print.users.count_ones(), print.last_day);
        let place = put(&mut self.prints, new, PRINTS_MAX, rank);
        self.count_owned();
        place
    }

    fn learn_print(&mut self, place: usize, look: &Look, trusted: bool, suspect: bool) {
        let Some(print) = self.prints.get_mut(place) else { return };
        print.users |= 1 << (look.user & 63);
        print.networks |= 1 << (look.subnet & 31);
        print.last_day = print.last_day.max(look.day);
        print.is_suspect |= suspect;
        if trusted || print.is_founding {
            let networks_min = if print.is_founding { 1 } else { DAY_NETWORKS_MIN };
            print.days.take(look, networks_min);
        }
        // What many have comes to be found first.
        let is_behind = |before: &Print, print: &Print| match before.days.counted.cmp(&print.days.counted) {
            Ordering::Equal => before.users.count_ones() < print.users.count_ones(),
            order => order.is_lt(),
        };
        let before = place.checked_sub(1).and_then(|before| self.prints.get_disjoint_mut([before, place]).ok());
        if let Some([before, print]) = before
            && is_behind(before, print)
        {
            std::mem::swap(before, print);
        }
    }

    fn add_version(&mut self, look: &Look) -> usize {
        let new = Version { agent: look.agent, version: look.version, users: 0, earlier: 0, period: look.day / VERSION_DAYS };
        let place = put(&mut self.versions, new, VERSIONS_MAX, |one| ((one.users | one.earlier).count_ones(), one.period));
        self.count_owned();
        place
    }

    fn learn_version(&mut self, place: usize, look: &Look) {
        let period = look.day / VERSION_DAYS;
        let Some(one) = self.versions.get_mut(place) else { return };
        if period > one.period {
            one.earlier = if period == one.period + 1 { one.users } else { 0 };
            (one.users, one.period) = (0, period);
        }
        one.users |= 1 << (look.user & 63);
    }

    fn learn_latest(&mut self, look: &Look) {
        let mut attests = false;
        if look.attestation != Attestation::Unknown || !self.attested.is_empty() {
            if self.attested.is_empty() {
                self.attested.reserve_exact(Kind::ALL.len());
                self.attested.resize(Kind::ALL.len(), Attested::default());
                self.count_owned();
            }
            if let Some(attested) = self.attested.get_mut(look.kind as usize) {
                let passed = look.attestation == Attestation::Passed;
                attested.passed += u32::from(passed);
                attested.others += u32::from(!passed);
                attested.failed += u32::from(look.attestation == Attestation::Failed);
                if attested.passed + attested.others > ATTESTED_MAX {
                    *attested = Attested { passed: attested.passed / 2, others: attested.others / 2, failed: attested.failed / 2 };
                }
                // Where most requests of the kind carry a proof, one without is a vote too.
                attests = look.attestation != Attestation::Unknown || attested.passed > attested.others;
            }
        }
        if attests {
            self.is_of_phones |= look.attestation == Attestation::Passed;
        }
        let known = self.latest.place(look.subnet);
        let place = known.unwrap_or_else(|| {
            self.networks += 1;
            self.hosting += u32::from(look.hosting);
            if self.networks > NETWORKS_MAX {
                (self.networks, self.hosting) = (self.networks / 2, self.hosting / 2);
            }
            let place = self.latest.add(look.subnet);
            self.count_owned();
            place
        });
        // What carries no proof by its kind takes no vote away.
        if attests || known.is_none() {
            self.latest.set(place, attests, look.attestation == Attestation::Passed);
        }
    }

    /// Marks something of low severity as told on this day; false if it was.
    pub fn tell(&mut self, what: u32) -> bool {
        if self.told.contains(&what) {
            return false;
        }
        if self.told.len() < TOLD_MAX {
            add(&mut self.told, what);
            self.count_owned();
        } else if let Some(oldest) = self.told.first_mut() {
            *oldest = what;
            self.told.rotate_left(1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_of_the_latest_networks_are_those_of_a_list() {
        let (mut latest, mut list) = (Latest::default(), Vec::<(u32, bool, bool)>::new());
        for number in 0..4_000_u64 {
            let dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let (subnet, attests, passed) = ((dice % 45) as u32, dice >> 8 & 3 != 0, dice >> 10 & 3 != 0);
            let place = latest.place(subnet).unwrap_or_else(|| latest.add(subnet));
            latest.set(place, attests, passed);
            match list.iter_mut().find(|one| one.0 == subnet) {
                Some(one) => *one = (subnet, attests, passed),
                None => list.push((subnet, attests, passed)),
            }
            if list.len() > LATEST_MAX {
                list.remove(0);
            }
            let attesting = || list.iter().filter(|one| one.1);
            assert_eq!(latest.attests.count_ones() as usize, attesting().count());
            assert_eq!(latest.passed.count_ones() as usize, attesting().filter(|one| one.2).count());
            assert!((0..45).all(|subnet| latest.place(subnet).is_some() == list.iter().any(|one| one.0 == subnet)));
        }
    }
}
