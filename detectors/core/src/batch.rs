//! A batch of events: one text arena and one array of fixed-size records.
//!
//! Batches are what moves through the pipeline. A batch is plain data: it can be shared between
//! threads behind one `Arc`, and an event in it is a view of two pointers. Adding an event copies its
//! strings once into the arena and allocates nothing else: from a draft ([`EventBatch::push`]), or, on the
//! hot path, from the line it stands in ([`EventBatch::write`]).

mod hashing;

use crate::client::Software;
use crate::colleagues::Standing;
use crate::event::{Attestation, Event, Kind, NetworkClass, Outcome, Place, TokenHash, UserKind, names};
use crate::keys::{Key, KeyKind};
pub use hashing::Programs;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::Range;

/// Bytes that the text arena of one batch may hold (spans are 32 bits wide).
pub const ARENA_BYTES_MAX: usize = 1 << 30;

/// Text of an ordinary event, generously: an arena that grows is copied.
const EVENT_TEXT_BYTES: usize = 512;

/// Bytes between two texts of one line that are copied along with them: fewer than it costs to begin anew.
const GAP_BYTES_MAX: usize = 32;

/// A piece of text in a batch's arena; empty means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    start: u32,
    len: u32,
}

impl Text {
    /// A part of it; empty if it is not as long.
    #[must_use]
    pub fn part(self, at: Range<usize>) -> Self {
        let is_within = at.start <= at.end && at.end <= self.len as usize;
        if is_within { Self { start: self.start + at.start as u32, len: at.len() as u32 } } else { Self::default() }
    }

    pub(crate) fn of(self, arena: &str) -> &str {
        let start = self.start as usize;
        arena.get(start..start + self.len as usize).unwrap_or("")
    }

    /// The same as bytes, for what need not know where letters begin.
    fn bytes_of(self, arena: &str) -> &[u8] {
        let start = self.start as usize;
        arena.as_bytes().get(start..start + self.len as usize).unwrap_or_default()
    }
}

names! {
    /// The text members of an event.
    Field {
        /// Id within tenant and time.
        Id = "id",
        /// Tenant.
        Tenant = "tenant",
        /// Why it failed.
        Reason = "reason",
        /// The system that wrote it.
        Source = "source",
        /// User.
        User = "user",
        /// User agent.
        UserAgent = "user_agent",
        /// Device.
        Device = "device",
        /// TLS client fingerprint.
        Ja4 = "ja4",
        /// Client application.
        App = "app",
        /// OAuth grant.
        Grant = "grant",
        /// OAuth scopes.
        Scope = "scope",
        /// Second factor.
        Factor = "factor",
        /// Session.
        Session = "session",
        /// Public token handle.
        TokenId = "token_id",
        /// HTTP method.
        Method = "method",
        /// HTTP path.
        Path = "path",
        /// Other members as a JSON object.
        Attrs = "attrs",
        /// Region of the address.
        Region = "region",
        /// City of the address.
        City = "city",
        /// Name of the network.
        NetworkName = "network_name",
    }
}

impl Field {
    /// How many text members there are.
    pub const COUNT: usize = Self::ALL.len();
}

/// One event with its texts as spans. Members that the enricher and the sequencer fill are public.
#[derive(Clone, Debug)]
pub struct Record {
    /// Event time.
    pub time_ms: i64,
    /// Recorded arrival.
    pub arrival_ms: i64,
    /// Watermark as of this event.
    pub watermark_ms: i64,
    /// Position in the recorded order.
    pub seq: u64,
    /// Client address.
    pub ip: Option<IpAddr>,
    /// Token presented.
    pub token: Option<TokenHash>,
    /// Token given in return.
    pub token_issued: Option<TokenHash>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Response bytes.
    pub bytes: Option<u64>,
    /// Request duration.
    pub duration_ms: Option<u64>,
    /// Place of the address.
    pub place: Option<Place>,
    /// Autonomous system; 0 if unknown.
    pub asn: u32,
    /// Class of the network.
    pub network_class: NetworkClass,
    /// What happened.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// Who acts.
    pub user_kind: UserKind,
    /// Proof of the genuine app.
    pub attestation: Attestation,
    /// Judged: not late, and the first with its tenant, id and time.
    pub judged: bool,
    /// How it stands among the tenant's [people](crate::colleagues).
    pub standing: Standing,
    texts: [Text; Field::COUNT],
    keys: [u64; KeyKind::COUNT],
    pub(crate) software: Software,
    /// Print of the region.
    pub(crate) region: u32,
    pub(crate) identity: u64,
}

impl Record {
    /// An event of a time of which nothing else is known.
    fn new(time_ms: i64) -> Self {
        Self {
            time_ms,
            arrival_ms: time_ms,
            watermark_ms: i64::MIN,
            seq: 0,
            ip: None,
            token: None,
            token_issued: None,
            status: None,
            bytes: None,
            duration_ms: None,
            place: None,
            asn: 0,
            network_class: NetworkClass::Unknown,
            kind: Kind::Other,
            outcome: Outcome::Unknown,
            user_kind: UserKind::Human,
            attestation: Attestation::Unknown,
            judged: true,
            standing: Standing::default(),
            texts: [Text::default(); Field::COUNT],
            keys: [0; KeyKind::COUNT],
            identity: 0,
            software: Software { agent: 0, ja4: 0, phone: false },
            region: 0,
        }
    }

