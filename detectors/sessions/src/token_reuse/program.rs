//! What a user agent says of its program: whether it is a browser, and on which system it runs.
//!
//! A cookie or token lies in the store of one program on one system. A browser's update leaves both as they are, an app
//! and the pages within it run on one system, and a tool says neither.

use serde::{Deserialize, Serialize};

/// Families of systems, as far as one device never says two of them: a tablet may claim to be a desk's computer of its
/// maker, and a phone's browser that asks for pages as desks get them claims to run on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum System {
    Windows,
    Apple,
    Linux,
}

/// Words by which a system is known, in the order in which they decide.
const SYSTEMS: [(&str, System); 13] = [
    ("Windows", System::Windows),
    ("iPhone", System::Apple),
    ("iPad", System::Apple),
    ("iOS", System::Apple),
    ("Macintosh", System::Apple),
    ("macOS", System::Apple),
    ("CFNetwork", System::Apple),
    ("Darwin", System::Apple),
    ("Android", System::Linux),
    ("okhttp", System::Linux),
    ("Dalvik", System::Linux),
    ("Linux", System::Linux),
    ("CrOS", System::Linux),
];
/// Bytes of a user agent that are looked at: systems stand at its beginning.
const LOOKED_AT: usize = 256;

/// A program as it calls itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    is_browser: bool,
    system: Option<System>,
}

impl Program {
    /// The program of a user agent.
    pub fn of(agent: Option<&str>) -> Self {
        let agent = agent.unwrap_or_default();
        let start = agent.get(..agent.floor_char_boundary(LOOKED_AT)).unwrap_or_default();
        let system = SYSTEMS.iter().find(|(word, _)| start.contains(word)).map(|(_, system)| *system);
        Self { is_browser: start.starts_with("Mozilla/"), system }
    }

    /// Neither a browser nor on any system: a script or a server's program.
    pub fn is_tool(self) -> bool {
        !self.is_browser && self.system.is_none()
    }

    /// Are both browsers?
    pub fn are_browsers(self, other: Self) -> bool {
        self.is_browser && other.is_browser
    }

    /// Do both name a system, and not the same?
    pub fn other_system(self, other: Self) -> bool {
        self.system.zip(other.system).is_some_and(|(a, b)| a != b)
    }

    /// May they be an app and the pages within it, which share what they hold?
    pub fn may_be_app_and_page(self, other: Self) -> bool {
        self.is_browser != other.is_browser && !self.other_system(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(agent: &str) -> Program {
        Program::of(Some(agent))
    }

    #[test]
    fn one_device_never_says_two_systems() {
        let tablet = [of("Mozilla/5.0 (iPad; CPU OS 18_1) Safari/604"), of("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605")];
        let phone = [
            of("Mozilla/5.0 (Linux; Android 16) Chrome/142"),
            of("Mozilla/5.0 (X11; Linux x86_64) Chrome/142"),
            of("Acme/7 okhttp/4.12.0"),
        ];
        let desk = [of("Mozilla/5.0 (Windows NT 10.0) Chrome/142"), of("Acme/7 (Windows)")];
        let devices = [&tablet[..], &phone, &desk];
        for (number, device) in devices.iter().enumerate() {
            for (other, others) in devices.iter().enumerate() {
                let differ = device.iter().flat_map(|a| others.iter().map(|b| a.other_system(*b)));
                assert!(differ.into_iter().all(|differ| differ == (number != other)), "{number} and {other}");
            }
        }
    }

    #[test]
    fn an_app_and_its_pages_may_share_and_two_browsers_do_not() {
        let (app, page) = (of("Acme/5 (iPhone; iOS 26.0) CFNetwork/3826"), of("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Mobile/15E148"));
        let (chrome, script) = (of("Mozilla/5.0 (Windows NT 10.0) Chrome/142"), of("python-requests/2.32.3"));
        assert!(app.may_be_app_and_page(page) && app.may_be_app_and_page(of("Mozilla/5.0")));
        assert!(!app.may_be_app_and_page(chrome) && !chrome.may_be_app_and_page(page));
        assert!(chrome.are_browsers(page) && !app.are_browsers(page));
        assert!(script.is_tool() && Program::of(None).is_tool() && !app.is_tool() && !chrome.is_tool());
    }

    #[test]
    fn long_agents_are_cut_where_a_letter_ends() {
        assert!(of(&"ä".repeat(400)).is_tool() && of(&format!("{}Windows", "x".repeat(400))).is_tool());
    }
}
