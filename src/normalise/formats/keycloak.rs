//! Events of Keycloak (keycloak.org): what users and administrators of a realm did.
//!
//! They come in two shapes, which say the same: the admin REST API's JSON (`EventRepresentation`,
//! `AdminEventRepresentation`), which `bartizan forward keycloak` sends, and lines of the server's log
//! (listener `jboss-logging`, `type="LOGIN", realmId="…", …`), as JSON, also in ECS, or as text. Only the
//! former have an id, so only they may come twice without harm. Other lines of such a log are skipped.
//!
//! A person is the `userId`, as most events name nothing else; only where an unknown name was tried is it
//! that name. A service is its client's id. `refresh_token_id` and `updated_refresh_token_id` give the
//! lineage of refresh tokens, `token_id` is the access token's `jti`. A realm is no tenant by itself: other
//! logs of the same people know nothing of realms. `tenant` may stand beside an event, as the forwarder
//! writes it where it is configured.
//!
//! An address is believed to be the person's only where the person's client sends the request. An
//! administrator's (also one who impersonates) and that of a resource server that introspects a token are
//! kept as an attribute. User agents and devices Keycloak does not log.

use super::{Confidence, Env, FormatSpec, Record};
use crate::normalise::NormaliseConfig;
use crate::normalise::draft::{RawDraft, Secret, parse_ip};
use crate::normalise::json::Json;
use crate::normalise::reject::{Reject, RejectCode};
use crate::normalise::time::RawTime;
use bartizan_core::batch::Field;
use bartizan_core::{Kind, Outcome, UserKind};
use jiff::civil::DateTime;
use std::borrow::Cow;

pub(super) static SPEC: FormatSpec =
    FormatSpec { name: "keycloak", about: "Keycloak: user and admin events of its REST API, or lines of its log", detect, parse };

/// Category of events in the server's log.
const CATEGORY: &str = "org.keycloak.events";
/// How the user name of a client's service account begins.
const SERVICE_ACCOUNT: &str = "service-account-";
/// Members of an event that no detail of the same name stands in for.
const OWN: &[&str] = &["id", "tenant", "time", "type", "operationType", "realmId", "clientId", "userId", "sessionId", "ipAddress", "error"];
/// What is the event's own, or must not be kept: names of persons and whole records of what an
/// administrator changed.
const NOT_KEPT: &[&str] = &[
    "id",
    "tenant",
    "time",
    "type",
    "operationType",
    "clientId",
    "userId",
    "sessionId",
    "ipAddress",
    "error",
    "token_id",
    "refresh_token_id",
    "updated_refresh_token_id",
    "refresh_token_sub",
    "grant_type",
    "scope",
    "realmId",
    "realmName",
    "representation",
    "first_name",
    "last_name",
    "previous_first_name",
    "previous_last_name",
    "updated_first_name",
    "updated_last_name",
];

fn detect(record: &Record<'_>) -> Confidence {
    let has = |names: &[&str]| names.iter().all(|name| record.has(name));
    if has(&["type", "realmId", "time"]) || has(&["operationType", "resourceType", "realmId", "time"]) {
        return Confidence::Sure;
    }
    if !record.is_object() {
        return if text_line(record.text).is_some() { Confidence::Sure } else { Confidence::No };
    }
    // What other programs of the same logging library write is skipped, too.
    let is_log = has(&["loggerName", "loggerClassName", "message"]) || has(&["log.logger", "message", "@timestamp"]);
    match is_log {
        true if record.text.contains(CATEGORY) => Confidence::Sure,
        true => Confidence::Weak,
        false => Confidence::No,
    }
}

