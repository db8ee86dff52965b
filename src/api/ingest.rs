//! `POST /api/v1/events`: takes records, validates each, and answers when those it accepts are durable.
//!
//! What is accepted goes to the log in one append, as canonical events, and comes back through the
//! same pipeline as everything else. What is rejected is named in the answer with its reason; a body
//! that cannot be read as a whole is an error and nothing of it is accepted.

use super::auth::Caller;
use super::body::{self, Encoding};
use super::problem::Problem;
use super::query::Params;
use super::{ApiState, HttpConfig, openapi};
use crate::clock::now_ms;
use crate::log::{INGEST_TOPIC, LogError, Outgoing};
use crate::normalise::{Context, Format, Reject, TimeWindow};
use crate::telemetry::latency::Stage;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bartizan_core::batch::Field;
use bartizan_core::time::DAY_MS;
use bartizan_core::{EventBatch, EventDraft};
use serde::Serialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// Bytes of an `Idempotency-Key`: as other services take it, part of the interface.
const KEY_BYTES_MAX: usize = 255;
/// Seconds after which a client should come again when the log is full.
const FULL_RETRY_S: u64 = 10;
/// How far ahead of the clock an event may lie.
const AHEAD_MS: i64 = DAY_MS;

/// How the records are to be read.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct IngestQuery {
    /// Format of the records; `auto` recognises each.
    #[param(value_type = Option<String>, schema_with = openapi::format)]
    pub format: Option<Format>,
}

/// A record that was not taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedLine {
    /// Number of its line, from 1; in an array, its position + 1.
    #[schema(minimum = 1)]
    pub line: usize,
    /// Class of the reason, from a closed set.
    pub code: &'static str,
    /// Why.
    pub reason: String,
}

/// What became of the records.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct IngestAnswer {
    /// Durable now, those seen before included.
    pub accepted: usize,
    /// Not taken: as many of them as `http.ingest_rejected_max` says, the first ones.
    pub rejected: Vec<RejectedLine>,
    /// Not taken: all of them.
    pub rejected_total: usize,
    /// Sound records that say nothing of sign-ins, tokens, accounts or API calls; blank lines do not count.
    pub ignored: usize,
}

/// Takes events: JSON Lines, a JSON array, or lines of a log format.
#[utoipa::path(post, path = "/api/v1/events", tag = "events",
    params(IngestQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "Makes records without an id repeatable: the same key, body and tenant give the same ids"),
        ("Content-Encoding" = Option<String>, Header, description = "gzip, zstd or identity")),
    request_body(content = String, content_type = "application/x-ndjson", description = "Records, one a line, or a JSON array of objects"),
    responses((status = 200, description = "What was accepted is durable", body = IngestAnswer), openapi::IngestErrors))]
