//! OCSF events as JSON (Open Cybersecurity Schema Framework, schema.ocsf.io, versions 1.0 to 1.6).
//!
//! Read are Account Change (3001), Authentication (3002), HTTP Activity (4002) and API Activity (6003);
//! records of other classes are skipped. The actor is named by `name`, else `email_addr`, else `uid`,
//! because a failed sign-in often has the name alone. `status_id` gives the outcome, `disposition_id`
//! or `action_id` of the security-control profile turn a refusal into `denied`. The client is
//! `src_endpoint.ip`, or the right-most hop of `http_request.x_forwarded_for` that is not a trusted
//! proxy. What a producer puts into `unmapped` stays behind.

use super::{Confidence, Env, FormatSpec, Record};
use crate::normalise::draft::{RawDraft, parse_ip};
use crate::normalise::json::Json;
use crate::normalise::reject::{Reject, RejectCode};
use crate::normalise::time::RawTime;
use bartizan_core::batch::Field;
use bartizan_core::{Kind, Outcome, UserKind};
use std::borrow::Cow;

pub(super) static SPEC: FormatSpec =
    FormatSpec { name: "ocsf", about: "OCSF 1.x JSON: Authentication, Account Change, API Activity, HTTP Activity", detect, parse };

const ACCOUNT_CHANGE: i64 = 3001;
const AUTHENTICATION: i64 = 3002;
const HTTP_ACTIVITY: i64 = 4002;
const API_ACTIVITY: i64 = 6003;

fn detect(record: &Record<'_>) -> Confidence {
    match (record.has("class_uid"), record.has("metadata") || record.has("activity_id") || record.has("type_uid")) {
        (true, true) => Confidence::Sure,
        (true, false) => Confidence::Weak,
        _ => Confidence::No,
    }
}

fn parse<'a>(record: &Record<'a>, env: &Env<'_>) -> Result<Option<RawDraft<'a>>, Reject> {
    let event = Json::parse(record.text, env.limits)?;
    if !matches!(event, Json::Object(_)) {
        return Err(Reject::new(RejectCode::NotObject, "not a JSON object"));
    }
    check_types(&event)?;
    let class = match event.get("class_uid") {
        None => return Err(Reject::missing("class_uid")),
        Some(value) => value.as_i64().ok_or_else(|| Reject::wrong_type("class_uid", "a number"))?,
    };
    let activity = event.int_at(&["activity_id"]).unwrap_or(0);
    let kind = match class {
        ACCOUNT_CHANGE => account_change(activity),
        AUTHENTICATION => authentication(activity, &event),
        HTTP_ACTIVITY | API_ACTIVITY => Kind::ApiRequest,
        _ => return Ok(None),
    };
    let mut draft = RawDraft { kind: Some(kind), ..RawDraft::default() };
    draft.time = Some(time(&event)?);
    outcome(&event, &mut draft);
    who(&event, class, &mut draft);
    client(&event, env, &mut draft)?;
    request(&event, class, activity, &mut draft);
    context(&event, class, &mut draft);
    Ok(Some(draft))
}

/// The members that make the event, which must not be lost by a wrong type. Others of a wrong type count
/// as absent.
fn check_types(event: &Json<'_>) -> Result<(), Reject> {
    const NUMBERS: [&[&str]; 3] = [&["activity_id"], &["status_id"], &["http_response", "code"]];
    const TEXTS: [&[&str]; 16] = [
        &["user", "name"],
        &["user", "email_addr"],
        &["user", "uid"],
        &["actor", "user", "name"],
        &["actor", "user", "email_addr"],
        &["actor", "user", "uid"],
        &["actor", "session", "uid"],
        &["session", "uid"],
        &["src_endpoint", "ip"],
        &["device", "uid"],
        &["metadata", "uid"],
        &["metadata", "tenant_uid"],
        &["http_request", "user_agent"],
        &["http_request", "http_method"],
        &["http_request", "url", "path"],
        &["api", "operation"],
    ];
    NUMBERS.iter().try_for_each(|path| check_type(event, path, "a number", |value| value.is_number()))?;
    TEXTS.iter().try_for_each(|path| check_type(event, path, "a string", |value| value.is_text()))
}