fn parse<'a>(record: &Record<'a>, env: &Env<'_>) -> Result<Option<RawDraft<'a>>, Reject> {
    if !record.is_object() {
        let (time, message) = text_line(record.text).ok_or_else(|| Reject::new(RejectCode::Malformed, "no event of Keycloak's log"))?;
        return draft(RawTime::Local(time), Facts::of_message(message, env.limits)?).map(Some);
    }
    let json = Json::parse(record.text, env.limits)?;
    let text = |names: [&str; 2]| names.iter().find_map(|name| json.text_at(&[name]));
    if let Some(logger) = text(["loggerName", "log.logger"]) {
        if logger != CATEGORY {
            return Ok(None);
        }
        let time = text(["timestamp", "@timestamp"]).ok_or_else(|| Reject::missing("timestamp"))?;
        let message = text(["message", "message"]).ok_or_else(|| Reject::missing("message"))?;
        return draft(RawTime::Text(time), Facts::of_message(&message, env.limits)?).map(Some);
    }
    let time = match json.get("time") {
        None => return Err(Reject::missing("time")),
        Some(value) => value.as_i64().ok_or_else(|| Reject::wrong_type("time", "milliseconds since 1970"))?,
    };
    let (id, tenant) = (text(["id", "id"]), text(["tenant", "tenant"]));
    let mut draft = draft(RawTime::Millis(time), Facts::of_representation(json)?)?;
    draft.set(Field::Id, id);
    draft.set(Field::Tenant, tenant);
    Ok(Some(draft))
}

/// Time and message of an event in the log's usual text layout:
/// `2026-03-02 09:00:00,123 DEBUG [org.keycloak.events] (executor-thread-1) type="LOGIN", …`.
fn text_line(line: &str) -> Option<(DateTime, &str)> {
    let (head, rest) = line.split_once("[org.keycloak.events]")?;
    let (date, rest_of_head) = head.split_at_checked("2026-03-02 09:00:00,123".len())?;
    let time = date.replacen(' ', "T", 1).replacen(',', ".", 1).parse().ok()?;
    let level = rest_of_head.trim();
    let (_, message) = rest.split_once(") ")?;
    level.bytes().all(|byte| byte.is_ascii_uppercase()).then_some((time, message))
}

/// What an event says, name by name, with its details among the rest.
struct Facts<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Facts<'a> {
    /// Of the REST API's JSON. In an admin event `authDetails` stands for the actor, as in the log.
    fn of_representation(event: Json<'a>) -> Result<Self, Reject> {
        let Json::Object(members) = event else { return Err(Reject::new(RejectCode::NotObject, "not a JSON object")) };
        let mut facts = Self(Vec::with_capacity(members.len() + 16));
        for (name, value) in members {
            match (name.as_ref(), value) {
                (_, Json::Null) => {}
                ("details", Json::Object(details)) => {
                    details.into_iter().filter(|(name, _)| !OWN.contains(&name.as_ref())).for_each(|(name, value)| facts.add(name, value));
                }
                // The realm is that of the event, not of its administrator.
                ("authDetails", Json::Object(actor)) => {
                    actor.into_iter().filter(|(name, _)| !name.starts_with("realm")).for_each(|(name, value)| facts.add(name, value));
                }
                ("type" | "operationType" | "userId" | "sessionId" | "id" | "error", value) if !value.is_text() => {
                    return Err(Reject::wrong_type(&name, "a string"));
                }
                (_, value) => facts.add(name, value),
            }
        }
        Ok(facts)
    }

    /// Of a log line: `name="value"`, separated by commas; a quote or backslash in a value has a backslash before it.
    /// What is absent says "null".
    fn of_message(message: &str, limits: &NormaliseConfig) -> Result<Self, Reject> {
        let malformed = || Reject::new(RejectCode::Malformed, "not an event as Keycloak writes it to its log");
        let mut facts = Self(Vec::with_capacity(24));
        let mut rest = message.trim();
        while !rest.is_empty() {
            let (name, quoted) = rest.split_once("=\"").ok_or_else(malformed)?;
            let (value, after) = unquoted(quoted).ok_or_else(malformed)?;
            if facts.0.len() >= limits.attrs_max {
                return Err(Reject::new(RejectCode::TooLarge, format!("more than {} details", limits.attrs_max)));
            }
            if value != "null" {
                facts.add(Cow::Owned(name.to_owned()), Json::Text(Cow::Owned(value)));
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        Ok(facts)
    }

    /// Adds what is not there yet: a detail must not stand in for a member of the event.
    fn add(&mut self, name: Cow<'a, str>, value: Json<'a>) {
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, value));
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.text(name).map(AsRef::as_ref)
    }

    fn text(&self, name: &str) -> Option<&Cow<'a, str>> {
        self.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| match value {
            Json::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        })
    }

    fn take(&self, name: &str) -> Option<Cow<'a, str>> {
        self.text(name).cloned()
    }
}

