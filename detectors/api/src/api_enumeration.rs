//! API enumeration: somebody asks for one object after the other that is not theirs (OWASP API1:2023, broken object level
//! authorisation; ATT&CK T1087, T1213), or for path after path that is not there.
//!
//! A principal (the user; without one the session, the token, at last the address) is watched route by route, with the
//! ids taken out: what looks like one, what stands where many different names do, and ids in the query. Four things make
//! a walk of many requests: nearly all are refused or not there, as with guessed ids; one number follows the other; there
//! are many times more different objects in a day than this principal ever asked for; or, of one without a habit, than nearly all
//! others ask for. The first two are counted within an hour and within a day, for whoever is patient. Accounts that are new
//! are counted together as well, by address, since a walk may be shared out among them.
//!
//! **Peers.** What everybody does is no walk. A route that is refused or fails for nearly everybody now is broken. Where
//! others go in order as well, a client prefetches or synchronises, and the limit is four times what they do. Paths that are
//! missed by several are links of a page or an app. Only who was there on an earlier day counts as a peer, so that throwaway
//! accounts cannot excuse each other.
//!
//! What else is not a walk: one object over and over (a broken link, a client that tries again), pages of a list, and what this
//! principal does each day: a support desk, an export job. Programs are left alone unless they are refused: their first day
//! looks like a walk.
//!
//! Refused walks are attempts; where objects were handed out it is a hit, and critical where they were changed.
//!
//! A route that says it is made for bulk (`export`, `download`, `archive` …) may be gone through in order and to the end by
//! whoever gets what it asks for.
//!
//! **Cost.** Requests are the bulk of all events. The path is read in one pass and objects are counted without logarithms.
//! Principals and addresses are spread over all slices; what peers do and which texts are names all have in common
//! ([`Tenants`]), as of the epoch before, and report to it when a principal's requests have doubled or its day is over.
//!
//! Others go by fixed limits for each address: CrowdSec's scenarios count different paths that are not there in a bucket
//! from which one leaks every ten seconds, Wallarm's triggers count requests for a route that was marked within a stated
//! time. Such limits are too low for a support desk or an office, and too high for the patient.

mod crowd;
mod names;
mod objects;
mod peers;
mod readings;
mod report;
mod route;
mod tenants;
mod walks;

