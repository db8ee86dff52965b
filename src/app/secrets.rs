//! Secrets of the installation: configured, or drawn at the first start and kept in the database.

use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::normalise::held::HoldLimits;
use crate::normalise::{HeldTokens, TokenKey};
use crate::secret::Secret;
use bartizan_core::KeyHasher;
use sha2::{Digest, Sha256};

/// Names the environment variable that may hold the secret of [`held_tokens`].
const HOLD_KEY: &str = "BARTIZAN_HOLD_KEY";
/// Least characters of that secret.
const HOLD_KEY_CHARS_MIN: usize = 32;

/// Holds tokens if a target that is no dry run wants them themselves.
///
/// # Errors
/// One does, and the secret is missing, unreadable or too short, with its configuration key.
pub fn held_tokens(config: &Config) -> Result<HeldTokens, String> {
    if !config.revocation.iter().any(|target| target.token_itself && !target.dry_run) {
        return Ok(HeldTokens::default());
    }
    let (key, response) = ("response.hold_key_file", &config.response);
    let given = std::env::var(HOLD_KEY).ok().filter(|secret| !secret.is_empty()).map(Secret::new);
    let secret = match Secret::resolve(None, response.hold_key_file.as_deref()).map_err(|error| format!("{key}: {error}"))? {
        Some(secret) => Some(secret),
        None => given,
    };
    let secret = secret.ok_or_else(|| format!("{key}: a target with token_itself needs it, or {HOLD_KEY} in the environment"))?;
    if secret.expose().chars().count() < HOLD_KEY_CHARS_MIN {
        return Err(format!("{key}: must have at least {HOLD_KEY_CHARS_MIN} characters"));
    }
    let limits = HoldLimits {
        hold_ms: response.hold_tokens_ms,
        tokens_max: response.hold_tokens_max as usize,
        bytes_max: response.hold_tokens_bytes_max,
    };
    HeldTokens::new(secret, limits, Clock::system()).ok_or_else(|| format!("{key}: no key can be made of it"))
}

/// The configured key of token hashes; none if it is to be drawn.
///
/// # Errors
/// The key cannot be read or is too short, with its configuration key.
pub fn token_key_of(config: &Config) -> Result<Option<[u8; 32]>, String> {
    let secret = config.secrets.token_key().map_err(|error| error.to_string())?;
    Ok(secret.map(|secret| Sha256::digest(secret.expose().as_bytes()).into()))
}

/// The key of token hashes: the configured one, or the one that was drawn for this installation.
pub(super) fn token_key(db: &Db, configured: Option<[u8; 32]>) -> Result<TokenKey, DbError> {
    match configured {
        Some(key) => Ok(TokenKey(key)),
        None => drawn(db, "token_key").map(TokenKey),
    }
}

/// Hashes keys of detector state with this installation's secret.
pub(super) fn key_hasher(db: &Db) -> Result<KeyHasher, DbError> {
    state_key(db).map(KeyHasher::new)
}

/// The secret of [`key_hasher`].
pub(super) fn state_key(db: &Db) -> Result<[u8; 16], DbError> {
    drawn(db, "state_key")
}

/// The key of token hashes of the installation in the data directory: the configured one, or the one that was drawn
/// for it; none if there is neither.
///
/// # Errors
/// The key cannot be read or is too short, or the database says no.
pub fn installed_token_key(config: &Config) -> Result<Option<TokenKey>, String> {
    let configured = token_key_of(config)?;
    if configured.is_none() && !super::is_installed(config) {
        return Ok(None);
    }
    let db = super::open_database(config).map_err(|error| error.to_string())?;
    token_key(&db, configured).map(Some).map_err(|error| error.to_string())
}

/// `N` random bytes, drawn once.
fn drawn<const N: usize>(db: &Db, name: &str) -> Result<[u8; N], DbError> {
    let mut secret = [0; N];
    let kept = db.fact(name, || {
        rand::Rng::fill_bytes(&mut rand::rng(), &mut secret);
        secret.to_vec()
    })?;
    secret.iter_mut().zip(kept).for_each(|(to, from)| *to = from);
    Ok(secret)
}
