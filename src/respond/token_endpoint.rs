//! A token revocation endpoint (RFC 7009) as a target.
//!
//! It is given the public handle of a token, as the event carries it; of a token of which only a hash is
//! kept there is nothing to send. One that takes nothing but the token itself gets that instead, from where it is held
//! for minutes, sealed ([`crate::normalise::held`]): never a handle, to which it would say yes all the same. The endpoint answers 200 whether it knew the token or not (section 2.2),
//! so nothing can be read back.

use super::adapter::{Adapter, Answer};
use super::config::RevocationConfig;
use super::order::Order;
use crate::blocking::blocking;
use crate::db::outbox::Message;
use crate::db::{Db, DbError, held_tokens};
use crate::normalise::HeldTokens;
use crate::notify::Outcome;
use crate::notify::address::Guard;
use crate::notify::guarded_http::{self as http, Call, GuardedClient, SetupError};
use crate::secret::Secret;
use bartizan_core::TokenHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

/// One endpoint.
pub struct TokenEndpoint {
    client: GuardedClient,
    authorization: HeaderValue,
    /// Where tokens are, if they are sent themselves.
    tokens: Option<(Db, HeldTokens)>,
}

/// What there is to send of a token.
enum Sent {
    This(Secret),
    Nothing(&'static str),
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
        Ok(Self { client, authorization, tokens: None })
    }

    /// The same, with what its table says is sent.
    #[must_use]
    pub fn sending(self, config: &RevocationConfig, db: &Db, held: &HeldTokens) -> Self {
        Self { tokens: config.token_itself.then(|| (db.clone(), held.clone())), ..self }
    }

    async fn token(&self, message: &Message, order: &Order, now_ms: i64) -> Result<Sent, String> {
        let Some((db, held)) = &self.tokens else {
            let nothing = Sent::Nothing("the token is known by its hash alone, and a hash cannot be revoked");
            return Ok(order.token_id.clone().map_or(nothing, |id| Sent::This(Secret::new(id))));
        };
        let lost = Sent::Nothing("the token itself is not held, or not any more");
        let Some(hash) = order.token_hash.as_deref().and_then(TokenHash::from_hex) else { return Ok(lost) };
        let (db, held, id) = (db.clone(), held.clone(), message.message_id.clone());
        let found = blocking(move || {
            let sealed = db.read(|tx| Ok::<_, DbError>(held_tokens::get(tx, &id, now_ms)?))?;
            Ok::<_, DbError>(sealed.and_then(|sealed| held.open(hash, &sealed)))
        });
        let found = found.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(found.map_or(lost, Sent::This))
    }

    /// What was revoked is not needed any more; of the order's own copy the database knows.
    fn forget(&self, order: &Order) {
        if let (Some((_, held)), Some(hash)) = (&self.tokens, order.token_hash.as_deref().and_then(TokenHash::from_hex)) {
            held.forget(hash);
        }
    }

    async fn revoke(&self, token: &Secret, now_ms: i64) -> Result<http::Answer, String> {
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, self.authorization.clone()),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
        ]);
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("token", token.expose()).finish();
        self.client.send(Call { method: Method::POST, headers, body }, now_ms).await
    }
}

impl Adapter for TokenEndpoint {
    fn fingerprint(&self) -> String {
        self.client.fingerprint()
    }

