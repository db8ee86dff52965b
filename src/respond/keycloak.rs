//! Keycloak as a target: ends sessions by its admin API, and reads back that they are gone.
//!
//! A session is known by its id in the realm of its tenant, where it may exist twice: as it is, and offline,
//! for tokens that outlive the sign-in. Both are ended. Then the user's sessions are listed, offline ones
//! included: only if it is in neither list, it is ended. What the server knows is all that counts; what was
//! issued before and needs no server (an access token that nobody introspects) lives on until it runs out.
//!
//! What is about a person is done to the person's own record, or to all sessions that began before the proof:
//! who signed in anew since is left alone.
//!
//! What the attacker added is taken back as narrowly as Keycloak lets it be: a credential only if it was made in the
//! time that the order names, and never the password; a mail address only while it is the one that the attacker put
//! there; what a client was let do, with all its offline tokens for this person, unless the person let it anew since.
//! Keycloak has no API keys.
//!
//! The service account needs the role `manage-users`.

use super::adapter::{Adapter, Answer};
use super::added::Added;
use super::config::RevocationConfig;
use super::order::{ActionKind, Order};
use crate::db::outbox::Message;
use crate::keycloak::{self, Account, AdminApi, CallError, RealmConfig};
use crate::notify::Outcome;
use crate::notify::address::Guard;
use crate::notify::guarded_http::{SetupError, fingerprint, guarded_client, refusal};
use bartizan_core::TimeMs;
use bartizan_core::time::SECOND_MS;
use futures::future::BoxFuture;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes of one answer: some thousand sessions.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Clients with offline sessions of one user that are looked at.
const OFFLINE_CLIENTS_MAX: usize = 100;

/// Credentials that one order removes. Nobody makes so many within minutes.
const CREDENTIALS_MAX: usize = 20;
/// By how much the clocks of a cluster's members differ.
const CLOCKS_MS: i64 = 5 * SECOND_MS;
/// The type of the credential that is never removed.
const PASSWORD: &str = "password";

/// A Keycloak server that ends sessions.
pub struct Keycloak {
    api: AdminApi,
    realms: Vec<RealmConfig>,
    fingerprint: String,
    refusal: Option<String>,
    /// What is asked of a person at the next sign-in.
    required_action: String,
}

/// A session of a list.
#[derive(Deserialize)]
struct Listed {
    id: String,
    /// When it began, in milliseconds since 1970.
    #[serde(default)]
    start: i64,
}

/// A credential of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    /// When it was made, in milliseconds since 1970; of what another system keeps it is not known.
    #[serde(default)]
    created_date: Option<i64>,
}

impl Credential {
    /// Is it what this order is about?
    fn is_meant(&self, added: &Added, until_ms: i64) -> bool {
        let made_then = self.created_date.is_some_and(|made_ms| (added.since.0..=until_ms).contains(&made_ms));
        let fits = match added.factor.as_deref() {
            Some("totp") => self.kind == "otp",
            Some("webauthn") => self.kind.starts_with("webauthn"),
            Some("recovery") => self.kind == "recovery-authn-codes",
            _ => true,
        };
        made_then && fits && self.kind != PASSWORD && added.id.as_ref().is_none_or(|id| *id == self.id)
    }

    fn shown(&self) -> String {
        format!("{} {}", self.kind, self.id)
    }
}

/// What a user lets a client do.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Consent {
    /// The client's name.
    client_id: String,
    /// When it was given, in milliseconds since 1970; there is none with offline tokens alone.
    created_date: Option<i64>,
    additional_grants: Vec<Grant>,
}

/// An offline token is one: `client` is the client's own id.
#[derive(Deserialize)]
struct Grant {
    client: String,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    /// To be tried again.
    #[error("{0}")]
    Passing(String),
    /// The user is not known in this realm.
    #[error("the realm does not know the user")]
    NoUser,
}