/// A quoted text to its closing quote, and what comes after it.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return quoted.get(at + 1..).map(|rest| (value, rest)),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

fn draft<'a>(time: RawTime<'a>, facts: Facts<'a>) -> Result<RawDraft<'a>, Reject> {
    let mut draft = RawDraft { time: Some(time), ..RawDraft::default() };
    if facts.get("operationType").is_some() {
        admin_event(&facts, &mut draft);
    } else {
        user_event(facts.get("type").ok_or_else(|| Reject::missing("type"))?, &facts, &mut draft);
    }
    draft.texts.set(Field::Source, "keycloak");
    if let Some(realm) = facts.take("realmName").or_else(|| facts.take("realmId")) {
        draft.attrs.push_text("realm", realm);
    }
    for (name, value) in facts.0 {
        if !NOT_KEPT.contains(&name.as_ref()) && !draft.attrs.has(&name) {
            draft.attrs.push(name, value);
        }
    }
    Ok(draft)
}

fn user_event<'a>(kind: &str, facts: &Facts<'a>, draft: &mut RawDraft<'a>) {
    let (name, failed) = kind.strip_suffix("_ERROR").map_or((kind, false), |name| (name, true));
    let error = facts.get("error").filter(|_| failed);
    draft.attrs.push_text("action", name.to_ascii_lowercase());
    // Only the form for one-time codes says which credential failed; the password was right then.
    let is_code = name == "LOGIN" && error == Some("invalid_user_credentials") && facts.get("selected_credential_id").is_some();
    draft.kind = Some(if is_code { Kind::MfaResult } else { kind_of(name, facts) });
    draft.outcome = Some(match error {
        Some("access_denied" | "rejected_by_user" | "consent_denied" | "not_allowed") => Outcome::Denied,
        _ if failed => Outcome::Failure,
        _ if name.starts_with("USER_DISABLED_BY_") => Outcome::Denied,
        _ => Outcome::Success,
    });
    let reason = match error {
        Some(_) if is_code => Some(Cow::Borrowed("bad_code")),
        Some(error) => Some(reason_of(error, facts).map_or_else(|| Cow::Owned(error.to_owned()), Cow::Borrowed)),
        None => name.starts_with("USER_DISABLED_BY_").then_some(Cow::Borrowed("locked")),
    };
    draft.set(Field::Reason, reason);
    draft.set(Field::App, facts.take("clientId"));
    draft.set(Field::Scope, facts.take("scope"));
    draft.set(Field::Grant, facts.take("grant_type").map(grant_of));
    draft.set(Field::TokenId, facts.take("token_id"));
    if is_code || draft.kind == Some(Kind::AccountChange) {
        draft.set(Field::Factor, factor_of(name, facts.get("credential_type"), is_code).map(Cow::Borrowed));
    }
    tokens(facts, draft);
    let service = facts.get("username").and_then(|user| user.strip_prefix(SERVICE_ACCOUNT));
    match name {
        "INTROSPECT_TOKEN" => {
            by_service(facts.take("clientId"), draft);
            // What a resource server does with a person's token, it does from its own address.
            for (attr, fact) in [("subject", "userId"), ("subject_session", "sessionId"), ("server_ip", "ipAddress")] {
                draft.attrs.push_text(attr, facts.take(fact).unwrap_or_default());
            }
            return;
        }
        "CLIENT_LOGIN" => by_service(facts.take("clientId"), draft),
        _ if service.is_some() => by_service(service.map(|name| Cow::Owned(name.to_owned())), draft),
        _ => {
            let user = facts.take("userId").or_else(|| facts.take("refresh_token_sub")).or_else(|| facts.take("username"));
            draft.set(Field::User, user);
        }
    }
    // A code that is refused was anybody's, and so was the session that stands in it.
    if !(failed && name == "CODE_TO_TOKEN") {
        draft.set(Field::Session, facts.take("sessionId"));
    }
    if name == "IMPERSONATE" {
        draft.attrs.push_text("by", facts.take("impersonator").unwrap_or_default());
        draft.attrs.push_text("by_ip", facts.take("ipAddress").unwrap_or_default());
    } else {
        client(facts, draft);
    }
}

