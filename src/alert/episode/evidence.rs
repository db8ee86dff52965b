//! Evidence of an alert, in a form that the checkpoint's encoding, which does not describe itself, reads back.

use super::size::text_bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A number or text of the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Plain {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// Anything else, as JSON.
    Other(String),
}

impl From<Value> for Plain {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::String(text) => Self::Text(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Self::Unsigned(number),
                (None, Some(number), _) => Self::Signed(number),
                (None, None, Some(number)) => Self::Float(number),
                (None, None, None) => Self::Other(number.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}

impl Plain {
    /// Bytes of its text, if it has one.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Other(text) => text_bytes(text),
            Self::Bool(_) | Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => 0,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Unsigned(number) => (*number).into(),
            Self::Signed(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Other(json) => serde_json::from_str(json).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_any_shape_survives_a_checkpoint() {
        let values = serde_json::json!([true, 0, u64::MAX, -5, 0.25, 3.0, "text", null, [1, {"a": 2}]]);
        for value in values.as_array().unwrap() {
            let plain = Plain::from(value.clone());
            let read: Plain = postcard::from_bytes(&postcard::to_allocvec(&plain).unwrap()).unwrap();
            assert_eq!(read.to_json().to_string(), value.to_string());
        }
    }
}
