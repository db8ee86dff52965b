//! What each round sends, and who has to speak in it.

use super::LATENESS_MIN_MS;
use super::script::Script;
use crate::log::Outgoing;
use bartizan_core::EventDraft;
use bartizan_core::time::{DAY_MS, MINUTE_MS};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Days of ordinary sign-ins before somebody is attacked.
const LEARNING_DAYS: i64 = 3;
/// Parts of a campaign of spraying, the least time between two, and the names of each: too few for an hour.
const CAMPAIGN_PARTS: u16 = 4;
const CAMPAIGN_PAUSE_MS: i64 = 50 * MINUTE_MS;
const CAMPAIGN_NAMES: u16 = 4;
/// A campaign that takes longer is none: names are forgotten within a day.
const CAMPAIGN_MS: i64 = 20 * 60 * MINUTE_MS;
/// Stands for a detector in the id of the event that ends a round.
const END: &str = "end";

/// A place to be at home and one that is far away, by addresses that the place files have.
pub type Far = [IpAddr; 2];

/// One round, to be sent.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// When it is sent, in milliseconds since 1970; no other round is of the same time.
    pub sent_ms: i64,
    /// Its events, in order.
    pub events: Vec<EventDraft<'static>>,
    /// Who has to speak.
    pub expected: BTreeSet<&'static str>,
    /// What the ids of the events of attacks begin with, also of those that go on in later rounds.
    pub marks: BTreeMap<&'static str, String>,
    /// The same of the event that ends the round.
    pub end: String,
    /// Who cannot be asked yet.
    pub learning: BTreeSet<&'static str>,
    /// Who cannot be asked, and why.
    pub uncovered: BTreeMap<&'static str, &'static str>,
}

impl Round {
    /// The events as the log takes them, under one key so that they stay in order.
    ///
    /// # Errors
    /// The encoder says no.
    pub fn records(&self) -> Result<Vec<Outgoing>, serde_json::Error> {
        let record = |event| serde_json::to_vec(event).map(|payload| Outgoing { key: "canary".to_owned(), headers: Vec::new(), payload });
        self.events.iter().map(record).collect()
    }
}

/// Spraying that goes on over several rounds.
#[derive(Clone, Copy, Debug)]
struct Campaign {
    began_ms: i64,
    last_ms: i64,
    parts: u16,
}

/// Makes one round after the other.
#[derive(Debug)]
pub struct Rounds {
    detectors: Vec<&'static str>,
    /// When this process began: it knows nothing of habits that were learnt before.
    began_ms: i64,
    is_late: bool,
    campaign: Option<Campaign>,
    /// The day on which those were attacked whose habits take days.
    attacked_day: Option<i64>,
}

impl Rounds {
    /// Rounds for these detectors from now on, where events may come so late.
    #[must_use]
    pub fn new(detectors: Vec<&'static str>, lateness_ms: i64, began_ms: i64) -> Self {
        Self { detectors, began_ms, is_late: lateness_ms < LATENESS_MIN_MS, campaign: None, attacked_day: None }
    }

