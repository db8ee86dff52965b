//! An event as a native record again: what `bartizan normalise` prints.
//!
//! Tokens are printed as `token_hash` and `token_issued_hash`, which the native format reads back, so the
//! output can be replayed or sent on.

use bartizan_core::batch::Field;
use bartizan_core::{Attestation, EventDraft, TimeMs, UserKind};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

struct Native<'e, 'a> {
    draft: &'e EventDraft<'a>,
    line: Option<u64>,
}

impl Native<'_, '_> {
    fn texts<M: SerializeMap>(&self, map: &mut M, fields: &[Field]) -> Result<(), M::Error> {
        for field in fields {
            let text = self.draft.texts.get(*field);
            if !text.is_empty() {
                map.serialize_entry(field.as_str(), text)?;
            }
        }
        Ok(())
    }
}

fn entry<M: SerializeMap, T: Serialize>(map: &mut M, name: &str, value: Option<T>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

impl Serialize for Native<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use Field::{
            App, Attrs, Device, Factor, Grant, Id, Ja4, Method, Path, Reason, Scope, Session, Source, Tenant, TokenId, User, UserAgent,
        };
        let draft = self.draft;
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "line", self.line)?;
        map.serialize_entry("time", &TimeMs(draft.time_ms))?;
        map.serialize_entry("kind", &draft.kind)?;
        map.serialize_entry("outcome", &draft.outcome)?;
        self.texts(&mut map, &[Reason, Id, Tenant, Source, User])?;
        entry(&mut map, "user_kind", (draft.user_kind != UserKind::Human).then_some(draft.user_kind))?;
        entry(&mut map, "ip", draft.ip)?;
        self.texts(&mut map, &[UserAgent, Device, Ja4, App, Grant, Scope, Factor])?;
        entry(&mut map, "attestation", (draft.attestation != Attestation::Unknown).then_some(draft.attestation))?;
        self.texts(&mut map, &[Session])?;
        entry(&mut map, "token_hash", draft.token.map(|token| token.to_hex()))?;
        entry(&mut map, "token_issued_hash", draft.token_issued.map(|token| token.to_hex()))?;
        self.texts(&mut map, &[TokenId, Method, Path])?;
        entry(&mut map, "status", draft.status)?;
        entry(&mut map, "bytes", draft.bytes)?;
        entry(&mut map, "duration_ms", draft.duration_ms)?;
        let attrs = serde_json::from_str::<&serde_json::value::RawValue>(draft.texts.get(Attrs)).ok();
        entry(&mut map, "attrs", attrs)?;
        map.end()
    }
}

/// Appends the event as one native JSON object, without a line break. `line` is the number of its input
/// line, if it comes from a file.
pub fn to_native_json(draft: &EventDraft<'_>, line: Option<u64>, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing into memory cannot fail; if it did, half an object must not stand there.
    if serde_json::to_writer(&mut *out, &Native { draft, line }).is_err() {
        out.truncate(start);
    }
}
