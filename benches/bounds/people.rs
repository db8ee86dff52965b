//! Users by number, and what they and those who flood do: each a line of JSON, made from numbers alone.

use std::fmt::Write as _;
use std::io::{self, Write};

/// 2026-06-01.
pub const START_MS: i64 = 1_780_272_000_000;
pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// Networks of home providers in towns of one country, far from the other ones.
const HOMES: [[u8; 2]; 6] = [[75, 172], [184, 96], [184, 125], [184, 140], [107, 113], [96, 137]];
const ABROAD: [[u8; 2]; 3] = [[95, 149], [176, 81], [109, 4]];
const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36";

/// Writes lines, and counts them.
pub struct Lines<W> {
    out: W,
    line: String,
    /// Lines so far.
    pub count: u64,
}

impl<W: Write> Lines<W> {
    pub fn new(out: W) -> Self {
        Self { out, line: String::new(), count: 0 }
    }

    fn event(&mut self, time_ms: i64, members: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.count += 1;
        self.line.clear();
        writeln!(self.line, "{{\"id\":\"e-{}\",\"time\":{time_ms},\"tenant\":\"acme\",\"source\":\"auth\",{members}}}", self.count)
            .map_err(io::Error::other)?;
        self.out.write_all(self.line.as_bytes())
    }

    /// A user signs in from home, with the usual device.
    pub fn sign_in(&mut self, time_ms: i64, user: u64) -> io::Result<()> {
        let day = time_ms / DAY_MS;
        self.event(time_ms, format_args!(
            "\"kind\":\"login\",\"outcome\":\"success\",\"user\":\"user-{user}\",\"ip\":\"{}\",\"user_agent\":\"{AGENT}\",\"device\":\"dev-{user}\",\"session\":\"ses-{user}-{day}\"",
            Address(HOMES[(user % 6) as usize], user / 6)
        ))
    }

    /// Somebody signs in as a user from another continent with another device.
    pub fn sign_in_abroad(&mut self, time_ms: i64, user: u64) -> io::Result<()> {
        self.event(time_ms, format_args!(
            "\"kind\":\"login\",\"outcome\":\"success\",\"user\":\"user-{user}\",\"ip\":\"{}\",\"user_agent\":\"python-requests/2.32\",\"device\":\"new-{user}\",\"session\":\"odd-{user}\"",
            Address(ABROAD[(user % 3) as usize], user)
        ))
    }

    /// A user's request in the session of the day.
    pub fn request(&mut self, time_ms: i64, user: u64) -> io::Result<()> {
        let day = time_ms / DAY_MS;
        self.event(time_ms, format_args!(
            "\"kind\":\"api_request\",\"outcome\":\"success\",\"user\":\"user-{user}\",\"ip\":\"{}\",\"user_agent\":\"{AGENT}\",\"device\":\"dev-{user}\",\"session\":\"ses-{user}-{day}\",\"method\":\"GET\",\"path\":\"/orders\",\"status\":200",
            Address(HOMES[(user % 6) as usize], user / 6)
        ))
    }

    /// A user's session is prolonged: token `n` of it is exchanged for the next one.
    pub fn refresh(&mut self, time_ms: i64, user: u64, n: u64) -> io::Result<()> {
        let day = time_ms / DAY_MS;
        self.event(time_ms, format_args!(
            "\"kind\":\"token_refresh\",\"outcome\":\"success\",\"user\":\"user-{user}\",\"ip\":\"{}\",\"user_agent\":\"{AGENT}\",\"device\":\"dev-{user}\",\"session\":\"ses-{user}-{day}\",\"token\":\"rt-{user}-{day}-{n}\",\"token_issued\":\"rt-{user}-{day}-{}\"",
            Address(HOMES[(user % 6) as usize], user / 6),
            n + 1
        ))
    }

    /// A name tried from one attacker's address.
    pub fn attempt(&mut self, time_ms: i64, user: u64, hit: bool) -> io::Result<()> {
        let outcome = if hit { "\"success\"" } else { "\"failure\",\"reason\":\"bad_password\"" };
        self.event(
            time_ms,
            format_args!(
                "\"kind\":\"login\",\"outcome\":{outcome},\"user\":\"user-{user}\",\"ip\":\"{ATTACKER}\",\"user_agent\":\"curl/8.5\""
            ),
        )
    }

    /// One event of a flood: nothing in it was ever seen before.
    pub fn noise(&mut self, time_ms: i64, random: &mut u64) -> io::Result<()> {
        let (a, b, c) = (next(random), next(random), next(random));
        let ip = std::net::Ipv4Addr::from(0x0b00_0000 | (c as u32 & 0x7fff_ffff));
        match c >> 62 {
            0 | 1 => self.event(time_ms, format_args!(
                "\"kind\":\"login\",\"outcome\":\"failure\",\"reason\":\"unknown_user\",\"user\":\"x{a:016x}\",\"ip\":\"{ip}\",\"user_agent\":\"agent-{b:x}\",\"device\":\"d{b:016x}\""
            )),
            2 => self.event(time_ms, format_args!(
                "\"kind\":\"token_refresh\",\"outcome\":\"failure\",\"user\":\"x{a:016x}\",\"ip\":\"{ip}\",\"user_agent\":\"agent-{b:x}\",\"session\":\"s{a:016x}\",\"token\":\"t{b:016x}\""
            )),
            _ => self.event(time_ms, format_args!(
                "\"kind\":\"api_request\",\"outcome\":\"failure\",\"ip\":\"{ip}\",\"user_agent\":\"agent-{b:x}\",\"session\":\"s{a:016x}\",\"token\":\"t{b:016x}\",\"method\":\"GET\",\"path\":\"/\",\"status\":401"
            )),
        }
    }
}

/// The address from which names are tried.
pub const ATTACKER: &str = "201.60.7.7";

/// A host in a network of 65,536 addresses.
struct Address([u8; 2], u64);

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.0[0], self.0[1], (self.1 >> 8) & 255, self.1 & 255)
    }
}

/// The next of a row of random numbers (xorshift64*).
pub fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
