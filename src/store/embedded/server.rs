//! The child's side of the embedded store: the engine behind a loopback HTTP handler.
//!
//! The parent writes one JSON line ([`Boot`]) to the child's standard input and holds it open; the
//! child answers with one JSON line ([`Report`]) on standard output and serves until its input ends,
//! which is how it dies with its parent, however that ends. Nothing secret stands on a command line.
//!
//! Invariants: it listens on the loopback address alone and answers no statement without the
//! password; every connection to the engine is closed before the process exits.

use super::blocks;
use super::ffi::{Engine, EngineError};
use super::request::{Incoming, Refusal};
use super::session::{Done, Pool, Session};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Name of the one user.
pub(super) const USER: &str = "bartizan";
/// Sessions that run reads and everything else that is no insert.
const READ_SESSIONS: usize = 4;
/// Sessions that run inserts.
const INSERT_SESSIONS: usize = 2;
/// How long requests in flight may still run once the parent is gone.
const DRAIN_MAX: Duration = Duration::from_secs(4);
/// Bytes of the boot line.
const BOOT_BYTES_MAX: u64 = 64 << 10;
/// Seconds that a statement may run unless it says otherwise.
const STATEMENT_SECONDS_MAX: u32 = 300;

/// How far the engine stands back where there are too few cores: an alert is worth more at once than a
/// merge, and on a machine with time to spare it makes no difference.
const NICENESS: i32 = 10;

/// What the parent tells the child.
#[derive(Serialize, Deserialize)]
pub(super) struct Boot {
    pub(super) library: PathBuf,
    pub(super) path: PathBuf,
    /// 0 = any free port.
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) memory_bytes_max: u64,
    pub(super) body_bytes_max: usize,
    pub(super) answer_bytes_max: u64,
}

/// What the child tells the parent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// Serving.
    Ready { address: SocketAddr, engine: String },
    /// The engine refuses the data directory.
    Busy,
    /// Could not start.
    Failed { reason: String },
}

/// Why the child could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody started this process as a child that a parent talks to.
    #[error("this command is started by the daemon, not by hand: its standard input must be the daemon's boot line: {0}")]
    Boot(String),
    /// The engine cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The loopback listener or a pipe failed.
    #[error("the embedded store's listener failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Runs the embedded store's child process until its standard input ends.
///
/// # Errors
/// [`ServeError`]; the parent has been told the same as a line on standard output.
pub fn serve() -> Result<(), ServeError> {
    // Threads that are started from here on inherit it.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the store keeps its priority");
    }
    let outcome = boot().and_then(|boot| serve_boot(&boot));
    if let Err(error) = &outcome {
        report(&match error {
            ServeError::Engine(EngineError::Connect) => Report::Busy,
            _ => Report::Failed { reason: error.to_string() },
        })?;
    }
    outcome
}

fn boot() -> Result<Boot, ServeError> {
    let mut line = String::new();
    std::io::stdin().lock().take(BOOT_BYTES_MAX).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|error| ServeError::Boot(error.to_string()))
}

fn report(report: &Report) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, report)?;
    output.write_all(b"\n")?;
    output.flush()
}

struct Store {
    password: String,
    body_bytes_max: usize,
    reads: Pool,
    inserts: Pool,
}

fn serve_boot(boot: &Boot) -> Result<(), ServeError> {
    let engine = Engine::load(&boot.library)?;
    let arguments = [format!("--path={}", boot.path.display()), format!("--max_server_memory_usage={}", boot.memory_bytes_max)];
    let sessions = |count: usize| -> Result<Pool, EngineError> {
        let sessions: Result<Vec<_>, _> = (0..count).map(|_| Ok(Session::new(engine.connect(&arguments)?, base_settings(boot)))).collect();
        Ok(Pool::new(sessions?))
    };
    let store = Store {
        password: boot.password.clone(),
        body_bytes_max: boot.body_bytes_max,
        reads: sessions(READ_SESSIONS)?,
        inserts: sessions(INSERT_SESSIONS)?,
    };
    let store = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(listen(boot.port, Arc::clone(&store), engine.version()));
    // Statements in flight hold the store; they end before their sessions are closed.
    runtime.shutdown_timeout(DRAIN_MAX);
    drop(store);
    if !engine.shutdown() {
        tracing::warn!("embedded store stopped with connections open");
    }
    served
}

