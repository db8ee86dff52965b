//! What was said, put in the order of all that was, and the halves of one finding joined.
//!
//! Slices speak in any order, as threads own them. A detector that needs two keys of one event to judge it (its person
//! and its address, say) finds a half for each, on slices that do not see each other; the halves of an event meet here,
//! where all that was said of it is at hand.

use bartizan_core::Said;

/// What was said, with its place in the order of all that was.
#[derive(Clone, Debug)]
pub(crate) struct Heard<T = Said> {
    /// Position of the event in its batch.
    pub(crate) index: usize,
    /// Number of the detector.
    pub(crate) detector: usize,
    /// Position of the key in the detector's list.
    pub(crate) kind: usize,
    /// What was said.
    pub(crate) said: T,
}

/// Puts what slices said in order.
pub(super) fn in_order<T>(heard: &mut [Heard<T>]) {
    // Stable: what one call said keeps its order.
    heard.sort_by_key(|heard| (heard.index, heard.detector, heard.kind));
}

/// What is left when the halves of one event are joined.
pub(super) fn join_halves(of_event: Vec<Heard>) -> Vec<Heard> {
    if !of_event.iter().any(|heard| matches!(heard.said, Said::Half(..))) {
        return of_event;
    }
    let joined = |one: &Heard| {
        let of_detector = of_event.iter().filter(|heard| heard.detector == one.detector).map(|heard| &heard.said);
        Heard { said: one.said.clone().joined(of_detector), ..*one }
    };
    of_event.iter().map(joined).collect()
}