/// An event of a person's account that an administrator changed is about that person, and says nothing of
/// where the person is; of anything else it is about the administrator.
fn admin_event<'a>(facts: &Facts<'a>, draft: &mut RawDraft<'a>) {
    let (operation, path) = (facts.get("operationType").unwrap_or_default(), facts.get("resourcePath").unwrap_or_default());
    let mut parts = path.split('/');
    let (kind, user, session, action) = match (parts.next(), parts.next(), parts.next(), operation) {
        (Some("users"), Some(user), Some("reset-password"), _) => (Kind::PasswordReset, Some(user), None, "reset_password"),
        (Some("users"), Some(user), Some("credentials"), _) => (Kind::AccountChange, Some(user), None, "change_credential"),
        (Some("users"), Some(user), Some("logout"), _) => (Kind::TokenRevoke, Some(user), None, "logout_user"),
        (Some("users"), Some(user), Some("consents"), _) => (Kind::TokenRevoke, Some(user), None, "revoke_consent"),
        (Some("users"), Some(user), None, "CREATE") => (Kind::Signup, Some(user), None, "create_user"),
        (Some("users"), Some(user), None, "DELETE") => (Kind::AccountChange, Some(user), None, "delete_user"),
        (Some("users"), Some(user), ..) => (Kind::AccountChange, Some(user), None, "change_user"),
        (Some("sessions"), Some(session), None, "DELETE") => (Kind::TokenRevoke, None, Some(session), "end_session"),
        _ => (Kind::Other, None, None, "admin"),
    };
    let failed = facts.get("error").is_some();
    draft.kind = Some(kind);
    draft.outcome = Some(if failed { Outcome::Failure } else { Outcome::Success });
    draft.set(Field::Reason, facts.take("error"));
    draft.attrs.push_text("action", action);
    draft.attrs.push_text("operation", operation.to_owned());
    if user.is_none() && session.is_none() {
        draft.set(Field::User, facts.take("userId"));
        draft.set(Field::App, facts.take("clientId"));
        return client(facts, draft);
    }
    draft.set(Field::User, user.map(|user| Cow::Owned(user.to_owned())));
    draft.set(Field::Session, session.map(|session| Cow::Owned(session.to_owned())));
    for (attr, fact) in [("by", "userId"), ("by_client", "clientId"), ("by_ip", "ipAddress")] {
        draft.attrs.push_text(attr, facts.take(fact).unwrap_or_default());
    }
}

