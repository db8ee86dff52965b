//! API tokens: shown once, kept only as hashes.
//!
//! A token is `btz_` and 256 random bits, so a plain SHA-256 of it cannot be guessed back; a slow hash
//! would only make every request slow. Tokens are looked up by hash, so comparing leaks no timing.

use super::{Db, DbError, audit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

const PREFIX: &str = "btz_";
/// Who makes and revokes tokens, in the audit trail.
const COMMAND_LINE: &str = "command line";
/// Tokens listed at most.
const LIST_MAX: u32 = 10_000;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and triages.
    Analyst,
    /// All.
    Admin,
    /// Only posts events.
    Ingest,
}

impl Role {
    /// The name as it is kept.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::Ingest => "ingest",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Analyst, Self::Admin, Self::Ingest].into_iter().find(|role| role.as_str() == text)
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// Id, by which it is revoked.
    pub id: String,
    /// Name, which stands in the audit trail.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The one tenant it is for; none: all.
    pub tenant: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

impl ApiToken {
    /// Neither revoked nor expired at `now_ms`?
    #[must_use]
    pub fn is_valid(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The one tenant it is for; none: all.
    pub tenant: Option<String>,
    /// When it ends.
    pub expires_ms: Option<i64>,
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

fn token(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    let role: String = row.get(2)?;
    Ok(ApiToken {
        id: row.get(0)?,
        name: row.get(1)?,
        // A role that a newer program wrote may do the least.
        role: Role::parse(&role).unwrap_or(Role::Ingest),
        tenant: row.get(3)?,
        created_ms: row.get(4)?,
        expires_ms: row.get(5)?,
        revoked_ms: row.get(6)?,
    })
}

const COLUMNS: &str = "id, name, role, tenant, created_ms, expires_ms, revoked_ms";

impl Db {
    /// Makes a token and returns the secret, which is not kept.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn create_token(&self, new: &NewToken, now_ms: i64) -> Result<String, DbError> {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        // Twelve digits, so that no command takes it for an option.
        let id = format!("{:012x}", rand::random::<u64>() >> 16);
        self.write(|tx| {
            tx.execute(
                "INSERT INTO api_tokens (id, name, role, tenant, hash, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![id, new.name, new.role.as_str(), new.tenant, hash(&secret), now_ms, new.expires_ms],
            )?;
            let detail = json!({"name": new.name, "role": new.role, "tenant": new.tenant, "expires_ms": new.expires_ms});
            Ok::<_, DbError>(audit::record(tx, now_ms, COMMAND_LINE, "token.create", &id, &detail)?)
        })?;
        Ok(secret)
    }

    /// The token with this secret, valid or not.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn find_token(&self, secret: &str) -> Result<Option<ApiToken>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM api_tokens WHERE hash = ?1");
        self.read(|connection| Ok(connection.prepare_cached(&sql)?.query_row([hash(secret)], token).optional()?))
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn tokens(&self) -> Result<Vec<ApiToken>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM api_tokens ORDER BY created_ms, id LIMIT {LIST_MAX}");
        self.read(|connection| Ok(connection.prepare(&sql)?.query_map([], token)?.collect::<Result<_, _>>()?))
    }

    /// Revokes a token by id; false if there is none, or it was revoked before.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn revoke_token(&self, id: &str, now_ms: i64) -> Result<bool, DbError> {
        self.write(|tx| {
            let sql = format!("UPDATE api_tokens SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL RETURNING {COLUMNS}");
            let Some(revoked) = tx.prepare(&sql)?.query_row(params![id, now_ms], token).optional()? else { return Ok(false) };
            let detail = json!({"name": revoked.name, "role": revoked.role, "tenant": revoked.tenant});
            audit::record(tx, now_ms, COMMAND_LINE, "token.revoke", id, &detail)?;
            Ok(true)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_secret_alone_until_it_ends() {
        let db = Db::in_memory().unwrap();
        let new = NewToken { name: "ci".into(), role: Role::Viewer, tenant: Some("acme".into()), expires_ms: Some(100) };
        let secret = db.create_token(&new, 0).unwrap();
        let found = db.find_token(&secret).unwrap().unwrap();
        assert!(found.is_valid(99) && !found.is_valid(100));
        assert!(db.find_token(&found.id).unwrap().is_none());
        assert!(db.revoke_token(&found.id, 5).unwrap());
        assert!(!db.revoke_token(&found.id, 6).unwrap());
        assert!(!db.find_token(&secret).unwrap().unwrap().is_valid(10));
    }
}
