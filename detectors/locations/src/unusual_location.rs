//! Unusual location: a sign-in whose country, region, network and device do not fit its person
//! (ATT&CK T1078).
//!
//! Not a list of first seen values but a likelihood: how probable is each value, given what this person
//! had before, with a share of probability kept back for what is new (additive smoothing; the idea of
//! Freeman et al., NDSS 2016). The more sign-ins are known, the more surprising is a new value; so no
//! fixed learning time is needed: from three sign-ins on two days it judges. Surprise is the negative
//! decimal logarithm, summed over the features, so 5 means one in 100,000.
//!
//! A new country with the person's own device (an id seen on an earlier day) is a journey and not told:
//! people travel, and a copied device is another detector's matter; without device ids it is low. Medium
//! takes a new country, a new line and a new device together, and enough sign-ins to make them
//! improbable; people have two devices or more, so as long as one alone is known, another one says less. What is
//! told with a new device is learnt with little weight, so that a person who moved abroad with a new
//! phone is known after three sign-ins. A session that goes on with
//! a known device teaches once a day. Failed sign-ins teach nothing; relays and satellite links are
//! neither judged nor learnt; a VPN's or a hosting network's country is not learnt, and of a VPN
//! network and device alone are judged. A carrier's gateway may lie in another country than its phone,
//! so there a new country is no more than low, and a new region nothing, unless it is far away.
//!
//! Absent on purpose: what colleagues do, how rare a value is in the whole tenant, hours of the day.

use crate::habits::{Feature, Habits, day_of};
use bartizan_core::client::{print, region};
use bartizan_core::geo::least_distance_km;
use bartizan_core::time::DAY_MS;
use bartizan_core::{
    Action, Budget, ClientPrint, Detector, EntityKind, Event, Finding, Findings, Key, KeyKind, KeyedState, Kind, NetworkClass, Outcome,
    Parameter, Parameters, Place, Retained, Role, Severity, Spec, State, Subject, UserKind,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "unusual_location",
    title: "Unusual location",
    looks_for: "A successful sign-in whose country, region, network and device together are improbable for its person.",
    blind_spots: "Attackers in the victim's country (low at most), behind relays, or with the victim's device id; people with fewer than \
                  three sign-ins.",
    innocent_causes: "Journeys with one's own device, a new phone at home, a new line at home (not told); VPNs and relays (not compared \
                      by country). A journey with a new device does look like an attack: low until a person is well known.",
    keys: &[KeyKind::User],
    parameters: PARAMETERS,
    attack: &[("TA0001", "T1078")],
    quiet_gap_ms: DAY_MS,
    state_version: 2,
    build: |parameters, budget| Box::new(UnusualLocation::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::float("surprise_min", 3.5, 1.0, 20.0, "Sum of surprises (negative decimal logarithms) for a finding of low severity."),
    Parameter::float("surprise_medium_min", 6.0, 1.0, 20.0, "The same for medium, which also takes a new country, network and device."),
    Parameter::int("sign_ins_min", 3, 1, 1_000, "Sign-ins known before it judges."),
    Parameter::int("days_min", 2, 1, 100, "Days on which they were."),
];

/// How long a person is remembered; longer history says little (Wiefling et al., TOPS 2022).
const KEPT_MS: i64 = 180 * DAY_MS;
/// Sign-ins that the share for new values is worth.
const SMOOTHING: f32 = 1.0;
/// History beyond so many sign-ins makes new values no more surprising.
const WEIGHT_MAX: f32 = 30.0;
/// So far from its phones a carrier may leave the net.
const GATEWAY_DISTANCE_KM: f64 = 2_500.0;
/// Stands for a sign-in without a device id, which is a habit like any other: for whom it is none, it
/// is news.
const NO_DEVICE: u32 = 1;
/// Share of new devices, in one sign-in, of a person of whom one device or several are known.
const DEVICE_PRIORS: [f32; 2] = [0.5, 0.15];
/// The same of new user agents, where there are no device ids.
const AGENT_PRIOR: f32 = 0.3;
/// Weight of a sign-in that was told with a new device, or by a new device behind a tunnel.
const DOUBTFUL: f32 = 0.12;

struct Config {
    surprise_min: f32,
    surprise_medium_min: f32,
    sign_ins_min: u32,
    days_min: u16,
}

/// One person's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Person {
    last_ms: i64,
    sign_ins: u32,
    last_day: u16,
    days: u16,
    /// The latest place beyond doubt.
    last_place: Option<Place>,
    habits: Habits,
}

impl Default for Person {
    fn default() -> Self {
        Self { last_ms: i64::MIN, sign_ins: 0, last_day: 0, days: 0, last_place: None, habits: Habits::default() }
    }
}

impl Retained for Person {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(KEPT_MS)
    }

    fn heap_bytes(&self) -> usize {
        self.habits.heap_bytes()
    }

    fn worth(&self) -> u8 {
        (self.days / 2).min(4) as u8
    }
}

