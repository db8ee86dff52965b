//! Who is calling: bearer tokens (RFC 6750), roles, tenants.
//!
//! A token is looked up in the database again after [`CACHE_TIME_MAX`], so one that was revoked ends
//! at once for people, and a client in a loop costs some fifty look-ups a second. Only hashes stay in
//! memory between requests. Clients that keep sending wrong tokens are slowed down before the database is asked.

use super::problem::Problem;
use super::query::VALUE_BYTES_MAX;
use super::{ApiState, limits};
use crate::clock::now_ms;
use crate::db::Db;
use crate::db::tokens::{ApiToken, Role};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer of the database is believed.
const CACHE_TIME_MAX: Duration = Duration::from_millis(20);
/// Bytes of a token: far more than those that this program makes.
const TOKEN_BYTES_MAX: usize = 256;

const API_KEY: &str = "x-api-key";
const CHALLENGE: &str = "Bearer realm=\"bartizan\"";
const CHALLENGE_INVALID: &str = "Bearer realm=\"bartizan\", error=\"invalid_token\"";

/// The token that a request came with.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Id of the token: names need not be unique.
    pub id: String,
    /// Name of the token, which stands in history and audit.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The one tenant it is for; none: all.
    pub tenant: Option<String>,
    secret: Secret,
}

/// A token's secret, to look it up again while a stream is open.
#[derive(Clone)]
struct Secret {
    text: Arc<str>,
    hash: [u8; 32],
}

