//! What PAM modules say, whatever program they run in: `pam_unix(sshd:auth): authentication failure; …`.
//!
//! After Linux-PAM's own modules (pam_unix, pam_tally2, pam_faillock, pam_access) and sssd's. Sessions of
//! cron and of systemd's user managers are skipped: they are machines at work, by the minute.

use super::sshd::Found;
use bartizan_core::{Kind, Outcome};

pub(super) fn is_pam(message: &str) -> bool {
    split(message.trim_start()).is_some()
}

/// A PAM message: the module, the service it works for, and the text.
struct Pam<'a> {
    service: &'a str,
    text: &'a str,
}

/// `pam_module(service:type): text`; before Linux-PAM 0.99 `(pam_module) text`.
fn split(message: &str) -> Option<Pam<'_>> {
    if let Some(rest) = message.strip_prefix("(pam_") {
        return Some(Pam { service: "", text: rest.split_once(") ")?.1 });
    }
    let (module, rest) = message.split_once('(')?;
    let (within, text) = rest.split_once("): ")?;
    if !module.starts_with("pam_") || module.contains(' ') || within.contains(' ') {
        return None;
    }
    Some(Pam { service: within.split_once(':').map_or(within, |(service, _)| service), text: text.trim() })
}

/// `None`: not PAM's. `Some(None)`: PAM's, and nothing of ours.
#[expect(clippy::option_option, reason = "the two ways to have nothing are different answers")]
pub(super) fn understand<'a>(program: &str, message: &'a str) -> Option<Option<Found<'a>>> {
    if let Some(rest) = message.strip_prefix("PAM ")
        && let Some((count, details)) = rest.split_once(" more authentication failure")
    {
        return Some(Some(failure(program, details, "more_failures").attr("failures", count)));
    }
    let pam = split(message)?;
    let service = if pam.service.is_empty() { program } else { pam.service };
    Some(event(service, pam.text).map(|found| found.attr("service", pam.service)))
}

/// What a module's text says about the service it works for.
pub(super) fn event<'a>(service: &str, text: &'a str) -> Option<Found<'a>> {
    if let Some(rest) = text.strip_prefix("session ") {
        return session(service, rest);
    }
    if let Some(details) = text.strip_prefix("authentication failure") {
        return Some(failure(service, details, "pam_failure"));
    }
    if let Some(details) = text.strip_prefix("authentication success") {
        let found = Found::new(Kind::Other, Outcome::Success, "pam_success");
        return Some(with_details(found, service, details));
    }
    if let Some(user) = text.strip_prefix("password changed for ") {
        return Some(Found::new(Kind::PasswordChange, Outcome::Success, "password_changed").user(user));
    }
    if let Some(rest) = text.strip_prefix("Consecutive login failures for user ") {
        return Some(locked().user(before(rest, " ")));
    }
    if let Some((_, user)) = text.split_once(" not met by user ") {
        // pam_succeed_if: requirement "uid >= 1000" not met by user "ann"
        let found = Found::new(Kind::Other, Outcome::Denied, "pam_requirement").reason("not_allowed");
        return Some(found.user(user.trim_matches('"')));
    }
    if let Some(rest) = text.strip_prefix("access denied for user ") {
        // pam_access: access denied for user `ann' from `203.0.113.7'
        let (user, host) = rest.split_once(" from ")?;
        let found = Found::new(Kind::Login, Outcome::Denied, "pam_denied").reason("not_allowed");
        return Some(found.user(user.trim_matches(['`', '\''])).client(host.trim_matches(['`', '\'']), ""));
    }
    if let Some((user, rest)) = text.strip_prefix("user ").and_then(|rest| rest.split_once(" (")) {
        // pam_tally2: user ann (1000) tally 6, deny 5
        return rest.contains(" deny ").then(|| locked().user(user));
    }
    let expired = text.strip_prefix("account ").and_then(|rest| rest.strip_suffix(" has expired (account expired)"));
    let expired = expired.or_else(|| text.strip_prefix("expired password for user ").map(|rest| before(rest, " ")));
    expired.map(|user| Found::new(Kind::Login, Outcome::Failure, "pam_failure").reason("expired").user(user))
}

fn locked<'a>() -> Found<'a> {
    Found::new(Kind::Login, Outcome::Denied, "locked").reason("locked")
}

fn before<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or(text, |(head, _)| head)
}

/// `; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7  user=root`; without `user` the name is none
/// of the system's.
fn failure<'a>(service: &str, details: &'a str, action: &'static str) -> Found<'a> {
    let found = with_details(Found::new(Kind::Login, Outcome::Failure, action), service, details);
    let reason = if found.user.is_empty() { "unknown_user" } else { "bad_password" };
    found.reason(reason)
}

fn with_details<'a>(found: Found<'a>, service: &str, details: &'a str) -> Found<'a> {
    let value = |name: &str| details.split_once(name).map_or("", |(_, rest)| before(rest, " "));
    // `user` stands last, so that blanks belong to it; `ruser` has no blank in front of its `user`.
    let user = details.rsplit_once(" user=").map_or("", |(_, user)| user.trim());
    let by = value("ruser=");
    let found = found.user(user).client(value("rhost="), "");
    if by.is_empty() || by == user || service == "sshd" { found } else { found.attr("by", by) }
}

/// `opened for user X[(uid=N)] by [Y](uid=N)`, `closed for user X`.
fn session<'a>(service: &str, text: &'a str) -> Option<Found<'a>> {
    if matches!(service, "cron" | "crond" | "atd" | "systemd-user" | "systemd") {
        return None;
    }
    let (state, rest) = text.split_once(" for user ")?;
    let (whose, by) = rest.split_once(" by ").unwrap_or((rest, ""));
    let (whose, by) = (before(whose, "(uid=").trim(), before(by, "(uid=").trim());
    // sudo and su lend another's account: who acts is who called them, where the line says it.
    let (user, target) = if matches!(service, "sudo" | "sudo-i" | "su" | "su-l") && !by.is_empty() { (by, whose) } else { (whose, "") };
    let found = match state {
        "opened" => Found::new(Kind::Other, Outcome::Success, "session_opened"),
        "closed" if service == "sshd" || service == "login" => Found::new(Kind::Logout, Outcome::Success, "session_closed"),
        "closed" => Found::new(Kind::Other, Outcome::Success, "session_closed"),
        _ => return None,
    };
    Some(found.user(user).attr("target_user", target))
}
