//! Holds what was configured against what can be configured, and reports every error at once.
//!
//! The template is the configuration type itself with every optional part present, as a JSON tree: so
//! no second list of keys exists. An empty object in it takes any members, an absent value anything;
//! what the tree cannot say (ranges, names) each module checks on the typed value.

use serde_json::Value;

/// Errors that are told; more are counted.
pub const ERRORS_MAX: usize = 100;

/// Compares `value` with `template` and appends what is wrong to `errors`, each with its key. Text
/// that stands for a number, a switch or a list (as it comes from the environment) becomes one.
pub fn check(template: &Value, value: &mut Value, key: &str, errors: &mut Vec<String>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    coerce(template, value);
    match (template, value) {
        (Value::Null, _) => {}
        (Value::Object(known), Value::Object(given)) if known.is_empty() => {
            let _free_form = given;
        }
        (Value::Object(known), Value::Object(given)) => {
            for (name, value) in given {
                let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                match known.get(name) {
                    Some(template) => check(template, value, &path, errors),
                    None => errors.push(format!("{path}: unknown key{}", hint(name, known.keys().map(String::as_str)))),
                }
            }
        }
        (Value::Array(known), Value::Array(given)) => {
            for (index, value) in given.iter_mut().enumerate() {
                if let Some(template) = known.first() {
                    check(template, value, &format!("{key}[{index}]"), errors);
                }
            }
        }
        (template, value) => {
            if !same_kind(template, value) {
                errors.push(format!("{key}: must be {}, is {}", kind(template), kind(value)));
            }
        }
    }
}

/// Environment variables are text: reads them as what the template wants.
fn coerce(template: &Value, value: &mut Value) {
    let Value::String(text) = value else { return };
    let read = match template {
        Value::Number(_) | Value::Bool(_) => serde_json::from_str::<Value>(text).ok().filter(|read| same_kind(template, read)),
        Value::Array(_) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
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
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_error_is_told_with_its_key() {
        let template = json!({"http": {"listen": "x", "limit": 1, "on": true}, "topics": [{"name": "x"}], "free": {}});
        let mut given = json!({
            "http": {"lisden": "x", "limit": "12", "on": "maybe"},
            "topics": [{"name": 3}], "free": {"any": [1]}, "nonsense": 1
        });
        let mut errors = Vec::new();
        check(&template, &mut given, "", &mut errors);
        assert_eq!(
            errors,
            [
                "http.lisden: unknown key (did you mean listen?)",
                "http.on: must be true or false, is text",
                "nonsense: unknown key",
                "topics[0].name: must be text, is a whole number",
            ]
        );
        assert_eq!(given["http"]["limit"], 12, "text from the environment becomes a number");
    }
}
