//! A Keycloak server's admin REST API: calls with tokens of a service account.
//!
//! What asks for events and what ends sessions share it. It knows the way to the server, not what is
//! said there. A token is kept for as long as it is good, and dropped when it is refused; an error says
//! what failed and never holds a secret.

use crate::normalise::validate::DEFAULT_TENANT;
use crate::notify::guarded_http::explain;
use crate::secret::Secret;
use parking_lot::Mutex;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A token is renewed so much before its end.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// A realm of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealmConfig {
    /// Name of the realm.
    pub name: String,
    /// The tenant that its people are of; empty: that of the log (`default`).
    pub tenant: String,
}

impl RealmConfig {
    /// Are its people of this tenant?
    #[must_use]
    pub fn is_of(&self, tenant: &str) -> bool {
        tenant == if self.tenant.is_empty() { DEFAULT_TENANT } else { &self.tenant }
    }
}

/// Why a call came to nothing; trying again may mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CallError(String);

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        Self(explain(error))
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Account {
    /// A client with a service account.
    pub client_id: String,
    /// Its secret.
    pub secret: Secret,
    /// Realm of that client; empty: each realm has one of its own.
    pub realm: String,
}

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status; 401 is an error of the call instead.
    pub status: StatusCode,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as what it should be.
    ///
    /// # Errors
    /// It is something else.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError(format!("an answer of Keycloak does not read: {error}")))
    }
}

/// The admin API of one server.
pub struct AdminApi {
    http: Client,
    url: Url,
    account: Account,
    answer_bytes_max: usize,
    /// By realm of the account.
    tokens: Mutex<BTreeMap<String, (String, Instant)>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

impl AdminApi {
    /// Calls to the server at `url` by `http`, whose limits of time and reach hold. Of an answer at most
    /// `answer_bytes_max` are read.
    #[must_use]
    pub fn new(http: Client, url: Url, account: Account, answer_bytes_max: usize) -> Self {
        Self { http, url, account, answer_bytes_max, tokens: Mutex::default() }
    }

    /// One call about a realm; `path` lies below it.
    ///
    /// # Errors
    /// A part of the path is no name (it may come from an event), there is no token, no answer, one that is too long,
    /// or the token is refused.
    pub async fn call(
        &self,
        method: Method,
        realm: &str,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, CallError> {
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(CallError(format!("{path:?} is no path of Keycloak's")));
        }
        let token = self.token(realm).await?;
        let mut url = self.under(&[&["admin", "realms", realm], path].concat());
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url).bearer_auth(token);
        let response = body.into_iter().fold(request, |request, body| request.json(body)).send().await?;
        let answer = self.read(response).await?;
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // The next one may have a role that this one lacks.
            self.tokens.lock().remove(self.account_realm(realm));
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(CallError(format!("Keycloak does not take its own token of {:?}: {}", self.account.client_id, answer.status)));
        }
        Ok(answer)
    }

    fn account_realm<'a>(&'a self, realm: &'a str) -> &'a str {
        if self.account.realm.is_empty() { realm } else { &self.account.realm }
    }

    /// A token of the service account; asked for anew shortly before its end.
    async fn token(&self, realm: &str) -> Result<String, CallError> {
        let realm = self.account_realm(realm);
        let known = self.tokens.lock().get(realm).filter(|(_, until)| Instant::now() < *until).map(|(token, _)| token.clone());
        if let Some(token) = known {
            return Ok(token);
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.account.client_id)
            .append_pair("client_secret", self.account.secret.expose())
            .finish();
        let url = self.under(&["realms", realm, "protocol", "openid-connect", "token"]);
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = self.read(request.send().await?).await?;
        if answer.status != StatusCode::OK {
            return Err(CallError(format!("Keycloak gave no token to {:?}: {}", self.account.client_id, answer.status)));
        }
        let token: Token = answer.read()?;
        let until = Instant::now() + Duration::from_secs(token.expires_in).saturating_sub(TOKEN_MARGIN);
        self.tokens.lock().insert(realm.to_owned(), (token.access_token.clone(), until));
        Ok(token.access_token)
    }

    fn under(&self, parts: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    async fn read(&self, mut response: Response) -> Result<Answer, CallError> {
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > self.answer_bytes_max {
                return Err(CallError(format!("an answer of Keycloak is longer than {} bytes", self.answer_bytes_max)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn what_an_event_names_stays_one_part_of_the_path() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = Client::builder().tls_certs_only([]).build().unwrap();
        let account = Account { client_id: "c".to_owned(), secret: Secret::new("s".to_owned()), realm: String::new() };
        let api = AdminApi::new(http, Url::parse("http://127.0.0.1:9/auth/").unwrap(), account, 1_000);
        assert_eq!(api.under(&["a", "../b?c#d"]).as_str(), "http://127.0.0.1:9/auth/a/..%2Fb%3Fc%23d");
        for part in ["", ".", ".."] {
            let error = api.call(Method::DELETE, "people", &["sessions", part], &[], None).await.unwrap_err();
            assert!(error.to_string().contains("no path"), "{error}");
        }
    }
}
