//! The victim lends a hand: types a code, approves an app, or signs in at a page that passes everything on.

use super::{Attack, far_address, has_place, hosted, is_known, owner_goes_on, settle, thief_of, use_account, victim};
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::{Draft, Token};
use crate::simulate::people::Session;
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, open_session, prove_factor, request};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// The victim enters a code that the thief sent, at home and with their own device; the token goes to the thief.
pub(super) fn device_code(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = hosted(stage)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let home_ip = person.home_ip(stage, time_ms);
    let owner = Actor::owner(&person, false, home_ip, label);
    let session = open_session(stage, owner, time_ms);
    time_ms += stage.wait_ms(20 * SECOND_MS, 3 * MINUTE_MS);
    let thief = thief_of(stage, &person, label, ip);
    let stolen = stage.number();
    let issue = thief.draft(time_ms, "token_issue", "success");
    let token = Some(Token::Refresh(stage.number()));
    stage.emit(Draft { grant: "device_code", session: stolen, token, ..issue });
    time_ms = use_account(stage, thief, Session { id: stolen, ..session }, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The victim approves an app that asks for everything; it comes from a cloud and takes what there is.
pub(super) fn consent(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| is_known(p, now_ms) && has_place(s, p))?;
    let ip = hosted(stage)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let from_ms = now_ms.max(person.busy_until_ms) + 500;
    let mut time_ms = owner_goes_on(stage, &mut person, from_ms);
    let home_ip = person.home_ip(stage, time_ms);
    let owner = Actor::owner(&person, false, home_ip, label);
    let scope = "profile orders.read orders.write messages.read messages.write contacts.read files.all admin offline_access";
    let approval = owner.draft(time_ms, "account_change", "success");
    stage.emit(Draft { session: person.laptop_session.map_or(0, |s| s.id), action: "consent_granted", scope, ..approval });
    time_ms += 2 * SECOND_MS;
    let app = Actor { ip, client: Client::tool(Family::ForeignApp), by_owner: false, ..owner };
    let (id, refresh) = (stage.number(), stage.number());
    let issue = app.draft(time_ms, "token_issue", "success");
    stage.emit(Draft { grant: "authorization_code", scope, session: id, token: Some(Token::Refresh(refresh)), ..issue });
    let session = Session { id, refresh, previous: 0, opened_ms: time_ms, refreshed_ms: time_ms };
    for _ in 0..stage.dice.between(20, 60) {
        time_ms += stage.wait_ms(SECOND_MS, 20 * SECOND_MS);
        request(stage, app, session, time_ms);
    }
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}

/// The victim signs in at a page that passes everything on, second factor and all: the sign-in comes from
/// the page's server, and the session lives on where the thief is.
pub(super) fn page_between(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (index, mut person) = victim(stage, now_ms, |s, p| p.mfa && is_known(p, now_ms) && has_place(s, p))?;
    let page_ip = hosted(stage)?;
    let thief_ip = far_address(stage, &person, now_ms, 1_000.0, 20_100.0)?;
    let label = stage.open_label(attack.plan(), person.tenant);
    let mut time_ms = now_ms.max(person.busy_until_ms) + 500;
    let thief = thief_of(stage, &person, label, thief_ip);
    // The page shows the victim's browser, on the TLS of its own server.
    let client = Client { family: Family::GuiseChrome, device: stage.number(), update_lag_days: person.laptop.update_lag_days };
    let page = Actor { ip: page_ip, client, ..thief };
    time_ms = prove_factor(stage, page, time_ms) + 300;
    let session = open_session(stage, page, time_ms);
    time_ms += stage.wait_ms(2 * SECOND_MS, 10 * SECOND_MS);
    request(stage, page, session, time_ms);
    time_ms += stage.wait_ms(MINUTE_MS, 30 * MINUTE_MS);
    time_ms = use_account(stage, thief, session, time_ms);
    // Sent on to the real page, the owner signs in there and notices nothing.
    time_ms = owner_goes_on(stage, &mut person, time_ms) + stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    time_ms = use_account(stage, thief, session, time_ms);
    stage.book.seal(label, true);
    settle(stage, index, person, time_ms);
    Some(())
}
