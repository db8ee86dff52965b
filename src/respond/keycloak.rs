//! Keycloak as a target: ends sessions by its admin API, and reads back that they are gone.
//!
//! A session is known by its id in the realm of its tenant, where it may exist twice: as it is, and offline,
//! for tokens that outlive the sign-in. Both are ended. Then the user's sessions are listed, offline ones
//! included: only if it is in neither list, it is ended. What the server knows is all that counts; what was
//! issued before and needs no server (an access token that nobody introspects) lives on until it runs out.
//!
//! The service account needs the role `manage-users`.

use super::adapter::{Adapter, Answer, TargetError};
use super::config::RevocationConfig;
use super::order::{ActionKind, Order};
use crate::db::outbox::Message;
use crate::keycloak::{self, Account, AdminApi, CallError, RealmConfig};
use crate::notify::Outcome;
use crate::notify::address::Guard;
use crate::notify::signed_http::{SetupError, fingerprint, guarded, refusal};
use crate::secret::Secret;
use futures::future::BoxFuture;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

/// Bytes of one answer: some thousand sessions.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Clients with offline sessions of one user that are looked at.
const OFFLINE_CLIENTS_MAX: usize = 100;

/// A Keycloak server that ends sessions.
pub struct Keycloak {
    api: AdminApi,
    realms: Vec<RealmConfig>,
    fingerprint: String,
    refusal: Option<String>,
}

/// A session of a list.
#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// What a user lets a client do.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Consent {
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
    pub fn new(config: &RevocationConfig) -> Result<Self, TargetError> {
        let secret = Secret::resolve(None, config.client_secret_file.as_deref())?.ok_or(SetupError::Key("missing"))?;
        let url = Url::parse(config.url.trim_end_matches('/')).map_err(|error| SetupError::Url(error.to_string()))?;
        let guard = Guard { allow_private: config.allow_private };
        let account = Account { client_id: config.client_id.clone(), secret, realm: config.auth_realm.clone() };
        let fingerprint = fingerprint(&url);
        let (http, refusal) = (guarded(&url, guard, config.ca_file.as_deref())?, refusal(&url, guard));
        Ok(Self { api: AdminApi::new(http, url, account, ANSWER_BYTES_MAX), realms: config.realms.clone(), fingerprint, refusal })
    }

    /// Ends a session in the first realm of its tenant that knows it.
    async fn end_session(&self, order: &Order) -> Result<Answer, Hindrance> {
        let Some(session) = order.session.as_deref() else {
            return Ok(Answer::Refused("the session is not known, and Keycloak ends nothing by a token alone".to_owned()));
        };
        let realms: Vec<&str> = self.realms.iter().filter(|realm| realm.is_of(&order.tenant)).map(|realm| realm.name.as_str()).collect();
        if realms.is_empty() {
            return Ok(Answer::Refused(format!("no realm of this target is of the tenant {:?}", order.tenant)));
        }
        for realm in realms {
            let was_there = self.delete(realm, session, false).await? | self.delete(realm, session, true).await?;
            let read_back = match &order.user {
                Some(user) => self.has(realm, user, session).await,
                None if was_there => return Ok(Answer::Taken),
                None => continue,
            };
            match (read_back, was_there) {
                (Ok(true), _) => return Ok(Answer::Unconfirmed(format!("realm {realm} still knows the session"))),
                (Ok(false), true) => return Ok(Answer::Ended(format!("realm {realm} no longer knows the session"))),
                (Err(hindrance), true) => return Ok(Answer::Unconfirmed(format!("the session cannot be read back: {hindrance}"))),
                (Ok(false) | Err(Hindrance::NoUser), false) => {}
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
        let listed = |sessions: Vec<Listed>| sessions.iter().any(|one| one.id == session);
        if listed(self.list(realm, &["users", user, "sessions"]).await?) {
            return Ok(true);
        }
        let consents: Vec<Consent> = self.list(realm, &["users", user, "consents"]).await?;
        let grants: Vec<Grant> = consents.into_iter().flat_map(|consent| consent.additional_grants).collect();
        for grant in grants.iter().take(OFFLINE_CLIENTS_MAX) {
            if listed(self.list(realm, &["users", user, "offline-sessions", &grant.client]).await?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn list<T: for<'de> Deserialize<'de>>(&self, realm: &str, path: &[&str]) -> Result<Vec<T>, Hindrance> {
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
            let answer = match order.action {
                ActionKind::RevokeSession => self.end_session(order).await,
                ActionKind::RevokeToken => Ok(Answer::Refused("Keycloak ends sessions, not single tokens".to_owned())),
            };
            match answer {
                Ok(answer) => Outcome::Answered(answer),
                Err(hindrance) => Outcome::retry(hindrance),
            }
        })
    }
}
