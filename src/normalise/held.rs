//! Tokens held, sealed, for the minutes in which one of them may have to be revoked.
//!
//! A hash cannot be revoked, and some revocation endpoints (RFC 7009) take nothing but the token itself. Where a target
//! wants that (`token_itself`), each token is sealed where it is hashed, and leaves this place in no other form: with
//! ChaCha20-Poly1305, bound to its hash, by a key that is in no configuration text. Each process draws a salt and makes
//! its own key of the two, so that numbered nonces never come twice.
//!
//! What is held is in memory, bounded in time, count and bytes. An order that needs its token takes the sealed form
//! along into the database, in its own transaction, where it ends with the order or after the same time. So a restart
//! loses what was held and not ordered yet: of it, only tokens that are read again from the log with their text (in
//! Kafka's topics, after the last checkpoint) come back. An order whose token is lost is refused, and people are told.
//!
//! Not here: zeroing of memory. What SQLite leaves in free pages is sealed as well.

use crate::clock::Clock;
use crate::secret::Secret;
use bartizan_core::TokenHash;
use parking_lot::Mutex;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Salt};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

const SALT_BYTES: usize = 16;
/// What the key of a process is for, so that the same secret used elsewhere gives another one.
const PURPOSE: &[u8] = b"bartizan: tokens held for revocation";

/// How long tokens are held, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLimits {
    /// How long what was sealed is held. A token that is seen in its second half is sealed anew.
    pub hold_ms: i64,
    /// Tokens at once; beyond them the oldest goes.
    pub tokens_max: usize,
    /// Bytes of all of them, sealed; likewise.
    pub bytes_max: usize,
}

/// A token that only the holder of the key can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedToken {
    /// Salt, number and ciphertext.
    pub sealed: Vec<u8>,
    /// It is not to be kept for longer.
    pub until_ms: i64,
}

/// What is held. Clones share it. By default nothing ever is.
#[derive(Clone, Default)]
pub struct HeldTokens(Option<Arc<Shared>>);

struct Shared {
    secret: Secret,
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
    limits: HoldLimits,
    clock: Clock,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_hash: HashMap<TokenHash, SealedToken>,
    /// Hashes with the end of their time, first to go first. One that was seen again stands here again.
    ends: VecDeque<(i64, TokenHash)>,
    bytes: usize,
    /// Number of the next nonce.
    next: u64,
}

impl fmt::Debug for HeldTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "HeldTokens(…)" } else { "HeldTokens(none)" })
    }
}

/// The key of the process that drew this salt.
fn key_of(secret: &Secret, salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret.expose().as_bytes());
    Ok(LessSafeKey::new(UnboundKey::from(extracted.expand(&[PURPOSE], &CHACHA20_POLY1305)?)))
}

fn nonce(number: [u8; 8]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce.iter_mut().rev().zip(number.iter().rev()).for_each(|(to, from)| *to = *from);
    Nonce::assume_unique_for_key(nonce)
}

impl HeldTokens {
    /// Holds tokens within limits, sealed by a key that is made of `secret`. `None`: the library cannot make one.
    #[must_use]
    pub fn new(secret: Secret, limits: HoldLimits, clock: Clock) -> Option<Self> {
        let mut salt = [0; SALT_BYTES];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut salt);
        let key = key_of(&secret, &salt).ok()?;
        Some(Self(Some(Arc::new(Shared { secret, key, salt, limits, clock, held: Mutex::default() }))))
    }

    /// Holds a token that was just seen.
    pub(crate) fn keep(&self, hash: TokenHash, token: &str) {
        if let Some(shared) = &self.0 {
            shared.keep(hash, token);
        }
    }

    /// Forgets what was held for long enough.
    pub fn expire(&self) {
        if let Some(shared) = &self.0 {
            shared.held.lock().forget_until(shared.clock.now_ms());
        }
    }

    /// The token of this hash, sealed, if it is held.
    #[must_use]
    pub fn sealed(&self, hash: TokenHash) -> Option<SealedToken> {
        let shared = self.0.as_ref()?;
        let now_ms = shared.clock.now_ms();
        shared.held.lock().by_hash.get(&hash).filter(|token| token.until_ms > now_ms).cloned()
    }

    /// The token of this hash that was sealed by this or an earlier process. `None`: by another key, or of another hash.
    #[must_use]
    pub fn open(&self, hash: TokenHash, sealed: &[u8]) -> Option<Secret> {
        let shared = self.0.as_ref()?;
        let (salt, rest) = sealed.split_at_checked(SALT_BYTES)?;
        let (number, ciphertext) = rest.split_first_chunk::<8>()?;
        let (key, mut bytes) = (key_of(&shared.secret, salt).ok()?, ciphertext.to_vec());
        let token = key.open_in_place(nonce(*number), Aad::from(hash.0), &mut bytes).ok()?;
        Some(Secret::new(std::str::from_utf8(token).ok()?.to_owned()))
    }

    /// Forgets a token that is of no use any more.
    pub fn forget(&self, hash: TokenHash) {
        if let Some(shared) = &self.0 {
            shared.held.lock().forget(&hash);
        }
    }
}

