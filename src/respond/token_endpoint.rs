//! A token revocation endpoint (RFC 7009) as a target.
//!
//! It is given the public handle of a token, as the event carries it; of a token of which only a hash is
//! kept there is nothing to send. The endpoint answers 200 whether it knew the token or not (section 2.2),
//! so nothing can be read back.

use super::adapter::{Adapter, Answer};
use super::config::RevocationConfig;
use super::order::Order;
use crate::db::outbox::Message;
use crate::notify::Outcome;
use crate::notify::address::Guard;
use crate::notify::guarded_http::{self as http, Call, GuardedClient, SetupError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

/// One endpoint.
pub struct TokenEndpoint {
    client: GuardedClient,
    authorization: HeaderValue,
}

impl TokenEndpoint {
    /// From its table; reads its files.
    ///
    /// # Errors
    /// Something is missing, unreadable or not in its form.
    pub fn new(config: &RevocationConfig) -> Result<Self, SetupError> {
        let secret = SetupError::secret("client_secret_file", None, config.client_secret_file.as_deref())?;
        let secret = secret.ok_or(SetupError::Key("missing"))?;
        let guard = Guard { allow_private: config.allow_private };
        let client = GuardedClient::new(&config.url, guard, config.ca_file.as_deref())?;
        // RFC 6749, section 2.3.1: both are encoded as in a form before they are sent.
        let [name, secret] =
            [&config.client_id, secret.expose()].map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
        let mut authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{name}:{secret}"))))
            .map_err(|_| SetupError::Key("not a secret"))?;
        authorization.set_sensitive(true);
        Ok(Self { client, authorization })
    }

    async fn revoke(&self, token: &str, now_ms: i64) -> Result<http::Answer, String> {
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, self.authorization.clone()),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
        ]);
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        self.client.send(Call { method: Method::POST, headers, body }, now_ms).await
    }
}

impl Adapter for TokenEndpoint {
    fn fingerprint(&self) -> String {
        self.client.fingerprint()
    }

    fn ask<'a>(&'a self, _message: &'a Message, order: &'a Order, now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(token) = order.token_id.as_deref() else {
                return Outcome::Answered(Answer::Refused("the token is known by its hash alone, and a hash cannot be revoked".to_owned()));
            };
            match self.revoke(token, now_ms).await {
                Ok(answer) if answer.code == 200 => Outcome::Answered(Answer::Taken),
                // Section 2.2.1: a kind of token that it does not revoke.
                Ok(answer) if answer.code == 400 && answer.body.contains("unsupported_token_type") => {
                    Outcome::Answered(Answer::Refused(answer.shown()))
                }
                Ok(answer) => Outcome::Retry { error: answer.shown(), after: answer.retry_after },
                Err(error) => Outcome::retry(error),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::db::Db;
    use crate::db::outbox::State;
    use crate::notify::Channel;
    use crate::notify::routing::Routing;
    use crate::notify::testing::{START_MS, alert, commit_at, messages};
    use crate::respond::Target;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use bartizan_core::{Action, EntityKind, Role, Subject};
    use serde_json::json;

    /// An endpoint for a client `b&n` with the secret `100%`, which knows one kind of token.
    async fn endpoint() -> String {
        let answer = async |headers: HeaderMap, body: String| {
            let credentials = headers.get("authorization").unwrap().to_str().unwrap().to_owned();
            match body.as_str() {
                // "b%26n:100%25".
                _ if credentials != "Basic YiUyNm46MTAwJTI1" => (StatusCode::UNAUTHORIZED, credentials),
                "token=jti%2F1" => (StatusCode::OK, String::new()),
                _ => (StatusCode::BAD_REQUEST, json!({"error": "unsupported_token_type"}).to_string()),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/revoke", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/revoke", post(answer))).await });
        url
    }

    /// What comes of an alert about this token, for a client with this secret.
    async fn asked(token: &str, secret: &str) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        let table = json!({"name": "tokens", "kind": "rfc7009", "url": endpoint().await, "client_id": "b&n", "client_secret_file": file,
                           "allow_private": true, "dry_run": false});
        let config: RevocationConfig = serde_json::from_value(table).unwrap();
        assert_eq!(config.problems(), []);
        let db = Db::in_memory().unwrap();
        let target = Target::new(&config, &db).unwrap();
        let mut stolen = alert("a1");
        stolen.actions = vec![Action::RevokeTokens];
        stolen.subjects = vec![Subject::new(EntityKind::Token, token, Role::Victim).hit()];
        commit_at(&db, &stolen, &Routing { targets: vec![config], ..Routing::default() }, START_MS);
        let message = messages(&db, "revoke:tokens", State::Pending).pop().unwrap();
        assert_eq!(message.kind, "token.revoke");
        target.deliver(&message, START_MS).await
    }

    #[tokio::test]
    async fn a_token_with_a_public_handle_is_revoked_and_a_hash_is_not() {
        assert_eq!(asked("jti/1", "100%").await, Outcome::Answered(Answer::Taken));
        let refused = [asked("hash:0a0b", "100%").await, asked("jti-2", "100%").await];
        assert!(matches!(&refused[0], Outcome::Answered(Answer::Refused(reason)) if reason.contains("hash")), "{refused:?}");
        assert!(matches!(&refused[1], Outcome::Answered(Answer::Refused(reason)) if reason.contains("unsupported")), "{refused:?}");
        let wrong = asked("jti/1", "another").await;
        assert!(matches!(&wrong, Outcome::Retry { error, .. } if error.contains("401") && !error.contains("another")), "{wrong:?}");
    }
}
