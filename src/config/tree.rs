//! Holds what was configured against what can be configured, and reports every error at once.
//!
//! The template is the configuration type itself with every optional part present, as a JSON tree: so
//! no second list of keys exists. An empty object in it takes any members, an absent value anything;
//! what the tree cannot say (ranges, names) each module checks on the typed value. What is wrong is
//! taken out of the tree once it is told, so that the rest can be checked as well.

use crate::notify::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// Errors that are told; more are not.
pub const ERRORS_MAX: usize = 100;
/// Longest name by which a table of a list is called in errors.
const NAME_BYTES_MAX: usize = 64;

/// Compares `value` with `template` and appends what is wrong to `errors`, each with its key. Text
/// that stands for a number, a switch, a list or a table (as it comes from the environment) becomes
/// one. False if the value has to go.
pub fn check(template: &Value, value: &mut Value, key: &str, errors: &mut Vec<Problem>) -> bool {
    if errors.len() >= ERRORS_MAX {
        return true;
    }
    coerce(template, value);
    match (template, &mut *value) {
        (Value::Null, _) => true,
        (Value::Object(known), Value::Object(_)) if known.is_empty() => true,
        (Value::Object(known), Value::Object(given)) => {
            given.retain(|name, value| {
                let path = joined(key, name);
                let Some(template) = known.get(name) else {
                    errors.push(Problem::new(path, format!("unknown key{}", hint(name, known.keys().map(String::as_str)))));
                    return false;
                };
                check(template, value, &path, errors)
            });
            true
        }
        (Value::Array(known), Value::Array(given)) => {
            // A list with a wrong element goes as a whole: its others would move up.
            let mut good = true;
            for (index, value) in given.iter_mut().enumerate() {
                let key = element_key(key, index, value);
                good &= known.first().is_none_or(|template| check(template, value, &key, errors));
            }
            good
        }
        (template, value) if same_kind(template, value) => true,
        (template, value) => {
            errors.push(Problem::new(key, format!("must be {}, is {}", kind(template), kind(value))));
            false
        }
    }
}

/// The typed value, and everything that its type says against the tree. `None` if what is left when
/// that is taken out is no such value.
pub fn typed<T: DeserializeOwned>(mut value: Value, key: &str, errors: &mut Vec<Problem>) -> Option<T> {
    let mut removed = None;
    while errors.len() < ERRORS_MAX {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(typed) => return Some(typed),
            Err(error) => error,
        };
        let path: Vec<Segment> = error.path().iter().cloned().collect();
        let message = error.inner().to_string();
        // A required key that was wrong is not missing as well.
        if removed.as_ref().is_some_and(|name: &String| message == format!("missing field `{name}`")) {
            return None;
        }
        errors.push(Problem::new(shown(key, &path), message));
        removed = remove(&mut value, &path);
        removed.as_ref()?;
    }
    None
}

/// How errors call a table of a list: by its name where it has a plain one, else by its number.
pub fn element_key(list: &str, index: usize, element: &Value) -> String {
    let plain = |name: &&str| {
        let bytes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(bytes)
    };
    match element.get("name").and_then(Value::as_str).filter(plain) {
        Some(name) => joined(list, name),
        None => format!("{list}[{index}]"),
    }
}

fn joined(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

fn shown(key: &str, path: &[Segment]) -> String {
    path.iter().fold(key.to_owned(), |key, segment| match segment {
        Segment::Map { key: name } => joined(&key, name),
        Segment::Seq { index } => format!("{key}[{index}]"),
        Segment::Enum { variant } => joined(&key, variant),
        Segment::Unknown => key,
    })
}

/// Takes out the innermost member on the way to `path`, and returns its name.
fn remove(value: &mut Value, path: &[Segment]) -> Option<String> {
    let last = path.iter().rposition(|segment| matches!(segment, Segment::Map { .. }))?;
    let (way, rest) = path.split_at(last);
    let holder = way.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(index),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })?;
    let Some(Segment::Map { key }) = rest.first() else { return None };
    holder.as_object_mut()?.remove(key).map(|_| key.clone())
}

