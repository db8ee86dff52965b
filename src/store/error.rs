//! What can go wrong between the daemon and ClickHouse, by what the caller should do about it.

use std::fmt;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The store is away, busy or out of memory: the same call may succeed later, and repeating an
    /// insert does no harm.
    Retry,
    /// The store understood and refuses what was sent; the same call will never succeed.
    Refused,
    /// Schema, credential or configuration are wrong: nothing will work until an operator acts.
    Fatal,
}

/// An error of the store.
#[derive(Debug)]
pub struct StoreError {
    class: ErrorClass,
    action: &'static str,
    message: String,
}

impl StoreError {
    pub(crate) fn new(class: ErrorClass, action: &'static str, message: impl Into<String>) -> Self {
        Self { class, action, message: message.into() }
    }

    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    pub(super) fn of(action: &'static str) -> impl FnOnce(clickhouse::error::Error) -> Self {
        move |error| Self { class: class_of(&error), action, message: with_causes(&error) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store: {}: {}", self.action, self.message)
    }
}

impl std::error::Error for StoreError {}

/// An error with its causes; the client's own message stops at "network error".
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

fn class_of(error: &clickhouse::error::Error) -> ErrorClass {
    use clickhouse::error::Error;
    match error {
        Error::BadResponse(text) => class_of_response(text),
        Error::Network(_) | Error::TimedOut => ErrorClass::Retry,
        Error::SchemaMismatch(_) | Error::InvalidColumnsHeader(_) | Error::Unsupported(_) => ErrorClass::Fatal,
        _ => ErrorClass::Refused,
    }
}

/// Class of a ClickHouse exception by its code
/// (<https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>).
fn class_of_response(text: &str) -> ErrorClass {
    let code = text.split("Code: ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    match code.and_then(|code| code.parse::<u32>().ok()) {
        // unknown column, table, database, setting; schema of another kind
        Some(16 | 47 | 60 | 81 | 115 | 122) => ErrorClass::Fatal,
        // wrong user, not allowed, read-only
        Some(164 | 192..=195 | 497 | 516) => ErrorClass::Fatal,
        // what was sent cannot be read: syntax, types, values, more partitions than allowed
        Some(6 | 26 | 27 | 33 | 36 | 38 | 41 | 42 | 43 | 44 | 53 | 62 | 69 | 70 | 72 | 117 | 130 | 131 | 271 | 441 | 456 | 457) => {
            ErrorClass::Refused
        }
        // a question that takes too much
        Some(158..=160 | 307 | 396) => ErrorClass::Refused,
        // 252 is both "too many parts, merges are behind" and "too many partitions in one insert"
        Some(252) if text.contains("partitions for single INSERT") => ErrorClass::Refused,
        _ => ErrorClass::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_classed_by_what_helps() {
        let class = |code: u32| class_of_response(&format!("Code: {code}. DB::Exception: x"));
        assert_eq!(class(241), ErrorClass::Retry, "memory");
        assert_eq!(class(252), ErrorClass::Retry, "too many parts");
        assert_eq!(class_of_response("Code: 252. DB::Exception: Too many partitions for single INSERT block"), ErrorClass::Refused);
        assert_eq!(class(60), ErrorClass::Fatal, "unknown table");
        assert_eq!(class(516), ErrorClass::Fatal, "wrong password");
        assert_eq!(class(62), ErrorClass::Refused, "syntax");
        assert_eq!(class_of_response("502 Bad Gateway"), ErrorClass::Retry);
    }
}
