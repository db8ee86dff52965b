//! Scenarios of what is told by a credential alone: over several tenants, before its login, and in programs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bartizan_core::{Action, EntityKind, Finding, NetworkClass, Said, Severity};
use bartizan_sessions::token_reuse::SPEC;
use bartizan_testkit::{Runner, TestEvent, contract, event, named, run};

const START: &str = "2026-03-12T09:00:00Z";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Nobody draws such an id twice.
const LONG: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn owner(second: i64) -> TestEvent {
    let who = event(START).plus_ms(second * 1_000).ip("198.51.100.7").asn(3320, NetworkClass::Residential).user("ann");
    who.agent("Mozilla/5.0 (Windows) Firefox/140").ja4("t13_aaaa_b").session(LONG)
}

fn thief(second: i64) -> TestEvent {
    owner(second).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).agent("python-requests/2.32").ja4("t13_cccc_d")
}

fn told(events: &[TestEvent]) -> (Vec<Finding>, Vec<&'static str>) {
    let said = Runner::new(&SPEC, 1).ask(events);
    let gates = said.iter().filter_map(|said| if let Said::Excuse(excuse) = said { Some(excuse.gate) } else { None }).collect();
    (said.into_iter().filter_map(|said| if let Said::Finding(finding) = said { Some(finding) } else { None }).collect(), gates)
}

fn silent(cases: &[Vec<TestEvent>]) {
    for (number, events) in cases.iter().enumerate() {
        let found = run(&SPEC, events);
        assert!(found.is_empty(), "case {number}: {found:#?}");
    }
}

fn bare(one: TestEvent) -> TestEvent {
    one.session("").token("t1").request()
}

#[test]
fn a_token_or_session_that_a_stranger_presents_in_another_tenant_is_stolen() {
    let found =
        run(&SPEC, &[bare(owner(0)), bare(owner(HOUR)), bare(thief(HOUR + 60).tenant("beta")), bare(thief(HOUR + 61).tenant("beta"))]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].tenant.as_str(), found[0].severity), ("beta", Severity::High));
    assert!(found[0].key.starts_with("token:hash:") && found[0].actions.contains(&Action::RevokeTokens), "{found:#?}");
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    let found = run(&SPEC, &[owner(0).login(), owner(60).request(), thief(HOUR).tenant("beta").request()]);
    assert_eq!((found.len(), found[0].key.clone()), (1, format!("session:{LONG}")), "{found:#?}");
    assert!(!found[0].reason.contains("acme"), "a tenant learns nothing of another");
}

#[test]
fn refused_in_the_other_tenant_it_was_an_attempt() {
    let refused = |second| bare(thief(second).tenant("beta")).fail("wrong_audience");
    let found = run(&SPEC, &[bare(owner(0)), refused(60), refused(70), bare(thief(80).tenant("beta"))]);
    assert_eq!(found.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Medium, Severity::High], "{found:#?}");
    assert!(found[0].actions.is_empty());
}

#[test]
fn who_works_for_several_tenants_is_left_in_peace() {
    let (found, gates) =
        told(&[bare(owner(0)), bare(owner(5).tenant("beta")), bare(owner(HOUR).tenant("gamma")), bare(owner(HOUR).tenant("beta"))]);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(gates, ["multi_tenant_client"; 2]);
    let short = |one: TestEvent| one.session("77");
    silent(&[
        vec![bare(owner(0)).service(), bare(thief(60).tenant("beta")).service()],
        vec![bare(owner(0)), bare(owner(60).tenant("beta")).ip("192.0.2.77").asn(20057, NetworkClass::Mobile)],
        // Counted sessions are alike in all tenants, and each is followed by itself.
        vec![
            short(owner(0)).login(),
            short(thief(60).tenant("beta")).login(),
            short(owner(90)).request(),
            short(thief(99).tenant("beta")).request(),
        ],
    ]);
    let beta = |one: TestEvent| short(one).tenant("beta");
    let found = run(&SPEC, &[short(owner(0)).login(), beta(owner(60)).login(), beta(thief(120)).request(), beta(owner(180)).request()]);
    assert_eq!((found.len(), found[0].tenant.as_str()), (1, "beta"), "{found:#?}");
}

fn unknown(one: TestEvent) -> TestEvent {
    one.user("").request()
}