impl From<CallError> for Hindrance {
    fn from(error: CallError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<keycloak::Answer> for Hindrance {
    /// An answer that was not to be expected.
    fn from(answer: keycloak::Answer) -> Self {
        let hint = if answer.status == StatusCode::FORBIDDEN { ": the service account lacks the role manage-users" } else { "" };
        Self::Passing(format!("Keycloak answered {}{hint}", answer.status))
    }
}

impl Keycloak {
    /// From its table; reads its files.
    ///
    /// # Errors
    /// Something is missing, unreadable or not in its form.
    pub fn new(config: &RevocationConfig) -> Result<Self, SetupError> {
        let secret =
            SetupError::secret("client_secret_file", None, config.client_secret_file.as_deref())?.ok_or(SetupError::Key("missing"))?;
        let url = Url::parse(config.url.trim_end_matches('/')).map_err(|error| SetupError::Url(error.to_string()))?;
        let guard = Guard { allow_private: config.allow_private };
        let account = Account { client_id: config.client_id.clone(), secret, realm: config.auth_realm.clone() };
        let fingerprint = fingerprint(&url);
        let (http, refusal) = (guarded_client(&url, guard, config.ca_file.as_deref())?, refusal(&url, guard));
        Ok(Self {
            api: AdminApi::new(http, url, account, ANSWER_BYTES_MAX),
            realms: config.realms.clone(),
            fingerprint,
            refusal,
            required_action: config.required_action.clone(),
        })
    }

    /// The realms of an order's tenant.
    fn realms_of(&self, order: &Order) -> Result<Vec<&str>, Answer> {
        let realms: Vec<&str> = self.realms.iter().filter(|realm| realm.is_of(&order.tenant)).map(|realm| realm.name.as_str()).collect();
        if realms.is_empty() {
            Err(Answer::Refused(format!("no realm of this target is of the tenant {:?}", order.tenant)))
        } else {
            Ok(realms)
        }
    }

    /// Ends a session in the first realm of its tenant that knows it.
    async fn end_session(&self, order: &Order, realms: &[&str]) -> Result<Answer, Hindrance> {
        let Some(session) = order.session.as_deref() else {
            return Ok(Answer::Refused("the session is not known, and Keycloak ends nothing by a token alone".to_owned()));
        };
        for realm in realms {
            let online = self.delete(realm, session, false).await?;
            let offline = self.delete(realm, session, true).await;
            let was_there = online || matches!(offline, Ok(true));
            let is_there = match (offline, &order.user) {
                (Ok(_), Some(user)) => self.has(realm, user, session).await.map(Some),
                (Ok(_), None) => Ok(None),
                (Err(hindrance), _) => Err(hindrance),
            };
            match (is_there, was_there) {
                (Ok(Some(true)), _) => return Ok(Answer::Unconfirmed(format!("realm {realm} still knows the session"))),
                (Ok(Some(false)), true) => return Ok(Answer::Ended(format!("realm {realm} no longer knows the session"))),
                (Ok(None), true) => return Ok(Answer::Taken),
                (Err(hindrance), true) => return Ok(Answer::Unconfirmed(format!("the session cannot be read back: {hindrance}"))),
                (Ok(_) | Err(Hindrance::NoUser), false) => {}
                (Err(hindrance), false) => return Err(hindrance),
            }
        }
        Ok(Answer::NotKnown("no realm of this tenant knows the session: it is gone already, or never was there".to_owned()))
    }

    /// Ends a session; was it there?
    async fn delete(&self, realm: &str, session: &str, offline: bool) -> Result<bool, Hindrance> {
        let query: &[(&str, &str)] = if offline { &[("isOffline", "true")] } else { &[] };
        let answer = self.api.call(Method::DELETE, realm, &["sessions", session], query, None).await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.into()),
        }
    }

    /// Is the session among the user's, offline ones included?
    async fn has(&self, realm: &str, user: &str, session: &str) -> Result<bool, Hindrance> {
        Ok(self.sessions(realm, user).await?.iter().any(|one| one.id == session))
    }

    /// A user's sessions, offline ones included.
    async fn sessions(&self, realm: &str, user: &str) -> Result<Vec<Listed>, Hindrance> {
        let mut sessions: Vec<Listed> = self.get(realm, &["users", user, "sessions"]).await?;
        let consents: Vec<Consent> = self.get(realm, &["users", user, "consents"]).await?;
        let grants: Vec<Grant> = consents.into_iter().flat_map(|consent| consent.additional_grants).collect();
        for grant in grants.iter().take(OFFLINE_CLIENTS_MAX) {
            sessions.extend(self.get::<Vec<Listed>>(realm, &["users", user, "offline-sessions", &grant.client]).await?);
        }
        Ok(sessions)
    }

