//! The refresh tokens of one user: which was exchanged for which, when, and by which client.
//!
//! A user's exchanges are kept as one piece of bytes, in which each client stands once, since nearly all of
//! them are of the same. An exchange reads the piece without asking for memory, and writes a new one, of
//! exactly the right size; an ordinary one only changes the piece where it is ([`Next`]).

use super::Config;
use bartizan_core::{Changes, ClientPrint, Event, Outcome, Retained, TokenHash, heap_bytes};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::net::IpAddr;
use std::ops::Range;

/// Exchanges remembered; beyond them the oldest goes.
const ROTATIONS_MAX: usize = 12;
/// Clients of these exchanges for which there is room without asking for memory.
const CLIENTS_USUAL: usize = 4;
/// Tokens issued to whoever reused one, that are followed.
const TAINTED_MAX: usize = 4;

/// A client of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client<'a> {
    print: ClientPrint,
    ip: Option<IpAddr>,
    /// Empty if there is none.
    session: &'a [u8],
}

/// One exchange of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rotation<'a> {
    presented: u32,
    issued: u32,
    time_ms: i64,
    /// First use of what was issued, if one was seen.
    used_ms: Option<i64>,
    /// Number of the client among those of all exchanges.
    client: u8,
    event: &'a [u8],
}

impl Rotation<'_> {
    fn used(&mut self, time_ms: i64) {
        self.used_ms = Some(self.used_ms.map_or(time_ms, |used_ms| used_ms.min(time_ms)));
    }
}

/// All exchanges of one user, to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Past<'a> {
    clients: SmallVec<[Client<'a>; CLIENTS_USUAL]>,
    rotations: SmallVec<[Rotation<'a>; ROTATIONS_MAX + 1]>,
    /// Tokens descended from a reused one, and when that was reused.
    tainted: SmallVec<[(u32, i64); TAINTED_MAX]>,
}

/// Packed, a client or an exchange is a few numbers and a text. The last number holds the text's length, in
/// its upper half, and what is small.
const CLIENT_WORDS: usize = 11;
const ROTATION_WORDS: usize = 7;
const WORD_BYTES: usize = size_of::<u32>();
/// Where in an exchange its use stands.
const USED_AT: usize = 4 * WORD_BYTES;
const LEN_SHIFT: u32 = 16;
const HAS_IP: u32 = 1;
const IS_IPV6: u32 = 2;
/// Stands for the use of a token that was not seen in use: no event is as old.
const UNUSED: i64 = i64::MIN;

/// Reads packed exchanges.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Numbers that always stand together, looked at in one piece.
    fn words<const N: usize>(&mut self) -> Option<[u32; N]> {
        let (first, rest) = self.0.split_at_checked(N * WORD_BYTES)?;
        self.0 = rest;
        let words: &[[u8; WORD_BYTES]; N] = first.as_chunks().0.try_into().ok()?;
        Some(words.map(u32::from_le_bytes))
    }

    fn text(&mut self, bytes: u32) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at_checked(bytes as usize)?;
        self.0 = rest;
        Some(text)
    }

    fn client(&mut self) -> Option<Client<'a>> {
        let [device, asn, subnet, ja4, agent, region, a, b, c, d, rest] = self.words::<CLIENT_WORDS>()?;
        let mut ip = [0; 16];
        ip.as_chunks_mut().0.iter_mut().zip([a, b, c, d]).for_each(|(to, word)| *to = word.to_le_bytes());
        let ip = (rest & HAS_IP != 0).then(|| IpAddr::from(ip).to_canonical());
        let print = ClientPrint { device, asn, subnet, ja4, agent, region, ipv6: rest & IS_IPV6 != 0 };
        Some(Client { print, ip, session: self.text(rest >> LEN_SHIFT)? })
    }

    fn rotation(&mut self) -> Option<Rotation<'a>> {
        let [presented, issued, time_low, time_high, used_low, used_high, rest] = self.words::<ROTATION_WORDS>()?;
        let used_ms = Some(time_of(used_low, used_high)).filter(|used_ms| *used_ms != UNUSED);
        let event = self.text(rest >> LEN_SHIFT)?;
        Some(Rotation { presented, issued, time_ms: time_of(time_low, time_high), used_ms, client: rest as u8, event })
    }

    fn past(&mut self) -> Option<Past<'a>> {
        let mut past = Past::default();
        for _ in 0..self.byte()? {
            past.clients.push(self.client()?);
        }
        for _ in 0..self.byte()? {
            past.rotations.push(self.rotation()?);
        }
        for _ in 0..self.byte()? {
            let [token, since_low, since_high] = self.words()?;
            past.tainted.push((token, time_of(since_low, since_high)));
        }
        Some(past)
    }
}