use bartizan_core::time::HOUR_MS;
use bartizan_core::{
    Budget, Common, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Parameter, Parameters, Severity, Spec, State, UserKind,
    client,
};
use crowd::Crowd;
use names::SAMPLE;
use peers::DAY_SAMPLE;
use readings::Readings;
use report::{Rule, Who};
use route::Asked;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use tenants::{Tenant, Tenants, UNKNOWN};
use walks::{Request, Step, Walk, Walks, seconds};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "api_enumeration",
    title: "API enumeration",
    looks_for: "One principal, or new accounts of one address together, that ask for many different objects of a route which are refused, \
                follow each other by number, or are far more than it or its peers ever asked for; and many different paths that are not there.",
    blind_spots: "Fewer objects than its limits a day (with the defaults 59 refused ones, or 199 in order); names as ids until about seventy \
                  different ones of a route were answered; ids in the body (GraphQL); a walk over several accounts from several addresses, or \
                  over accounts that were there on an earlier day, or each in a range of its own; objects granted in random order to new accounts in \
                  turn; accounts that excuse each other in a tenant's first two days; programs that get what they ask for or try routes; whoever goes \
                  through a route for exports and downloads and gets all of it.",
    innocent_causes: "Support desks, export jobs (own habit, programs), routes that are broken for everybody, clients that prefetch or \
                      synchronise in order (peers do so, too), links of a new release that lead nowhere (missed by several), pages of lists, \
                      dates, retries of one object, exports through a route that is named so (nearly all granted), offices and carriers (few objects of each, granted).",
    keys: &[KeyKind::Principal, KeyKind::Address, KeyKind::Subnet],
    parameters: PARAMETERS,
    attack: &[("TA0007", "T1087"), ("TA0009", "T1213")],
    yields: false,
    quiet_gap_ms: 2 * HOUR_MS,
    state_version: 4,
    build: |parameters, budget| Box::new(ApiEnumeration::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::int("refused_min", 30, 5, 1_000, "Different objects within an hour of which most are refused."),
    Parameter::int("refused_day_min", 60, 5, 1_000, "The same within a day."),
    Parameter::float("refused_share_min", 0.5, 0.1, 1.0, "Share of requests that most are."),
    Parameter::int("sequential_min", 60, 5, 1_000, "Different objects within an hour, most of them one after the other by number."),
    Parameter::int("sequential_day_min", 200, 5, 1_000, "The same within a day."),
    Parameter::float("sequential_share_min", 0.7, 0.1, 1.0, "Share of requests that follow the one before by number."),
    Parameter::int("volume_min", 500, 20, 3_000, "Different objects within a day that are far more than ever."),
    Parameter::int("peer_volume_min", 200, 20, 3_000, "Different objects within a day that are far more than peers ask for."),
    Parameter::float(
        "habit_factor",
        10.0,
        2.0,
        1_000.0,
        "How many times the objects of a usual day, or of 99 of 100 days of peers, that is.",
    ),
    Parameter::int("peers_min", 100, 20, 2_000, "Days of principals from which on it is known what peers of a route ask for."),
    Parameter::int("accounts_min", 3, 2, 16, "New accounts of one address that are counted together."),
    Parameter::int("granted_min", 5, 1, 1_000, "Requests of a walk that were granted from which on it is a hit."),
    Parameter::int("missing_min", 15, 5, 1_000, "Different routes within an hour that are not there or closed, more than are granted."),
];

/// The limits, read once.
pub(crate) struct Config {
    refused_min: u32,
    refused_day_min: u32,
    refused_share_min: f64,
    sequential_min: u32,
    sequential_day_min: u32,
    sequential_share_min: f64,
    volume_min: u32,
    peer_volume_min: u32,
    habit_factor: f64,
    peers_min: u32,
    accounts_min: u32,
    granted_min: u32,
    missing_min: u32,
}

struct ApiEnumeration {
    config: Config,
    principals: KeyedState<Walks>,
    addresses: KeyedState<Crowd>,
    readings: Readings,
}

