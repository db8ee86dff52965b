//! What an ordinary visit leaves in the logs: sign-ins with their mistakes, second factors, token
//! refreshes with innocent races and lost answers, API requests, changes of network, logouts.

use super::atlas::Class;
use super::clients::Client;
use super::draft::{Draft, Request, Token, User};
use super::labels::{LabelId, Plan};
use super::people::{Person, Session, Spot, make_phone, plan_trip};
use super::stage::Stage;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};
use std::net::IpAddr;

/// Longest visit.
const VISIT_MAX_MS: i64 = 10 * MINUTE_MS;
/// A refresh is due when the access token is this old.
pub(crate) const ACCESS_TOKEN_MS: i64 = HOUR_MS;
/// A phone stays signed in for so many times as long as a browser.
const PHONE_SESSIONS: i64 = 4;

const ROUTES: [(&str, &str); 10] = [
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/orders"),
    ("GET", "/api/v1/orders/#"),
    ("GET", "/api/v1/catalog?page=#"),
    ("GET", "/api/v1/messages"),
    ("GET", "/api/v1/messages/#"),
    ("POST", "/api/v1/cart"),
    ("PUT", "/api/v1/preferences"),
    ("GET", "/api/v1/invoices/#"),
    ("GET", "/api/v1/search?q=#"),
];

/// Somebody at a client with an address: everything an event needs of its author.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) tenant: u8,
    pub(crate) user: User,
    pub(crate) ip: IpAddr,
    pub(crate) client: Client,
    pub(crate) label: LabelId,
    pub(crate) by_owner: bool,
}

impl Actor {
    /// A person at one of their own devices.
    pub(crate) fn owner(person: &Person, on_phone: bool, ip: IpAddr, label: LabelId) -> Self {
        Self { tenant: person.tenant, user: User::Person(person.number), ip, client: person.client(on_phone), label, by_owner: true }
    }

    pub(crate) fn draft(&self, time_ms: i64, kind: &'static str, outcome: &'static str) -> Draft {
        let draft = Draft::new(time_ms, kind, outcome, self.tenant, self.user, self.ip, self.client);
        Draft { label: self.label, by_owner: self.by_owner, ..draft }
    }
}

/// One visit of a person; returns when it ended. Everything of it is planned at once.
pub(crate) fn visit(stage: &mut Stage, index: usize, now_ms: i64) -> i64 {
    let Some(mut person) = stage.people.get(index).copied() else { return now_ms };
    let end_ms = visit_of(stage, &mut person, now_ms);
    person.busy_until_ms = end_ms;
    if let Some(slot) = stage.people.get_mut(index) {
        *slot = person;
    }
    end_ms
}

fn visit_of(stage: &mut Stage, person: &mut Person, now_ms: i64) -> i64 {
    live(stage, person, now_ms);
    let spot = person.spot(stage, now_ms);
    let on_phone = match spot {
        Spot::Out | Spot::Underway => true,
        Spot::Office => stage.dice.chance(0.25),
        Spot::Home | Spot::Away(_) => stage.dice.chance(0.5),
    };
    let Some((ip, mut label)) = connect(stage, person, spot, on_phone, now_ms) else { return now_ms };
    if label == 0 && stage.is_skewed(person.tenant, now_ms) {
        label = stage.open_label(Plan::innocent("clock_skew"), person.tenant);
    }
    let mut actor = Actor::owner(person, on_phone, ip, label);
    // Innocent labels list the address too.
    actor.by_owner = false;
    let mut time_ms = open_or_refresh(stage, person, on_phone, actor, now_ms);
    let Some(session) = *person.session(on_phone) else {
        seal(stage, label);
        return time_ms;
    };
    person.was_seen(now_ms);
    let switches = on_phone && spot == Spot::Home && stage.dice.chance(0.1);
    let requests =
        if stage.is_crowded() { 1 } else { stage.dice.around(stage.pace.requests as i64).max(i64::from(stage.dice.chance(0.5))) };
    for number in 0..requests {
        if switches && number == requests / 2 {
            // Out of the door: from the home's Wi-Fi to the carrier, in the middle of it.
            actor.ip = person.carrier_ip(stage).unwrap_or(actor.ip);
        }
        time_ms += stage.dice.around(stage.pace.request_gap_ms).max(20);
        if time_ms - now_ms > VISIT_MAX_MS {
            break;
        }
        request(stage, actor, session, time_ms);
    }
    if !on_phone && stage.dice.chance(0.1) {
        time_ms += stage.dice.between(SECOND_MS, 20 * SECOND_MS);
        stage.emit(Draft { session: session.id, ..actor.draft(time_ms, "logout", "success") });
        *person.session(on_phone) = None;
    }
    seal(stage, label);
    time_ms
}

