//! Tests over all formats: goldens by the registry, hostile input, and what each rule says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use bartizan_core::TimeMs;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const REFERENCE: &str = "2026-11-22T12:00:00Z";

fn normaliser() -> Normaliser {
    let config = NormaliseConfig { trusted_proxies: vec!["10.0.0.0/8".to_owned()], ..NormaliseConfig::default() };
    Normaliser::new(&config, &TokenKey([7; 32])).unwrap()
}

fn context() -> Context<'static> {
    Context { default_id: &"1:1", tenant: None, window: None, reference_ms: TimeMs::parse(REFERENCE).unwrap().0 }
}

/// What a record becomes, as one line.
fn shown(normaliser: &Normaliser, format: Format, raw: &[u8], line: u64) -> String {
    let id = format!("1:{line}");
    match normaliser.normalise(format, raw, &Context { default_id: &id, ..context() }) {
        Ok(Some(draft)) => {
            let mut out = Vec::new();
            to_native_json(&draft, Some(line), &mut out);
            String::from_utf8(out).unwrap()
        }
        Ok(None) => format!(r#"{{"line":{line},"skipped":true}}"#),
        Err(reject) => serde_json::json!({"line": line, "reject": reject.code.as_str(), "reason": reject.reason}).to_string(),
    }
}

fn reject(format: Format, raw: &[u8]) -> Reject {
    normaliser().normalise(format, raw, &context()).unwrap_err()
}

fn fixtures(format: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/normalise").join(format);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

#[test]
fn every_format_has_fixtures_and_gives_what_its_goldens_say() {
    let normaliser = normaliser();
    for spec in formats::SPECS {
        let paths = fixtures(spec.name);
        assert!(!paths.is_empty(), "{} has no fixture", spec.name);
        for path in paths {
            let input = std::fs::read_to_string(&path).unwrap();
            let golden = std::fs::read_to_string(path.with_extension("jsonl")).unwrap_or_default();
            let actual: Vec<_> =
                input.lines().zip(1..).map(|(line, number)| shown(&normaliser, Format::Of(spec), line.as_bytes(), number)).collect();
            let wrong: Vec<_> = actual.iter().zip(golden.lines().chain(std::iter::repeat("(no line)"))).filter(|(a, b)| a != b).collect();
            assert!(
                wrong.is_empty() && actual.len() == golden.lines().count(),
                "{}: {} of {} lines differ; whole output:\n{}",
                path.display(),
                wrong.len(),
                actual.len(),
                actual.join("\n")
            );
        }
    }
}

#[test]
fn auto_reads_each_record_as_its_format_does() {
    let normaliser = normaliser();
    for spec in formats::SPECS {
        for path in fixtures(spec.name) {
            for (line, number) in std::fs::read_to_string(&path).unwrap().lines().zip(1..) {
                let own = shown(&normaliser, Format::Of(spec), line.as_bytes(), number);
                if !own.contains("\"reject\"") {
                    assert_eq!(shown(&normaliser, Format::Auto, line.as_bytes(), number), own, "{line}");
                }
            }
        }
    }
}

#[test]
fn what_is_printed_can_be_read_again() {
    let normaliser = normaliser();
    for spec in formats::SPECS {
        for path in fixtures(spec.name) {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let Ok(Some(draft)) = normaliser.normalise(Format::Of(spec), line.as_bytes(), &context()) else { continue };
                let (mut once, mut twice) = (Vec::new(), Vec::new());
                to_native_json(&draft, None, &mut once);
                to_native_json(&normaliser.normalise(Format::BARTIZAN, &once, &context()).unwrap().unwrap(), None, &mut twice);
                assert_eq!(String::from_utf8(once).unwrap(), String::from_utf8(twice).unwrap());
                let canonical = serde_json::to_vec(&draft).unwrap();
                let back = normaliser.normalise(Format::Canonical, &canonical, &context()).unwrap().unwrap();
                assert_eq!(serde_json::to_vec(&back).unwrap(), canonical);
            }
        }
    }
}

#[test]
fn hostile_records_are_rejected_with_their_reason() {
    let deep = format!(r#"{{"time":1,"kind":"login","x":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!(r#"{{"time":1,"kind":"login","x":{}1{}}}"#, "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let huge = vec![b'x'; 50 << 20];
    for format in [Format::Auto, Format::BARTIZAN] {
        assert_eq!(reject(format, deep.as_bytes()).code, RejectCode::TooDeep);
        assert_eq!(reject(format, deep_objects.as_bytes()).code, RejectCode::TooDeep);
        assert_eq!(reject(format, &huge).code, RejectCode::TooLarge);
        assert_eq!(reject(format, b"{\"time\":1,\"kind\":\"login\",\"user\":\"\xff\"}").code, RejectCode::NotUtf8);
        assert_eq!(reject(format, b"{\"time\":1,").code, RejectCode::NotJson);
    }
    assert_eq!(reject(Format::Auto, b"hello").code, RejectCode::UnknownFormat);
    assert_eq!(reject(Format::Auto, b"{\"hello\":1}").code, RejectCode::UnknownFormat);
    assert_eq!(reject(Format::Canonical, b"{}").code, RejectCode::Malformed);
    assert!(normaliser().normalise(Format::Auto, b" \t\r\n", &context()).unwrap().is_none());
}

#[test]
fn sizes_are_bounded() {
    let native = |member: &str, value: &str| format!(r#"{{"time":1,"kind":"login","{member}":"{value}"}}"#);
    for member in ["user", "session", "device", "id", "tenant", "token_id", "app"] {
        let rejected = reject(Format::BARTIZAN, native(member, &"u".repeat(5000)).as_bytes());
        assert_eq!((rejected.code, rejected.reason.starts_with(member)), (RejectCode::TooLarge, true), "{member}");
    }
    assert_eq!(reject(Format::BARTIZAN, native("token", &"t".repeat(20_000)).as_bytes()).code, RejectCode::TooLarge);
    let raw = native("user_agent", &"é".repeat(5000));
    let normaliser = normaliser();
    let draft = normaliser.normalise(Format::BARTIZAN, raw.as_bytes(), &context()).unwrap().unwrap();
    let agent = draft.texts.get(Field::UserAgent);
    assert!(agent.len() <= 2048 && agent.ends_with("é…"));
    let many: Vec<_> = (0..200).map(|n| format!("\"m{n}\":{n}")).collect();
    let raw = format!(r#"{{"time":1,"kind":"login",{}}}"#, many.join(","));
    assert_eq!(reject(Format::BARTIZAN, raw.as_bytes()).code, RejectCode::TooLarge);
    let long: Vec<_> = (0..100).map(|n| format!("\"m{n}\":\"{}\"", "x".repeat(1000))).collect();
    let raw = format!(r#"{{"time":1,"kind":"login",{}}}"#, long.join(","));
    assert_eq!(reject(Format::BARTIZAN, raw.as_bytes()).code, RejectCode::TooLarge);
}

#[test]
fn a_token_leaves_no_trace() {
    let secret = "hunter2-hunter2";
    let good = format!(r#"{{"time":1,"kind":"login","token":"{secret}","password":"{secret}","x":{{"refresh_token":"{secret}"}}}}"#);
    assert!(!shown(&normaliser(), Format::BARTIZAN, good.as_bytes(), 1).contains(secret));
    let raw_draft = format!("{:?}", draft::Secret::Clear(secret.into()));
    assert!(!raw_draft.contains(secret));
    for bad in [
        format!(r#"{{"time":1,"kind":"{secret}","token":"{secret}"}}"#),
        format!(r#"{{"time":"{secret}","kind":"login"}}"#),
        format!(r#"{{"time":1,"kind":"login","token":["{secret}"]}}"#),
        format!(r#"{{"time":1,"kind":"login","token":"{secret}","token":"{secret}"}}"#),
        format!(r#"{{"time":1,"kind":"login","ip":"{secret}"}}"#),
        format!(r#"{{"time":1,"kind":"login","token":"{secret}"#),
        format!(r#""{secret}""#),
        secret.to_owned(),
    ] {
        for format in [Format::Auto, Format::BARTIZAN, Format::OCSF, Format::SSHD, Format::Canonical] {
            assert!(!reject(format, bad.as_bytes()).reason.contains(secret), "{bad}");
        }
    }
}

#[test]
fn a_stamped_tenant_is_the_only_one() {
    let stamped = Context { tenant: Some("acme"), ..context() };
    let normaliser = normaliser();
    let run = |raw: &'static str| {
        normaliser.normalise(Format::BARTIZAN, raw.as_bytes(), &stamped).map(|draft| draft.unwrap().texts.get(Field::Tenant).to_owned())
    };
    assert_eq!(run(r#"{"time":1,"kind":"login"}"#).unwrap(), "acme");
    assert_eq!(run(r#"{"time":1,"kind":"login","tenant":"acme"}"#).unwrap(), "acme");
    assert_eq!(run(r#"{"time":1,"kind":"login","tenant":"beta"}"#).unwrap_err().code, RejectCode::WrongTenant);
}

#[test]
fn the_window_holds_at_both_ends() {
    let windowed = Context { window: Some(TimeWindow { oldest_ms: 1000, newest_ms: 2000 }), ..context() };
    let normaliser = normaliser();
    let code = |time_ms: i64| {
        let raw = format!(r#"{{"time":{time_ms},"kind":"login"}}"#);
        normaliser.normalise(Format::BARTIZAN, raw.as_bytes(), &windowed).map(|_| ()).map_err(|reject| reject.code)
    };
    assert_eq!([code(1000), code(2000)], [Ok(()), Ok(())]);
    assert_eq!([code(999), code(2001)], [Err(RejectCode::TooOld), Err(RejectCode::InTheFuture)]);
}

#[test]
fn wrong_configuration_names_its_key() {
    let key = |config: NormaliseConfig| Normaliser::new(&config, &TokenKey([0; 32])).err().map(|error| error.key);
    assert_eq!(key(NormaliseConfig { trusted_proxies: vec!["x".to_owned()], ..Default::default() }), Some("trusted_proxies"));
    assert_eq!(key(NormaliseConfig { assume_zone: Some("Mars/Base".to_owned()), ..Default::default() }), Some("assume_zone"));
    assert_eq!(key(NormaliseConfig { assume_year: Some(0), ..Default::default() }), Some("assume_year"));
    assert_eq!(key(NormaliseConfig { record_bytes_max: 0, ..Default::default() }), Some("record_bytes_max"));
    assert_eq!(Format::parse("canonical"), None, "our own log's format cannot be asked for");
    assert!("nonsense".parse::<Format>().unwrap_err().contains("bartizan"));
}

fn all_formats() -> Vec<Format> {
    formats::SPECS.iter().map(|spec| Format::Of(spec)).chain([Format::Auto, Format::Canonical]).collect()
}

/// Fixture lines, to be damaged: that reaches further into the parsers than noise does.
fn lines() -> Vec<String> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    formats::SPECS.iter().flat_map(|spec| fixtures(spec.name)).flat_map(|path| read(&path)).collect()
}

proptest! {
    #[test]
    fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let normaliser = normaliser();
        for format in all_formats() {
            normaliser.normalise(format, &raw, &context()).ok();
        }
    }

    #[test]
    fn no_damaged_record_panics(index in any::<proptest::sample::Index>(), cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<char>()), 1..6)) {
        let lines = lines();
        let mut text: Vec<char> = index.get(&lines).chars().collect();
        for (at, with) in cuts {
            if text.is_empty() { break; }
            let at = at.index(text.len());
            match with as u32 % 4 {
                0 => { text.truncate(at); }
                1 => { text.remove(at); }
                2 => { text.insert(at, ' '); }
                _ => { text[at] = with; }
            }
        }
        let text: String = text.into_iter().collect();
        let normaliser = normaliser();
        for format in all_formats() {
            if let Ok(Some(draft)) = normaliser.normalise(format, text.as_bytes(), &context()) {
                let mut out = Vec::new();
                to_native_json(&draft, None, &mut out);
                let again = normaliser.normalise(Format::BARTIZAN, &out, &context());
                prop_assert!(matches!(again, Ok(Some(_))), "{:?}", again.err());
            }
        }
    }
}
