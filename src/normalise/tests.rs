//! Tests over all formats: goldens by the registry, hostile input, and what each rule says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use bartizan_core::TimeMs;
use bartizan_core::batch::DraftTexts;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::path::{Path, PathBuf};

const REFERENCE: &str = "2026-11-22T12:00:00Z";

fn normaliser() -> Normaliser {
    let config = NormaliseConfig { trusted_proxies: vec!["10.0.0.0/8".to_owned()], ..NormaliseConfig::default() };
    Normaliser::new(&config, &TokenKey([7; 32])).unwrap()
}

fn context() -> Context<'static> {
    Context { default_id: &"1:1", tenant: None, window: None, reference_ms: TimeMs::parse(REFERENCE).unwrap().0 }
}

/// What a record becomes, as one line; on both ways the same.
fn shown(normaliser: &Normaliser, format: Format, raw: &[u8], line: u64) -> String {
    let id = format!("1:{line}");
    let context = Context { default_id: &id, ..context() };
    straight_is_long(normaliser, format, raw, &context).unwrap();
    match normaliser.normalise(format, raw, &context) {
        Ok(Some(draft)) => {
            let mut out = Vec::new();
            to_native_json(&draft, Some(line), &mut out);
            String::from_utf8(out).unwrap()
        }
        Ok(None) => format!(r#"{{"line":{line},"skipped":true}}"#),
        Err(reject) => serde_json::json!({"line": line, "reject": reject.code.as_str(), "reason": reject.reason}).to_string(),
    }
}

/// Holds what comes straight into a batch against the draft of the long way.
fn straight_is_long(normaliser: &Normaliser, format: Format, raw: &[u8], context: &Context<'_>) -> Result<(), TestCaseError> {
    let mut batch = EventBatch::default();
    // Neighbours in the arena must not be touched, whatever becomes of the record.
    batch.push(&EventDraft { texts: neighbour(), ..EventDraft::default() });
    let before = batch.text_bytes();
    let taken = normaliser.normalise_into(format, raw, context, &mut batch);
    let expected = normaliser.normalise(format, raw, context);
    prop_assert_eq!(taken, expected.as_ref().map(Option::is_some).map_err(Clone::clone));
    prop_assert_eq!(batch.get(0).unwrap().user(), Some("neighbour"));
    let event = batch.get(1);
    prop_assert_eq!(event.is_some(), matches!(expected, Ok(Some(_))));
    if event.is_none() {
        prop_assert_eq!(batch.text_bytes(), before);
    }
    if let (Some(event), Ok(Some(draft))) = (event, expected) {
        let shown = |draft: &EventDraft<'_>| serde_json::to_string(draft).unwrap();
        prop_assert_eq!(shown(&EventDraft::of(&event)), shown(&draft));
        prop_assert_eq!((event.arrival_ms(), event.watermark_ms(), event.is_judged()), (draft.time_ms, i64::MIN, true));
        prop_assert_eq!((event.place(), event.asn(), event.network_class()), (None, 0, bartizan_core::NetworkClass::Unknown));
    }
    Ok(())
}

fn neighbour() -> DraftTexts<'static> {
    let mut texts = DraftTexts::default();
    texts.set(Field::User, "neighbour");
    texts
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
    // The batch holds pieces of the record, and none of them may be a credential, however near to a text.
    let (near, mut batch) = ("hunter2", EventBatch::default());
    for between in [
        format!(r#""token":"{near}""#),
        format!(r#""token_issued":"{near}""#),
        format!(r#""passwd":"{near}""#),
        format!(r#""attrs":{{"cookie":"{near}"}}"#),
    ] {
        let record = format!(r#"{{"time":1,"kind":"login","id":"1",{between},"app":"web"}}"#);
        assert_eq!(normaliser().normalise_into(Format::BARTIZAN, record.as_bytes(), &context(), &mut batch), Ok(true));
        assert!(!format!("{batch:?}").contains(near), "{between}");
    }
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

/// Names of members: the event's own, such as resemble them, strangers, and credentials.
const NAMES: &[&str] = &[
    "time",
    "kind",
    "outcome",
    "user_kind",
    "attestation",
    "ip",
    "token",
    "token_issued",
    "token_hash",
    "token_issued_hash",
    "status",
    "bytes",
    "duration_ms",
    "attrs",
    "id",
    "tenant",
    "reason",
    "source",
    "user",
    "user_agent",
    "device",
    "ja4",
    "app",
    "grant",
    "scope",
    "factor",
    "session",
    "token_id",
    "method",
    "path",
    "region",
    "",
    "tim",
    "times",
    "Time",
    "user_agent_of_longer_name",
    "a",
    "é",
    "password",
    "token\\u0020",
    "class_uid",
    "metadata",
];

/// Values that are no text, or one that only the long way can judge.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "200",
    "99",
    "1000",
    "007",
    "-1",
    "1.5",
    "1e3",
    "123456789012345678",
    "18446744073709551615",
    "{}",
    "[]",
    "{\"a\":1}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":[1]}}",
    "{\"password\":\"x\",\"é\":null}",
    "tru",
    "\"\"",
    "\"\\u0041\"",
    "\"a\\n\"",
    "\"a\u{0}\"",
    "\"a\tb\"",
    "\"\u{7f}é…\"",
    "\"a",
    "",
];
/// Texts as some member has them.
const WORDS: &[&str] = &[
    "login",
    "api_request",
    "success",
    "denied",
    "human",
    "service",
    "passed",
    "203.0.113.7",
    "::ffff:203.0.113.7",
    "2001:db8::1%eth0",
    " 203.0.113.7 ",
    "203.0.113.07",
    "2026-11-22T12:00:00Z",
    "2026-11-22T12:00:00.5+01:00",
    "9999-12-31T23:59:59Z",
    "acme",
    "beta",
    "/a?token=x&b=1",
    "/a?b=1",
    "/a?",
    "0123456789abcdef0123456789abcdef",
];
/// Lengths about which members have their limits.
const LENGTHS: &[usize] = &[64, 128, 256, 1024, 2048, 4096, 16 * 1024, 32 * 1024];

fn quoted(text: impl AsRef<str>) -> String {
    format!("\"{}\"", text.as_ref())
}

/// A member's value: ordinary, odd, or about as long as a limit.
fn value() -> impl Strategy<Value = String> {
    let of_length = |(length, more, of): (usize, usize, &str)| quoted(of.repeat((length - 1 + more) / of.len()));
    prop_oneof![
        3 => prop::sample::select(ODD.to_vec()).prop_map(str::to_owned),
        6 => prop::sample::select(WORDS.to_vec()).prop_map(quoted),
        1 => (prop::sample::select(LENGTHS.to_vec()), 0_usize..3, prop::sample::select(vec!["x", "é"])).prop_map(of_length),
        3 => "[a-z@. -]{0,70}".prop_map(quoted),
        1 => any::<i64>().prop_map(|number| number.to_string()),
    ]
}

#[test]
fn each_member_with_each_value_is_the_same_on_both_ways() {
    let normaliser = normaliser();
    let long = LENGTHS.iter().flat_map(|length| [*length, length + 1]).map(|length| quoted("x".repeat(length)));
    let values: Vec<_> = ODD.iter().map(|value| (*value).to_owned()).chain(WORDS.iter().map(quoted)).chain(long).collect();
    for name in NAMES {
        for value in &values {
            for raw in [
                format!(r#"{{"time":1780000000000,"kind":"login","{name}":{value}}}"#),
                format!(r#"{{"{name}":{value},"time":1780000000000,"kind":"login"}}"#),
                format!(r#"{{"kind":"login","{name}":{value}}}"#),
                format!(r#"{{"time":1780000000000,"{name}":{value}}}"#),
            ] {
                for format in [Format::BARTIZAN, Format::Auto] {
                    straight_is_long(&normaliser, format, raw.as_bytes(), &context()).unwrap();
                }
            }
        }
    }
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\t")]
}

/// Smaller limits than usual hold, and on both ways alike.
#[test]
fn configured_limits_hold_on_both_ways() {
    let limits = NormaliseConfig {
        values_max: 140,
        depth_max: 4,
        token_bytes_max: 20,
        attrs_max: 3,
        attrs_bytes_max: 60,
        attr_name_bytes_max: 8,
        attr_bytes_max: 16,
        ..NormaliseConfig::default()
    };
    let normaliser = Normaliser::new(&limits, &TokenKey([7; 32])).unwrap();
    let long = |length: usize| "x".repeat(length);
    let object = |members: usize| (0..members).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
    let cases = [
        (format!("\"token\":\"{}\"", long(20)), true),
        (format!("\"token\":\"{}\"", long(21)), false),
        ("\"a\":1,\"b\":2,\"c\":3".to_owned(), true),
        ("\"a\":1,\"b\":2,\"c\":3,\"d\":4".to_owned(), false),
        (format!("\"{}\":1", long(8)), true),
        (format!("\"{}\":1", long(9)), false),
        // Values of attributes are cut, one by one.
        (format!("\"a\":\"{}\"", long(500)), true),
        (format!("\"a\":{{{}}}", object(120)), true),
        (format!("\"a\":{{{}}}", object(150)), false),
        (format!("\"a\":\"{0}\",\"b\":\"{0}\",\"c\":\"{0}\"", long(16)), false),
        ("\"a\":[[[1]]]".to_owned(), true),
        ("\"a\":[[[[1]]]]".to_owned(), false),
    ];
    for (members, taken) in cases {
        let raw = format!("{{\"time\":1780000000000,\"kind\":\"login\",{members}}}");
        straight_is_long(&normaliser, Format::BARTIZAN, raw.as_bytes(), &context()).unwrap();
        assert_eq!(normaliser.normalise(Format::BARTIZAN, raw.as_bytes(), &context()).is_ok(), taken, "{members}");
    }
}

#[test]
fn an_empty_text_where_none_may_stand_is_no_short_way() {
    for member in ["token_hash", "token_issued_hash", "status", "bytes", "duration_ms", "attrs", "time"] {
        let raw = format!("{{\"time\":1780000000000,\"kind\":\"login\",\"{member}\":\"\"}}");
        let mut batch = EventBatch::default();
        assert!(normaliser().normalise_into(Format::BARTIZAN, raw.as_bytes(), &context(), &mut batch).is_err(), "{member}");
        assert!(batch.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    /// The one test that the short way stands on: whatever it takes, the long way makes the same of it.
    #[test]
    fn straight_into_a_batch_is_the_long_way(
        begin in prop::sample::select(vec!["{\"time\":1780000000000,\"kind\":\"login\"", "{\"kind\":\"logout\",\"time\":\"2026-06-01T00:00:00.123Z\"", "{\"id\":\"1\""]),
        members in prop::collection::vec((prop::sample::select(NAMES.to_vec()), value(), blank(), blank()), 0..12),
        end in prop::sample::select(vec!["}", "}", "}", "} ", ",}", "", "}}", "}x"]),
        stamped in prop::sample::select(vec![None, Some("acme")]),
        windowed: bool,
    ) {
        let members: Vec<_> = members.iter().map(|(name, value, before, after)| format!(",{before}\"{name}\"{after}:{before}{value}{after}")).collect();
        let raw = format!("{begin}{}{end}", members.concat());
        let window = windowed.then_some(TimeWindow { oldest_ms: 1_780_000_000_000, newest_ms: 1_790_000_000_000 });
        let context = Context { tenant: stamped, window, ..context() };
        for format in [Format::BARTIZAN, Format::Auto] {
            straight_is_long(&normaliser(), format, raw.as_bytes(), &context)?;
        }
    }
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
            straight_is_long(&normaliser, format, text.as_bytes(), &context())?;
            if let Ok(Some(draft)) = normaliser.normalise(format, text.as_bytes(), &context()) {
                let mut out = Vec::new();
                to_native_json(&draft, None, &mut out);
                let again = normaliser.normalise(Format::BARTIZAN, &out, &context());
                prop_assert!(matches!(again, Ok(Some(_))), "{:?}", again.err());
            }
        }
    }
}