impl ApiEnumeration {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            refused_min: parameters.count("refused_min"),
            refused_day_min: parameters.count("refused_day_min"),
            refused_share_min: parameters.float("refused_share_min"),
            sequential_min: parameters.count("sequential_min"),
            sequential_day_min: parameters.count("sequential_day_min"),
            sequential_share_min: parameters.float("sequential_share_min"),
            volume_min: parameters.count("volume_min"),
            peer_volume_min: parameters.count("peer_volume_min"),
            habit_factor: parameters.float("habit_factor"),
            peers_min: parameters.count("peers_min"),
            accounts_min: parameters.count("accounts_min"),
            granted_min: parameters.count("granted_min"),
            missing_min: parameters.count("missing_min"),
        };
        Self { config, principals: KeyedState::new(budget), addresses: KeyedState::new(budget), readings: Readings::new() }
    }

    /// What a principal asks for, or an address for whoever has no name.
    fn ask(&mut self, key: Key, one: &One<'_, '_>, findings: &mut Findings) {
        let (config, event, now_s, tenant) = (&self.config, one.event, one.now_s, one.tenant());
        let asked = self.readings.read(one.path, one.tenant_key, &tenant.names);
        let sampled = asked.is_sampled && event.seq().is_multiple_of(SAMPLE);
        if (asked.is_news || sampled) && walks::is_grant(one.status) {
            tenant.names.to_learn(one.path, sampled, |place, bit| findings.report(tenants::text(one.tenant_key, now_s, place, bit)));
        }
        let mut walks = self.principals.entry(key.hash, event.watermark_ms(), || Walks::since(event.time_ms()));
        walks.touch(event.time_ms());
        let counts = one.is_named && (tenant.is_new(now_s) || walks.is_known(now_s));
        let Some(request) = one.request(&asked) else {
            return miss(&mut walks, one, &asked, counts, config, findings);
        };
        if walks::is_grant(one.status) {
            walks.grant();
        }
        let was_excused = walks.was_excused(now_s);
        let Some((step, walk)) = walks.ask(now_s, &request, config) else { return };
        if counts {
            if let Some(ended) = step.ended {
                let days = if tenant.peers.has_plenty_of(request.route, ended.0) { DAY_SAMPLE } else { 1 };
                // Of days that are alike chance tells those that speak for all.
                if one.print.rotate_left(now_s).is_multiple_of(days) {
                    findings.report(tenants::day(one.tenant_key, now_s, request.route, ended, days as u16));
                }
            }
            if !walk.told && walk.has_doubled() {
                findings.report(tenants::doing(one.tenant_key, now_s, request.route, one.print, walk, config));
            }
        }
        match judge(walk, step, &request, one, config) {
            Some(Ok(rule)) => {
                walk.told = true;
                findings.push(report::walked(event, Who::One, walk, rule, one.writes(), config));
            }
            Some(Err((gate, why))) => {
                let sentence = || format!("{} {why}", walk.sentence());
                if was_excused {
                    return findings.remark(gate, sentence);
                }
                let sentence = sentence();
                walks.note_excuse(now_s);
                findings.excuse(gate, Who::One.key(event), Severity::Medium, sentence);
            }
            None => {
                findings.remark(BELOW_LIMIT, || walk.sentence());
                if request.refused {
                    miss(&mut walks, one, &asked, counts, config, findings);
                }
            }
        }
    }

    /// What those who are new at an address ask for together.
    fn ask_together(&mut self, key: Key, one: &One<'_, '_>, findings: &mut Findings) {
        let (config, event, now_s) = (&self.config, one.event, one.now_s);
        if event.user_kind() == UserKind::Service {
            return findings.remark("service", || "Programs are not counted together.".to_owned());
        }
        let mut crowd = self.addresses.entry(key.hash, event.watermark_ms(), Crowd::default);
        if !crowd.is_newcomer(event.time_ms(), one.print) {
            return findings.remark("no_crowd", || "Is alone at its address, or was there on an earlier day.".to_owned());
        }
        let Tenant { names, peers, .. } = one.tenant();
        let asked = self.readings.read(one.path, one.tenant_key, names);
        let Some(request) = one.request(&asked) else {
            if walks::is_grant(one.status) {
                crowd.grant();
            } else if walks::is_missing(one.status)
                && !peers.is_missed_by_all(asked.route)
                && let Some((paths, members)) = crowd.miss(event.time_ms(), one.print, asked.route, config)
            {
                findings.push(report::scanned(event, Who::Several(members), paths, config));
            }
            return;
        };
        if !(request.refused || request.number.is_some()) {
            return findings.remark(BELOW_LIMIT, || "Neither refused nor one number after the other.".to_owned());
        }
        let Some((step, walk, members)) = crowd.ask(event.time_ms(), one.print, &request, config) else {
            return findings.remark(BELOW_LIMIT, || "Too few accounts of this address ask for too little.".to_owned());
        };
        let who = Who::Several(members);
        let (rule, gate) = if walk.is_refused(&request, config) {
            (Rule::Refused, peers.broken(request.route, one.print, now_s).map(|_| "broken_for_all"))
        } else if walk.is_in_order(step, config) {
            let allowed = peers.in_order_max(request.route, one.print, now_s) * u32::from(members);
            let gate = if one.is_export(walk) { Some(BULK_ROUTE) } else { (walk.day.objects() <= allowed).then_some("prefetched") };
            (Rule::InOrder { allowed }, gate)
        } else {
            return findings.remark(BELOW_LIMIT, || walk.sentence());
        };
        match gate {
            None => findings.push(report::walked(event, who, walk, rule, one.writes(), config)),
            Some(gate) => {
                let sentence = format!("{} new accounts of one address: {}", members, walk.sentence());
                if crowd.may_excuse(now_s) {
                    findings.excuse(gate, who.key(event), Severity::Medium, sentence);
                }
            }
        }
    }
}

