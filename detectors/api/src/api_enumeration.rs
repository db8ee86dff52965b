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
//! **Cost.** Requests are the bulk of all events. The path is read in one pass, objects are counted without logarithms,
//! and peers are told of a principal when its requests have doubled or its day is over. All of a tenant's requests meet in one
//! state, since peers can be compared nowhere else: one slice counts them all.
//!
//! Others go by fixed limits for each address: CrowdSec's scenarios count different paths that are not there in a bucket
//! from which one leaks every ten seconds, Wallarm's triggers count requests for a route that was marked within a stated
//! time. Such limits are too low for a support desk or an office, and too high for the patient.

mod crowd;
mod names;
mod objects;
mod peers;
mod report;
mod route;
mod walks;

use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{
    Budget, Detector, Event, Findings, Key, KeyKind, KeyedState, Kind, Parameter, Parameters, Retained, Severity, Spec, State, UserKind,
    client,
};
use crowd::Crowd;
use names::Names;
use peers::Peers;
use report::{Rule, Who};
use route::Asked;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use walks::{DAY_S, Request, Step, Walk, Walks, seconds};

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "api_enumeration",
    title: "API enumeration",
    looks_for: "One principal, or new accounts of one address together, that ask for many different objects of a route which are refused, \
                follow each other by number, or are far more than it or its peers ever asked for; and many different paths that are not there.",
    blind_spots: "Fewer objects than its limits a day (with the defaults 59 refused ones, or 199 in order); names as ids until about seventy \
                  different ones of a route were answered; ids in the body (GraphQL); a walk over several accounts from several addresses, or \
                  over accounts that are older than a day, or each in a range of its own; objects granted in random order to new accounts in \
                  turn; accounts that excuse each other in a tenant's first two days; programs that get what they ask for; in tenants with \
                  more principals a day than one slice holds, those who ask seldom.",
    innocent_causes: "Support desks, export jobs (own habit, programs), routes that are broken for everybody, clients that prefetch or \
                      synchronise in order (peers do so, too), links of a new release that lead nowhere (missed by several), pages of lists, \
                      dates, retries of one object, offices and carriers (few objects of each, granted).",
    keys: &[KeyKind::Tenant],
    parameters: PARAMETERS,
    attack: &[("TA0007", "T1087"), ("TA0009", "T1213")],
    quiet_gap_ms: 2 * HOUR_MS,
    state_version: 2,
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
    Parameter::int("missing_min", 25, 5, 1_000, "Different paths without an object, within an hour, that are not there."),
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

/// How long a tenant is new, and everybody in it counts as a peer.
const TENANT_NEW_S: u32 = 2 * DAY_S;
/// How long what its routes are is remembered.
const TENANT_KEPT_MS: i64 = 30 * DAY_MS;

/// What is known of a tenant's routes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tenant {
    first_s: u32,
    last_ms: i64,
    names: Names,
    peers: Peers,
}

impl Retained for Tenant {
    fn expires_ms(&self) -> i64 {
        self.last_ms.saturating_add(TENANT_KEPT_MS)
    }

    fn worth(&self) -> u8 {
        3
    }

    fn heap_bytes(&self) -> usize {
        self.names.heap_bytes() + self.peers.heap_bytes()
    }
}

struct ApiEnumeration {
    config: Config,
    tenants: KeyedState<Tenant>,
    principals: KeyedState<Walks>,
    addresses: KeyedState<Crowd>,
}

