//! The frame around a message: who wrote it, where and when.
//!
//! Read are the lines that rsyslog and syslog-ng write to files (RFC 3164's `Mon dd hh:mm:ss host
//! program[pid]: message`, also with an RFC 3339 time in front), RFC 5424 (`<PRI>1 …`), and journald's
//! JSON export (`journalctl -o json`, systemd's «Journal Export Formats»). Any format that comes through
//! syslog builds on this file.

use crate::normalise::NormaliseConfig;
use crate::normalise::json::Json;
use crate::normalise::reject::{Reject, RejectCode};
use crate::normalise::time::RawTime;
use jiff::civil::{DateTime, Time};
use std::borrow::Cow;

/// Words of a line within which the program's tag must end.
const TAG_WORDS_MAX: usize = 4;

/// A message and its frame. Absent parts are empty.
#[derive(Debug)]
pub struct Frame<'a> {
    /// When it was written.
    pub time: RawTime<'a>,
    /// The machine.
    pub host: Cow<'a, str>,
    /// The program, without path.
    pub program: Cow<'a, str>,
    /// The process.
    pub pid: Cow<'a, str>,
    /// The message.
    pub message: Cow<'a, str>,
    /// The record's own id (journald's cursor).
    pub id: Option<Cow<'a, str>>,
}

/// Reads a line; `None` if it has no such frame.
#[must_use]
pub fn parse_line(line: &str) -> Option<Frame<'_>> {
    let line = after_priority(line);
    if let Some(frame) = line.strip_prefix("1 ").and_then(rfc5424) {
        return Some(frame);
    }
    let (time, rest) = if line.starts_with(|c: char| c.is_ascii_digit()) { leading_iso_time(line)? } else { leading_bsd_time(line)? };
    let (host, tag, message) = split_tag(rest);
    let (program, pid) = split_pid(tag);
    Some(Frame { time, host: host.into(), program: program.into(), pid: pid.into(), message: message.into(), id: None })
}

/// A line without `<PRI>`.
fn after_priority(line: &str) -> &str {
    let inside = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match inside {
        Some((digits, rest)) if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => line,
    }
}

/// `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]` (RFC 5424 §6); `-` means absent.
fn rfc5424(text: &str) -> Option<Frame<'_>> {
    let mut parts = text.splitn(6, ' ');
    let mut word = || parts.next().map(|word| if word == "-" { "" } else { word });
    let (time, host, program, pid, _) = (word()?, word()?, word()?, word()?, word()?);
    let message = after_structured_data(parts.next()?)?;
    Some(Frame {
        time: iso_time(time)?,
        host: host.into(),
        program: base_name(program).into(),
        pid: pid.into(),
        message: message.trim_start_matches('\u{feff}').into(),
        id: None,
    })
}

/// Skips `-` or `[id name="value" …][…]`, in whose values `"`, `\` and `]` are escaped.
fn after_structured_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest.trim_start());
    }
    let (mut quoted, mut escaped, mut open) = (false, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if open => quoted = !quoted,
            b'[' if !open => open = true,
            b']' if open && !quoted => open = false,
            _ if open => {}
            b' ' => return text.get(index + 1..),
            _ => return None,
        }
    }
    (!open).then_some("")
}

/// An RFC 3339 time, or one without a zone.
fn iso_time(word: &str) -> Option<RawTime<'_>> {
    let (_, clock) = word.split_once('T')?;
    if clock.contains(['Z', 'z', '+', '-']) {
        return Some(RawTime::Text(word.into()));
    }
    word.parse::<DateTime>().ok().map(RawTime::Local)
}

fn leading_iso_time(line: &str) -> Option<(RawTime<'_>, &str)> {
    let (word, rest) = line.split_once(' ')?;
    iso_time(word).map(|time| (time, rest))
}

/// `Mon dd hh:mm:ss` with the day padded by a blank, a zero, or not at all; also with a fraction.
fn leading_bsd_time(line: &str) -> Option<(RawTime<'_>, &str)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (name, rest) = line.split_once(' ')?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let (clock, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let time = clock.parse::<Time>().ok().filter(|_| clock.len() >= 8)?;
    let day: i8 = day.parse().ok()?;
    Some((RawTime::Yearless { month: i8::try_from(month + 1).ok()?, day, time }, rest))
}

/// Host, tag and message of `host program[pid]: message`. The host may be missing, or be preceded by the
/// relays that passed the line on; without a tag all behind the host is message.
fn split_tag(text: &str) -> (&str, &str, &str) {
    let (mut rest, mut host) = (text, "");
    for _ in 0..TAG_WORDS_MAX {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if word.len() > 1 && word.ends_with(':') {
            return (host, word.trim_end_matches(':'), after);
        }
        if !word.is_empty() {
            host = word;
        }
        rest = after;
    }
    let (host, message) = text.split_once(' ').unwrap_or((text, ""));
    (host, "", message)
}