fn time_of(low: u32, high: u32) -> i64 {
    (u64::from(high) << 32 | u64::from(low)) as i64
}

/// Ids and sessions are far shorter than a length can tell; what is beyond is cut where a letter ends.
fn text_of(text: &str) -> &[u8] {
    text.get(..text.floor_char_boundary(u16::MAX.into())).unwrap_or_default().as_bytes()
}

impl Client<'_> {
    fn packed_bytes(&self) -> usize {
        CLIENT_WORDS * WORD_BYTES + self.session.len()
    }

    fn put(&self, out: &mut Vec<u8>) {
        let print = &self.print;
        let ip = match self.ip {
            None => [0; 16],
            Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
            Some(IpAddr::V6(ip)) => ip.octets(),
        };
        let flags = if self.ip.is_some() { HAS_IP } else { 0 } | if print.ipv6 { IS_IPV6 } else { 0 };
        put(&[print.device, print.asn, print.subnet, print.ja4, print.agent, print.region], out);
        out.extend(ip);
        put(&[flags | len_of(self.session)], out);
        out.extend(self.session);
    }
}

impl Rotation<'_> {
    fn packed_bytes(&self) -> usize {
        ROTATION_WORDS * WORD_BYTES + self.event.len()
    }

    fn put(&self, client: u8, out: &mut Vec<u8>) {
        let (time, used) = (self.time_ms as u64, self.used_ms.unwrap_or(UNUSED) as u64);
        let rest = u32::from(client) | len_of(self.event);
        put(&[self.presented, self.issued, time as u32, (time >> 32) as u32, used as u32, (used >> 32) as u32, rest], out);
        out.extend(self.event);
    }
}

fn len_of(text: &[u8]) -> u32 {
    (text.len() as u32) << LEN_SHIFT
}

fn put<const N: usize>(words: &[u32; N], out: &mut Vec<u8>) {
    out.extend(words.map(u32::to_le_bytes).as_flattened());
}

/// Where an exchange goes that is like nearly all: of a token that was not exchanged before, where nothing was reused.
/// What it leads to is what [`Past`] would be packed to.
struct Next {
    /// Number of the client, once another one is gone.
    client: u8,
    /// Was it seen in no exchange that is held?
    is_new: bool,
    /// Where the number of exchanges stands.
    count_at: usize,
    /// The exchange that makes room; empty if there is room.
    oldest: Range<usize>,
    /// The client that goes with it, as it had no other: its number, and where it stands.
    gone: Option<(u8, Range<usize>)>,
    /// Where the use of the presented token stands, if it was issued here, and when that was.
    used: Option<(usize, i64)>,
    /// The time of the latest exchange.
    last_ms: i64,
}