/// Walks a path as far as it goes; what is absent or `null` is of no wrong type.
fn check_type(event: &Json<'_>, path: &[&str], wanted: &str, is_wanted: impl Fn(&Json<'_>) -> bool) -> Result<(), Reject> {
    let mut value = event;
    for (depth, name) in path.iter().enumerate() {
        let Some(inner) = value.get(name) else { break };
        let last = depth + 1 == path.len();
        if (last && !is_wanted(inner)) || (!last && !matches!(inner, Json::Object(_))) {
            let shown = path.get(..=depth).unwrap_or_default().join(".");
            return Err(Reject::wrong_type(&shown, if last { wanted } else { "an object" }));
        }
        value = inner;
    }
    Ok(())
}

/// `activity_id` of Authentication. A Kerberos ticket is a token: 3 and 4 issue one, 5 renews one.
fn authentication(activity: i64, event: &Json<'_>) -> Kind {
    match activity {
        1 => Kind::Login,
        2 => Kind::Logout,
        3 | 4 => Kind::TokenIssue,
        5 => Kind::TokenRefresh,
        // Pre-authentication (1.2 on) is the proof of the password before a ticket is given.
        6 => Kind::Login,
        _ if event.at(&["auth_factors"]).is_some() || event.bool_at(&["is_mfa"]) == Some(true) => Kind::MfaResult,
        _ => Kind::Other,
    }
}

/// `activity_id` of Account Change.
fn account_change(activity: i64) -> Kind {
    match activity {
        1 => Kind::Signup,
        3 => Kind::PasswordChange,
        4 => Kind::PasswordReset,
        _ => Kind::AccountChange,
    }
}

/// `time_dt` (profile Date/Time) is the same as `time`, as text.
fn time<'a>(event: &Json<'a>) -> Result<RawTime<'a>, Reject> {
    match event.get("time") {
        Some(Json::Text(text)) => Ok(RawTime::Text(text.clone())),
        Some(value) => value.as_i64().map(RawTime::Millis).ok_or_else(|| Reject::wrong_type("time", "milliseconds since 1970")),
        None => event.text_at(&["time_dt"]).map(RawTime::Text).ok_or_else(|| Reject::missing("time")),
    }
}

fn outcome<'a>(event: &Json<'a>, draft: &mut RawDraft<'a>) {
    let status = event.text_at(&["status"]).map(|text| text.to_ascii_lowercase());
    let refused = event.int_at(&["action_id"]) == Some(2) || matches!(event.int_at(&["disposition_id"]), Some(2 | 6 | 7));
    let by_code = || match event.int_at(&["http_response", "code"]).or_else(|| event.int_at(&["api", "response", "code"])) {
        Some(401 | 403) => Outcome::Denied,
        Some(100..=399) => Outcome::Success,
        Some(400..=599) => Outcome::Failure,
        _ => Outcome::Unknown,
    };
    draft.outcome = Some(match (event.int_at(&["status_id"]), status.as_deref()) {
        (Some(1), _) => Outcome::Success,
        _ if refused => Outcome::Denied,
        (Some(2), _) => Outcome::Failure,
        (_, Some("success")) => Outcome::Success,
        (_, Some("failure" | "failed")) => Outcome::Failure,
        _ => by_code(),
    });
    if draft.outcome != Some(Outcome::Success) {
        let detail = event.text_at(&["status_detail"]).or_else(|| event.text_at(&["status_code"]));
        draft.set(Field::Reason, detail.map(|text| known_reason(&text).map_or(text, Cow::Borrowed)));
    }
}

/// The product's word for the details that the schema names.
fn known_reason(detail: &str) -> Option<&'static str> {
    Some(match detail {
        "USER_DOES_NOT_EXIST" => "unknown_user",
        "INVALID_CREDENTIALS" => "bad_password",
        "ACCOUNT_DISABLED" => "disabled",
        "ACCOUNT_LOCKED_OUT" => "locked",
        "PASSWORD_EXPIRED" => "expired",
        _ => return None,
    })
}