impl Shared {
    fn keep(&self, hash: TokenHash, token: &str) {
        let (now_ms, limits) = (self.clock.now_ms(), &self.limits);
        let mut held = self.held.lock();
        held.forget_until(now_ms);
        // It comes with each request of its session; sealed again is it once half its time is over.
        if held.by_hash.get(&hash).is_some_and(|known| known.until_ms - now_ms > limits.hold_ms / 2) {
            return;
        }
        let number = held.next.to_be_bytes();
        held.next += 1;
        let mut bytes = token.as_bytes().to_vec();
        if self.key.seal_in_place_append_tag(nonce(number), Aad::from(hash.0), &mut bytes).is_err() {
            return;
        }
        let token = SealedToken { sealed: [&self.salt[..], &number, &bytes].concat(), until_ms: now_ms.saturating_add(limits.hold_ms) };
        held.forget(&hash);
        held.bytes += token.sealed.len();
        held.ends.push_back((token.until_ms, hash));
        held.by_hash.insert(hash, token);
        while held.by_hash.len() > limits.tokens_max || held.bytes > limits.bytes_max || held.ends.len() > 2 * limits.tokens_max {
            held.forget_first();
        }
    }
}

impl Held {
    fn forget(&mut self, hash: &TokenHash) {
        if let Some(token) = self.by_hash.remove(hash) {
            self.bytes -= token.sealed.len();
        }
    }

    /// Forgets the one whose time ends first, or a place where one stood that was seen again.
    fn forget_first(&mut self) {
        if let Some((until_ms, hash)) = self.ends.pop_front()
            && self.by_hash.get(&hash).is_some_and(|token| token.until_ms == until_ms)
        {
            self.forget(&hash);
        }
    }

    fn forget_until(&mut self, now_ms: i64) {
        while self.ends.front().is_some_and(|(until_ms, _)| *until_ms <= now_ms) {
            self.forget_first();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::normalise::{Context, Format, NormaliseConfig, Normaliser, TokenKey};
    use bartizan_core::batch::EventBatch;
    use std::sync::atomic::{AtomicI64, Ordering};

    const LIMITS: HoldLimits = HoldLimits { hold_ms: 60_000, tokens_max: 3, bytes_max: 1_000 };

    fn holding(limits: HoldLimits) -> (HeldTokens, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&time);
        let secret = Secret::new("a key of thirty-two letters, or more".to_owned());
        (HeldTokens::new(secret, limits, Clock::new(move || clock.load(Ordering::Relaxed))).unwrap(), time)
    }

    fn hash(number: u8) -> TokenHash {
        TokenHash([number; 16])
    }

    fn read(held: &HeldTokens, number: u8) -> Option<String> {
        let token = held.sealed(hash(number))?;
        held.open(hash(number), &token.sealed).map(|secret| secret.expose().to_owned())
    }

    fn bytes(held: &HeldTokens) -> (usize, usize, usize) {
        let held = held.0.as_ref().unwrap().held.lock();
        (held.by_hash.len(), held.ends.len(), held.bytes)
    }

    #[test]
    fn what_is_sealed_opens_with_its_hash_and_key_alone_also_in_another_process() {
        let (held, _) = holding(LIMITS);
        held.keep(hash(1), "at_secret");
        let sealed = held.sealed(hash(1)).unwrap().sealed;
        assert!(!sealed.windows(9).any(|part| part == b"at_secret"));
        let (restarted, _) = holding(LIMITS);
        for process in [&held, &restarted] {
            assert_eq!(process.open(hash(1), &sealed).unwrap().expose(), "at_secret");
            assert!(process.open(hash(2), &sealed).is_none(), "of another hash");
        }
        assert_eq!(read(&restarted, 1), None, "a restart loses what was held");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(held.open(hash(1), &changed).is_none(), "byte {at}");
        }
        assert!(held.open(hash(1), &sealed[..20]).is_none());
        let another = HeldTokens::new(Secret::new("another".to_owned()), LIMITS, Clock::system()).unwrap();
        assert!(another.open(hash(1), &sealed).is_none());
        assert_eq!(format!("{held:?}"), "HeldTokens(…)");
        assert!(HeldTokens::default().open(hash(1), &sealed).is_none());
    }

