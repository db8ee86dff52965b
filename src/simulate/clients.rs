//! Browsers, apps and tools: what they say of themselves.

use bartizan_core::time::DAY_MS;
use std::fmt;

/// 2025-10-28: the day on which the release counted as `CHROME_FIRST` came out.
const RELEASES_START_MS: i64 = 1_761_609_600_000;
/// Chrome's major version on that day; a new one every four weeks.
const CHROME_FIRST: i64 = 142;
const RELEASE_EVERY_MS: i64 = 28 * DAY_MS;

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    ChromeWindows,
    ChromeMac,
    Edge,
    Firefox,
    SafariMac,
    AppIphone,
    AppAndroid,
    Backend,
    PythonRequests,
    Curl,
    GoHttp,
    /// A script with a token that was issued to the app for Android.
    AppScript,
    /// A stuffing tool that claims to be a browser of three years ago.
    StaleChrome,
    /// A stuffing tool that claims to be another browser at each try.
    GuiseChrome,
    GuiseFirefox,
    GuiseSafari,
    /// A browser that a monitor drives.
    Headless,
    /// A scanner of routes.
    Scanner,
    /// An app of somebody else that people give access to.
    ForeignApp,
}

/// One installation of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) family: Family,
    /// Number of the device; 0 for tools that show none.
    pub(crate) device: u64,
    /// How long after a release its owner updates.
    pub(crate) update_lag_days: u8,
}

impl Client {
    /// A tool without a device id.
    pub(crate) fn tool(family: Family) -> Self {
        Self { family, device: 0, update_lag_days: 0 }
    }

    /// Client application as the identity provider names it.
    pub(crate) fn app(self) -> &'static str {
        match self.family {
            Family::AppIphone => "ios",
            Family::AppAndroid | Family::AppScript => "android",
            Family::Backend => "sync",
            Family::ForeignApp => "mail-merge",
            _ => "web",
        }
    }

    /// JA4 of its TLS stack.
    pub(crate) fn ja4(self) -> &'static str {
        match self.family {
            Family::ChromeWindows | Family::ChromeMac | Family::Edge | Family::Headless => "t13d1516h2_8daaf6152771_02713d6af862",
            Family::Firefox => "t13d1715h2_5b57614c22b0_3d5424432f57",
            Family::SafariMac | Family::AppIphone => "t13d2014h2_a09f3c656075_14788d8d241b",
            Family::AppAndroid => "t13d1513h2_8daaf6152771_eca864cca44a",
            Family::Backend => "t13d1411h1_c866b44c5a26_b1fcce4e8b35",
            Family::PythonRequests | Family::AppScript => "t13d1812h1_85036bcba153_d41ae481755e",
            Family::Curl => "t13d3112h2_e8f1e7e78f70_6bebaf5329ac",
            Family::GoHttp | Family::GuiseChrome | Family::GuiseFirefox | Family::GuiseSafari | Family::Scanner => {
                "t13d1312h2_f57a46bbacb6_ab7e3b40a677"
            }
            Family::ForeignApp => "t13d1714h1_5b57614c22b0_eca864cca44a",
            Family::StaleChrome => "t13d1517h2_8daaf6152771_b0da82dd1658",
        }
    }

    /// Is a newer release out than the one its owner has?
    pub(crate) fn is_behind(self, time_ms: i64) -> bool {
        self.major(time_ms) < self.updated().major(time_ms)
    }

    /// The same installation, brought up to date.
    pub(crate) fn updated(self) -> Self {
        Self { update_lag_days: 0, ..self }
    }

    fn major(self, time_ms: i64) -> i64 {
        let since = time_ms - RELEASES_START_MS - i64::from(self.update_lag_days) * DAY_MS;
        (CHROME_FIRST + since.div_euclid(RELEASE_EVERY_MS)).max(100)
    }

    /// Its user agent at a time, for the app called `brand`.
    pub(crate) fn agent(self, time_ms: i64, brand: &'static str) -> Agent {
        Agent { family: self.family, major: self.major(time_ms), brand }
    }
}

/// A user agent, to be written.
pub(crate) struct Agent {
    family: Family,
    major: i64,
    brand: &'static str,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome";
        let (v, brand) = (self.major, self.brand);
        match self.family {
            Family::ChromeWindows | Family::GuiseChrome => {
                write!(f, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}/{v}.0.0.0 Safari/537.36")
            }
            Family::ChromeMac => write!(f, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}/{v}.0.0.0 Safari/537.36"),
            Family::Edge => write!(f, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}/{v}.0.0.0 Safari/537.36 Edg/{v}.0.0.0"),
            Family::Firefox | Family::GuiseFirefox => {
                write!(f, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0", n = v + 2)
            }
            Family::SafariMac | Family::GuiseSafari => {
                write!(
                    f,
                    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.{} Safari/605.1.15",
                    (v - 140).max(0) / 2
                )
            }
            Family::AppIphone => write!(f, "{brand}/5.{} (iPhone; iOS 26.{}) CFNetwork/3826.500", v - 100, (v - 140).max(0) / 2),
            Family::AppAndroid => write!(f, "{brand}/5.{} (Android 16; Pixel 9) okhttp/4.12.0", v - 100),
            Family::Backend => f.write_str("sync-worker/2.8 Java-http-client/21.0.5"),
            Family::PythonRequests | Family::AppScript => f.write_str("python-requests/2.32.3"),
            Family::Headless => write!(f, "Mozilla/5.0 (X11; Linux x86_64) {WEBKIT}/{v}.0.0.0 Safari/537.36 HeadlessChrome/{v}.0.0.0"),
            Family::Scanner => f.write_str("Mozilla/5.0 (compatible; route-audit/3.4)"),
            Family::ForeignApp => f.write_str("mail-merge/1.4 node-fetch/3.3.2"),
            Family::Curl => f.write_str("curl/8.9.1"),
            Family::GoHttp => f.write_str("Go-http-client/2.0"),
            Family::StaleChrome => write!(f, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}/108.0.0.0 Safari/537.36"),
        }
    }
}
