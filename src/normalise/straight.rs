//! Ordinary native records, straight from their line into a batch.
//!
//! The hot path: each member is known by its name's bytes, texts stay where they are until they are
//! copied, in few pieces, into the batch's arena, and nothing is allocated. Ordinary is what `flat` reads
//! and the rules of `validate` leave as it is. At anything else it gives up without a trace, and the
//! record takes the long way over a draft, which alone rejects, cuts and cleans. A property test holds
//! the two together.

use super::draft::{Attrs, parse_ip};
use super::flat::{self, Sink};
use super::formats::bartizan::Member;
use super::json::Json;
use super::secrets::without_query_secrets;
use super::validate::{DEFAULT_TENANT, attrs_json, in_window, limit};
use super::{Context, Normaliser, time};
use crate::canary;
use bartizan_core::batch::{Field, Writer};
use bartizan_core::{Attestation, EventBatch, Kind, Outcome, TimeMs, TokenHash, UserKind};
use std::borrow::Cow;
use std::ops::Range;

/// Values that a record may have in any case: more than an event has members.
pub(super) const VALUES_MIN: usize = 128;

/// How members that are none of the event's are taken.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Strangers {
    /// They are attributes.
    Kept,
    /// They may be another format's: given up.
    Unwanted,
}

/// Reads a record into the batch. `None`: it is not ordinary, and the batch is as it was.
pub(super) fn read(text: &str, strangers: Strangers, normaliser: &Normaliser, context: &Context<'_>, batch: &mut EventBatch) -> Option<()> {
    batch.write(text, |writer| {
        let mut reader = Reader { text, strangers, normaliser, writer, seen: 0, time_ms: None, kind: None, attrs: Attrs::default() };
        flat::each_member(text, &mut reader)?;
        reader.finish(context)
    })
}

struct Reader<'a, 'r, 'w> {
    text: &'a str,
    strangers: Strangers,
    normaliser: &'r Normaliser,
    writer: &'r mut Writer<'w>,
    seen: u64,
    time_ms: Option<i64>,
    kind: Option<Kind>,
    attrs: Attrs<'a>,
}

impl<'a> Sink<'a> for Reader<'a, '_, '_> {
    #[inline]
    fn text(&mut self, name: Range<usize>, at: Range<usize>) -> Option<()> {
        let Some(known) = known(self.text.as_bytes(), &name) else {
            return self.attr(name, Json::Text(Cow::Borrowed(self.text.get(at)?)));
        };
        self.mark(known)?;
        if let Member::Text(field) = known.member {
            if at.len() > known.bytes_max || (field == Field::Path && without_query_secrets(self.text.get(at.clone())?).is_some()) {
                return None;
            }
            return self.writer.keep(field, at);
        }
        let text = self.text.get(at)?;
        match known.member {
            // Absent. Others have another type than a text, or no empty one.
            Member::Kind | Member::Outcome | Member::UserKind | Member::Attestation | Member::Ip | Member::Token | Member::TokenIssued
                if text.is_empty() => {}
            Member::Time => self.time_ms = Some(TimeMs::parse(text)?.0),
            Member::Kind => self.kind = Some(Kind::parse(text)?),
            Member::Outcome => self.writer.record.outcome = Outcome::parse(text)?,
            Member::UserKind => self.writer.record.user_kind = UserKind::parse(text)?,
            Member::Attestation => self.writer.record.attestation = Attestation::parse(text)?,
            Member::Ip => self.writer.record.ip = Some(parse_ip(text)?),
            Member::Token => self.writer.record.token = Some(self.token(text)?),
            Member::TokenIssued => self.writer.record.token_issued = Some(self.token(text)?),
            _ => return None,
        }
        Some(())
    }

    #[inline]
    fn number(&mut self, name: Range<usize>, number: u64) -> Option<()> {
        let Some(known) = known(self.text.as_bytes(), &name) else { return self.attr(name, Json::Uint(number)) };
        self.mark(known)?;
        match known.member {
            Member::Time => self.time_ms = Some(i64::try_from(number).ok()?),
            Member::Status => self.writer.record.status = Some(u16::try_from(number).ok().filter(|status| (100..=999).contains(status))?),
            Member::Bytes => self.writer.record.bytes = Some(number),
            Member::DurationMs => self.writer.record.duration_ms = Some(number),
            _ => return None,
        }
        Some(())
    }

    fn value(&mut self, name: Range<usize>, value: Json<'a>) -> Option<()> {
        match (known(self.text.as_bytes(), &name), value) {
            (None, value) => self.attr(name, value),
            (Some(known), Json::Null) => self.mark(known),
            (Some(known), Json::Object(members)) if known.member == Member::Attrs => {
                self.mark(known)?;
                members.into_iter().try_for_each(|(name, value)| self.named_attr(name, value))
            }
            _ => None,
        }
    }
}

impl<'a> Reader<'a, '_, '_> {
    /// Each member may stand there once.
    fn mark(&mut self, known: &Known) -> Option<()> {
        let fresh = self.seen & known.bit == 0;
        self.seen |= known.bit;
        fresh.then_some(())
    }

    fn token(&mut self, text: &str) -> Option<TokenHash> {
        self.writer.leave_out();
        (text.len() <= self.normaliser.config.token_bytes_max).then(|| self.normaliser.hash(text))
    }

    fn attr(&mut self, name: Range<usize>, value: Json<'a>) -> Option<()> {
        let name = self.text.get(name)?;
        // A member of the event may have a name that is too long or too rare to be known by its bytes.
        if self.strangers == Strangers::Unwanted || Member::parse(name).is_some() {
            return None;
        }
        self.named_attr(Cow::Borrowed(name), value)
    }