impl Next {
    /// `None`: it takes a closer look.
    fn of(packed: &[u8], client: &Client<'_>, one: &Rotation<'_>) -> Option<Self> {
        let mut reader = Reader(packed);
        let at = |reader: &Reader<'_>| packed.len() - reader.0.len();
        let (mut number, clients) = (None, reader.byte()?);
        let mut clients_at: SmallVec<[Range<usize>; ROTATIONS_MAX]> = SmallVec::new();
        for known in 0..clients {
            let start = at(&reader);
            let is_it = reader.client()? == *client;
            number = number.or(is_it.then_some(known));
            clients_at.push(start..at(&reader));
        }
        let (count_at, is_new, own) = (at(&reader), number.is_none(), number.unwrap_or(clients));
        let mut next = Self { client: own, is_new, count_at, oldest: 0..0, gone: None, used: None, last_ms: one.time_ms };
        let count = reader.byte()?;
        let (mut oldest, mut exchanges_by) = ((i64::MAX, own), [0_u8; ROTATIONS_MAX]);
        for _ in 0..count {
            let start = at(&reader);
            let known = reader.rotation()?;
            let is_known = [one.presented, one.issued].contains(&known.presented);
            let is_presented = known.issued == one.presented;
            if is_known || (is_presented && next.used.is_some()) {
                return None;
            }
            if is_presented {
                next.used = Some((start + USED_AT, known.used_ms.map_or(one.time_ms, |used_ms| used_ms.min(one.time_ms))));
            }
            if known.time_ms < oldest.0 {
                (oldest, next.oldest) = ((known.time_ms, known.client), start..at(&reader));
            }
            next.last_ms = next.last_ms.max(known.time_ms);
            exchanges_by.get_mut(usize::from(known.client)).into_iter().for_each(|exchanges| *exchanges += 1);
        }
        let tainted = reader.byte()?;
        if usize::from(count) < ROTATIONS_MAX {
            next.oldest = 0..0;
        } else if oldest.1 != own && *exchanges_by.get(usize::from(oldest.1))? < 2 {
            next.gone = Some((oldest.1, clients_at.into_iter().nth(oldest.1.into())?));
            next.client -= u8::from(own > oldest.1);
        }
        (tainted == 0).then_some(next)
    }

    fn write(&self, packed: Box<[u8]>, client: &Client<'_>, one: &Rotation<'_>) -> Box<[u8]> {
        let mut bytes = packed.into_vec();
        let client_bytes = if self.is_new { client.packed_bytes() } else { 0 };
        if let Some((used, ms)) = self.used.and_then(|(at, ms)| Some((bytes.get_mut(at..)?.first_chunk_mut()?, ms))) {
            *used = ms.to_le_bytes();
        }
        if self.oldest.is_empty() {
            bytes.get_mut(self.count_at).into_iter().for_each(|count| *count += 1);
        }
        bytes.drain(self.oldest.clone());
        let mut count_at = self.count_at;
        if let Some((gone, at)) = &self.gone {
            count_at -= at.len();
            bytes.drain(at.clone());
            bytes.first_mut().into_iter().for_each(|clients| *clients -= 1);
            number_anew(bytes.get_mut(count_at + 1..).unwrap_or_default(), *gone);
        }
        // Mostly it is as long as the one that made room, and no memory is asked for.
        bytes.reserve_exact(one.packed_bytes() + client_bytes);
        // That nothing was reused stands at the end.
        let tainted = bytes.pop().unwrap_or_default();
        one.put(self.client, &mut bytes);
        bytes.push(tainted);
        if self.is_new {
            // Behind the other clients, before what was written.
            client.put(&mut bytes);
            bytes.get_mut(count_at..).into_iter().for_each(|from| from.rotate_right(client_bytes));
            bytes.first_mut().into_iter().for_each(|clients| *clients += 1);
        }
        bytes.into_boxed_slice()
    }
}

/// Takes one from the numbers of clients behind one that is gone, in packed exchanges.
fn number_anew(mut exchanges: &mut [u8], gone: u8) {
    while let Some((words, rest)) = exchanges.split_first_chunk_mut::<{ ROTATION_WORDS * WORD_BYTES }>()
        && let Some(last) = words.last_chunk_mut::<WORD_BYTES>()
    {
        let word = u32::from_le_bytes(*last);
        *last = (word - u32::from(word as u8 > gone)).to_le_bytes();
        exchanges = rest.get_mut((word >> LEN_SHIFT) as usize..).unwrap_or_default();
    }
}

