//! The victim lends a hand: types a code, approves an app, or signs in at a page that passes everything on.

use super::raid::Raid;
use super::{Attack, far_address, has_place, has_routine, hosted, is_known, use_account};
use crate::simulate::clients::{Client, Family};
use crate::simulate::draft::{Draft, Token};
use crate::simulate::people::{Person, Session};
use crate::simulate::stage::Stage;
use crate::simulate::visits::{Actor, open_session, prove_factor, request};
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// The victim enters a code that the thief sent, at home and with their own device; the token goes to the thief.
pub(super) fn device_code(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ip) = Raid::open(stage, attack, now_ms, has_routine(now_ms), |s, _| hosted(s))?;
    let owner = raid.owner(stage);
    let session = open_session(stage, owner, raid.time_ms);
    raid.time_ms += stage.wait_ms(20 * SECOND_MS, 3 * MINUTE_MS);
    let thief = raid.thief(stage, ip);
    let stolen = stage.number();
    let issue = thief.draft(raid.time_ms, "token_issue", "success");
    let token = Some(Token::Refresh(stage.number()));
    stage.emit(Draft { grant: "device_code", session: stolen, token, ..issue });
    raid.time_ms = use_account(stage, thief, Session { id: stolen, ..session }, raid.time_ms);
    raid.close(stage, true);
    Some(())
}

/// The victim approves an app that asks for everything; it comes from a cloud and takes what there is.
pub(super) fn consent(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let (mut raid, ip) = Raid::open(stage, attack, now_ms, has_routine(now_ms), |s, _| hosted(s))?;
    raid.owner_goes_on(stage);
    let owner = raid.owner(stage);
    let scope = "profile orders.read orders.write messages.read messages.write contacts.read files.all admin offline_access";
    let approval = owner.draft(raid.time_ms, "account_change", "success");
    stage.emit(Draft { session: raid.person.laptop_session.map_or(0, |s| s.id), action: "consent_granted", scope, ..approval });
    raid.time_ms += 2 * SECOND_MS;
    let app = Actor { ip, client: Client::tool(Family::ForeignApp), by_owner: false, ..owner };
    let (id, refresh) = (stage.number(), stage.number());
    let issue = app.draft(raid.time_ms, "token_issue", "success");
    stage.emit(Draft { grant: "authorization_code", scope, session: id, token: Some(Token::Refresh(refresh)), ..issue });
    let session = Session { id, refresh, previous: 0, opened_ms: raid.time_ms, refreshed_ms: raid.time_ms };
    for _ in 0..stage.dice.between(20, 60) {
        raid.time_ms += stage.wait_ms(SECOND_MS, 20 * SECOND_MS);
        request(stage, app, session, raid.time_ms);
    }
    raid.close(stage, true);
    Some(())
}

/// The victim signs in at a page that passes everything on, second factor and all: the sign-in comes from
/// the page's server, and the session lives on where the thief is.
pub(super) fn page_between(stage: &mut Stage, attack: Attack, now_ms: i64) -> Option<()> {
    let fits = |s: &Stage, p: &Person| p.mfa && is_known(p, now_ms) && has_place(s, p);
    let (mut raid, (page_ip, thief_ip)) =
        Raid::open(stage, attack, now_ms, fits, |s, p| Some((hosted(s)?, far_address(s, p, now_ms, 1_000.0, 20_100.0)?)))?;
    let thief = raid.thief(stage, thief_ip);
    // The page shows the victim's browser, on the TLS of its own server.
    let client = Client { family: Family::GuiseChrome, device: stage.number(), update_lag_days: raid.person.laptop.update_lag_days };
    let page = Actor { ip: page_ip, client, ..thief };
    raid.time_ms = prove_factor(stage, page, raid.time_ms) + 300;
    let session = open_session(stage, page, raid.time_ms);
    raid.time_ms += stage.wait_ms(2 * SECOND_MS, 10 * SECOND_MS);
    request(stage, page, session, raid.time_ms);
    raid.time_ms += stage.wait_ms(MINUTE_MS, 30 * MINUTE_MS);
    raid.time_ms = use_account(stage, thief, session, raid.time_ms);
    // Sent on to the real page, the owner signs in there and notices nothing.
    raid.owner_goes_on(stage);
    raid.time_ms += stage.wait_ms(20 * MINUTE_MS, 2 * HOUR_MS);
    raid.time_ms = use_account(stage, thief, session, raid.time_ms);
    raid.close(stage, true);
    Some(())
}
