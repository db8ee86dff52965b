//! Client integrity: the backend reached past the app (ATT&CK T1550.001, T1036, T1585).
//!
//! A token that was issued to a mobile app is meant for that app. In the hands of a script, of a copy or of an emulator it is
//! used by something that the app's makers never wrote. No member of an event proves that, since all can be forged; but
//! forging all of them alike is hard, and each piece here is independent of the others.
//!
//! - **What the app's users have.** For each app the programs (families of user agents), TLS clients, versions, and shares of
//!   valid attestation are learnt from all its users. Values become usual only by many users over days and from several
//!   networks; what is told as strange teaches nothing. A few days pass before an app is judged at all, and only apps of
//!   phones are: where browsers and programs of all sorts are at home, a strange one proves nothing.
//! - **Whose session it is.** Sessions and tokens seen with the app's own clients are remembered with the app, so that the
//!   use by another client is told as what it is: a hit, if it comes from another network.
//! - **Pieces.** Strong ones: a tool as user agent, a TLS client that the app never has, a failed attestation (or none where
//!   nearly all requests of that kind have one), a version never released, a session of the app for one system in that for
//!   another. Weak ones go with them: a hosting network, an old version that nobody else has, another network and device than
//!   the session's. It takes two, one of them strong, and three where the strong one is neither a tool nor a false version:
//!   then a hosting network must be among them. One alone is context of low severity, or nothing.
//! - **One cause for several pieces.** An update of the system changes the TLS client, a page within the app the user agent,
//!   the TLS client and the attestation, an old phone all of them. So a device that goes on keeps its owner's trust, a new
//!   client that appears with many users on many networks is a release, pages and old phones are context, and while proofs
//!   fail for all of the app's networks a failure says nothing.
//! - **Farms.** Many users behind one device, or many new users of one model and build from hosting networks. Shared tablets
//!   and kiosks have many users too; so two more signs are needed.
//!
//! The population and the sessions lie together under the app: only so can a session in strange hands be told from a back end
//! that all sessions of the app pass through.
//!
//! Absent on purpose: the order of headers and of calls, which logs do not have; sessions of events that name no app.

mod agent;
mod farm;
mod grants;
mod look;
mod population;
mod report;
mod verdict;

use agent::Memos;
use bartizan_core::time::HOUR_MS;
use bartizan_core::{
    Budget, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Outcome, Parameter, Parameters, Severity, Spec, State, UserKind,
};
use farm::{Device, Models};
use grants::Grant;
use look::Look;
use population::{Fit, Gate, Lesson, Population, Standing};
use std::sync::Arc;
use verdict::BELOW_LIMIT;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "client_integrity",
    title: "Backend reached past the app",
    looks_for: "Tokens and sessions of a mobile app used by something that is not the app: a script, an unknown TLS client, a failed \
                or missing attestation, a version never released; and farms of accounts behind one device or device model.",
    blind_spots: "A copy that sends the app's user agent with the app's TLS client and a valid or usually missing attestation; a \
                  strange client with nothing but one piece of evidence against it; tools in use by five users before the app was old \
                  enough to be judged; events that name no application; thieves in the owner's own subnet (an attempt, not a hit), in \
                  offices, or with the owner's device id and an app's user agent; a strange client spread at once over six users and \
                  five networks, of which the TLS client alone is odd; a \
                  phone's browser as user agent, from a home or a carrier; web applications.",
    innocent_causes: "Releases and updates of system or TLS library (many users, many networks; the device goes on); company proxies \
                      (offices alone); beta versions (a small step ahead); old phones; rooted phones (one piece); attestation outages \
                      (the latest networks of the app); pages within the app; browsers that share the application; shared tablets; the \
                      company's own monitors (service users, internal addresses). A new back end that forwards its users' sessions \
                      from a public address does look like theft.",
    keys: &[KeyKind::App, KeyKind::Device],
    parameters: PARAMETERS,
    attack: &[("TA0005", "T1550.001"), ("TA0005", "T1036"), ("TA0042", "T1585")],
    yields: false,
    quiet_gap_ms: 6 * HOUR_MS,
    state_version: 2,
    build: |parameters, budget| Box::new(ClientIntegrity::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::int("app_users_min", 10, 3, 48, "Users of an app by which it can be judged."),
    Parameter::int(
        "usual_days_min",
        2,
        1,
        30,
        "Days on which several users had a value, until it is usual; of an app, until it can be judged.",
    ),
    Parameter::int("usual_users_min", 5, 2, 48, "Users that make a value usual."),
    Parameter::int("usual_networks_min", 3, 1, 24, "Networks (/24 or /48) that make a value usual."),
    Parameter::float(
        "attested_share_min",
        0.95,
        0.5,
        1.0,
        "Share of requests of a kind with valid attestation from which one without is strange.",
    ),
    Parameter::float(
        "outage_share_max",
        0.2,
        0.01,
        1.0,
        "Share of the latest networks without valid attestation above which it proves nothing.",
    ),
    Parameter::float("hosting_share_max", 0.25, 0.0, 1.0, "Share of hosting among the app's networks above which it proves nothing."),
    Parameter::int("device_users_min", 8, 3, 60, "Users of one device within two days."),
    Parameter::int("model_users_min", 12, 3, 40, "New users of one device model and build from hosting networks within a day."),
];

