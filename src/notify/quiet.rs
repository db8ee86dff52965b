//! Quiet hours: what is not bad enough waits for their end.

use bartizan_core::Severity;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// `quiet` of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// When they begin, e.g. `22:00`.
    pub from: String,
    /// When they end, e.g. `07:00`; before `from`: on the next day.
    pub to: String,
    /// IANA name of the time zone. Default `UTC`.
    #[serde(default = "utc")]
    pub zone: String,
    /// What is at least this bad is told all the same. Default `critical`.
    #[serde(default = "critical")]
    pub below: Severity,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn critical() -> Severity {
    Severity::Critical
}

/// Quiet hours as they are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: Time,
    to: Time,
    zone: TimeZone,
    below: Severity,
}

impl QuietHours {
    /// Reads the times and the zone.
    ///
    /// # Errors
    /// The member that is wrong, and why.
    pub fn read(&self) -> Result<Quiet, (&'static str, String)> {
        let time = |name, text: &str| {
            let complete = text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
            let parsed = Time::strptime("%H:%M", text).ok().filter(|_| complete);
            parsed.ok_or_else(|| (name, format!("{text:?}: must be a time like 22:00")))
        };
        let (from, to) = (time("quiet.from", &self.from)?, time("quiet.to", &self.to)?);
        if from == to {
            return Err(("quiet.to", "is the same as from: leave quiet out, or raise min_severity".to_owned()));
        }
        let zone = TimeZone::get(&self.zone).map_err(|_| ("quiet.zone", format!("{:?}: must be like Europe/Berlin", self.zone)))?;
        Ok(Quiet { from, to, zone, below: self.below })
    }
}

impl Quiet {
    /// When something of this severity may be told that comes at `now_ms`: then, or at the end of the quiet hours.
    #[must_use]
    pub fn due_ms(&self, severity: Severity, now_ms: i64) -> i64 {
        if severity >= self.below {
            return now_ms;
        }
        self.end_ms(now_ms).unwrap_or(now_ms)
    }

    /// The end of the quiet hours in which `now_ms` lies; `None`: it lies in none.
    fn end_ms(&self, now_ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(self.zone.clone()).datetime();
        let (time, over_midnight) = (now.time(), self.from > self.to);
        let quiet = if over_midnight { time >= self.from || time < self.to } else { time >= self.from && time < self.to };
        let days = i64::from(over_midnight && time >= self.from);
        let end: DateTime = now.date().checked_add(days.days()).ok()?.to_datetime(self.to);
        // Where a change of the clock leaves the end out, it is the moment of the change.
        let end = quiet.then(|| self.zone.to_ambiguous_zoned(end).compatible())?.ok()?;
        Some(end.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn hours(from: &str, to: &str, zone: &str) -> QuietHours {
        QuietHours { from: from.to_owned(), to: to.to_owned(), zone: zone.to_owned(), below: Severity::Critical }
    }

    #[test]
    fn what_is_mild_waits_for_the_end_of_the_night() {
        let quiet = hours("22:00", "07:00", "Europe/Berlin").read().unwrap();
        let due = |text| quiet.due_ms(Severity::High, at(text));
        assert_eq!(due("2026-03-02T20:59:59Z"), at("2026-03-02T20:59:59Z"), "a minute to ten in Berlin");
        assert_eq!(due("2026-03-02T21:00:00Z"), at("2026-03-03T06:00:00Z"));
        assert_eq!(due("2026-03-03T05:59:00Z"), at("2026-03-03T06:00:00Z"));
        assert_eq!(due("2026-03-03T06:00:00Z"), at("2026-03-03T06:00:00Z"), "their end is not in them");
        assert_eq!(due("2026-03-28T22:00:00Z"), at("2026-03-29T05:00:00Z"), "in the night in which the clock goes forward");
        assert_eq!(quiet.due_ms(Severity::Critical, at("2026-03-02T23:00:00Z")), at("2026-03-02T23:00:00Z"));
        let noon = hours("12:00", "13:30", "UTC").read().unwrap();
        assert_eq!(noon.due_ms(Severity::Low, at("2026-03-02T12:00:00Z")), at("2026-03-02T13:30:00Z"));
        assert_eq!(noon.due_ms(Severity::Low, at("2026-03-02T14:00:00Z")), at("2026-03-02T14:00:00Z"));
    }

    #[test]
    fn what_does_not_read_is_named() {
        for (wrong, key) in [
            (hours("22", "07:00", "UTC"), "quiet.from"),
            (hours("22:00", "7:00", "UTC"), "quiet.to"),
            (hours("24:30", "07:00", "UTC"), "quiet.from"),
            (hours("07:00", "07:00", "UTC"), "quiet.to"),
            (hours("22:00", "07:00", "Berlin"), "quiet.zone"),
        ] {
            assert_eq!(wrong.read().unwrap_err().0, key, "{wrong:?}");
        }
    }
}