impl<'a> Past<'a> {
    fn unpack(bytes: &'a [u8]) -> Self {
        Reader(bytes).past().unwrap_or_default()
    }

    /// Clients that an exchange is left of, exchanges with their numbers, and what descends from a reuse.
    fn pack(&self) -> Box<[u8]> {
        let is_used = |number: usize| self.rotations.iter().any(|one| usize::from(one.client) == number);
        let mut clients = 0;
        // For each client its number in the new piece.
        let numbers: SmallVec<[Option<u8>; CLIENTS_USUAL]> = (0..self.clients.len())
            .map(|number| {
                let next = clients;
                clients += u8::from(is_used(number));
                (clients > next).then_some(next)
            })
            .collect();
        let used = || self.clients.iter().zip(&numbers).filter(|(_, number)| number.is_some()).map(|(client, _)| client);
        let bytes = used().map(Client::packed_bytes).sum::<usize>()
            + self.rotations.iter().map(Rotation::packed_bytes).sum::<usize>()
            + self.tainted.len() * (size_of::<u32>() + size_of::<i64>());
        let mut out = Vec::with_capacity(3 + bytes);
        out.push(clients);
        used().for_each(|client| client.put(&mut out));
        out.push(self.rotations.len() as u8);
        for one in &self.rotations {
            one.put(numbers.get(usize::from(one.client)).copied().flatten().unwrap_or_default(), &mut out);
        }
        out.push(self.tainted.len() as u8);
        for (token, since_ms) in &self.tainted {
            put(&[*token, *since_ms as u32, (*since_ms as u64 >> 32) as u32], &mut out);
        }
        debug_assert_eq!(out.len(), out.capacity(), "what is left over would have to be cut off");
        out.into_boxed_slice()
    }

    fn client_of(&self, one: &Rotation<'_>) -> Option<&Client<'a>> {
        self.clients.get(usize::from(one.client))
    }

    /// The number of a client; it is added if it is new.
    fn number_of(&mut self, client: Client<'a>) -> u8 {
        let known = self.clients.iter().position(|known| *known == client);
        let number = known.unwrap_or_else(|| {
            self.clients.push(client);
            self.clients.len() - 1
        });
        number as u8
    }
}

/// An exchange that a reuse goes back to.
pub(super) struct Before {
    pub time_ms: i64,
    pub ip: Option<IpAddr>,
    pub session: Option<String>,
    pub event: String,
}

/// Why a token that was presented is no reuse.
pub(super) struct Innocent {
    pub gate: &'static str,
    /// Since it was exchanged before; 0: it was not.
    pub gap_ms: i64,
}

/// No exchange of the token is known before.
const FIRST_USE: Innocent = Innocent { gate: "first_use", gap_ms: 0 };

/// A reuse that no innocent cause explains.
pub(super) struct Reuse {
    /// The exchange before; `None` for a token that a reuse had given to the attacker.
    pub before: Option<Before>,
    pub changes: Changes,
    pub gap_ms: i64,
    pub successor_used: bool,
    /// Is the attacker the one who exchanged it first, so that the owner brings the old one?
    pub thief_came_first: bool,
    /// Is it beyond doubt that the attacker is the present client, so that its tokens are followed?
    presenter_is_thief: bool,
    /// Did the attacker get a new token?
    pub token_gained: bool,
}

/// Refresh tokens of one user (or session, or token).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lineage {
    expires_ms: i64,
    rotations: u8,
    is_tainted: bool,
    packed: Box<[u8]>,
}

impl Default for Lineage {
    fn default() -> Self {
        Self { expires_ms: i64::MIN, rotations: 0, is_tainted: false, packed: Box::default() }
    }
}

impl Retained for Lineage {
    fn expires_ms(&self) -> i64 {
        self.expires_ms
    }

