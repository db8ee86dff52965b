//! JSON as it arrives from outside: borrowed, bounded in depth and size, without duplicate members.
//!
//! `serde_json` does the reading. The visitors here count depth and values before they go down, so a
//! record nested ten thousand deep ends at the limit and not at the end of the stack. Strings are
//! borrowed from the record unless they hold an escape. Reasons never come from `serde`'s own type
//! errors, as those quote the value.

use super::NormaliseConfig;
use super::reject::{Reject, RejectCode};
use hashbrown::HashSet;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

/// Members up to which duplicates are looked for one by one rather than with a set.
const LINEAR_MEMBERS_MAX: usize = 16;

/// A JSON value that borrows from the record.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A negative whole number.
    Int(i64),
    /// A whole number from 0 up.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object, in the record's order.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads one value that takes up the whole text.
    ///
    /// # Errors
    /// `not_json`, `too_deep`, `too_large`, `duplicate_member`, `out_of_range`.
    pub fn parse(text: &'a str, limits: &NormaliseConfig) -> Result<Self, Reject> {
        let guard = Guard::new(limits);
        read(text, &guard, Node { depth: 0, guard: &guard })
    }

    /// The member of an object; `None` if this is none or has no such member, or if it is `null`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| **value != Self::Null)
    }

    /// The value at a path of member names.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// The text at a path; `None` if there is no text or an empty one.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<Cow<'a, str>> {
        match self.at(path)? {
            Self::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    /// The whole number at a path.
    #[must_use]
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path)?.as_i64()
    }

    /// The truth value at a path.
    #[must_use]
    pub fn bool_at(&self, path: &[&str]) -> Option<bool> {
        match self.at(path)? {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number, also one written with a fraction of zero or an exponent.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Uint(value) => i64::try_from(*value).ok(),
            // 2^63 itself is out: the largest double below it is well within i64.
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9.223_372_036_854_775e18 => Some(*value as i64),
            _ => None,
        }
    }

    /// A number that is not negative, rounded to a whole one.
    #[must_use]
    pub fn as_rounded_u64(&self) -> Option<u64> {
        match self {
            Self::Uint(value) => Some(*value),
            Self::Float(value) if *value >= 0.0 && *value < 1.8e19 => Some(value.round() as u64),
            _ => None,
        }
    }

    /// A string?
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// A number of any kind?
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Uint(_) | Self::Float(_))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(name, value)| (name, value))),
        }
    }
}

/// What one reading has counted, and the rule it broke, which `serde`'s error cannot carry.
pub(crate) struct Guard {
    depth_max: usize,
    values_max: usize,
    values: Cell<usize>,
    failure: RefCell<Option<Reject>>,
}

impl Guard {
    fn new(limits: &NormaliseConfig) -> Self {
        let NormaliseConfig { depth_max, values_max, .. } = *limits;
        Self { depth_max, values_max, values: Cell::default(), failure: RefCell::default() }
    }

    /// Notes the broken rule and gives the error that ends the reading.
    pub(crate) fn fail<E: serde::de::Error>(&self, reject: Reject) -> E {
        self.failure.borrow_mut().get_or_insert(reject);
        E::custom("rejected")
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > self.values_max {
            let reason = format!("more than {} values in one record", self.values_max);
            return Err(self.fail(Reject::new(RejectCode::TooLarge, reason)));
        }
        Ok(())
    }
}

/// Runs a seed over a whole text.
pub(crate) fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, guard: &Guard, seed: S) -> Result<S::Value, Reject> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    result.map_err(|error| guard.failure.borrow_mut().take().unwrap_or_else(|| syntax(&error)))
}

/// Turns a reader's error into a reject. Type errors quote the value, so their text is not used.
fn syntax(error: &serde_json::Error) -> Reject {
    if error.is_data() {
        return Reject::new(RejectCode::NotObject, "not a JSON object");
    }
    let text = error.to_string();
    if text.starts_with("number out of range") {
        return Reject::new(RejectCode::OutOfRange, format!("a number is out of range at column {}", error.column()));
    }
    Reject::new(RejectCode::NotJson, format!("not JSON: {text}"))
}

/// Reads one value at a depth.
#[derive(Clone, Copy)]
pub(crate) struct Node<'g> {
    /// Containers around the value.
    pub(crate) depth: usize,
    pub(crate) guard: &'g Guard,
}

impl Node<'_> {
    fn down<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_max = self.guard.depth_max;
        if self.depth >= depth_max {
            return Err(self.guard.fail(Reject::new(RejectCode::TooDeep, format!("nested deeper than {depth_max}"))));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Json<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        self.guard.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(u64::try_from(value).map_or(Json::Int(value), Json::Uint))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Uint(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let inner = self.down()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let inner = self.down()?;
        let mut members: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            members.push((name, map.next_value_seed(inner)?));
        }
        match duplicate(&members) {
            Some(name) => Err(self.guard.fail(Reject::duplicate(name))),
            None => Ok(Json::Object(members)),
        }
    }
}

