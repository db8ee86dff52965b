//! The other programs of `auth.log`: sudo, su, login, logind, and the tools that change accounts.
//!
//! After the messages of sudo, util-linux and shadow-utils (both have a su and a login). Becoming
//! another user, or failing to, is the actor's event: `target_user` or `by` names the other.

use super::sshd::Found;
use bartizan_core::{Kind, Outcome};

pub(super) fn is_program(program: &str) -> bool {
    understand_by(program).is_some()
}

type Rule = for<'a> fn(&'a str) -> Option<Found<'a>>;

fn understand_by(program: &str) -> Option<Rule> {
    Some(match program {
        "sudo" | "sudo-rs" => sudo,
        "su" | "su-l" | "runuser" => su,
        "login" | "agetty" => login,
        "systemd-logind" | "elogind-daemon" => logind,
        "useradd" | "userdel" | "usermod" | "groupadd" | "groupdel" | "groupmod" | "gpasswd" | "passwd" | "chpasswd" | "chage" | "chsh"
        | "chfn" | "adduser" | "newusers" => account,
        _ => return None,
    })
}

pub(super) fn understand<'a>(program: &str, message: &'a str) -> Option<Found<'a>> {
    understand_by(program)?(message)
}

/// `ann : [problem ; ]TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/ls`.
fn sudo(message: &str) -> Option<Found<'_>> {
    let (user, rest) = message.split_once(" : ")?;
    if user.contains(' ') || rest.starts_with("(command continued)") {
        return None;
    }
    let field = |name: &str| rest.split_once(name).map_or("", |(_, value)| value.split_once(" ; ").map_or(value, |(value, _)| value));
    let problem = rest.split_once(" ; ").map_or(rest, |(first, _)| first);
    let found = match problem {
        _ if problem.starts_with("TTY=") || problem.starts_with("PWD=") || problem.starts_with("HOST=") => {
            Found::new(Kind::Other, Outcome::Success, "sudo")
        }
        _ if problem.contains("incorrect password attempt") || problem.contains("a password is required") => {
            Found::new(Kind::Login, Outcome::Failure, "sudo").reason("bad_password")
        }
        _ if rest.contains("COMMAND=") => Found::new(Kind::Other, Outcome::Denied, "sudo").reason("not_allowed"),
        _ => return None,
    };
    let command = rest.split_once("COMMAND=").map_or("", |(_, command)| command);
    Some(
        found.user(user).attr("target_user", field("USER=")).attr("tty", field("TTY=")).attr("cwd", field("PWD=")).attr("command", command),
    )
}

/// util-linux: `[FAILED SU ](to root) ann on pts/0`; shadow: `Successful su for root by ann`, `FAILED su for …`.
fn su(message: &str) -> Option<Found<'_>> {
    let success = |user, target| Found::new(Kind::Other, Outcome::Success, "su").user(user).attr("target_user", target);
    let failure = |target, by| Found::new(Kind::Login, Outcome::Failure, "su").reason("bad_password").user(target).attr("by", by);
    let (failed, rest) = match message.strip_prefix("FAILED SU ") {
        Some(rest) => (true, rest),
        None => (false, message),
    };
    if let Some((target, rest)) = rest.strip_prefix("(to ").and_then(|rest| rest.split_once(") ")) {
        let user = rest.rsplit_once(" on ").map_or(rest, |(user, _)| user);
        return Some(if failed { failure(target, user) } else { success(user, target) });
    }
    if let Some((target, user)) = message.strip_prefix("Successful su for ").and_then(|rest| rest.rsplit_once(" by ")) {
        return Some(success(user, target));
    }
    let (target, user) = message.strip_prefix("FAILED su for ")?.rsplit_once(" by ")?;
    Some(failure(target, user))
}

