//! Processor time of whole processes, all their threads, user and system; resolution 10 ms.

use std::process::{Command, Stdio};

/// Positions in proc(5)'s `stat`, counted behind the name.
const OWN: usize = 11;
const OF_CHILDREN: usize = 13;

/// Seconds that a process has used, `self` for this one.
pub fn of(process: &str) -> f64 {
    ticks(process, OWN)
}

/// Seconds that all children of this process have used that have ended.
pub fn of_children() -> f64 {
    ticks("self", OF_CHILDREN)
}

/// Seconds that a command takes.
pub fn of_command(command: &mut Command) -> f64 {
    let before = of_children();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a child");
    assert!(status.success(), "{command:?}: {status}");
    of_children() - before
}

fn ticks(process: &str, first: usize) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    // The name, in brackets, may hold blanks.
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let fields = after_name.split_ascii_whitespace().skip(first).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("ticks")).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
