//! Reads a ClickHouse HTTP request: what any of its HTTP clients sends, as one [`Statement`].
//!
//! Understood: the SQL as the body or as `query=`; the rows of an insert as the body or after the
//! SQL's `FORMAT`; `database`, `default_format`, server-side parameters (`param_NAME`) in the
//! address or as a multipart form, settings, `compress` and `decompress`, bodies in gzip or zstd;
//! user and password as headers, basic authorisation or in the address
//! (<https://clickhouse.com/docs/interfaces/http>).
//!
//! Deliberately absent: sessions (`session_id`), external tables, roles, quotas. They are refused or
//! have no meaning in a store with one user.

use super::blocks;
use super::session::Statement;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::io::Read;

/// Server-side parameters of one request.
const PARAMETERS_MAX: usize = 200;
/// Settings of one request.
const SETTINGS_MAX: usize = 100;

/// Members of the address that are neither settings nor parameters.
const NOT_SETTINGS: [&str; 14] = [
    "query",
    "query_id",
    "database",
    "default_format",
    "compress",
    "decompress",
    "user",
    "password",
    "role",
    "quota_key",
    "session_timeout",
    "session_check",
    "client_protocol_version",
    "stacktrace",
];

/// A request that is not understood: status, ClickHouse's code, and what is wrong.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: u32,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: u32, reason: impl Into<String>) -> Self {
        Self { status, code, reason: reason.into() }
    }

    fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 36, reason)
    }
}

/// A request as it came, with its address taken apart.
pub(super) struct Incoming {
    method: Method,
    headers: HeaderMap,
    pairs: Vec<(String, String)>,
    body: Body,
}

impl Incoming {
    pub(super) fn new(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { method: parts.method, headers: parts.headers, pairs, body }
    }

    /// User and password, wherever the client put them.
    pub(super) fn credential(&self) -> Option<(String, String)> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(password) = header("x-clickhouse-key") {
            return Some((header("x-clickhouse-user").unwrap_or_else(|| "default".to_owned()), password));
        }
        if let Some(basic) = header("authorization").as_deref().and_then(|value| value.strip_prefix("Basic ")) {
            let decoded = base64::engine::general_purpose::STANDARD.decode(basic).ok()?;
            let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
            return Some((user.to_owned(), password.to_owned()));
        }
        let password = self.value("password")?.to_owned();
        Some((self.value("user").unwrap_or("default").to_owned(), password))
    }

    /// Does the client want its answer in compressed blocks?
    pub(super) fn wants_blocks(&self) -> bool {
        self.value("compress") == Some("1")
    }

    /// Is this a bare visit, without any statement?
    pub(super) fn is_visit(&self) -> bool {
        self.method == Method::GET && self.value("query").is_none()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body, of at most `bytes_max` before and after unpacking, and makes the statement of it all.
    pub(super) async fn statement(self, bytes_max: usize) -> Result<Statement, Refusal> {
        if self.value("session_id").is_some_and(|id| !id.is_empty()) {
            return Err(Refusal::bad("sessions are not supported by the embedded store"));
        }
        let Self { method, headers, mut pairs, body } = self;
        let body = axum::body::to_bytes(body, bytes_max).await;
        let body = body.map_err(|error| Refusal::bad(format!("the body was cut off or is over {bytes_max} bytes: {error}")))?;
        let mut body = decode(&headers, body, bytes_max)?;
        let multipart =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|kind| multer::parse_boundary(kind).ok());
        if let Some(boundary) = multipart {
            pairs.extend(form(body, boundary).await?);
            body = Bytes::new();
        }
        let take = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if take("decompress").as_deref() == Some("1") && !body.is_empty() {
            body = blocks::unpack(&body, bytes_max).map_err(|reason| Refusal::new(StatusCode::BAD_REQUEST, 271, reason))?.into();
        }
        let (sql, rows) = split(take("query"), body)?;
        if method == Method::GET && !only_reads(&sql) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, 164, "a GET request may only read: use POST"));
        }
        let (settings, parameters) = settings_and_parameters(&pairs)?;
        let format = take("default_format").filter(|name| is_name(name)).unwrap_or_else(|| "TabSeparated".to_owned());
        let database = take("database").filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        Ok(Statement { sql, rows, format, database, settings, parameters })
    }
}

