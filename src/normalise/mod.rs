//! From the raw bytes of one record to a validated event.
//!
//! Two steps. A format's parser reads the bytes into a raw draft (`formats/`, one file each, one line in
//! the registry). The shared validation then bounds and cleans it into an
//! [`EventDraft`](bartizan_core::EventDraft). Nothing else ever sees a raw draft. Ordinary native records,
//! which are nearly all, need no draft and go `straight` into a batch, to the same effect.
//!
//! Each record ends in one of three ways: an event; *skipped*, when it is a sound record of its format
//! that says nothing of sign-ins, tokens, accounts or API calls (a cron line in `auth.log`, a blank
//! line); or a reject with a code and a reason. Callers count all three.
//!
//! Deliberately absent: any I/O, any clock (the caller hands in the reference time), any state that goes
//! from one record to the next, but for tokens that are [`held`] where a target needs them; no event shows that. A
//! [`Normaliser`] is shared between threads.

pub mod draft;
mod flat;
pub mod formats;
pub mod held;
pub mod json;
mod output;
pub mod proxies;
pub mod reject;
mod secrets;
mod straight;
pub mod time;
mod token_hash;
pub mod validate;

#[cfg(test)]
mod tests;

pub use formats::Format;
pub use held::HeldTokens;
pub use output::to_native_json;
pub use reject::{Reject, RejectCode};
pub use token_hash::TokenKey;

use crate::canary;
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, TokenHash};
use formats::{Env, Record};
use proxies::Proxies;
use serde::{Deserialize, Serialize};
use straight::Strangers;
use time::Assumed;
use token_hash::TokenHasher;

/// The section `[normalise]` of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormaliseConfig {
    /// Addresses and CIDR blocks of the operator's own proxies: in formats with a forwarded-for chain the
    /// client is the right-most address not listed here.
    pub trusted_proxies: Vec<String>,
    /// Year of times that have none; absent: the newest in which they are not in the future.
    pub assume_year: Option<i16>,
    /// Zone of times that have none: an IANA name or an offset; absent: UTC.
    pub assume_zone: Option<String>,
    /// Size of one record in bytes; default 1 MiB.
    pub record_bytes_max: usize,
    /// Objects and arrays inside one another, the record itself included; default 32.
    pub depth_max: usize,
    /// Values in one record; bounds the memory that a record of many tiny values takes; default 65,536.
    pub values_max: usize,
    /// Length of a token in bytes: it may be a long JWT; default 16 KiB.
    pub token_bytes_max: usize,
    /// Members in `attrs`; default 128.
    pub attrs_max: usize,
    /// Length of `attrs` as JSON in bytes; default 32 KiB.
    pub attrs_bytes_max: usize,
    /// Length of a name in `attrs` in bytes; default 256.
    pub attr_name_bytes_max: usize,
    /// Length of one value in `attrs` in bytes, beyond which it is cut; default 2 KiB.
    pub attr_bytes_max: usize,
}

impl Default for NormaliseConfig {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            assume_year: None,
            assume_zone: None,
            record_bytes_max: 1 << 20,
            depth_max: 32,
            values_max: 65_536,
            token_bytes_max: 16 << 10,
            attrs_max: 128,
            attrs_bytes_max: 32 << 10,
            attr_name_bytes_max: 256,
            attr_bytes_max: 2 << 10,
        }
    }
}

impl NormaliseConfig {
    /// Which limits are out of their range, each with its key; empty when none is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            record_bytes_max: 1..=256 << 20,
            // Below the first of these an event could not be one, above it the stack would be at risk.
            depth_max: 4..=120,
            values_max: straight::VALUES_MIN..=16 << 20,
            token_bytes_max: 16..=1 << 20,
            // Whether a name is there already is looked for one by one.
            attrs_max: 0..=4_096,
            attrs_bytes_max: 16..=16 << 20,
            attr_name_bytes_max: 1..=64 << 10,
            attr_bytes_max: 16..=16 << 20,
        )
        .collect()
    }
}

/// A configuration that cannot be used, with the key that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("normalise.{key}: {problem}")]
pub struct ConfigError {
    /// The key within `[normalise]`.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// The times that are taken, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// Older events are rejected.
    pub oldest_ms: i64,
    /// Later events are rejected.
    pub newest_ms: i64,
}

/// What the source knows of a record.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Id of an event that has none of its own: its position in the source. Printed only then.
    pub default_id: &'a dyn std::fmt::Display,
    /// The tenant that an ingest token stands for; a record that names another is rejected.
    pub tenant: Option<&'a str>,
    /// Times that are taken; absent: any.
    pub window: Option<TimeWindow>,
    /// About when the record was written at the latest, for times without a year.
    pub reference_ms: i64,
}

/// Turns records into events. Shared by reference between threads; keeps nothing between records that events depend on.
pub struct Normaliser {
    proxies: Proxies,
    assumed: Assumed,
    hasher: TokenHasher,
    held: HeldTokens,
    config: NormaliseConfig,
}

