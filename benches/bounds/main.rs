//! `make bench-bounds`: what `replay` does with more keys than it can hold, and with ever more users.
//!
//! - `flood`: millions of random users, addresses and tokens between the habits of real users and what
//!   is to be found afterwards.
//! - `growth`: throughput by the number of users, as a picture beside this file.
//!
//! Events are made on the fly and go through a pipe, so figures are `replay`'s own processor time.
//!
//! Environment: `BENCH_PARTS` (default all: `flood,growth`), `BENCH_FLOOD` (20,000,000 random events),
//! `BENCH_STATE` (268,435,456 bytes of state in the flood), `BENCH_USERS_MAX` (5,000,000), `BENCH_ROUNDS` (3).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark ends with a message at what cannot be"
)]

mod flood;
mod growth;
mod judge;
mod people;
#[path = "../../tests/support/mod.rs"]
mod support;

fn main() {
    for part in support::parts_to_bench("flood,growth") {
        match part.as_str() {
            "flood" => flood::run(),
            "growth" => growth::run(),
            other => panic!("BENCH_PARTS: there is no part {other:?}"),
        }
    }
}