/// `LOGIN ON tty1 BY ann[ FROM host]`, `ROOT LOGIN ON tty1`, `FAILED LOGIN (1) on '/dev/tty1' FOR 'ann', …`.
fn login(message: &str) -> Option<Found<'_>> {
    if message.starts_with("FAILED LOGIN") || message.starts_with("TOO MANY LOGIN TRIES") {
        let (head, rest) = message.split_once(" FOR ")?;
        let user = rest.split_once(',').map_or(rest, |(user, _)| user).trim_matches('\'');
        let host = head.split_once(" FROM ").map_or("", |(_, host)| host);
        let found = Found::new(Kind::Login, Outcome::Failure, "console");
        // login writes UNKNOWN for a name that is none of the system's: it is often a password.
        return Some(
            if user == "UNKNOWN" { found.reason("unknown_user") } else { found.reason("bad_password").user(user) }.client(host, ""),
        );
    }
    let found = Found::new(Kind::Login, Outcome::Success, "console");
    if message.starts_with("ROOT LOGIN") {
        let host = message.split_once(" FROM ").map_or("", |(_, host)| host);
        return Some(found.user("root").client(host, ""));
    }
    let (_, rest) = message.strip_prefix("LOGIN ON ")?.split_once(" BY ")?;
    let (user, host) = rest.split_once(" FROM ").unwrap_or((rest, ""));
    Some(found.user(user).client(host, ""))
}

/// `New session 5 of user ann.`
fn logind(message: &str) -> Option<Found<'_>> {
    let (_, user) = message.strip_prefix("New session ")?.split_once(" of user ")?;
    // From systemd 256 on the line goes on: `… with class 'user' and type 'tty'.`
    let user = user.split_once(" with ").map_or(user, |(user, _)| user).trim_end_matches('.').trim_matches('\'');
    Some(Found::new(Kind::Other, Outcome::Success, "session_opened").user(user))
}

/// shadow-utils. The account that is changed is the event's user.
fn account(message: &str) -> Option<Found<'_>> {
    let changed = |action| Found::new(Kind::AccountChange, Outcome::Success, action);
    let named = |text: &'static str| {
        let rest = message.strip_prefix(text)?;
        Some(rest.split_once("name=").map_or("", |(_, name)| name.split_once(',').map_or(name, |(name, _)| name)))
    };
    if let Some(user) = named("new user:") {
        return Some(changed("user_added").user(user));
    }
    if let Some(group) = named("new group:") {
        return Some(changed("group_added").attr("group", group));
    }
    if let Some(user) = quoted(message.strip_prefix("delete user ")) {
        return Some(changed("user_deleted").user(user));
    }
    if let Some(rest) = message.strip_prefix("password for ") {
        let user = quoted(Some(rest))?;
        let by = rest.split_once(" changed by ").map_or("", |(_, by)| by.trim_matches('\''));
        return Some(Found::new(Kind::PasswordChange, Outcome::Success, "password_changed").user(user).attr("by", by));
    }
    if let Some((user, group)) = message.strip_prefix("add ").and_then(|rest| rest.split_once(" to group ")) {
        return Some(changed("group_joined").user(user.trim_matches('\'')).attr("group", group.trim_matches('\'')));
    }
    if let Some((user, rest)) = message.strip_prefix("user ").and_then(|rest| rest.split_once(" added by ")) {
        let (by, group) = rest.split_once(" to group ")?;
        return Some(changed("group_joined").user(user).attr("group", group).attr("by", by));
    }
    let rest = ["change user ", "changed user ", "changed password expiry for "].iter().find_map(|start| message.strip_prefix(start))?;
    let user = quoted(Some(rest)).unwrap_or_else(|| rest.split_once(' ').map_or(rest, |(user, _)| user));
    Some(changed("user_changed").user(user).attr("detail", message))
}

/// The text in the first pair of single quotes, which the text begins with.
fn quoted(text: Option<&str>) -> Option<&str> {
    text?.strip_prefix('\'')?.split_once('\'').map(|(inner, _)| inner)
}