impl ApiEnumeration {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let count = |name| u32::try_from(parameters.int(name)).unwrap_or(u32::MAX);
        let config = Config {
            refused_min: count("refused_min"),
            refused_day_min: count("refused_day_min"),
            refused_share_min: parameters.float("refused_share_min"),
            sequential_min: count("sequential_min"),
            sequential_day_min: count("sequential_day_min"),
            sequential_share_min: parameters.float("sequential_share_min"),
            volume_min: count("volume_min"),
            peer_volume_min: count("peer_volume_min"),
            habit_factor: parameters.float("habit_factor"),
            peers_min: count("peers_min"),
            accounts_min: count("accounts_min"),
            granted_min: count("granted_min"),
            missing_min: count("missing_min"),
        };
        Self { config, tenants: KeyedState::new(budget), principals: KeyedState::new(budget), addresses: KeyedState::new(budget) }
    }

    /// A path that names no object.
    fn miss(&mut self, tenant: Key, one: &One<'_, '_>, route: u32, findings: &mut Findings) {
        let (config, event) = (&self.config, one.event);
        let mut tenant = self.tenants.entry(tenant.hash, event.watermark_ms(), Tenant::default);
        let mut walks = self.principals.entry(one.key.hash, event.watermark_ms(), || Walks::since(event.time_ms()));
        walks.touch(event.time_ms());
        let is_known = one.is_named && walks.is_known(one.now_s);
        if is_known || (one.is_named && one.tenant_is_new) {
            tenant.peers.missed(route, one.print);
        }
        if tenant.peers.is_missed_by_all(route) {
            return findings.remark("missing_for_all", || "The path is not there for several others, either.".to_owned());
        }
        let paths = walks.miss(one.now_s, route);
        if paths >= config.missing_min {
            return findings.push(report::scanned(event, Who::One, paths, config));
        }
        findings.remark(BELOW_LIMIT, || report::missing(Who::One, paths, config));
        if is_known || !one.is_named {
            return;
        }
        if let Some(address) = shared_by(event) {
            let mut crowd = self.addresses.entry(address, event.watermark_ms(), Crowd::default);
            if let Some((paths, members)) =
                crowd.miss(event.time_ms(), one.print, route, config).filter(|(paths, _)| *paths >= config.missing_min)
            {
                findings.push(report::scanned(event, Who::Several(members), paths, config));
            }
        }
    }
}

/// One request, and who made it.
struct One<'a, 'e> {
    event: &'a Event<'e>,
    key: Key,
    print: u32,
    /// Has it a principal of its own, or is it its address?
    is_named: bool,
    now_s: u32,
    tenant_is_new: bool,
}

const BELOW_LIMIT: &str = "below_limit";

/// Whose new accounts are counted together: one of an IPv4 address, or of an IPv6 /48, whose owner has all its addresses.
fn shared_by(event: &Event<'_>) -> Option<u64> {
    let kind = if event.ip().is_some_and(|ip: IpAddr| ip.is_ipv6()) { KeyKind::Subnet } else { KeyKind::Address };
    event.key(kind).map(|key| key.hash)
}

