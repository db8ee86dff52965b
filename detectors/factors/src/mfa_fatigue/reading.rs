//! What a user's records say, read as pushes: who asked for each, how it ended, what it weighs.
//!
//! Read anew at each record; with at most [`RECORDS_MAX`](super::pushes::RECORDS_MAX) of them that is cheap, and the order
//! of arrival does not matter.

use super::Config;
use super::client::{Client, Whose};
use super::pushes::{OWN_KEPT_MS, Record, What};
use bartizan_core::Severity;
use bartizan_core::time::{HOUR_MS, MINUTE_MS, SECOND_MS};

/// Time in which a push can be answered.
const ANSWER_MS: i64 = 10 * MINUTE_MS;
/// From when on a push without an answer counts as such; an answer that comes all the same stands.
const UNANSWERED_MS: i64 = 30 * SECOND_MS;
/// A sign-in follows its second factor within this time, and a refused one is written beside it.
const SIGN_IN_MS: i64 = 2 * MINUTE_MS;
const BESIDE_MS: i64 = 30 * SECOND_MS;
/// Unanswered pushes of the own client, within an hour, that show a dead phone.
const DEAD_PHONE_MIN: usize = 2;
/// Another stranger's acceptance so soon belongs to the pushes before it; with the same software, so late.
const RELATED_MS: i64 = HOUR_MS;
const RELATED_SOFTWARE_MS: i64 = 12 * HOUR_MS;

/// Weights in hundredths.
const REPORTED: i64 = 200;
const DENIED: i64 = 100;
const DENIED_FAMILIAR: i64 = 50;
const IGNORED_FAR: i64 = 50;
const IGNORED_NEAR: i64 = 35;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Void,
    Ignored,
    Denied,
    Reported,
    Accepted,
}

/// One push.
#[derive(Clone, Debug)]
struct Push {
    start_ms: i64,
    end_ms: i64,
    end: End,
    whose: Whose,
    client: Client,
    /// Records by their number.
    sent: Option<usize>,
    answer: Option<usize>,
    sign_in: Option<usize>,
    /// The record that shows who asked.
    asker: Option<usize>,
    /// Answered on the person's phone, while the sign-in was a stranger's.
    from_phone: bool,
    weight: i64,
    is_hit: bool,
}

impl Push {
    fn new(number: usize, record: &Record, end: End) -> Self {
        let is_sent = end == End::Open;
        Self {
            start_ms: record.time_ms,
            end_ms: record.time_ms,
            end,
            whose: record.whose,
            client: record.client,
            sent: is_sent.then_some(number),
            answer: (!is_sent).then_some(number),
            sign_in: None,
            // An answer may come from the phone.
            asker: (is_sent || record.whose >= Whose::Near).then_some(number),
            from_phone: false,
            weight: 0,
            is_hit: false,
        }
    }

    fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        [self.sent, self.answer, self.sign_in].into_iter().flatten()
    }

    /// Can it still be answered?
    fn waits(&self, now_ms: i64) -> bool {
        self.end == End::Open && now_ms.saturating_sub(self.start_ms) <= ANSWER_MS
    }

    fn weigh(&self) -> i64 {
        match (self.whose, self.end) {
            (Whose::Own, _) => 0,
            (_, End::Reported) => REPORTED,
            (Whose::Familiar, End::Denied) => DENIED_FAMILIAR,
            (_, End::Denied) => DENIED,
            (Whose::Far, End::Ignored) => IGNORED_FAR,
            (Whose::Near, End::Ignored) => IGNORED_NEAR,
            _ => 0,
        }
    }

    /// Was it refused on the phone, without a word of who asked?
    fn is_refused_on_phone(&self) -> bool {
        self.sent.is_none() && self.whose < Whose::Near && matches!(self.end, End::Denied | End::Reported)
    }

    /// One sender, as far as one can tell? Some browsers have another device id each time.
    fn is_of(&self, client: &Client) -> bool {
        let is_same = |a: u32, b: u32| a != 0 && a == b;
        self.client.is_like(client) || (is_same(self.client.line, client.line) && is_same(self.client.agent, client.agent))
    }

    /// Has this acceptance to do with an earlier push?
    fn follows(&self, earlier: &Self) -> bool {
        let gap_ms = self.end_ms.saturating_sub(earlier.end_ms);
        let same_software = self.client.agent != 0 && self.client.agent == earlier.client.agent;
        let both_strange = self.whose >= Whose::Near && earlier.whose >= Whose::Near;
        earlier.is_of(&self.client)
            || (earlier.client.line != 0 && earlier.client.line == self.client.line)
            || (both_strange && (gap_ms <= RELATED_MS || (same_software && gap_ms <= RELATED_SOFTWARE_MS)))
    }
}

