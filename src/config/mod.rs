//! The configuration: file < environment < flags, every error at once.
//!
//! Each module owns its own part; this is the one place that sees them all. Keys that no part knows
//! are errors. Files are TOML or YAML; an environment variable `BARTIZAN__HTTP__LISTEN` sets
//! `http.listen`. Relative paths of files that are named in the configuration are relative to the
//! configuration file's folder; `data_dir` is relative to the working directory.

#[cfg(test)]
mod tests;
mod tree;

use crate::api::HttpConfig;
use crate::canary::CanaryConfig;
use crate::detect::{DetectConfig, DetectorTables, Enabled};
use crate::enrich::{ClassList, PlacesConfig};
use crate::forward::KeycloakConfig;
use crate::incident::IncidentConfig;
use crate::log::journal::JournalConfig;
use crate::log::kafka::KafkaConfig;
use crate::normalise::{NormaliseConfig, Normaliser, TokenKey};
use crate::notify::{self, ChannelConfig, NotifyConfig, Problem, Routing};
use crate::pipeline::PipelineConfig;
use crate::respond::{PolicyConfig, ResponseConfig, RevocationConfig};
use crate::secret::{Secret, SecretError};
use crate::store::embedded::EmbeddedConfig;
use crate::store::{ClickHouseConfig, StoreConfig};
use crate::telemetry::TelemetryConfig;
use bartizan_core::{NetworkClass, Spec};
use config::{Environment, File, FileFormat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Bytes of a configuration file; it cannot say itself how long it may be.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Characters of a configured token key.
const TOKEN_KEY_CHARS_MIN: usize = 32;
/// What rules of the Sigma format are called in the place of a detector.
const SIGMA_PREFIX: &str = "sigma:";

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the embedded store, journal, checkpoints and database.
    pub data_dir: PathBuf,
    /// The HTTP surface.
    pub http: HttpConfig,
    /// Kafka; absent: the local journal is the log.
    pub kafka: Option<KafkaConfig>,
    /// A Keycloak server whose events `bartizan forward keycloak` takes.
    pub keycloak: Option<KeycloakConfig>,
    /// The local journal.
    pub journal: JournalConfig,
    /// What the pipeline holds at once.
    pub pipeline: PipelineConfig,
    /// Limits of detection.
    pub detect: DetectConfig,
    /// Attacks that the daemon sends itself.
    pub canary: CanaryConfig,
    /// What is kept how long.
    pub store: StoreConfig,
    /// How records are read.
    pub normalise: NormaliseConfig,
    /// A ClickHouse server; absent: the embedded engine.
    pub clickhouse: Option<ClickHouseConfig>,
    /// The embedded engine.
    pub embedded: EmbeddedConfig,
    /// Place and network files.
    pub places: PlacesConfig,
    /// One table for each detector.
    pub detectors: DetectorTables,
    /// What the daemon tells of itself.
    pub telemetry: TelemetryConfig,
    /// What belongs to one incident.
    pub incidents: IncidentConfig,
    /// Limits of telling.
    pub notify: NotifyConfig,
    /// Who is told.
    pub channels: Vec<ChannelConfig>,
    /// What holds for all who are asked to act.
    pub response: ResponseConfig,
    /// Who is asked to end sessions.
    pub revocation: Vec<RevocationConfig>,
    /// What is done beside.
    pub policies: Vec<PolicyConfig>,
    /// Secrets of the installation.
    pub secrets: SecretsConfig,
    /// Folder of the configuration file, by which relative paths go.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// `[secrets]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// Key of the keyed hash that tokens are kept as (HMAC-SHA-256), at least 32 characters. Absent:
    /// drawn at the first start and kept in the data directory. Set it where several installations
    /// are to give a token the same hash.
    pub token_key: Option<Secret>,
    /// The same from a file.
    pub token_key_file: Option<PathBuf>,
}

