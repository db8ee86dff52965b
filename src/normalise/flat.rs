//! A quick way through ordinary native records: flat objects without escapes.
//!
//! It knows strings without escapes, whole numbers, `true`, `false`, `null`, and objects one level down.
//! At anything else it gives up, and the whole record is read again by the full reader, which alone says
//! what is wrong with a record. A property test holds the two together.
//!
//! Where strings begin and end is found 64 bytes at a time, as simdjson does it (Langdale and Lemire,
//! "Parsing Gigabytes of JSON per Second", 2019): a bit for each quote, without a branch for each byte.
//! With no escapes, a string is what lies between two quotes.

use super::json::{Json, duplicate};
use std::borrow::Cow;
use std::ops::Range;
use wide::u8x16;

/// Members of an inner object, beyond which the full reader takes over.
const INNER_MEMBERS_MAX: usize = 256;
/// Digits of a number that fits 64 bits whatever they are.
const DIGITS_MAX: usize = 18;

/// Takes an object's members. Names and texts are places in the record, between their quotes. `None` ends
/// the reading: whoever takes them gives up.
pub(super) trait Sink<'a> {
    /// A member that is a string.
    fn text(&mut self, name: Range<usize>, text: Range<usize>) -> Option<()>;
    /// A member that is a whole number. On its own, as `text` is, because a [`Json`] goes through memory.
    fn number(&mut self, name: Range<usize>, number: u64) -> Option<()>;
    /// Any other member.
    fn value(&mut self, name: Range<usize>, value: Json<'a>) -> Option<()>;
}

/// Hands out an object's members one by one. `None`: not as simple as that, or the sink gave up; members
/// may have been handed out already.
pub(super) fn each_member<'a>(text: &'a str, sink: &mut impl Sink<'a>) -> Option<()> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, quotes: Quotes::new(text.as_bytes()) };
    scanner.expect(b'{')?;
    let mut first = true;
    while let Some(name) = scanner.name(first)? {
        first = false;
        match scanner.next_byte()? {
            b'"' => sink.text(name, scanner.string()?)?,
            b'0'..=b'9' => sink.number(name, scanner.number()?)?,
            b'{' => sink.value(name, scanner.inner()?)?,
            _ => sink.value(name, scanner.word()?)?,
        }
    }
    scanner.skip_blanks();
    // Strings were found in plain blocks alone, and all other bytes were looked at.
    (scanner.at == text.len()).then_some(())
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    quotes: Quotes<'a>,
}

impl<'a> Scanner<'a> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Blanks alone: other white space is a control character, which the search for quotes gives up at.
    fn skip_blanks(&mut self) {
        while self.byte() == Some(b' ') {
            self.at += 1;
        }
    }

    /// The next byte that is not blank, which stays.
    fn next_byte(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.byte()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next_byte()? == byte).then(|| self.at += 1)
    }

    /// The next member's name, with the colon behind it; `Some(None)` at the object's end.
    #[inline(always)]
    fn name(&mut self, first: bool) -> Option<Option<Range<usize>>> {
        match self.next_byte()? {
            b'}' => {
                self.at += 1;
                return Some(None);
            }
            b',' if !first => {
                self.at += 1;
                self.skip_blanks();
            }
            _ if first => {}
            _ => return None,
        }
        let name = self.string()?;
        self.expect(b':')?;
        Some(Some(name))
    }

    /// The string that begins here. All quotes before it are used up, so the next one must be its own.
    #[inline]
    fn string(&mut self) -> Option<Range<usize>> {
        if self.quotes.next()? != self.at {
            return None;
        }
        let (start, end) = (self.at + 1, self.quotes.next()?);
        self.at = end + 1;
        Some(start..end)
    }

    /// A whole number; one with a sign, a fraction or an exponent is the full reader's.
    fn number(&mut self) -> Option<u64> {
        let start = self.at;
        let mut value = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        let padded = digits > 1 && self.bytes.get(start) == Some(&b'0');
        let more = matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        (digits <= DIGITS_MAX && !padded && !more).then_some(value)
    }

    fn word(&mut self) -> Option<Json<'a>> {
        let (word, value) = match self.byte()? {
            b't' => ("true", Json::Bool(true)),
            b'f' => ("false", Json::Bool(false)),
            b'n' => ("null", Json::Null),
            _ => return None,
        };
        self.bytes.get(self.at..)?.starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    fn inner(&mut self) -> Option<Json<'a>> {
        self.expect(b'{')?;
        let mut members = Vec::new();
        while let Some(name) = self.name(members.is_empty())? {
            let value = match self.next_byte()? {
                b'"' => Json::Text(Cow::Borrowed(self.text.get(self.string()?)?)),
                b'0'..=b'9' => Json::Uint(self.number()?),
                _ => self.word()?,
            };
            members.push((Cow::Borrowed(self.text.get(name)?), value));
            if members.len() > INNER_MEMBERS_MAX {
                return None;
            }
        }
        duplicate(&members).is_none().then_some(Json::Object(members))
    }
}

/// Bytes looked at together.
const BLOCK_BYTES: usize = 64;

