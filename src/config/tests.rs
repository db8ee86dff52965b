//! The configuration as people write it, and the documented one held against the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use std::path::PathBuf;
use tempfile::TempDir;

const DOCUMENTED: &str = include_str!("../../deploy/bartizan.toml");

/// An environment that holds these variables and no others.
fn environment(variables: &[(&str, &str)]) -> Environment {
    let map = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment::default().source(Some(map))
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn load_with(name: &str, text: &str, variables: &[(&str, &str)], depth: Depth) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, name, text);
    let shown = format!("{}: ", path.display());
    Config::from_sources(Some(&path), environment(variables), depth).map_err(|errors| {
        let plain = |error: String| error.strip_prefix(&shown).expect("an error names the file").to_owned();
        errors.0.into_iter().map(plain).collect()
    })
}

fn load(text: &str) -> Result<Config, Vec<String>> {
    load_with("bartizan.toml", text, &[], Depth::Values)
}

fn errors(text: &str) -> Vec<String> {
    load(text).expect_err("it is wrong")
}

/// The documented configuration with everything switched on that is off.
fn switched_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.chars().next().is_some_and(|first| !first.is_whitespace()) => rest.to_owned(),
        _ => line.to_owned(),
    };
    DOCUMENTED.lines().map(on).collect::<Vec<_>>().join("\n")
}

/// The keys of a tree, without those of free-form tables.
fn keys(template: &Value, value: &Value, key: &str, found: &mut BTreeSet<String>) {
    match (template, value) {
        (Value::Object(known), Value::Object(given)) if !known.is_empty() => {
            for (name, value) in given {
                let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                keys(known.get(name).unwrap_or(&Value::Null), value, &path, found);
            }
        }
        (Value::Array(known), Value::Array(given)) if known.first().is_some_and(Value::is_object) => {
            given.iter().for_each(|value| keys(&known[0], value, key, found));
        }
        _ => {
            found.insert(key.to_owned());
        }
    }
}

#[test]
fn the_documented_configuration_is_the_default() {
    let loaded = load_with("bartizan.toml", DOCUMENTED, &[], Depth::Files).unwrap();
    let detectors = bartizan_catalogue::all().map(|spec| (spec.id.to_owned(), table_of(spec))).collect();
    let expected = Config { detectors, folder: loaded.folder.clone(), ..Config::default() };
    assert_eq!(loaded, expected);
}

#[test]
fn the_documented_configuration_has_every_key_and_all_of_it_works() {
    let text = switched_on();
    let loaded = load(&text).unwrap();
    assert!(loaded.kafka.is_some() && loaded.clickhouse.is_some() && loaded.revocation.len() == 3 && loaded.policies.len() == 1);
    let folder = tempfile::tempdir().unwrap();
    let mut documented = merged(Some(&write(&folder, "bartizan.toml", &text)), environment(&[])).unwrap();
    // Given either in place or as a file, so only one of each can be switched on; the prose names the other.
    for (list, index, name) in [("channels", 0, "secret"), ("channels", 1, "password"), ("revocation", 0, "secret")] {
        assert!(DOCUMENTED.contains(&format!("in place as `{name}`")), "{name}");
        documented[list][index][name] = json!("");
    }
    let (template, mut there, mut told) = (Config::template(), BTreeSet::new(), BTreeSet::new());
    keys(&template, &template, "", &mut there);
    keys(&template, &documented, "", &mut told);
    assert_eq!(there.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "keys without documentation");
    assert_eq!(told.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "documented keys that there are not");
}

