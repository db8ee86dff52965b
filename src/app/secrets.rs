//! Secrets of the installation: configured, or drawn at the first start and kept in the database.

use crate::config::Config;
use crate::db::{Db, DbError};
use crate::normalise::TokenKey;
use bartizan_core::KeyHasher;
use sha2::{Digest, Sha256};

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
