//! Tells when clocks disagree: events that lie ahead of their own arrival.
//!
//! The watermark never follows such events, so they close nothing early; but people should know that a
//! sender's clock or zone, or this machine's clock, is wrong. Counted by minutes of arriving batches:
//! one refused event, or a share of events that are ahead, makes the minute a bad one.

use crate::flow::EventFlow;
use crate::normalise::RejectCode;
use std::time::{Duration, Instant};

/// How long is counted before a good minute clears the alert.
const WINDOW: Duration = Duration::from_secs(60);
/// How far ahead of its arrival an event may be: what Kerberos tolerates between clocks (RFC 4120 §1.6).
const AHEAD_MS: i64 = 300_000;
/// Events ahead that make a minute bad: this many, and this share of all, in percent.
const AHEAD_MIN: u64 = 10;
const AHEAD_PERCENT: u64 = 1;

/// Watches the times of events.
#[derive(Debug, Default)]
pub struct Skew {
    since: Option<Instant>,
    events: u64,
    ahead: u64,
    refused: u64,
}

impl Skew {
    /// Takes a batch. `None`: nothing new is known; otherwise what is wrong, if anything is.
    pub fn note(&mut self, flow: &EventFlow, now: Instant) -> Option<Option<String>> {
        let since = *self.since.get_or_insert(now);
        let over = now.saturating_duration_since(since) >= WINDOW;
        let was_bad = self.is_bad();
        if over {
            *self = Self { since: Some(now), ..Self::default() };
        }
        self.events += flow.events.len() as u64;
        self.ahead += flow.events.iter().filter(|event| event.time_ms().saturating_sub(event.arrival_ms()) > AHEAD_MS).count() as u64;
        self.refused += flow.rejected.iter().filter(|rejected| rejected.code == RejectCode::InTheFuture.as_str()).count() as u64;
        if self.is_bad() {
            return Some(Some(format!(
                "in a minute {} events were refused as over a day in the future, and {} of {} lay over 5 minutes ahead of their arrival",
                self.refused, self.ahead, self.events
            )));
        }
        (over && !was_bad).then_some(None)
    }

    fn is_bad(&self) -> bool {
        self.refused > 0 || (self.ahead >= AHEAD_MIN && self.ahead * 100 >= self.events * AHEAD_PERCENT)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::flow::{PartitionId, Rejected};
    use bartizan_core::EventBatch;

    /// Events at these distances from their arrival.
    fn flow(ahead_ms: &[i64]) -> EventFlow {
        let mut events = EventBatch::with_capacity(ahead_ms.len());
        for ahead in ahead_ms {
            events.push(&bartizan_core::EventDraft { time_ms: 1_000_000 + ahead, ..Default::default() });
        }
        events.records_mut().iter_mut().for_each(|record| record.arrival_ms = 1_000_000);
        EventFlow { events, ..EventFlow::default() }
    }

    fn refused() -> EventFlow {
        let code = RejectCode::InTheFuture.as_str();
        let rejected = Rejected { partition: PartitionId::new("t", 0), offset: 0, code, reason: String::new(), payload: Vec::new() };
        EventFlow { rejected: vec![rejected], ..EventFlow::default() }
    }

    #[test]
    fn one_refused_event_raises_and_a_good_minute_clears() {
        let (mut skew, start) = (Skew::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(skew.note(&flow(&[0, 10]), at(0)), None);
        assert!(skew.note(&refused(), at(1)).unwrap().is_some());
        assert_eq!(skew.note(&flow(&[0]), at(61)), None, "the minute that ended was bad");
        assert_eq!(skew.note(&flow(&[0]), at(122)), Some(None));
    }

    #[test]
    fn a_few_events_ahead_are_no_news_and_many_are() {
        let (mut skew, now) = (Skew::default(), Instant::now());
        assert_eq!(skew.note(&flow(&[AHEAD_MS; 50]), now), None, "within what is tolerated");
        assert_eq!(skew.note(&flow(&[AHEAD_MS + 1; 9]), now), None);
        assert_eq!(skew.note(&flow(&[0; 2_000]), now), None);
        assert_eq!(skew.note(&flow(&[AHEAD_MS + 1; 9]), now), None, "18 of 2,068");
        assert!(skew.note(&flow(&[AHEAD_MS + 1; 9]), now).unwrap().is_some());
    }
}
