//! The strategies, a line each.

use super::RATE_MAX;
use super::scene::{DAYS, Scene};
use bartizan_core::time::{DAY_MS, HOUR_MS};

/// A way of staying unseen.
#[derive(Debug)]
pub(super) struct Strategy {
    pub(super) name: &'static str,
    pub(super) tries: Tries,
    pub(super) line: Line,
    pub(super) looks: Looks,
    /// The part of each day in which it is busy.
    pub(super) busy_ms: i64,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tries {
    /// Names from a leaked list, each once; one in ten is a person's here.
    List,
    /// The people here in turns, a password each time.
    Spray,
    /// One person's password.
    Guess,
    /// Pushes to those who have such a factor, whose passwords are known.
    Push { at_one: bool, denied: bool },
    /// Objects of others by number, by somebody who belongs here.
    Walk { granted: bool, in_order: bool },
    /// Stolen sessions, each used for ten minutes, while its owner uses it or is away.
    Session { in_use: bool },
}

/// Where from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    /// One address of a hoster.
    Address,
    /// 120 addresses of a hoster's /24.
    Subnet,
    /// Addresses of one hoster, another each time.
    Hoster,
    /// Homes in the tenant's countries, so many in turns.
    Homes(usize),
    /// Another home each time.
    EachHome,
    /// The owner's own.
    Own,
}

/// What the client shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Looks {
    /// One tool.
    Tool,
    /// One tool that calls itself another browser each time.
    Guises,
    /// Real browsers, each time one that was never seen.
    Browsers,
    /// All that the owner's shows.
    Own,
}

pub(super) const STRATEGIES: [Strategy; 24] = [
    strategy("list: one address", Tries::List, Line::Address, Looks::Tool, DAY_MS),
    strategy("list: one address, in one hour", Tries::List, Line::Address, Looks::Tool, HOUR_MS),
    strategy("list: one /24", Tries::List, Line::Subnet, Looks::Tool, DAY_MS),
    strategy("list: one hoster, changing names of the client", Tries::List, Line::Hoster, Looks::Guises, DAY_MS),
    strategy("list: 300 homes, one client", Tries::List, Line::Homes(300), Looks::Tool, DAY_MS),
    strategy("list: another home each time, one client", Tries::List, Line::EachHome, Looks::Tool, DAY_MS),
    strategy("list: another home each time, changing names of the client", Tries::List, Line::EachHome, Looks::Guises, DAY_MS),
    strategy("list: another home each time, real browsers", Tries::List, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("spraying: one address", Tries::Spray, Line::Address, Looks::Browsers, DAY_MS),
    strategy("spraying: one address, in one hour", Tries::Spray, Line::Address, Looks::Browsers, HOUR_MS),
    strategy("spraying: another home each time, one client", Tries::Spray, Line::EachHome, Looks::Tool, DAY_MS),
    strategy("spraying: another home each time, real browsers", Tries::Spray, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("one name: one address", Tries::Guess, Line::Address, Looks::Tool, DAY_MS),
    strategy("one name: another home each time, one client", Tries::Guess, Line::EachHome, Looks::Tool, DAY_MS),
    strategy("one name: another home each time, real browsers", Tries::Guess, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("pushes at one person, denied", Tries::Push { at_one: true, denied: true }, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("pushes at one person, unanswered", Tries::Push { at_one: true, denied: false }, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("pushes at all in turns, denied", Tries::Push { at_one: false, denied: true }, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("objects that are refused", Tries::Walk { granted: false, in_order: false }, Line::Own, Looks::Own, DAY_MS),
    strategy("objects in order, granted", Tries::Walk { granted: true, in_order: true }, Line::Own, Looks::Own, DAY_MS),
    strategy("objects here and there, granted", Tries::Walk { granted: true, in_order: false }, Line::Own, Looks::Own, DAY_MS),
    strategy("sessions in use, from a home, another browser", Tries::Session { in_use: true }, Line::EachHome, Looks::Browsers, DAY_MS),
    strategy("sessions in use, from a home, the owner's client", Tries::Session { in_use: true }, Line::EachHome, Looks::Own, DAY_MS),
    strategy(
        "sessions of who is away, from a home, the owner's client",
        Tries::Session { in_use: false },
        Line::EachHome,
        Looks::Own,
        DAY_MS,
    ),
];

const fn strategy(name: &'static str, tries: Tries, line: Line, looks: Looks, busy_ms: i64) -> Strategy {
    Strategy { name, tries, line, looks, busy_ms }
}

impl Strategy {
    /// The highest rate that there is enough for.
    pub(super) fn rate_max(&self, scene: &Scene) -> u32 {
        match self.tries {
            Tries::Session { in_use } => RATE_MAX.min(scene.sessions(in_use).count() as u32 / DAYS as u32),
            _ => RATE_MAX,
        }
    }
}

impl Tries {
    /// What is counted.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::List | Self::Spray => "names",
            Self::Guess => "guesses",
            Self::Push { .. } => "pushes",
            Self::Walk { .. } => "objects",
            Self::Session { .. } => "sessions",
        }
    }

    /// Is there a last one that gets in?
    pub(super) fn can_get_in(self) -> bool {
        !matches!(self, Self::Walk { .. } | Self::Session { .. })
    }
}
