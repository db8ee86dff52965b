//! `[keycloak]`: the server that `bartizan forward keycloak` reads, and where its events go.

use crate::keycloak::RealmConfig;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// `[keycloak]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeycloakConfig {
    /// Address of the server, with its path if it has one.
    pub url: String,
    /// Realms whose events are taken.
    pub realms: Vec<RealmConfig>,
    /// Client with a service account that has the role `view-events`.
    pub client_id: String,
    /// Its secret.
    pub client_secret_file: PathBuf,
    /// Realm of that client; empty: each realm has one of its own.
    pub auth_realm: String,
    /// Certificates of authorities beside the system's, PEM; empty for none.
    pub ca_file: PathBuf,
    /// Secrets over plain HTTP: only within one machine.
    pub allow_plaintext: bool,
    /// Topic that the events are appended to, where there is Kafka.
    pub topic: String,
    /// HTTP ingest that gets the events where there is no Kafka (`https://…/api/v1/events`); empty for none.
    pub ingest_url: String,
    /// Token of the role `ingest` for it.
    pub ingest_token_file: PathBuf,
    /// Also what administrators do?
    pub admin_events: bool,
    /// Pause between two questions.
    pub poll_ms: u64,
    /// How far back each question begins: an event is stored at the end of its request, and may be so much
    /// older than another that was stored before it. Every half minute ten minutes are asked for.
    pub overlap_ms: i64,
    /// How far back the first start begins.
    pub backfill_ms: i64,
}

impl Default for KeycloakConfig {
    fn default() -> Self {
        Self {
            url: "https://id.example".to_owned(),
            realms: vec![RealmConfig { name: "people".to_owned(), tenant: String::new() }],
            client_id: "bartizan".to_owned(),
            client_secret_file: PathBuf::new(),
            auth_realm: String::new(),
            ca_file: PathBuf::new(),
            allow_plaintext: false,
            topic: "keycloak-events".to_owned(),
            ingest_url: String::new(),
            ingest_token_file: PathBuf::new(),
            admin_events: true,
            poll_ms: 250,
            overlap_ms: 5_000,
            backfill_ms: 86_400_000,
        }
    }
}

impl KeycloakConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        errors.extend(self.wrong_url(&self.url).map(|error| ("url", error)));
        if !self.ingest_url.is_empty() {
            errors.extend(self.wrong_url(&self.ingest_url).map(|error| ("ingest_url", error)));
        }
        let mut names = BTreeSet::new();
        if self.realms.is_empty() {
            errors.push(("realms", "must name at least one".to_owned()));
        }
        for realm in self.realms.iter().filter(|realm| realm.name.is_empty() || !names.insert(&realm.name)) {
            errors.push(("realms", format!("{:?} is empty or named twice", realm.name)));
        }
        if self.client_id.is_empty() {
            errors.push(("client_id", "must not be empty".to_owned()));
        }
        if self.topic.is_empty() {
            errors.push(("topic", "must not be empty".to_owned()));
        }
        errors.extend(out_of_range!(self; poll_ms: 50..=60_000, overlap_ms: 0..=600_000, backfill_ms: 0..=90 * 86_400_000));
        errors
    }

    fn wrong_url(&self, url: &str) -> Option<String> {
        match Url::parse(url) {
            Err(error) => Some(error.to_string()),
            Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && self.allow_plaintext) => None,
            Ok(_) => Some("must begin with https:// (or http:// with allow_plaintext)".to_owned()),
        }
    }
}