/// Environment variables are text: reads them as what the template wants.
fn coerce(template: &Value, value: &mut Value) {
    let Value::String(text) = value else { return };
    let json = || serde_json::from_str::<Value>(text).ok().filter(|read| same_kind(template, read));
    let read = match template {
        Value::Number(_) | Value::Bool(_) | Value::Object(_) => json(),
        Value::Array(_) if text.trim_start().starts_with('[') => json(),
        Value::Array(_) if text.trim().is_empty() => Some(Value::Array(Vec::new())),
        Value::Array(_) => Some(Value::Array(text.split(',').map(|part| Value::String(part.trim().to_owned())).collect())),
        _ => None,
    };
    if let Some(read) = read {
        *value = read;
    }
}

fn same_kind(template: &Value, value: &Value) -> bool {
    match (template, value) {
        (Value::Number(template), Value::Number(value)) => template.is_f64() || !value.is_f64(),
        _ => std::mem::discriminant(template) == std::mem::discriminant(value),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// The known name that is nearest to a mistyped one.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|known| (distance(name, known), known)).min();
    nearest.filter(|(distance, _)| *distance <= 2).map(|(_, known)| format!(" (did you mean {known}?)")).unwrap_or_default()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (slot, right) in row.iter_mut().skip(1).zip(b.chars()) {
            let cost = (diagonal + usize::from(left != right)).min(*slot + 1).min(before + 1);
            diagonal = std::mem::replace(slot, cost);
            before = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[test]
    fn every_error_is_told_with_its_key_and_what_is_wrong_goes() {
        let template =
            json!({"http": {"listen": "x", "limit": 1, "on": true}, "topics": [{"name": "x", "n": 1}], "free": {}, "list": [""]});
        let mut given = json!({
            "http": {"lisden": "x", "limit": "12", "on": "maybe"},
            "topics": [{"name": 3}, {"name": "logs", "n": "x"}], "free": {"any": [1]}, "nonsense": 1, "list": ["a", 1]
        });
        let mut errors = Vec::new();
        check(&template, &mut given, "", &mut errors);
        assert_eq!(
            errors.iter().map(Problem::to_string).collect::<Vec<_>>(),
            [
                "http.lisden: unknown key (did you mean listen?)",
                "http.on: must be true or false, is text",
                "list[1]: must be text, is a whole number",
                "nonsense: unknown key",
                "topics[0].name: must be text, is a whole number",
                "topics.logs.n: must be a whole number, is text",
            ]
        );
        let left = json!({"http": {"limit": 12}, "topics": [{}, {"name": "logs"}], "free": {"any": [1]}});
        assert_eq!(given, left, "text from the environment becomes a number");
    }

    #[derive(Debug, Deserialize)]
    struct Sized {
        size: u8,
        #[serde(default)]
        colour: Option<bool>,
    }

    #[test]
    fn what_the_type_says_is_told_with_its_key() {
        let told = |value: Value| {
            let mut errors = Vec::new();
            let typed: Option<Sized> = typed(value, "boxes[2]", &mut errors);
            (typed.map(|typed| (typed.size, typed.colour)), errors.iter().map(Problem::to_string).collect::<Vec<_>>())
        };
        assert_eq!(told(json!({"size": 3})), (Some((3, None)), vec![]));
        assert_eq!(told(json!({})), (None, vec!["boxes[2]: missing field `size`".to_owned()]));
        let (typed, errors) = told(json!({"size": 300, "colour": "red"}));
        assert!(typed.is_none() && errors.len() == 2, "{errors:?}");
        assert!(errors.iter().all(|error| error.starts_with("boxes[2].size: ") || error.starts_with("boxes[2].colour: ")), "{errors:?}");
    }
}
