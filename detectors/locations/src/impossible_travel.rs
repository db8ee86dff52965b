//! Impossible travel: one person signs in at two places that nobody can reach in the time between
//! (ATT&CK T1078).
//!
//! Each successful interactive sign-in of a person is compared with the few others around it in event
//! time, earlier and later ones, since events come out of order; sign-ins at the very same moment
//! count. The accuracy radii of both places, with a floor, are subtracted: place files lie a median of
//! 54 km apart and a quarter of addresses over 500 km. What is left must be a long way and faster than
//! an airliner.
//!
//! Speed alone is no proof, so these are never compared: the same address or device; networks
//! without a place (relay, satellite, VPN, hosting), which are not remembered either; two ends that both
//! belong to the person (a device or a line seen on earlier days); a carrier's or a company's gateway, which may
//! lie in another country than its phone, or two ends of one provider, unless a device or program unknown to
//! that person takes part and the way is longer than gateways explain; two ends within a country in the
//! first days of a person; a sign-in at home while the person is abroad with an own client (a roaming phone). Failed sign-ins, refreshes, programs and approvals by push (they come from the phone)
//! do not count as being somewhere.
//!
//! The attacker is the end that is less like the person; that end is not learnt, except that a network
//! that comes back on three days becomes the person's own (a new VPN tells thrice at most).
//!
//! What the person is known for is the baseline that all detectors share ([`bartizan_core::people`]); of its
//! own it keeps the sign-ins of the window, which are gone with it.
//!
//! Absent on purpose: what colleagues do, and places learnt over the whole tenant.

mod journey;
mod recent;

use bartizan_core::colleagues::Voucher;
use bartizan_core::finding::user_key;
use bartizan_core::{
    Action, Budget, Detector, EntityKind, Event, Finding, Findings, Key, KeyKind, KeyedState, Kind, Parameter, Parameters, Role, Severity,
    Spec, State, Subject, Trust,
};
use journey::{Compared, Conflict, Journey, SignIn, Traveller};
use recent::{Past, Recent};
use std::sync::Arc;

/// What it is and how it is tuned.
pub static SPEC: Spec = Spec {
    id: "impossible_travel",
    title: "Impossible travel",
    looks_for: "Successful sign-ins of one person at places too far apart for the time between them, by clients that are not both the \
                person's own.",
    blind_spots: "Attackers near the victim or, while the victim is abroad, at the victim's home, or behind VPN, relay or hosting networks; addresses that no place file knows; an attacker who \
                  copies the device id.",
    innocent_causes: "VPNs, relays, satellite links (never compared); carriers' far gateways (more evidence needed); roaming phones; wrong places (radii \
                      subtracted, floor); a laptop and a phone on different networks (both known).",
    keys: &[KeyKind::User],
    parameters: PARAMETERS,
    attack: &[("TA0001", "T1078")],
    yields: true,
    quiet_gap_ms: 6 * 3_600_000,
    state_version: 4,
    build: |parameters, budget| Box::new(ImpossibleTravel::new(parameters, budget)),
};

static PARAMETERS: &[Parameter] = &[
    Parameter::float("speed_max_km_h", 1_000.0, 100.0, 100_000.0, "Fastest travel that is believed."),
    Parameter::float("distance_min_km", 500.0, 10.0, 20_000.0, "Least distance, after the radii are subtracted."),
    Parameter::float(
        "gateway_distance_min_km",
        2_500.0,
        10.0,
        20_000.0,
        "The same where one end is a carrier's or a company's gateway, or both are one provider's; the client must be new, too.",
    ),
    Parameter::float("radius_min_km", 100.0, 0.0, 2_000.0, "Least radius of any place, whatever its file claims."),
    Parameter::int("window_ms", 86_400_000, 60_000, 7 * 86_400_000, "Longest time between the two sign-ins."),
    Parameter::int("network_days_min", 3, 1, 30, "Days after which a network is the person's own."),
];

/// The limits, read once.
pub(crate) struct Config {
    speed_max_km_h: f64,
    distance_min_km: f64,
    gateway_distance_min_km: f64,
    radius_min_km: f64,
    window_ms: i64,
    network_days_min: u16,
}

struct ImpossibleTravel {
    config: Config,
    recent: KeyedState<Recent>,
    /// Room to pack in; nothing is remembered in it.
    buffer: Vec<u8>,
}

impl ImpossibleTravel {
    fn new(parameters: &Parameters, budget: &Arc<Budget>) -> Self {
        let config = Config {
            speed_max_km_h: parameters.float("speed_max_km_h"),
            distance_min_km: parameters.float("distance_min_km"),
            gateway_distance_min_km: parameters.float("gateway_distance_min_km"),
            radius_min_km: parameters.float("radius_min_km"),
            window_ms: parameters.int("window_ms"),
            network_days_min: parameters.count("network_days_min"),
        };
        Self { config, recent: KeyedState::new(budget), buffer: Vec::new() }
    }
}

