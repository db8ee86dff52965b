//! A real SMTP server (aiosmtpd) whose mail the test can read.
//!
//! Mail to `busy@…` is refused for now (451), to `unknown@…` for good (550).

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::parts::part;
use super::process::Process;
use super::tls::Authority;
use super::{PATIENCE, folder, free_port, script, wait_for};

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// `smtps`: from the first byte.
    Implicit,
    /// `STARTTLS`, required.
    Starttls,
}

/// A mail as received.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Whether it came encrypted.
    pub tls: bool,
    /// Who had signed in.
    pub user: Option<String>,
    /// Headers, names in lower case, decoded.
    pub headers: std::collections::BTreeMap<String, String>,
    /// The text part.
    pub text: Option<String>,
    /// The HTML part.
    pub html: Option<String>,
    /// All of it as it came.
    pub raw: String,
}

/// A running SMTP server.
pub struct Smtp {
    /// Its loopback port.
    pub port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Smtp {
    /// Starts a server without encryption and authentication.
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// Starts a server that wants encryption with a certificate of `authority` for
    /// `localhost` and 127.0.0.1, and this user and password.
    pub fn start_secure(authority: &Authority, encryption: Encryption, user: &str, password: &str) -> Self {
        let tls = match encryption {
            Encryption::Implicit => "implicit",
            Encryption::Starttls => "starttls",
        };
        let arguments = [
            ("--tls", tls),
            ("--cert", &authority.cert_file.display().to_string()),
            ("--key", &authority.key_file.display().to_string()),
            ("--user", user),
            ("--password", password),
        ];
        Self::start_with(arguments.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]).collect())
    }

    fn start_with(arguments: Vec<String>) -> Self {
        let mut server = Self { port: free_port(), folder: folder("smtp"), arguments, process: None };
        server.start_again();
        server
    }

    /// Starts it after [`Self::stop`], on the same port, and waits until it listens.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the SMTP server runs already");
        let mut command = Command::new(part("AIOSMTPD_PYTHON"));
        command
            .arg(script("smtp_server.py"))
            .args(["--port", &self.port.to_string(), "--mails"])
            .arg(self.folder.join("mails.jsonl"))
            .args(&self.arguments);
        let mut process = Process::start(&mut command, &self.folder.join("log"));
        process.wait_for("an SMTP server", PATIENCE, |_| TcpStream::connect(("127.0.0.1", self.port)).ok());
        self.process = Some(process);
    }

    /// Stops it: connections are refused. What was received stays readable.
    pub fn stop(&mut self) {
        self.process.take().expect("the SMTP server runs").kill();
    }

    /// What it has received so far.
    pub fn mails(&self) -> Vec<Mail> {
        let text = std::fs::read_to_string(self.folder.join("mails.jsonl")).unwrap_or_default();
        // A line without its end is still being written.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).expect("a mail record"))
            .collect()
    }

    /// Waits until it has received at least `count` mails.
    pub fn wait_for_mails(&self, count: usize, deadline: Duration) -> Vec<Mail> {
        wait_for(&format!("{count} mails"), deadline, || {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
    }
}
