//! What every detector must pass, whatever it detects.
//!
//! Each check returns what went wrong as text, so that a test can name the detector.

use crate::event::TestEvent;
use crate::runner::Runner;
use bartizan_core::{Finding, Parameters, Said, Spec};
use std::collections::BTreeSet;

/// Findings as the bytes that leave the process.
#[must_use]
pub fn bytes(findings: &[Finding]) -> Vec<u8> {
    serde_json::to_vec(findings).unwrap_or_default()
}

/// The keys of what was found.
#[must_use]
pub fn keys(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().map(|finding| finding.key.clone()).collect()
}

fn equal(what: &str, a: &[Finding], b: &[Finding]) -> Result<(), String> {
    if bytes(a) == bytes(b) {
        return Ok(());
    }
    let first = a.iter().zip(b).position(|(a, b)| a != b);
    Err(format!("{what}: {} findings against {}, first difference at {first:?}", a.len(), b.len()))
}

/// The same events give the same bytes, in one slice or sixteen, in one batch or many.
///
/// # Errors
/// They do not.
pub fn is_deterministic(spec: &'static Spec, events: &[TestEvent]) -> Result<(), String> {
    let once = Runner::new(spec, 1).feed(events);
    equal("again", &once, &Runner::new(spec, 1).feed(events))?;
    equal("16 slices", &once, &Runner::new(spec, 16).feed(events))?;
    let mut one_by_one = Runner::new(spec, 3);
    let singly: Vec<Finding> = events.iter().flat_map(|event| one_by_one.feed(std::slice::from_ref(event))).collect();
    equal("one by one", &once, &singly)
}

/// Saving and loading midway changes nothing, and state saves to the same bytes again.
///
/// # Errors
/// It does change something.
pub fn survives_reload(spec: &'static Spec, events: &[TestEvent]) -> Result<(), String> {
    let whole = Runner::new(spec, 4).feed(events);
    for part in 1..4 {
        let (before, after) = events.split_at(events.len() * part / 4);
        let mut first = Runner::new(spec, 4);
        let mut found = first.feed(before);
        let mut second = first.reloaded().map_err(|error| error.to_string())?;
        if first.save() != second.save() {
            return Err("loaded state saves to other bytes".to_owned());
        }
        found.extend(second.feed(after));
        equal("reloaded", &whole, &found)?;
    }
    Ok(())
}

/// What the detector says it does not look at changes neither findings nor state.
///
/// # Errors
/// It does change something.
pub fn looks_at_all_that_matters(spec: &'static Spec, events: &[TestEvent]) -> Result<(), String> {
    let (mut sparing, mut showing) = (Runner::new(spec, 2), Runner::new(spec, 2).showing_all());
    equal("all events shown", &sparing.feed(events), &showing.feed(events))?;
    if sparing.save() == showing.save() { Ok(()) } else { Err("all events shown: other state".to_owned()) }
}

/// Whoever asks for remarks hears the same findings and leaves the same state behind: what detectors spare themselves
/// where nobody asks is of no consequence.
///
/// # Errors
/// It is of some.
pub fn may_be_asked(spec: &'static Spec, events: &[TestEvent]) -> Result<(), String> {
    let (mut quick, mut asked) = (Runner::new(spec, 2), Runner::new(spec, 2));
    let said = asked.ask(events).into_iter();
    let found: Vec<_> = said.filter_map(|said| if let Said::Finding(finding) = said { Some(finding) } else { None }).collect();
    equal("asked for remarks", &quick.feed(events), &found)?;
    if quick.save() == asked.save() { Ok(()) } else { Err("asked for remarks: other state".to_owned()) }
}

/// Any number of keys stays within the budget, but for what one event may add.
///
/// # Errors
/// It does not.
pub fn stays_bounded(spec: &'static Spec, events: impl Iterator<Item = TestEvent>) -> Result<(), String> {
    let bytes_max = 200_000;
    let mut runner = Runner::with(spec, &Parameters::defaults(spec.parameters), bytes_max, 2);
    let mut events = events.peekable();
    while events.peek().is_some() {
        let chunk: Vec<TestEvent> = events.by_ref().take(4_096).collect();
        runner.feed(&chunk);
        if runner.bytes() > runner.bytes_max() {
            return Err(format!("{} bytes, {} allowed", runner.bytes(), runner.bytes_max()));
        }
    }
    Ok(())
}

/// The same things are found when the events come out of order.
///
/// # Errors
/// They are not.
pub fn bears_disorder(spec: &'static Spec, in_order: &[TestEvent], shuffled: &[TestEvent]) -> Result<(), String> {
    let expected = keys(&Runner::new(spec, 2).feed(in_order));
    let found = keys(&Runner::new(spec, 2).feed(shuffled));
    if expected == found { Ok(()) } else { Err(format!("in order {expected:?}, shuffled {found:?}")) }
}