type Pairs = Vec<(String, String)>;

fn settings_and_parameters(pairs: &[(String, String)]) -> Result<(BTreeMap<String, String>, Pairs), Refusal> {
    let mut settings = BTreeMap::new();
    let mut parameters = Pairs::new();
    for (name, value) in pairs {
        if let Some(name) = name.strip_prefix("param_") {
            parameters.push((name.to_owned(), value.clone()));
        } else if !NOT_SETTINGS.contains(&name.as_str()) && !name.is_empty() {
            if !is_name(name) {
                return Err(Refusal::bad(format!("{name:?} is not the name of a setting")));
            }
            settings.insert(name.clone(), value.clone());
        }
    }
    if settings.len() > SETTINGS_MAX || parameters.len() > PARAMETERS_MAX {
        return Err(Refusal::bad(format!("over {SETTINGS_MAX} settings or {PARAMETERS_MAX} parameters")));
    }
    settings.remove("session_id");
    Ok((settings, parameters))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn only_reads(sql: &str) -> bool {
    const READS: [&str; 8] = ["select", "with", "show", "describe", "desc", "exists", "explain", "check"];
    let first = sql.trim_start().split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    READS.iter().any(|word| first.eq_ignore_ascii_case(word))
}

fn decode(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    let refused = |error: std::io::Error| Refusal::bad(format!("the body cannot be unpacked: {error}"));
    let reader: Box<dyn Read + '_> = match encoding.as_deref() {
        None | Some(b"" | b"identity") => return Ok(body),
        Some(b"gzip") => Box::new(flate2::read::MultiGzDecoder::new(body.as_ref())),
        Some(b"zstd") => Box::new(zstd::stream::read::Decoder::new(body.as_ref()).map_err(refused)?),
        Some(_) => return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 48, "content-encoding: use gzip, zstd or none")),
    };
    let mut unpacked = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut unpacked).map_err(refused)?;
    if unpacked.len() > bytes_max {
        return Err(Refusal::bad(format!("the body is over {bytes_max} bytes when unpacked")));
    }
    Ok(unpacked.into())
}

async fn form(body: Bytes, boundary: String) -> Result<Pairs, Refusal> {
    let refused = |error: multer::Error| Refusal::bad(format!("the form cannot be read: {error}"));
    let stream = futures::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut form = multer::Multipart::new(stream, boundary);
    let mut pairs = Pairs::new();
    while let Some(field) = form.next_field().await.map_err(refused)? {
        let Some(name) = field.name().map(str::to_owned) else { continue };
        let value = field.bytes().await.map_err(refused)?;
        let value = String::from_utf8(value.into()).map_err(|_| Refusal::bad(format!("{name:?} is not UTF-8")))?;
        pairs.push((name, value));
        if pairs.len() > PARAMETERS_MAX + SETTINGS_MAX {
            return Err(Refusal::bad("too many parts in the form"));
        }
    }
    Ok(pairs)
}

/// The SQL, and the rows where it is an insert with rows.
fn split(query: Option<String>, body: Bytes) -> Result<(String, Option<(String, Bytes)>), Refusal> {
    let text =
        |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, 62, "the SQL is not UTF-8"));
    let Some(sql) = query.filter(|sql| !sql.is_empty()) else {
        let Some((head, format, rest)) = insert_parts(&body) else { return Ok((text(&body)?, None)) };
        return Ok((text(head)?, Some((format, body.slice(rest..)))));
    };
    match insert_parts(sql.as_bytes()) {
        // Rows may begin in the SQL and go on in the body.
        Some((head, format, rest)) => {
            let start = sql.as_bytes().get(rest..).unwrap_or_default();
            let rows = if start.is_empty() { body } else { [start, &body].concat().into() };
            Ok((text(head)?, Some((format, rows))))
        }
        None if body.is_empty() => Ok((sql, None)),
        None if first_word_is(sql.as_bytes(), b"insert") => Ok((without_values(&sql).to_owned(), Some(("Values".to_owned(), body)))),
        None => Ok((format!("{sql}\n{}", text(&body)?), None)),
    }
}