    #[test]
    fn no_two_tokens_share_a_nonce() {
        let (held, time) = holding(LIMITS);
        let mut numbers = std::collections::BTreeSet::new();
        for round in 0..50_i64 {
            time.store(round * 40_000, Ordering::Relaxed);
            held.keep(hash(1), "the same");
            numbers.insert(held.sealed(hash(1)).unwrap().sealed[..SALT_BYTES + 8].to_vec());
        }
        assert_eq!(numbers.len(), 50);
    }

    #[test]
    fn what_is_held_is_bounded_in_time_count_and_bytes() {
        let (held, time) = holding(LIMITS);
        for number in 0..5 {
            held.keep(hash(number), "token");
        }
        assert_eq!((0..5).filter_map(|number| read(&held, number)).count(), 3);
        assert_eq!((read(&held, 1), read(&held, 4).as_deref()), (None, Some("token")));
        time.store(59_999, Ordering::Relaxed);
        held.keep(hash(4), "token");
        time.store(60_000, Ordering::Relaxed);
        assert_eq!((read(&held, 3), read(&held, 4).as_deref()), (None, Some("token")), "seen again, held for longer");
        held.expire();
        assert_eq!(bytes(&held).0, 1);
        held.forget(hash(4));
        assert_eq!((read(&held, 4), bytes(&held).2), (None, 0));

        let (held, time) = holding(LIMITS);
        held.keep(hash(1), &"x".repeat(900));
        held.keep(hash(2), &"x".repeat(900));
        assert_eq!((read(&held, 1), read(&held, 2).map(|token| token.len())), (None, Some(900)));
        held.keep(hash(3), &"x".repeat(1_000));
        assert_eq!(bytes(&held).2, 0, "one that is longer than all may be");
        for round in 0..1_000_i64 {
            time.store(round, Ordering::Relaxed);
            held.keep(hash(1), "token");
            held.forget(hash(1));
        }
        assert!(bytes(&held).1 <= 2 * LIMITS.tokens_max, "{:?}", bytes(&held));
    }

    #[test]
    fn a_normaliser_holds_what_it_hashes_and_its_events_are_the_same() {
        let plain = Normaliser::new(&NormaliseConfig::default(), &TokenKey([1; 32])).unwrap();
        let (held, _) = holding(LIMITS);
        let holding = Normaliser::new(&NormaliseConfig::default(), &TokenKey([1; 32])).unwrap().holding(held.clone());
        let ordinary = br#"{"time":0,"kind":"token_refresh","token":"rt_1","token_issued":"rt_2"}"#.as_slice();
        // An unusual member makes it go the long way.
        let long = br#"{"time":"1970-01-01T00:00:00Z","kind":"api_request","token":"at_3","more":{"deep":[{}]}}"#;
        let mut opened = Vec::new();
        for raw in [ordinary, long] {
            let events = [&plain, &holding].map(|normaliser| {
                let context = Context { default_id: &"1", tenant: None, window: None, reference_ms: 0 };
                let mut batch = EventBatch::default();
                normaliser.normalise_into(Format::BARTIZAN, raw, &context, &mut batch).unwrap();
                let event = batch.iter().next().unwrap();
                (event.token(), event.token_issued(), event.attrs().map(str::to_owned))
            });
            assert_eq!(events[0], events[1]);
            opened.extend([events[0].0, events[0].1].into_iter().flatten().map(|hash| {
                let sealed = held.sealed(hash).unwrap().sealed;
                held.open(hash, &sealed).unwrap().expose().to_owned()
            }));
        }
        assert_eq!(opened, ["rt_1", "rt_2", "at_3"]);
    }
}
