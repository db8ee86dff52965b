//! What an application asks for, by the names of its OAuth scopes (RFC 6749 §3.3).

use bartizan_core::Event;

/// Parts of names of scopes that let an application do more than read what is the person's.
const POWERFUL: [&str; 9] = ["write", "admin", "manage", "full", "all", "delete", "send", "owner", "impersonation"];

/// How much is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub scopes: usize,
    /// Those of them that write, administrate, or mean everything.
    pub powerful: usize,
}

impl Asked {
    /// By the scopes of a token that was issued.
    pub fn of(event: &Event<'_>) -> Self {
        let is_powerful = |scope: &&str| {
            let mut words = scope.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| POWERFUL.iter().any(|powerful| word.eq_ignore_ascii_case(powerful)))
                || ["ReadWrite", "FullControl", "AccessAsUser"].iter().any(|word| scope.contains(word))
        };
        let scopes = || event.scope().unwrap_or_default().split_ascii_whitespace();
        Self { scopes: scopes().count(), powerful: scopes().filter(is_powerful).count() }
    }
}