impl Secret {
    fn of(token: &str) -> Self {
        Self { text: token.into(), hash: Sha256::digest(token).into() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Caller {
    /// May it read?
    ///
    /// # Errors
    /// 403.
    pub fn may_read(&self) -> Result<(), Problem> {
        self.allowed(self.role != Role::Ingest, "read")
    }

    /// May it triage?
    ///
    /// # Errors
    /// 403.
    pub fn may_triage(&self) -> Result<(), Problem> {
        self.allowed(matches!(self.role, Role::Analyst | Role::Admin), "triage")
    }

    /// May it post events?
    ///
    /// # Errors
    /// 403.
    pub fn may_ingest(&self) -> Result<(), Problem> {
        self.allowed(matches!(self.role, Role::Ingest | Role::Admin), "post events")
    }

    /// May it act for all tenants: on channels, targets, the outbox?
    ///
    /// # Errors
    /// 403.
    pub fn may_administer(&self) -> Result<(), Problem> {
        self.allowed(self.role == Role::Admin, "administer")?;
        self.of_all_tenants()
    }

    /// May it look at the audit trail, of its tenant?
    ///
    /// # Errors
    /// 403.
    pub fn may_audit(&self) -> Result<(), Problem> {
        self.allowed(self.role == Role::Admin, "read the audit trail")
    }

    /// May it stop machines from acting, which is for all tenants?
    ///
    /// # Errors
    /// 403.
    pub fn may_stop_response(&self) -> Result<(), Problem> {
        self.allowed(matches!(self.role, Role::Analyst | Role::Admin), "stop machines")?;
        self.of_all_tenants()
    }

    fn of_all_tenants(&self) -> Result<(), Problem> {
        if self.tenant.is_some() { Err(Problem::forbidden("this is for tokens of all tenants")) } else { Ok(()) }
    }

    fn allowed(&self, allowed: bool, what: &str) -> Result<(), Problem> {
        if allowed { Ok(()) } else { Err(Problem::forbidden(format!("the role {} may not {what}", self.role.as_str()))) }
    }

    /// The tenant to ask for: the token's own, or for tokens of all tenants the one named, if any.
    ///
    /// # Errors
    /// 400: a token of one tenant names one.
    pub fn scope(&self, named: Option<String>) -> Result<Option<String>, Problem> {
        match (&self.tenant, named) {
            (Some(_), Some(_)) => Err(Problem::parameter("tenant", "is for tokens of all tenants; this one is for a single tenant")),
            (Some(own), None) => Ok(Some(own.clone())),
            (None, named) => Ok(named),
        }
    }

    /// The tenant to act for: the token's own, or for tokens of all tenants the one that must be named.
    ///
    /// # Errors
    /// 400: there is none, or it is another one's.
    pub fn acts_for(&self, named: Option<String>) -> Result<String, Problem> {
        let wrong = |what: String| Problem::bad_request(format!("tenant {what}")).naming("tenant");
        match (&self.tenant, named) {
            (Some(own), named) if named.as_ref().is_none_or(|named| named == own) => Ok(own.clone()),
            (Some(_), _) => Err(wrong("is another one's".to_owned())),
            (None, Some(named)) if named.len() > VALUE_BYTES_MAX => Err(wrong(format!("must have at most {VALUE_BYTES_MAX} bytes"))),
            (None, Some(named)) if !named.is_empty() => Ok(named),
            (None, _) => Err(wrong("must be named by a token of all tenants".to_owned())),
        }
    }

    /// May it see what belongs to this tenant?
    #[must_use]
    pub fn sees(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }

    /// Is its token still good? For what lasts longer than a request.
    pub async fn is_still_valid(&self, state: &ApiState) -> bool {
        matches!(state.tokens.find(&state.db, &self.secret).await, Ok(Some(token)) if token.is_valid(now_ms()))
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let secret = bearer(parts)?;
        let client = limits::client(&parts.extensions);
        if let Err(wait) = state.limits.failures.check(client, Instant::now()) {
            return Err(Problem::too_many("too many wrong tokens from this address", wait.as_secs() + 1));
        }
        let found = state.tokens.find(&state.db, &secret).await?;
        let Some(token) = found.filter(|token| token.is_valid(now_ms())) else {
            state.limits.failures.take(client, Instant::now()).ok();
            return Err(Problem::unauthorized("the token is unknown, expired or revoked", CHALLENGE_INVALID));
        };
        Ok(Self { id: token.id, name: token.name, role: token.role, tenant: token.tenant, secret })
    }
}

/// The token in `Authorization: Bearer TOKEN`, or, where there is none, in `X-Api-Key`, as bouncers send it.
fn bearer(parts: &Parts) -> Result<Secret, Problem> {
    if let (None, Some(key)) = (parts.headers.get(AUTHORIZATION), parts.headers.get(API_KEY)) {
        let key = key.to_str().ok().filter(|key| (1..=TOKEN_BYTES_MAX).contains(&key.len()));
        return key.map(Secret::of).ok_or_else(|| Problem::unauthorized("X-Api-Key holds no token", CHALLENGE));
    }
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let missing = || Problem::unauthorized("send a token: Authorization: Bearer TOKEN", CHALLENGE);
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(Problem::unauthorized("send one Authorization header", CHALLENGE));
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(missing());
    }
    Ok(Secret::of(token))
}

/// What the database said of a token, and when it was asked.
type Answer = (Option<ApiToken>, Instant);

/// Tokens as the database last knew them.
pub struct Tokens {
    cached_max: usize,
    cache: Mutex<HashMap<[u8; 32], Answer>>,
}

impl Tokens {
    /// Remembers so many.
    #[must_use]
    pub fn new(cached_max: usize) -> Self {
        Self { cached_max, cache: Mutex::default() }
    }

    async fn find(&self, db: &Db, secret: &Secret) -> Result<Option<ApiToken>, Problem> {
        if let Some((token, at)) = self.cache.lock().get(&secret.hash)
            && at.elapsed() < CACHE_TIME_MAX
        {
            return Ok(token.clone());
        }
        let (db, text, asked) = (db.clone(), Arc::clone(&secret.text), Instant::now());
        let token = tokio::task::spawn_blocking(move || db.find_token(&text)).await??;
        let mut cache = self.cache.lock();
        if cache.len() >= self.cached_max {
            cache.clear();
        }
        cache.insert(secret.hash, (token.clone(), asked));
        Ok(token)
    }
}