/// Program and process of `program[pid]`.
fn split_pid(tag: &str) -> (&str, &str) {
    match tag.strip_suffix(']').and_then(|inner| inner.rsplit_once('[')) {
        Some((program, pid)) => (base_name(program), pid),
        None => (base_name(tag), ""),
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Reads journald's JSON; `Ok(None)` if it has no message (journalctl gives `null` for one it deems too long).
///
/// # Errors
/// What is wrong with the JSON, or that the time is missing.
pub fn parse_journal<'a>(text: &'a str, limits: &NormaliseConfig) -> Result<Option<Frame<'a>>, Reject> {
    let entry = Json::parse(text, limits)?;
    let Json::Object(members) = &entry else { return Err(not_journal()) };
    if !members.iter().any(|(name, _)| name == "MESSAGE" || name == "__REALTIME_TIMESTAMP") {
        return Err(not_journal());
    }
    let Some(message) = entry.get("MESSAGE").and_then(field_text) else { return Ok(None) };
    let first = |names: &[&str]| names.iter().find_map(|name| entry.get(name).and_then(field_text)).unwrap_or_default();
    // Microseconds since 1970 as text; the sender's own clock where it told the time, else journald's.
    let time_us: i64 =
        first(&["_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"]).parse().map_err(|_| Reject::missing("__REALTIME_TIMESTAMP"))?;
    let program = match first(&["SYSLOG_IDENTIFIER", "_COMM"]) {
        Cow::Borrowed(name) => Cow::Borrowed(base_name(name)),
        Cow::Owned(name) => Cow::Owned(base_name(&name).to_owned()),
    };
    Ok(Some(Frame {
        time: RawTime::Millis(time_us.div_euclid(1000)),
        host: first(&["_HOSTNAME"]),
        program,
        pid: first(&["SYSLOG_PID", "_PID"]),
        message,
        id: Some(first(&["__CURSOR"])).filter(|cursor| !cursor.is_empty()),
    }))
}

fn not_journal() -> Reject {
    Reject::new(RejectCode::Malformed, "not a journal entry: neither MESSAGE nor __REALTIME_TIMESTAMP")
}

/// A journal field: text, an array of bytes where it is not printable UTF-8, or an array of several values.
fn field_text<'a>(value: &Json<'a>) -> Option<Cow<'a, str>> {
    match value {
        Json::Text(text) => Some(text.clone()),
        Json::Array(values) if values.iter().all(|value| matches!(value, Json::Uint(0..=255))) => {
            let bytes: Vec<u8> = values.iter().filter_map(|value| value.as_i64().and_then(|byte| u8::try_from(byte).ok())).collect();
            Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Json::Array(values) => values.first().and_then(field_text),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parts(line: &str) -> (String, String, String, String) {
        let frame = parse_line(line).unwrap();
        (frame.host.into(), frame.program.into(), frame.pid.into(), frame.message.into())
    }

    fn expected(host: &str, program: &str, pid: &str, message: &str) -> (String, String, String, String) {
        (host.to_owned(), program.to_owned(), pid.to_owned(), message.to_owned())
    }

    #[test]
    fn the_frames_are_told_apart() {
        assert_eq!(parts("Feb  9 21:19:40 web1 sshd[8317]: hello: you"), expected("web1", "sshd", "8317", "hello: you"));
        assert_eq!(parts("<38>Feb 09 21:19:40.123 web1 /usr/sbin/sudo:   x"), expected("web1", "sudo", "", "  x"));
        assert_eq!(parts("Feb 9 21:19:40  sshd[1]: last"), expected("", "sshd", "1", "last"));
        assert_eq!(parts("2026-02-09T21:19:40.1+01:00 web1 su[9]: y"), expected("web1", "su", "9", "y"));
        assert_eq!(parts("2026-02-09T21:19:40.123456 web1 su: y"), expected("web1", "su", "", "y"));
        assert_eq!(parts("Feb  9 21:19:40 relay web1 sshd[1]: z"), expected("web1", "sshd", "1", "z"));
        assert_eq!(parts("Feb  9 21:19:40 web1 -- MARK --"), expected("web1", "", "", "-- MARK --"));
    }

    #[test]
    fn rfc_5424_skips_structured_data() {
        let line = r#"<38>1 2026-02-09T21:19:40Z web1 sshd 77 - [a x="]\"["][b] Invalid user x"#;
        assert_eq!(parts(line), expected("web1", "sshd", "77", "Invalid user x"));
        assert_eq!(parts("<38>1 2026-02-09T21:19:40Z - sshd - ID1 - \u{feff}hi"), expected("", "sshd", "", "hi"));
        assert!(parse_line(r#"<38>1 2026-02-09T21:19:40Z web1 sshd 77 - [a x="]"#).is_none());
    }

    #[test]
    fn other_lines_have_no_frame() {
        for line in ["", "hello world", "<999999>x", "Feb", "Feb 31", "Foo 12 01:02:03 a b: c", "2026-02-09 x", "1.2.3.4 - - [x] \"GET /\""]
        {
            assert!(parse_line(line).is_none(), "{line}");
        }
    }

    #[test]
    fn journal_fields_may_be_bytes_or_lists() {
        let text = r#"{"__REALTIME_TIMESTAMP":"1700000000123456","MESSAGE":[104,105,255],"SYSLOG_IDENTIFIER":["sshd","x"],"_PID":"7"}"#;
        let limits = NormaliseConfig::default();
        let frame = parse_journal(text, &limits).unwrap().unwrap();
        assert_eq!((frame.program.as_ref(), frame.pid.as_ref(), frame.message.as_ref()), ("sshd", "7", "hi\u{fffd}"));
        assert!(parse_journal(r#"{"MESSAGE":null}"#, &limits).unwrap().is_none());
        assert!(parse_journal(r#"{"MESSAGE":"x"}"#, &limits).is_err());
    }
}