impl SecretsConfig {
    /// The configured token key; none if one is to be drawn.
    ///
    /// # Errors
    /// It cannot be read or is too short.
    pub fn token_key(&self) -> Result<Option<Secret>, Problem> {
        let secret = Secret::resolve(self.token_key.as_ref(), self.token_key_file.as_deref());
        match secret.map_err(|error| Problem::new("secrets.token_key", error))? {
            Some(secret) if secret.expose().chars().count() < TOKEN_KEY_CHARS_MIN => {
                Err(Problem::new("secrets.token_key", format!("must have at least {TOKEN_KEY_CHARS_MIN} characters")))
            }
            secret => Ok(secret),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("bartizan-data"),
            http: HttpConfig::default(),
            kafka: None,
            keycloak: None,
            journal: JournalConfig::default(),
            pipeline: PipelineConfig::default(),
            detect: DetectConfig::default(),
            canary: CanaryConfig::default(),
            store: StoreConfig::default(),
            normalise: NormaliseConfig::default(),
            clickhouse: None,
            embedded: EmbeddedConfig::default(),
            places: PlacesConfig::default(),
            detectors: DetectorTables::new(),
            telemetry: TelemetryConfig::default(),
            incidents: IncidentConfig::default(),
            notify: NotifyConfig::default(),
            channels: Vec::new(),
            response: ResponseConfig::default(),
            revocation: Vec::new(),
            policies: Vec::new(),
            secrets: SecretsConfig::default(),
            folder: None,
        }
    }
}

/// A configuration that cannot be used: every error, each with its source and key.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// What is written.
    Values,
    /// Also that the files it names can be used.
    Files,
}

