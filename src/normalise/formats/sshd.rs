//! `auth.log`: OpenSSH's server, PAM, and the programs that change or use accounts.
//!
//! The frame (rsyslog, RFC 5424, journald) is read by `syslog`; what the message says by `openssh`,
//! `pam` and `accounts`. A line of another program, and one that says nothing of sign-ins or accounts
//! (`Server listening …`, cron's sessions), is skipped.
//!
//! One try to sign in can leave several lines (`Invalid user`, `Failed password`, `Connection closed by
//! invalid user`), and which of them depends on the server's configuration: with keys alone only the
//! first and last are written. So each is an event; `attrs.action` says which it is.

use super::accounts;
use super::openssh;
use super::pam;
use super::syslog::{self, Frame};
use super::{Confidence, Env, FormatSpec, Record};
use crate::normalise::draft::{RawDraft, parse_ip};
use crate::normalise::json::Json;
use crate::normalise::reject::{Reject, RejectCode};
use bartizan_core::batch::Field;
use bartizan_core::{Kind, Outcome};
use std::borrow::Cow;

pub(super) static SPEC: FormatSpec = FormatSpec {
    name: "sshd",
    about: "auth.log: OpenSSH, PAM, sudo, su, login, account tools; syslog lines or journald JSON",
    detect,
    parse,
};

/// What a message says. Texts are those of the message.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) kind: Option<Kind>,
    pub(super) outcome: Option<Outcome>,
    pub(super) reason: &'static str,
    /// Which message it is, in one word.
    pub(super) action: &'static str,
    pub(super) user: Cow<'a, str>,
    /// Client address, or its host name.
    pub(super) client: &'a str,
    pub(super) port: &'a str,
    pub(super) attrs: Vec<(&'static str, Cow<'a, str>)>,
    /// How often the line stood there (rsyslog folds repetitions).
    pub(super) repeated: u64,
}

impl<'a> Found<'a> {
    pub(super) fn new(kind: Kind, outcome: Outcome, action: &'static str) -> Self {
        Self { kind: Some(kind), outcome: Some(outcome), action, ..Self::default() }
    }

    pub(super) fn user(mut self, user: impl Into<Cow<'a, str>>) -> Self {
        self.user = user.into();
        self
    }

    pub(super) fn client(mut self, client: &'a str, port: &'a str) -> Self {
        (self.client, self.port) = (client, port);
        self
    }

    pub(super) fn reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    pub(super) fn attr(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.attrs.push((name, value.into()));
        self
    }
}

fn is_known(program: &str) -> bool {
    openssh::is_program(program) || accounts::is_program(program)
}

fn detect(record: &Record<'_>) -> Confidence {
    if record.is_object() {
        let journal = record.has("MESSAGE") && (record.has("__REALTIME_TIMESTAMP") || record.has("_SOURCE_REALTIME_TIMESTAMP"));
        return if journal { Confidence::Likely } else { Confidence::No };
    }
    match syslog::parse_line(record.text) {
        Some(frame) if is_known(&frame.program) || frame.program.contains("(pam_") || pam::is_pam(&frame.message) => Confidence::Sure,
        Some(_) => Confidence::Weak,
        None => Confidence::No,
    }
}

fn parse<'a>(record: &Record<'a>, env: &Env<'_>) -> Result<Option<RawDraft<'a>>, Reject> {
    let frame = if record.is_object() {
        let Some(frame) = syslog::parse_journal(record.text, env.limits)? else { return Ok(None) };
        frame
    } else {
        syslog::parse_line(record.text).ok_or_else(|| Reject::new(RejectCode::Malformed, "neither a syslog line nor journald JSON"))?
    };
    let Frame { time, host, program, pid, message, id } = frame;
    // Before Linux-PAM 0.99 the module stood in the tag: `sshd(pam_unix)[1]: authentication failure; …`.
    let (service, pam_tag) = program.split_once("(pam_").map_or((program.as_ref(), false), |(service, _)| (service, true));
    // One name before and after OpenSSH 9.8, so that an update does not make a new source.
    let service = if openssh::is_program(service) { "sshd" } else { service }.to_owned();
    let mut draft = RawDraft { time: Some(time), ..RawDraft::default() };
    // A message that had to be unescaped lives here only, so what it says is copied out of it.
    let found = match &message {
        Cow::Borrowed(text) => understand(&service, pam_tag, text).map(|found| fill(&mut draft, found, Cow::Borrowed)),
        Cow::Owned(text) => understand(&service, pam_tag, text).map(|found| fill(&mut draft, found, |part| Cow::Owned(part.to_owned()))),
    };
    if found.is_none() {
        return Ok(None);
    }
    draft.texts.set(Field::Source, service);
    draft.set(Field::Id, id);
    for (name, value) in [("host", host), ("pid", pid)] {
        draft.attrs.push_text(name, value);
    }
    Ok(Some(draft))
}

/// What a program's message says; `None` for nothing of ours.
fn understand<'m>(program: &str, pam_tag: bool, message: &'m str) -> Option<Found<'m>> {
    let message = message.trim();
    if let Some((times, inner)) = repeated(message) {
        return understand(program, pam_tag, inner).map(|found| Found { repeated: times, ..found });
    }
    if pam_tag {
        return pam::event(program, message);
    }
    if let Some(found) = pam::understand(program, message) {
        return found;
    }
    if openssh::is_program(program) { openssh::understand(message) } else { accounts::understand(program, message) }
}

/// rsyslog's `message repeated N times: [ … ]`. One within another is left as it is.
fn repeated(message: &str) -> Option<(u64, &str)> {
    let (times, rest) = message.strip_prefix("message repeated ")?.split_once(" times: [")?;
    let inner = rest.strip_suffix(']')?.trim();
    (!inner.starts_with("message repeated ")).then_some((times.parse().ok()?, inner))
}

/// Moves what a message says into the draft; `keep` gives a text the record's lifetime.
fn fill<'a, 'm>(draft: &mut RawDraft<'a>, found: Found<'m>, keep: impl Fn(&'m str) -> Cow<'a, str>) {
    let keep_cow = |text: Cow<'m, str>| match text {
        Cow::Borrowed(part) => keep(part),
        Cow::Owned(part) => Cow::Owned(part),
    };
    draft.kind = found.kind;
    draft.outcome = found.outcome;
    draft.texts.set(Field::Reason, found.reason);
    draft.texts.set(Field::User, keep_cow(found.user));
    draft.ip = parse_ip(found.client);
    draft.attrs.push_text("action", found.action);
    if draft.ip.is_none() {
        draft.attrs.push_text("client_host", keep(found.client));
    }
    if let Ok(port) = found.port.parse::<u16>() {
        draft.attrs.push("client_port", Json::Uint(port.into()));
    }
    for (name, value) in found.attrs {
        draft.attrs.push_text(name, keep_cow(value));
    }
    if found.repeated > 0 {
        draft.attrs.push("repeated", Json::Uint(found.repeated));
    }
}
