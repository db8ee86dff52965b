//! Pages and their cursors.
//!
//! A cursor is opaque to callers: where the next page begins, and a fingerprint of the question, as
//! JSON in URL-safe base64. It is no secret and no permission: a forged one finds nothing that its
//! caller could not ask for.

use super::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    #[schema(max_items = 1000)]
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; `null` on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Cursor<T> {
    q: String,
    at: T,
}

/// The cursor of a place within the answer to a question.
#[must_use]
pub fn cursor<T: Serialize>(question: &str, at: &T) -> Option<String> {
    let json = serde_json::to_vec(&Cursor { q: question.to_owned(), at }).ok()?;
    Some(URL_SAFE_NO_PAD.encode(json))
}

/// Where the page of a cursor begins.
///
/// # Errors
/// It is no cursor, or one of another question.
pub fn place<T: DeserializeOwned>(question: &str, cursor: &str) -> Result<T, Problem> {
    let wrong = |detail| Problem::parameter("cursor", detail);
    let json = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong("is not one that this API gave"))?;
    let cursor: Cursor<T> = serde_json::from_slice(&json).map_err(|_| wrong("is not one that this API gave"))?;
    if cursor.q != question {
        return Err(wrong("belongs to another question: keep the filters as they were"));
    }
    Ok(cursor.at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_for_its_own_question_alone() {
        let text = cursor("abc", &(5_i64, "é/ +")).unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(place::<(i64, String)>("abc", &text).unwrap(), (5, "é/ +".to_owned()));
        for (question, text) in [("abd", text.as_str()), ("abc", "!!"), ("abc", "e30"), ("abc", &text[1..])] {
            assert!(place::<(i64, String)>(question, text).is_err());
        }
    }
}
