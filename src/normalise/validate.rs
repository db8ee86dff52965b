//! The one place where a raw draft becomes an event: bounded, cleaned, complete.
//!
//! What identifies (id, tenant, user, session, device, token id) is kept whole or the record is rejected:
//! a cut id would be another's. What only describes (user agent, path, reason) is cut at its limit and
//! marked with `…`, so that an attack cannot hide behind a long user agent.
//!
//! NUL becomes U+FFFD, because C libraries on the way would end the text there. Other control
//! characters and right-to-left marks are evidence and stay; whoever shows a text escapes it (JSON does).

use super::draft::{Attrs, RawDraft, Secret};
use super::json::Json;
use super::reject::{Reject, RejectCode};
use super::secrets;
use super::{Context, NormaliseConfig, Normaliser, TimeWindow};
use crate::canary;
use bartizan_core::batch::Field;
use bartizan_core::{Attestation, EventDraft, Outcome, TimeMs, TokenHash, UserKind};
use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use std::borrow::Cow;

/// The tenant of records that name none.
pub const DEFAULT_TENANT: &str = "default";
/// Stands where a text was cut.
const CUT: char = '…';

/// What happens to a text over its limit.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Long {
    Cut,
    Reject,
}

/// The limit of each text member in bytes: a property of the event, whose identity and sizes in detectors' state
/// rest on it. How long `attrs` may be, [`attrs_json`] sees to.
pub(crate) const fn limit(field: Field) -> (usize, Long) {
    match field {
        Field::Tenant => (128, Long::Reject),
        Field::Id | Field::App => (256, Long::Reject),
        Field::User | Field::Session | Field::Device | Field::TokenId => (1024, Long::Reject),
        Field::Ja4 | Field::Source | Field::Factor | Field::Method | Field::Grant => (128, Long::Cut),
        Field::Reason | Field::Region | Field::City | Field::NetworkName => (256, Long::Cut),
        Field::UserAgent | Field::Scope => (2048, Long::Cut),
        Field::Path => (4096, Long::Cut),
        Field::Attrs => (usize::MAX, Long::Reject),
    }
}

/// Makes the event of a raw draft.
pub(crate) fn validate<'a>(raw: RawDraft<'a>, normaliser: &Normaliser, context: &Context<'_>) -> Result<EventDraft<'a>, Reject> {
    let Normaliser { assumed, config: limits, .. } = normaliser;
    let time_ms = raw.time.as_ref().ok_or_else(|| Reject::missing("time"))?.resolve(assumed, context.reference_ms)?;
    if let Some(window) = context.window {
        in_window(time_ms, window)?;
    }
    let mut draft = EventDraft {
        time_ms,
        kind: raw.kind.ok_or_else(|| Reject::missing("kind"))?,
        outcome: raw.outcome.unwrap_or(Outcome::Unknown),
        user_kind: raw.user_kind.unwrap_or(UserKind::Human),
        attestation: raw.attestation.unwrap_or(Attestation::Unknown),
        ip: raw.ip.map(|ip| ip.to_canonical()),
        token: token("token", raw.token.as_ref(), normaliser)?,
        token_issued: token("token_issued", raw.token_issued.as_ref(), normaliser)?,
        status: raw.status.map(status).transpose()?,
        bytes: raw.bytes,
        duration_ms: raw.duration_ms,
        texts: raw.texts,
    };
    for field in Field::ALL {
        clean(&mut draft, *field)?;
    }
    if raw.attrs.0.iter().any(|(_, value)| *value != Json::Null) {
        draft.texts.set(Field::Attrs, attrs_json(raw.attrs, limits)?);
    }
    identify(&mut draft, context)?;
    Ok(draft)
}

/// Checks the time against what is kept.
pub(crate) fn in_window(time_ms: i64, window: TimeWindow) -> Result<(), Reject> {
    if time_ms < window.oldest_ms {
        return Err(Reject::new(RejectCode::TooOld, format!("time: {} is older than what is kept", TimeMs(time_ms))));
    }
    if time_ms > window.newest_ms {
        return Err(Reject::new(RejectCode::InTheFuture, format!("time: {} is too far ahead of the clock", TimeMs(time_ms))));
    }
    Ok(())
}

/// Sets tenant and id where the record has none.
pub(crate) fn identify(draft: &mut EventDraft<'_>, context: &Context<'_>) -> Result<(), Reject> {
    let named = draft.texts.get(Field::Tenant);
    match context.tenant {
        Some(stamped) if named.is_empty() => draft.texts.set(Field::Tenant, stamped.to_owned()),
        Some(stamped) if named != stamped => {
            return Err(Reject::new(RejectCode::WrongTenant, "tenant: is not the one that the token stands for"));
        }
        None if named.is_empty() => draft.texts.set(Field::Tenant, DEFAULT_TENANT),
        _ => {}
    }
    not_reserved(draft)?;
    if draft.texts.get(Field::Id).is_empty() {
        draft.texts.set(Field::Id, context.default_id.to_string());
    }
    Ok(())
}