impl Normaliser {
    /// Makes a normaliser. `token_key` is what tokens are hashed with.
    ///
    /// # Errors
    /// The first key of the configuration that is wrong.
    pub fn new(config: &NormaliseConfig, token_key: &TokenKey) -> Result<Self, ConfigError> {
        let wrong = |key, problem: &str| ConfigError { key, problem: problem.to_owned() };
        let proxies = Proxies::parse(&config.trusted_proxies)
            .map_err(|text| wrong("trusted_proxies", &format!("{text:?} is neither an address nor a CIDR block")))?;
        let zone = match &config.assume_zone {
            None => jiff::tz::TimeZone::UTC,
            Some(text) => time::parse_zone(text)
                .ok_or_else(|| wrong("assume_zone", &format!("{text:?} is neither a time zone's name nor an offset like +02:00")))?,
        };
        if config.assume_year.is_some_and(|year| !(1..=9998).contains(&year)) {
            return Err(wrong("assume_year", "must be from 1 to 9998"));
        }
        if let Some((key, problem)) = config.errors().into_iter().next() {
            return Err(ConfigError { key, problem });
        }
        Ok(Self {
            proxies,
            assumed: Assumed { year: config.assume_year, zone },
            hasher: TokenHasher::new(token_key),
            held: HeldTokens::default(),
            config: config.clone(),
        })
    }

    /// The same, with the tokens that it hashes held there.
    #[must_use]
    pub fn holding(self, held: HeldTokens) -> Self {
        Self { held, ..self }
    }

    /// What stands for a token from here on.
    fn hash(&self, token: &str) -> TokenHash {
        let hash = self.hasher.hash(token);
        self.held.keep(hash, token);
        hash
    }

    /// The largest record taken, in bytes: what readers may skip without keeping.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        self.config.record_bytes_max
    }

    /// Adds the event of one record to the batch. `Ok(false)`: nothing to see in it (see the module's header).
    ///
    /// # Errors
    /// Which rule the record breaks.
    pub fn normalise_into(&self, format: Format, raw: &[u8], context: &Context<'_>, batch: &mut EventBatch) -> Result<bool, Reject> {
        let Some(text) = self.text_of(raw)? else { return Ok(false) };
        let strangers = match format {
            // No other format takes an object that has the members of an event and no others.
            Format::Auto => Some(Strangers::Unwanted),
            format if format == Format::BARTIZAN => Some(Strangers::Kept),
            _ => None,
        };
        if strangers.and_then(|strangers| straight::read(text, strangers, self, context, batch)).is_some() {
            return Ok(true);
        }
        Ok(self.draft_of(format, text, context)?.map(|draft| _ = batch.push(&draft)).is_some())
    }

    /// Makes a draft of one record. `Ok(None)`: nothing to see in it. The long way, for whoever wants a draft.
    ///
    /// # Errors
    /// Which rule the record breaks.
    pub fn normalise<'a>(&self, format: Format, raw: &'a [u8], context: &Context<'_>) -> Result<Option<EventDraft<'a>>, Reject> {
        self.text_of(raw)?.map_or(Ok(None), |text| self.draft_of(format, text, context))
    }

    /// The record as text without blanks around it; `None` if nothing is left.
    fn text_of<'a>(&self, raw: &'a [u8]) -> Result<Option<&'a str>, Reject> {
        if raw.len() > self.config.record_bytes_max {
            return Err(Reject::new(RejectCode::TooLarge, format!("the record is longer than {} bytes", self.config.record_bytes_max)));
        }
        let text = simdutf8::basic::from_utf8(raw)
            .or_else(|_| std::str::from_utf8(raw))
            .map_err(|error| Reject::new(RejectCode::NotUtf8, format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
        Ok(Some(text.trim_ascii()).filter(|text| !text.is_empty()))
    }

    fn draft_of<'a>(&self, format: Format, text: &'a str, context: &Context<'_>) -> Result<Option<EventDraft<'a>>, Reject> {
        let record = Record::new(text);
        let spec = match format {
            Format::Canonical => return canonical(text, context).and_then(people).map(Some),
            Format::Canary => return canonical(text, context).and_then(own).map(Some),
            Format::Auto => formats::recognise(&record, &self.config)?,
            Format::Of(spec) => spec,
        };
        match (spec.parse)(&record, &Env { proxies: &self.proxies, limits: &self.config })? {
            Some(raw) => validate::validate(raw, self, context).map(Some),
            None => Ok(None),
        }
    }
}

/// The event, if it is not of a tenant that is reserved for the daemon's own.
fn people(draft: EventDraft<'_>) -> Result<EventDraft<'_>, Reject> {
    validate::not_reserved(&draft).map(|()| draft)
}

/// The event, if it is of such a tenant.
fn own(draft: EventDraft<'_>) -> Result<EventDraft<'_>, Reject> {
    let own = canary::is_reserved(draft.texts.get(Field::Tenant)).then_some(draft);
    own.ok_or_else(|| Reject::new(RejectCode::ReservedTenant, "tenant: is none of the canary's, to which this topic belongs"))
}

/// Reads an event that HTTP ingest has validated and written to our own log. Its time was checked when
/// its sender got the answer that it is accepted, so it is not checked again.
fn canonical<'a>(text: &'a str, context: &Context<'_>) -> Result<EventDraft<'a>, Reject> {
    let mut draft: EventDraft<'a> = serde_json::from_str(text)
        .map_err(|_| Reject::new(RejectCode::Malformed, "not an event as this version writes them to its log"))?;
    if draft.texts.get(Field::Tenant).is_empty() || draft.texts.get(Field::Id).is_empty() {
        validate::identify(&mut draft, context)?;
    }
    Ok(draft)
}
