//! Times as logs write them, and what is needed to make each a point in time.
//!
//! A time with an offset needs nothing. One without a zone takes the assumed zone (UTC by default). One
//! without a year, as RFC 3164 has it, takes the assumed year, or the newest in which it is not more than
//! a day after the reference time: no log is written from the future.

use super::reject::{Reject, RejectCode};
use bartizan_core::time::{DAY_MS, TimeMs};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use std::borrow::Cow;

/// 0001-01-01T00:00:00Z and 9999-12-31T00:00:00Z: what every output can print.
const REPRESENTABLE_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_214_400_000;
/// Years tried backwards for a date without a year; 29 February needs up to eight (1896 to 1904).
const YEARS_BACK_MAX: i16 = 8;

/// Can every output print this time?
pub(crate) fn is_representable(time_ms: i64) -> bool {
    REPRESENTABLE_MS.contains(&time_ms)
}

/// A time as a parser leaves it.
#[derive(Clone, Debug)]
pub enum RawTime<'a> {
    /// Milliseconds since the epoch.
    Millis(i64),
    /// RFC 3339 text.
    Text(Cow<'a, str>),
    /// Date and time of day without a zone.
    Local(DateTime),
    /// Month, day and time of day (RFC 3164 §4.1.2).
    Yearless {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
        /// Time of day.
        time: Time,
    },
}

/// What is assumed where a log says nothing.
#[derive(Clone, Debug)]
pub(crate) struct Assumed {
    pub(crate) year: Option<i16>,
    pub(crate) zone: TimeZone,
}

impl RawTime<'_> {
    /// The point in time.
    pub(crate) fn resolve(&self, assumed: &Assumed, reference_ms: i64) -> Result<i64, Reject> {
        let time_ms = match self {
            Self::Millis(value) => *value,
            Self::Text(text) => TimeMs::parse(text).ok_or_else(bad_time)?.0,
            Self::Local(local) => assumed.at(*local).ok_or_else(bad_time)?,
            Self::Yearless { month, day, time } => assumed.newest(*month, *day, *time, reference_ms).ok_or_else(bad_time)?,
        };
        if !is_representable(time_ms) {
            return Err(Reject::out_of_range("time", "within the years 1 to 9999"));
        }
        Ok(time_ms)
    }
}

impl Assumed {
    fn at(&self, local: DateTime) -> Option<i64> {
        self.zone.to_ambiguous_timestamp(local).compatible().ok().map(|time| time.as_millisecond())
    }

    fn newest(&self, month: i8, day: i8, time: Time, reference_ms: i64) -> Option<i64> {
        let in_year = |year: i16| Date::new(year, month, day).ok().and_then(|date| self.at(date.to_datetime(time)));
        if let Some(year) = self.year {
            return in_year(year);
        }
        let reference = jiff::Timestamp::from_millisecond(reference_ms).ok()?;
        let newest = self.zone.to_datetime(reference).year().checked_add(1)?;
        (0..=YEARS_BACK_MAX)
            .filter_map(|back| in_year(newest.checked_sub(back)?))
            .find(|time_ms| *time_ms <= reference_ms.saturating_add(DAY_MS))
    }
}

fn bad_time() -> Reject {
    Reject::new(RejectCode::BadTime, "time: is not a time of this format")
}

/// Reads a zone: a name of the IANA database (`Europe/Berlin`), `UTC`, or an offset (`+02:00`).
#[must_use]
pub fn parse_zone(text: &str) -> Option<TimeZone> {
    if let Some(rest) = text.strip_prefix(['+', '-']) {
        let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
        let (hours, minutes) = (hours.parse::<i32>().ok()?, if minutes.is_empty() { 0 } else { minutes.parse::<i32>().ok()? });
        if !(0..=23).contains(&hours) || !(0..=59).contains(&minutes) {
            return None;
        }
        let seconds = (hours * 60 + minutes) * 60;
        return Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok().map(TimeZone::fixed);
    }
    match text {
        "UTC" | "Z" => Some(TimeZone::UTC),
        _ => TimeZone::get(text).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn resolved(time: &RawTime<'_>, year: Option<i16>, zone: &str, reference: &str) -> String {
        let assumed = Assumed { year, zone: parse_zone(zone).unwrap() };
        TimeMs(time.resolve(&assumed, TimeMs::parse(reference).unwrap().0).unwrap()).to_string()
    }

    fn yearless(month: i8, day: i8) -> RawTime<'static> {
        RawTime::Yearless { month, day, time: Time::constant(23, 0, 0, 0) }
    }

    #[test]
    fn a_date_without_a_year_is_the_newest_that_can_be() {
        let now = "2026-01-01T12:00:00Z";
        assert_eq!(resolved(&yearless(12, 31), None, "UTC", now), "2025-12-31T23:00:00.000Z");
        assert_eq!(resolved(&yearless(1, 1), None, "UTC", now), "2026-01-01T23:00:00.000Z", "within a day ahead");
        assert_eq!(resolved(&yearless(1, 3), None, "UTC", now), "2025-01-03T23:00:00.000Z");
        assert_eq!(resolved(&yearless(2, 29), None, "UTC", now), "2024-02-29T23:00:00.000Z");
        assert_eq!(resolved(&yearless(12, 31), None, "UTC", "2025-12-31T23:30:00Z"), "2025-12-31T23:00:00.000Z");
    }

    #[test]
    fn assumptions_override() {
        let now = "2026-01-01T12:00:00Z";
        assert_eq!(resolved(&yearless(7, 1), Some(2019), "+02:00", now), "2019-07-01T21:00:00.000Z");
        assert_eq!(resolved(&yearless(7, 1), Some(2019), "-0330", now), "2019-07-02T02:30:00.000Z");
        let leap = yearless(2, 29).resolve(&Assumed { year: Some(2019), zone: TimeZone::UTC }, 0).unwrap_err();
        assert_eq!(leap.code, RejectCode::BadTime);
    }

    #[test]
    fn what_cannot_be_printed_is_out_of_range() {
        let assumed = Assumed { year: None, zone: TimeZone::UTC };
        for time_ms in [i64::MIN, i64::MAX, 300_000_000_000_000] {
            assert_eq!(RawTime::Millis(time_ms).resolve(&assumed, 0).unwrap_err().code, RejectCode::OutOfRange);
        }
        assert_eq!(RawTime::Millis(0).resolve(&assumed, 0).unwrap(), 0);
        assert!(parse_zone("+25:00").is_none() && parse_zone("+é1").is_none() && parse_zone("Nowhere/Here").is_none());
    }
}