pub async fn post(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<IngestAnswer>, Problem> {
    caller.may_ingest()?;
    let params = Params::read::<IngestQuery>(&uri)?;
    let names: Vec<_> = Format::names().collect();
    let format = params.name("format", &names, Format::parse)?.unwrap_or(Format::BARTIZAN);
    let key = idempotency_key(&headers)?;
    let encoding = body::encoding(&headers)?;
    if state.health.is_disk_full() {
        return Err(Problem::too_many("the disk is full; nothing was accepted", FULL_RETRY_S));
    }
    let busy = || Problem::too_many("too many uploads at once", 1);
    let upload = state.uploads.clone().try_acquire_owned().map_err(|_| busy())?;
    let packed = body::read(body, &headers, &state.config, state.config.body_bytes_max).await?;
    let started = Instant::now();
    let work = Work { state: state.clone(), tenant: caller.tenant, format, key, encoding };
    let memory = memory_mib(packed.len(), encoding, &state.config);
    let turn = state.ingest_memory.clone().acquire_many_owned(memory).await.map_err(|error| Problem::internal(&error))?;
    let (answer, records) = tokio::task::spawn_blocking(move || work.prepare(packed)).await??;
    let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
    append(&state, records).await.inspect_err(|_| {
        state.metrics.ingest_records.with(["refused"]).inc_by(answer.accepted as u64);
    })?;
    drop((turn, upload));
    state.latencies.record(Stage::Ingest, started.elapsed());
    state.metrics.ingest_bytes.inc_by(bytes as u64);
    state.metrics.ingest_records.with(["accepted"]).inc_by(answer.accepted as u64);
    state.metrics.ingest_records.with(["rejected"]).inc_by(answer.rejected_total as u64);
    Ok(Json(answer))
}

/// Memory of all requests whose records are being made, in MiB.
pub(super) fn memory_mib_max(config: &HttpConfig) -> u32 {
    u32::try_from(config.ingest_memory_bytes_max >> 20).unwrap_or(u32::MAX).max(1)
}

/// What a body may take of [`memory_mib_max`] until it is durable: as sent or unpacked, and again
/// as records. How far it unpacks is a guess, which the limit on unpacked bytes bounds.
fn memory_mib(packed_bytes: usize, encoding: Encoding, config: &HttpConfig) -> u32 {
    let bytes = match encoding {
        Encoding::Identity => packed_bytes,
        Encoding::Gzip | Encoding::Zstd => packed_bytes.saturating_mul(32).min(config.body_unpacked_bytes_max),
    };
    let mib = bytes.saturating_mul(2).div_ceil(1 << 20);
    u32::try_from(mib).unwrap_or(u32::MAX).clamp(1, memory_mib_max(config))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    let wanted = format_args!("must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::parameter("Idempotency-Key", wanted))
}

async fn append(state: &ApiState, records: Vec<Outgoing>) -> Result<(), Problem> {
    if records.is_empty() {
        return Ok(());
    }
    state.appender.append(INGEST_TOPIC, records).await.map_err(|error| {
        tracing::warn!(%error, "ingest cannot append to the log");
        match error {
            LogError::Full { .. } => {
                Problem::too_many("no more can be taken until what waits is processed; nothing was accepted", FULL_RETRY_S)
            }
            LogError::Retry(_) => Problem::unavailable("the log does not take records at the moment; send them again", 2),
            LogError::TooLarge(_) => Problem::too_large("a record is larger than the log takes; nothing was accepted"),
            LogError::Fatal(_) => Problem::unavailable("the log takes no records until an operator mends it", 60),
        }
    })
}

/// What one request's records have become so far.
#[derive(Default)]
struct Prepared {
    answer: IngestAnswer,
    records: Vec<Outgoing>,
    /// The event of one record, between its two forms.
    event: EventBatch,
}

/// One request's records on their way to the log.
struct Work {
    state: ApiState,
    tenant: Option<String>,
    format: Format,
    key: Option<String>,
    encoding: Encoding,
}

impl Work {
    fn prepare(&self, packed: Bytes) -> Result<(IngestAnswer, Vec<Outgoing>), Problem> {
        let bytes = body::unpack(packed, self.encoding, self.state.config.body_unpacked_bytes_max)?;
        let now_ms = now_ms();
        let window = TimeWindow { oldest_ms: now_ms.saturating_sub(self.state.retention_ms), newest_ms: now_ms.saturating_add(AHEAD_MS) };
        let mut out = Prepared::default();
        if is_array(&bytes, self.format) {
            for (index, element) in elements(&bytes, self.state.config.ingest_records_max)?.into_iter().enumerate() {
                self.record(index + 1, element.get().as_bytes(), window, &mut out)?;
            }
            return Ok((out.answer, out.records));
        }
        for (index, line) in lines(&bytes).enumerate() {
            if !line.trim_ascii().is_empty() {
                self.record(index + 1, line, window, &mut out)?;
            }
        }
        Ok((out.answer, out.records))
    }

    fn record(&self, line: usize, raw: &[u8], window: TimeWindow, out: &mut Prepared) -> Result<(), Problem> {
        let Prepared { answer, records, event } = out;
        let HttpConfig { ingest_records_max: records_max, ingest_rejected_max: rejected_max, .. } = self.state.config;
        if answer.accepted + answer.rejected_total + answer.ignored >= records_max {
            return Err(Problem::too_large(format!("more than {records_max} records")));
        }
        // Without a key the pipeline gives the id of the record's position in the log.
        let default_id = self.key.as_ref().map_or_else(String::new, |key| stable_id(self.tenant.as_deref(), key, line));
        let reference_ms = window.newest_ms - AHEAD_MS;
        let context = Context { default_id: &default_id, tenant: self.tenant.as_deref(), window: Some(window), reference_ms };
        event.clear();
        match self.state.normaliser.normalise_into(self.format, raw, &context, event) {
            Ok(true) => {
                answer.accepted += 1;
                if let Some(event) = event.get(0) {
                    records.push(outgoing(&EventDraft::of(&event))?);
                }
            }
            Ok(false) => answer.ignored += 1,
            Err(Reject { code, reason }) => {
                answer.rejected_total += 1;
                if answer.rejected.len() < rejected_max {
                    answer.rejected.push(RejectedLine { line, code: code.as_str(), reason });
                }
            }
        }
        Ok(())
    }
}

/// The record as the pipeline reads it back. One user's events share a key, so that they stay in order.
fn outgoing(draft: &EventDraft<'_>) -> Result<Outgoing, Problem> {
    let payload = serde_json::to_vec(draft).map_err(|error| Problem::internal(&error))?;
    let user = draft.texts.get(Field::User);
    let key = if user.is_empty() { String::new() } else { format!("{}/{user}", draft.texts.get(Field::Tenant)) };
    Ok(Outgoing { key, headers: Vec::new(), payload })
}

/// The id of a record without one, so that the same request repeated gives the same events.
fn stable_id(tenant: Option<&str>, key: &str, line: usize) -> String {
    let digest = Sha256::digest(serde_json::json!([tenant, key, line]).to_string());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("ik-{hex}")
}

/// Lines without their ends; nothing after the last end is no line.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Is the body a JSON array? A line of text may begin with a bracket, too, but not with one and a brace.
fn is_array(bytes: &[u8], format: Format) -> bool {
    let Some(rest) = bytes.trim_ascii_start().strip_prefix(b"[") else { return false };
    let json_only = format == Format::BARTIZAN || format == Format::OCSF;
    json_only || matches!(rest.trim_ascii_start().first(), Some(b'{' | b']'))
}

/// The elements of an array, each as its own text, and one more than `records_max` at most.
fn elements(bytes: &[u8], records_max: usize) -> Result<Vec<&RawValue>, Problem> {
    struct Elements(usize);

    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(element) = elements.next_element()? {
                if all.len() >= self.0 {
                    return Err(serde::de::Error::custom("too many records"));
                }
                all.push(element);
            }
            Ok(all)
        }
    }

    let wrong = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::new(StatusCode::BAD_REQUEST, format!("the body begins like a JSON array but is none ({place}); nothing was accepted"))
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let all = deserializer.deserialize_seq(Elements(records_max)).map_err(wrong)?;
    deserializer.end().map_err(wrong)?;
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_count_them() {
        let all = |text: &'static str| lines(text.as_bytes()).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
        assert_eq!(all("a\r\n\nb"), ["a", "", "b"]);
        assert_eq!(all("a\n"), ["a"]);
        assert_eq!(all(""), [""]);
    }

    #[test]
    fn arrays_are_told_from_lines() {
        assert!(is_array(b" [1,2]", Format::BARTIZAN));
        assert!(is_array(b"\n[\n{}]", Format::Auto) && is_array(b"[]", Format::SSHD));
        assert!(!is_array(b"[12.5] sshd[1]: x", Format::SSHD) && !is_array(b"{}", Format::Auto));
        assert_eq!(elements(b"[{\"a\":[1]}, 2 ]", 2).unwrap().iter().map(|raw| raw.get()).collect::<Vec<_>>(), ["{\"a\":[1]}", "2"]);
        for wrong in ["[{}", "[{},]", "[{}] {}", "[{} {}]"] {
            assert!(elements(wrong.as_bytes(), 9).is_err(), "{wrong}");
        }
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(elements(deep.as_bytes(), 9).unwrap().len(), 1, "depth costs no stack here; the record's own check rejects it");
    }

    #[test]
    fn ids_are_stable_and_apart() {
        let id = stable_id(Some("acme"), "k", 1);
        assert_eq!(id, stable_id(Some("acme"), "k", 1));
        for other in [stable_id(None, "k", 1), stable_id(Some("acme"), "k1", 1), stable_id(Some("acme"), "k", 11)] {
            assert_ne!(id, other);
        }
    }
}