impl Config {
    /// Reads the file (if any) and the environment, and looks at every file that they name.
    ///
    /// # Errors
    /// The file cannot be read, or the configuration is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::from_sources(file, Environment::default(), Depth::Files)
    }

    /// The same without a look at the files (secrets, certificates) that only the daemon needs.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_values(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::from_sources(file, Environment::default(), Depth::Values)
    }

    fn from_sources(file: Option<&Path>, environment: Environment, depth: Depth) -> Result<Self, ConfigErrors> {
        let environment = environment.prefix("BARTIZAN").prefix_separator("__").separator("__");
        let source = file.map_or_else(|| "environment".to_owned(), |path| path.display().to_string());
        let mut value = merged(file, environment).map_err(|error| ConfigErrors(vec![format!("{source}: {error}")]))?;
        let mut errors = Vec::new();
        tree::check(&Self::template(), &mut value, "", &mut errors);
        let mut config = Self::typed(value, &mut errors);
        config.resolve_paths(file.and_then(Path::parent).unwrap_or(Path::new("")));
        // What was wrong has left its default behind, which is no second error.
        let told: BTreeSet<String> = errors.iter().map(|error| error.key.clone()).collect();
        errors.extend(config.errors(depth).into_iter().filter(|error| !told.contains(&error.key)));
        if errors.is_empty() {
            return Ok(config);
        }
        Err(ConfigErrors(errors.iter().map(|error| format!("{source}: {error}")).collect()))
    }

    /// The configuration as far as the tree gives it; tables of lists that are none are left out.
    fn typed(mut value: Value, errors: &mut Vec<Problem>) -> Self {
        let mut list = |name: &str| value.as_object_mut().and_then(|root| root.remove(name));
        let (channels, revocation, policies) = (list("channels"), list("revocation"), list("policies"));
        let mut config: Self = tree::typed(value, "", errors).unwrap_or_default();
        config.channels = tables(channels, "channels", errors);
        config.revocation = tables(revocation, "revocation", errors);
        config.policies = tables(policies, "policies", errors);
        config
    }

    /// Every key that there is, with every optional part present.
    fn template() -> Value {
        let every = Self {
            kafka: Some(KafkaConfig::default()),
            keycloak: Some(KeycloakConfig::default()),
            clickhouse: Some(ClickHouseConfig::default()),
            normalise: NormaliseConfig { assume_year: Some(0), ..NormaliseConfig::default() },
            places: PlacesConfig {
                classes: vec![ClassList { path: String::new(), class: NetworkClass::Unknown }],
                ..PlacesConfig::default()
            },
            detectors: bartizan_catalogue::all().map(|spec| (spec.id.to_owned(), table_of(spec))).collect(),
            channels: smallest(json!({"name": "", "kind": "webhook"})),
            revocation: smallest(json!({"name": "", "url": ""})),
            policies: smallest(json!({"name": "", "actions": []})),
            ..Self::default()
        };
        serde_json::to_value(every).unwrap_or_default()
    }

    /// What the types cannot say, each with its key.
    fn errors(&self, depth: Depth) -> Vec<Problem> {
        let mut errors = Vec::new();
        let mut part = |name: &str, found: Vec<(&'static str, String)>| {
            errors.extend(found.into_iter().map(|(key, problem)| Problem::new(format!("{name}.{key}"), problem)));
        };
        part("http", self.http.errors());
        part("journal", self.journal.errors());
        part("pipeline", self.pipeline.errors());
        part("detect", self.detect.errors());
        part("canary", self.canary.errors());
        part("store", self.store.errors());
        part("normalise", self.normalise.errors());
        part("embedded", self.embedded.errors());
        part("places", self.places.errors());
        part("telemetry", self.telemetry.errors());
        part("incidents", self.incidents.errors());
        part("notify", self.notify.errors());
        part("response", self.response.errors());
        if let Some(clickhouse) = &self.clickhouse {
            part("clickhouse", clickhouse.errors());
        }
        if let Some(kafka) = &self.kafka {
            part("kafka", kafka.errors());
        }
        if let Some(keycloak) = &self.keycloak {
            part("keycloak", keycloak.errors());
        }
        let wrong = Normaliser::new(&self.normalise, &TokenKey([0; 32])).err();
        let wrong = wrong.map(|error| Problem::new(format!("normalise.{}", error.key), error.problem));
        if let Some(wrong) = wrong.filter(|wrong| !errors.contains(wrong)) {
            errors.push(wrong);
        }
        let wrong = Enabled::new(bartizan_catalogue::all(), &self.detectors).err().into_iter().flatten();
        errors.extend(wrong.map(|error| match error.split_once(": ") {
            Some((key, problem)) => Problem::new(key, problem),
            None => Problem::new("detectors", error),
        }));
        errors.extend(self.unknown_detectors());
        errors.extend(PolicyConfig::all_problems(&self.policies, &self.revocation));
        match depth {
            Depth::Values => errors.extend(Routing::problems(&self.channels, &self.revocation)),
            Depth::Files => {
                errors.extend(notify::problems(&self.channels, &self.revocation, &self.notify));
                errors.extend(self.file_errors());
            }
        }
        errors
    }

    /// Channels and targets for detectors that do not exist would never be told anything.
    fn unknown_detectors(&self) -> Vec<Problem> {
        let channels = self.channels.iter().map(|channel| (format!("channels.{}", channel.name), &channel.detectors));
        let targets = self.revocation.iter().map(|target| (format!("revocation.{}", target.name), &target.detectors));
        let policies = self.policies.iter().map(|policy| (format!("policies.{}", policy.name), &policy.detectors));
        let mut errors = Vec::new();
        for (table, ids) in channels.chain(targets).chain(policies) {
            let unknown = ids.iter().filter(|id| !id.starts_with(SIGMA_PREFIX) && bartizan_catalogue::find(id).is_none());
            errors.extend(unknown.map(|id| Problem::new(format!("{table}.detectors"), format!("there is no detector {id:?}"))));
        }
        errors
    }

    /// Files of this configuration that cannot be read.
    fn file_errors(&self) -> Vec<Problem> {
        let mut files = vec![("http.tls_cert", self.http.tls_cert.as_path()), ("http.tls_key", self.http.tls_key.as_path())];
        if let Some(kafka) = &self.kafka {
            files.push(("kafka.sasl_password_file", &kafka.sasl_password_file));
        }
        match &self.clickhouse {
            Some(server) => files.extend(server.password_file.as_deref().map(|path| ("clickhouse.password_file", path))),
            None => files.extend(self.embedded.library.as_deref().map(|path| ("embedded.library", path))),
        }
        let mut errors: Vec<Problem> = self.secrets.token_key().err().into_iter().collect();
        for (key, path) in files.into_iter().filter(|(_, path)| !path.as_os_str().is_empty()) {
            let opened = std::fs::File::open(path).and_then(|file| file.metadata());
            match opened {
                Ok(found) if found.is_file() => {}
                Ok(_) => errors.push(Problem::new(key, format!("{} is not a file", path.display()))),
                Err(error) => errors.push(Problem::new(key, SecretError::File { path: path.to_owned(), source: error })),
            }
        }
        errors
    }

    /// Makes the paths of files relative to the configuration file's folder.
    fn resolve_paths(&mut self, folder: &Path) {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        paths.extend(self.clickhouse.iter_mut().filter_map(|server| server.password_file.as_mut()));
        paths.extend(self.embedded.library.as_mut());
        paths.extend(self.secrets.token_key_file.as_mut());
        paths.extend(self.response.hold_key_file.as_mut());
        for channel in &mut self.channels {
            paths.extend(channel.url_file.as_mut());
            paths.extend(channel.secret_file.as_mut());
            paths.extend(channel.password_file.as_mut());
            paths.extend(channel.ca_file.as_mut());
        }
        for target in &mut self.revocation {
            paths.extend([&mut target.secret_file, &mut target.client_secret_file, &mut target.ca_file].into_iter().flatten());
        }
        paths.extend([&mut self.http.tls_cert, &mut self.http.tls_key]);
        if let Some(kafka) = &mut self.kafka {
            paths.push(&mut kafka.sasl_password_file);
        }
        if let Some(keycloak) = &mut self.keycloak {
            paths.extend([&mut keycloak.client_secret_file, &mut keycloak.ingest_token_file, &mut keycloak.ca_file]);
        }
        for path in paths.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            *path = folder.join(&*path);
        }
        self.folder = Some(folder.to_owned());
    }
}