/// A gate that keeps a walk silent, and why.
type Gate = (&'static str, String);

/// Which limits a request's walk passed, or what speaks for it.
fn judge(walk: &Walk, step: Step, request: &Request, one: &One<'_, '_>, peers: &Peers, config: &Config) -> Option<Result<Rule, Gate>> {
    let (is_human, day) = (one.event.user_kind() == UserKind::Human, walk.day.objects());
    let beyond = |usual: u32| f64::from(day) >= config.habit_factor * f64::from(usual.max(1));
    let mut gate = None;
    if walk.is_refused(request, config) {
        match peers.broken(request.route, one.print, one.now_s) {
            None => return Some(Ok(Rule::Refused)),
            Some((failing, others)) => {
                gate = Some(("broken_for_all", format!("The route fails for {failing} of {others} others as well.")));
            }
        }
    }
    if walk.is_in_order(step, config) {
        if walk.is_usual() {
            gate = Some(("own_habit", "Its principal asks for as many each day.".to_owned()));
        } else if !is_human {
            gate = Some(("service", "A program that is granted what it asks for.".to_owned()));
        } else {
            let allowed = peers.in_order_max(request.route, one.print, one.now_s);
            if day > allowed {
                return Some(Ok(Rule::InOrder { allowed }));
            }
            gate = Some(("prefetched", format!("Others go through this route in order, too: up to {allowed} objects are usual.")));
        }
    }
    if walk.is_large(config) && !walk.is_usual() {
        let own = walk.habit().is_some_and(|habit| day >= config.volume_min && beyond(habit.into()));
        let peers = peers.usual_max(request.route, config).filter(|usual| day >= config.peer_volume_min && beyond(*usual));
        let rule = if own { Some(Rule::Volume) } else { peers.map(|usual| Rule::BeyondPeers { usual }) };
        match rule {
            Some(rule) if is_human => return Some(Ok(rule)),
            Some(_) => gate = gate.or_else(|| Some(("service", "A program that is granted what it asks for.".to_owned()))),
            None => {}
        }
    }
    gate.map(Err)
}

impl Detector for ApiEnumeration {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let (Some(path), Some(status)) = (event.path(), event.status()) else {
            return findings.remark("no_request", || "Has no path or no status.".to_owned());
        };
        // An address stands for whoever has no name.
        let principal = event.key(KeyKind::Principal);
        let Some(who) = principal.or_else(|| event.key(KeyKind::Address)) else {
            return findings.remark("nobody", || "Has neither a principal nor an address.".to_owned());
        };
        let (config, now_s) = (&self.config, seconds(event.time_ms()));
        let new = || Tenant { first_s: now_s, ..Tenant::default() };
        let mut tenant = self.tenants.entry(key.hash, event.watermark_ms(), new);
        tenant.last_ms = tenant.last_ms.max(event.time_ms());
        let asked = tenant.names.resolve(Asked::of(path), path, walks::is_grant(status));
        let tenant_is_new = now_s < tenant.first_s.saturating_add(TENANT_NEW_S);
        let one = One { event, key: who, print: client::short(Some(who)), is_named: principal.is_some(), now_s, tenant_is_new };
        let Some(object) = asked.object else {
            if status == 404 {
                drop(tenant);
                self.miss(key, &one, asked.route, findings);
            } else {
                findings.remark("no_object", || "The path names no object by an id.".to_owned());
            }
            return;
        };
        let writes = matches!(event.method(), Some("PUT" | "POST" | "PATCH" | "DELETE"));
        let request = Request::new(&asked, object, writes, status);
        let mut walks = self.principals.entry(who.hash, event.watermark_ms(), || Walks::since(event.time_ms()));
        walks.touch(event.time_ms());
        let is_known = one.is_named && walks.is_known(now_s);
        let Some((step, walk)) = walks.ask(now_s, &request, config) else { return };
        if is_known || (one.is_named && tenant_is_new) {
            if let Some(ended) = step.ended {
                tenant.peers.day(request.route, now_s, ended);
            }
            if !walk.told && walk.has_doubled() {
                tenant.peers.doing(request.route, one.print, now_s, walk, config);
            }
        }
        match judge(walk, step, &request, &one, &tenant.peers, config) {
            Some(Ok(rule)) => {
                walk.told = true;
                return findings.push(report::walked(event, Who::One, walk, rule, writes, config));
            }
            Some(Err((gate, why))) => {
                let sentence = format!("{} {why}", walk.sentence());
                if walks.may_excuse(now_s) {
                    return findings.excuse(gate, Who::One.key(event), Severity::Medium, sentence);
                }
                return findings.remark(gate, || sentence);
            }
            None => findings.remark(BELOW_LIMIT, || walk.sentence()),
        }
        if is_known || !one.is_named || event.user_kind() == UserKind::Service || !(request.refused || request.number.is_some()) {
            return;
        }
        // A few objects of one's own are often in order.
        let in_order = step.in_order && walk.day.objects() >= walks::ORDERED_MIN;
        let Some(address) = shared_by(event) else { return };
        let mut crowd = self.addresses.entry(address, event.watermark_ms(), Crowd::default);
        let Some((step, walk, members)) = crowd.ask(event.time_ms(), one.print, &request, in_order, config) else { return };
        let who = Who::Several(members);
        let (rule, gate) = if walk.is_refused(&request, config) {
            (Rule::Refused, tenant.peers.broken(request.route, one.print, now_s).map(|_| "broken_for_all"))
        } else if walk.is_in_order(step, config) {
            let allowed = tenant.peers.in_order_max(request.route, one.print, now_s) * u32::from(members);
            (Rule::InOrder { allowed }, (walk.day.objects() <= allowed).then_some("prefetched"))
        } else {
            return;
        };
        match gate {
            None => findings.push(report::walked(event, who, walk, rule, writes, config)),
            Some(gate) => {
                let sentence = format!("{} new accounts of one address: {} Others do so, too.", members, walk.sentence());
                if crowd.may_excuse(now_s) {
                    findings.excuse(gate, who.key(event), Severity::Medium, sentence);
                }
            }
        }
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        event == Kind::ApiRequest
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.tenants);
        visit(&mut self.principals);
        visit(&mut self.addresses);
    }
}
