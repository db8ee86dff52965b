use super::super::{PARAMETERS, shows_client};
use super::*;
use bartizan_core::batch::Field;
use bartizan_core::{EventBatch, EventDraft, KeyHasher, Kind, Outcome, Parameters};
use proptest::prelude::*;

/// One of a few clients uses a session or does something else with it.
fn push(batch: &mut EventBatch, client: u8, what: u8, time_ms: i64) {
    let kind = match what {
        0 => Kind::Login,
        1 => Kind::TokenIssue,
        2 => Kind::Logout,
        3 => Kind::TokenRevoke,
        _ => Kind::ApiRequest,
    };
    let mut draft = EventDraft { time_ms, kind, outcome: Outcome::Success, ..EventDraft::default() };
    draft.ip = ["198.51.100.7", "198.51.100.8", "203.0.113.9", "192.0.2.77"].into_iter().nth(client.into()).unwrap().parse().ok();
    let agents = ["Mozilla/5.0 (Windows) Chrome/1", "Mozilla/5.0 (Windows) Chrome/2", "curl/8", "Mozilla/5.0 (X11; Linux) Firefox/9"];
    draft.texts.set(Field::UserAgent, agents.into_iter().nth(client.into()).unwrap());
    draft.texts.set(Field::Ja4, if client < 2 { "a_b_c" } else { "a_c_c" });
    draft.texts.set(Field::User, if what == 4 { "bob" } else { "ann" });
    draft.texts.set(Field::Session, "session");
    draft.texts.set(Field::Id, format!("e{time_ms}"));
    batch.push(&draft);
}

impl Uses {
    /// Takes a step as the detector does; not `quick`: turns, and what is not alike to the letter, are always looked at.
    fn take(&mut self, event: &Event<'_>, quick: bool, config: &Config) -> String {
        let step = Step::of(event).unwrap();
        let is_exact = self.more.is_none() && self.first.as_ref().is_some_and(|seen| seen.exact == exact(event));
        if (quick || (step == Step::Use && is_exact)) && self.goes_on(event, step, config) {
            return String::new();
        }
        let clients = self.count();
        if let Some(Theft { proof, intruder, again, first_ms, .. }) = self.observe(event, step, config) {
            return format!("{proof:?} {intruder} {again} {first_ms}");
        }
        if self.count() > clients {
            return self.newcomer(event, step, config).1;
        }
        let stray = if shows_client(event) { self.stray(event, config) } else { None };
        stray.map_or_else(String::new, |stray| format!("{:?} {} {}", stray.ground, stray.client, stray.uses))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// A turn that goes on without a look at the others comes to what a look at all of them does.
    #[test]
    fn a_turn_that_goes_on_comes_to_the_same_both_ways(
        steps in prop::collection::vec((0_u8..4, 1_usize..5, prop_oneof![1 => 0_u8..5, 30 => Just(9_u8)], 0_i64..90), 1..40),
    ) {
        let config = Config::new(&Parameters::defaults(PARAMETERS));
        let (mut batch, mut now_ms) = (EventBatch::default(), 0);
        for (client, times, what, later) in steps {
            for number in 0..times {
                now_ms += (later - 10) * 1_000;
                push(&mut batch, client, if number == 0 { what } else { 9 }, now_ms);
            }
        }
        batch.hash_keys(&KeyHasher::new([7; 16]));
        let mut both = [true, false].map(|quick| (Uses::new(1, 0), quick));
        for event in batch.iter() {
            let said = both.each_mut().map(|(uses, quick)| uses.take(&event, *quick, &config));
            prop_assert_eq!(&said[0], &said[1]);
            prop_assert_eq!(format!("{:?}", both[0].0), format!("{:?}", both[1].0));
        }
    }
}
