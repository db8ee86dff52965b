//! What each detector, gate, rule and piece of evidence is worth: each is switched off once, and the same traffic is
//! scored without it.
//!
//! - A *detector* says nothing any more, and casts no doubt on what is learnt of people.
//! - A *gate* is what a detector holds back by: what the ledger counts under its name is told instead, under the key
//!   and with the severity that the ledger would have kept. A gate that ends the look at an event before there is
//!   anything to hold back (a *remark* in `explain`) holds nothing back, and is switched off as evidence only.
//! - A *rule* is what a detector finds under one title: that is told no more.
//! - A piece of *evidence* is a member that events lack, as if no system logged it; or what is known of people or of
//!   colleagues.
//!
//! Detectors see the traffic of a seed once for itself, and once for each detector and piece of evidence. Gates and rules
//! change nothing of what detectors see, so that what they said the first time is made into alerts again without them.
//!
//! Gates and rules are those that the traffic reached: one that it never did is in no table.
//! Memory holds the events of one seed, and for each thread the state of one engine.

use super::traffic::Traffic;
use super::workbench::{Workbench, in_parallel, none_failed};
use super::{Cases, Report, Score, SignIns, score};
use crate::detect::breaker::CIRCUIT_BREAKER;
use crate::detect::engine::{Engine, Heard, Outcome, TOLD_BESIDE};
use crate::flow::EventFlow;
use crate::simulate::SimulationConfig;
use crate::suppress::By;
use bartizan_core::batch::{Field, Record, Text};
use bartizan_core::{EntityKind, Event, EventBatch, Excuse, Finding, HALF_PROVED, NetworkClass, Role, Said, Subject, colleagues, people};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of what is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Detectors
    Detectors,
    /// Gates: what is held back by one is told
    Gates,
    /// Rules: what is found by one is not told
    Rules,
    /// Evidence: members that no system logs, what is known of people and colleagues
    Evidence,
}

/// Something that is switched off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Switch {
    /// What it is.
    pub group: Group,
    /// The detector that it belongs to; absent where that are all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<&'static str>,
    /// Its name.
    pub name: String,
}

impl Switch {
    fn new(group: Group, detector: Option<&'static str>, name: &str) -> Self {
        Self { group, detector, name: name.to_owned() }
    }
}

impl std::fmt::Display for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.detector.map_or(Ok(()), |detector| write!(f, "{detector}: "))?;
        f.write_str(&self.name)
    }
}

/// Takes a member out of an event.
type Blind = fn(&mut Record);

/// Members by their names in the native event, or by what they are.
const MEMBERS: [(&str, Blind); 16] = [
    ("user_agent", |record| drop_text(record, &[Field::UserAgent])),
    ("device", |record| drop_text(record, &[Field::Device])),
    ("ja4", |record| drop_text(record, &[Field::Ja4])),
    ("app", |record| drop_text(record, &[Field::App])),
    ("grant", |record| drop_text(record, &[Field::Grant])),
    ("scope", |record| drop_text(record, &[Field::Scope])),
    ("factor", |record| drop_text(record, &[Field::Factor])),
    ("reason", |record| drop_text(record, &[Field::Reason])),
    ("session", |record| drop_text(record, &[Field::Session])),
    ("tokens", |record| {
        drop_text(record, &[Field::TokenId]);
        (record.token, record.token_issued) = (None, None);
    }),
    ("token_issued", |record| record.token_issued = None),
    ("path", |record| drop_text(record, &[Field::Path])),
    ("other members", |record| drop_text(record, &[Field::Attrs])),
    ("place", |record| {
        drop_text(record, &[Field::Region, Field::City]);
        record.place = None;
    }),
    ("network", |record| {
        drop_text(record, &[Field::NetworkName]);
        (record.asn, record.network_class) = (0, NetworkClass::Unknown);
    }),
    ("class of network", |record| record.network_class = NetworkClass::Unknown),
];

fn drop_text(record: &mut Record, fields: &[Field]) {
    fields.iter().for_each(|field| record.set_text(*field, Text::default()));
}

/// A judged batch, and what detectors said of it.
struct Told {
    events: EventBatch,
    heard: Vec<Heard>,
}

/// One seed as it is, and without each of what was switched off.
pub struct Ablated {
    whole: Score,
    without: BTreeMap<Switch, Score>,
}