/// One request, and who made it.
struct One<'a, 'e> {
    event: &'a Event<'e>,
    path: &'e str,
    status: u16,
    print: u32,
    /// Has it a principal of its own, or is it its address?
    is_named: bool,
    now_s: u32,
    tenant_key: u64,
}

impl<'e> One<'_, 'e> {
    /// What is known of its tenant. Most of those who share an address need not know.
    fn tenant(&self) -> &'e Tenant {
        self.event.common::<Tenants>().map_or(&UNKNOWN, |tenants| tenants.get(self.tenant_key, self.event.watermark_ms()))
    }

    fn writes(&self) -> bool {
        matches!(self.event.method(), Some("PUT" | "POST" | "PATCH" | "DELETE"))
    }

    /// The request, if it is one for an object.
    fn request(&self, asked: &Asked) -> Option<Request> {
        asked.object.map(|object| Request::new(asked, object, self.writes(), self.status))
    }

    /// Is the route there to fetch much, and is that what is done?
    fn is_export(&self, walk: &Walk) -> bool {
        !self.writes() && walk.is_granted() && route::is_bulk(self.path)
    }
}

const BELOW_LIMIT: &str = "below_limit";
const BULK_ROUTE: &str = "bulk_route";

/// A principal asks for a route that may not be there.
fn miss(walks: &mut Walks, one: &One<'_, '_>, asked: &Asked, counts: bool, config: &Config, findings: &mut Findings) {
    if !walks::is_missing(one.status) {
        if walks::is_grant(one.status) {
            walks.grant();
        }
        return findings.remark("no_object", || "The path names no object by an id.".to_owned());
    }
    let peers = &one.tenant().peers;
    let is_missed_by_all = |route| peers.is_missed_by_all(route);
    if is_missed_by_all(asked.route) {
        return findings.remark("missing_for_all", || "The path is not there for several others, either.".to_owned());
    }
    let (paths, is_new) = walks.miss(one.now_s, asked.route);
    if counts && is_new {
        findings.report(tenants::missed(one.tenant_key, one.now_s, asked.route, one.print));
    }
    let sentence = || report::missing(Who::One, paths, config);
    if !walks.is_scan(config) {
        return findings.remark(BELOW_LIMIT, sentence);
    }
    // What was asked for before the others had been heard of counts among them, too.
    let (gate, why) = if walks.missing.are_mostly(is_missed_by_all) {
        ("missing_for_all", "Most are not there for several others, either.")
    } else if one.is_named && one.event.user_kind() == UserKind::Service {
        ("service", "A program with a credential of its own, as a scanner that one pays for has.")
    } else {
        return findings.push(report::scanned(one.event, Who::One, paths, config));
    };
    if walks.may_excuse(one.now_s) {
        findings.excuse(gate, Who::One.key(one.event), Severity::Medium, format!("{} {why}", sentence()));
    } else {
        findings.remark(gate, sentence);
    }
}

/// A gate that keeps a walk silent, and why.
type Gate = (&'static str, Why);

/// What speaks for a walk; put into words when it is told.
#[derive(Clone, Copy)]
enum Why {
    /// A reason without numbers.
    Said(&'static str),
    /// The route fails for so many of so many others.
    Broken(usize, usize),
    /// So many objects in order are usual.
    Prefetched(u32),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(why) => f.write_str(why),
            Self::Broken(failing, others) => write!(f, "The route fails for {failing} of {others} others as well."),
            Self::Prefetched(allowed) => write!(f, "Others go through this route in order, too: up to {allowed} objects are usual."),
        }
    }
}

