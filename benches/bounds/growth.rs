//! Throughput of `replay` by the number of users: all state in use, none pushed out.
//!
//! Each event is of a user drawn at random, which is the worst for the processor's caches: real traffic
//! has favourites. The picture has both axes logarithmic.

use crate::judge::judge;
use crate::people::{DAY_MS, Lines, START_MS, next};
use crate::support::setting;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

const USERS: [u64; 4] = [10_000, 100_000, 1_000_000, 5_000_000];
const EVENTS_MIN: u64 = 2_000_000;
/// Room for all of them.
const CONFIG: &str = "[detect]\nstate_bytes_max = 17179869184\n";

pub fn run() {
    let start_up = judge(CONFIG, |_| Ok(())).seconds;
    println!("{:<12} {:>12} {:>10} {:>12} {:>14}", "users", "events", "ns/event", "events/s", "peak");
    let mut points = Vec::new();
    for users in USERS.into_iter().filter(|users| *users <= setting("BENCH_USERS_MAX", 5_000_000)) {
        let events = EVENTS_MIN.max(3 * users);
        let mut rounds: Vec<(f64, u64)> = (0..setting("BENCH_ROUNDS", 3))
            .map(|_| {
                let judged = judge(CONFIG, |lines| life(lines, users, events));
                ((judged.seconds - start_up) / judged.events as f64, judged.peak_kib)
            })
            .collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, peak_kib) = rounds[rounds.len() / 2];
        println!("{users:<12} {events:>12} {:>10.0} {:>12.0} {:>10} MiB", seconds * 1e9, 1.0 / seconds, peak_kib >> 10);
        points.push((users as f64, 1.0 / seconds));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/growth.svg");
    std::fs::write(&path, picture(&points)).expect("the picture");
    println!("\n{}\n", path.display());
}

/// A day of users drawn at random.
fn life(lines: &mut Lines<impl Write>, users: u64, events: u64) -> io::Result<()> {
    let mut random = 0x2545_f491_4f6c_dd1d;
    for n in 0..events {
        let time_ms = START_MS + (u128::from(n) * DAY_MS as u128 / u128::from(events)) as i64;
        let drawn = next(&mut random);
        let user = drawn % users;
        match drawn >> 61 {
            0 => lines.sign_in(time_ms, user)?,
            1 => lines.refresh(time_ms, user, n)?,
            _ => lines.request(time_ms, user)?,
        }
    }
    Ok(())
}

/// The points as a line, events/s over users.
fn picture(points: &[(f64, f64)]) -> String {
    let (width, height, left, top) = (560.0, 260.0, 70.0, 30.0);
    let x = |users: f64| left + (users.log10() - 4.0) / 3.0 * width;
    let y = |rate: f64| top + (6.0 - rate.log10()) / 2.0 * height;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 340\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Events a second of replay by the number of users</title>\n<rect width=\"660\" height=\"340\" fill=\"white\"/>\n",
    );
    let mut put = |text: std::fmt::Arguments<'_>| writeln!(svg, "{text}").expect("a string takes all");
    for (users, label) in [(1e4, "10,000"), (1e5, "100,000"), (1e6, "1,000,000"), (1e7, "10,000,000 users")] {
        let (at, bottom) = (x(users), top + height);
        put(format_args!(
            "<path d=\"M{at:.0} {top}V{bottom}\" stroke=\"#ddd\"/><text x=\"{at:.0}\" y=\"310\" text-anchor=\"middle\">{label}</text>"
        ));
    }
    for (rate, label) in [(1e4, "10,000"), (1e5, "100,000"), (1e6, "1,000,000")] {
        let (at, right) = (y(rate), left + width);
        put(format_args!(
            "<path d=\"M{left} {at:.0}H{right}\" stroke=\"#ddd\"/><text x=\"62\" y=\"{:.0}\" text-anchor=\"end\">{label}</text>",
            at + 4.0
        ));
    }
    put(format_args!("<text x=\"{left}\" y=\"18\">events/s, one core</text>"));
    let line: Vec<String> = points.iter().map(|(users, rate)| format!("{:.1},{:.1}", x(*users), y(*rate))).collect();
    put(format_args!("<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>", line.join(" ")));
    for (users, rate) in points {
        let (x, y) = (x(*users), y(*rate));
        put(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#1f5fa8\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{rate:.0}</text>",
            y - 9.0
        ));
    }
    svg + "</svg>\n"
}