#[test]
fn a_session_that_another_client_prepared_before_the_login_is_fixed() {
    let found = run(&SPEC, &[unknown(thief(0)), unknown(thief(10)), owner(600).login(), owner(700).request(), thief(900).request()]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((found[0].severity, found[0].event_ids.last().unwrap().as_str()), (Severity::High, "e3"));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    assert!(found[0].reason.contains("10 minutes before"), "{}", found[0].reason);
    assert!(found.iter().all(|one| one.actions.contains(&Action::RevokeSessions)));
}

#[test]
fn a_session_of_somebody_else_that_the_victim_signs_in_to_is_told_when_the_other_comes_back() {
    let mallory = |second| thief(second).user("mallory");
    let found = run(&SPEC, &[mallory(0).login(), mallory(60).request(), owner(600).login(), thief(900).request()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
}

#[test]
fn sessions_from_before_the_login_are_usual() {
    let relay =
        |second| owner(second).ip("172.224.1.1").asn(36183, NetworkClass::Relay).agent("Mozilla/5.0 (iPhone) Safari").ja4("t13_ssss_x");
    silent(&[
        vec![unknown(owner(0)), owner(600).login(), owner(700).request()],
        // The page's back end begins it, and the browser comes with it.
        vec![unknown(thief(0)), unknown(owner(1)), owner(600).login(), owner(700).request()],
        // Wi-Fi to cellular; an app and the phone's browser.
        vec![unknown(owner(0)), owner(600).ip("192.0.2.77").asn(20057, NetworkClass::Mobile).login()],
        vec![unknown(owner(0)), owner(600).agent("Mozilla/5.0 (iPhone) Safari").ja4("t13_ssss_x").login()],
        vec![unknown(owner(0)), relay(600).login(), relay(700).request()],
        // A kiosk.
        vec![owner(0).login(), owner(600).user("bob").login(), owner(700).user("bob").request(), owner(900).user("eve").login()],
        // An id of everybody.
        vec![owner(0).login(), thief(600).user("bob").login(), owner(700).request(), thief(800).user("bob").request()],
    ]);
}

#[test]
fn the_browser_that_logs_in_through_apples_relay_is_written_down() {
    let relay = owner(600).ip("172.224.1.1").asn(36183, NetworkClass::Relay).agent("Mozilla/5.0 (iPhone) Safari").ja4("t13_ssss_x");
    assert_eq!(told(&[unknown(owner(0)), relay.login()]).1, ["relay"]);
}

fn service(second: i64) -> TestEvent {
    let who = event(START).plus_ms(second * 1_000).service().user("svc-billing").token("key");
    who.ip("52.1.1.1").asn(16509, NetworkClass::Hosting).agent("billing/1")
}

fn elsewhere(second: i64) -> TestEvent {
    service(second).ip("203.0.113.9").asn(14061, NetworkClass::Hosting).agent("curl/8")
}

/// Five days of the same work.
fn work() -> Vec<TestEvent> {
    let hour = |hour: i64| {
        let at = (hour - 120) * HOUR;
        let invoice = format!("/v1/invoices/{}", hour * 7_919);
        [
            service(at).asks("GET", "/v1/invoices", 200),
            service(at + 2).asks("GET", invoice, 200),
            service(at + 4).asks("POST", "/v1/reports", 201),
        ]
    };
    (0..120).flat_map(hour).collect()
}

fn at_work(events: &[TestEvent]) -> (Vec<Finding>, Vec<&'static str>) {
    told(&[work().as_slice(), events].concat())
}

#[test]
fn a_services_token_on_another_network_and_new_routes_is_stolen() {
    let events = [
        elsewhere(0).asks("GET", "/v1/me", 200),
        elsewhere(9).asks("GET", "/v1/users", 200),
        elsewhere(18).asks("GET", "/v1/users/17", 200),
        elsewhere(27).asks("GET", "/v1/users/18", 200),
    ];
    let (found, _) = at_work(&events);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].key.as_str(), found[0].severity), ("user:svc-billing", Severity::High));
    assert_eq!(named(&found[0], EntityKind::Ip), ["203.0.113.9"]);
    assert!(found[0].actions.contains(&Action::RevokeTokens));
    assert!(found[0].reason.contains("2 routes") && found[0].reason.contains("limit 2"), "{}", found[0].reason);
    // An API key without a name.
    let nameless = |events: &[TestEvent]| events.iter().map(|one| one.clone().user("")).collect::<Vec<_>>();
    let found = run(&SPEC, &[nameless(&work()), nameless(&events)].concat());
    assert!(found.len() == 1 && found[0].key.starts_with("token:hash:"), "{found:#?}");
}