    pub(crate) fn text(&self, field: Field) -> Text {
        self.texts.get(field as usize).copied().unwrap_or_default()
    }

    pub(crate) fn key(&self, kind: KeyKind) -> Option<Key> {
        let hash = self.key_hash(kind);
        (hash != 0).then_some(Key { kind, hash })
    }

    /// 0 if it has none.
    fn key_hash(&self, kind: KeyKind) -> u64 {
        self.keys.get(kind as usize).copied().unwrap_or(0)
    }

    /// Points a text member to a piece of the arena, as the enricher does with cached places.
    pub fn set_text(&mut self, field: Field, text: Text) {
        if let Some(slot) = self.texts.get_mut(field as usize) {
            *slot = text;
        }
    }
}

/// A validated event on its way into a batch, or out of one into the log: the canonical record.
///
/// Text members are bounded by whoever makes the draft (`normalise`). Tokens are here already as
/// keyed hashes, so the canonical record can be kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDraft<'a> {
    /// Event time.
    pub time_ms: i64,
    /// What happened.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// Who acts.
    pub user_kind: UserKind,
    /// Proof of the genuine app.
    pub attestation: Attestation,
    /// Client address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Token presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenHash>,
    /// Token given in return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_issued: Option<TokenHash>,
    /// HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Response bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Request duration in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Text members by [`Field`]; empty = absent.
    #[serde(borrow)]
    pub texts: DraftTexts<'a>,
}

impl<'a> EventDraft<'a> {
    /// The draft that an event of a batch would have come from.
    #[must_use]
    pub fn of(event: &Event<'a>) -> Self {
        let record = event.record;
        Self {
            time_ms: record.time_ms,
            kind: record.kind,
            outcome: record.outcome,
            user_kind: record.user_kind,
            attestation: record.attestation,
            ip: record.ip,
            token: record.token,
            token_issued: record.token_issued,
            status: record.status,
            bytes: record.bytes,
            duration_ms: record.duration_ms,
            texts: DraftTexts(std::array::from_fn(|index| Cow::Borrowed(Field::ALL.get(index).map_or("", |field| event.text(*field))))),
        }
    }
}

impl Default for EventDraft<'_> {
    fn default() -> Self {
        Self {
            time_ms: 0,
            kind: Kind::Other,
            outcome: Outcome::Unknown,
            user_kind: UserKind::Human,
            attestation: Attestation::Unknown,
            ip: None,
            token: None,
            token_issued: None,
            status: None,
            bytes: None,
            duration_ms: None,
            texts: DraftTexts::default(),
        }
    }
}

/// The text members of a draft, borrowed from the input where they need no unescaping.
#[derive(Clone, Debug, Default)]
pub struct DraftTexts<'a>([Cow<'a, str>; Field::COUNT]);

impl<'a> DraftTexts<'a> {
    /// The text of a member; empty if absent.
    #[must_use]
    pub fn get(&self, field: Field) -> &str {
        self.0.get(field as usize).map_or("", |text| text.as_ref())
    }

    /// Sets a member.
    pub fn set(&mut self, field: Field, text: impl Into<Cow<'a, str>>) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            *slot = text.into();
        }
    }
}

impl Serialize for DraftTexts<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Field::ALL.iter().map(|field| (field, self.get(*field))).filter(|(_, text)| !text.is_empty()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for DraftTexts<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> serde::de::Visitor<'de> for Visitor<'a> {
            type Value = DraftTexts<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of text members")
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut texts = DraftTexts::default();
                while let Some((field, text)) = map.next_entry::<Field, Borrowed<'a>>()? {
                    texts.set(field, text.0);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

/// A string borrowed from the input where possible (a plain `Cow` is always owned by serde's default).
struct Borrowed<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Borrowed<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Inner<'a>(#[serde(borrow)] Cow<'a, str>);
        Inner::deserialize(deserializer).map(|inner| Self(inner.0))
    }
}

/// A batch of events in recorded order.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    arena: String,
    records: Vec<Record>,
    /// Records, from the first on, whose keys are hashed.
    hashed: usize,
    /// It stays when the batch is filled anew.
    programs: Programs,
}

impl EventBatch {
    /// An empty batch with room for `events` events of ordinary size.
    #[must_use]
    pub fn with_capacity(events: usize) -> Self {
        Self { arena: String::with_capacity(events * EVENT_TEXT_BYTES), records: Vec::with_capacity(events), ..Self::default() }
    }

