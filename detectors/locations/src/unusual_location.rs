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
//! Told as high is what medium takes in a network that tells where its user is: somebody is in already. Colleagues vouch
//! for a sign-in with a device that is one of theirs, or at a place where several of them are at home. From a data centre, desktops with a device id
//! are people's; tools there have none.
//!
//! Absent on purpose: how rare a value is in the whole tenant, hours of the day.

use bartizan_core::finding::{names_of, user_key};
use bartizan_core::geo::least_distance_km;
use bartizan_core::people::{Feature, NO_DEVICE, Traits};
use bartizan_core::time::DAY_MS;
use bartizan_core::{
    Action, Detector, EntityKind, Event, Finding, Findings, Key, KeyKind, Kind, NetworkClass, Parameter, Parameters, Person, Role,
    Severity, Spec, State, Subject, Trust,
};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "unusual_location",
    title: "Unusual location",
    looks_for: "A successful sign-in whose country, region, network and device together are improbable for its person.",
    blind_spots: "Attackers in the victim's country (low at most), behind relays, in a browser in a data centre, or with the victim's or \
                  a colleague's device id; people with fewer than three sign-ins.",
    innocent_causes: "Journeys with one's own device, a new phone at home, a new line at home (not told); VPNs and relays (not compared \
                      by country); desktops in a data centre; a colleague's machine, another office (colleagues vouch for them). A \
                      journey with a new device does look like an attack: low until a person is well known.",
    keys: &[KeyKind::User],
    parameters: PARAMETERS,
    attack: &[("TA0001", "T1078")],
    yields: true,
    quiet_gap_ms: DAY_MS,
    state_version: 4,
    build: |parameters, _| Box::new(UnusualLocation::new(parameters)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::float("surprise_min", 3.5, 1.0, 20.0, "Sum of surprises (negative decimal logarithms) for a finding of low severity."),
    Parameter::float("surprise_medium_min", 6.0, 1.0, 20.0, "The same for medium, which also takes a new country, network and device."),
    Parameter::int("sign_ins_min", 3, 1, 1_000, "Sign-ins known before it judges."),
    Parameter::int("days_min", 2, 1, 100, "Days on which they were."),
];

/// Sign-ins that the share for new values is worth.
const SMOOTHING: f32 = 1.0;
/// History beyond so many sign-ins makes new values no more surprising.
const WEIGHT_MAX: f32 = 30.0;
/// So far from its phones a carrier may leave the net.
const GATEWAY_DISTANCE_KM: f64 = 2_500.0;
/// Share of new devices, in one sign-in, of a person of whom one device or several are known.
const DEVICE_PRIORS: [f32; 2] = [0.5, 0.15];
/// The same of new user agents, where there are no device ids.
const AGENT_PRIOR: f32 = 0.3;
/// It is usual enough.
const BELOW_LIMIT: &str = "below_limit";

struct Config {
    surprise_min: f32,
    surprise_medium_min: f32,
    sign_ins_min: u16,
    days_min: u16,
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
    has_device: bool,
}

impl Verdict {
    /// What is new, in words.
    fn news(&self) -> String {
        let news = [(self.new_country, "country"), (self.new_region, "region"), (self.new_network, "network"), (self.new_device, "device")];
        names_of(&news)
    }

    fn sentence(&self, person: &Person, limit: f32) -> String {
        let (news, surprise, sign_ins) = (self.news(), self.surprise, person.sign_ins());
        let news = if news.is_empty() { "nothing" } else { &news };
        let own = if self.own_device { ", with a device of their own" } else { "" };
        format!("New for this person: {news}; surprise {surprise:.1} (limit {limit:.1}) against {sign_ins} sign-ins{own}.")
    }

    /// Or the gate that keeps it silent.
    fn severity(&self, class: NetworkClass, is_far: bool, config: &Config) -> Result<Severity, &'static str> {
        let strange_client = self.new_network && self.new_device;
        // A carrier's country is its gateway's: no news for a known client, and none for a first phone
        // unless it is farther off than gateways lie.
        let is_mobile = class == NetworkClass::Mobile;
        if self.surprise < config.surprise_min {
            Err(BELOW_LIMIT)
        } else if self.own_device {
            Err("own_device")
        } else if is_mobile && !strange_client {
            Err("carrier_gateway")
        } else if class == NetworkClass::Hosting && self.has_device {
            // Tools have none, and people's desktops there do.
            Err("desktop_in_data_centre")
        } else if self.new_country && strange_client && self.surprise >= config.surprise_medium_min && (is_far || !is_mobile) {
            // Somebody else is in, and not only about to be.
            Ok(if class.tells_place() { Severity::High } else { Severity::Medium })
        } else if self.new_country {
            Ok(Severity::Low)
        } else {
            let near = self.new_region && (is_far || !is_mobile);
            if strange_client && (near || class == NetworkClass::Vpn) { Ok(Severity::Low) } else { Err("own_region_or_client") }
        }
    }
}

/// A sign-in of a person.
struct SignIn<'a> {
    person: &'a Person,
    traits: Traits,
}