/// What it adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The person refuses what the own client asks for.
    OwnDenials,
    /// A stranger asks again and again.
    Attempt,
    /// And was let in.
    Hit,
    /// And made use of it.
    Used,
}

/// What is to be told, with its numbers.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub sign: Sign,
    pub severity: Severity,
    pub denied: usize,
    pub ignored: usize,
    pub reported: usize,
    /// Sum of weights, in hundredths.
    pub suspicion: i64,
    /// From the first of these pushes to the last, or to the acceptance.
    pub span_ms: i64,
    /// Numbers of the records that were not told before.
    pub fresh: Vec<usize>,
    /// Those of them that show who asked.
    pub askers: Vec<usize>,
}

impl Verdict {
    pub fn is_hit(&self) -> bool {
        matches!(self.sign, Sign::Hit | Sign::Used)
    }
}

/// A user's pushes, by the time of their beginning.
pub(super) struct Reading {
    pushes: Vec<Push>,
    /// Clients that gave another factor which was right.
    vouched: Vec<Client>,
}

impl Reading {
    /// Reads records that stand in order.
    pub fn of(records: &[Record], config: &Config) -> Self {
        let mut reading = Self { pushes: Vec::with_capacity(records.len()), vouched: Vec::new() };
        for (number, record) in records.iter().enumerate() {
            reading.take(number, record, records);
        }
        let now_ms = records.last().map_or(i64::MIN, |record| record.time_ms);
        for push in &mut reading.pushes {
            if push.end == End::Open && now_ms.saturating_sub(push.start_ms) >= UNANSWERED_MS {
                push.end = End::Ignored;
            }
        }
        reading.weigh(config);
        reading.judge_accepted(config);
        reading
    }

    fn take(&mut self, number: usize, record: &Record, records: &[Record]) {
        match record.what {
            What::Sent => self.pushes.push(Push::new(number, record, End::Open)),
            What::Void => self.answer(number, record, End::Void),
            What::Ignored => self.answer(number, record, End::Ignored),
            What::Denied => self.answer(number, record, End::Denied),
            What::Reported => self.answer(number, record, End::Reported),
            What::Accepted => self.answer(number, record, End::Accepted),
            What::Vouched => self.vouch(record),
            What::SignedIn => self.sign_in(number, record, records),
            What::Change => {}
        }
    }

    /// The latest push of this client that waits for an answer.
    fn open(&self, record: &Record) -> Option<usize> {
        self.pushes.iter().rposition(|push| push.waits(record.time_ms) && push.is_of(&record.client))
    }

    /// The push that an answer belongs to: if none is of its client, the phone has answered. Where that could be the person's
    /// own sign-in or a stranger's, an acceptance is taken for the own one; a stranger's would be followed by its sign-in.
    fn asked(&self, record: &Record, end: End) -> Option<usize> {
        let latest = |whose_max: Whose| self.pushes.iter().rposition(|push| push.waits(record.time_ms) && push.whose <= whose_max);
        let own = || latest(Whose::Own).filter(|_| end == End::Accepted);
        self.open(record).or_else(own).or_else(|| latest(Whose::Far))
    }

