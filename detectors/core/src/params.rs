//! Parameters of a detector: one static table each, from which help, configuration, validation and
//! documentation derive.

use std::collections::BTreeMap;

/// A parameter's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number; times are milliseconds.
    Int(i64),
    /// A number.
    Float(f64),
    /// A switch.
    Bool(bool),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// One parameter: its name ends in its unit.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name in the configuration.
    pub name: &'static str,
    /// Default.
    pub default: Value,
    /// Smallest value allowed (numbers).
    pub min: f64,
    /// Largest value allowed (numbers).
    pub max: f64,
    /// What it does.
    pub doc: &'static str,
}

impl Parameter {
    /// A whole number between `min` and `max`.
    #[must_use]
    pub const fn int(name: &'static str, default: i64, min: i64, max: i64, doc: &'static str) -> Self {
        Self { name, default: Value::Int(default), min: min as f64, max: max as f64, doc }
    }

    /// A number between `min` and `max`.
    #[must_use]
    pub const fn float(name: &'static str, default: f64, min: f64, max: f64, doc: &'static str) -> Self {
        Self { name, default: Value::Float(default), min, max, doc }
    }
}

/// A value that does not fit its parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct ParameterError {
    /// The parameter.
    pub name: String,
    /// What is wrong.
    pub problem: String,
}

/// The values of one detector: the defaults of its table, and what the configuration sets.
#[derive(Clone, Debug)]
pub struct Parameters {
    values: BTreeMap<&'static str, Value>,
}

impl Parameters {
    /// Defaults with `overrides` (name and JSON value) on top. All errors at once.
    ///
    /// # Errors
    /// An unknown name, a value of another type, a number out of range.
    pub fn new(table: &'static [Parameter], overrides: &BTreeMap<String, serde_json::Value>) -> Result<Self, Vec<ParameterError>> {
        let mut values: BTreeMap<_, _> = table.iter().map(|p| (p.name, p.default)).collect();
        let mut errors = Vec::new();
        for (name, json) in overrides {
            let result = match table.iter().find(|p| p.name == name) {
                None => Err("unknown parameter".to_owned()),
                Some(parameter) => read(parameter, json).map(|value| values.insert(parameter.name, value)),
            };
            if let Err(problem) = result {
                errors.push(ParameterError { name: name.clone(), problem });
            }
        }
        if errors.is_empty() { Ok(Self { values }) } else { Err(errors) }
    }

    /// The defaults of a table.
    #[must_use]
    pub fn defaults(table: &'static [Parameter]) -> Self {
        Self { values: table.iter().map(|p| (p.name, p.default)).collect() }
    }

    /// A whole number. A name that is not in the table is a programming error and reads as 0, which
    /// the contract tests catch.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Int(value)) => *value,
            other => {
                debug_assert!(false, "no whole number {name}: {other:?}");
                0
            }
        }
    }

    /// A whole number as a count or a limit in an unsigned type; what does not fit is its largest value, all bits set.
    #[must_use]
    pub fn count<T: TryFrom<i64> + Default + std::ops::Not<Output = T>>(&self, name: &str) -> T {
        T::try_from(self.int(name)).unwrap_or(!T::default())
    }

    /// A number.
    #[must_use]
    pub fn float(&self, name: &str) -> f64 {
        match self.values.get(name) {
            Some(Value::Float(value)) => *value,
            other => {
                debug_assert!(false, "no number {name}: {other:?}");
                0.0
            }
        }
    }

    /// A switch.
    #[must_use]
    pub fn bool(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Bool(value)) => *value,
            other => {
                debug_assert!(false, "no switch {name}: {other:?}");
                false
            }
        }
    }
}

fn read(parameter: &Parameter, json: &serde_json::Value) -> Result<Value, String> {
    let value = match parameter.default {
        Value::Int(_) => Value::Int(json.as_i64().ok_or("must be a whole number")?),
        Value::Float(_) => Value::Float(json.as_f64().ok_or("must be a number")?),
        Value::Bool(_) => return json.as_bool().map(Value::Bool).ok_or_else(|| "must be true or false".to_owned()),
    };
    let number = match value {
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
        Value::Bool(_) => 0.0,
    };
    if number < parameter.min || number > parameter.max {
        return Err(format!("must be between {} and {}", parameter.min, parameter.max));
    }
    Ok(value)
}