    /// The round to be sent at `now_ms`. `days` are those on which rounds were judged; `far` is none without place files.
    pub fn next(&mut self, now_ms: i64, days: &BTreeSet<i64>, far: Option<Far>) -> Round {
        let mut round = Round { sent_ms: now_ms, ..Round::default() };
        let today = now_ms.div_euclid(DAY_MS);
        let learnt = (1..=LEARNING_DAYS).all(|ago| days.contains(&(today - ago)));
        let attacks = learnt && self.attacked_day.is_none_or(|day| day < today);
        for detector in self.detectors.clone() {
            let mut script = Script::new(detector, now_ms, self.began_ms);
            let asked = match detector {
                _ if self.is_late => Asked::Uncovered("detect.lateness_ms is less than two minutes"),
                "credential_stuffing" => ask(&mut script, Script::stuffing),
                "brute_force" => ask(&mut script, Script::guessing),
                "token_reuse" => ask(&mut script, Script::theft),
                "api_enumeration" => ask(&mut script, Script::walk),
                "mfa_fatigue" => ask(&mut script, Script::pushes),
                "client_integrity" => ask(&mut script, Script::farm),
                "impossible_travel" => far.map_or(Asked::Uncovered(NO_PLACES), |far| ask(&mut script, |script| script.journey(far))),
                "password_spraying" => self.spray(&mut script, now_ms),
                "unusual_location" => far.map_or(Asked::Uncovered(NO_PLACES), |[home, there]| {
                    script.learn(today, Some(home));
                    after_days(learnt, attacks, &mut script, |script| script.stranger(today, there))
                }),
                "account_takeover" => {
                    script.learn(today, far.map(|[home, _]| home));
                    after_days(learnt, attacks, &mut script, |script| script.takeover(today))
                }
                _ => Asked::Uncovered("there is no script for it"),
            };
            if asked.is_attacked() {
                round.marks.insert(detector, script.mark());
            }
            match asked {
                Asked::Now => _ = round.expected.insert(detector),
                Asked::Partly | Asked::Learning => _ = round.learning.insert(detector),
                Asked::Uncovered(why) => _ = round.uncovered.insert(detector, why),
                Asked::Lately => {}
            }
            round.events.extend(script.into_events());
        }
        if attacks {
            self.attacked_day = Some(today);
        }
        round.events.sort_by_key(|event| event.time_ms);
        let mut end = Script::new(END, now_ms, self.began_ms);
        end.end();
        round.end = end.mark();
        round.events.extend(end.into_events());
        round
    }

    /// A round did not come back: what was built on it begins anew.
    pub fn start_over(&mut self) {
        self.campaign = None;
    }

    /// The next part of a campaign, if it is time; with the last one it has to be found.
    fn spray(&mut self, script: &mut Script, now_ms: i64) -> Asked {
        let goes_on = |campaign: &Campaign| campaign.parts < CAMPAIGN_PARTS && now_ms - campaign.began_ms < CAMPAIGN_MS;
        let campaign = self.campaign.filter(goes_on);
        if campaign.is_some_and(|campaign| now_ms - campaign.last_ms < CAMPAIGN_PAUSE_MS) {
            return Asked::Learning;
        }
        // The next campaign begins where the last one has ended, but not at once.
        if campaign.is_none() && self.campaign.is_some_and(|ended| now_ms - ended.last_ms < CAMPAIGN_PAUSE_MS) {
            return Asked::Lately;
        }
        let mut campaign = campaign.unwrap_or(Campaign { began_ms: now_ms, last_ms: now_ms, parts: 0 });
        script.spray(campaign.began_ms, campaign.parts * CAMPAIGN_NAMES, CAMPAIGN_NAMES);
        (campaign.last_ms, campaign.parts) = (now_ms, campaign.parts + 1);
        self.campaign = Some(campaign);
        if campaign.parts == CAMPAIGN_PARTS { Asked::Now } else { Asked::Partly }
    }
}

const NO_PLACES: &str = "there are no place files that have the canary's addresses";

/// Is a detector asked in a round?
#[derive(Clone, Copy)]
enum Asked {
    Now,
    /// It was asked before, and what came of that stands.
    Lately,
    /// It may speak, but does not have to yet.
    Partly,
    /// It takes more rounds.
    Learning,
    Uncovered(&'static str),
}

impl Asked {
    fn is_attacked(self) -> bool {
        matches!(self, Self::Now | Self::Partly)
    }
}

fn ask(script: &mut Script, attack: impl FnOnce(&mut Script)) -> Asked {
    attack(script);
    Asked::Now
}

/// Once a day, when habits are known.
fn after_days(learnt: bool, attacks: bool, script: &mut Script, attack: impl FnOnce(&mut Script)) -> Asked {
    match (learnt, attacks) {
        (false, _) => Asked::Learning,
        (true, false) => Asked::Lately,
        (true, true) => ask(script, attack),
    }
}

impl Script {
    /// Ordinary sign-ins of those who are attacked on the next days.
    fn learn(&mut self, today: i64, home: Option<IpAddr>) {
        (1..=LEARNING_DAYS).for_each(|ahead| self.habit(today + ahead, home));
    }
}