impl Detector for ImpossibleTravel {
    fn observe(&mut self, key: Key, event: &Event<'_>, findings: &mut Findings) {
        let (Some(sign_in), Some(person)) = (SignIn::of(event), event.person()) else {
            return findings.remark("says_no_place", || {
                let class = event.network_class().as_str();
                format!(
                    "Not a person's successful interactive sign-in at a known place (network class {class}): neither compared nor kept."
                )
            });
        };
        if let Some(voucher) = person.voucher(event) {
            // It says where a colleague's machine is, not where the person is. A device of others is not learnt either.
            if voucher == Voucher::Device {
                findings.doubt(Trust::Stranger);
            }
            return findings.remark(voucher.gate(), || format!("Neither compared nor kept: {}.", voucher.because()));
        }
        let (config, watermark_ms) = (&self.config, event.watermark_ms());
        let traveller = Traveller::new(person, &sign_in, config);
        self.recent.sweep(watermark_ms);
        let mut recent = self.recent.entry(key.hash, watermark_ms, Recent::default);
        let (packed, until_ms) = recent.take();
        // No earlier sign-in than of the watermark will come.
        let mut past = Past::unpack(&packed, until_ms, watermark_ms.saturating_sub(config.window_ms));
        let Compared { compared, conflict, excused } = traveller.compare(&past, &sign_in);
        match (conflict, excused) {
            (None, Some((conflict, gate))) => {
                findings.excuse(gate, user_key(event), Severity::Medium, excuse(&sign_in, &conflict, gate));
                past.keep(sign_in);
            }
            (None, None) => {
                let within_h = config.window_ms / 3_600_000;
                findings.remark("reachable", || {
                    format!("Compared with {compared} sign-ins from other addresses and clients within {within_h} hours: all within reach.")
                });
                past.keep(sign_in);
            }
            (Some(conflict), _) => {
                let journey = traveller.judge(&mut past, conflict, sign_in);
                if journey.stranger == sign_in {
                    findings.doubt(Trust::Stranger);
                }
                let again = recent.tell(journey.stranger.client.line());
                findings.push(finding(event, &journey, again, config));
            }
        }
        recent.keep(&past, config.window_ms, person.days(), &mut self.buffer);
    }

    fn looks_at(&self, _: KeyKind, event: Kind) -> bool {
        matches!(event, Kind::Login | Kind::MfaResult)
    }

    fn each_state(&mut self, visit: &mut dyn FnMut(&mut dyn State)) {
        visit(&mut self.recent);
    }

    fn goes_by_people(&self) -> bool {
        true
    }
}

/// Why two sign-ins that are too far apart are no finding.
fn excuse(sign_in: &SignIn<'_>, conflict: &Conflict<'_>, gate: &str) -> String {
    let minutes = sign_in.time_ms.abs_diff(conflict.with.time_ms) / 60_000;
    let because = match gate {
        "own_at_both_ends" => "both ends are the person's own devices or lines",
        "roaming" => "a traveller's phone leaves the net at home",
        "gateway" => "a carrier's or company's gateway, or one provider at both ends, says little of where its users are",
        _ => "within one country places are often wrong, and the client is the same",
    };
    let (from, to, km) = (country(&conflict.with), country(sign_in), conflict.least_km);
    format!("Signed in from {from} and from {to}, at least {km:.0} km apart, {minutes} minutes between; but {because}.")
}

/// `again`: the network was told for this person before.
fn finding(event: &Event<'_>, journey: &Journey<'_>, again: bool, config: &Config) -> Finding {
    let severity = if journey.new_client { Severity::High } else { Severity::Medium };
    let mut finding = Finding::new(event, user_key(event), severity);
    "Sign-ins at two places too far apart".clone_into(&mut finding.title);
    let (stranger, other) = (&journey.stranger, &journey.other);
    let (first, second) = if stranger.time_ms <= other.time_ms { (stranger, other) } else { (other, stranger) };
    let speed = journey.speed_km_h();
    finding.reason = format!(
        "Signed in from {} and {} minutes later from {}, at least {:.0} km apart (limit {:.0} km), {} (limit {:.0} km/h){}.",
        country(first),
        journey.between_ms() / 60_000,
        country(second),
        journey.least_km,
        config.distance_min_km,
        speed.map_or_else(|| "with no time between".to_owned(), |speed| format!("{speed:.0} km/h")),
        config.speed_max_km_h,
        if journey.new_client { ", with a client that is not the person's" } else { "" },
    );
    finding.confidence = if journey.new_client { 0.85 } else { 0.6 };
    finding.first_time_ms = first.time_ms;
    finding.event_count = if again { 1 } else { 2 };
    let ids = [stranger, other].map(|one| one.event.text().into_owned());
    finding.event_ids = ids.into_iter().filter(|id| id != event.id()).collect();
    finding.event_ids.push(event.id().to_owned());
    finding
        .note("distance_km", journey.distance_km.round())
        .note("least_distance_km", journey.least_km.round())
        .note("distance_min_km", config.distance_min_km)
        .note("between_ms", journey.between_ms())
        .note("speed_max_km_h", config.speed_max_km_h)
        .note("from_country", country(first))
        .note("to_country", country(second))
        .note("new_client", journey.new_client);
    if let Some(speed) = speed {
        finding.note("speed_km_h", speed.round());
    }
    subjects(&mut finding, event, journey);
    finding
}

fn subjects(finding: &mut Finding, event: &Event<'_>, journey: &Journey<'_>) {
    let hit = journey.new_client;
    let victim = |kind, value: &str| {
        let subject = Subject::new(kind, value, Role::Victim);
        if hit { subject.hit() } else { subject }
    };
    finding.involve(victim(EntityKind::User, event.user().unwrap_or_default()));
    finding.involve(Subject::new(EntityKind::Ip, journey.stranger.ip, Role::Attacker));
    let session = &journey.stranger.session;
    if !session.is_empty() {
        finding.involve(victim(EntityKind::Session, &session.text()));
    }
    finding.actions = if hit && !session.is_empty() { vec![Action::RevokeSessions, Action::StepUp] } else { vec![Action::StepUp] };
}

fn country<'a>(sign_in: &'a SignIn<'_>) -> &'a str {
    match sign_in.place.country_str() {
        "" => "an unknown country",
        country => country,
    }
}