    fn worth(&self) -> u8 {
        match (self.is_tainted, self.rotations) {
            (true, _) => 4,
            (false, 0..=1) => 0,
            (false, 2..=5) => 1,
            (false, _) => 2,
        }
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.packed.len())
    }
}

impl Lineage {
    /// Looks at a refresh token that was presented: a reuse, or why it is none.
    pub fn observe(&mut self, event: &Event<'_>, token: TokenHash, exchanged: bool, config: &Config) -> Result<Reuse, Innocent> {
        let (presented, time_ms, print) = (short(token), event.time_ms(), ClientPrint::of(event));
        let client = Client { print, ip: event.ip(), session: text_of(event.session().unwrap_or_default()) };
        let exchange = event.token_issued().filter(|_| exchanged).map(short).map(|issued| Rotation {
            presented,
            issued,
            time_ms,
            used_ms: None,
            client: 0,
            event: text_of(event.id()),
        });
        if let Some(exchange) = exchange
            && self.goes_on(&client, &exchange, config)
        {
            return Err(FIRST_USE);
        }
        self.look_closely(client, presented, time_ms, event.outcome() == Outcome::Success, exchange, config)
    }

    /// An exchange like nearly all is put behind the others, and is no reuse. False: it takes a closer look.
    fn goes_on(&mut self, client: &Client<'_>, exchange: &Rotation<'_>, config: &Config) -> bool {
        let Some(next) = Next::of(&self.packed, client, exchange) else { return false };
        self.packed = next.write(std::mem::take(&mut self.packed), client, exchange);
        self.rotations += u8::from(next.oldest.is_empty());
        self.expires_ms = next.last_ms.saturating_add(config.lineage_kept_ms);
        true
    }

    fn look_closely(
        &mut self,
        client: Client<'_>,
        presented: u32,
        time_ms: i64,
        success: bool,
        exchange: Option<Rotation<'_>>,
        config: &Config,
    ) -> Result<Reuse, Innocent> {
        let (print, issued) = (client.print, exchange.map(|exchange| exchange.issued));
        let mut past = Past::unpack(&self.packed);
        let mut changed = false;
        if success {
            for one in past.rotations.iter_mut().filter(|one| one.issued == presented) {
                one.used(time_ms);
                changed = true;
            }
        }
        let reuse = past.judge(presented, time_ms, &print, issued.is_some(), config);
        if let Some(exchange) = exchange {
            let client = past.number_of(client);
            past.remember(Rotation { client, ..exchange });
            let last_ms = past.rotations.iter().map(|one| one.time_ms).fold(time_ms, i64::max);
            self.expires_ms = last_ms.saturating_add(config.lineage_kept_ms);
            changed = true;
        }
        if let (Ok(reuse), Some(issued)) = (&reuse, issued)
            && reuse.presenter_is_thief
        {
            if past.tainted.len() >= TAINTED_MAX {
                past.tainted.remove(0);
            }
            let since_ms = if reuse.before.is_none() { time_ms.saturating_sub(reuse.gap_ms) } else { time_ms };
            past.tainted.push((issued, since_ms));
        }
        if changed {
            self.rotations = past.rotations.len() as u8;
            self.is_tainted = !past.tainted.is_empty();
            let packed = past.pack();
            drop(past);
            self.packed = packed;
        }
        reuse
    }
}

impl Lineage {
    /// Was an event's session, or its refresh token, in the hands of another client on another network before?
    pub fn was_anothers(&self, event: &Event<'_>) -> bool {
        let (past, print) = (Past::unpack(&self.packed), ClientPrint::of(event));
        let (session, token) = (event.session().map(text_of), event.token().map(short));
        past.rotations.iter().filter(|one| one.time_ms < event.time_ms()).any(|one| {
            let Some(client) = past.client_of(one) else { return false };
            let changes = client.print.changes(&print);
            let is_it = session == Some(client.session) || token == Some(one.issued);
            is_it && changes.network && changes.of_client()
        })
    }
}