fn name_of<'a>(user: &Json<'a>) -> Option<Cow<'a, str>> {
    user.text_at(&["name"]).or_else(|| user.text_at(&["email_addr"])).or_else(|| user.text_at(&["uid"]))
}

fn who<'a>(event: &Json<'a>, class: i64, draft: &mut RawDraft<'a>) {
    let subject = event.get("user").filter(|user| name_of(user).is_some());
    let actor = event.at(&["actor", "user"]).filter(|user| name_of(user).is_some());
    let user = if matches!(class, ACCOUNT_CHANGE | AUTHENTICATION) { subject.or(actor) } else { actor.or(subject) };
    if let Some(user) = user {
        draft.set(Field::User, name_of(user));
        // 3 = System, 4 = Service (1.2 on).
        if matches!(user.int_at(&["type_id"]), Some(3 | 4)) {
            draft.user_kind = Some(UserKind::Service);
        }
        for (name, path) in [("user_uid", "uid"), ("user_email", "email_addr"), ("user_domain", "domain")] {
            if let Some(text) = user.text_at(&[path]).filter(|text| text != draft.texts.get(Field::User)) {
                draft.attrs.push_text(name, text);
            }
        }
    }
    if let (Some(_), Some(by)) = (subject, actor.and_then(name_of))
        && by != draft.texts.get(Field::User)
    {
        draft.attrs.push_text("by", by);
    }
    let session = event.get("session").or_else(|| event.at(&["actor", "session"]));
    draft.set(Field::Session, session.and_then(|session| session.text_at(&["uid"]).or_else(|| session.text_at(&["uuid"]))));
    let token_id =
        event.text_at(&["authentication_token", "uid"]).or_else(|| session.and_then(|session| session.text_at(&["credential_uid"])));
    draft.set(Field::TokenId, token_id);
}

fn client<'a>(event: &Json<'a>, env: &Env<'_>, draft: &mut RawDraft<'a>) -> Result<(), Reject> {
    if let Some(text) = event.text_at(&["src_endpoint", "ip"]) {
        // CloudTrail's own services stand here by name ("ec2.amazonaws.com"); a name is no client address.
        match parse_ip(&text) {
            Some(ip) => draft.ip = Some(ip),
            None if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains(':') => draft.attrs.push_text("client_host", text),
            None => draft.set_ip("src_endpoint.ip", &text)?,
        }
    }
    if let Some(Json::Array(hops)) = event.at(&["http_request", "x_forwarded_for"]) {
        let chain: Vec<&str> = hops.iter().filter_map(|hop| if let Json::Text(text) = hop { Some(text.as_ref()) } else { None }).collect();
        draft.ip = env.proxies.client(draft.ip, &chain);
    }
    let device = event.text_at(&["device", "uid"]).or_else(|| event.text_at(&["src_endpoint", "uid"]));
    draft.set(Field::Device, device);
    draft.set(Field::UserAgent, event.text_at(&["http_request", "user_agent"]));
    draft.set(Field::Ja4, ja4(event));
    Ok(())
}

/// `ja4_fingerprint_list` (1.3 on): `type_id` 1 is JA4, the fingerprint of the TLS client.
fn ja4<'a>(event: &Json<'a>) -> Option<Cow<'a, str>> {
    let Some(Json::Array(list)) = event.get("ja4_fingerprint_list").or_else(|| event.at(&["tls", "ja4_fingerprint_list"])) else {
        return None;
    };
    list.iter().find(|print| print.int_at(&["type_id"]) == Some(1)).and_then(|print| print.text_at(&["value"]))
}