    /// Does what an order wants of a person, in the first realm of its tenant that knows them.
    async fn of_user(&self, order: &Order, realms: &[&str]) -> Result<Answer, Hindrance> {
        let Some(user) = order.user.as_deref() else {
            return Ok(Answer::Refused("the user is not known".to_owned()));
        };
        for realm in realms {
            let done = match (order.action, &order.added) {
                (ActionKind::RevokeUserSessions, _) => self.end_sessions(realm, user, order.issued_before.0).await,
                (ActionKind::RemoveFactor, Some(added)) => self.remove_credentials(realm, user, added, order.issued_before.0).await,
                (ActionKind::RemoveGrant, Some(added)) => self.revoke_consent(realm, user, added, order.issued_before.0).await,
                (ActionKind::RestoreEmail, Some(added)) => self.restore_email(realm, user, added).await,
                (action, None) if action.takes_back() => return Ok(Answer::Refused("the order does not say what to take back".to_owned())),
                (action, _) => self.change_user(realm, user, action).await,
            };
            match done {
                Err(Hindrance::NoUser) => {}
                done => return done,
            }
        }
        Ok(Answer::NotKnown("no realm of this tenant knows the user".to_owned()))
    }

    /// Ends the sessions of a user that began until then.
    async fn end_sessions(&self, realm: &str, user: &str, until_ms: i64) -> Result<Answer, Hindrance> {
        let old = |mut sessions: Vec<Listed>| {
            sessions.retain(|session| session.start <= until_ms);
            sessions
        };
        let mut ended = 0_u32;
        for session in &old(self.sessions(realm, user).await?) {
            for offline in [false, true] {
                ended += u32::from(self.delete(realm, &session.id, offline).await?);
            }
        }
        match old(self.sessions(realm, user).await?).len() {
            0 => Ok(Answer::Ended(format!("realm {realm} knows no session of the user from before: {ended} ended"))),
            left => Ok(Answer::Unconfirmed(format!("realm {realm} still knows {left} sessions of the user"))),
        }
    }

