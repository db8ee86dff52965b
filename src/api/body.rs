//! Request bodies: read within bounds, unpacked within bounds.
//!
//! A body that is too long is read on for a while and thrown away, so that its sender gets the answer
//! instead of a broken connection.

use super::HttpConfig;
use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::time::Duration;

/// How long nothing may come while a body is read.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// For how long a body that is too long is read and dropped.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// Window of a zstd frame: 2 to the power of this (RFC 8878 §3.1.1.1.2 asks decoders for 8 MiB).
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
/// The encodings that are taken.
const ENCODINGS: &str = "gzip, zstd, identity";

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The encoding that the headers name.
///
/// # Errors
/// 415: another one, or several.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let unsupported = || {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Encoding must be one of {ENCODINGS}"))
            .with(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS))
            .naming("Content-Encoding")
    };
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(Encoding::Identity) };
    if values.next().is_some() {
        return Err(unsupported());
    }
    match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(unsupported()),
    }
}

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// 413: longer; 408: it stopped coming; 400: the connection broke.
pub async fn read(mut body: Body, headers: &HeaderMap, config: &HttpConfig, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(format!("the body is longer than {bytes_max} bytes"));
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        drain(body, config.body_dropped_bytes_max).await;
        return Err(too_large());
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(length.unwrap_or(0));
    while let Some(chunk) = next(&mut body).await? {
        if bytes.len() + chunk.len() > bytes_max {
            drain(body, config.body_dropped_bytes_max).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

/// Reads the small JSON document that a request for an action is.
///
/// # Errors
/// As [`read`], or it is not of the form that is wanted.
pub async fn json<T: DeserializeOwned>(body: Body, headers: &HeaderMap, config: &HttpConfig) -> Result<T, Problem> {
    let bytes = read(body, headers, config, config.action_body_bytes_max).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("the body is not what it should be: {error}")))
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body stopped coming"))?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Problem::bad_request("the body broke off")),
            // Trailers say nothing that is needed.
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
        }
    }
}

/// Reads and drops what is left, as far as it goes.
async fn drain(mut body: Body, bytes_max: usize) {
    let mut left = bytes_max;
    let reading = async {
        while let Ok(Some(chunk)) = next(&mut body).await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whether all of it came or not: the answer is the same.
    tokio::time::timeout(DRAIN_TIME_MAX, reading).await.ok();
}

/// Unpacks a body to at most `bytes_max`. Blocking.
///
/// # Errors
/// 413: it becomes longer; 400: damaged or cut off.
pub fn unpack(packed: Bytes, encoding: Encoding, bytes_max: usize) -> Result<Bytes, Problem> {
    match encoding {
        Encoding::Identity if packed.len() > bytes_max => Err(too_large(bytes_max)),
        Encoding::Identity => Ok(packed),
        Encoding::Gzip => read_all(MultiGzDecoder::new(packed.as_ref()), bytes_max),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed.as_ref()).map_err(|error| Problem::internal(&error))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| Problem::internal(&error))?;
            read_all(decoder, bytes_max)
        }
    }
}

fn read_all(decoder: impl Read, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut bytes = Vec::new();
    let read = decoder.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    if bytes.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    match read {
        Ok(_) => Ok(bytes.into()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Problem::parameter("Content-Encoding", "the packed body is cut off"))
        }
        Err(_) => Err(Problem::parameter("Content-Encoding", "the body is not packed as this says, or damaged")),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::too_large(format!("unpacked, the body is longer than {bytes_max} bytes"))
}
