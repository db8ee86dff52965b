//! Unusual location: a sign-in whose country, region, network and device do not fit its person
//! (ATT&CK T1078).
//!
//! Not a list of first seen values but a likelihood. How often does a sign-in bring somebody a new country, a new device?
//! Before anything is known of a person it is as often as among people in general; each sign-in that brought nothing new
//! makes it rarer, each value beyond those that everybody has makes it more usual (the mean of a gamma distribution of
//! the rate, with the population's as its prior). So few sign-ins mean less, but never nothing: no fixed learning time
//! is needed, and from three sign-ins on two days it judges. What is forgotten of a person counts no more on either
//! side. Surprise is the negative decimal logarithm, summed over the features: 3 is one sign-in in a thousand.
//!
//! A new country is weighed against colleagues, too: journeys go where others are at home, to another office of the
//! firm, while a thief may be in any of a hundred countries (the ratio of likelihoods of Freeman et al., NDSS 2016). In a
//! new country every network is new, so that says no more. A sign-in without any device id, by somebody who always has
//! one, is a tool's: no new phone is like that.
//!
//! A new country with the person's own device (an id seen on an earlier day) is a journey and not told:
//! people travel, and a copied device is another detector's matter; without device ids it is low. Medium
//! takes a new country, a new line and a new device together, and enough sign-ins to make them
//! improbable; people have two devices or more, so as long as one alone is known, another one says less. What is
//! told with a new device is learnt with little weight, so that a person who moved abroad with a new
//! phone is known after three sign-ins. A session that goes on with
//! a known device teaches once a day. Failed sign-ins teach nothing; relays and satellite links are
//! not judged; a VPN's, a hosting network's or a satellite's country is not learnt, and of a VPN
//! network and device alone are judged. A carrier's gateway may lie in another country than its phone,
//! so there a new country is no more than low, and a new region nothing, unless it is far away.
//!
//! Told as high is what medium takes in a network that tells where its user is: somebody is in already. Colleagues vouch
//! for a sign-in with a device that is one of theirs, or at a place where several of them are at home. From a data centre, desktops with a device id
//! are people's; tools there have none.
//!
//! Absent on purpose: how often the tenant's own people bring something new (the priors are the same for all tenants),
//! hours of the day.

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
    looks_for: "A successful sign-in whose country, region, network and device together are improbable for its person and \
                among colleagues.",
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
    state_version: 5,
    build: |parameters, _| Box::new(UnusualLocation::new(parameters)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::float("surprise_min", 2.5, 1.0, 20.0, "Sum of surprises (negative decimal logarithms) for a finding of low severity."),
    Parameter::float("surprise_medium_min", 2.6, 1.0, 20.0, "The same for medium, which also takes a new country, network and device."),
    Parameter::float(
        "surprise_high_min",
        3.5,
        1.0,
        20.0,
        "The same for high, where the network is one that tells where its users are; and for medium, of people with few sign-ins.",
    ),
    Parameter::int("sign_ins_min", 3, 1, 1_000, "Sign-ins known before it judges."),
    Parameter::int("days_min", 2, 1, 100, "Days on which they were."),
];

/// How usual it is that a sign-in brings a value that is new for its person.
#[derive(Clone, Copy)]
struct Usual {
    /// In this part of the sign-ins of people of whom nothing is known.
    share: f32,
    /// Values that everybody has.
    values: usize,
}

/// A journey abroad of a week a year or two, and some sign-ins on it by devices that keep no session.
const COUNTRY: Usual = Usual { share: 0.01, values: 1 };
const REGION: Usual = Usual { share: 0.03, values: 1 };
/// At home and on the phone.
const NETWORK: Usual = Usual { share: 0.1, values: 2 };
/// People have two devices or more, so as long as one alone is known, another one is to be expected.
const SECOND_DEVICE: Usual = Usual { share: 0.5, values: 1 };
const DEVICE: Usual = Usual { share: 0.05, values: 2 };
/// None at all, of somebody who has always had one.
const NO_DEVICE_ID: Usual = Usual { share: 0.01, values: usize::MAX };
/// Sign-ins that the prior is worth.
const PRIOR_SIGN_INS: f32 = 5.0;
/// Countries that a stranger may be in.
const COUNTRIES: f32 = 100.0;
/// Part of the journeys that go where colleagues are.
const TO_COLLEAGUES: f32 = 0.5;
/// So far from its phones a carrier may leave the net.
const GATEWAY_DISTANCE_KM: f64 = 2_500.0;
/// Sign-ins from which on a person is known well enough for the lower limit of medium.
const WELL_KNOWN: u16 = 8;
/// It is usual enough.
const BELOW_LIMIT: &str = "below_limit";

struct Config {
    surprise_min: f32,
    surprise_medium_min: f32,
    surprise_high_min: f32,
    sign_ins_min: u16,
    days_min: u16,
}