/// The canary is known by where it is read; nobody becomes it by a name.
pub(crate) fn not_reserved(draft: &EventDraft<'_>) -> Result<(), Reject> {
    if canary::is_reserved(draft.texts.get(Field::Tenant)) {
        let reason = format!("tenant: names that begin with {} are reserved for the daemon's own events", canary::TENANT);
        return Err(Reject::new(RejectCode::ReservedTenant, reason));
    }
    Ok(())
}

fn status(value: u64) -> Result<u16, Reject> {
    let range = || Reject::out_of_range("status", "an HTTP status from 100 to 999");
    u16::try_from(value).ok().filter(|status| (100..=999).contains(status)).ok_or_else(range)
}

fn token(member: &str, secret: Option<&Secret<'_>>, normaliser: &Normaliser) -> Result<Option<TokenHash>, Reject> {
    let bytes_max = normaliser.config.token_bytes_max;
    match secret {
        None => Ok(None),
        Some(Secret::Hashed(hash)) => Ok(Some(*hash)),
        Some(Secret::Clear(text)) if text.is_empty() => Ok(None),
        Some(Secret::Clear(text)) if text.len() > bytes_max => Err(Reject::too_large(member, bytes_max)),
        Some(Secret::Clear(text)) => Ok(Some(normaliser.hash(text))),
    }
}

/// Brings one text member within its limit. Nearly all texts need nothing and stay borrowed.
fn clean(draft: &mut EventDraft<'_>, field: Field) -> Result<(), Reject> {
    let (bytes_max, long) = limit(field);
    let text = draft.texts.get(field);
    if text.is_empty() {
        return Ok(());
    }
    if text.len() > bytes_max && long == Long::Reject {
        return Err(Reject::too_large(field.as_str(), bytes_max));
    }
    let stripped = if field == Field::Path { secrets::without_query_secrets(text) } else { None };
    let current = stripped.as_deref().unwrap_or(text);
    let cleaned = cut(current, bytes_max).or(stripped);
    if let Some(cleaned) = cleaned {
        draft.texts.set(field, cleaned);
    }
    Ok(())
}

/// The text without NUL and within `bytes_max`; `None` if it is that already.
fn cut(text: &str, bytes_max: usize) -> Option<String> {
    let whole = text.len() <= bytes_max;
    if whole && memchr::memchr(0, text.as_bytes()).is_none() {
        return None;
    }
    let end = if whole { text.len() } else { text.floor_char_boundary(bytes_max.saturating_sub(CUT.len_utf8())) };
    let mut kept = text.get(..end).unwrap_or("").replace('\0', "\u{fffd}");
    if !whole {
        kept.push(CUT);
    }
    Some(kept)
}

/// The attributes as one JSON object. A nested value becomes its compact JSON text: `attrs` is flat.
pub(crate) fn attrs_json(attrs: Attrs<'_>, limits: &NormaliseConfig) -> Result<String, Reject> {
    let NormaliseConfig { attrs_max, attrs_bytes_max, attr_name_bytes_max, attr_bytes_max, .. } = *limits;
    let too_many = |what: String| Reject::new(RejectCode::TooLarge, format!("attrs: {what}"));
    if attrs.0.len() > attrs_max {
        return Err(too_many(format!("more than {attrs_max} members")));
    }
    let mut out = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut out);
    // Writing into memory cannot fail; the error is mapped all the same, so that nothing can panic.
    let failed = |_| too_many("cannot be written as JSON".to_owned());
    let mut map = serializer.serialize_map(None).map_err(failed)?;
    for (name, mut value) in attrs.0.into_iter().filter(|(_, value)| *value != Json::Null) {
        if name.len() > attr_name_bytes_max {
            return Err(Reject::too_large(&name, attr_name_bytes_max));
        }
        secrets::remove_secrets(&name, &mut value);
        let name = if name.contains('\0') { Cow::Owned(name.replace('\0', "\u{fffd}")) } else { name };
        map.serialize_entry(&name, &attr(value, attr_bytes_max)).map_err(failed)?;
    }
    map.end().map_err(failed)?;
    if out.len() > attrs_bytes_max {
        return Err(too_many(format!("longer than {attrs_bytes_max} bytes")));
    }
    String::from_utf8(out).map_err(|_| too_many("are not UTF-8".to_owned()))
}

fn attr(value: Json<'_>, bytes_max: usize) -> Json<'_> {
    let text = match value {
        Json::Text(text) => text,
        Json::Array(_) | Json::Object(_) => Cow::Owned(serde_json::to_string(&value).unwrap_or_default()),
        scalar => return scalar,
    };
    match cut(&text, bytes_max) {
        Some(shorter) => Json::Text(Cow::Owned(shorter)),
        None => Json::Text(text),
    }
}