impl SignIn<'_> {
    fn judge(&self) -> Verdict {
        let (habits, traits) = (&self.person.habits, &self.traits);
        let new = |feature, value| !habits.knows(feature, value, traits.day);
        // Where there is no device id as usual, the user agent's family has to do.
        let (device_feature, device, device_prior) = match traits.device {
            NO_DEVICE if !new(Feature::Device, NO_DEVICE) => (Feature::Agent, traits.agent, AGENT_PRIOR),
            device => {
                let [one, several] = DEVICE_PRIORS;
                (Feature::Device, device, if habits.known(Feature::Device, traits.day) > 1 { several } else { one })
            }
        };
        let new_country = new(Feature::Country, traits.country);
        let mut surprise = self.surprise(Feature::Country, traits.country, 0.02)
            + self.surprise(Feature::Network, traits.network, 0.1)
            + self.surprise(device_feature, device, device_prior);
        if !new_country {
            // A region of a new country is no further news.
            surprise += self.surprise(Feature::Region, traits.region, 0.1);
        }
        Verdict {
            surprise,
            new_country,
            new_region: new(Feature::Region, traits.region),
            new_network: new(Feature::Network, traits.network),
            new_device: new(device_feature, device),
            has_device: traits.device != NO_DEVICE,
            own_device: traits.device != NO_DEVICE
                && !new(Feature::Device, traits.device)
                && habits.seen_before(Feature::Device, traits.device, traits.day),
        }
    }

    /// Farther from the person's latest place than a carrier's gateway lies from its phones?
    fn is_far(&self) -> bool {
        let both = self.traits.place.zip(self.person.last_place());
        both.is_some_and(|(now, before)| least_distance_km(&now, &before) > GATEWAY_DISTANCE_KM)
    }

    fn surprise(&self, feature: Feature, value: u32, prior: f32) -> f32 {
        let (one, all) = self.person.habits.weights(feature, value, self.traits.day);
        if value == 0 || all <= 0.0 {
            return 0.0;
        }
        // Shares stay, the certainty is bounded.
        let scale = (WEIGHT_MAX / all).min(1.0);
        -((one * scale + SMOOTHING * prior) / (all * scale + SMOOTHING)).log10()
    }
}

struct UnusualLocation {
    config: Config,
}

impl UnusualLocation {
    fn new(parameters: &Parameters) -> Self {
        let config = Config {
            surprise_min: parameters.float("surprise_min") as f32,
            surprise_medium_min: parameters.float("surprise_medium_min") as f32,
            sign_ins_min: parameters.count("sign_ins_min"),
            days_min: parameters.count("days_min"),
        };
        Self { config }
    }
}

impl Detector for UnusualLocation {
    fn observe(&mut self, _: Key, event: &Event<'_>, findings: &mut Findings) {
        let known = event.person().filter(|_| event.kind() == Kind::Login);
        let is_established = |person: &&Person| person.sign_ins() >= self.config.sign_ins_min && person.days() >= self.config.days_min;
        let Some((person, traits)) = known.filter(is_established).zip(Traits::of(event)) else {
            return findings.remark("not_comparable", || {
                let (sign_ins, days) = known.map_or((0, 0), |person| (person.sign_ins(), person.days()));
                let Config { sign_ins_min, days_min, .. } = self.config;
                format!("Not a person's successful sign-in, or {sign_ins} sign-ins on {days} days are known (it takes {sign_ins_min} on {days_min}).")
            });
        };
        let sign_in = SignIn { person, traits };
        let verdict = sign_in.judge();
        let severity = verdict.severity(traits.class, sign_in.is_far(), &self.config);
        match event.voucher().map_or(severity, |voucher| severity.and(Err(voucher.gate()))) {
            Ok(severity) => {
                findings.push(finding(event, &verdict, severity, person, &self.config));
                if verdict.new_device {
                    findings.doubt(Trust::Doubtful);
                }
            }
            Err(BELOW_LIMIT) => findings.remark(BELOW_LIMIT, || verdict.sentence(person, self.config.surprise_min)),
            Err(gate) => findings.excuse(gate, user_key(event), Severity::Low, verdict.sentence(person, self.config.surprise_min)),
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        event == Kind::Login
    }

    fn goes_by_people(&self) -> bool {
        true
    }

    /// All that it goes by is what is known of people.
    fn each_state(&mut self, _: &mut dyn FnMut(&mut dyn State)) {}
}

fn finding(event: &Event<'_>, verdict: &Verdict, severity: Severity, person: &Person, config: &Config) -> Finding {
    let mut finding = Finding::new(event, user_key(event), severity);
    "Sign-in from an unusual location".clone_into(&mut finding.title);
    let limit = if severity > Severity::Low { config.surprise_medium_min } else { config.surprise_min };
    let place = event.place();
    let country = place.as_ref().map_or("", |place| place.country_str());
    finding.reason = format!(
        "New for this person: {}{}; surprise {:.1} (limit {limit:.1}) against {} sign-ins on {} days.",
        verdict.news(),
        if country.is_empty() { String::new() } else { format!(" ({country})") },
        verdict.surprise,
        person.sign_ins(),
        person.days()
    );
    let confidence = (0.2 + verdict.surprise / 20.0 + f32::from(person.days().min(20)) / 100.0).min(0.9);
    finding.confidence = (confidence * 1_000.0).round() / 1_000.0;
    finding
        .note("surprise", f64::from((verdict.surprise * 100.0).round()) / 100.0)
        .note("surprise_min", f64::from(limit))
        .note("new_country", verdict.new_country)
        .note("new_region", verdict.new_region)
        .note("new_network", verdict.new_network)
        .note("new_device", verdict.new_device)
        .note("country", country)
        .note("known_sign_ins", person.sign_ins())
        .note("known_days", person.days())
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