    /// Removes the credentials that were made from the order's time on until the event that shows it.
    async fn remove_credentials(&self, realm: &str, user: &str, added: &Added, until_ms: i64) -> Result<Answer, Hindrance> {
        let meant = async || {
            let mut all: Vec<Credential> = self.get(realm, &["users", user, "credentials"]).await?;
            all.retain(|one| one.is_meant(added, until_ms.saturating_add(CLOCKS_MS)));
            Ok::<_, Hindrance>(all)
        };
        let made = meant().await?;
        if made.len() > CREDENTIALS_MAX {
            return Ok(Answer::Refused(format!("{} credentials were made then, more than one person makes", made.len())));
        }
        if made.is_empty() {
            return Ok(Answer::NotKnown(format!("realm {realm} knows no credential of the user that was made then")));
        }
        for one in &made {
            let answer = self.api.call(Method::DELETE, realm, &["users", user, "credentials", &one.id], &[], None).await?;
            if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                return Err(answer.into());
            }
        }
        let names = |all: &[Credential]| all.iter().map(Credential::shown).collect::<Vec<_>>().join(", ");
        Ok(match meant().await {
            Ok(left) if left.is_empty() => Answer::Ended(format!("realm {realm} no longer knows {}", names(&made))),
            Ok(left) => Answer::Unconfirmed(format!("realm {realm} still knows {}", names(&left))),
            Err(hindrance) => Answer::Unconfirmed(format!("the credentials cannot be read back: {hindrance}")),
        })
    }

    /// Takes back what a client was let do, with its offline tokens.
    async fn revoke_consent(&self, realm: &str, user: &str, added: &Added, until_ms: i64) -> Result<Answer, Hindrance> {
        let Some(client) = added.client.as_deref() else {
            return Ok(Answer::Refused("the client is not known".to_owned()));
        };
        let consent = async || {
            let consents: Vec<Consent> = self.get(realm, &["users", user, "consents"]).await?;
            Ok::<_, Hindrance>(consents.into_iter().find(|consent| consent.client_id == client))
        };
        let Some(found) = consent().await? else {
            return Ok(Answer::NotKnown(format!("realm {realm} knows neither a consent to {client} nor an offline token of it")));
        };
        let given = found.created_date.map(TimeMs);
        if let Some(given) = given.filter(|given| given.0 > until_ms.saturating_add(CLOCKS_MS)) {
            return Ok(Answer::NotKnown(format!("the consent to {client} of {given} is newer than the proof")));
        }
        let answer = self.api.call(Method::DELETE, realm, &["users", user, "consents", client], &[], None).await?;
        if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
            return Err(answer.into());
        }
        let since = given.map_or_else(|| "offline tokens alone".to_owned(), |given| format!("a consent of {given}"));
        Ok(match consent().await {
            Ok(None) => Answer::Ended(format!("realm {realm} no longer lets {client} do anything: it was {since}")),
            Ok(Some(_)) => Answer::Unconfirmed(format!("realm {realm} still lets {client} act for the user")),
            Err(hindrance) => Answer::Unconfirmed(format!("the consents cannot be read back: {hindrance}")),
        })
    }

    /// Puts the former mail address back, if the one there is the attacker's.
    async fn restore_email(&self, realm: &str, user: &str, added: &Added) -> Result<Answer, Hindrance> {
        let (Some(former), Some(put)) = (&added.former_email, &added.email) else {
            return Ok(Answer::Refused("it is not known which address was put in place of which".to_owned()));
        };
        let (former, put, path) = (former.expose(), put.expose(), ["users", user]);
        // Keycloak keeps them in lower case.
        let has = |record: &Map<String, Value>, address: &str| {
            record.get("email").and_then(Value::as_str).is_some_and(|email| email.eq_ignore_ascii_case(address))
        };
        let mut record: Map<String, Value> = self.get(realm, &path).await?;
        if has(&record, former) {
            return Ok(Answer::Unchanged(format!("realm {realm} has the former address already")));
        }
        if !has(&record, put) {
            return Ok(Answer::NotKnown(format!("realm {realm} has another address by now, which is left as it is")));
        }
        // Whether the address is verified stays as it is: Keycloak asks for it where it does after each change.
        record.insert("email".to_owned(), former.into());
        let answer = self.api.call(Method::PUT, realm, &path, &[], Some(&Value::Object(record))).await?;
        match answer.status {
            status if status.is_success() => {}
            StatusCode::CONFLICT => return Ok(Answer::Refused(format!("realm {realm} has the former address with another account"))),
            _ => return Err(answer.into()),
        }
        Ok(match self.get(realm, &path).await.map(|now| has(&now, former)) {
            Ok(true) => Answer::Ended(format!("realm {realm} has the former address again")),
            Ok(false) => Answer::Unconfirmed(format!("realm {realm} does not have the former address")),
            Err(hindrance) => Answer::Unconfirmed(format!("the user cannot be read back: {hindrance}")),
        })
    }

    /// Changes the record of a user, and reads back that it has.
    async fn change_user(&self, realm: &str, user: &str, action: ActionKind) -> Result<Answer, Hindrance> {
        let path = ["users", user];
        let mut record: Map<String, Value> = self.get(realm, &path).await?;
        if !self.apply(action, &mut record) {
            return Ok(Answer::Unchanged(format!("realm {realm} has it so already")));
        }
        let answer = self.api.call(Method::PUT, realm, &path, &[], Some(&Value::Object(record))).await?;
        if !answer.status.is_success() {
            return Err(answer.into());
        }
        Ok(match self.get(realm, &path).await.map(|mut now| self.apply(action, &mut now)) {
            Ok(false) => Answer::Ended(format!("realm {realm} has it so")),
            Ok(true) => Answer::Unconfirmed(format!("realm {realm} does not have it so")),
            Err(hindrance) => Answer::Unconfirmed(format!("the user cannot be read back: {hindrance}")),
        })
    }

    /// Makes a user's record as an action wants it. False: it is so already.
    fn apply(&self, action: ActionKind, record: &mut Map<String, Value>) -> bool {
        let wanted = matches!(action, ActionKind::RequireSignIn | ActionKind::EnableUser);
        if matches!(action, ActionKind::DisableUser | ActionKind::EnableUser) {
            return record.insert("enabled".to_owned(), wanted.into()) != Some(wanted.into());
        }
        let mut required = record.get("requiredActions").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_ours = |one: &Value| *one == self.required_action.as_str();
        let is_there = required.iter().any(is_ours);
        required.retain(|one| !is_ours(one));
        required.extend(wanted.then(|| Value::from(self.required_action.as_str())));
        record.insert("requiredActions".to_owned(), required.into());
        is_there != wanted
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, realm: &str, path: &[&str]) -> Result<T, Hindrance> {
        let answer = self.api.call(Method::GET, realm, path, &[], None).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.read()?),
            StatusCode::NOT_FOUND => Err(Hindrance::NoUser),
            _ => Err(answer.into()),
        }
    }
}

impl Adapter for Keycloak {
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn ask<'a>(&'a self, _message: &'a Message, order: &'a Order, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if let Some(reason) = &self.refusal {
                return Outcome::retry(reason);
            }
            let realms = match self.realms_of(order) {
                Ok(realms) => realms,
                Err(refused) => return Outcome::Answered(refused),
            };
            let answer = match order.action {
                ActionKind::RevokeSession => self.end_session(order, &realms).await,
                _ => self.of_user(order, &realms).await,
            };
            match answer {
                Ok(answer) => Outcome::Answered(answer),
                Err(hindrance) => Outcome::retry(hindrance),
            }
        })
    }
}
