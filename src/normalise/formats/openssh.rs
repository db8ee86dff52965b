//! What OpenSSH's server says in its log (auth.c, auth2.c, packet.c, kex.c, sshd.c; 3.x to 10.x).
//!
//! User names come from the attacker and may hold anything, also ` from 192.0.2.1 port 22`. What the
//! server itself writes stands behind them, so addresses are looked for from the right. The server
//! escapes its messages with `vis(3)`; for user names that is undone.
//!
//! A user whom the configuration refuses (`AllowUsers`, root without password) is a failed sign-in and
//! not a denied one: the server goes on asking, and to the log it is one more wrong try.

use super::sshd::Found;
use crate::normalise::draft::parse_ip;
use bartizan_core::{Kind, Outcome};
use std::borrow::Cow;

/// From OpenSSH 9.8 on the parts of the server log under names of their own.
pub(super) fn is_program(program: &str) -> bool {
    matches!(program, "sshd" | "sshd-session" | "sshd-auth" | "internal-sftp")
}

/// A message without its decoration.
#[derive(Clone, Copy)]
struct Message<'a> {
    text: &'a str,
    /// Written before the user had signed in.
    before_login: bool,
}

type Rule = for<'a> fn(Message<'a>) -> Option<Found<'a>>;

/// The first that knows the message decides.
const RULES: &[Rule] =
    &[attempt, invalid_user, connection_end, too_many, refused_user, pam_error, other_refusals, handshake, dropped, name_check, session];

pub(super) fn understand(message: &str) -> Option<Found<'_>> {
    let (text, before_login) = match message.strip_suffix("[preauth]") {
        Some(text) => (text.trim_end(), true),
        None => (message.strip_suffix("[postauth]").unwrap_or(message).trim_end(), false),
    };
    let text = ["error: ", "fatal: ", "info: "].iter().fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    let message = Message { text, before_login };
    RULES.iter().find_map(|rule| rule(message))
}

fn failed<'a>(action: &'static str, reason: &'static str) -> Found<'a> {
    Found::new(Kind::Login, Outcome::Failure, action).reason(reason)
}

/// A connection that came to nothing before any user was named.
fn no_login<'a>(action: &'static str, reason: &'static str) -> Found<'a> {
    Found::new(Kind::Other, Outcome::Failure, action).reason(reason)
}

/// `USER from IP port N rest`, from the right.
struct Peer<'a> {
    user: &'a str,
    host: &'a str,
    port: &'a str,
    rest: &'a str,
}

fn peer(text: &str) -> Option<Peer<'_>> {
    let candidates = || text.rmatch_indices("from ").filter(|(at, _)| *at == 0 || text.get(..*at).is_some_and(|head| head.ends_with(' ')));
    let read = |at: usize| {
        let (host, rest) = word(text.get(at + 5..)?);
        let (port, rest) = after_port(rest);
        let user = text.get(..at)?;
        (!host.is_empty()).then_some(Peer { user: user.strip_suffix(' ').unwrap_or(user), host, port, rest })
    };
    // An address beats a name: names come from versions that looked them up.
    let by_address = candidates().filter_map(|(at, _)| read(at)).find(|peer| parse_ip(peer.host).is_some());
    by_address.or_else(|| candidates().find_map(|(at, _)| read(at)))
}

fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// The number after `port`, without the punctuation behind it, and what follows.
fn after_port(text: &str) -> (&str, &str) {
    let Some(rest) = text.strip_prefix("port ") else { return ("", text) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

/// A user name as the client sent it: `vis(3)` with `VIS_OCTAL` writes `\\` and `\ooo`.
fn user_name(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let value = octal.map(|digits| digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0')));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                let doubled = *first == b'\\' && after.first() == Some(&b'\\');
                rest = if doubled { after.get(1..).unwrap_or_default() } else { after };
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The user name without the mark of one that does not exist, and whether it had it. An empty name
/// leaves the mark alone.
fn valid_user(user: &str) -> (&str, bool) {
    for mark in ["invalid user", "illegal user"] {
        if let Some(name) = user.strip_prefix(mark)
            && (name.is_empty() || name.starts_with(' '))
        {
            return (name.get(1..).unwrap_or(""), false);
        }
    }
    (user, true)
}

/// auth.c `auth_log`: `Accepted|Failed|Partial|Postponed METHOD for [invalid user ]USER from IP port N ssh2[: EXTRA]`.
fn attempt(message: Message<'_>) -> Option<Found<'_>> {
    let (result, rest) = message.text.split_once(' ')?;
    if !matches!(result, "Accepted" | "Failed" | "Partial") {
        return None;
    }
    let (method, rest) = rest.split_once(" for ").or_else(|| rest.split_once(" for"))?;
    if method.contains(' ') {
        return None;
    }
    let peer = peer(rest)?;
    let (user, valid) = valid_user(peer.user);
    let found = match result {
        "Accepted" => Found::new(Kind::Login, Outcome::Success, "accepted"),
        // The first of several methods was passed; more are asked for (AuthenticationMethods).
        "Partial" => Found::new(Kind::MfaChallenge, Outcome::Unknown, "partial"),
        _ if !valid => failed("failed", "unknown_user"),
        _ => failed("failed", bad_credential(method)),
    };
    let found = found.user(user_name(user)).client(peer.host, peer.port).attr("auth_method", method);
    Some(match peer.rest.split_once(": ") {
        Some((_, extra)) => key(found, extra),
        None => found,
    })
}

fn bad_credential(method: &str) -> &'static str {
    match method.split('/').next() {
        Some("publickey" | "hostbased") => "bad_key",
        Some("none") => "no_credential",
        _ => "bad_password",
    }
}

/// `RSA SHA256:…`, or for a certificate `RSA-CERT SHA256:… ID name (serial 0) CA RSA SHA256:…`.
fn key<'a>(found: Found<'a>, extra: &'a str) -> Found<'a> {
    let (kind, rest) = word(extra);
    let (print, rest) = word(rest);
    let found = found.attr("key_type", kind).attr("key_fingerprint", print);
    match rest.strip_prefix("ID ") {
        Some(id) => found.attr("certificate", id),
        None => found,
    }
}

/// auth.c `getpwnamallow`: `Invalid user X from IP[ port N]`.
fn invalid_user(message: Message<'_>) -> Option<Found<'_>> {
    let rest = message.text.strip_prefix("Invalid user ").or_else(|| message.text.strip_prefix("Illegal user "))?;
    let peer = peer(rest)?;
    Some(failed("invalid_user", "unknown_user").user(user_name(peer.user)).client(peer.host, peer.port))
}

/// packet.c `sshpkt_vfatal`: how a connection ended, with `[authenticating user X |invalid user X |user X ]IP port N`.
fn connection_end(message: Message<'_>) -> Option<Found<'_>> {
    const STARTS: [(&str, &str); 6] = [
        ("Connection closed by ", "connection_closed"),
        ("Connection reset by ", "connection_reset"),
        ("Disconnected from ", "disconnected"),
        ("Disconnecting ", "disconnecting"),
        ("Connection from ", "connection_from"),
        ("Connection to ", "connection_to"),
    ];
    let (rest, action) = STARTS.iter().find_map(|(start, action)| Some((message.text.strip_prefix(start)?, *action)))?;
    let remote = remote(rest)?;
    match action {
        // `Connection from IP port N on …` only says that somebody called.
        "connection_from" | "connection_to" if !remote.rest.contains("timed out") && !remote.rest.starts_with(':') => return None,
        _ => {}
    }
    let found = match remote.stage {
        Stage::Authenticating if remote.rest.contains("Too many authentication failures") => failed(action, "too_many_attempts"),
        Stage::Authenticating => failed(action, "no_valid_credential"),
        Stage::Invalid => failed(action, "unknown_user"),
        Stage::SignedIn => Found::new(Kind::Logout, Outcome::Success, action),
        Stage::Nobody if message.before_login => no_login(action, "no_login"),
        Stage::Nobody => Found::new(Kind::Other, Outcome::Unknown, action),
    };
    Some(found.user(user_name(remote.user)).client(remote.host, remote.port))
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Nobody,
    Authenticating,
    Invalid,
    SignedIn,
}

struct Remote<'a> {
    stage: Stage,
    user: &'a str,
    host: &'a str,
    port: &'a str,
    rest: &'a str,
}

fn remote(text: &str) -> Option<Remote<'_>> {
    const PREAMBLES: [(&str, Stage); 3] =
        [("authenticating user ", Stage::Authenticating), ("invalid user ", Stage::Invalid), ("user ", Stage::SignedIn)];
    // What follows `Disconnecting …: ` can repeat names that the client chose.
    let end = [": Change of username", ": Too many authentication"].iter().find_map(|mark| text.rfind(mark)).unwrap_or(text.len());
    let (head, tail) = text.split_at_checked(end)?;
    for (preamble, stage) in PREAMBLES {
        let Some(named) = head.strip_prefix(preamble) else { continue };
        let at = named.rfind(" port ")?;
        let (before, after) = named.split_at_checked(at)?;
        let (user, host) = before.rsplit_once(' ')?;
        let (port, rest) = after_port(after.trim_start());
        return Some(Remote { stage, user, host, port, rest: if tail.is_empty() { rest } else { tail } });
    }
    let (host, rest) = word(head);
    parse_ip(host.trim_end_matches(':'))?;
    let (port, rest) = after_port(rest);
    Some(Remote { stage: Stage::Nobody, user: "", host: host.trim_end_matches(':'), port, rest })
}

/// auth.c `auth_maxtries_exceeded`.
fn too_many(message: Message<'_>) -> Option<Found<'_>> {
    if let Some(user) = message.text.strip_prefix("Disconnecting: Too many authentication failures for ") {
        let (user, _) = valid_user(user);
        return Some(failed("too_many_attempts", "too_many_attempts").user(user_name(user)));
    }
    let peer = peer(message.text.strip_prefix("maximum authentication attempts exceeded for ")?)?;
    let (user, _) = valid_user(peer.user);
    Some(failed("too_many_attempts", "too_many_attempts").user(user_name(user)).client(peer.host, peer.port))
}

/// auth.c `allowed_user`: `User X[ from HOST] not allowed because …`.
fn refused_user(message: Message<'_>) -> Option<Found<'_>> {
    let (head, why) = message.text.strip_prefix("User ")?.rsplit_once(" not allowed because ")?;
    let reason = if why.contains("locked") { "locked" } else { "not_allowed" };
    let found = failed("not_allowed", reason).attr("detail", why);
    Some(match head.rsplit_once(" from ") {
        Some((user, host)) => found.user(user_name(user)).client(host, ""),
        None => found.user(user_name(head)),
    })
}

/// auth-pam.c: `PAM: TEXT for [illegal user ]X from HOST`, and what account configuration forbids.
fn pam_error(message: Message<'_>) -> Option<Found<'_>> {
    if let Some(rest) = message.text.strip_prefix("Access denied for user ") {
        let user = rest.split_once(" by PAM").map_or(rest, |(user, _)| user);
        return Some(failed("not_allowed", "not_allowed").user(user_name(user)));
    }
    let (what, rest) = message.text.strip_prefix("PAM: ")?.split_once(" for ")?;
    let peer = peer(rest)?;
    let (user, valid) = valid_user(peer.user);
    let reason = match what {
        _ if !valid => "unknown_user",
        _ if what.contains("not known") => "unknown_user",
        _ if what.contains("expired") || what.contains("no longer valid") => "expired",
        _ if what.contains("Permission denied") => "not_allowed",
        _ if what.contains("maximum") || what.contains("Maximum") => "too_many_attempts",
        _ => "bad_password",
    };
    Some(failed("pam_error", reason).user(user_name(user)).client(peer.host, peer.port).attr("detail", what))
}

/// Refusals that are worded each in its own way.
fn other_refusals(message: Message<'_>) -> Option<Found<'_>> {
    let text = message.text;
    if let Some(rest) = text.strip_prefix("ROOT LOGIN REFUSED FROM ") {
        let (host, rest) = word(rest);
        return Some(failed("root_refused", "not_allowed").user("root").client(host, after_port(rest).0));
    }
    if let Some(rest) = text.strip_prefix("Authentication tried for ") {
        let (user, rest) = rest.rsplit_once(" with correct ")?;
        let host = rest.rsplit_once("ip=").map_or("", |(_, ip)| ip.trim_end_matches(['.', ')']));
        return Some(failed("wrong_host", "not_allowed").user(user_name(user)).client(host, ""));
    }
    if let Some(rest) = text.strip_prefix("refused connect from ") {
        let host = match rest.strip_suffix(')').and_then(|inner| inner.rsplit_once('(')) {
            Some((_, address)) => address,
            None => rest,
        };
        return Some(Found::new(Kind::Other, Outcome::Denied, "refused").reason("not_allowed").client(host, ""));
    }
    let why = text.strip_prefix("Authentication refused: ")?;
    Some(no_login("key_refused", "bad_file_modes").attr("detail", why))
}

/// Connections that ended before the client had named a user.
fn handshake(message: Message<'_>) -> Option<Found<'_>> {
    let text = message.text;
    if let Some(rest) = text.strip_prefix("Received disconnect from ") {
        let (host, rest) = word(rest);
        let found = if message.before_login {
            no_login("received_disconnect", "no_login")
        } else {
            Found::new(Kind::Other, Outcome::Unknown, "received_disconnect")
        };
        return Some(found.client(host.trim_end_matches(':'), after_port(rest).0));
    }
    if let Some(rest) = text.strip_prefix("Unable to negotiate with ") {
        let remote = remote(rest)?;
        return Some(no_login("no_common_algorithm", "no_common_algorithm").user(user_name(remote.user)).client(remote.host, remote.port));
    }
    if let Some(rest) = text.strip_prefix("Timeout before authentication for ") {
        let rest = rest.strip_prefix("connection from ").unwrap_or(rest);
        let (host, rest) = word(rest);
        return Some(no_login("timeout", "timeout").client(host.trim_end_matches(','), after_port(rest).0));
    }
    if let Some(rest) = text.strip_prefix("Protocol major versions differ for ") {
        let (host, rest) = word(rest);
        return Some(no_login("bad_version", "protocol_error").client(host.trim_end_matches(':'), after_port(rest).0));
    }
    const FROM: [(&str, &str, &str); 4] = [
        ("Did not receive identification string ", "no_identification", "no_identification"),
        ("Bad protocol version identification ", "bad_version", "protocol_error"),
        ("Magic value check failed ", "bad_handshake", "protocol_error"),
        ("Bad packet length ", "bad_packet", "protocol_error"),
    ];
    if let Some((_, action, reason)) = FROM.iter().find(|(start, _, _)| text.starts_with(start)) {
        let peer = peer(text)?;
        return Some(no_login(action, reason).client(peer.host, peer.port));
    }
    // `banner exchange: Connection from …: …`, `ssh_dispatch_run_fatal: Connection from …: …`.
    let (place, rest) = text.split_once(": ")?;
    let rest = rest.strip_prefix("Connection from ").or_else(|| rest.strip_prefix("Connection to "))?;
    if place.contains(' ') && place != "banner exchange" {
        return None;
    }
    let remote = remote(rest)?;
    let found = if remote.stage == Stage::SignedIn {
        Found::new(Kind::Other, Outcome::Unknown, "connection_error")
    } else {
        no_login("connection_error", "protocol_error")
    };
    Some(found.user(user_name(remote.user)).client(remote.host, remote.port).attr("detail", remote.rest.trim_start_matches([':', ' '])))
}

/// sshd.c `should_drop_connection`: `drop connection #N from [IP]:PORT on [IP]:PORT WHY`.
fn dropped(message: Message<'_>) -> Option<Found<'_>> {
    let (_, rest) = message.text.strip_prefix("drop connection ")?.split_once("from [")?;
    let (host, rest) = rest.split_once("]:")?;
    let (port, rest) = word(rest);
    let why = rest.strip_prefix("on ").map_or(rest, |rest| word(rest).1);
    Some(Found::new(Kind::Other, Outcome::Denied, "dropped").reason("rate_limited").client(host, port).attr("detail", why))
}

/// canohost.c: the client's address and name do not agree.
fn name_check(message: Message<'_>) -> Option<Found<'_>> {
    let text = message.text;
    let host = if let Some(rest) = text.strip_prefix("reverse mapping checking getaddrinfo for ") {
        rest.rsplit_once(" [")?.1.split_once(']')?.0
    } else if let Some(rest) = text.strip_prefix("Address ") {
        rest.split_once(" maps to ").filter(|(_, rest)| rest.contains("does not map back"))?.0
    } else {
        text.strip_prefix("Nasty PTR record ")?.rsplit_once(" is set up for ")?.1.split(',').next()?
    };
    Some(Found::new(Kind::Other, Outcome::Unknown, "name_mismatch").reason("reverse_mapping").client(host, ""))
}

/// session.c: what a signed-in user started.
fn session(message: Message<'_>) -> Option<Found<'_>> {
    let text = message.text;
    if let Some(rest) = text.strip_prefix("subsystem request for ") {
        let (subsystem, rest) = word(rest);
        let user = rest.strip_prefix("by user ")?;
        return Some(Found::new(Kind::Other, Outcome::Success, "subsystem").user(user_name(user)).attr("subsystem", subsystem));
    }
    let (rest, action) = match (text.strip_prefix("Starting session: "), text.strip_prefix("Close session: user ")) {
        (Some(rest), _) => (rest.split_once(" for ")?.1, "session_started"),
        (_, Some(rest)) => (rest, "session_ended"),
        _ => return None,
    };
    let peer = peer(rest)?;
    Some(Found::new(Kind::Other, Outcome::Success, action).user(user_name(peer.user)).client(peer.host, peer.port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_writes_beats_what_the_client_sent() {
        let found = understand("Failed password for invalid user a from 6.6.6.6 port 1 ssh2 from 203.0.113.7 port 4242 ssh2").unwrap();
        assert_eq!((found.user.as_ref(), found.client, found.port), ("a from 6.6.6.6 port 1 ssh2", "203.0.113.7", "4242"));
        let found = understand("Connection closed by invalid user 6.6.6.6 port 1 203.0.113.7 port 4242 [preauth]").unwrap();
        assert_eq!((found.user.as_ref(), found.client), ("6.6.6.6 port 1", "203.0.113.7"));
        let change = "Disconnecting invalid user a 203.0.113.7 port 9: Change of username or service not allowed: (a,ssh-connection) -> (b 6.6.6.6 port 1,ssh-connection) [preauth]";
        assert_eq!(understand(change).unwrap().client, "203.0.113.7");
    }

    #[test]
    fn an_empty_user_is_absent() {
        for line in [
            "Failed password for  from 203.0.113.7 port 1 ssh2",
            "Failed none for invalid user  from 203.0.113.7 port 1 ssh2",
            "Invalid user  from 203.0.113.7 port 1",
        ] {
            let found = understand(line).unwrap();
            assert_eq!((found.user.as_ref(), found.client), ("", "203.0.113.7"), "{line}");
        }
    }

    #[test]
    fn escapes_in_user_names_are_undone() {
        assert_eq!(user_name(r"\303\251ric"), "éric");
        assert_eq!(user_name(r"CORP\\bob"), r"CORP\bob");
        assert_eq!(user_name(r"CORP\bob\"), r"CORP\bob\");
        assert_eq!(user_name(r"\377x"), "\u{fffd}x");
    }

    #[test]
    fn what_is_no_attempt_is_nothing() {
        for line in [
            "Server listening on 0.0.0.0 port 22.",
            "Connection from 203.0.113.7 port 1 on 198.51.100.1 port 22 rdomain \"\"",
            "Postponed keyboard-interactive for ann from 203.0.113.7 port 1 ssh2",
            "Failed to release session: Interrupted system call",
            "fatal: Read from socket failed: Connection reset by peer [preauth]",
        ] {
            assert!(understand(line).is_none(), "{line}");
        }
    }
}