    fn ask<'a>(&'a self, message: &'a Message, order: &'a Order, now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let token = match self.token(message, order, now_ms).await {
                Ok(Sent::This(token)) => token,
                Ok(Sent::Nothing(reason)) => return Outcome::Answered(Answer::Refused(reason.to_owned())),
                Err(error) => return Outcome::retry(error),
            };
            match self.revoke(&token, now_ms).await {
                Ok(answer) if answer.code == 200 => {
                    self.forget(order);
                    Outcome::Answered(Answer::Taken)
                }
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
    use crate::clock::Clock;
    use crate::db::outbox::State;
    use crate::normalise::held::{HoldLimits, SealedToken};
    use crate::notify::Channel;
    use crate::notify::routing::Routing;
    use crate::notify::testing::{START_MS, alert, commit_at, messages};
    use crate::respond::{Target, progress};
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use bartizan_core::time::MINUTE_MS;
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
        let target = Target::new(&config, &db, &HeldTokens::default()).unwrap();
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

    const HASH: TokenHash = TokenHash([7; 16]);

    /// Holds the token `jti/1`, which the endpoint knows.
    fn holding(secret: &str) -> HeldTokens {
        let limits = HoldLimits { hold_ms: MINUTE_MS, tokens_max: 10, bytes_max: 10_000 };
        HeldTokens::new(Secret::new(secret.to_owned()), limits, Clock::new(|| START_MS)).unwrap()
    }

    /// A database in which an alert about the token of this hash was committed.
    fn ordered(config: &RevocationConfig, held: &HeldTokens) -> (Db, Routing, Message) {
        let (db, mut stolen) = (Db::in_memory().unwrap(), alert("a1"));
        stolen.actions = vec![Action::RevokeTokens];
        stolen.subjects = vec![Subject::new(EntityKind::Token, format!("hash:{}", HASH.to_hex()), Role::Victim).hit()];
        let routing = Routing { targets: vec![config.clone()], held: held.clone(), ..Routing::default() };
        commit_at(&db, &stolen, &routing, START_MS);
        let state = if config.dry_run { State::DryRun } else { State::Pending };
        let message = messages(&db, "revoke:tokens", state).pop().unwrap();
        (db, routing, message)
    }

    #[tokio::test]
    async fn where_the_token_itself_is_wanted_it_is_held_for_minutes_and_survives_a_restart_once_it_is_ordered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "100%").unwrap();
        let table = json!({"name": "tokens", "kind": "rfc7009", "url": endpoint().await, "client_id": "b&n", "client_secret_file": file,
                           "allow_private": true, "dry_run": false, "token_itself": true});
        let config: RevocationConfig = serde_json::from_value(table).unwrap();
        let kept = |db: &Db| -> i64 {
            db.read::<_, DbError>(|tx| Ok(tx.query_row("SELECT count(*) FROM held_tokens", [], |row| row.get(0))?)).unwrap()
        };
        let ask = async |db: &Db, held: &HeldTokens, message: &Message, now_ms| {
            Target::new(&config, db, held).unwrap().deliver(message, now_ms).await
        };
        let held = holding("one key");
        held.keep(HASH, "jti/1");
        let (db, routing, message) = ordered(&config, &held);
        assert_eq!(kept(&db), 1);
        assert!(!message.body.contains("jti/1"));

        let refused = ask(&db, &holding("another key"), &message, START_MS).await;
        assert!(matches!(&refused, Outcome::Answered(Answer::Refused(reason)) if reason.contains("not held")), "{refused:?}");
        let late = ask(&db, &held, &message, START_MS + MINUTE_MS).await;
        assert!(matches!(&late, Outcome::Answered(Answer::Refused(reason)) if reason.contains("not held")), "{late:?}");
        let restarted = holding("one key");
        assert_eq!(ask(&db, &restarted, &message, START_MS + MINUTE_MS - 1).await, Outcome::Answered(Answer::Taken));
        assert_eq!(ask(&db, &held, &message, START_MS).await, Outcome::Answered(Answer::Taken));
        assert!(held.sealed(HASH).is_none(), "used, it is forgotten");
        db.write(|tx| progress::answered(tx, &routing, &message, &Answer::Taken, START_MS)).unwrap();
        assert_eq!(kept(&db), 0, "and erased with its order");

        let lost = holding("one key");
        let (db, _, message) = ordered(&config, &lost);
        assert_eq!(kept(&db), 0);
        let refused = ask(&db, &lost, &message, START_MS).await;
        assert!(matches!(&refused, Outcome::Answered(Answer::Refused(reason)) if reason.contains("not held")), "{refused:?}");

        let held = holding("one key");
        held.keep(HASH, "jti/1");
        let dry_run = RevocationConfig { dry_run: true, ..config.clone() };
        let (db, ..) = ordered(&dry_run, &held);
        assert_eq!(kept(&db), 0, "nothing is kept for what is never sent");
    }

    #[test]
    fn what_was_ordered_is_erased_when_its_time_is_over() {
        let db = Db::in_memory().unwrap();
        let token = SealedToken { sealed: vec![1], until_ms: 10 };
        let over = |now_ms| db.read::<_, DbError>(|tx| Ok(held_tokens::is_any_over(tx, now_ms)?)).unwrap();
        db.write::<_, DbError>(|tx| {
            for id in ["m1", "m2", "m3"] {
                held_tokens::put(tx, id, &token, 2)?;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((over(9), over(10)), (false, true));
        assert_eq!(db.write::<_, DbError>(|tx| Ok(held_tokens::erase_over(tx, 10)?)).unwrap(), 2, "no more are kept than may be");
        assert!(!over(10));
    }
}
