//! Query strings, read strictly: an unknown, repeated, empty or wrong parameter is a 400 that names
//! it. What a route knows is what its documentation lists, so the two cannot part.

use super::problem::Problem;
use crate::alert::Status;
use axum::http::Uri;
use bartizan_core::{Severity, TimeMs};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::IpAddr;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

/// Bytes of one value. Stands in the OpenAPI document, as all that follows: it is part of the interface.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// Items on a page when nobody says how many.
pub const LIMIT_DEFAULT: u32 = 100;
/// Items on a page at most; the contract fixes it.
pub const LIMIT_MAX: u32 = 1_000;
/// Separates the values of a parameter that takes several.
const SEPARATOR: char = ',';

/// A route without parameters.
#[derive(IntoParams)]
pub struct NoParams {}

/// The parameters of one request.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads the query of `uri`, whose length is bounded by now, for a route that documents its parameters as `T`.
    ///
    /// # Errors
    /// Not UTF-8, unknown, repeated or empty parameters.
    pub fn read<T: IntoParams>(uri: &Uri) -> Result<Self, Problem> {
        let query = uri.query().unwrap_or_default();
        let known = T::into_params(|| Some(ParameterIn::Query));
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if !known.iter().any(|parameter| parameter.name == name) {
                return Err(Problem::parameter(shown(&name), "there is no such parameter here"));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::parameter(name, "stands twice"));
            }
            check_value(query, &name, &value)?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// All of them, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The text of a parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }

    /// A parameter that `parse` understands.
    ///
    /// # Errors
    /// It does not; `wanted` says what it would.
    pub fn parsed<T>(&self, name: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Problem::parameter(name, format_args!("must be {wanted}")))
    }

    /// A point in time, in milliseconds.
    ///
    /// # Errors
    /// It is not RFC 3339.
    pub fn time_ms(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.parsed(name, "a time like 2026-01-31T12:00:00Z (RFC 3339)", |text| TimeMs::parse(text).map(|time| time.0))
    }

    /// An address.
    ///
    /// # Errors
    /// It is none.
    pub fn ip(&self, name: &str) -> Result<Option<IpAddr>, Problem> {
        self.parsed(name, "an IPv4 or IPv6 address", |text| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()))
    }

    /// One name of a closed set.
    ///
    /// # Errors
    /// It is not in the set.
    pub fn name<T>(&self, name: &str, all: &[&str], parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        self.parsed(name, &format!("one of {}", all.join(", ")), parse)
    }

    /// Any number of names of a closed set, separated by commas.
    ///
    /// # Errors
    /// One is not in the set.
    pub fn names<T>(&self, name: &str, all: &[&str], parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Problem> {
        let parse_all = |text: &str| text.split(SEPARATOR).map(&parse).collect::<Option<Vec<T>>>();
        let wanted = format!("one or more of {}, separated by commas", all.join(", "));
        Ok(self.parsed(name, &wanted, parse_all)?.unwrap_or_default())
    }

    /// Any of the severities, as `severity`.
    ///
    /// # Errors
    /// One is none.
    pub fn severities(&self) -> Result<Vec<Severity>, Problem> {
        let all: Vec<_> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
        self.names("severity", &all, Severity::parse)
    }

    /// Any of the states of an alert or incident, as `status`.
    ///
    /// # Errors
    /// One is none.
    pub fn statuses(&self) -> Result<Vec<Status>, Problem> {
        let all = Status::ALL.map(Status::as_str);
        self.names("status", &all, |text| Status::ALL.into_iter().find(|status| status.as_str() == text))
    }

    /// How many items a page may have.
    ///
    /// # Errors
    /// It is not from 1 to 1000.
    pub fn limit(&self) -> Result<u32, Problem> {
        // Digits alone: Rust's parser would take "+5", too.
        let parse = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let wanted = format!("a number from 1 to {LIMIT_MAX}");
        let limit = self.parsed("limit", &wanted, |text| parse(text).filter(|limit| (1..=LIMIT_MAX).contains(limit)))?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }

    /// Stands for what is asked but for the page: a cursor of another question is recognised by it.
    #[must_use]
    pub fn fingerprint(&self, route: &str, tenant: Option<&str>) -> String {
        let mut pairs: Vec<_> = self.pairs.iter().filter(|(name, _)| name != "cursor" && name != "limit").collect();
        pairs.sort();
        let digest = Sha256::digest(format!("{route}\n{tenant:?}\n{pairs:?}"));
        digest.iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
            // Writing to a String cannot fail.
            write!(hex, "{byte:02x}").ok();
            hex
        })
    }
}

fn check_value(query: &str, name: &str, value: &str) -> Result<(), Problem> {
    if value.is_empty() {
        return Err(Problem::parameter(name, "is empty; leave it out instead"));
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(Problem::parameter(name, format_args!("longer than {VALUE_BYTES_MAX} bytes")));
    }
    // The decoder puts U+FFFD for what is not UTF-8; one that was sent is percent-encoded.
    if value.contains('\u{fffd}') && !query.to_ascii_uppercase().contains("%EF%BF%BD") {
        return Err(Problem::parameter(name, "is not UTF-8"));
    }
    Ok(())
}

/// A parameter's name as it may be repeated to the caller.
fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    #[expect(dead_code, reason = "only its names are used")]
    struct Known {
        since: Option<String>,
        severity: Option<String>,
        limit: Option<u32>,
        user: Option<String>,
    }

    fn read(query: &str) -> Result<Params, Problem> {
        Params::read::<Known>(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, parameter) in [("nope=1", "nope"), ("user=a&user=b", "user"), ("user=", "user"), ("user=%ff", "user")] {
            let problem = serde_json::to_value(read(query).unwrap_err()).unwrap();
            assert_eq!((problem.get("parameter").unwrap().as_str(), problem.get("status").unwrap().as_u64()), (Some(parameter), Some(400)));
        }
        assert_eq!(read("user=%EF%BF%BD").unwrap().text("user").as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn limits_times_and_names_are_exact() {
        for limit in ["0", "1001", "-1", "+5", "1e2", "99999999999", "abc"] {
            assert!(read(&format!("limit={limit}").replace('+', "%2B")).unwrap().limit().is_err(), "{limit}");
        }
        assert_eq!(read("limit=1000").unwrap().limit().unwrap(), 1_000);
        assert_eq!(read("since=1970-01-01T00:00:01%2B00:00").unwrap().time_ms("since").unwrap(), Some(1_000));
        assert!(read("since=yesterday").unwrap().time_ms("since").is_err());
        let severities = |text: &str| read(text).unwrap().names("severity", &["low", "high"], |name| (name != "x").then_some(name.len()));
        assert_eq!(severities("severity=low,high").unwrap(), [3, 4]);
        assert!(severities("severity=low,x").is_err());
    }

    #[test]
    fn a_fingerprint_leaves_the_page_out() {
        let of = |query: &str| read(query).unwrap().fingerprint("r", None);
        assert_eq!(of("user=a&limit=5"), of("limit=7&user=a"));
        assert_ne!(of("user=a"), of("user=b"));
        assert_ne!(of("user=a"), read("user=a").unwrap().fingerprint("r", Some("acme")));
    }
}
