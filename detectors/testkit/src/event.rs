//! Builder of events for scenarios.

use bartizan_core::batch::Field;
use bartizan_core::{Attestation, EventBatch, EventDraft, Kind, NetworkClass, Outcome, Place, TimeMs, TokenHash, UserKind};
use std::collections::BTreeMap;

/// An event in the making. Everything not set is absent.
#[derive(Clone, Debug)]
pub struct TestEvent {
    draft: EventDraft<'static>,
    texts: BTreeMap<&'static str, (Field, String)>,
    place: Option<Place>,
    asn: u32,
    class: NetworkClass,
}

/// Milliseconds of an RFC 3339 time; 0 for anything else, which shows up in any scenario.
#[must_use]
pub fn at(time: &str) -> i64 {
    TimeMs::parse(time).map_or(0, |time| time.0)
}

/// A successful event of kind `other` at an RFC 3339 time, tenant `acme`.
#[must_use]
pub fn event(time: &str) -> TestEvent {
    TestEvent::at_ms(at(time))
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $field:ident,)+) => {
        $($(#[$doc])* #[must_use] pub fn $name(self, text: impl Into<String>) -> Self { self.text(Field::$field, text) })+
    };
}

impl TestEvent {
    /// A successful event of kind `other` at `time_ms`.
    #[must_use]
    pub fn at_ms(time_ms: i64) -> Self {
        let draft = EventDraft { time_ms, outcome: Outcome::Success, ..EventDraft::default() };
        let new = Self { draft, texts: BTreeMap::new(), place: None, asn: 0, class: NetworkClass::Unknown };
        new.text(Field::Tenant, "acme")
    }

    /// Sets any text member.
    #[must_use]
    pub fn text(mut self, field: Field, text: impl Into<String>) -> Self {
        self.texts.insert(field.as_str(), (field, text.into()));
        self
    }

    texts! {
        /// User.
        user = User,
        /// User agent.
        agent = UserAgent,
        /// Device.
        device = Device,
        /// TLS fingerprint.
        ja4 = Ja4,
        /// Session.
        session = Session,
        /// Event id; the runner numbers events without one.
        id = Id,
        /// Scopes.
        scope = Scope,
        /// Grant.
        grant = Grant,
        /// Tenant.
        tenant = Tenant,
        /// Region of the place.
        region = Region,
        /// Second factor.
        factor = Factor,
        /// Client application.
        app = App,
    }

    /// Proof of the genuine app.
    #[must_use]
    pub fn attestation(mut self, attestation: Attestation) -> Self {
        self.draft.attestation = attestation;
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.draft.kind = kind;
        self
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.draft.outcome = outcome;
        self
    }

    /// A sign-in.
    #[must_use]
    pub fn login(self) -> Self {
        self.kind(Kind::Login)
    }

    /// A call to the API by method and path, answered with this status.
    #[must_use]
    pub fn asks(mut self, method: &str, path: impl Into<String>, status: u16) -> Self {
        self.draft.status = Some(status);
        self.request().text(Field::Method, method).text(Field::Path, path)
    }

    /// A call to the API.
    #[must_use]
    pub fn request(self) -> Self {
        self.kind(Kind::ApiRequest)
    }

    /// An exchange of one refresh token for another.
    #[must_use]
    pub fn refresh(mut self, presented: &str, issued: &str) -> Self {
        self.draft.token_issued = Some(token(issued));
        self.kind(Kind::TokenRefresh).token(presented)
    }

    /// The token presented.
    #[must_use]
    pub fn token(mut self, presented: &str) -> Self {
        self.draft.token = Some(token(presented));
        self
    }

    /// It failed, for this reason; nothing was issued.
    #[must_use]
    pub fn fail(mut self, reason: &str) -> Self {
        self.draft.token_issued = None;
        self.outcome(Outcome::Failure).text(Field::Reason, reason)
    }

    /// A program acts.
    #[must_use]
    pub fn service(mut self) -> Self {
        self.draft.user_kind = UserKind::Service;
        self
    }

    /// The client's address; a text that is none leaves it out.
    #[must_use]
    pub fn ip(mut self, ip: &str) -> Self {
        self.draft.ip = ip.parse().ok();
        self
    }

    /// Where the address lies, to within 20 km.
    #[must_use]
    pub fn place(mut self, country: &str, latitude: f32, longitude: f32) -> Self {
        let mut letters = [0; 2];
        letters.iter_mut().zip(country.bytes()).for_each(|(slot, byte)| *slot = byte);
        self.place = Some(Place { country: letters, latitude, longitude, accuracy_km: 20 });
        self
    }

    /// The address's network.
    #[must_use]
    pub fn asn(mut self, asn: u32, class: NetworkClass) -> Self {
        (self.asn, self.class) = (asn, class);
        self
    }

    /// The same event later (or earlier).
    #[must_use]
    pub fn plus_ms(mut self, ms: i64) -> Self {
        self.draft.time_ms = self.draft.time_ms.saturating_add(ms);
        self
    }

    /// Event time.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        self.draft.time_ms
    }

    /// Adds the event to a batch under its number.
    pub(crate) fn push(&self, batch: &mut EventBatch, seq: u64, watermark_ms: i64) {
        let mut draft = self.draft.clone();
        draft.texts.set(Field::Id, format!("e{seq}"));
        for (field, text) in self.texts.values() {
            draft.texts.set(*field, text.clone());
        }
        let record = batch.push(&draft);
        (record.seq, record.watermark_ms) = (seq, watermark_ms);
        (record.place, record.asn, record.network_class) = (self.place, self.asn, self.class);
    }
}

fn token(name: &str) -> TokenHash {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
    TokenHash(bytes)
}
