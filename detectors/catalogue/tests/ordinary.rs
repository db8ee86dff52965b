//! A fortnight of ordinary lives, over the whole catalogue: nobody attacks, so nothing of medium
//! severity may be found, and little of low.
//!
//! Written from how people live, not from what the detectors do: homes with two address families,
//! phones whose carrier leaves the net far away, an office behind one address, laptops without a
//! device id, VPNs, a flight, a new phone, updates, mistyped and stale passwords, refreshes that race, pushes denied by
//! mistake or sent to a phone that is off, a provider of pushes that is down for a morning.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bartizan_catalogue::all;
use bartizan_core::{Attestation, Kind, NetworkClass, Severity};
use bartizan_testkit::{Runner, TestEvent};

const START_MS: i64 = 1_772_409_600_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
const PEOPLE: u64 = 200;

/// A number below `limit` that depends on its arguments alone.
fn dice(a: u64, b: u64, c: u64, limit: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ c.wrapping_mul(0x94d0_49bb_1331_11eb);
    for _ in 0..3 {
        x ^= x >> 29;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (x >> 16) % limit
}

struct Person {
    number: u64,
}

impl Person {
    fn town(&self) -> (f32, f32) {
        let towns = [(52.5, 13.4), (48.1, 11.6), (53.5, 10.0), (50.1, 8.7)];
        towns.into_iter().nth((self.number % 4) as usize).unwrap_or((52.5, 13.4))
    }

    fn event(&self, time_ms: i64) -> TestEvent {
        TestEvent::at_ms(time_ms).user(format!("person{}", self.number))
    }

    /// The laptop, wherever it is; every third browser clears its device id.
    fn laptop(&self, time_ms: i64) -> TestEvent {
        let version = 140 + (time_ms - START_MS) / (5 * DAY);
        let one =
            self.event(time_ms).agent(format!("Mozilla/5.0 (Windows NT 10.0) Chrome/{version}.0.1")).ja4("t13d1516h2_8daaf6152771_aa");
        let one = one.app("web").session(format!("laptop{}-{}", self.number, time_ms / DAY));
        if self.number.is_multiple_of(3) { one } else { one.device(format!("laptop{}", self.number)) }
    }

    fn at_home(&self, one: TestEvent) -> TestEvent {
        let (latitude, longitude) = self.town();
        let six = dice(self.number, one.time_ms() as u64, 1, 2) == 0;
        let ip =
            if six { format!("2001:db8:{:x}::{:x}", self.number, 1 + one.time_ms() / DAY % 9) } else { format!("84.{}.7.9", self.number) };
        one.ip(&ip).asn(3320 + (self.number % 3) as u32, NetworkClass::Residential).place("DE", latitude, longitude)
    }

    fn at_office(&self, one: TestEvent) -> TestEvent {
        one.ip("62.1.1.1").asn(680, NetworkClass::Corporate).place("DE", 52.5, 13.4)
    }

    /// The phone behind its carrier, which leaves the net in one of three towns, one of them abroad.
    fn phone(&self, time_ms: i64) -> TestEvent {
        let gate = dice(self.number, time_ms as u64 / 7, 2, 3);
        let (country, latitude, longitude) = [("DE", 50.1, 8.7), ("DE", 48.1, 11.6), ("IE", 53.3, -6.2)][gate as usize];
        let model = if time_ms > START_MS + 9 * DAY && self.number.is_multiple_of(7) { "new" } else { "old" };
        let one = self
            .event(time_ms)
            .app("acme-mobile")
            .attestation(if self.number.is_multiple_of(40) { Attestation::Failed } else { Attestation::Passed })
            .agent(format!("Acme/7.{} (iPhone)", 1 + (time_ms - START_MS + self.number as i64 * DAY / 50) / (7 * DAY)))
            .ja4("t13d2014h2_a09f3c656075_bb")
            .device(format!("phone{}-{model}", self.number));
        let ip = format!("109.40.{}.{}", gate, 1 + self.number % 40);
        one.session(format!("phone{}-{model}", self.number)).ip(&ip).asn(20057, NetworkClass::Mobile).place(country, latitude, longitude)
    }

    fn vpn(&self, one: TestEvent) -> TestEvent {
        one.ip(&format!("185.9.9.{}", self.number % 250)).asn(9009, NetworkClass::Vpn).place("US", 40.7, -74.0)
    }

    /// A sign-in; most people have their phone asked, which some deny by mistake, and which is off at times.
    fn sign_in(&self, client: &TestEvent, day: i64, out: &mut Vec<TestEvent>) {
        let roll = |what, limit| dice(self.number, client.time_ms() as u64, what, limit);
        let of = |ms: i64, kind| client.clone().plus_ms(ms).session("").kind(kind);
        let push = |ms: i64| of(ms, Kind::MfaChallenge).factor("push");
        let answer = |ms: i64| of(ms, Kind::MfaResult).factor("push");
        let mut ms = 0;
        if !self.number.is_multiple_of(4) {
            for _ in 0..[0, 1, 2][usize::from(roll(30, 20) == 0) + usize::from(roll(31, 200) == 0)] {
                out.extend([push(ms), answer(ms + 6_000).fail("mfa_denied")]);
                ms += 15_000;
            }
            let is_off = day == 5 || roll(32, 30) == 0;
            for _ in 0..if is_off { 2 + roll(33, 4) } else { u64::from(roll(34, 15) == 0) } {
                out.extend([push(ms), answer(ms + MINUTE).fail("timeout")]);
                ms += MINUTE + 5_000;
            }
            if is_off {
                out.push(answer(ms + 20_000).factor("totp"));
            } else {
                out.extend([push(ms), answer(ms + 9_000)]);
            }
            ms += 21_000;
        }
        out.push(client.clone().plus_ms(ms).login());
    }

    fn day(&self, day: i64, out: &mut Vec<TestEvent>) {
        let roll = |what, limit| dice(self.number, day as u64, what, limit);
        let morning = START_MS + day * DAY + 8 * 60 * MINUTE + roll(3, 90) as i64 * MINUTE;
        let in_office = self.number.is_multiple_of(2) && day % 7 < 5;
        let place = |one: TestEvent| if in_office { self.at_office(one) } else { self.at_home(one) };
        if roll(4, 8) == 0 {
            out.push(place(self.laptop(morning)).login().fail("bad_password"));
        }
        self.sign_in(&place(self.laptop(morning + MINUTE)), day, out);
        for n in 0..6 {
            let one = self.laptop(morning + (10 + n * 25) * MINUTE).request();
            // A tunnel that is switched on and off.
            out.push(if self.number.is_multiple_of(5) && n % 2 == 1 { self.vpn(one) } else { place(one) });
        }
        // The phone goes between Wi-Fi and its carrier all day, with one session and racing refreshes.
        for n in 0..8 {
            let time_ms = morning + n * 40 * MINUTE + 7 * MINUTE;
            let phone = |ms| if n % 2 == 0 { self.phone(ms) } else { self.at_home(self.phone(ms)) };
            let (old, new) = (format!("{}.{day}.{n}", self.number), format!("{}.{day}.{}", self.number, n + 1));
            out.push(phone(time_ms).refresh(&old, &new));
            if roll(10 + n as u64, 4) == 0 {
                out.push(phone(time_ms + 900).refresh(&old, &format!("{new}x")));
            }
            if roll(20 + n as u64, 9) == 0 {
                out.push(self.phone(time_ms + 20 * MINUTE).refresh(&old, "").fail("invalid_grant"));
            }
        }
        if roll(5, 3) == 0 {
            out.push(self.phone(morning + 30 * MINUTE).login());
        }
        // A stale password on a tablet at home, for ever.
        if self.number.is_multiple_of(20) {
            out.extend((0..48).map(|n| self.at_home(self.event(morning + n * 10 * MINUTE).agent("Tablet/1")).login().fail("bad_password")));
        }
        // A flight to New York for four days, with laptop and phone.
        if self.number.is_multiple_of(11) && (6..10).contains(&day) {
            let hotel = self.laptop(morning + 14 * 60 * MINUTE).login();
            let hotel = hotel.ip("98.7.6.5").asn(7922, NetworkClass::Residential).place("US", 40.7, -74.0);
            self.sign_in(&hotel, day, out);
        }
        out.push(place(self.laptop(morning + 200 * MINUTE)).kind(Kind::Logout));
    }
}

#[test]
fn ordinary_lives_are_left_in_peace() {
    let mut events = Vec::new();
    for day in 0..14 {
        (1..=PEOPLE).for_each(|number| Person { number }.day(day, &mut events));
    }
    events.sort_by_key(TestEvent::time_ms);
    let sign_ins = PEOPLE * 14;
    for spec in all() {
        let found = Runner::new(spec, 4).feed(&events);
        if let Some(worst) = found.iter().find(|finding| finding.severity >= Severity::Medium) {
            panic!("{} of {} findings: {worst:#?}", spec.id, found.len());
        }
        assert!((found.len() as u64) * 50 < sign_ins, "{}: {} low findings", spec.id, found.len());
    }
}
