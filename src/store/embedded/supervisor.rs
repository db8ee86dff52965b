//! The daemon's side of the embedded store: starts the child, waits until it is ready, starts it
//! again when it dies, and stops it.
//!
//! Invariants: one daemon to a data directory (a lock that the system drops with the process); the
//! address and the password stay the same over restarts of the child, so that clients need not
//! know; no child outlives its daemon, because the child ends when the pipe to its input closes.

use super::EmbeddedConfig;
use super::library::{self, LibraryMissing};
use super::server::{Boot, Report, USER};
use rand::distr::{Alphanumeric, SampleString};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a child may take until it serves; opening many parts after a crash takes a while.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a child may take to end once asked to, before it is killed: a little more than it takes.
const STOP_MAX: Duration = Duration::from_millis(4_500);
/// How long the child of an earlier daemon may still hold the data; it stops within four seconds.
const BUSY_MAX: Duration = Duration::from_secs(15);
/// First and longest wait before a dead child is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A child that has served this long starts again without a wait.
const STEADY: Duration = Duration::from_secs(60);
/// Bytes of one line that the child writes.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// Letters of the password, each of 62: about 190 bits.
const PASSWORD_LETTERS: usize = 32;

/// Why the embedded store cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine is not installed.
    #[error(transparent)]
    Library(#[from] LibraryMissing),
    /// Another daemon has the directory.
    #[error("the data directory {path} is in use by another bartizan{holder}: stop it, or give this one another `data_dir`")]
    InUse {
        /// The directory.
        path: String,
        /// ` (process N)` where the other one is known.
        holder: String,
    },
    /// The directory or the child process cannot be made.
    #[error("the embedded store cannot be started at {path}: {source}")]
    Io {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine refuses its data directory.
    #[error("the embedded store cannot open its data: another process has it, it is damaged, or this user may not write there")]
    Busy,
    /// The child started and gave up, or was not ready in time.
    #[error("the embedded store did not start: {0}")]
    Child(String),
}

/// Address and credential of the embedded store's HTTP interface.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// User name.
    pub user: String,
    /// Password; a secret.
    pub password: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

/// What the embedded store is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddedState {
    /// Serving.
    Ready {
        /// Process of the child.
        process: u32,
        /// Version of the engine.
        engine: String,
        /// How often the child had to be started again.
        restarts: u64,
    },
    /// The child died and is being started again.
    Restarting {
        /// Why.
        reason: String,
        /// How often the child had to be started again.
        restarts: u64,
    },
    /// Stopped on request.
    Stopped,
}

/// The program that becomes the child; the daemon's own, except in tests.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Executable.
    pub program: PathBuf,
    /// Its arguments; none of them secret.
    pub arguments: Vec<String>,
    /// Environment added for the child.
    pub environment: Vec<(String, String)>,
}

impl Launch {
    /// This program's hidden command `embedded-store`.
    ///
    /// # Errors
    /// When the system does not say where the running executable lies.
    pub fn own() -> std::io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, arguments: vec!["embedded-store".to_owned()], environment: Vec::new() })
    }
}

/// A running embedded store. Dropping it ends the child too, without waiting for it.
pub struct Embedded {
    endpoint: Endpoint,
    state: watch::Receiver<EmbeddedState>,
    stop: DropGuard,
    keeper: tokio::task::JoinHandle<()>,
}

