//! The daemon under test, as its users run it: the built binary with a
//! configuration file in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::http::{Answer, client, send};
use super::process::Process;
use super::{PATIENCE, folder, free_port};

/// The binary under test: cargo's own, but for benchmarks, which measure that of `make build`.
pub const BINARY: &str = match option_env!("BARTIZAN") {
    Some(built) => built,
    None => env!("CARGO_BIN_EXE_bartizan"),
};

/// One daemon with its data; it can be killed and started again.
pub struct Daemon {
    /// Its working folder: the configuration, the data, the log.
    pub folder: PathBuf,
    /// Its HTTP port.
    pub port: u16,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Daemon {
    /// Writes a configuration without starting anything. The data folder and the
    /// HTTP address come from the environment; `config` needs neither.
    pub fn prepare(config: &str) -> Self {
        let folder = folder("daemon");
        let port = free_port();
        std::fs::write(folder.join("bartizan.toml"), config).expect("the configuration");
        let data_dir = folder.join("data").display().to_string();
        let environment =
            vec![("BARTIZAN__DATA_DIR".to_owned(), data_dir), ("BARTIZAN__HTTP__LISTEN".to_owned(), format!("127.0.0.1:{port}"))];
        Self { folder, port, environment, process: None }
    }

    /// Starts a daemon and waits until it is ready.
    pub fn start(config: &str) -> Self {
        let mut daemon = Self::prepare(config);
        daemon.launch();
        daemon.wait_until_ready(PATIENCE);
        daemon
    }

    /// Adds an environment variable for all later starts and commands.
    pub fn set_env(&mut self, key: &str, value: impl Into<String>) {
        self.environment.push((key.to_owned(), value.into()));
    }

    /// Replaces the configuration; it holds from the next start.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.folder.join("bartizan.toml"), config).expect("the configuration");
    }

    /// A file beside the configuration, for secrets and the like.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.join(name);
        std::fs::write(&file, content).expect("a file");
        file
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(&self.folder).envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Starts the daemon and returns at once.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "the daemon runs already");
        let mut command = self.command();
        command.args(["run", "-c", "bartizan.toml"]);
        self.process = Some(Process::start(&mut command, &self.folder.join("log")));
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon runs")
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// With the log, when the daemon ends first or the deadline passes.
    pub fn wait_until_ready(&mut self, deadline: Duration) {
        let url = self.url("/readyz");
        self.process().wait_for("a ready daemon", deadline, |_| {
            let answer = send(client().get(&url)).ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Waits for a condition while the daemon lives; it is asked ten times a second.
    ///
    /// # Panics
    /// With the log, when the daemon ends first or the deadline passes.
    pub fn wait_for<T>(&mut self, what: &str, deadline: Duration, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = condition(self) {
                return value;
            }
            let (ended, late) = (self.process().ended(), start.elapsed() > deadline);
            assert!(ended.is_none() && !late, "waited in vain for {what}; ended: {ended:?}; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a daemon that ends by itself has done so.
    pub fn wait_until_ended(&mut self, deadline: Duration) -> ExitStatus {
        let mut process = self.process.take().expect("the daemon runs");
        super::wait_for("the daemon to end", deadline, || process.ended())
    }

    /// Kills the daemon's process alone (SIGKILL), and waits until what it had
    /// started is gone as well, by itself.
    ///
    /// # Panics
    /// With the log, when it has ended before.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the daemon runs");
        let ended = process.ended();
        assert!(ended.is_none(), "the daemon ended by itself: {ended:?}; log:\n{}", self.log());
        process.kill();
        super::wait_for("the daemon's children to end", PATIENCE, || (!process.group_lives()).then_some(()));
    }

    /// Asks it to end (SIGTERM), and waits for its status.
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        let process = self.process.take().expect("the daemon runs");
        process.terminate(deadline)
    }

    /// Its process id.
    pub fn id(&mut self) -> u32 {
        self.process().id()
    }

    /// The process of its embedded store, once there is one.
    pub fn store_process(&mut self) -> Option<Pid> {
        let daemon = self.id();
        let children = std::fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).ok()?;
        let threads = std::fs::read_dir(format!("/proc/{daemon}/task")).ok()?.flatten();
        let of_threads = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let all: String = of_threads.chain([children]).collect();
        let is_store = |id: &&str| std::fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.contains("embedded-store"));
        Pid::from_raw(all.split_whitespace().find(is_store)?.parse().ok()?)
    }

    /// Why `/readyz` says that it is not ready; `None` when it is, or when nothing answers.
    pub fn unready(&self) -> Option<String> {
        let answer = send(client().get(self.url("/readyz"))).ok()?;
        (answer.status == 503).then_some(answer.body)
    }

    /// Its log, of all starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Runs another command of the binary with this daemon's configuration, for
    /// example `["token", "list", "-c", "bartizan.toml"]`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("the binary")
    }

    /// A new token, of all tenants or of one.
    pub fn token(&self, role: &str, tenant: Option<&str>) -> String {
        let mut arguments = vec!["token", "create", "-c", "bartizan.toml", "--role", role];
        let name = super::unique(role);
        arguments.extend(["--name", &name]);
        arguments.extend(tenant.iter().flat_map(|tenant| ["--tenant", *tenant]));
        let output = self.run(&arguments);
        assert!(output.status.success(), "token create: {output:?}");
        let token = String::from_utf8(output.stdout).expect("a token as text");
        token.trim().to_owned()
    }

    /// The address of a route.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// `GET` with a token.
    pub fn get(&self, path: &str, token: &str) -> Answer {
        send(client().get(self.url(path)).bearer_auth(token)).expect("an answer")
    }

    /// `POST` with a token.
    pub fn post(&self, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = client().post(self.url(path)).bearer_auth(token).body(body);
        send(request).expect("an answer")
    }

    /// `DELETE` with a token.
    pub fn delete(&self, path: &str, token: &str) -> Answer {
        send(client().delete(self.url(path)).bearer_auth(token)).expect("an answer")
    }

    /// `PATCH` of JSON with a token.
    pub fn patch(&self, path: &str, token: &str, body: &serde_json::Value) -> Answer {
        send(client().patch(self.url(path)).bearer_auth(token).json(body)).expect("an answer")
    }
}

/// Runs the binary without a daemon, in a folder.
pub fn bartizan(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).current_dir(folder).output().expect("the binary")
}