/// `INSERT INTO t VALUES` without its last word, which names the format of the rows in the body.
fn without_values(sql: &str) -> &str {
    const WORD: &str = "values";
    let sql = sql.trim_end();
    let cut = sql.len().saturating_sub(WORD.len());
    match (sql.get(..cut), sql.get(cut..)) {
        (Some(head), Some(word)) if word.eq_ignore_ascii_case(WORD) => head,
        _ => sql,
    }
}

fn first_word_is(sql: &[u8], word: &[u8]) -> bool {
    sql.trim_ascii_start().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Takes `INSERT … FORMAT name rows` apart: what stands before `FORMAT`, the name, and where the
/// rows begin. `None` if it is no such insert.
fn insert_parts(sql: &[u8]) -> Option<(&[u8], String, usize)> {
    if !first_word_is(sql, b"insert") {
        return None;
    }
    let mut at = 0;
    while let Some(&byte) = sql.get(at) {
        match byte {
            b'\'' | b'"' | b'`' => at = quoted_end(sql, at, byte),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let end = word_end(sql, at);
                let word = sql.get(at..end)?;
                if word.eq_ignore_ascii_case(b"select") || word.eq_ignore_ascii_case(b"values") {
                    return None;
                }
                if word.eq_ignore_ascii_case(b"format") {
                    let name_start = end + sql.get(end..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                    let name_end = word_end(sql, name_start);
                    let name = std::str::from_utf8(sql.get(name_start..name_end)?).ok()?.to_owned();
                    let head = sql.get(..at)?;
                    return (!name.is_empty()).then(|| (head, name, rows_start(sql, name_end)));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// Rows begin after spaces and one line end, so that binary rows keep their first bytes.
fn rows_start(sql: &[u8], mut at: usize) -> usize {
    while let Some(byte) = sql.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' => at += 1,
            b'\n' => return at + 1,
            _ => break,
        }
    }
    at
}

fn word_end(sql: &[u8], start: usize) -> usize {
    let word = sql.get(start..).unwrap_or_default();
    start + word.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// The position after a quoted text that begins at `start`.
fn quoted_end(sql: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = sql.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    sql.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parts(query: Option<&str>, body: &'static [u8]) -> (String, Option<(String, Bytes)>) {
        split(query.map(str::to_owned), Bytes::from_static(body)).map_err(|refusal| refusal.reason).unwrap()
    }

    #[test]
    fn rows_are_found_in_the_body_and_after_the_sql() {
        let (sql, rows) = parts(Some("INSERT INTO t(`format`, b) FORMAT RowBinary"), b"\x01\x02");
        assert_eq!((sql.as_str(), rows), ("INSERT INTO t(`format`, b) ", Some(("RowBinary".to_owned(), Bytes::from_static(b"\x01\x02")))));
        let (sql, rows) = parts(None, b"insert into t format RowBinary\n\x0a\xff");
        assert_eq!((sql.as_str(), rows), ("insert into t ", Some(("RowBinary".to_owned(), Bytes::from_static(b"\x0a\xff")))));
    }

    #[test]
    fn other_statements_stay_whole() {
        assert_eq!(parts(None, b"INSERT INTO t VALUES ('FORMAT x')").1, None);
        assert_eq!(parts(None, b"INSERT INTO t SELECT 1 FORMAT Null").1, None);
        assert_eq!(parts(Some("SELECT 1"), b"").0, "SELECT 1");
    }

    #[test]
    fn a_get_may_only_read() {
        assert!(only_reads(" SELECT 1") && only_reads("with x as (select 1) select 1"));
        assert!(!only_reads("INSERT INTO t VALUES (1)") && !only_reads("drop table t"));
    }
}