impl<'a> Past<'a> {
    fn judge(&self, presented: u32, time_ms: i64, client: &ClientPrint, gained: bool, config: &Config) -> Result<Reuse, Innocent> {
        if let Some((_, since_ms)) = self.tainted.iter().find(|(token, _)| *token == presented) {
            let (changes, gap_ms) = (Changes::default(), time_ms.saturating_sub(*since_ms).max(0));
            return Ok(Reuse {
                before: None,
                changes,
                gap_ms,
                successor_used: false,
                thief_came_first: false,
                presenter_is_thief: true,
                token_gained: gained,
            });
        }
        let before = self.rotations.iter().find(|one| one.presented == presented);
        let Some((before, first)) = before.and_then(|before| Some((before, self.client_of(before)?))) else {
            return Err(FIRST_USE);
        };
        // The two may arrive in either order; what counts is who came first in event time.
        let gap_ms = time_ms.saturating_sub(before.time_ms).saturating_abs();
        let successor_used = before.used_ms.is_some_and(|used_ms| used_ms <= time_ms.max(before.time_ms));
        let changes = first.print.changes(client);
        // Who used the successor has it, and has no use for the old one. Where the log says nothing of clients (an
        // identity provider's own) another provider's network is all that there is to be seen.
        let unseen = first.print.is_only_a_network() && client.is_only_a_network();
        let elsewhere = unseen && changes.network && first.print.asn != 0 && client.asn != 0;
        let stolen = changes.count() >= 2 || (successor_used && (changes.of_client() || elsewhere));
        if !stolen {
            return Err(Innocent { gate: "same_client", gap_ms });
        }
        if gap_ms <= config.grace_ms && !successor_used {
            return Err(Innocent { gate: "grace", gap_ms });
        }
        let looks_like_owner = |who: &ClientPrint| {
            let others = self.rotations.iter().filter(|one| one.presented != presented && one.time_ms < before.time_ms.min(time_ms));
            let is_alike = |known: &&Client<'_>| {
                let changes = known.print.changes(who);
                if unseen { !changes.network } else { !changes.of_client() }
            };
            others.filter_map(|one| self.client_of(one)).filter(is_alike).count()
        };
        let (now, then) = (looks_like_owner(client), looks_like_owner(&first.print));
        let thief_came_first = if time_ms >= before.time_ms { now > then } else { now >= then };
        let presenter_is_thief = then > now;
        let token_gained = gained || thief_came_first;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let before = Before {
            time_ms: before.time_ms,
            ip: first.ip,
            session: Some(first.session).filter(|session| !session.is_empty()).map(text),
            event: text(before.event),
        };
        Ok(Reuse { before: Some(before), changes, gap_ms, successor_used, thief_came_first, presenter_is_thief, token_gained })
    }

    fn remember(&mut self, mut rotation: Rotation<'a>) {
        if self.rotations.len() >= ROTATIONS_MAX
            && let Some((oldest, _)) = self.rotations.iter().enumerate().min_by_key(|(_, one)| one.time_ms)
        {
            self.rotations.remove(oldest);
        }
        rotation.used_ms = self.rotations.iter().filter(|one| one.presented == rotation.issued).map(|one| one.time_ms).min();
        self.rotations.push(rotation);
    }
}