/// The first name that stands twice.
pub(super) fn duplicate<'m>(members: &'m [(Cow<'_, str>, Json<'_>)]) -> Option<&'m str> {
    if members.len() <= LINEAR_MEMBERS_MAX {
        let earlier = |index: usize, name: &str| members.iter().take(index).any(|(other, _)| other == name);
        return members.iter().enumerate().find(|(index, (name, _))| earlier(*index, name)).map(|(_, (name, _))| name.as_ref());
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.iter().map(|(name, _)| name.as_ref()).find(|name| !seen.insert(*name))
}

/// Reads a member's name, borrowed where it has no escape.
#[derive(Clone, Copy)]
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// Hands an object's members to a function, one by one; anything but an object is `not_object`.
pub(crate) struct Members<'g, F> {
    pub(crate) guard: &'g Guard,
    pub(crate) each: F,
}

impl<'de, F: FnMut(Cow<'de, str>, Json<'de>) -> Result<(), Reject>> DeserializeSeed<'de> for Members<'_, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, Json<'de>) -> Result<(), Reject>> Visitor<'de> for Members<'_, F> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let node = Node { depth: 1, guard: self.guard };
        while let Some(name) = map.next_key_seed(Name)? {
            let value = map.next_value_seed(node)?;
            (self.each)(name, value).map_err(|reject| self.guard.fail::<A::Error>(reject))?;
        }
        Ok(())
    }
}

/// Reads an object member by member.
pub(crate) fn each_member<'a>(
    text: &'a str,
    limits: &NormaliseConfig,
    each: impl FnMut(Cow<'a, str>, Json<'a>) -> Result<(), Reject>,
) -> Result<(), Reject> {
    let guard = Guard::new(limits);
    read(text, &guard, Members { guard: &guard, each })
}

/// Member names at the top of an object that [`top_members`] looks at.
const TOP_MEMBERS_MAX: usize = 256;

/// The names of an object's own members, found without decoding any value: for recognising a format.
/// Names with escapes are given as written. Ends quietly at whatever is not JSON.
pub(crate) fn top_members(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut names, mut depth, mut at, mut string_end) = (Vec::new(), 0_usize, 0_usize, None);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let Some(end) = end_of_string(bytes, at + 1) else { return names };
                string_end = Some((at + 1, end));
                at = end;
            }
            b':' if depth == 1 => {
                if let Some(name) = string_end.take().and_then(|(start, end)| text.get(start..end)) {
                    names.push(name);
                }
                if names.len() >= TOP_MEMBERS_MAX {
                    return names;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    names
}

fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json<'_>, Reject> {
        Json::parse(text, &NormaliseConfig { depth_max: 5, values_max: 200, ..NormaliseConfig::default() })
    }

    fn code(text: &str) -> RejectCode {
        parse(text).unwrap_err().code
    }

    #[test]
    fn depth_and_size_end_at_their_limit() {
        assert_eq!(code(&"[".repeat(10_000)), RejectCode::TooDeep);
        assert_eq!(code(&"{\"a\":".repeat(10_000)), RejectCode::TooDeep);
        assert!(parse(&format!("{}{}", "[".repeat(5), "]".repeat(5))).is_ok());
        assert_eq!(code(&format!("{}{}", "[".repeat(6), "]".repeat(6))), RejectCode::TooDeep);
        assert!(parse(&format!("[{}0]", "0,".repeat(198))).is_ok());
        assert_eq!(code(&format!("[{}0]", "0,".repeat(199))), RejectCode::TooLarge);
    }

    #[test]
    fn duplicates_are_found_at_any_depth_and_number() {
        assert_eq!(code(r#"{"x":{"a":1,"\u0061":2}}"#), RejectCode::DuplicateMember);
        let many: Vec<_> = (0..100).map(|n| format!("\"m{}\":0", n % 99)).collect();
        assert_eq!(code(&format!("{{{}}}", many.join(","))), RejectCode::DuplicateMember);
    }

    #[test]
    fn errors_quote_nothing() {
        for text in ["{\"token\":\"hunter2\"", "\"hunter2\"", "{\"a\":hunter2}", "[1e999]"] {
            let reject = each_member(text, &NormaliseConfig::default(), |_, _| Ok(())).unwrap_err();
            assert!(!reject.reason.contains("hunter2"), "{}", reject.reason);
        }
        assert_eq!(code("[1e999]"), RejectCode::OutOfRange);
    }

    #[test]
    fn top_members_skip_values_and_strings() {
        let text = r#"{"a":{"x":1},"b":["y:",{"z":2}],"c\"d":"e\\","f" : 1}"#;
        assert_eq!(top_members(text), ["a", "b", "c\\\"d", "f"]);
        assert!(top_members("{\"a").is_empty());
    }
}