/// What a sign-in shows of its person; 0 where it shows nothing.
struct Traits {
    country: u32,
    region: u32,
    network: u32,
    device: u32,
    agent: u32,
    day: u16,
    class: NetworkClass,
    place: Option<Place>,
}

impl Traits {
    fn of(event: &Event<'_>) -> Self {
        let client = ClientPrint::of(event);
        let class = event.network_class();
        let country = event.place().map(|place| place.country).filter(|country| *country != [0; 2] && class != NetworkClass::Vpn);
        Self {
            country: country.map_or(0, |letters| print(letters.into_iter())),
            region: country.map_or(0, |_| region(event)),
            network: client.line(),
            device: if client.device == 0 { NO_DEVICE } else { client.device },
            agent: client.agent,
            day: day_of(event.time_ms()),
            class,
            place: event.place(),
        }
    }
}

/// How a sign-in looks against its person's history.
struct Verdict {
    surprise: f32,
    new_country: bool,
    new_region: bool,
    new_network: bool,
    new_device: bool,
    /// A device id that the person had on an earlier day.
    own_device: bool,
}

impl Verdict {
    fn severity(&self, class: NetworkClass, is_far: bool, config: &Config) -> Option<Severity> {
        let strange_client = self.new_network && self.new_device;
        // A carrier's country is its gateway's: no news for a known client, and none for a first phone
        // unless it is farther off than gateways lie.
        let is_mobile = class == NetworkClass::Mobile;
        if self.surprise < config.surprise_min || self.own_device || (is_mobile && !strange_client) {
            None
        } else if self.new_country && strange_client && self.surprise >= config.surprise_medium_min && (is_far || !is_mobile) {
            Some(Severity::Medium)
        } else if self.new_country {
            Some(Severity::Low)
        } else {
            let near = self.new_region && (is_far || !is_mobile);
            (strange_client && (near || class == NetworkClass::Vpn)).then_some(Severity::Low)
        }
    }
}

impl Person {
    fn judge(&self, traits: &Traits) -> Verdict {
        let new = |feature, value| !self.habits.knows(feature, value, traits.day);
        // Where there is no device id as usual, the user agent's family has to do.
        let (device_feature, device, device_prior) = match traits.device {
            NO_DEVICE if !new(Feature::Device, NO_DEVICE) => (Feature::Agent, traits.agent, AGENT_PRIOR),
            device => {
                let [one, several] = DEVICE_PRIORS;
                (Feature::Device, device, if self.habits.known(Feature::Device, traits.day) > 1 { several } else { one })
            }
        };
        let new_country = new(Feature::Country, traits.country);
        let mut surprise = self.surprise(Feature::Country, traits.country, 0.02, traits.day)
            + self.surprise(Feature::Network, traits.network, 0.1, traits.day)
            + self.surprise(device_feature, device, device_prior, traits.day);
        if !new_country {
            // A region of a new country is no further news.
            surprise += self.surprise(Feature::Region, traits.region, 0.1, traits.day);
        }
        Verdict {
            surprise,
            new_country,
            new_region: new(Feature::Region, traits.region),
            new_network: new(Feature::Network, traits.network),
            new_device: new(device_feature, device),
            own_device: traits.device != NO_DEVICE
                && !new(Feature::Device, traits.device)
                && self.habits.seen_before(Feature::Device, traits.device, traits.day),
        }
    }

    /// Farther from the person's latest place than a carrier's gateway lies from its phones?
    fn is_far(&self, traits: &Traits) -> bool {
        let both = traits.place.zip(self.last_place);
        both.is_some_and(|(now, before)| least_distance_km(&now, &before) > GATEWAY_DISTANCE_KM)
    }

    fn surprise(&self, feature: Feature, value: u32, prior: f32, day: u16) -> f32 {
        let (one, all) = self.habits.weights(feature, value, day);
        if value == 0 || all <= 0.0 {
            return 0.0;
        }
        // Shares stay, the certainty is bounded.
        let scale = (WEIGHT_MAX / all).min(1.0);
        -((one * scale + SMOOTHING * prior) / (all * scale + SMOOTHING)).log10()
    }

    fn count(&mut self, traits: &Traits, time_ms: i64) {
        self.sign_ins = self.sign_ins.saturating_add(1);
        self.days = self.days.saturating_add(u16::from(self.last_ms == i64::MIN || traits.day > self.last_day));
        self.last_day = self.last_day.max(traits.day);
        self.last_ms = self.last_ms.max(time_ms);
    }

    /// The first use of a known device on a new day counts like a sign-in: sessions live for weeks.
    fn goes_on(&mut self, event: &Event<'_>) {
        if day_of(event.time_ms()) <= self.last_day {
            return;
        }
        let traits = Traits::of(event);
        if traits.device != NO_DEVICE && self.habits.knows(Feature::Device, traits.device, traits.day) {
            self.learn(&traits, 1.0);
            self.count(&traits, event.time_ms());
        }
    }