/// The keyed hash in 32 bits: enough among the few tokens of one user.
fn short(token: TokenHash) -> u32 {
    let bits = u128::from_be_bytes(token.0);
    (((bits ^ (bits >> 64)) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::super::PARAMETERS;
    use super::*;
    use bartizan_core::Parameters;
    use proptest::prelude::*;

    fn past<'a>(sessions: &[&'a str]) -> Past<'a> {
        let mut past = Past { tainted: [(7, i64::MIN), (u32::MAX, i64::MAX)].into_iter().collect(), ..Past::default() };
        for (number, session) in sessions.iter().enumerate() {
            let client = past.number_of(Client {
                print: ClientPrint { asn: number as u32 % 3, region: 9, ipv6: number > 2, ..ClientPrint::default() },
                ip: [None, Some([1, 2, 3, 4].into()), Some([7; 16].into())].into_iter().nth(number % 3).flatten(),
                session: session.as_bytes(),
            });
            past.rotations.push(Rotation {
                presented: u32::MAX - number as u32,
                issued: number as u32,
                time_ms: if number == 1 { i64::MIN } else { i64::MAX - number as i64 },
                used_ms: (number % 2 == 0).then_some(i64::MIN + 1),
                client,
                event: b"e",
            });
        }
        past
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        for sessions in [&[][..], &["a"], &["a", "", "a", "b", "a"], &["x"; 12]] {
            let packed = past(sessions).pack();
            assert_eq!(Past::unpack(&packed), past(sessions));
        }
        assert_eq!(Past::unpack(&[]), Past::default());
        let packed = past(&["a", "b"]).pack();
        (0..packed.len()).for_each(|len| assert!(Past::unpack(packed.get(..len).unwrap_or_default()).rotations.is_empty()));
    }

    proptest! {
        /// What the short way writes is what the long one does, and it finds nothing where that does.
        #[test]
        fn an_ordinary_exchange_comes_to_the_same_both_ways(
            steps in prop::collection::vec((0_u32..4, prop_oneof![6 => Just(0_u32), 1 => 1_u32..9], 0_i64..50, 0_usize..4, 0_usize..9), 1..60),
        ) {
            let config = Config::new(&Parameters::defaults(PARAMETERS));
            let (mut now_ms, mut shorter) = (0, 0);
            let (mut short, mut long) = (Lineage::default(), Lineage::default());
            for (number, (client, back, later, session, id)) in steps.iter().enumerate() {
                now_ms += (later - 5) * 4_000;
                let client = Client {
                    print: ClientPrint { device: u32::from(*client == 3), ..ClientPrint::default() },
                    ip: None,
                    session: &b"abc"[..*session],
                };
                let (presented, event) = (100 + number as u32 - back, &b"12345678"[..*id]);
                let one = Rotation { presented, issued: 101 + number as u32, time_ms: now_ms, used_ms: None, client: 0, event };
                let goes_on = short.goes_on(&client, &one, &config);
                shorter += usize::from(goes_on);
                if !goes_on {
                    short.look_closely(client, presented, now_ms, true, Some(one), &config).ok();
                }
                let found = long.look_closely(client, presented, now_ms, true, Some(one), &config);
                prop_assert!(!goes_on || found.is_err_and(|innocent| innocent.gap_ms == 0));
                prop_assert_eq!(&short.packed, &long.packed);
                prop_assert_eq!((short.expires_ms, short.rotations, short.is_tainted), (long.expires_ms, long.rotations, long.is_tainted));
                prop_assert_eq!(Past::unpack(&short.packed).rotations.len(), usize::from(short.rotations));
            }
            prop_assert!(steps.len() < 50 || shorter > 0);
        }
    }

    #[test]
    fn a_client_that_goes_on_stands_once_and_one_that_went_goes() {
        let mut one = past(&["session"]);
        for _ in 1..ROTATIONS_MAX {
            one.rotations.push(one.rotations[0]);
        }
        assert!(one.pack().len() + 2 * 30 < past(&["session"; ROTATIONS_MAX]).pack().len());
        let mut several = past(&["a", "b", "c"]);
        several.rotations.remove(0);
        let left = several.pack();
        let left = Past::unpack(&left);
        assert_eq!(left.clients[..], several.clients[1..]);
        assert_eq!(
            left.rotations.iter().map(|one| left.client_of(one)).collect::<Vec<_>>(),
            several.rotations.iter().map(|one| several.client_of(one)).collect::<Vec<_>>()
        );
    }
}