impl Config {
    /// Surprise from which on it is told as medium: a rough guess at somebody's habits has to be passed by more.
    fn medium_min(&self, person: &Person) -> f32 {
        if person.sign_ins() >= WELL_KNOWN { self.surprise_medium_min } else { self.surprise_high_min }
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
    fn severity(&self, class: NetworkClass, is_far: bool, medium_min: f32, config: &Config) -> Result<Severity, &'static str> {
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
        } else if self.new_country && strange_client && self.surprise >= medium_min && (is_far || !is_mobile) {
            // Somebody else is in, and not only about to be.
            Ok(if class.tells_place() && self.surprise >= config.surprise_high_min { Severity::High } else { Severity::Medium })
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
    /// [`Event::country_share`].
    country_share: f32,
}

impl SignIn<'_> {
    fn judge(&self) -> Verdict {
        let traits = &self.traits;
        // Where there is no device id as usual, the user agent's family has to do.
        let (client, value) = match traits.device {
            NO_DEVICE if self.knows(Feature::Device, NO_DEVICE) => (Feature::Agent, traits.agent),
            device => (Feature::Device, device),
        };
        let usual_client = match self.person.habits.known(client, traits.day) {
            _ if client == Feature::Device && value == NO_DEVICE => NO_DEVICE_ID,
            0 | 1 => SECOND_DEVICE,
            _ => DEVICE,
        };
        let new_country = !self.knows(Feature::Country, traits.country);
        let place = if new_country {
            self.surprise(Feature::Country, traits.country, COUNTRY) + self.elsewhere()
        } else {
            self.surprise(Feature::Region, traits.region, REGION) + self.surprise(Feature::Network, traits.network, NETWORK)
        };
        Verdict {
            surprise: place + self.surprise(client, value, usual_client),
            new_country,
            new_region: !self.knows(Feature::Region, traits.region),
            new_network: !self.knows(Feature::Network, traits.network),
            new_device: !self.knows(client, value),
            has_device: traits.device != NO_DEVICE,
            own_device: traits.device != NO_DEVICE
                && self.knows(Feature::Device, traits.device)
                && self.person.habits.seen_before(Feature::Device, traits.device, traits.day),
        }
    }

    fn knows(&self, feature: Feature, value: u32) -> bool {
        self.person.habits.knows(feature, value, self.traits.day)
    }

    /// How improbable a new value of a feature is; what is known is no surprise.
    fn surprise(&self, feature: Feature, value: u32, usual: Usual) -> f32 {
        if self.knows(feature, value) {
            return 0.0;
        }
        let (habits, day) = (&self.person.habits, self.traits.day);
        let (_, sign_ins) = habits.weights(feature, value, day);
        let news = habits.known(feature, day).saturating_sub(usual.values) as f32;
        -((usual.share * PRIOR_SIGN_INS + news) / (PRIOR_SIGN_INS + sign_ins)).log10()
    }

    /// How much more like a stranger it is to be in this new country than like a colleague.
    fn elsewhere(&self) -> f32 {
        -(1.0 - TO_COLLEAGUES + TO_COLLEAGUES * COUNTRIES * self.country_share).log10()
    }

    /// Farther from the person's latest place than a carrier's gateway lies from its phones?
    fn is_far(&self) -> bool {
        let both = self.traits.place.zip(self.person.last_place());
        both.is_some_and(|(now, before)| least_distance_km(&now, &before) > GATEWAY_DISTANCE_KM)
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
            surprise_high_min: parameters.float("surprise_high_min") as f32,
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
        let traits = Traits::of(event).filter(|traits| traits.class != NetworkClass::Satellite);
        let Some((person, traits)) = known.filter(is_established).zip(traits) else {
            return findings.remark("not_comparable", || {
                let (sign_ins, days) = known.map_or((0, 0), |person| (person.sign_ins(), person.days()));
                let Config { sign_ins_min, days_min, .. } = self.config;
                format!("Not a person's successful sign-in, or {sign_ins} sign-ins on {days} days are known (it takes {sign_ins_min} on {days_min}).")
            });
        };
        let sign_in = SignIn { person, traits, country_share: event.country_share() };
        let verdict = sign_in.judge();
        let medium_min = self.config.medium_min(person);
        let severity = verdict.severity(traits.class, sign_in.is_far(), medium_min, &self.config);
        match person.voucher(event).map_or(severity, |voucher| severity.and(Err(voucher.gate()))) {
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
    let limit = match severity {
        Severity::High | Severity::Critical => config.surprise_high_min,
        Severity::Medium => config.medium_min(person),
        Severity::Low | Severity::Info => config.surprise_min,
    };
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
    let confidence = (0.2 + verdict.surprise / 10.0 + f32::from(person.days().min(20)) / 100.0).min(0.9);
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
        .note("known_values", person.habits.len())
        .note("colleagues_share", f64::from((event.country_share() * 1_000.0).round()) / 1_000.0);
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
