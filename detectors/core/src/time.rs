//! Milliseconds since the Unix epoch, and their RFC 3339 form.
//!
//! Event time everywhere is an `i64` of milliseconds; [`TimeMs`] gives it the text form that all
//! outer records use (UTC, three decimals), so that a time looks the same in each of them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A point in event time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeMs(pub i64);

/// One second in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// One minute in milliseconds.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// One hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl TimeMs {
    /// Parses RFC 3339 (`2026-01-02T03:04:05.678Z`, any offset). `None` if it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(time_ms) = parse_utc(text) {
            return Some(Self(time_ms));
        }
        let time: Timestamp = text.parse().ok()?;
        Some(Self(time.as_millisecond()))
    }
}

/// The form that nearly all records have: UTC with a `Z`, from 1970 on, at most nine decimals. `None`: not
/// that form, which says nothing of whether it is a time.
fn parse_utc(text: &str) -> Option<i64> {
    let (date_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [c, y, e, a, b'-', m, o, b'-', d, n, b'T', h, i, b':', k, l, b':', s, t] = *date_time else { return None };
    let (year, month, day) = (two(c, y)? * 100 + two(e, a)?, two(m, o)?, two(d, n)?);
    let (hour, minute, second) = (two(h, i)?, two(k, l)?, two(s, t)?);
    if year < 1970 || !(1..=days_of(year, month)?).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millisecond = match rest {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let digit = |place: usize| digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => return None,
    };
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * SECOND_MS + millisecond)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn days_of(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => Some(28 + i64::from(leap)),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of its year, and months then have 153 days in each five.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for TimeMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for TimeMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_jiff(text: &str) -> Option<i64> {
        text.parse::<Timestamp>().ok().map(|time| time.as_millisecond())
    }

    proptest! {
        /// The quick way reads a part of what jiff reads, alike.
        #[test]
        fn the_quick_way_agrees_with_jiff(text in r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?(Z|z|\+01:00)?") {
            if let Some(time_ms) = parse_utc(&text) {
                prop_assert_eq!(Some(time_ms), by_jiff(&text), "{}", text);
            }
        }

        /// And it is taken by all that the daemon itself prints from 1970 on.
        #[test]
        fn every_day_is_read_as_it_was_printed(time_ms in 0_i64..253_402_214_400_000) {
            prop_assert_eq!(parse_utc(&TimeMs(time_ms).to_string()), Some(time_ms));
        }
    }

    #[test]
    fn what_the_quick_way_leaves_is_jiffs() {
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-01-02T03:04:60Z",
            "1969-12-31T23:59:59.9999Z",
            "2026-01-02T03:04:05.Z",
            "",
            "2026-01-02T03:04:05+00:00",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
            assert_eq!(TimeMs::parse(text).map(|time| time.0), by_jiff(text), "{text}");
        }
    }

    #[test]
    fn a_time_keeps_its_text_form_with_three_decimals() {
        let time = TimeMs::parse("2026-01-02T03:04:05.6789+02:00");
        assert_eq!(time.map(|t| t.to_string()).as_deref(), Some("2026-01-02T01:04:05.678Z"));
    }
}