/// Which limits a request's walk passed, or what speaks for it.
fn judge(walk: &Walk, step: Step, request: &Request, one: &One<'_, '_>, config: &Config) -> Option<Result<Rule, Gate>> {
    let (is_human, day) = (one.event.user_kind() == UserKind::Human, walk.day.objects());
    let exports = (BULK_ROUTE, Why::Said("The route is there to fetch much, and nearly all of it is granted."));
    let service = ("service", Why::Said("A program that is granted what it asks for."));
    let beyond = |usual: u32| f64::from(day) >= config.habit_factor * f64::from(usual.max(1));
    let mut gate = None;
    if walk.is_refused(request, config) {
        match one.tenant().peers.broken(request.route, one.print, one.now_s) {
            None => return Some(Ok(Rule::Refused)),
            Some((failing, others)) => gate = Some(("broken_for_all", Why::Broken(failing, others))),
        }
    }
    if walk.is_in_order(step, config) {
        if walk.is_usual() {
            gate = Some(("own_habit", Why::Said("Its principal asks for as many each day.")));
        } else if !is_human {
            gate = Some(service);
        } else if one.is_export(walk) {
            gate = Some(exports);
        } else {
            let allowed = one.tenant().peers.in_order_max(request.route, one.print, one.now_s);
            if day > allowed {
                return Some(Ok(Rule::InOrder { allowed }));
            }
            gate = Some(("prefetched", Why::Prefetched(allowed)));
        }
    }
    if walk.is_large(config) && !walk.is_usual() {
        let own = walk.habit().is_some_and(|habit| day >= config.volume_min && beyond(habit.into()));
        let peers = one.tenant().peers.usual_max(request.route, config).filter(|usual| day >= config.peer_volume_min && beyond(*usual));
        let rule = if own { Some(Rule::Volume) } else { peers.map(|usual| Rule::BeyondPeers { usual }) };
        match rule {
            Some(_) if is_human && one.is_export(walk) => gate = gate.or(Some(exports)),
            Some(rule) if is_human => return Some(Ok(rule)),
            Some(_) => gate = gate.or(Some(service)),
            None => {}
        }
    }
    gate.map(Err)
}

impl Detector for ApiEnumeration {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let principal = event.key(KeyKind::Principal);
        let is_ipv6 = event.ip().is_some_and(|ip: IpAddr| ip.is_ipv6());
        // An address stands for whoever has no name. New accounts are counted together by IPv4 address, or by IPv6 /48,
        // whose owner has all its addresses.
        let is_alone = match (key.kind, principal) {
            (KeyKind::Principal, _) | (KeyKind::Address, None) => true,
            (KeyKind::Address, Some(_)) if !is_ipv6 => false,
            (KeyKind::Subnet, Some(_)) if is_ipv6 => false,
            _ => return findings.remark("other_key", || "Is counted by another key.".to_owned()),
        };
        let (Some(path), Some(status)) = (event.path(), event.status()) else {
            return findings.remark("no_request", || "Has no path or no status.".to_owned());
        };
        let tenant_key = event.key(KeyKind::Tenant).map_or(0, |tenant| tenant.hash);
        let print = client::short(principal.or(Some(key)));
        let now_s = seconds(event.time_ms());
        let one = One { event, path, status, print, is_named: principal.is_some(), now_s, tenant_key };
        if is_alone { self.ask(key, &one, findings) } else { self.ask_together(key, &one, findings) }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        event == Kind::ApiRequest
    }

    fn common(&self, budget: &Arc<Budget>) -> Option<Box<dyn Common>> {
        Some(Box::new(Tenants::new(budget)))
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.principals);
        visit(&mut self.addresses);
    }
}