impl Workbench {
    /// Scores one seed as it is, and without each detector, gate, rule and piece of evidence of these groups.
    ///
    /// # Errors
    /// As of [`Workbench::score`].
    pub fn ablate(&self, simulated: SimulationConfig, groups: &[Group]) -> Result<Ablated, String> {
        let seed = simulated.seed;
        let mut traffic = self.traffic(simulated);
        let mut engine = self.engine(&self.config)?;
        let (mut told, mut sign_ins) = (Vec::new(), SignIns::default());
        let mut switches: BTreeSet<Switch> = always().collect();
        loop {
            let mut events = Traffic::batch();
            if !traffic.next(&mut events)? {
                break;
            }
            let mut flow = EventFlow::replayed(events, engine.next_seq());
            let (mut outcome, heard) = engine.judge(&mut flow, false);
            engine.tell(&flow.events, heard.clone(), &mut outcome);
            none_failed(seed, &outcome.disabled)?;
            sign_ins.see(&flow.events);
            switches.extend(reached(&engine, &outcome, &heard));
            told.push(Told { events: flow.events, heard });
        }
        drop(engine);
        let labels = traffic.into_labels();
        let score_of = |cases: &Cases| score(Some(seed), &labels, cases, Some(&sign_ins));
        switches.retain(|switch| groups.contains(&switch.group));
        let switches: Vec<_> = switches.into_iter().collect();
        let without = in_parallel(&switches, |switch| {
            let cases = match switch.group {
                Group::Detectors | Group::Evidence => self.judge_without(seed, &told, switch)?,
                Group::Gates | Group::Rules => self.tell_without(&told, Some(switch))?,
            };
            tracing::debug!(seed, without = %switch, "judged");
            Ok(score_of(&cases))
        })?;
        let whole = score_of(&self.tell_without(&told, None)?);
        Ok(Ablated { whole, without: switches.into_iter().zip(without).collect() })
    }

    /// Lets detectors judge the same events once more.
    fn judge_without(&self, seed: u64, told: &[Told], switch: &Switch) -> Result<Cases, String> {
        let mut engine = self.engine(&self.config)?;
        engine.switch_off(&switch.name);
        let blind = MEMBERS.iter().find(|(name, _)| switch.group == Group::Evidence && *name == switch.name).map(|(_, blind)| blind);
        let mut cases = Cases::default();
        for Told { events, .. } in told {
            let mut blinded = Traffic::batch();
            for event in events.iter() {
                let record = blinded.copy(&event);
                // Of the first time: colleagues are asked anew, if at all.
                record.standing = colleagues::Standing::default();
                blind.into_iter().for_each(|blind| blind(record));
            }
            let outcome = engine.process(&mut EventFlow::replayed(blinded, engine.next_seq()));
            none_failed(seed, &outcome.disabled)?;
            outcome.alerts.iter().for_each(|alert| cases.add(alert));
        }
        Ok(cases)
    }

    /// Makes alerts of what was said the first time.
    fn tell_without(&self, told: &[Told], switch: Option<&Switch>) -> Result<Cases, String> {
        let mut config = self.config.clone();
        if switch.is_some_and(|switch| switch.name == CIRCUIT_BREAKER) {
            config.detect.breaker_alerts_min = u32::MAX;
        }
        let mut engine = self.engine(&config)?;
        switch.into_iter().for_each(|switch| engine.switch_off(&switch.name));
        let mut cases = Cases::default();
        for Told { events, heard } in told {
            let left = heard.iter().flat_map(|heard| {
                let of_it = switch.filter(|switch| of_detector(&engine, heard) == switch.detector);
                let said = match of_it.zip(events.get(heard.index)) {
                    Some((switch, event)) => without(switch, &event, heard, &engine),
                    None => vec![heard.said.clone()],
                };
                said.into_iter().map(|said| Heard { said, ..*heard })
            });
            let (left, mut outcome) = (left.collect(), Outcome::default());
            engine.tell(events, left, &mut outcome);
            outcome.alerts.iter().for_each(|alert| cases.add(alert));
        }
        Ok(cases)
    }
}

/// What can be switched off in any traffic.
fn always() -> impl Iterator<Item = Switch> {
    let detectors = bartizan_catalogue::all().map(|spec| Switch::new(Group::Detectors, None, spec.id));
    let known = [people::ID, colleagues::ID].into_iter();
    let evidence = MEMBERS.iter().map(|(name, _)| *name).chain(known);
    detectors.chain(evidence.map(|name| Switch::new(Group::Evidence, None, name)))
}

fn of_detector(engine: &Engine, heard: &Heard) -> Option<&'static str> {
    engine.detector(heard.detector).map(|spec| spec.id)
}

/// The rule by which something was found.
fn rule<'a>(engine: &Engine, heard: &'a Heard) -> Option<&'a str> {
    let (Said::Finding(Finding { title, .. }) | Said::Half(Finding { title, .. }, _)) = &heard.said else { return None };
    if title.is_empty() { Some(engine.detector(heard.detector)?.title) } else { Some(title) }
}

/// Gates that held something back of a batch, and rules by which something was found.
fn reached(engine: &Engine, outcome: &Outcome, heard: &[Heard]) -> BTreeSet<Switch> {
    let gates = outcome.held.iter().filter_map(|held| match held.by {
        By::Gate(gate @ (CIRCUIT_BREAKER | TOLD_BESIDE)) => Some(Switch::new(Group::Gates, None, gate)),
        By::Gate(gate) => Some(Switch::new(Group::Gates, Some(held.detector), gate)),
        By::Suppression(_) => None,
    });
    let rules = heard.iter().filter_map(|heard| Some(Switch::new(Group::Rules, of_detector(engine, heard), rule(engine, heard)?)));
    gates.chain(rules).collect()
}

