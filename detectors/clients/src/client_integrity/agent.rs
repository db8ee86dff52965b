//! What a user agent says of its program: an app, a browser or a tool, and of an app its name and version.
//!
//! User agents of apps name the phone's model, of which there are hundreds: all of one app and system are one family here.
//! So are all browsers of desks, and all of phones, whose TLS clients tell more than they say. Reading a text takes a microsecond,
//! and most events come from a few hundred programs; so what was read of the last ones is at hand ([`Memos`]).

use bartizan_core::batch::Field;
use bartizan_core::client::{agent_family, has_word, says_phone};
use bartizan_core::{Event, KeyKind, Memo};
use serde::{Deserialize, Serialize};

/// A kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Program {
    /// A program with a name of its own.
    Named,
    /// One of them that says it runs on a phone or tablet.
    Phone,
    /// A browser on a desk.
    Browser,
    /// A browser on a phone, which may be a page within an app.
    PhoneBrowser,
    /// A script, a bare HTTP library, a browser without a screen.
    Tool,
    /// No user agent at all.
    Silent,
}

/// Names of tools and of libraries without an app's name before them.
const TOOLS: &[&str] = &[
    "curl",
    "wget",
    "httpie",
    "python",
    "aiohttp",
    "httpx",
    "scrapy",
    "go-http-client",
    "go-resty",
    "okhttp",
    "java",
    "apache-httpclient",
    "jakarta",
    "reactor-netty",
    "node",
    "axios",
    "undici",
    "got ",
    "got/",
    "ruby",
    "faraday",
    "guzzlehttp",
    "php",
    "libwww-perl",
    "lwp",
    "reqwest",
    "hyper",
    "rest-client",
    "restsharp",
    "postman",
    "insomnia",
    "powershell",
    "winhttp",
    "dart",
    "mitmproxy",
];

/// Browsers that a script leads.
const HEADLESS: &[&str] = &["headless", "phantomjs", "puppeteer", "playwright", "selenium"];

/// Libraries that are an app's usual voice where it gives no name.
const PHONE_LIBRARIES: &[&str] = &["okhttp", "dart", "dalvik", "cfnetwork"];

impl Program {
    /// The program behind a user agent.
    pub fn of(agent: &str) -> Self {
        if agent.is_empty() {
            return Self::Silent;
        }
        if has_word(agent, HEADLESS, false) || has_word(agent, TOOLS, true) {
            return Self::Tool;
        }
        let phone = says_phone(agent);
        match (has_word(agent, &["mozilla/"], true), phone) {
            (true, true) => Self::PhoneBrowser,
            (true, false) => Self::Browser,
            (false, true) => Self::Phone,
            (false, false) => Self::Named,
        }
    }

    /// Is it an app on a phone, or the bare library that such an app speaks by?
    pub fn is_of_phones(self, agent: &str) -> bool {
        self == Self::Phone || has_word(agent, PHONE_LIBRARIES, true)
    }
}

/// Does an application's name speak of phones?
fn is_phone_app(name: &str) -> bool {
    has_word(name, &["mobile", "android", "ios", "iphone", "ipad"], false)
}

/// What a user agent says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub program: Program,
    /// Print of the family.
    pub family: u32,
    /// Of an app; 0 for none.
    pub version: u32,
    /// Is it an app on a phone, or the bare library that such an app speaks by?
    pub of_phones: bool,
}

impl Reading {
    fn of(agent: &str) -> Self {
        let program = Program::of(agent);
        let is_app = matches!(program, Program::Named | Program::Phone);
        let family = match program {
            Program::Tool => agent_family(agent),
            Program::Named | Program::Phone => {
                let name = agent.split_once('/').map_or(agent, |(name, _)| name);
                agent_family(name).rotate_left(if has_word(agent, &["android", "dalvik", "okhttp"], false) { 1 } else { 2 })
            }
            Program::Browser => 1,
            Program::PhoneBrowser => 2,
            Program::Silent => 0,
        };
        Self { program, family, version: if is_app { version(agent) } else { 0 }, of_phones: program.is_of_phones(agent) }
    }
}

/// What the last events' programs and applications said of themselves.
pub(super) struct Memos {
    programs: Memo<Reading>,
    apps_of_phones: Memo<bool>,
}

