//! The native format: one JSON object a record, as the product's contract describes it.
//!
//! Members go straight from the reader into the draft, borrowed where they hold no escape; `null` and an
//! empty string mean absent. Whatever is not a member of the event goes to `attrs`. Ordinary records do not
//! come here: `straight` reads them, to the same effect.

use super::{Confidence, Env, FormatSpec, Record};
use crate::normalise::draft::{RawDraft, Secret};
use crate::normalise::json::{self, Json};
use crate::normalise::reject::{Reject, RejectCode};
use crate::normalise::time::RawTime;
use bartizan_core::batch::Field;
use bartizan_core::{Attestation, Kind, Outcome, TokenHash, UserKind};
use std::borrow::Cow;

pub(super) static SPEC: FormatSpec = FormatSpec { name: "bartizan", about: "native events, one JSON object a record", detect, parse };

fn detect(record: &Record<'_>) -> Confidence {
    match (record.has("time"), record.has("kind")) {
        (true, true) => Confidence::Likely,
        (false, false) => Confidence::No,
        _ => Confidence::Weak,
    }
}

fn parse<'a>(record: &Record<'a>, env: &Env<'_>) -> Result<Option<RawDraft<'a>>, Reject> {
    let mut reader = Reader { attrs_max: env.limits.attrs_max, ..Reader::default() };
    json::each_member(record.text, env.limits, |name, value| reader.member(name, value))?;
    Ok(Some(reader.draft))
}

/// A member of the event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::normalise) enum Member {
    Time,
    Kind,
    Outcome,
    UserKind,
    Attestation,
    Ip,
    Token,
    TokenIssued,
    TokenHash,
    TokenIssuedHash,
    Status,
    Bytes,
    DurationMs,
    Attrs,
    Text(Field),
}

impl Member {
    /// Every member with its name. What is left of the event's texts (the place of an address) is found
    /// here and not believed of a record.
    pub(in crate::normalise) const NAMED: &[(&str, Self)] = &[
        ("time", Self::Time),
        ("kind", Self::Kind),
        ("outcome", Self::Outcome),
        ("user_kind", Self::UserKind),
        ("attestation", Self::Attestation),
        ("ip", Self::Ip),
        ("token", Self::Token),
        ("token_issued", Self::TokenIssued),
        ("token_hash", Self::TokenHash),
        ("token_issued_hash", Self::TokenIssuedHash),
        ("status", Self::Status),
        ("bytes", Self::Bytes),
        ("duration_ms", Self::DurationMs),
        ("attrs", Self::Attrs),
        ("id", Self::Text(Field::Id)),
        ("tenant", Self::Text(Field::Tenant)),
        ("reason", Self::Text(Field::Reason)),
        ("source", Self::Text(Field::Source)),
        ("user", Self::Text(Field::User)),
        ("user_agent", Self::Text(Field::UserAgent)),
        ("device", Self::Text(Field::Device)),
        ("ja4", Self::Text(Field::Ja4)),
        ("app", Self::Text(Field::App)),
        ("grant", Self::Text(Field::Grant)),
        ("scope", Self::Text(Field::Scope)),
        ("factor", Self::Text(Field::Factor)),
        ("session", Self::Text(Field::Session)),
        ("token_id", Self::Text(Field::TokenId)),
        ("method", Self::Text(Field::Method)),
        ("path", Self::Text(Field::Path)),
    ];

    /// The member of this name.
    pub(in crate::normalise) fn parse(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, member)| *member)
    }

    /// Its place in the set of members seen.
    pub(in crate::normalise) const fn bit(self) -> u64 {
        1 << match self {
            Self::Time => 0,
            Self::Kind => 1,
            Self::Outcome => 2,
            Self::UserKind => 3,
            Self::Attestation => 4,
            Self::Ip => 5,
            Self::Token => 6,
            Self::TokenIssued => 7,
            Self::TokenHash => 8,
            Self::TokenIssuedHash => 9,
            Self::Status => 10,
            Self::Bytes => 11,
            Self::DurationMs => 12,
            Self::Attrs => 13,
            Self::Text(field) => 14 + field as u64,
        }
    }
}

#[derive(Default)]
struct Reader<'a> {
    draft: RawDraft<'a>,
    seen: u64,
    attrs_max: usize,
}

impl<'a> Reader<'a> {
    fn member(&mut self, name: Cow<'a, str>, value: Json<'a>) -> Result<(), Reject> {
        let Some(member) = Member::parse(&name) else { return self.attr(name, value) };
        if self.seen & member.bit() != 0 {
            return Err(Reject::duplicate(&name));
        }
        self.seen |= member.bit();
        if value == Json::Null {
            return Ok(());
        }
        self.set(member, name, value)
    }