    fn answer(&mut self, number: usize, record: &Record, end: End) {
        if record.of_sign_in
            && let Some(same) = self.pushes.iter_mut().rfind(|push| push.end == end)
            && record.time_ms.saturating_sub(same.end_ms) <= BESIDE_MS
        {
            // The second factor's result stands beside it; the sign-in's client is the one that asked.
            if same.sent.is_none() && record.whose > same.whose {
                (same.whose, same.client, same.asker) = (record.whose, record.client, Some(number));
            }
            return;
        }
        if let Some(push) = self.asked(record, end).and_then(|found| self.pushes.get_mut(found)) {
            (push.end, push.end_ms, push.answer) = (end, record.time_ms, Some(number));
        } else if end != End::Void {
            self.pushes.push(Push::new(number, record, end));
        }
    }

    /// Another factor was right: the phone is not at hand, and who asks for it is the person.
    fn vouch(&mut self, record: &Record) {
        self.vouched.push(record.client);
        for push in &mut self.pushes {
            if matches!(push.end, End::Open | End::Ignored) && push.is_of(&record.client) {
                push.end = End::Void;
            }
        }
    }

    fn sign_in(&mut self, number: usize, record: &Record, records: &[Record]) {
        let is_strange = record.whose >= Whose::Near;
        let belongs = |push: &Push| {
            let is_near = push.end == End::Accepted && record.time_ms.saturating_sub(push.end_ms) <= SIGN_IN_MS;
            is_near && push.sign_in.is_none() && (push.is_of(&record.client) || (push.sent.is_none() && push.whose < Whose::Near))
        };
        if let Some(push) = self.pushes.iter_mut().rfind(|push| belongs(push)) {
            push.sign_in = Some(number);
            if is_strange && record.whose > push.whose {
                (push.whose, push.client, push.asker, push.from_phone) = (record.whose, record.client, Some(number), true);
            }
        } else if let Some(push) = self.open(record).and_then(|found| self.pushes.get_mut(found)) {
            // Where the sign-in is written before its push, the next one is no answer.
            let came_before = |other: &Record| {
                let lead_ms = push.start_ms.saturating_sub(other.time_ms);
                other.what == What::SignedIn && (0..=BESIDE_MS).contains(&lead_ms) && push.is_of(&other.client)
            };
            if !records.iter().any(came_before) {
                (push.end, push.end_ms, push.sign_in) = (End::Accepted, record.time_ms, Some(number));
            }
        }
    }

    fn weigh(&mut self, config: &Config) {
        let weights: Vec<i64> = (0..self.pushes.len()).map(|number| self.weight(number, config)).collect();
        self.pushes.iter_mut().zip(weights).for_each(|(push, weight)| push.weight = weight);
    }

    fn weight(&self, number: usize, config: &Config) -> i64 {
        let Some(push) = self.pushes.get(number) else { return 0 };
        let weight = push.weigh();
        if weight == 0 || push.end != End::Ignored {
            return weight;
        }
        let mut earlier = self.pushes.iter().take(number);
        let is_double =
            earlier.any(|other| other.is_of(&push.client) && push.start_ms.saturating_sub(other.start_ms) < config.double_push_ms);
        let has_vouched = self.vouched.iter().any(|client| push.is_of(client));
        if is_double || has_vouched || self.is_phone_dead(push.start_ms) { 0 } else { weight }
    }

    /// Do the person's own pushes go unanswered too?
    fn is_phone_dead(&self, time_ms: i64) -> bool {
        let around = || self.pushes.iter().filter(|push| push.start_ms.abs_diff(time_ms) <= HOUR_MS as u64);
        let own = around().filter(|push| push.whose == Whose::Own && push.end == End::Ignored).count();
        own >= DEAD_PHONE_MIN && around().all(|push| matches!(push.end, End::Open | End::Ignored | End::Void))
    }