    fn named_attr(&mut self, name: Cow<'a, str>, value: Json<'a>) -> Option<()> {
        self.writer.leave_out();
        if self.attrs.0.len() >= self.normaliser.config.attrs_max || self.attrs.has(&name) {
            return None;
        }
        self.attrs.push(name, value);
        Some(())
    }

    /// What is to be seen of a record as a whole.
    fn finish(self, context: &Context<'_>) -> Option<()> {
        let Self { writer, attrs, normaliser, .. } = self;
        let time_ms = self.time_ms.filter(|time_ms| time::is_representable(*time_ms))?;
        if context.window.is_some_and(|window| in_window(time_ms, window).is_err()) {
            return None;
        }
        (writer.record.time_ms, writer.record.arrival_ms) = (time_ms, time_ms);
        writer.record.kind = self.kind?;
        if !writer.has(Field::Tenant) {
            writer.add(Field::Tenant, context.tenant.unwrap_or(DEFAULT_TENANT))?;
        } else if let Some(stamped) = context.tenant
            && writer.text(Field::Tenant)? != stamped
        {
            return None;
        }
        if canary::is_reserved(writer.text(Field::Tenant)?) {
            return None;
        }
        if !writer.has(Field::Id) {
            writer.add(Field::Id, context.default_id)?;
        }
        if attrs.0.iter().any(|(_, value)| *value != Json::Null) {
            // Others than the event's own: of those there are fewer than `VALUES_MIN`.
            let values = attrs.0.iter().map(|(_, value)| if let Json::Object(members) = value { members.len() + 1 } else { 1 });
            if values.sum::<usize>() > normaliser.config.values_max - VALUES_MIN {
                return None;
            }
            writer.add(Field::Attrs, attrs_json(attrs, &normaliser.config).ok()?)?;
        }
        Some(())
    }
}

/// Bytes of the longest name that is known by its bytes.
const NAME_BYTES_MAX: usize = 16;
/// The product of a name's first eight bytes with this has other uppermost bits for each name. Found by trial.
const SPREAD: u64 = 0xa9ec_0806_705f_ca17;
const SLOTS_BITS: u32 = 6;

/// A name as two numbers that its bytes are, the first lowest, zeros behind it. Not one of 128 bits: that
/// would take its way through a vector register.
type Name = [u64; 2];

/// What is known of a member.
#[derive(Clone, Copy)]
struct Known {
    name: Name,
    member: Member,
    /// Its place in the set of members seen.
    bit: u64,
    /// Length up to which a text is taken as it is; that of tokens is configured.
    bytes_max: usize,
}

impl Known {
    /// No member: no name is these numbers.
    const NONE: Self = Self { name: [u64::MAX; 2], member: Member::Attrs, bit: 0, bytes_max: 0 };
}

/// Members by name.
static KNOWN: [Known; 1 << SLOTS_BITS] = known_members();
/// The bytes of a name by its length.
static NAME_MASKS: [Name; NAME_BYTES_MAX + 1] = name_masks();

/// The member of this name, in one look-up; `None` for a stranger, but also for some rare ones.
#[inline]
fn known(text: &[u8], name: &Range<usize>) -> Option<&'static Known> {
    let [low_mask, high_mask] = NAME_MASKS.get(name.len())?;
    let bytes = text.get(name.start..)?;
    let [low, high] = bytes.first_chunk().map_or_else(|| numbers(&filled_up(bytes)), numbers);
    let name = [low & low_mask, high & high_mask];
    KNOWN.get(slot(name)).filter(|known| known.name == name)
}

#[inline]
fn numbers(bytes: &[u8; NAME_BYTES_MAX]) -> Name {
    let [a, b, c, d, e, f, g, h, low_of_second @ ..] = *bytes;
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes(low_of_second)]
}

/// The record's last bytes, where there are not enough of them.
#[cold]
fn filled_up(bytes: &[u8]) -> [u8; NAME_BYTES_MAX] {
    let mut chunk = [0; NAME_BYTES_MAX];
    chunk.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    chunk
}

const fn slot([low, _]: Name) -> usize {
    (low.wrapping_mul(SPREAD) >> (u64::BITS - SLOTS_BITS)) as usize
}

#[expect(clippy::indexing_slicing, reason = "runs while the program is compiled")]
const fn known_members() -> [Known; 1 << SLOTS_BITS] {
    let mut table = [Known::NONE; 1 << SLOTS_BITS];
    let mut index = 0;
    while index < Member::NAMED.len() {
        let (text, member) = Member::NAMED[index];
        if text.len() <= NAME_BYTES_MAX {
            let (mut name, mut at) = ([0; 2], 0);
            while at < text.len() {
                name[at / 8] |= (text.as_bytes()[at] as u64) << (at % 8 * 8);
                at += 1;
            }
            assert!(table[slot(name)].bit == 0, "two names in one slot");
            let bytes_max = if let Member::Text(field) = member { limit(field).0 } else { usize::MAX };
            table[slot(name)] = Known { name, member, bit: member.bit(), bytes_max };
        }
        index += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "runs while the program is compiled")]
const fn name_masks() -> [Name; NAME_BYTES_MAX + 1] {
    let mut masks = [[0; 2]; NAME_BYTES_MAX + 1];
    let mut len = 1;
    while len <= NAME_BYTES_MAX {
        masks[len] = masks[len - 1];
        masks[len][(len - 1) / 8] |= 0xff << ((len - 1) % 8 * 8);
        len += 1;
    }
    masks
}
