//! The `[[policies]]` tables: what is done about which alerts, by whom, and with whose word.

use super::config::RevocationConfig;
use super::order::ActionKind;
use super::subjects::About;
use crate::alert::{Alert, EntityPattern};
use crate::notify::config::{Problem, name_problems};
use bartizan_core::{EntityKind, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most approvals that an action can want.
const APPROVALS_MAX: u8 = 2;

/// One `[[policies]]` table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Letters, digits, `-`, `_`; unique.
    pub name: String,
    /// Only alerts of this tenant; empty (the default): of all.
    #[serde(default)]
    pub tenant: String,
    /// Only alerts of these detectors; empty (the default): of all.
    #[serde(default)]
    pub detectors: Vec<String>,
    /// Only alerts at least this bad. Default `high`.
    #[serde(default = "high")]
    pub min_severity: Severity,
    /// Only alerts at least this sure, from 0 to 1. Default 0.
    #[serde(default)]
    pub min_confidence: f32,
    /// Only alerts that name one of these entities, like `user:*@board.example` or `ip:203.0.113.0/24`, and of what they
    /// name only what is one of them, by its kind; empty (the default): all.
    #[serde(default)]
    pub entities: Vec<EntityPattern>,
    /// What is done.
    pub actions: Vec<ActionKind>,
    /// Who is asked: the name of a `[[revocation]]` table. Not for `block_address`, which Bartizan keeps itself.
    #[serde(default)]
    pub target: String,
    /// People who must agree before, 0 to 2. Default 0; an account is disabled, and anything
    /// taken back, with at least one.
    #[serde(default)]
    pub approvals: u8,
    /// Record what would be done, and do nothing. Default true.
    #[serde(default = "yes")]
    pub shadow: bool,
}

fn high() -> Severity {
    Severity::High
}

fn yes() -> bool {
    true
}

impl PolicyConfig {
    /// What a `[[revocation]]` table means by itself.
    #[must_use]
    pub fn of_target(target: &RevocationConfig) -> Self {
        Self {
            name: String::new(),
            tenant: String::new(),
            detectors: target.detectors.clone(),
            min_severity: target.min_severity,
            min_confidence: 0.0,
            entities: Vec::new(),
            actions: vec![target.kind.action()],
            target: target.name.clone(),
            approvals: 0,
            shadow: target.dry_run,
        }
    }

    /// Is it about alerts like this one?
    #[must_use]
    pub fn takes(&self, alert: &Alert) -> bool {
        alert.severity >= self.min_severity
            && alert.confidence >= self.min_confidence
            && (self.tenant.is_empty() || self.tenant == alert.tenant)
            && (self.detectors.is_empty() || self.detectors.contains(&alert.detector))
            && EntityPattern::name_one(&self.entities, &alert.subjects)
    }

    /// Is whom or what an action of this kind would be about one of those that are meant? Of a session it is its owner, too.
    #[must_use]
    pub fn means(&self, action: ActionKind, about: &About) -> bool {
        let fits = |kind, value: &Option<String>| EntityPattern::leave_in(&self.entities, kind, value.as_deref());
        let About { facts, address, .. } = about;
        match action {
            ActionKind::BlockAddress => fits(EntityKind::Ip, address),
            ActionKind::RevokeSession => fits(EntityKind::User, &facts.user) && fits(EntityKind::Session, &facts.session),
            _ => fits(EntityKind::User, &facts.user),
        }
    }

    /// People who must agree before this is done.
    #[must_use]
    pub fn approvals_for(&self, action: ActionKind) -> u8 {
        if action.wants_a_person() { self.approvals.max(1) } else { self.approvals }
    }

    /// What is wrong with all these tables.
    #[must_use]
    pub fn all_problems(all: &[Self], targets: &[RevocationConfig]) -> Vec<Problem> {
        let mut seen = BTreeSet::new();
        let again = all.iter().filter(|policy| !seen.insert(&policy.name)).map(|policy| format!("policies.{}", policy.name));
        let again: Vec<Problem> = again.map(|key| Problem::new(key, "this name is taken")).collect();
        all.iter().flat_map(|policy| policy.problems(targets)).chain(again).collect()
    }

    /// What is wrong with this table, as far as can be told without reading files or the network.
    #[must_use]
    pub fn problems(&self, targets: &[RevocationConfig]) -> Vec<Problem> {
        let mut problems = name_problems("policies", &self.name);
        let mut wrong = |key: &str, message: String| problems.push(Problem::new(format!("policies.{}.{key}", self.name), message));
        if self.actions.is_empty() {
            wrong("actions", "must name at least one".to_owned());
        }
        if self.approvals > APPROVALS_MAX {
            wrong("approvals", format!("must be from 0 to {APPROVALS_MAX}, is {}", self.approvals));
        }
        if !(0.0..=1.0).contains(&self.min_confidence) {
            wrong("min_confidence", format!("must be from 0 to 1, is {}", self.min_confidence));
        }
        let target = targets.iter().find(|target| target.name == self.target);
        if !self.tenant.is_empty() && target.is_some_and(|target| !target.is_of(&self.tenant)) {
            wrong("tenant", format!("{} is not asked about {}", self.target, self.tenant));
        }
        for action in &self.actions {
            match (action.granularity(), target) {
                _ if action.undoes() => wrong("actions", format!("{} is done by a person who undoes an action", action.as_str())),
                (None, _) => {}
                (Some(_), None) => wrong("target", format!("{} needs the name of a [[revocation]] table", action.as_str())),
                (Some(about), Some(target)) if !target.kind.abilities().granularity.contains(&about) => {
                    wrong("actions", format!("{} cannot {}", target.name, action.as_str()));
                }
                (Some(_), Some(_)) => {}
            }
        }
        problems
    }
}