impl Default for Memos {
    fn default() -> Self {
        Self { programs: Memo::new(Reading::of("")), apps_of_phones: Memo::new(false) }
    }
}

impl Memos {
    /// What the event's user agent says.
    pub fn read(&mut self, event: &Event<'_>) -> Reading {
        self.programs.get(hash(event, KeyKind::Client), || Reading::of(event.user_agent().unwrap_or_default()))
    }

    /// Does the name of the event's application speak of phones?
    pub fn is_phone_app(&mut self, event: &Event<'_>) -> bool {
        self.apps_of_phones.get(hash(event, KeyKind::App), || is_phone_app(event.text(Field::App)))
    }
}

fn hash(event: &Event<'_>, kind: KeyKind) -> u64 {
    event.key(kind).map_or(0, |key| key.hash)
}

/// An app's version from the first product of its user agent (RFC 9110 §10.1.5), comparable; 0 if it has none.
pub(super) fn version(agent: &str) -> u32 {
    let Some((_, rest)) = agent.split_once('/') else { return 0 };
    let mut parts = [0_u32; 3];
    let mut digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').peekable();
    if digits.peek().is_none_or(|byte| !byte.is_ascii_digit()) {
        return 0;
    }
    let mut part = 0;
    for byte in digits {
        match (byte, parts.get_mut(part)) {
            (b'.', _) => part += 1,
            (digit, Some(number)) => *number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0')),
            _ => break,
        }
    }
    let [major, minor, patch] = parts;
    (major.min(0xfff) << 20 | minor.min(0x3ff) << 10 | patch.min(0x3ff)).max(1)
}

/// Its first and second number.
pub(super) const fn major_minor(version: u32) -> (u32, u32) {
    (version >> 20, version >> 10 & 0x3ff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart() {
        let cases = [
            ("Acme/5.42 (Android 16; Pixel 9) okhttp/4.12.0", Program::Phone),
            ("Acme/5.42 (iPhone; iOS 26.1) CFNetwork/3826.500", Program::Phone),
            ("AcmeDesk/1.0 (Windows)", Program::Named),
            ("okhttp/4.12.0", Program::Tool),
            ("Python-Requests/2.32.3", Program::Tool),
            ("python-httpx/0.27", Program::Tool),
            ("Go-http-client/2.0", Program::Tool),
            ("curl/8.9.1", Program::Tool),
            ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/142.0 Safari/537.36", Program::Tool),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0.0.0 Safari/537.36", Program::Browser),
            ("Mozilla/5.0 (Linux; Android 16; Pixel 9; wv) Chrome/142.0 Mobile Safari/537.36", Program::PhoneBrowser),
            ("", Program::Silent),
        ];
        for (agent, program) in cases {
            assert_eq!(Program::of(agent), program, "{agent}");
        }
        assert!(is_phone_app("acme-ios") && is_phone_app("AcmeMobile") && !is_phone_app("acme-studios"));
        assert!(Program::Tool.is_of_phones("okhttp/4") && !Program::Tool.is_of_phones("curl/8"));
    }

    #[test]
    fn models_and_versions_of_an_app_are_one_family_and_systems_are_two() {
        let family = |agent| Reading::of(agent).family;
        let pixel = family("Acme/5.42 (Android 16; Pixel 9) okhttp/4.12.0");
        assert_eq!(pixel, family("Acme/2.3 (Android 7; SM-G920F) okhttp/3.9.0"));
        let others = ["Acme/5.42 (iPhone; iOS 26.1)", "Bcme/5.42 (Android 16)", "okhttp/4.12.0", "curl/8", "Mozilla/5.0 (X11)", ""];
        assert!(others.iter().all(|agent| family(agent) != pixel));
        assert_eq!(family("curl/8.9.1"), family("curl/7.1"));
    }

    #[test]
    fn versions_are_read_and_ordered() {
        let all =
            ["Acme/4.9", "Acme/5", "Acme/5.0.1 x", "Acme/5.9.3", "Acme/5.10 (iPhone)", "Acme/2024.1.0", "Acme/99999999999.1"].map(version);
        assert!(all.is_sorted(), "{all:?}");
        assert_eq!(["Acme", "", "Acme/", "Acme/x5", "/."].map(version), [0; 5]);
        assert_eq!(major_minor(version("Acme/5.42.7")), (5, 42));
    }
}