/// A list with the table that has only what it must have.
fn smallest<T: DeserializeOwned>(table: Value) -> Vec<T> {
    serde_json::from_value(table).into_iter().collect()
}

/// The tables of a list, each checked by itself.
fn tables<T: DeserializeOwned>(list: Option<Value>, key: &str, errors: &mut Vec<Problem>) -> Vec<T> {
    let Some(Value::Array(list)) = list else { return Vec::new() };
    let mut table = |(index, table): (usize, Value)| {
        let key = tree::element_key(key, index, &table);
        tree::typed(table, &key, errors)
    };
    list.into_iter().enumerate().filter_map(&mut table).collect()
}

/// A detector's table with its defaults.
fn table_of(spec: &Spec) -> std::collections::BTreeMap<String, Value> {
    let parameters = spec.parameters.iter().map(|parameter| (parameter.name.to_owned(), json_of(parameter.default)));
    parameters.chain([("enabled".to_owned(), Value::Bool(true))]).collect()
}

fn json_of(value: bartizan_core::Value) -> Value {
    match value {
        bartizan_core::Value::Int(value) => json!(value),
        bartizan_core::Value::Float(value) => json!(value),
        bartizan_core::Value::Bool(value) => json!(value),
    }
}

/// File and environment as one tree.
fn merged(file: Option<&Path>, environment: Environment) -> Result<Value, String> {
    let mut builder = config::Config::builder();
    if let Some(path) = file {
        let text = read(path).map_err(|error| error.to_string())?;
        // Comments alone are no document to a YAML reader, and no mistake either.
        let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        builder = if is_empty { builder } else { builder.add_source(File::from_str(&text, format_of(path))) };
    }
    let merged = builder.add_source(environment).build().and_then(config::Config::try_deserialize::<Value>);
    let value = merged.map_err(|error| error.to_string())?;
    Ok(if value.is_null() { Value::Object(Map::new()) } else { value })
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read as _};
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("larger than {FILE_BYTES_MAX} bytes: not a configuration")));
    }
    Ok(text)
}

/// YAML by its ending, else TOML.
fn format_of(path: &Path) -> FileFormat {
    let yaml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("yaml") || ending.eq_ignore_ascii_case("yml"));
    if yaml { FileFormat::Yaml } else { FileFormat::Toml }
}
