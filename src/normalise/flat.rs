//! A quick way through ordinary native records: flat objects without escapes.
//!
//! It knows strings without escapes, whole numbers, `true`, `false`, `null`, and objects one level down.
//! At anything else it gives up, and the whole record is read again by the full reader, which alone says
//! what is wrong with a record. A property test holds the two together.

use super::json::{Json, duplicate};
use super::reject::Reject;
use std::borrow::Cow;

/// Members of an inner object, beyond which the full reader takes over.
const INNER_MEMBERS_MAX: usize = 256;
/// Digits of a number that fits 64 bits whatever they are.
const DIGITS_MAX: usize = 18;

/// Takes an object's members.
pub(super) trait Sink<'a> {
    /// A member that is a string. On its own, because most are, and two texts pass in registers, while a
    /// [`Json`] goes through memory and is copied in other pieces than it was written in, which stalls.
    fn text(&mut self, name: &'a str, text: &'a str) -> Result<(), Reject>;
    /// Any other member.
    fn value(&mut self, name: &'a str, value: Json<'a>) -> Result<(), Reject>;
}

/// Hands out an object's members one by one. `None`: not as simple as that; members may have been handed
/// out already.
pub(super) fn each_member<'a>(text: &'a str, sink: &mut impl Sink<'a>) -> Option<Result<(), Reject>> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.expect(b'{')?;
    let mut first = true;
    while let Some(name) = scanner.name(first)? {
        first = false;
        scanner.skip_blanks();
        let done = match scanner.byte()? {
            b'"' => sink.text(name, scanner.string()?),
            b'{' => sink.value(name, scanner.inner()?),
            _ => sink.value(name, scanner.scalar()?),
        };
        if let Err(reject) = done {
            return Some(Err(reject));
        }
    }
    scanner.skip_blanks();
    (scanner.at == text.len()).then_some(Ok(()))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        self.byte() == Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then(|| self.at += 1)
    }

    /// The next member's name, with the colon behind it; `Some(None)` at the object's end.
    fn name(&mut self, first: bool) -> Option<Option<&'a str>> {
        if self.next_is(b'}') {
            self.at += 1;
            return Some(None);
        }
        if !first {
            self.expect(b',')?;
        }
        self.skip_blanks();
        let name = self.string()?;
        self.expect(b':')?;
        Some(Some(name))
    }

    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let rest = self.text.get(self.at..)?;
        let text = rest.get(..string_end(rest.as_bytes())?)?;
        self.at += text.len() + 1;
        Some(text)
    }

    fn scalar(&mut self) -> Option<Json<'a>> {
        match self.byte()? {
            b'"' => self.string().map(|text| Json::Text(Cow::Borrowed(text))),
            b'0'..=b'9' => self.number(),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    /// A whole number; one with a sign, a fraction or an exponent is the full reader's.
    fn number(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let mut value = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        let digits = self.at - start;
        let padded = digits > 1 && self.text.as_bytes().get(start) == Some(&b'0');
        let more = matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        (digits <= DIGITS_MAX && !padded && !more).then_some(Json::Uint(value))
    }

    fn inner(&mut self) -> Option<Json<'a>> {
        self.expect(b'{')?;
        let mut members = Vec::new();
        while let Some(name) = self.name(members.is_empty())? {
            self.skip_blanks();
            members.push((Cow::Borrowed(name), self.scalar()?));
            if members.len() > INNER_MEMBERS_MAX {
                return None;
            }
        }
        duplicate(&members).is_none().then_some(Json::Object(members))
    }
}

/// Where the quote stands that ends a string; `None` if an escape or a control character comes first.
///
/// Eight bytes at a time: most strings are so short that a call of `memchr` costs more than the search.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = special_bytes(u64::from_le_bytes(*word));
        if found != 0 {
            let at = (found.trailing_zeros() / 8) as usize;
            return (word.get(at) == Some(&b'"')).then_some(index * 8 + at);
        }
    }
    let at = tail.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))?;
    (tail.get(at) == Some(&b'"')).then_some(bytes.len() - tail.len() + at)
}

/// Sets the top bit of each byte that is a quote, a backslash or a control character. A byte above
/// such a one may be marked wrongly, by a borrow; the lowest mark is always right.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & (ONES * 0x80)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::normalise::json;
    use proptest::prelude::*;

    type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

    impl<'a> Sink<'a> for Members<'a> {
        fn text(&mut self, name: &'a str, text: &'a str) -> Result<(), Reject> {
            self.value(name, Json::Text(text.into()))
        }
        fn value(&mut self, name: &'a str, value: Json<'a>) -> Result<(), Reject> {
            self.push((name.into(), value));
            Ok(())
        }
    }

    fn quick(text: &str) -> Option<Members<'_>> {
        let mut members = Vec::new();
        each_member(text, &mut members).map(|result| result.unwrap()).map(|()| members)
    }

    fn full(text: &str) -> Result<Members<'_>, Reject> {
        let mut members = Vec::new();
        json::each_member(text, |name, value| {
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
            "{\"a\":{\"b\":1,\"b\":2}}",
            "{} x",
            "{\"a\":\"\t\"}",
        ] {
            assert_eq!(quick(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever the quick way reads, the full reader reads alike.
        #[test]
        fn the_quick_way_agrees_with_the_full_reader(text in r#"\{( ?"[ab\\\x01é]?" ?: ?(-?[0-9]{1,20}|[0-9.e]{1,4}|"[a"\\n]{0,3}"|tru?e|null|\{"a":1(,"[ab]":2)?\}|\[\]),?){0,4}\}[ x]?"#) {
            if let Some(members) = quick(&text) {
                prop_assert_eq!(Ok(members), full(&text), "{}", text);
            }
        }

        /// The search by words agrees with one byte by byte.
        #[test]
        fn strings_end_where_they_do(bytes in prop::collection::vec(prop_oneof![8 => 0x1e_u8..0x24, 8 => 0x5b_u8..0x5e, 60 => any::<u8>()], 0..40)) {
            let first = bytes.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
            prop_assert_eq!(string_end(&bytes), first.filter(|at| bytes[*at] == b'"'));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            quick(&text);
            quick(&format!("{{{text}}}"));
        }
    }
}