fn seal(stage: &mut Stage, label: LabelId) {
    if label != 0 {
        stage.book.seal(label, false);
    }
}

/// What happens in a life between visits: journeys begin and end, phones are replaced.
fn live(stage: &mut Stage, person: &mut Person, now_ms: i64) {
    if person.trip.is_some_and(|t| now_ms >= t.back_ms) {
        person.trip = None;
        person.next_trip_ms = now_ms + stage.dice.between(5 * DAY_MS, 60 * DAY_MS);
    }
    if person.trip.is_none() && now_ms >= person.next_trip_ms && stage.pace.daily_rhythm {
        person.trip = plan_trip(stage, person, now_ms + VISIT_MAX_MS);
        person.been_in = person.trip.map(|trip| trip.town).or(person.been_in);
        person.next_trip_ms = now_ms + 30 * DAY_MS;
    }
    if now_ms >= person.new_phone_ms {
        person.phone = make_phone(stage);
        person.phone_session = None;
        person.new_phone_ms = now_ms + 700 * DAY_MS;
    }
}

/// The address that a device has where its owner is, and the label if that looks odd.
fn connect(stage: &mut Stage, person: &Person, spot: Spot, on_phone: bool, now_ms: i64) -> Option<(IpAddr, LabelId)> {
    match spot {
        Spot::Underway => {
            // A few use the aircraft's network, whose place is the operator's ground station.
            let on_board = if stage.dice.chance(0.1) { stage.atlas.anywhere(&mut stage.dice, Class::Satellite)? } else { return None };
            let label = stage.open_label(Plan::innocent("inflight_wifi"), person.tenant);
            let seat = stage.dice.between(0, 200) as u64;
            Some((stage.atlas.address(on_board, seat), label))
        }
        Spot::Away(town) => {
            let trip = person.trip?;
            if !on_phone || stage.dice.chance(0.5) {
                return Some((trip.hotel, stage.open_label(Plan::innocent(trip.kind), person.tenant)));
            }
            if trip.local_card {
                let network = stage.atlas.pick(&mut stage.dice, town, Class::Mobile, false)?;
                let gateway = stage.dice.between(0, 11) as u64;
                return Some((stage.atlas.address(network, gateway), stage.open_label(Plan::innocent(trip.kind), person.tenant)));
            }
            let label = stage.open_label(Plan::innocent("home_routed_roaming"), person.tenant);
            match person.carrier_ip(stage) {
                Some(ip) => Some((ip, label)),
                None => Some((trip.hotel, label)),
            }
        }
        Spot::Office if !on_phone || stage.dice.chance(0.5) => {
            let office = person.office.and_then(|o| stage.offices.get(usize::from(o)))?;
            Some((office.ip, 0))
        }
        Spot::Home if !on_phone || stage.dice.chance(0.65) => Some(home_or_tunnel(stage, person, on_phone, now_ms)),
        Spot::Home | Spot::Out | Spot::Office => {
            if stage.dice.chance(0.03)
                && let Some(ip) = person.far_gateway_ip(stage)
            {
                return Some((ip, stage.open_label(Plan::innocent("far_carrier_gateway"), person.tenant)));
            }
            person.carrier_ip(stage).map(|ip| (ip, 0))
        }
    }
}

fn home_or_tunnel(stage: &mut Stage, person: &Person, on_phone: bool, now_ms: i64) -> (IpAddr, LabelId) {
    let tunnel = if on_phone { person.relay } else { person.vpn };
    match tunnel {
        Some(network) if stage.dice.chance(0.7) => {
            let server = stage.dice.between(0, 7) as u64;
            if on_phone || !stage.dice.chance(0.1) {
                return (stage.atlas.address(network, server), 0);
            }
            // VPN users change the server now and then.
            let label = stage.open_label(Plan::innocent("vpn_server_change"), person.tenant);
            let other = stage.atlas.anywhere(&mut stage.dice, Class::Vpn).unwrap_or(network);
            (stage.atlas.address(other, server), label)
        }
        _ => (person.home_ip(stage, now_ms), 0),
    }
}