/// What a type of events, without its `_ERROR`, is in the product's words.
fn kind_of(name: &str, facts: &Facts<'_>) -> Kind {
    match name {
        "LOGIN" => Kind::Login,
        "LOGOUT" => Kind::Logout,
        "REGISTER" => Kind::Signup,
        "CLIENT_LOGIN"
        | "CODE_TO_TOKEN"
        | "OAUTH2_DEVICE_CODE_TO_TOKEN"
        | "AUTHREQID_TO_TOKEN"
        | "TOKEN_EXCHANGE"
        | "JWT_BEARER"
        | "JWT_AUTHORIZATION_GRANT"
        | "OAUTH2_EXTENSION_GRANT"
        | "PERMISSION_TOKEN"
        | "VERIFIABLE_CREDENTIAL_PRE_AUTHORIZED_GRANT" => Kind::TokenIssue,
        "REFRESH_TOKEN" => Kind::TokenRefresh,
        "REVOKE_GRANT" => Kind::TokenRevoke,
        "UPDATE_PASSWORD" => Kind::PasswordChange,
        // Since 26 each change of a password is told in both ways; so it is twice the same.
        "UPDATE_CREDENTIAL" if facts.get("credential_type") == Some("password") => Kind::PasswordChange,
        // Asking for the mail (`SEND_RESET_PASSWORD`) changes nothing.
        "RESET_PASSWORD" => Kind::PasswordReset,
        "UPDATE_CREDENTIAL"
        | "REMOVE_CREDENTIAL"
        | "UPDATE_TOTP"
        | "REMOVE_TOTP"
        | "UPDATE_EMAIL"
        | "UPDATE_PROFILE"
        | "FEDERATED_IDENTITY_LINK"
        | "FEDERATED_IDENTITY_OVERRIDE_LINK"
        | "REMOVE_FEDERATED_IDENTITY"
        | "DELETE_ACCOUNT" => Kind::AccountChange,
        _ => Kind::Other,
    }
}

/// The product's word for an error; `None`: it stays as it is.
fn reason_of(error: &str, facts: &Facts<'_>) -> Option<&'static str> {
    Some(match error {
        "invalid_user_credentials" | "invalid_client_credentials" => "bad_password",
        "user_not_found" => "unknown_user",
        "user_disabled" => "disabled",
        "user_temporarily_disabled" => "locked",
        "expired_code" | "session_expired" => "expired",
        "access_denied" | "rejected_by_user" => "denied",
        // Of refresh tokens the reason says more.
        "invalid_token" => match facts.get("reason")? {
            "Stale token" | "Maximum allowed refresh token reuse exceeded" => "token_reused",
            "Session not active" | "Offline user session not found" => "session_ended",
            "Token is not active" | "Refresh token expired" => "expired",
            _ => return None,
        },
        _ => return None,
    })
}

/// The grant without the prefix of its kind's registry.
fn grant_of(grant: Cow<'_, str>) -> Cow<'_, str> {
    match grant.rsplit_once(':') {
        Some((_, name)) => Cow::Owned(name.replace('-', "_")),
        None => grant,
    }
}

fn factor_of(name: &str, credential: Option<&str>, is_code: bool) -> Option<&'static str> {
    match credential {
        _ if is_code || matches!(name, "UPDATE_TOTP" | "REMOVE_TOTP") => Some("totp"),
        Some("otp") => Some("totp"),
        Some("webauthn" | "webauthn-passwordless") => Some("webauthn"),
        Some("recovery-authn-codes") => Some("recovery"),
        _ => None,
    }
}

/// Ids of refresh tokens: the one presented, or issued first, and the one given in return.
fn tokens<'a>(facts: &Facts<'a>, draft: &mut RawDraft<'a>) {
    if matches!(draft.kind, Some(Kind::TokenRefresh | Kind::TokenIssue | Kind::TokenRevoke)) {
        draft.token = facts.take("refresh_token_id").map(Secret::Clear);
        draft.token_issued = facts.take("updated_refresh_token_id").map(Secret::Clear);
    }
}

fn by_service<'a>(client: Option<Cow<'a, str>>, draft: &mut RawDraft<'a>) {
    draft.user_kind = Some(UserKind::Service);
    draft.set(Field::User, client);
}

/// The client's address. Behind a proxy that is not configured Keycloak may have some other word for it.
fn client<'a>(facts: &Facts<'a>, draft: &mut RawDraft<'a>) {
    let Some(text) = facts.take("ipAddress") else { return };
    draft.ip = parse_ip(&text);
    if draft.ip.is_none() {
        draft.attrs.push_text("client_host", text);
    }
}