    fn learn(&mut self, traits: &Traits, weight: f32) {
        let knows_device = self.habits.knows(Feature::Device, traits.device, traits.day);
        let places = traits.class.tells_place();
        if places {
            let says_where = weight >= 1.0 && (traits.class != NetworkClass::Mobile || self.last_place.is_none());
            self.last_place = traits.place.filter(|_| says_where).or(self.last_place);
            self.habits.learn(Feature::Country, traits.country, traits.day, weight);
            self.habits.learn(Feature::Region, traits.region, traits.day, weight);
        }
        // Behind a tunnel anybody may be, so a device seen there alone becomes known slowly.
        let weight = if places || knows_device { weight } else { weight.min(DOUBTFUL) };
        self.habits.learn(Feature::Network, traits.network, traits.day, weight);
        self.habits.learn(Feature::Device, traits.device, traits.day, weight);
        self.habits.learn(Feature::Agent, traits.agent, traits.day, weight);
    }
}

struct UnusualLocation {
    config: Config,
    people: KeyedState<Person>,
}

impl UnusualLocation {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            surprise_min: parameters.float("surprise_min") as f32,
            surprise_medium_min: parameters.float("surprise_medium_min") as f32,
            sign_ins_min: u32::try_from(parameters.int("sign_ins_min")).unwrap_or(u32::MAX),
            days_min: u16::try_from(parameters.int("days_min")).unwrap_or(u16::MAX),
        };
        Self { config, people: KeyedState::new(budget) }
    }
}

impl Detector for UnusualLocation {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let counts = event.outcome() == Outcome::Success && event.user_kind() == UserKind::Human && event.ip().is_some();
        if !counts || matches!(event.network_class(), NetworkClass::Relay | NetworkClass::Satellite) {
            return;
        }
        match event.kind() {
            Kind::Login => {}
            Kind::ApiRequest | Kind::TokenRefresh => {
                if let Some(mut person) = self.people.get_mut(key.hash, event.watermark_ms()) {
                    person.goes_on(event);
                }
                return;
            }
            _ => return,
        }
        let traits = Traits::of(event);
        let mut person = self.people.entry(key.hash, event.watermark_ms(), Person::default);
        let established = person.sign_ins >= self.config.sign_ins_min && person.days >= self.config.days_min;
        let told = if established {
            let verdict = person.judge(&traits);
            verdict.severity(traits.class, person.is_far(&traits), &self.config).map(|severity| (verdict, severity))
        } else {
            None
        };
        if let Some((verdict, severity)) = &told {
            findings.push(finding(event, verdict, *severity, &person, &self.config));
        }
        person.learn(&traits, if told.is_some_and(|(verdict, _)| verdict.new_device) { DOUBTFUL } else { 1.0 });
        person.count(&traits, event.time_ms());
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        matches!(event, Kind::Login | Kind::ApiRequest | Kind::TokenRefresh)
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.people);
    }
}

fn finding(event: &Event<'_>, verdict: &Verdict, severity: Severity, person: &Person, config: &Config) -> Finding {
    let mut finding = Finding::new(event, format!("user:{}", event.user().unwrap_or_default()), severity);
    "Sign-in from an unusual location".clone_into(&mut finding.title);
    let news = [
        (verdict.new_country, "country"),
        (verdict.new_region, "region"),
        (verdict.new_network, "network"),
        (verdict.new_device, "device"),
    ];
    let news: Vec<&str> = news.iter().filter(|(new, _)| *new).map(|(_, name)| *name).collect();
    let limit = if severity == Severity::Medium { config.surprise_medium_min } else { config.surprise_min };
    let place = event.place();
    let country = place.as_ref().map_or("", |place| place.country_str());
    finding.reason = format!(
        "New for this person: {}{}; surprise {:.1} (limit {limit:.1}) against {} sign-ins on {} days.",
        news.join(", "),
        if country.is_empty() { String::new() } else { format!(" ({country})") },
        verdict.surprise,
        person.sign_ins,
        person.days
    );
    finding.confidence = (0.2 + verdict.surprise / 20.0 + f32::from(person.days.min(20)) / 100.0).min(0.9);
    finding
        .note("surprise", f64::from((verdict.surprise * 100.0).round()) / 100.0)
        .note("surprise_min", f64::from(limit))
        .note("new_country", verdict.new_country)
        .note("new_region", verdict.new_region)
        .note("new_network", verdict.new_network)
        .note("new_device", verdict.new_device)
        .note("country", country)
        .note("known_sign_ins", person.sign_ins)
        .note("known_days", person.days)
        .note("known_values", person.habits.len());
    finding.involve(Subject::new(EntityKind::User, event.user().unwrap_or_default(), Role::Victim));
    if let Some(ip) = event.ip() {
        finding.involve(Subject::new(EntityKind::Ip, ip, Role::Attacker));
    }
    if let Some(session) = event.session() {
        finding.involve(Subject::new(EntityKind::Session, session, Role::Victim));
    }
    if severity > Severity::Low {
        finding.actions.push(Action::StepUp);
    }
    finding
}