/// Signs in where there is no session, refreshes where the access token is old.
fn open_or_refresh(stage: &mut Stage, person: &mut Person, on_phone: bool, actor: Actor, now_ms: i64) -> i64 {
    let limit_ms = stage.tenant(person.tenant).session_days * DAY_MS * if on_phone { PHONE_SESSIONS } else { 1 };
    let forgets = person.forgets;
    match *person.session(on_phone) {
        Some(session) if now_ms - session.opened_ms < limit_ms && !forgets => {
            if now_ms - session.refreshed_ms < ACCESS_TOKEN_MS {
                return now_ms;
            }
            let (session, end_ms) = refresh(stage, actor, session, now_ms);
            *person.session(on_phone) = Some(session);
            end_ms
        }
        _ => {
            let changed = now_ms >= person.new_password_ms;
            let (session, mut end_ms) = sign_in(stage, actor, person.mfa, now_ms);
            if changed && session.is_some() && !on_phone {
                person.new_password_ms = now_ms + 180 * DAY_MS;
                end_ms += stage.dice.between(20 * SECOND_MS, MINUTE_MS);
                stage.emit(actor.draft(end_ms, "password_change", "success"));
                end_ms = end_ms.max(stale_phone(stage, person, end_ms));
            }
            person.sign_ins = person.sign_ins.saturating_add(u32::from(session.is_some()));
            *person.session(on_phone) = session;
            end_ms
        }
    }
}

/// A sign-in with the mistakes that people make. `None` if they give up for now.
pub(crate) fn sign_in(stage: &mut Stage, actor: Actor, mfa: bool, now_ms: i64) -> (Option<Session>, i64) {
    let mut time_ms = now_ms;
    let mistakes = if stage.dice.chance(0.07) { stage.dice.between(1, 3) } else { 0 };
    for _ in 0..mistakes {
        stage.emit(Draft { reason: "bad_password", grant: "password", ..actor.draft(time_ms, "login", "failure") });
        time_ms += stage.dice.between(4 * SECOND_MS, 40 * SECOND_MS);
    }
    if mistakes == 3 && stage.dice.chance(0.2) {
        return (None, time_ms);
    }
    if mfa {
        if stage.dice.chance(0.02) {
            return (None, answer_factor(stage, actor, ("failure", "mfa_denied"), time_ms));
        }
        time_ms = prove_factor(stage, actor, time_ms);
    }
    (Some(open_session(stage, actor, time_ms + 300)), time_ms + 600)
}

/// A challenge by some factor, answered right; returns when.
pub(crate) fn prove_factor(stage: &mut Stage, actor: Actor, time_ms: i64) -> i64 {
    answer_factor(stage, actor, ("success", ""), time_ms)
}

fn answer_factor(stage: &mut Stage, actor: Actor, (outcome, reason): (&'static str, &'static str), time_ms: i64) -> i64 {
    let factor = stage.dice.of(&["push", "push", "totp", "webauthn"]);
    stage.emit(Draft { factor, ..actor.draft(time_ms, "mfa_challenge", "success") });
    let answered_ms = time_ms + stage.dice.between(3 * SECOND_MS, 25 * SECOND_MS);
    stage.emit(Draft { factor, reason, ..actor.draft(answered_ms, "mfa_result", outcome) });
    answered_ms
}

/// A successful sign-in: the login and the tokens.
pub(crate) fn open_session(stage: &mut Stage, actor: Actor, time_ms: i64) -> Session {
    let (id, token) = (stage.number(), stage.number());
    stage.emit(Draft { grant: "password", session: id, ..actor.draft(time_ms, "login", "success") });
    let issue = actor.draft(time_ms + 120, "token_issue", "success");
    stage.emit(Draft { grant: "authorization_code", session: id, token: Some(Token::Refresh(token)), ..issue });
    Session { id, refresh: token, previous: 0, opened_ms: time_ms, refreshed_ms: time_ms }
}