    /// Events in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// No events?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Takes all events out and keeps the room.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.records.clear();
        self.hashed = 0;
    }

    /// Bytes of text held, by which callers bound a batch.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Adds an event; its sequence, arrival and watermark are set later, by the sequencer.
    pub fn push(&mut self, draft: &EventDraft<'_>) -> &mut Record {
        let mut record = Record {
            ip: draft.ip,
            token: draft.token,
            token_issued: draft.token_issued,
            status: draft.status,
            bytes: draft.bytes,
            duration_ms: draft.duration_ms,
            kind: draft.kind,
            outcome: draft.outcome,
            user_kind: draft.user_kind,
            attestation: draft.attestation,
            ..Record::new(draft.time_ms)
        };
        for (slot, text) in record.texts.iter_mut().zip(&draft.texts.0) {
            *slot = append(&mut self.arena, text);
        }
        self.last_of(record)
    }

    /// Adds an event that stands in `line`, without a draft: `fill` says what it is. If `fill` gives up, the
    /// batch is as it was.
    pub fn write(&mut self, line: &str, fill: impl FnOnce(&mut Writer<'_>) -> Option<()>) -> Option<()> {
        if self.arena.len() + line.len() > ARENA_BYTES_MAX {
            return None;
        }
        let Self { arena, records, .. } = self;
        let (arena_before, events_before) = (arena.len(), records.len());
        // The record is filled where it stays: it is too large to be moved for nothing.
        records.push(Record::new(0));
        let filled = records.last_mut().and_then(|record| {
            let mut writer = Writer { record, arena, line, piece: 0..0, apart: true };
            fill(&mut writer).and_then(|()| writer.flush())
        });
        if filled.is_none() {
            records.truncate(events_before);
            arena.truncate(arena_before);
        }
        filled
    }

    fn last_of(&mut self, record: Record) -> &mut Record {
        self.records.push(record);
        let last = self.records.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the record was pushed in the line above")]
        &mut self.records[last]
    }

    /// Adds a copy of an event of another batch.
    pub fn copy(&mut self, event: &Event<'_>) -> &mut Record {
        let mut record = event.record.clone();
        for (slot, field) in record.texts.iter_mut().zip(Field::ALL) {
            *slot = append(&mut self.arena, event.text(*field));
        }
        self.last_of(record)
    }

    /// Adds text to the arena for later [`Record::set_text`].
    pub fn append_text(&mut self, text: &str) -> Text {
        append(&mut self.arena, text)
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Event<'_>> {
        self.records.get(index).map(|record| Event::new(&self.arena, record))
    }

    /// All events in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> + Clone {
        self.records.iter().map(|record| Event::new(&self.arena, record))
    }

    /// The records, for the stages that fill them (sequencer, enricher).
    pub fn records_mut(&mut self) -> &mut [Record] {
        &mut self.records
    }
}

/// Fills the record of an event from the line it stands in. Texts are told in the line's order, and copied
/// in few pieces: what is short between two of them comes along.
pub struct Writer<'b> {
    /// The record, but for its texts.
    pub record: &'b mut Record,
    arena: &'b mut String,
    line: &'b str,
    /// What of the line is to be copied next.
    piece: Range<usize>,
    /// What follows the piece must not come along.
    apart: bool,
}

impl Writer<'_> {
    /// Keeps the text at `at` in the line. `None`: it is no text there, or not in order.
    #[inline]
    pub fn keep(&mut self, field: Field, at: Range<usize>) -> Option<()> {
        if at.is_empty() {
            return Some(());
        }
        if self.apart || at.start.checked_sub(self.piece.end)? > GAP_BYTES_MAX {
            self.flush()?;
            self.piece = at.start..at.start;
            self.apart = false;
        }
        let text = Text { start: (self.arena.len() + at.start - self.piece.start) as u32, len: at.len() as u32 };
        self.piece.end = at.end;
        self.record.set_text(field, text);
        Some(())
    }

    /// What stands between the last text kept and the next one must not be copied along: a secret, say.
    pub fn leave_out(&mut self) {
        self.apart = true;
    }

    /// Is there a text?
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.record.text(field).len > 0
    }

    /// The text of a member; empty if absent.
    pub fn text(&mut self, field: Field) -> Option<&str> {
        self.flush()?;
        Some(self.record.text(field).of(self.arena))
    }

    /// Adds a text that does not stand in the line.
    pub fn add(&mut self, field: Field, text: impl fmt::Display) -> Option<()> {
        self.flush()?;
        let start = self.arena.len();
        write!(self.arena, "{text}").ok()?;
        let len = self.arena.len() - start;
        if self.arena.len() > ARENA_BYTES_MAX {
            return None;
        }
        self.record.set_text(field, Text { start: start as u32, len: len as u32 });
        Some(())
    }

    fn flush(&mut self) -> Option<()> {
        self.arena.push_str(self.line.get(self.piece.clone())?);
        self.piece.start = self.piece.end;
        self.apart = true;
        Some(())
    }
}

fn append(arena: &mut String, text: &str) -> Text {
    if text.is_empty() || arena.len() + text.len() > ARENA_BYTES_MAX {
        return Text::default();
    }
    let start = arena.len() as u32;
    arena.push_str(text);
    Text { start, len: text.len() as u32 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