#[test]
fn a_services_token_that_is_refused_elsewhere_is_an_attempt_until_it_is_let_in() {
    let (found, _) = at_work(&[
        elsewhere(0).asks("GET", "/v1/me", 403).fail("forbidden"),
        elsewhere(9).asks("GET", "/v1/users", 403).fail("forbidden"),
        elsewhere(18).asks("GET", "/v1/exports", 200),
    ]);
    assert_eq!(found.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Medium, Severity::High], "{found:#?}");
}

#[test]
fn a_service_that_moves_grows_or_is_rebuilt_is_left_in_peace() {
    // Another provider, the usual work, and something new with it.
    let goes_on: Vec<_> = (0..6)
        .flat_map(|n| {
            let at = n * HOUR;
            [
                moved(at).asks("GET", "/v1/invoices", 200),
                moved(at + 2).asks("POST", "/v1/reports", 201),
                moved(at + 4).asks("GET", ["/v2/a", "/v2/b"][n as usize % 2], 200),
            ]
        })
        .collect();
    let (found, gates) = at_work(&goes_on);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(gates, ["usual_routes"], "once");
    let cases = [
        // Pods over many addresses of one provider, another region of it, and a new version.
        (0..9).map(|n| service(n).ip(&format!("52.9.{n}.1")).asks("GET", format!("/v2/new{n}"), 200)).collect::<Vec<_>>(),
        // One look from elsewhere is not enough.
        vec![elsewhere(0).asks("GET", "/v1/me", 200), elsewhere(9).asks("GET", "/v1/me", 200)],
        // A person.
        (0..9).map(|n| elsewhere(n).user("ann").asks("GET", format!("/v2/new{n}"), 200)).collect(),
    ];
    for (number, events) in cases.iter().enumerate() {
        let (found, _) = at_work(events);
        assert!(found.is_empty(), "case {number}: {found:#?}");
    }
}

/// The service's own program at another provider.
fn moved(second: i64) -> TestEvent {
    elsewhere(second).agent("billing/2")
}

#[test]
fn another_program_on_new_routes_is_stolen_even_if_it_begins_with_a_usual_one() {
    let rest = |at: &dyn Fn(i64) -> TestEvent| {
        vec![at(0).asks("GET", "/v1/invoices", 200), at(9).asks("GET", "/v1/users", 200), at(18).asks("GET", "/v1/keys", 200)]
    };
    let (found, _) = at_work(&rest(&elsewhere));
    assert_eq!((found.len(), found[0].severity), (1, Severity::High), "{found:#?}");
    assert!(found[0].reason.contains("by another program"), "{}", found[0].reason);
    // At the service's own provider: less sure.
    let beside = |at| elsewhere(at).ip("52.77.1.1").asn(16509, NetworkClass::Hosting);
    let (found, _) = at_work(&rest(&beside));
    assert_eq!((found.len(), found[0].severity), (1, Severity::Medium), "{found:#?}");
    // Until it was refused some of it.
    let refused = (3..6).map(|n| beside(n * 9).asks("GET", format!("/v1/{}", word(n)), 403).fail("forbidden"));
    let (found, _) = at_work(&rest(&beside).into_iter().chain(refused).collect::<Vec<_>>());
    assert_eq!(found.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Medium, Severity::High], "{found:#?}");
    assert!(found[1].reason.contains("2 requests were refused (limit 2)"), "{}", found[1].reason);
    // A day less of it has to be known.
    let young: Vec<_> = work().into_iter().filter(|one| one.time_ms() >= service(-2 * DAY).time_ms()).collect();
    assert_eq!(run(&SPEC, &[young.as_slice(), &rest(&elsewhere)].concat()).len(), 1);
    assert!(run(&SPEC, &[young.as_slice(), &rest(&|at| moved(at))[1..]].concat()).is_empty());
}