fn request<'a>(event: &Json<'a>, class: i64, activity: i64, draft: &mut RawDraft<'a>) {
    // `activity_id` of HTTP Activity, in the schema's order.
    const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"];
    let method = event.text_at(&["http_request", "http_method"]);
    let by_activity = || usize::try_from(activity - 1).ok().and_then(|index| METHODS.get(index)).map(|name| Cow::Borrowed(*name));
    draft.set(Field::Method, method.or_else(|| if class == HTTP_ACTIVITY { by_activity() } else { None }));
    let url = |name| event.text_at(&["http_request", "url", name]);
    let operation = event.text_at(&["api", "operation"]);
    let path = match (url("path"), url("query_string")) {
        (Some(path), Some(query)) => Some(Cow::Owned(format!("{path}?{}", query.trim_start_matches('?')))),
        (Some(path), None) => Some(path),
        _ => url("url_string"),
    };
    if let Some(operation) = &operation {
        draft.attrs.push_text("operation", operation.clone());
    }
    draft.set(Field::Path, path.or(if class == API_ACTIVITY { operation } else { None }));
    let code = event.int_at(&["http_response", "code"]).or_else(|| event.int_at(&["api", "response", "code"]));
    draft.status = code.and_then(|code| u64::try_from(code).ok()).filter(|code| (100..=999).contains(code));
    let size = event.at(&["http_response", "length"]).or_else(|| event.at(&["traffic", "bytes_out"]));
    draft.bytes = size.and_then(Json::as_rounded_u64);
    let duration = event.at(&["http_response", "latency"]).or_else(|| event.at(&["duration"]));
    draft.duration_ms = duration.and_then(Json::as_rounded_u64);
}

fn context<'a>(event: &Json<'a>, class: i64, draft: &mut RawDraft<'a>) {
    draft.set(Field::Id, event.text_at(&["metadata", "uid"]));
    draft.set(Field::Tenant, event.text_at(&["metadata", "tenant_uid"]));
    let source = ["log_name", "log_provider"].into_iter().find_map(|name| event.text_at(&["metadata", name]));
    draft.set(Field::Source, event.text_at(&["metadata", "product", "name"]).or(source));
    let app = event.text_at(&["actor", "app_name"]).or_else(|| event.text_at(&["service", "name"]));
    draft.set(Field::App, app.or_else(|| event.text_at(&["api", "service", "name"])));
    draft.set(Field::Factor, factor(event));
    draft.attrs.push("class_uid", Json::Int(class));
    for (name, path) in [
        ("activity", &["activity_name"][..]),
        ("auth_protocol", &["auth_protocol"][..]),
        ("logon_type", &["logon_type"][..]),
        ("service", &["service", "name"][..]),
        ("status_code", &["status_code"][..]),
        ("message", &["message"][..]),
        ("account", &["cloud", "account", "uid"][..]),
        ("cloud_region", &["cloud", "region"][..]),
        ("target_host", &["dst_endpoint", "hostname"][..]),
    ] {
        if let Some(text) = event.text_at(path) {
            draft.attrs.push_text(name, text);
        }
    }
    let mfa = event.bool_at(&["is_mfa"]).or_else(|| event.bool_at(&["session", "is_mfa"])).or_else(|| event.bool_at(&["mfa"]));
    for (name, value) in [("mfa", mfa), ("is_remote", event.bool_at(&["is_remote"])), ("is_cleartext", event.bool_at(&["is_cleartext"]))] {
        if let Some(value) = value {
            draft.attrs.push(name, Json::Bool(value));
        }
    }
}

/// The second factor: the last of `auth_factors` that is no password.
fn factor(event: &Json<'_>) -> Option<Cow<'static, str>> {
    let Some(Json::Array(factors)) = event.get("auth_factors") else { return None };
    let name = |factor: &Json<'_>| {
        Some(match factor.int_at(&["factor_type_id"])? {
            1 => "sms",
            2 => "security_question",
            3 => "phone_call",
            4 => "biometric",
            5 => "push",
            6 => "hardware_token",
            7 => "totp",
            8 => "email",
            9 => "u2f",
            10 => "webauthn",
            _ => return None,
        })
    };
    factors.iter().rev().find_map(name).map(Cow::Borrowed)
}