impl Embedded {
    /// Locks the directory, starts the child and waits until it serves.
    ///
    /// # Errors
    /// [`StartError`]: no engine, the directory in use, or the child's own reason.
    pub async fn start(config: &EmbeddedConfig, path: &Path, launch: Launch) -> Result<Self, StartError> {
        let library = library::find(config.library.as_deref())?;
        let lock = lock(path)?;
        let data = std::path::absolute(path.join("engine")).map_err(|source| io_error(path, source))?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LETTERS);
        let mut keeper = Keeper {
            launch,
            boot: Boot {
                library,
                path: data,
                port: 0,
                password: password.clone(),
                memory_bytes_max: config.memory_bytes_max,
                body_bytes_max: config.body_bytes_max,
                answer_bytes_max: config.answer_bytes_max,
            },
            restarts: 0,
            _lock: lock,
        };
        let child = keeper.start_first().await?;
        let endpoint = Endpoint { url: format!("http://{}", child.address), user: USER.to_owned(), password };
        let (sender, state) = watch::channel(keeper.ready(&child));
        write_endpoint(path, &endpoint).map_err(|source| io_error(path, source))?;
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keeper.keep(child, sender, stop.clone()));
        Ok(Self { endpoint, state, stop: stop.drop_guard(), keeper })
    }

    /// Where it serves; the same for the life of this value.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it is doing, to read and to wait for.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<EmbeddedState> {
        self.state.clone()
    }

    /// Lets statements in flight end, closes the engine and waits for the child, at most six seconds.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.keeper.await {
            tracing::warn!(%error, "embedded store's keeper failed");
        }
    }
}

fn io_error(path: &Path, source: std::io::Error) -> StartError {
    StartError::Io { path: path.display().to_string(), source }
}

/// Takes the directory for this process; the system gives it back when the process ends.
fn lock(path: &Path) -> Result<File, StartError> {
    std::fs::create_dir_all(path).map_err(|source| io_error(path, source))?;
    let file = path.join("lock");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(file);
    let mut file = file.map_err(|source| io_error(path, source))?;
    match file.try_lock() {
        Ok(()) => {
            let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            noted.map_err(|source| io_error(path, source))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message: a number that cannot be read is left out.
            let read = file.rewind().and_then(|()| (&file).take(20).read_to_string(&mut holder));
            let holder = read.ok().and_then(|_| holder.trim().parse::<u32>().ok()).map(|id| format!(" (process {id})"));
            Err(StartError::InUse { path: path.display().to_string(), holder: holder.unwrap_or_default() })
        }
        Err(TryLockError::Error(source)) => Err(io_error(path, source)),
    }
}

/// Leaves address and password for the operator's own ClickHouse clients, readable by the owner alone.
fn write_endpoint(path: &Path, endpoint: &Endpoint) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let text = serde_json::json!({"url": endpoint.url, "user": endpoint.user, "password": endpoint.password});
    let (written, target) = (path.join("endpoint.json.new"), path.join("endpoint.json"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&written)?;
    writeln!(file, "{text}")?;
    std::fs::rename(written, target)
}

struct Running {
    process: Child,
    /// Held open: the child serves until this closes.
    input: ChildStdin,
    address: SocketAddr,
    engine: String,
    since: Instant,
}

/// Keeps one child running.
struct Keeper {
    launch: Launch,
    boot: Boot,
    restarts: u64,
    _lock: File,
}

impl Keeper {
    fn ready(&self, child: &Running) -> EmbeddedState {
        EmbeddedState::Ready { process: child.process.id().unwrap_or_default(), engine: child.engine.clone(), restarts: self.restarts }
    }