/// The limits, read once.
pub(crate) struct Config {
    gate: Gate,
    device_users_min: usize,
    model_users_min: u32,
}

struct ClientIntegrity {
    config: Config,
    apps: KeyedState<Population>,
    grants: KeyedState<Grant>,
    models: KeyedState<Models>,
    devices: KeyedState<Device>,
    memos: Memos,
}

/// Sets apart from what is told what is explained.
const EXPLAINED: usize = 64;

impl ClientIntegrity {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            gate: Gate {
                app_users_min: parameters.count("app_users_min"),
                days_min: parameters.count("usual_days_min"),
                users_min: parameters.count("usual_users_min"),
                networks_min: parameters.count("usual_networks_min"),
                attested_share_min: parameters.float("attested_share_min"),
                outage_share_max: parameters.float("outage_share_max"),
                hosting_share_max: parameters.float("hosting_share_max"),
            },
            device_users_min: parameters.count("device_users_min"),
            model_users_min: parameters.count("model_users_min"),
        };
        Self {
            config,
            apps: KeyedState::new(budget),
            grants: KeyedState::new(budget),
            models: KeyedState::new(budget),
            devices: KeyedState::new(budget),
            memos: Memos::default(),
        }
    }

    fn observe_app(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let (watermark_ms, gate) = (event.watermark_ms(), &self.config.gate);
        let mut app = self.apps.entry(key.hash, watermark_ms, || Population::new(event.time_ms()));
        let Some(look) = Look::of(event, &mut self.memos) else {
            return findings.remark("no_client", || "Says nothing of a person's client of this application.".to_owned());
        };
        let places = app.places(&look);
        let is_mature = app.is_mature(look.time_ms, gate) && app.is_of_phones(look.day, gate);
        let presented = grants::presented(key, event);
        let grant = presented.filter(|_| is_mature || look.is_program_of_apps()).and_then(|key| self.grants.get(key, watermark_ms));
        let is_known = grant.is_some_and(|grant| !grant.is_news(&look));
        // Of what cannot be judged, it does not matter how it stands, and all of it founds what will be judged by.
        let fit = if is_mature { app.fit(&look, places, gate) } else { Fit::default() };
        let standing = if is_mature { app.standing(&look, places, fit, gate) } else { Standing::default() };
        let verdict = is_mature.then(|| verdict::judge(&look, &standing, grant.map(|grant| grant.jump(&look))));
        // What is no more than odd, or explained, is told once a day for each kind of client.
        let mut is_news = |pieces: usize| app.tell(look.agent ^ look.ja4.rotate_left(7) ^ u32::from(look.day) << 8 ^ pieces as u32);
        let severity = match &verdict {
            Some(Ok(verdict)) => {
                if verdict.severity > Severity::Low || is_news(verdict.evidence.count()) {
                    findings.push(report::odd_client(event, &look, &standing, verdict, &self.config));
                }
                Some(verdict.severity)
            }
            Some(Err(explained)) if explained.gate != BELOW_LIMIT && is_news(EXPLAINED + explained.evidence.count()) => {
                let reason = report::excuse(event, explained);
                findings.excuse(explained.gate, report::app_key(event), Severity::Medium, reason);
                None
            }
            Some(Err(explained)) => {
                findings.remark(explained.gate, || report::excuse(event, explained));
                None
            }
            None => {
                findings.remark("learning", || "Too few users or days of this application are known, or it is none of phones.".to_owned());
                None
            }
        };
        if is_mature && look.kind == Kind::Signup && standing.hosting && !look.corporate {
            let mut models = self.models.entry(key.hash, watermark_ms, Models::default);
            if let Some(users) = models.observe(event).filter(|users| *users >= self.config.model_users_min) {
                findings.push(report::models(event, users, &self.config));
            }
        }
        if look.done {
            let lesson = Lesson {
                fits: fit.is_whole(&look),
                founding: !is_mature,
                trusted: severity.is_none(),
                suspect: severity.is_some_and(|severity| severity > Severity::Low),
            };
            app.learn(&look, places, lesson);
            drop(app);
            let is_app = (lesson.fits || lesson.founding) && lesson.trusted && look.is_program_of_apps();
            self.follow(event, &look, is_app, [presented.filter(|_| !(is_app && is_known)), grants::issued(key, event)]);
        }
    }

    /// Remembers what the app's clients hold, and what a thief was given in return.
    fn follow(&mut self, event: &Event<'_>, look: &Look, is_app: bool, [presented, issued]: [Option<u64>; 2]) {
        let watermark_ms = event.watermark_ms();
        if is_app {
            for key in presented.into_iter().chain(issued) {
                if self.grants.get(key, watermark_ms).is_none_or(|grant| grant.is_news(look)) {
                    self.grants.entry(key, watermark_ms, || Grant::new(look)).learn(look);
                }
            }
        } else if let (Some(presented), Some(issued)) = (presented, issued)
            && let Some(grant) = self.grants.get(presented, watermark_ms).cloned()
        {
            self.grants.entry(issued, watermark_ms, || grant);
        }
    }

    fn observe_device(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let (Some(name), true) = (event.device(), event.outcome() == Outcome::Success) else { return };
        if event.user().is_none() || event.user_kind() == UserKind::Service {
            return;
        }
        let mut device = self.devices.entry(key.hash, event.watermark_ms(), Device::default);
        match device.observe(event, self.config.device_users_min) {
            Some(farm) if farm.is_first && farm.signs() >= 2 => findings.push(report::farm(event, name, &farm, &self.config)),
            _ => findings.remark("shared_device", || {
                format!(
                    "Fewer than {} users of this device within two days, told before, or users of a shared one.",
                    self.config.device_users_min
                )
            }),
        }
    }
}

impl Detector for ClientIntegrity {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        match key.kind {
            _ if !self.looks_at(key.kind, event.kind()) => {}
            KeyKind::App => self.observe_app(key, event, findings),
            _ => self.observe_device(key, event, findings),
        }
    }

    fn looks_at(&self, key: KeyKind, event: Kind) -> bool {
        match key {
            KeyKind::App => !matches!(event, Kind::Logout | Kind::TokenRevoke | Kind::MfaChallenge | Kind::MfaResult | Kind::Other),
            _ => matches!(event, Kind::Login | Kind::Signup),
        }
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.apps);
        visit(&mut self.grants);
        visit(&mut self.models);
        visit(&mut self.devices);
    }
}