/// A refresh with rotation: sometimes two tabs at once, sometimes the answer is lost on the way.
pub(crate) fn refresh(stage: &mut Stage, actor: Actor, session: Session, now_ms: i64) -> (Session, i64) {
    let issued = stage.number();
    let oddity = stage.dice.between(0, 999);
    let again_ms = match oddity {
        0..12 => Some(("refresh_race", stage.dice.between(5, 1_500))),
        12..18 => Some(("lost_answer", stage.dice.between(5 * SECOND_MS, 30 * SECOND_MS))),
        _ => None,
    };
    let Some((kind, wait_ms)) = again_ms else {
        refresh_once(stage, actor, session, issued, now_ms);
        return (rotated(session, issued, now_ms), now_ms + 200);
    };
    let label = if actor.label == 0 { stage.open_label(Plan::innocent(kind), actor.tenant) } else { actor.label };
    let odd = Actor { label, by_owner: false, ..actor };
    refresh_once(stage, odd, session, issued, now_ms);
    // Providers answer within the grace period with another token of the same family.
    let second = stage.number();
    refresh_once(stage, odd, session, second, now_ms + wait_ms);
    if actor.label == 0 {
        stage.book.seal(label, false);
    }
    (rotated(session, second, now_ms + wait_ms), now_ms + wait_ms + 200)
}

/// The session after a rotation.
pub(crate) fn rotated(session: Session, issued: u64, time_ms: i64) -> Session {
    Session { refresh: issued, previous: session.refresh, refreshed_ms: time_ms, ..session }
}

/// One successful refresh that presents the session's current token.
pub(crate) fn refresh_once(stage: &mut Stage, actor: Actor, session: Session, issued: u64, time_ms: i64) {
    let draft = actor.draft(time_ms, "token_refresh", "success");
    stage.emit(Draft { grant: "refresh_token", session: session.id, token: Some(Token::Refresh(session.refresh)), issued, ..draft });
}

/// One API request of a session.
pub(crate) fn request(stage: &mut Stage, actor: Actor, session: Session, time_ms: i64) {
    let (method, path) = stage.dice.of(&ROUTES);
    let status = match stage.dice.between(0, 199) {
        0 => 500,
        1..=3 => 404,
        4 => 403,
        _ if method == "POST" => 201,
        _ => 200,
    };
    let request = Request {
        method,
        path,
        object: stage.dice.bits() % 90_000 + 1,
        status,
        bytes: stage.dice.between(180, 24_000) as u32,
        duration_ms: stage.dice.between(4, 400) as u16,
    };
    send(stage, actor, session, request, time_ms);
}

/// What a status means.
pub(crate) fn outcome_of(status: u16) -> &'static str {
    match status {
        401 | 403 => "denied",
        200..=399 => "success",
        _ => "failure",
    }
}

/// A given API request of a session.
pub(crate) fn send(stage: &mut Stage, actor: Actor, session: Session, request: Request, time_ms: i64) {
    let draft = actor.draft(time_ms, "api_request", outcome_of(request.status));
    stage.emit(Draft { session: session.id, token: Some(Token::Access(session.refresh)), request: Some(request), ..draft });
}

/// After a change of password the phone goes on with the old one until its owner notices.
fn stale_phone(stage: &mut Stage, person: &mut Person, changed_ms: i64) -> i64 {
    // Who is about to leave would fail on the way, from other addresses.
    if person.trip.is_some() || !stage.dice.chance(0.3) {
        return changed_ms;
    }
    let label = stage.open_label(Plan::innocent("stale_password_phone"), person.tenant);
    let mut time_ms = changed_ms;
    let ip = person.home_ip(stage, time_ms);
    let actor = Actor { by_owner: false, ..Actor::owner(person, true, ip, label) };
    for _ in 0..stage.dice.between(6, 30) {
        time_ms += 5 * MINUTE_MS + stage.dice.between(0, 3 * SECOND_MS);
        stage.emit(Draft { reason: "bad_password", grant: "password", ..actor.draft(time_ms, "login", "failure") });
    }
    time_ms += 5 * MINUTE_MS;
    person.phone_session = Some(open_session(stage, actor, time_ms));
    stage.book.seal(label, false);
    time_ms + SECOND_MS
}
