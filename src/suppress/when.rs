//! Expressions: several conditions that an entry ties together.

use super::Kind;
use super::rule::{Condition, Facts, Rule};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Levels of `all`, `any` and `not` around a condition.
const DEPTH_MAX: usize = 4;
/// Conditions of one expression.
const CONDITIONS_MAX: usize = 32;
/// Values of all conditions of one expression.
const VALUES_MAX: usize = 1_000;

/// How a value is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// To the letter; addresses by network, countries with their regions.
    #[default]
    Exact,
    /// By its beginning: for users, devices, user agents and applications.
    Prefix,
}

/// What has to hold of an event. Has either `all`, or `any`, or `not`, or is a condition: a `type` with `value` or
/// `values`, and `match` if need be. A condition does not hold of an event that says nothing of its type. There may be
/// 4 levels of `all`, `any` and `not`, 32 conditions and 1000 values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// All of these have to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 32, no_recursion)]
    pub all: Option<Vec<Self>>,
    /// One of these has to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 32, no_recursion)]
    pub any: Option<Vec<Self>>,
    /// This must not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, no_recursion)]
    pub not: Option<Box<Self>>,
    /// What is looked at.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kind: Option<Kind>,
    /// Which one. Of an `ip` an address or a CIDR block, of a `network` `AS64496`, of a `place` `DE` or `DE/Bavaria`;
    /// others to the letter, or as `match` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 1024)]
    pub value: Option<String>,
    /// Instead of one value: any of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    pub values: Option<Vec<String>>,
    /// How values are compared; `exact` if nothing is said.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub matching: Option<Matching>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at} {what}")]
pub struct Wrong {
    /// The member, like `when.all[1].value`.
    pub at: String,
    /// What it must be.
    pub what: String,
}

impl Wrong {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

/// An expression that was checked, with its values in [normal form](Kind::normal). Clones share it.
///
/// Outside, it is its JSON text: a recording has no place for members that may be missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    when: When,
    json: String,
    rule: Arc<Rule>,
}

impl Expression {
    /// Checks what somebody wrote.
    ///
    /// # Errors
    /// Something is wrong with it.
    pub fn new(mut when: When) -> Result<Self, Wrong> {
        let mut checker = Checker::default();
        let rule = checker.rule(&mut when, "when", 0)?;
        if rule.holds(&Facts::default()) {
            return Err(Wrong::new("when", "must name something that holds: of an event that says nothing it would hold, too"));
        }
        let json = serde_json::to_string(&when).map_err(|error| Wrong::new("when", error.to_string()))?;
        Ok(Self(Arc::new(Checked { when, json, rule: Arc::new(rule) })))
    }

    /// As it was written.
    #[must_use]
    pub fn when(&self) -> &When {
        &self.0.when
    }

    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0.json
    }

    pub(super) fn rule(&self) -> Arc<Rule> {
        Arc::clone(&self.0.rule)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.when == other.0.when
    }
}

impl Eq for Expression {}

impl TryFrom<String> for Expression {
    type Error = Wrong;

    fn try_from(json: String) -> Result<Self, Wrong> {
        Self::new(serde_json::from_str(&json).map_err(|error| Wrong::new("when", error.to_string()))?)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.json().to_owned()
    }
}

/// Counts what an expression has.
#[derive(Default)]
struct Checker {
    conditions: usize,
    values: usize,
}

impl Checker {
    /// The rule of what stands at `at`, within `depth` others. Values are brought into normal form.
    fn rule(&mut self, when: &mut When, at: &str, depth: usize) -> Result<Rule, Wrong> {
        let is_valued = when.value.is_some() || when.values.is_some() || when.matching.is_some();
        if when.kind.is_none() && is_valued {
            return Err(Wrong::new(at, "must have a `type` for its `value`, `values` or `match`"));
        }
        if when.kind.is_none() && depth == DEPTH_MAX {
            let what = format!("must be a condition with `type`: there may be {DEPTH_MAX} levels of `all`, `any` and `not`");
            return Err(Wrong::new(at, what));
        }
        match (&mut when.all, &mut when.any, &mut when.not, when.kind) {
            (Some(all), None, None, None) => self.each(all, &format!("{at}.all"), depth).map(Rule::All),
            (None, Some(any), None, None) => self.each(any, &format!("{at}.any"), depth).map(Rule::Any),
            (None, None, Some(not), None) => Ok(Rule::Not(Box::new(self.rule(not, &format!("{at}.not"), depth + 1)?))),
            (None, None, None, Some(kind)) => self.condition(when, kind, at).map(Rule::One),
            _ => Err(Wrong::new(at, "must have exactly one of `all`, `any`, `not` and `type`")),
        }
    }

    fn each(&mut self, list: &mut [When], at: &str, depth: usize) -> Result<Vec<Rule>, Wrong> {
        if list.is_empty() {
            return Err(Wrong::new(at, "must not be empty"));
        }
        list.iter_mut().enumerate().map(|(index, when)| self.rule(when, &format!("{at}[{index}]"), depth + 1)).collect()
    }

    fn condition(&mut self, when: &mut When, kind: Kind, at: &str) -> Result<Condition, Wrong> {
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return Err(Wrong::new(at, format!("is one too many: there may be {CONDITIONS_MAX} conditions")));
        }
        let matching = when.matching.unwrap_or_default();
        if matching == Matching::Prefix && !kind.has_prefixes() {
            return Err(Wrong::new(format!("{at}.match"), "must be `exact`: only users, devices, user agents and apps have a `prefix`"));
        }
        let is_list = when.values.is_some();
        let values = match (&mut when.value, &mut when.values) {
            (Some(value), None) => std::slice::from_mut(value),
            (None, Some(values)) if values.is_empty() => return Err(Wrong::new(format!("{at}.values"), "must not be empty")),
            (None, Some(values)) => values.as_mut_slice(),
            _ => return Err(Wrong::new(at, "must have exactly one of `value` and `values`")),
        };
        self.values += values.len();
        if self.values > VALUES_MAX {
            return Err(Wrong::new(at, format!("has too many values: there may be {VALUES_MAX} in an entry")));
        }
        for (index, value) in values.iter_mut().enumerate() {
            let member = || if is_list { format!("{at}.values[{index}]") } else { format!("{at}.value") };
            *value = kind.normal(value).map_err(|what| Wrong::new(member(), what))?;
        }
        Ok(Condition::new(kind, matching, at, values.iter().map(String::as_str)))
    }
}