/// Settings that every request starts from and may override.
fn base_settings(boot: &Boot) -> BTreeMap<String, String> {
    // One statement may use most of the engine's memory, not all: an insert must go on beside it.
    let statement_bytes = boot.memory_bytes_max / 4 * 3;
    [
        ("max_memory_usage", statement_bytes.to_string()),
        ("max_execution_time", STATEMENT_SECONDS_MAX.to_string()),
        ("max_result_bytes", boot.answer_bytes_max.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

async fn listen(port: u16, store: Arc<Store>, engine: String) -> Result<(), ServeError> {
    ignore_signals()?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let routes = axum::Router::new().fallback(handle).with_state(store);
    report(&Report::Ready { address, engine })?;
    let (gone, parent_gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // The parent writes nothing more; its end of the pipe closes when it stops or dies.
        let ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tracing::debug!(?ended, "parent closed the embedded store's input");
        gone.send(()).ok();
        // A statement that does not end must not keep the data directory locked.
        std::thread::sleep(DRAIN_MAX);
        std::process::exit(1);
    });
    let stop = async move {
        parent_gone.await.ok();
    };
    Ok(axum::serve(listener, routes).with_graceful_shutdown(stop).await?)
}

/// A terminal or service manager signals the whole group; the parent decides when the store ends,
/// because it still has rows to write.
fn ignore_signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move { while signals.recv().await.is_some() {} });
    }
    Ok(())
}

async fn handle(State(store): State<Arc<Store>>, request: Request<Body>) -> Response<Body> {
    let incoming = Incoming::new(request);
    if incoming.is_visit() {
        return Response::new(Body::from("Ok.\n"));
    }
    answer(store, incoming).await.unwrap_or_else(|refusal| refuse(&refusal))
}

async fn answer(store: Arc<Store>, incoming: Incoming) -> Result<Response<Body>, Refusal> {
    let known = incoming.credential().is_some_and(|(user, password)| user == USER && same(&password, &store.password));
    if !known {
        return Err(Refusal::new(StatusCode::FORBIDDEN, 516, "Authentication failed: wrong user or password. (AUTHENTICATION_FAILED)"));
    }
    let wants_blocks = incoming.wants_blocks();
    let statement = incoming.statement(store.body_bytes_max).await?;
    let format = statement.format.clone();
    let pool = if statement.rows.is_some() { &store.inserts } else { &store.reads };
    let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, 210, "the store is stopping");
    let mut lease = pool.lease().await.ok_or_else(stopping)?;
    let done = tokio::task::spawn_blocking(move || lease.run(&statement));
    let done = done.await.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1002, error.to_string()))?;
    let (body, read, written) = match done.map_err(|error| refusal_of(&error.to_string()))? {
        Done::Inserted(rows) => (Bytes::new(), 0, rows),
        Done::Answer(answer) => {
            let (read, written) = (answer.rows_read(), answer.rows_written());
            (if wants_blocks { blocks::pack(answer.as_ref()).into() } else { Bytes::from_owner(answer) }, read, written)
        }
    };
    let summary = format!("{{\"read_rows\":\"{read}\",\"written_rows\":\"{written}\"}}");
    Response::builder()
        .header("X-ClickHouse-Summary", summary)
        .header("X-ClickHouse-Format", format)
        .header("X-ClickHouse-Timezone", "UTC")
        .body(Body::from(body))
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1002, error.to_string()))
}

/// Compares two secrets in a time that does not depend on where they differ.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |differs, (l, r)| differs | (l ^ r)) == 0
}

/// The status that ClickHouse's HTTP interface gives to an error of its own.
fn refusal_of(text: &str) -> Refusal {
    let code =
        text.strip_prefix("Code: ").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()).and_then(|code| code.parse().ok());
    let code = code.unwrap_or(1002);
    let status = match code {
        // unknown database, table, function, column and the like
        46 | 47 | 60 | 81 | 192 => StatusCode::NOT_FOUND,
        // syntax, types, values
        6 | 26 | 27 | 33 | 36 | 38 | 41 | 43 | 44 | 53 | 62 | 69 | 70 | 72 | 115 | 117 | 130 | 131 | 271 | 376 | 441 | 456 | 457 => {
            StatusCode::BAD_REQUEST
        }
        159 => StatusCode::REQUEST_TIMEOUT,
        202 | 241 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, code, text)
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let prefixed = refusal.reason.starts_with("Code: ");
    let text = if prefixed { refusal.reason.clone() } else { format!("Code: {}. DB::Exception: {}", refusal.code, refusal.reason) };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = refusal.status;
    response.headers_mut().insert("X-ClickHouse-Exception-Code", refusal.code.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_code() {
        let refusal = refusal_of("Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)");
        assert_eq!((refusal.status, refusal.code), (StatusCode::NOT_FOUND, 60));
        assert_eq!(refusal_of("what").code, 1002);
    }

    #[test]
    fn secrets_are_equal_only_when_they_are() {
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "ab"));
    }
}
