//! One event before it is written, and its line in the native format.
//!
//! A draft is small and copied freely; text is made once, when the event is handed out.

use super::clients::Client;
use super::dice::mix;
use super::labels::{EventNames, LabelId};
use super::tenants::{FIRST_NAMES, LAST_NAMES, TENANTS, Tenant};
use bartizan_core::time::TimeMs;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// Who it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// A person of the tenant.
    Person(u32),
    /// A service account.
    Service(u16),
    /// A login name from a leaked list that nobody here has.
    Leaked(u32),
    /// A person's login name with a letter left out.
    Mistyped(u32),
    /// Nobody signed in.
    Nobody,
}

/// What an API request asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Path; a `#` stands for the object's number.
    pub(crate) path: &'static str,
    pub(crate) object: u64,
    pub(crate) status: u16,
    pub(crate) bytes: u32,
    pub(crate) duration_ms: u16,
}

/// A token: which kind, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Refresh(u64),
    Access(u64),
}

/// One event, to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(crate) time_ms: i64,
    pub(crate) kind: &'static str,
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) tenant: u8,
    pub(crate) user: User,
    pub(crate) ip: IpAddr,
    pub(crate) client: Client,
    pub(crate) grant: &'static str,
    pub(crate) factor: &'static str,
    /// What an account change changes.
    pub(crate) action: &'static str,
    pub(crate) scope: &'static str,
    /// Number of the session; 0 for none.
    pub(crate) session: u64,
    pub(crate) token: Option<Token>,
    /// Number of the refresh token given in return; 0 for none.
    pub(crate) issued: u64,
    pub(crate) request: Option<Request>,
    pub(crate) label: LabelId,
    /// Is it the owner's part of an attack? Then its address is not the attacker's.
    pub(crate) by_owner: bool,
}

impl Draft {
    /// An event of `user`, with what most events lack left empty.
    pub(crate) fn new(time_ms: i64, kind: &'static str, outcome: &'static str, tenant: u8, user: User, ip: IpAddr, client: Client) -> Self {
        Self {
            time_ms,
            kind,
            outcome,
            reason: "",
            tenant,
            user,
            ip,
            client,
            grant: "",
            factor: "",
            action: "",
            scope: "",
            session: 0,
            token: None,
            issued: 0,
            request: None,
            label: 0,
            by_owner: false,
        }
    }

    fn tenant(&self) -> &'static Tenant {
        TENANTS.get(usize::from(self.tenant)).unwrap_or(&TENANTS[0])
    }

    /// The names that a label lists.
    pub(crate) fn names(&self, salt: u64) -> EventNames {
        EventNames {
            user: (self.user != User::Nobody).then(|| UserName(self.user, self.tenant()).to_string()),
            ip: (!self.by_owner).then(|| self.ip.to_string()),
            session: (self.session != 0).then(|| session_name(self.session, salt)),
        }
    }

    /// Appends the event as one line of JSON without the line's end. `number` becomes its id.
    pub(crate) fn write(&self, number: u64, salt: u64, out: &mut String) -> fmt::Result {
        let tenant = self.tenant();
        let is_request = self.request.is_some();
        write!(out, "{{\"id\":\"{}-{number:x}\",\"time\":", if is_request { "r" } else { "a" })?;
        // Gateways log epoch milliseconds, identity providers RFC 3339: both are native.
        if is_request {
            write!(out, "{}", self.time_ms)?;
        } else {
            write!(out, "\"{}\"", TimeMs(self.time_ms))?;
        }
        write!(out, ",\"kind\":\"{}\",\"outcome\":\"{}\"", self.kind, self.outcome)?;
        member(out, "reason", self.reason)?;
        write!(out, ",\"tenant\":\"{}\",\"source\":\"{}\"", tenant.name, if is_request { tenant.gateway } else { tenant.identity })?;
        if self.user != User::Nobody {
            write!(out, ",\"user\":\"{}\"", UserName(self.user, tenant))?;
        }
        if matches!(self.user, User::Service(_)) {
            out.push_str(",\"user_kind\":\"service\"");
        }
        write!(out, ",\"ip\":\"{}\",\"user_agent\":\"{}\"", self.ip, self.client.agent(self.time_ms, tenant.brand))?;
        if self.client.device != 0 {
            write!(out, ",\"device\":\"dev-{:012x}\"", mix(self.client.device ^ salt) >> 16)?;
        }
        member(out, "ja4", self.client.ja4())?;
        member(out, "app", self.client.app())?;
        member(out, "grant", self.grant)?;
        member(out, "factor", self.factor)?;
        member(out, "action", self.action)?;
        member(out, "scope", self.scope)?;
        if self.session != 0 {
            write!(out, ",\"session\":\"{}\"", session_name(self.session, salt))?;
        }
        if let Some(token) = self.token {
            write!(out, ",\"token\":\"{}\"", TokenText(token, salt))?;
        }
        if self.issued != 0 {
            write!(out, ",\"token_issued\":\"{}\"", TokenText(Token::Refresh(self.issued), salt))?;
        }
        if let Some(request) = &self.request {
            request.write(out)?;
        }
        out.push('}');
        Ok(())
    }
}

impl Request {
    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, ",\"method\":\"{}\",\"path\":\"", self.method)?;
        match self.path.split_once('#') {
            Some((before, after)) => write!(out, "{before}{}{after}", self.object)?,
            None => out.push_str(self.path),
        }
        write!(out, "\",\"status\":{},\"bytes\":{},\"duration_ms\":{}", self.status, self.bytes, self.duration_ms)
    }
}

fn member(out: &mut String, name: &str, value: &str) -> fmt::Result {
    if value.is_empty() { Ok(()) } else { write!(out, ",\"{name}\":\"{value}\"") }
}

fn session_name(session: u64, salt: u64) -> String {
    format!("ses-{:016x}", mix(session ^ salt.rotate_left(17)))
}

struct TokenText(Token, u64);

impl fmt::Display for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, number) = match self.0 {
            Token::Refresh(number) => ("rt", number),
            Token::Access(number) => ("at", number ^ (1 << 63)),
        };
        let head = mix(number ^ self.1);
        write!(f, "{prefix}_{head:016x}{:016x}", mix(head))
    }
}

struct UserName(User, &'static Tenant);

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |number: u32| {
            let number = number as usize;
            let first = FIRST_NAMES.get(number % FIRST_NAMES.len()).unwrap_or(&"kim");
            // Another step for each name, so that neighbours are no family.
            let last = LAST_NAMES.get((number / FIRST_NAMES.len() + number * 7) % LAST_NAMES.len()).unwrap_or(&"lee");
            (first, last, number / (FIRST_NAMES.len() * LAST_NAMES.len()))
        };
        match self.0 {
            User::Person(number) => match name(number) {
                (first, last, 0) => write!(f, "{first}.{last}@{}", self.1.domain),
                (first, last, rest) => write!(f, "{first}.{last}{rest}@{}", self.1.domain),
            },
            User::Mistyped(number) => {
                let (first, last, _) = name(number);
                write!(f, "{first}{}@{}", last.get(1..).unwrap_or(last), self.1.domain)
            }
            User::Nobody => Ok(()),
            User::Service(number) => write!(f, "svc-{}-{number}", self.1.name),
            User::Leaked(number) => {
                let (first, last, _) = name(number);
                write!(f, "{first}{last}{:02}@mail.example", mix(u64::from(number)) % 10_000)
            }
        }
    }
}
