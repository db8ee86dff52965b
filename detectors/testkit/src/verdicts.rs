//! What came of a scenario.

use bartizan_core::{EntityKind, Finding, Severity};

/// The highest severity; none if nothing was found.
#[must_use]
pub fn worst(found: &[Finding]) -> Option<Severity> {
    found.iter().map(|finding| finding.severity).max()
}

/// Whom of a kind a finding names.
#[must_use]
pub fn named(finding: &Finding, kind: EntityKind) -> Vec<&str> {
    finding.subjects.iter().filter(|subject| subject.kind == kind).map(|subject| subject.value.as_str()).collect()
}
