//! Holds what operators read against the code: every metric, label, table and column of the Grafana
//! boards and the Prometheus rules, and an entry of the runbook for each health alert.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::{HealthId, Metrics};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Words of ClickHouse's SQL that the boards use and that are no columns.
const SQL_WORDS: &[&str] = &[
    "select", "distinct", "from", "final", "where", "and", "or", "not", "in", "group", "by", "order", "limit", "as", "desc", "asc",
    "interval", "day",
];
/// Labels that Prometheus adds itself.
const SCRAPE_LABELS: &[&str] = &["instance", "job", "le"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == extension) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "no .{extension} in {folder}");
    found.sort();
    found
}

/// All strings of the boards under one of these keys, with their file.
fn strings(keys: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(value: &Value, keys: &[&str], found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match member {
                        Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
                        other => walk(other, keys, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, keys, found)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    for (path, text) in files("dashboards/grafana", "json") {
        let board: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut found = Vec::new();
        walk(&board, keys, &mut found);
        all.extend(found.into_iter().map(|text| (path.clone(), text)));
    }
    all
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The words of a text with what follows each.
fn words(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let tail = &rest[start..];
        let end = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        found.push((&tail[..end], &tail[end..]));
        rest = &tail[end..];
    }
    found
}

#[test]
fn every_metric_and_label_of_the_boards_exists() {
    let series: BTreeMap<String, &[&str]> = Metrics::series().into_iter().collect();
    let mut used = BTreeSet::new();
    for (path, expression) in strings(&["expr", "definition"]).into_iter().chain(rules()) {
        let mut labels: BTreeSet<&str> = SCRAPE_LABELS.iter().copied().collect();
        for (name, _) in words(&expression).into_iter().filter(|(word, _)| word.starts_with("bartizan_")) {
            let known = series.get(name).unwrap_or_else(|| panic!("{}: no metric {name}", path.display()));
            labels.extend(known.iter());
            used.insert(name.to_owned());
        }
        for (label, _) in labels_of(&expression) {
            assert!(labels.contains(label), "{}: no label {label} in {expression}", path.display());
        }
    }
    assert!(used.len() > 30, "the boards were not read: {used:?}");
}

/// The labels that an expression selects or groups by.
fn labels_of(expression: &str) -> Vec<(&str, &str)> {
    let groups = expression.split("by (").skip(1).filter_map(|tail| tail.split(')').next()).flat_map(words);
    let matchers = |after: &str| after.starts_with('=') && !after.starts_with("==") || after.starts_with("!=") || after.starts_with("!~");
    let selected = words(expression).into_iter().filter(move |(_, after)| matchers(after));
    groups.chain(selected).collect()
}

/// The expressions of the Prometheus rules: after `expr:`, on its line or indented deeper below it.
fn rules() -> Vec<(PathBuf, String)> {
    let path = root().join("deploy/prometheus-rules.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(first) = line.trim_start().strip_prefix("expr:") else { continue };
        let below = lines[index + 1..].iter().take_while(|below| indent(below) > indent(line));
        let rest: String = below.map(|below| format!(" {}", below.trim())).collect();
        found.push((path.clone(), first.trim_start_matches(" >-").to_owned() + &rest));
    }
    assert!(found.len() >= 3, "the rules were not read");
    found
}

#[test]
fn the_runbook_has_an_entry_for_each_health_alert_and_rules_name_no_other() {
    let runbook = std::fs::read_to_string(root().join(super::health::RUNBOOK)).unwrap();
    let headings: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for id in HealthId::ALL {
        assert!(headings.contains(id.as_str()), "the runbook has no entry {id:?}");
    }
    for (_, expression) in rules().iter().filter(|(_, expression)| expression.contains("health_alerts_active")) {
        for name in expression.split('"').skip(1).step_by(2).flat_map(|ids| ids.split('|')) {
            assert!(HealthId::ALL.iter().any(|id| id.as_str() == name), "the rules name {name}");
        }
    }
    let rules = std::fs::read_to_string(root().join("deploy/prometheus-rules.yml")).unwrap();
    for target in rules.split("runbook.md#").skip(1).filter_map(|tail| tail.split(['"', '\n']).next()) {
        assert!(target.contains('$') || headings.contains(target), "the rules point at {target}");
    }
}

/// Tables of the store with their columns, from the schema's files.
fn tables() -> BTreeMap<String, BTreeSet<String>> {
    let mut tables = BTreeMap::new();
    for (_, text) in files("deploy/clickhouse", "sql") {
        let text: String = text.lines().filter(|line| !line.trim_start().starts_with("--")).map(|line| format!("{line}\n")).collect();
        let Some(tail) = text.split("CREATE TABLE IF NOT EXISTS ").nth(1) else { continue };
        let table = words(tail)[0].0.to_owned();
        let body = tail.split("\n(\n").nth(1).unwrap().split("\n)").next().unwrap();
        let first_words = body.lines().filter_map(|line| words(line).first().map(|(word, _)| (*word).to_owned()));
        tables.insert(table, first_words.filter(|word| word != "INDEX").collect());
    }
    tables
}

/// A query without its literals, Grafana's macros and variables.
fn stripped(query: &str) -> String {
    let without_literals: String = query.split('\'').step_by(2).collect::<Vec<_>>().join("0");
    let mut out = String::new();
    let mut rest = without_literals.as_str();
    while let Some(start) = rest.find('$') {
        out.push_str(&rest[..start]);
        let tail = &rest[start + 1..];
        let end = if tail.starts_with('{') { tail.find('}').unwrap() + 1 } else { tail.find(|c| !is_word(c)).unwrap_or(tail.len()) };
        rest = &tail[end..];
    }
    out + rest
}

#[test]
fn every_table_and_column_of_the_boards_exists() {
    let tables = tables();
    let queries = strings(&["rawSql", "query"]);
    let queries: Vec<_> = queries.iter().filter(|(_, text)| text.starts_with("SELECT ")).collect();
    assert!(queries.len() > 15, "the boards were not read");
    for (path, query) in queries {
        let text = stripped(query);
        let found = words(&text);
        let follows = |keyword: &str| {
            let pairs = found.windows(2).filter(move |pair| pair[0].0 == keyword);
            pairs.map(|pair| pair[1].0).collect::<BTreeSet<_>>()
        };
        let aliases = follows("AS");
        let from: Vec<_> = follows("FROM").into_iter().filter(|word| *word != "SELECT").collect();
        let columns: BTreeSet<_> =
            from.iter().flat_map(|table| tables.get(*table).unwrap_or_else(|| panic!("{}: no table {table}", path.display()))).collect();
        for (word, after) in &found {
            let other = SQL_WORDS.contains(&word.to_lowercase().as_str())
                || word.starts_with(|c: char| c.is_ascii_digit())
                || after.starts_with('(')
                || aliases.contains(word)
                || from.contains(word);
            assert!(other || columns.contains(&(*word).to_owned()), "{}: no column {word} in {query}", path.display());
        }
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for (path, text) in files("dashboards/grafana", "json") {
        let board: Value = serde_json::from_str(&text).unwrap();
        let mut cells = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: {}", path.display(), panel["title"]);
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(x < 24 && cells.insert((x, y)), "{}: {} overlaps", path.display(), panel["title"]);
            }
        }
    }
}