    /// An accepted push is a hit, or shows that its client is the person's.
    fn judge_accepted(&mut self, config: &Config) {
        let mut accepted: Vec<usize> =
            (0..self.pushes.len()).filter(|number| self.pushes.get(*number).is_some_and(|push| push.end == End::Accepted)).collect();
        accepted.sort_by_key(|number| self.pushes.get(*number).map(|push| push.end_ms));
        for number in accepted {
            let Some(push) = self.pushes.get(number).filter(|push| push.whose > Whose::Own).cloned() else { continue };
            if self.before(&push, config).map(|(_, weight)| weight).sum::<i64>() >= config.suspicion_min {
                if let Some(push) = self.pushes.get_mut(number) {
                    push.is_hit = true;
                }
                continue;
            }
            for earlier in self.pushes.iter_mut().filter(|earlier| earlier.end_ms <= push.end_ms && earlier.is_of(&push.client)) {
                earlier.weight = 0;
            }
        }
    }

    /// The pushes that an acceptance has to do with, and their weights.
    fn before(&self, accepted: &Push, config: &Config) -> impl Iterator<Item = (&Push, i64)> {
        self.pushes.iter().filter_map(move |push| {
            let gap_ms = accepted.end_ms.saturating_sub(push.end_ms);
            if gap_ms < 0 || gap_ms > config.window_ms {
                None
            } else if accepted.from_phone && push.is_refused_on_phone() && gap_ms <= HOUR_MS {
                Some((push, DENIED))
            } else {
                (push.weight > 0 && accepted.follows(push)).then_some((push, push.weight))
            }
        })
    }

    /// Pushes of strangers that count, and the sum of their weights.
    pub fn strangers(&self) -> (usize, i64) {
        let weights = || self.pushes.iter().map(|push| push.weight).filter(|weight| *weight > 0);
        (weights().count(), weights().sum())
    }

    /// When a stranger last asked in vain.
    pub fn last_strange_ms(&self) -> Option<i64> {
        self.pushes.iter().filter(|push| push.weight > 0 || push.is_hit).map(|push| push.end_ms).max()
    }

    pub fn has_hit(&self) -> bool {
        self.pushes.iter().any(|push| push.is_hit)
    }

    /// Did the person's own client get an answer to all that it asked for, and nobody else ask?
    pub fn is_over(&self) -> bool {
        !self.pushes.is_empty() && self.pushes.iter().all(|push| push.whose == Whose::Own && matches!(push.end, End::Accepted | End::Void))
    }

    /// What the record of this number adds to what was told before, the worst first.
    pub fn verdict(&self, number: usize, records: &[Record], config: &Config) -> Option<Verdict> {
        // The person's own records, at which time passes too, tell nothing of strangers.
        let takes_part = |verdict: &Verdict| verdict.fresh.contains(&number);
        let hits = self.pushes.iter().filter(|push| push.is_hit);
        hits.filter_map(|push| self.hit(push, records, config))
            .filter(takes_part)
            .max_by_key(|verdict| verdict.severity)
            .or_else(|| self.attempt(records, config).filter(takes_part))
            .or_else(|| self.own_denials(records, config).filter(takes_part))
    }

    fn hit(&self, accepted: &Push, records: &[Record], config: &Config) -> Option<Verdict> {
        let session_of = |number: usize| records.get(number).map(|record| &record.session);
        let is_use = |record: &Record| {
            let since_ms = record.time_ms.saturating_sub(accepted.end_ms);
            let same_session = !record.session.is_empty() && accepted.numbers().filter_map(session_of).any(|one| *one == record.session);
            record.what == What::Change
                && (0..=config.use_window_ms).contains(&since_ms)
                && (same_session || (record.client.line != 0 && record.client.is_like(&accepted.client)))
        };
        let uses: Vec<usize> = records.iter().enumerate().filter(|(_, record)| is_use(record)).map(|(number, _)| number).collect();
        let (sign, severity) = if uses.is_empty() { (Sign::Hit, Severity::High) } else { (Sign::Used, Severity::Critical) };
        if !accepted.numbers().chain(uses.iter().copied()).any(|number| is_fresh(records, number)) {
            return None;
        }
        let before: Vec<(&Push, i64)> = self.before(accepted, config).collect();
        let mut verdict = sum(sign, severity, &before, records);
        let first_ms = before.iter().map(|(push, _)| push.start_ms).min().unwrap_or(accepted.start_ms);
        verdict.span_ms = accepted.end_ms.saturating_sub(first_ms);
        let own = accepted.numbers().chain(uses).filter(|number| is_fresh(records, *number));
        verdict.fresh.extend(own);
        verdict.askers.extend(accepted.asker);
        Some(verdict)
    }

