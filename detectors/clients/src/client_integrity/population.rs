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
const LATEST_MIN: usize = 8;
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

/// What a network showed last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Latest {
    subnet: u32,
    attests: bool,
    passed: bool,
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
    latest: Vec<Latest>,
    /// Networks that came up, and how many of them were hosting ones.
    networks: u32,
    hosting: u32,
    told: Vec<u32>,
}

/// How an event stands to the population.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// Program and TLS client are what the app's users have.
    pub usual: bool,
    /// The program is.
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
        heap_bytes(self.prints.len() * size_of::<Print>())
            + heap_bytes(self.versions.len() * size_of::<Version>())
            + heap_bytes(self.attested.len() * size_of::<Attested>())
            + heap_bytes(self.latest.len() * size_of::<Latest>())
            + heap_bytes(self.told.len() * size_of::<u32>())
    }
}

/// Adds to a list that is never larger than it must be.
fn add<T>(list: &mut Vec<T>, value: T) {
    list.reserve_exact(1);
    list.push(value);
}

/// Adds to a list in which the oldest makes room.
fn push<T>(list: &mut Vec<T>, value: T, len_max: usize) {
    if list.len() < len_max {
        add(list, value);
    } else if let Some(oldest) = list.first_mut() {
        *oldest = value;
        list.rotate_left(1);
    }
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
        let many = print.users.count_ones() >= gate.users_min && print.last_day.saturating_add(USUAL_DAYS) >= day;
        let spread = print.networks.count_ones() >= gate.networks_min && print.days.counted >= gate.days_min;
        many && (spread || (print.is_founding && print.days.counted > 0))
    }

    fn print(&self, look: &Look) -> Option<&Print> {
        self.prints.iter().find(|print| print.agent == look.agent && print.ja4 == look.ja4)
    }

    /// How an event stands to the population.
    pub fn standing(&self, look: &Look, gate: &Gate) -> Standing {
        let usual = |print: &&Print| Self::is_usual(print, look.day, gate);
        let print = self.print(look);
        let is_usual = print.is_some_and(|print| usual(&print));
        let (mut agent, mut ja4, mut with_ja4) = (is_usual, is_usual, is_usual);
        for print in self.prints.iter().filter(|print| !is_usual && usual(print)) {
            agent |= print.agent == look.agent;
            ja4 |= print.ja4 == look.ja4;
            with_ja4 |= print.ja4 != 0;
        }
        let (users, networks) = print.map_or((0, 0), |print| (print.users.count_ones(), print.networks.count_ones()));
        let fits = agent && (ja4 || look.ja4 == 0);
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
        let expected = known >= ATTESTED_MIN && passed >= gate.attested_share_min && !self.has_outage(gate);
        let failing = known >= ATTESTED_MIN && share(attested.failed, known) > gate.outage_share_max;
        let [never_released, old_version] = self.version_is_odd(look);
        Standing {
            usual: fits,
            usual_agent: agent,
            tool,
            tls: look.ja4 != 0 && with_ja4 && !ja4 && (tool || !is_release || print.is_some_and(|print| print.is_suspect)),
            never_released,
            old_version,
            attestation_failed: look.attestation == Attestation::Failed && !failing && !self.has_outage(gate),
            attestation_missing: look.attestation == Attestation::Unknown && expected && !is_page,
            hosting: look.hosting && share(self.hosting, self.networks) <= gate.hosting_share_max,
            own_oddity: !fits && print.is_some_and(is_own),
            users,
            networks,
            attested_share: passed,
        }
    }

    /// Do proofs fail for everybody? Each network has one vote, and only the app's usual clients.
    fn has_outage(&self, gate: &Gate) -> bool {
        let attesting = self.latest.iter().filter(|latest| latest.attests).count();
        attesting >= LATEST_MIN && share((attesting - self.passed()) as u32, attesting as u32) > gate.outage_share_max
    }

    fn passed(&self) -> usize {
        self.latest.iter().filter(|latest| latest.attests && latest.passed).count()
    }

    /// A version never released, or an old one that nobody else has.
    fn version_is_odd(&self, look: &Look) -> [bool; 2] {
        if look.version == 0 {
            return [false; 2];
        }
        let others = |version: &Version| (version.users | version.earlier) & !(1 << (look.user & 63));
        let mut newest = 0;
        for version in self.versions.iter().filter(|version| version.agent == look.agent) {
            let is_recent = version.period + 1 >= look.day / VERSION_DAYS;
            if version.version == look.version && is_recent && others(version) != 0 {
                return [false; 2];
            }
            if is_recent && others(version).count_ones() >= DAY_USERS_MIN {
                newest = newest.max(version.version);
            }
        }
        let ((major, minor), (newest_major, newest_minor)) = (major_minor(look.version), major_minor(newest));
        let is_step = major == newest_major && minor <= newest_minor.saturating_add(MINOR_STEP_MAX) || major == newest_major + 1;
        [newest != 0 && look.version > newest && !is_step, look.version < newest]
    }

    /// Takes an event in. `trusted`: it was not told as strange.
    pub fn learn(&mut self, look: &Look, standing: &Standing, mature: bool, trusted: bool, suspect: bool) {
        self.last_ms = self.last_ms.max(look.time_ms);
        self.is_of_phones |= look.app_of_phones;
        let founding = !mature;
        self.learn_print(look, founding, trusted, suspect);
        if trusted {
            self.users |= 1 << (look.user & 63);
            self.days.take(look, DAY_NETWORKS_MIN);
            self.learn_version(look);
        }
        // New users are not the app's users yet.
        if (standing.usual || founding) && trusted && look.kind != Kind::Signup {
            self.learn_latest(look);
        }
    }

    fn learn_print(&mut self, look: &Look, founding: bool, trusted: bool, suspect: bool) {
        let known = self.prints.iter().position(|print| print.agent == look.agent && print.ja4 == look.ja4);
        if known.is_none() {
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
            if self.prints.len() < PRINTS_MAX {
                add(&mut self.prints, new);
            } else if let Some(least) =
                self.prints.iter_mut().min_by_key(|print| (print.days.counted, print.users.count_ones(), print.last_day))
            {
                *least = new;
            }
        }
        let found = self.prints.iter_mut().enumerate().find(|(_, print)| print.agent == look.agent && print.ja4 == look.ja4);
        let Some((place, print)) = found else { return };
        print.users |= 1 << (look.user & 63);
        print.networks |= 1 << (look.subnet & 31);
        print.last_day = print.last_day.max(look.day);
        print.is_suspect |= suspect;
        if trusted || print.is_founding {
            let networks_min = if print.is_founding { 1 } else { DAY_NETWORKS_MIN };
            print.days.take(look, networks_min);
        }
        // What many have comes to be found first.
        let rank = |print: &Print| (print.days.counted, print.users.count_ones());
        let mine = rank(print);
        if place > 0 && self.prints.get(place - 1).is_some_and(|before| rank(before) < mine) {
            self.prints.swap(place, place - 1);
        }
    }

    fn learn_version(&mut self, look: &Look) {
        if look.version == 0 {
            return;
        }
        let period = look.day / VERSION_DAYS;
        let is_it = |one: &Version| one.agent == look.agent && one.version == look.version;
        if !self.versions.iter().any(is_it) {
            let new = Version { agent: look.agent, version: look.version, users: 0, earlier: 0, period };
            if self.versions.len() < VERSIONS_MAX {
                add(&mut self.versions, new);
            } else if let Some(least) = self.versions.iter_mut().min_by_key(|one| ((one.users | one.earlier).count_ones(), one.period)) {
                *least = new;
            }
        }
        let Some(one) = self.versions.iter_mut().find(|one| is_it(one)) else { return };
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
        let new = Latest { subnet: look.subnet, attests, passed: look.attestation == Attestation::Passed };
        if let Some(latest) = self.latest.iter_mut().find(|latest| latest.subnet == look.subnet) {
            // What carries no proof by its kind takes no vote away.
            if attests {
                *latest = new;
            }
            return;
        }
        self.networks += 1;
        self.hosting += u32::from(look.hosting);
        if self.networks > NETWORKS_MAX {
            (self.networks, self.hosting) = (self.networks / 2, self.hosting / 2);
        }
        push(&mut self.latest, new, LATEST_MAX);
    }

    /// Marks something of low severity as told on this day; false if it was.
    pub fn tell(&mut self, what: u32) -> bool {
        if self.told.contains(&what) {
            return false;
        }
        push(&mut self.told, what, TOLD_MAX);
        true
    }
}
