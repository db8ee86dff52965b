//! The configuration: file < environment < flags, every error at once.
//!
//! Each module owns its own part; this is the one place that sees them all. Keys that no part knows
//! are errors. Files are TOML or YAML; an environment variable `BARTIZAN__HTTP__LISTEN` sets
//! `http.listen`. Relative paths of files that are named in the configuration are relative to the
//! configuration file's folder; `data_dir` is relative to the working directory.

mod tree;

use crate::api::HttpConfig;
use crate::detect::{DetectConfig, DetectorTables, Enabled};
use crate::enrich::PlacesConfig;
use crate::log::journal::JournalConfig;
use crate::log::kafka::KafkaConfig;
use crate::normalise::{NormaliseConfig, Normaliser, TokenKey};
use crate::notify::{ChannelConfig, Routing};
use crate::respond::RevocationConfig;
use crate::secret::Secret;
use crate::store::embedded::EmbeddedConfig;
use crate::store::{ClickHouseConfig, StoreConfig};
use config::{Environment, File, FileFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 4 << 20;

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
    /// The local journal.
    pub journal: JournalConfig,
    /// Limits of detection.
    pub detect: DetectConfig,
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
    /// Who is told.
    pub channels: Vec<ChannelConfig>,
    /// Who is asked to end sessions.
    pub revocation: Vec<RevocationConfig>,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("bartizan-data"),
            http: HttpConfig::default(),
            kafka: None,
            journal: JournalConfig::default(),
            detect: DetectConfig::default(),
            store: StoreConfig::default(),
            normalise: NormaliseConfig::default(),
            clickhouse: None,
            embedded: EmbeddedConfig::default(),
            places: PlacesConfig::default(),
            detectors: DetectorTables::new(),
            channels: Vec::new(),
            revocation: Vec::new(),
            secrets: SecretsConfig::default(),
            folder: None,
        }
    }
}

/// A configuration that cannot be used: every error, each with its key.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

impl Config {
    /// Reads the file (if any) and the environment.
    ///
    /// # Errors
    /// The file cannot be read, or the configuration is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::from_sources(file, Environment::with_prefix("BARTIZAN").prefix_separator("__").separator("__"))
    }

    fn from_sources(file: Option<&Path>, environment: Environment) -> Result<Self, ConfigErrors> {
        let one = |error: String| ConfigErrors(vec![error]);
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            let text = read(path).map_err(|error| one(format!("{}: {error}", path.display())))?;
            builder = builder.add_source(File::from_str(&text, format_of(path)));
        }
        let merged = builder.add_source(environment).build();
        let mut value: Value =
            merged.and_then(config::Config::try_deserialize).map_err(|error| one(format!("{}: {error}", shown(file))))?;
        let mut errors = Vec::new();
        tree::check(&Self::template(), &mut value, "", &mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let mut config: Self = serde_json::from_value(value).map_err(|error| one(format!("{}: {error}", shown(file))))?;
        config.resolve_paths(file.and_then(Path::parent).unwrap_or(Path::new("")));
        let errors = config.errors();
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    /// Every key that there is, with every optional part present.
    fn template() -> Value {
        let every = Self {
            kafka: Some(KafkaConfig::default()),
            clickhouse: Some(ClickHouseConfig::default()),
            channels: smallest(json!({"name": "", "kind": "webhook"})),
            revocation: smallest(json!({"name": "", "url": ""})),
            ..Self::default()
        };
        serde_json::to_value(every).unwrap_or_default()
    }

    /// What the types cannot say, each with its key.
    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let mut part = |name: &str, found: Vec<(&'static str, String)>| {
            errors.extend(found.into_iter().map(|(key, problem)| format!("{name}.{key}: {problem}")));
        };
        part("http", self.http.errors());
        part("detect", self.detect.errors());
        part("store", self.store.errors());
        part("embedded", self.embedded.errors());
        if let Some(clickhouse) = &self.clickhouse {
            part("clickhouse", clickhouse.errors());
        }
        if let Some(kafka) = &self.kafka {
            part("kafka", kafka.errors());
        }
        let problems = Routing::problems(&self.channels, &self.revocation);
        errors.extend(problems.into_iter().map(|problem| problem.to_string()));
        if let Err(error) = Normaliser::new(&self.normalise, &TokenKey([0; 32])) {
            errors.push(error.to_string());
        }
        errors.extend(Enabled::new(bartizan_catalogue::all(), &self.detectors).err().into_iter().flatten());
        errors
    }

    /// Makes the paths of files relative to the configuration file's folder.
    fn resolve_paths(&mut self, folder: &Path) {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        paths.extend(self.clickhouse.iter_mut().filter_map(|server| server.password_file.as_mut()));
        paths.extend(self.embedded.library.as_mut());
        paths.extend(self.secrets.token_key_file.as_mut());
        for channel in &mut self.channels {
            paths.extend(channel.secret_file.as_mut());
            paths.extend(channel.password_file.as_mut());
            paths.extend(channel.ca_file.as_mut());
        }
        for target in &mut self.revocation {
            paths.extend(target.secret_file.as_mut());
            paths.extend(target.ca_file.as_mut());
        }
        paths.extend([&mut self.http.tls_cert, &mut self.http.tls_key]);
        if let Some(kafka) = &mut self.kafka {
            paths.push(&mut kafka.sasl_password_file);
        }
        for path in paths.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            *path = folder.join(&*path);
        }
        self.folder = Some(folder.to_owned());
    }
}

/// A list with the table that has only what it must have.
fn smallest<T: serde::de::DeserializeOwned>(table: Value) -> Vec<T> {
    serde_json::from_value(table).into_iter().collect()
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// YAML by its ending, else TOML.
fn format_of(path: &Path) -> FileFormat {
    let yaml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("yaml") || ending.eq_ignore_ascii_case("yml"));
    if yaml { FileFormat::Yaml } else { FileFormat::Toml }
}

fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "environment".to_owned(), |path| path.display().to_string())
}