    fn attempt(&self, records: &[Record], config: &Config) -> Option<Verdict> {
        let newest_ms = self.pushes.iter().map(|push| push.end_ms).max()?;
        let in_window = |push: &&Push| push.weight > 0 && newest_ms.saturating_sub(push.end_ms) <= config.window_ms;
        let strange: Vec<(&Push, i64)> = self.pushes.iter().filter(in_window).map(|push| (push, push.weight)).collect();
        let mut verdict = sum(Sign::Attempt, Severity::Low, &strange, records);
        let is_much = verdict.suspicion >= config.suspicion_min;
        if verdict.reported > 0 || (is_much && strange.len() >= config.pushes_min) {
            verdict.severity = Severity::Medium;
        }
        // Who asks anew has to do with those before, or is another one: a desktop of the person's own.
        let goes_on = |push: &Push| strange.iter().any(|(earlier, _)| push.follows(earlier));
        let waits = self.pushes.iter().filter(|push| push.end == End::Open && push.whose >= Whose::Near && goes_on(push));
        for number in waits.filter_map(|push| push.sent).filter(|number| is_fresh(records, *number)) {
            verdict.fresh.push(number);
            verdict.askers.push(number);
        }
        (is_much || verdict.reported > 0).then_some(verdict)
    }

    fn own_denials(&self, records: &[Record], config: &Config) -> Option<Verdict> {
        let newest_ms = self.pushes.iter().map(|push| push.end_ms).max()?;
        let is_refused = |push: &&Push| {
            let is_recent = newest_ms.saturating_sub(push.end_ms) <= OWN_KEPT_MS;
            push.whose == Whose::Own && matches!(push.end, End::Denied | End::Reported) && is_recent
        };
        let refused: Vec<(&Push, i64)> = self.pushes.iter().filter(is_refused).map(|push| (push, 0)).collect();
        let mut verdict = sum(Sign::OwnDenials, Severity::Low, &refused, records);
        // The own client attacks nobody.
        verdict.askers.clear();
        (verdict.reported > 0 || refused.len() >= config.own_denials_min).then_some(verdict)
    }
}

fn is_fresh(records: &[Record], number: usize) -> bool {
    records.get(number).is_some_and(|record| !record.told)
}

fn sum(sign: Sign, severity: Severity, pushes: &[(&Push, i64)], records: &[Record]) -> Verdict {
    let count = |end| pushes.iter().filter(|(push, _)| push.end == end).count();
    let fresh = |push: &Push| push.numbers().any(|number| is_fresh(records, number));
    let first_ms = pushes.iter().map(|(push, _)| push.start_ms).min().unwrap_or_default();
    let last_ms = pushes.iter().map(|(push, _)| push.end_ms).max().unwrap_or_default();
    Verdict {
        sign,
        severity,
        denied: count(End::Denied),
        ignored: count(End::Ignored),
        reported: count(End::Reported),
        suspicion: pushes.iter().map(|(_, weight)| weight).sum(),
        span_ms: last_ms.saturating_sub(first_ms),
        fresh: pushes.iter().flat_map(|(push, _)| push.numbers()).filter(|number| is_fresh(records, *number)).collect(),
        askers: pushes.iter().filter(|(push, _)| fresh(push)).filter_map(|(push, _)| push.asker).collect(),
    }
}