    fn set(&mut self, member: Member, name: Cow<'a, str>, value: Json<'a>) -> Result<(), Reject> {
        let draft = &mut self.draft;
        match member {
            Member::Text(field) => draft.texts.set(field, text(&name, value)?),
            Member::Time => draft.time = Some(time(value)?),
            Member::Kind => draft.kind = one_of(&name, value, Kind::parse, || names(Kind::ALL, Kind::as_str))?,
            Member::Outcome => draft.outcome = one_of(&name, value, Outcome::parse, || names(Outcome::ALL, Outcome::as_str))?,
            Member::UserKind => draft.user_kind = one_of(&name, value, UserKind::parse, || names(UserKind::ALL, UserKind::as_str))?,
            Member::Attestation => {
                draft.attestation = one_of(&name, value, Attestation::parse, || names(Attestation::ALL, Attestation::as_str))?;
            }
            Member::Ip => {
                let text = text(&name, value)?;
                if !text.is_empty() {
                    draft.set_ip("ip", &text)?;
                }
            }
            Member::Token => secret(&mut draft.token, "token", Secret::Clear(text(&name, value)?))?,
            Member::TokenIssued => secret(&mut draft.token_issued, "token_issued", Secret::Clear(text(&name, value)?))?,
            Member::TokenHash => secret(&mut draft.token, "token_hash", hash(&name, value)?)?,
            Member::TokenIssuedHash => secret(&mut draft.token_issued, "token_issued_hash", hash(&name, value)?)?,
            Member::Status => draft.status = Some(whole(&name, &value)?),
            Member::Bytes => draft.bytes = Some(whole(&name, &value)?),
            Member::DurationMs => draft.duration_ms = Some(value.as_rounded_u64().ok_or_else(|| number(&name, &value))?),
            Member::Attrs => return self.attrs(value),
        }
        Ok(())
    }

    fn attrs(&mut self, value: Json<'a>) -> Result<(), Reject> {
        let Json::Object(members) = value else { return Err(Reject::wrong_type("attrs", "an object")) };
        members.into_iter().try_for_each(|(name, value)| self.attr(name, value))
    }

    fn attr(&mut self, name: Cow<'a, str>, value: Json<'a>) -> Result<(), Reject> {
        // Checked here too, so that looking for duplicates stays cheap.
        if self.draft.attrs.0.len() >= self.attrs_max {
            return Err(Reject::new(RejectCode::TooLarge, format!("attrs: more than {} members", self.attrs_max)));
        }
        if self.draft.attrs.has(&name) {
            return Err(Reject::duplicate(&name));
        }
        self.draft.attrs.push(name, value);
        Ok(())
    }
}

fn text<'a>(name: &str, value: Json<'a>) -> Result<Cow<'a, str>, Reject> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(Reject::wrong_type(name, "a string")),
    }
}

fn time(value: Json<'_>) -> Result<RawTime<'_>, Reject> {
    match value {
        Json::Text(text) => Ok(RawTime::Text(text)),
        Json::Int(_) | Json::Uint(_) | Json::Float(_) => {
            value.as_i64().map(RawTime::Millis).ok_or_else(|| Reject::out_of_range("time", "whole milliseconds since 1970"))
        }
        _ => Err(Reject::wrong_type("time", "an RFC 3339 string or milliseconds since 1970")),
    }
}

fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> String {
    all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ")
}

fn one_of<T>(name: &str, value: Json<'_>, parse: impl Fn(&str) -> Option<T>, all: impl Fn() -> String) -> Result<Option<T>, Reject> {
    let text = text(name, value)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse(&text).map(Some).ok_or_else(|| Reject::new(RejectCode::UnknownValue, format!("{name}: must be one of {}", all())))
}

fn whole(name: &str, value: &Json<'_>) -> Result<u64, Reject> {
    match value {
        Json::Uint(value) => Ok(*value),
        _ => value.as_i64().and_then(|value| u64::try_from(value).ok()).ok_or_else(|| number(name, value)),
    }
}

fn number(name: &str, value: &Json<'_>) -> Reject {
    match value {
        Json::Int(_) | Json::Uint(_) | Json::Float(_) => Reject::out_of_range(name, "a whole number from 0 to 18446744073709551615"),
        _ => Reject::wrong_type(name, "a number"),
    }
}

fn hash<'a>(name: &str, value: Json<'a>) -> Result<Secret<'a>, Reject> {
    let wrong = || Reject::new(RejectCode::UnknownValue, format!("{name}: must be 32 hexadecimal digits"));
    TokenHash::from_hex(&text(name, value)?).map(Secret::Hashed).ok_or_else(wrong)
}

fn secret<'a>(slot: &mut Option<Secret<'a>>, name: &str, value: Secret<'a>) -> Result<(), Reject> {
    if slot.is_some() {
        return Err(Reject::new(RejectCode::DuplicateMember, format!("{name}: the token is given twice, in clear and as a hash")));
    }
    *slot = Some(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_an_event_is_a_member_but_those_found_here() {
        for field in Field::ALL {
            let expected = match field {
                Field::Attrs => Some(Member::Attrs),
                Field::Region | Field::City | Field::NetworkName => None,
                _ => Some(Member::Text(*field)),
            };
            assert_eq!(Member::parse(field.as_str()), expected);
        }
    }
}