/// What a detector would have said without a gate or rule of it.
fn without(switch: &Switch, event: &Event<'_>, heard: &Heard, engine: &Engine) -> Vec<Said> {
    match (&heard.said, switch.group) {
        (Said::Excuse(excuse), Group::Gates) if excuse.gate == switch.name => {
            // It stays what another half may count beside.
            vec![Said::Finding(all_the_same(event, excuse.clone())), heard.said.clone()]
        }
        (Said::Half(finding, _), Group::Gates) if switch.name == HALF_PROVED => vec![Said::Finding(finding.clone())],
        (_, Group::Rules) if rule(engine, heard) == Some(&switch.name) => Vec::new(),
        (said, _) => vec![said.clone()],
    }
}

/// What was excused, as a finding about those whom the event names.
fn all_the_same(event: &Event<'_>, excuse: Excuse) -> Finding {
    let Excuse { gate, key, severity, reason } = excuse;
    let mut finding = Finding::new(event, key, severity);
    (finding.title, finding.reason) = (gate.to_owned(), reason);
    for (kind, name) in [(EntityKind::User, event.user()), (EntityKind::Session, event.session())] {
        name.into_iter().for_each(|name| {
            finding.involve(Subject::new(kind, name, Role::Victim));
        });
    }
    event.ip().into_iter().for_each(|ip| {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    });
    finding
}

/// What is different without something, as numbers: less is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Attacks found.
    pub found: i64,
    /// Hits told at high or above.
    pub hits_high: i64,
    /// False alerts.
    pub false_alerts: i64,
    /// Those of them that are about an attack about which there are enough already.
    pub too_many: i64,
    /// Alerts below medium.
    pub low: i64,
}

/// The same of one detector's alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfDetector {
    /// Of medium or above, about an attack that it is for.
    pub fitting: i64,
    /// False ones.
    pub false_alerts: i64,
    /// Below medium.
    pub low: i64,
}

/// What something is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Worth {
    /// What was switched off.
    #[serde(flatten)]
    pub switch: Switch,
    /// What is different without it.
    #[serde(flatten)]
    pub total: Difference,
    /// Attacks found, by those kinds of which that are more or fewer.
    pub kinds: BTreeMap<String, i64>,
    /// By detectors whose alerts are others.
    pub detectors: BTreeMap<String, OfDetector>,
}

impl Worth {
    fn of(switch: Switch, whole: &Report, without: &Report) -> Self {
        let less = |of: fn(&Report) -> u64| of(without).cast_signed() - of(whole).cast_signed();
        let total = Difference {
            found: less(|report| report.total.found),
            hits_high: less(|report| report.total.hits_high),
            false_alerts: less(|report| report.total.false_alerts),
            too_many: less(|report| report.total.too_many),
            low: less(|report| report.total.low),
        };
        let mut kinds = BTreeMap::<String, i64>::new();
        let mut detectors = BTreeMap::<String, OfDetector>::new();
        for (report, sign) in [(whole, -1), (without, 1)] {
            for line in &report.kinds {
                *kinds.entry(line.kind.clone()).or_default() += sign * line.found.cast_signed();
            }
            for line in &report.detectors {
                let of = detectors.entry(line.detector.clone()).or_default();
                of.fitting += sign * line.fitting.cast_signed();
                of.false_alerts += sign * line.false_alerts.cast_signed();
                of.low += sign * line.low.cast_signed();
            }
        }
        kinds.retain(|_, found| *found != 0);
        detectors.retain(|_, of| *of != OfDetector::default());
        Self { switch, total, kinds, detectors }
    }

    /// Is everything that is measured the same without it?
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.total == Difference::default()
            && self.kinds.is_empty()
            && self.detectors.values().all(|of| (of.false_alerts, of.low) == (0, 0))
    }
}

/// All of it, summed up over the seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Ablation {
    /// As it is.
    pub whole: Report,
    /// Without each.
    pub without: Vec<Worth>,
}

impl Ablation {
    /// Sums seeds up. What a seed did not reach changes nothing there.
    #[must_use]
    pub fn of(seeds: Vec<Ablated>) -> Self {
        let whole = Report::of(seeds.iter().map(|seed| seed.whole.clone()).collect());
        let switches: BTreeSet<_> = seeds.iter().flat_map(|seed| seed.without.keys().cloned()).collect();
        let without = switches.into_iter().map(|switch| {
            let scores = seeds.iter().map(|seed| seed.without.get(&switch).unwrap_or(&seed.whole).clone());
            let report = Report::of(scores.collect());
            Worth::of(switch, &whole, &report)
        });
        Self { without: without.collect(), whole }
    }
}
