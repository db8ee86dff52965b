//! What the tries of one attack show wherever they come from: the client that most of them use.
//!
//! Whoever has several addresses has one tool, and its user agent and ciphers go with it. That says that attacks with
//! the same sign may be one; whether they are takes more, as a tool has more users than one.

/// Of the tries, so many in a hundred use the client: at a carrier's address others fail as well.
const SHARE_MIN: usize = 60;

/// The sign of tries with these clients (0: none is known).
pub(crate) fn sign(clients: impl Iterator<Item = u32>) -> Option<u64> {
    let mut clients: Vec<u32> = clients.collect();
    clients.sort_unstable();
    let most = clients.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
    let client = most.first().copied().filter(|client| *client != 0)?;
    (most.len() * 100 >= clients.len() * SHARE_MIN).then_some(client.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_most_tries_use() {
        assert_eq!(sign([7, 7, 3, 7, 7].into_iter()), Some(7));
        assert_eq!(sign([7, 7, 3, 4, 5].into_iter()), None, "many clients");
        assert_eq!(sign([0, 0, 0].into_iter()), None, "clients are not logged");
        assert_eq!(sign(std::iter::empty()), None);
    }
}