    async fn keep(mut self, mut child: Running, state: watch::Sender<EmbeddedState>, stop: CancellationToken) {
        let mut wait = BACK_OFF.0;
        loop {
            let ended = tokio::select! {
                ended = child.process.wait() => ended,
                () = stop.cancelled() => break,
            };
            let mut reason = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            if child.since.elapsed() > STEADY {
                wait = BACK_OFF.0;
            }
            child = loop {
                self.restarts += 1;
                tracing::error!(reason, restarts = self.restarts, "embedded store died, starting it again");
                state.send_replace(EmbeddedState::Restarting { reason, restarts: self.restarts });
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => {
                        state.send_replace(EmbeddedState::Stopped);
                        return;
                    }
                }
                wait = (wait * 2).min(BACK_OFF.1);
                match self.start().await {
                    Ok(child) => break child,
                    Err(error) => reason = error.to_string(),
                }
            };
            state.send_replace(self.ready(&child));
        }
        end(child).await;
        state.send_replace(EmbeddedState::Stopped);
    }

    /// Starts the first child. The child of a daemon that was killed may still hold the data: it ends
    /// by itself, so that is waited for.
    async fn start_first(&mut self) -> Result<Running, StartError> {
        let begun = Instant::now();
        loop {
            match self.start().await {
                Err(StartError::Busy) if begun.elapsed() < BUSY_MAX => tokio::time::sleep(BACK_OFF.0).await,
                done => return done,
            }
        }
    }

    /// Starts a child and waits for its report. The first one chooses the port; later ones keep it.
    async fn start(&mut self) -> Result<Running, StartError> {
        let failed = |source| io_error(&self.boot.path, source);
        let mut command = Command::new(&self.launch.program);
        // Secrets may be among them, and the engine has no use for any.
        let of_the_daemon = |name: &OsString| name.as_encoded_bytes().starts_with(b"BARTIZAN_");
        std::env::vars_os().map(|(name, _)| name).filter(of_the_daemon).for_each(|name| _ = command.env_remove(name));
        let mut process = command
            .args(&self.launch.arguments)
            .envs(self.launch.environment.iter().map(|(name, value)| (name, value)))
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Of its own group, so that an interrupt at the terminal reaches the daemon alone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(mut input), Some(output), Some(errors)) = (process.stdin.take(), process.stdout.take(), process.stderr.take()) else {
            return Err(StartError::Child("its pipes are missing".to_owned()));
        };
        tokio::spawn(forward(errors));
        let mut line = serde_json::to_string(&self.boot).map_err(|error| StartError::Child(error.to_string()))?;
        line.push('\n');
        let report = async {
            input.write_all(line.as_bytes()).await?;
            first_report(output).await
        };
        let report = tokio::time::timeout(READY_MAX, report).await;
        let report = report.map_err(|_| StartError::Child(format!("not ready after {} s", READY_MAX.as_secs())))?;
        match report.map_err(failed)? {
            Some(Report::Ready { address, engine }) => {
                tracing::info!(%address, engine, "embedded store ready");
                self.boot.port = address.port();
                Ok(Running { process, input, address, engine, since: Instant::now() })
            }
            Some(Report::Busy) => Err(StartError::Busy),
            Some(Report::Failed { reason }) => Err(StartError::Child(reason)),
            None => {
                let status = process.wait().await.map_err(failed)?;
                Err(StartError::Child(format!("it ended at once: {status}")))
            }
        }
    }
}

/// Closes the child's input, and waits for it to close the engine; kills it when that takes too long.
async fn end(child: Running) {
    let Running { mut process, input, .. } = child;
    drop(input);
    match tokio::time::timeout(STOP_MAX, process.wait()).await {
        Ok(Ok(status)) if status.success() => tracing::debug!("embedded store stopped"),
        Ok(status) => tracing::warn!(?status, "embedded store ended badly"),
        Err(_) => {
            tracing::warn!("embedded store did not stop in time, killing it");
            if let Err(error) = process.kill().await {
                tracing::warn!(%error, "embedded store cannot be killed");
            }
        }
    }
}

/// Reads lines until one is a report; `None` when the output ends before. Goes on reading it
/// afterwards, so that the child never blocks on a full pipe.
async fn first_report(output: ChildStdout) -> std::io::Result<Option<Report>> {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        if (&mut output).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        if let Ok(report) = serde_json::from_slice(&line) {
            tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
            return Ok(Some(report));
        }
    }
}

/// Passes on what the child writes to standard error, line by line, as log messages.
async fn forward(errors: ChildStderr) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    while (&mut errors).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        tracing::warn!(line = %String::from_utf8_lossy(&line).trim_end(), "embedded store says");
        line.clear();
    }
}