/// Finds quotes from front to end, in plain text alone: nothing is found in or behind a block with a
/// backslash or a control character.
struct Quotes<'a> {
    rest: &'a [u8],
    /// Where the block begins that `found` is of.
    block: usize,
    /// Where the next block begins.
    next_block: usize,
    /// Quotes of the block not yet handed out, one bit each.
    found: u64,
}

impl<'a> Quotes<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, block: 0, next_block: 0, found: 0 }
    }

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.read_block()?;
        }
        let at = self.block + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(at)
    }

    fn read_block(&mut self) -> Option<()> {
        let found = match self.rest.split_first_chunk::<BLOCK_BYTES>() {
            Some((block, rest)) => {
                self.rest = rest;
                quotes(block)?
            }
            None if self.rest.is_empty() => return None,
            None => {
                let mut block = [b' '; BLOCK_BYTES];
                block.iter_mut().zip(std::mem::take(&mut self.rest)).for_each(|(to, from)| *to = *from);
                quotes(&block)?
            }
        };
        (self.block, self.found) = (self.next_block, found);
        self.next_block += BLOCK_BYTES;
        Some(())
    }
}

/// A bit for each quote of a block; `None` if it holds a backslash or a control character.
fn quotes(block: &[u8; BLOCK_BYTES]) -> Option<u64> {
    const LANES: usize = 16;
    let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(b' ' - 1));
    let (mut found, mut special) = (0, u8x16::splat(0));
    let (parts, _) = block.as_chunks::<LANES>();
    for (index, part) in parts.iter().enumerate() {
        let part = u8x16::from(*part);
        special |= part.simd_eq(backslash) | part.min(control).simd_eq(part);
        found |= u64::from(part.simd_eq(quote).to_bitmask()) << (index * LANES);
    }
    (!special.any()).then_some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::normalise::json;
    use crate::normalise::reject::Reject;
    use proptest::prelude::*;

    type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

    struct Collected<'a> {
        text: &'a str,
        members: Members<'a>,
    }

    impl<'a> Sink<'a> for Collected<'a> {
        fn text(&mut self, name: Range<usize>, text: Range<usize>) -> Option<()> {
            self.value(name, Json::Text(self.text[text].into()))
        }
        fn number(&mut self, name: Range<usize>, number: u64) -> Option<()> {
            self.value(name, Json::Uint(number))
        }
        fn value(&mut self, name: Range<usize>, value: Json<'a>) -> Option<()> {
            self.members.push((self.text[name].into(), value));
            Some(())
        }
    }

    fn quick(text: &str) -> Option<Members<'_>> {
        let mut collected = Collected { text, members: Vec::new() };
        each_member(text, &mut collected).map(|()| collected.members)
    }

    fn full(text: &str) -> Result<Members<'_>, Reject> {
        let mut members = Vec::new();
        json::each_member(text, &super::super::NormaliseConfig::default(), |name, value| {
            members.push((name, value));
            Ok(())
        })
        .map(|()| members)
    }

    #[test]
    fn ordinary_records_take_the_quick_way() {
        let text = r#" { "time" : 17, "user":"é", "ok":true,"none":null , "attrs":{"a":1,"b":"x"},"empty":{} } "#;
        assert_eq!(quick(text).unwrap(), full(text).unwrap());
        for text in [
            "{\"a\":1.5}",
            "{\"a\":\"\\n\"}",
            "{\"a\":[1]}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":{\"b\":1,\"b\":2}}",
            "{} x",
            "{} \"",
            "{\"a\":\"\t\"}",
        ] {
            assert_eq!(quick(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever the quick way reads, the full reader reads alike.
        #[test]
        fn the_quick_way_agrees_with_the_full_reader(text in r#"\{( ?"[ab\\\x01é]?" ?: ?(-?[0-9]{1,20}|[0-9.e]{1,4}|"[a"\\n]{0,3}"|"x{50,70}"|tru?e|null|\{"a":1(,"[ab]":2)?\}|\[\]),?){0,4}\}[ x\t"]?"#) {
            if let Some(members) = quick(&text) {
                prop_assert_eq!(Ok(members), full(&text), "{}", text);
            }
        }

        /// The search by blocks agrees with one byte by byte.
        #[test]
        fn quotes_are_found_where_they_stand(bytes in prop::collection::vec(prop_oneof![20 => Just(b'"'), 1 => 0x1d_u8..0x22, 1 => 0x5b_u8..0x5e, 60 => 0x23_u8..0x5b, 60 => 0x5d_u8..=0xff], 0..300)) {
            let plain = |bytes: &[u8]| bytes.iter().all(|byte| *byte >= 0x20 && *byte != b'\\');
            let end = bytes.chunks(BLOCK_BYTES).position(|block| !plain(block)).map_or(bytes.len(), |block| block * BLOCK_BYTES);
            let mut found = Quotes::new(&bytes);
            let places: Vec<_> = std::iter::from_fn(|| found.next()).collect();
            prop_assert_eq!(places, (0..end).filter(|at| bytes[*at] == b'"').collect::<Vec<_>>());
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            quick(&text);
            quick(&format!("{{{text}}}"));
        }
    }
}