#[test]
fn what_looks_like_another_program_in_another_place_may_be_the_services_own() {
    let asks = |one: TestEvent, n: i64| one.asks("GET", format!("/v2/{}", word(n)), 200);
    let machines = |agent: &'static str| move |n: i64| service(n).ip(&format!("52.9.{n}.1")).agent(agent);
    let cases = [
        // The same program in a new release, by another name of the same TLS client.
        (0..9).map(|n| asks(service(n).ip("52.77.1.1").agent(format!("billing-{}/2", word(n))).ja4("t13_aaaa_b"), n)).collect::<Vec<_>>(),
        // Where it always runs, a tool looks after it.
        (0..9).map(|n| asks(service(n).agent("curl/8"), n)).collect(),
        // Runners of one provider with an address of their own each, on which anything may run.
        (-20..0)
            .map(machines("runner/1"))
            .map(|one| one.asks("GET", "/v1/invoices", 200))
            .chain((0..9).map(|n| asks(machines("curl/8")(n + 30), n)))
            .collect(),
        // Written anew in another language and moved: nearly all of it is what it always did.
        (0..9).map(|n| elsewhere(n).asks("GET", "/v1/invoices", 200)).chain((9..12).map(|n| asks(elsewhere(n), n))).collect(),
    ];
    let own = work().into_iter().map(|one| one.ja4("t13_aaaa_b")).collect::<Vec<_>>();
    for (number, events) in cases.iter().enumerate() {
        let mut events = [own.as_slice(), events].concat();
        events.sort_by_key(TestEvent::time_ms);
        let found = run(&SPEC, &events);
        assert!(found.is_empty(), "case {number}: {found:#?}");
    }
}

#[test]
fn a_service_that_is_new_or_at_home_everywhere_is_not_judged() {
    let look = |second: i64, n: i64| elsewhere(second).asks("GET", format!("/v1/look/{}", ["a", "b", "c"][n as usize]), 200);
    let young = [
        service(0).asks("GET", "/v1/a", 200),
        service(DAY).asks("GET", "/v1/a", 200),
        look(DAY + 1, 0),
        look(DAY + 2, 1),
        look(DAY + 3, 2),
    ];
    assert!(run(&SPEC, &young).is_empty());
    // A crawler with a new route in each request.
    let broad: Vec<_> = (0..600).map(|n| service((n - 600) * 600).asks("GET", format!("/page-{}", word(n)), 200)).collect();
    assert!(run(&SPEC, &[broad.as_slice(), &[look(0, 0), look(1, 1), look(2, 2)]].concat()).is_empty());
    // Functions that run at many providers.
    let roams: Vec<_> =
        (0..100).map(|n| service((n - 100) * HOUR).asn(100 + n as u32 % 20, NetworkClass::Hosting).asks("GET", "/v1/a", 200)).collect();
    assert!(run(&SPEC, &[roams.as_slice(), &[look(0, 0), look(1, 1), look(2, 2)]].concat()).is_empty());
}

/// Letters alone, so that it is no id.
fn word(mut number: i64) -> String {
    let mut word = String::new();
    for _ in 0..4 {
        word.push((b'a' + (number % 26) as u8) as char);
        number /= 26;
    }
    word
}

#[test]
fn slices_batches_and_reloads_change_nothing() {
    let mut events = work();
    for n in 0..40 {
        let tenant = ["acme", "beta", "gamma"][n as usize % 3];
        let id = |one: TestEvent| one.tenant(tenant).session(["77", LONG, "01ARZ3NDEKTSV4RRFFQ69G5FAX"][n as usize / 2 % 3]);
        events.extend([bare(owner(n * 300)).tenant(tenant), unknown(id(thief(n * 300 + 5))), id(owner(n * 300 + 20)).login()]);
        events.extend([id(thief(n * 300 + 30)).request(), bare(thief(n * 300 + 40)).tenant(tenant)]);
        events.push(elsewhere(n * 300 + 50).asks("GET", format!("/{}", word(n)), if n < 9 { 403 } else { 200 }));
    }
    assert!(run(&SPEC, &events).len() > 5);
    for check in [contract::is_deterministic, contract::survives_reload, contract::looks_at_all_that_matters] {
        assert_eq!(check(&SPEC, &events), Ok(()));
    }
}