#[test]
fn ten_errors_are_reported_with_their_keys_at_once() {
    let text = r#"
        nonsense = 1
        [http]
        listen = "everywhere"
        body_bytes_max = -5
        [detect]
        threads = 65
        lateness_ms = "soon"
        [kafka]
        broker = "a:9092"
        [detectors.token_reuse]
        grace_ms = -1
        [detectors.sorcery]
        enabled = true
        [[channels]]
        name = "oncall"
        kind = "webhook"
        detectors = ["token_use"]
        [[channels]]
        name = "mail"
        [[revocation]]
        name = "identity"
        url = "https://idp.example"
        secret_file = "s"
        min_severity = "worst"
    "#;
    let errors = errors(text);
    let expected = [
        "detect.lateness_ms: must be a whole number, is text",
        "detectors.sorcery: unknown key",
        "kafka.broker: unknown key (did you mean brokers?)",
        "nonsense: unknown key",
        "http.body_bytes_max: invalid value",
        "channels.mail: missing field `kind`",
        "revocation.identity.min_severity: unknown variant",
        "http.listen: must be an address and a port",
        "detect.threads: must be from 1 to 64",
        "detectors.token_reuse.grace_ms: must be between 0",
        "channels.oncall.detectors: there is no detector \"token_use\"",
        "channels.oncall.url: a webhook needs a url",
        "channels.oncall.secret_file: a webhook needs a secret",
    ];
    for beginning in expected {
        assert!(errors.iter().any(|error| error.starts_with(beginning)), "{beginning}: {errors:#?}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

/// Every whole number called a maximum, by its key.
fn maxima(value: &Value, key: &str, found: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        match value {
            Value::Object(_) => maxima(value, &path, found),
            Value::Number(_) if name.ends_with("_max") => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn every_maximum_has_a_range_that_holds_its_default() {
    let mut template = Config::template();
    // Detectors check their own parameters.
    template.as_object_mut().unwrap().remove("detectors");
    let mut keys = Vec::new();
    maxima(&template, "", &mut keys);
    assert!(keys.len() > 70, "{keys:?}");
    for key in &keys {
        let (table, name) = key.split_once('.').unwrap();
        let wrong = errors(&format!("[{table}]\n{name} = 9223372036854775807"));
        assert!(wrong.len() == 1 && wrong[0].starts_with(&format!("{key}: ")), "{key}: {wrong:?}");
        let zero = load(&format!("[{table}]\n{name} = 0"));
        let told = zero.as_ref().err().is_none_or(|wrong| wrong.len() == 1 && wrong[0].starts_with(&format!("{key}: must be ")));
        assert!(told, "{key}: {zero:?}");
    }
}

#[test]
fn a_limit_out_of_its_range_is_told_with_the_range() {
    let text = "[http]\nhead_bytes_max = 100\n[normalise]\ndepth_max = 1000\ntrusted_proxies = [\"x\"]\n[notify]\nrecipients_max = 0\n\
                [detect]\nepisodes_bytes_max = 5\nepisode_event_ids_each_max = 500";
    assert_eq!(
        errors(text),
        [
            "http.head_bytes_max: must be from 8192 to 1048576, is 100",
            "detect.episodes_bytes_max: must be from 1048576 to 1099511627776, is 5",
            "detect.episode_event_ids_each_max: must be from 1 to 333, is 500",
            "normalise.depth_max: must be from 4 to 120, is 1000",
            "notify.recipients_max: must be from 1 to 10000, is 0",
            "normalise.trusted_proxies: \"x\" is neither an address nor a CIDR block",
        ]
    );
}

#[test]
fn tables_without_what_they_must_have_are_named() {
    assert_eq!(errors("[[channels]]\nkind = \"kafka\""), ["channels[0]: missing field `name`"]);
    assert_eq!(errors("[[channels]]\nname = \"a\"\nkind = \"kafka\"\n[[channels]]\nname = \"b\""), ["channels.b: missing field `kind`"]);
    let pager = errors("[[channels]]\nname = \"a\"\nkind = \"pager\"");
    assert!(pager.len() == 1 && pager[0].starts_with("channels.a.kind: unknown variant `pager`"), "{pager:?}");
    assert_eq!(errors("[[revocation]]\nname = \"a\""), ["revocation.a: missing field `url`"]);
    assert_eq!(errors("[kafka]\ntopics = [{ format = \"auto\" }]"), ["kafka.topics[0]: missing field `name`"]);
    assert_eq!(errors("channels = [3]"), ["channels[0]: must be a table, is a whole number"]);
}

#[test]
fn files_that_are_named_are_looked_at() {
    let text = r#"
        [http]
        tls_cert = "cert.pem"
        tls_key = "."
        [clickhouse]
        password_file = "none"
        [secrets]
        token_key = "short"
        [[channels]]
        name = "oncall"
        kind = "webhook"
        url = "https://a.example"
        secret_file = "none"
        [[channels]]
        name = "mail"
        kind = "email"
    "#;
    let errors = load_with("bartizan.toml", text, &[], Depth::Files).unwrap_err();
    let begins = ["channels.mail.smtp", "channels.mail.from", "channels.mail.to", "channels.oncall: secret_file: cannot read"];
    let files = ["secrets.token_key", "http.tls_cert: cannot read", "http.tls_key:", "clickhouse.password_file: cannot read"];
    for beginning in begins.into_iter().chain(files) {
        assert!(errors.iter().any(|error| error.starts_with(beginning)), "{beginning}: {errors:#?}");
    }
    assert_eq!(errors.len(), 8, "{errors:#?}");
    let values = self::errors(text);
    assert!(values.iter().all(|error| error.starts_with("channels.mail.")), "{values:?}");
}

#[test]
fn yaml_says_the_same() {
    let text =
        "http:\n  listen: 127.0.0.1:9\ndetectors:\n  token_reuse: {enabled: false}\nkafka:\n  properties:\n    ssl.ca.location: ca.pem\n";
    let config = load_with("bartizan.yaml", text, &[], Depth::Values).unwrap();
    assert_eq!(config.http.listen, "127.0.0.1:9");
    assert_eq!(config.detectors["token_reuse"]["enabled"], false);
    assert_eq!(config.kafka.unwrap().properties["ssl.ca.location"], "ca.pem", "dots in a key are part of it");
    assert!(
        load_with("bartizan.yml", "http:\n  listening: x\n", &[], Depth::Values).unwrap_err()[0].starts_with("http.listening: unknown")
    );
    assert!(load_with("bartizan.yml", "- 1\n- 2\n", &[], Depth::Values).is_err());
}

#[test]
fn an_empty_file_is_the_default() {
    for name in ["bartizan.toml", "bartizan.yaml"] {
        for text in ["", "\n", "# nothing here\n\n"] {
            let config = load_with(name, text, &[], Depth::Files).unwrap();
            assert_eq!(Config { folder: None, ..config }, Config::default(), "{name} {text:?}");
        }
    }
    assert_eq!(Config { folder: None, ..Config::from_sources(None, environment(&[]), Depth::Files).unwrap() }, Config::default());
}

#[test]
fn the_environment_wins_over_the_file_and_reaches_tables_and_lists() {
    let variables = [
        ("BARTIZAN__HTTP__LISTEN", "127.0.0.1:1"),
        ("BARTIZAN__DETECT__LATENESS_MS", "5"),
        ("BARTIZAN__NORMALISE__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ("BARTIZAN__NORMALISE__ASSUME_YEAR", "2024"),
        ("BARTIZAN__DETECTORS__TOKEN_REUSE__ENABLED", "false"),
        ("BARTIZAN__DETECTORS__IMPOSSIBLE_TRAVEL__SPEED_MAX_KM_H", "900"),
        ("BARTIZAN__KAFKA__TOPICS", r#"[{"name": "logs", "format": "sshd"}]"#),
        ("BARTIZAN__KAFKA__PROPERTIES", r#"{"security.protocol": "ssl"}"#),
        ("BARTIZAN__PLACES__CITY", ""),
        ("UNRELATED", "1"),
    ];
    let config = load_with("a.toml", "[http]\nlisten = \"127.0.0.1:2\"\nbody_bytes_max = 7", &variables, Depth::Files).unwrap();
    assert_eq!((config.http.listen.as_str(), config.http.body_bytes_max), ("127.0.0.1:1", 7));
    assert_eq!(config.detect.lateness_ms, 5);
    assert_eq!(config.normalise.trusted_proxies, ["10.0.0.0/8", "192.0.2.1"]);
    assert_eq!(config.normalise.assume_year, Some(2024));
    assert_eq!(config.detectors["token_reuse"]["enabled"], false);
    assert_eq!(config.detectors["impossible_travel"]["speed_max_km_h"], 900);
    let kafka = config.kafka.unwrap();
    assert_eq!((kafka.topics[0].name.as_str(), kafka.topics[0].format.as_str()), ("logs", "sshd"));
    assert_eq!(kafka.properties["security.protocol"], "ssl");
    assert!(config.places.city.is_empty());
    let wrong = Config::from_sources(None, environment(&[("BARTIZAN__HTTP__LISDEN", "x")]), Depth::Values).unwrap_err();
    assert_eq!(wrong.0, ["environment: http.lisden: unknown key (did you mean listen?)"]);
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        let errors = Config::from_sources(Some(path), environment(&[]), Depth::Values).unwrap_err().0;
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("{}: ", path.display())), "{errors:?}");
        errors[0].clone()
    };
    assert!(told(&folder.path().join("none.toml")).contains("No such file"));
    assert!(told(folder.path()).contains("directory"));
    std::fs::write(folder.path().join("bytes.toml"), [0xff, 0xfe, b'\n']).unwrap();
    assert!(told(&folder.path().join("bytes.toml")).contains("UTF-8"));
    assert!(told(&write(&folder, "broken.toml", "[http\nlisten")).contains("line 1"));
    assert!(told(&write(&folder, "broken.yaml", "a: [1\nb: }")).contains("line"));
}

#[test]
fn a_file_that_is_too_large_is_an_error_and_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let size = FILE_BYTES_MAX as usize;
    let mut text = "# comment\n".repeat(size / 10 + 1);
    text.truncate(size);
    let whole = write(&folder, "whole.toml", &text);
    assert!(Config::from_sources(Some(&whole), environment(&[]), Depth::Values).is_ok());
    let larger = write(&folder, "larger.toml", &format!("{text} "));
    let errors = Config::from_sources(Some(&larger), environment(&[]), Depth::Values).unwrap_err();
    assert!(errors.0[0].contains("larger than 4194304 bytes"), "{errors}");
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = load(
        "data_dir = \"d\"\n[http]\ntls_cert = \"c\"\ntls_key = \"/k\"\n[[channels]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://a\"\n\
         secret_file = \"s\"",
    );
    let config = config.unwrap();
    let folder = config.folder.unwrap();
    assert!(folder.is_absolute());
    assert_eq!(config.http.tls_cert, folder.join("c"));
    assert_eq!(config.http.tls_key, Path::new("/k"));
    assert_eq!(config.channels[0].secret_file, Some(folder.join("s")));
    assert_eq!(config.data_dir, Path::new("d"), "the working directory's");
}
