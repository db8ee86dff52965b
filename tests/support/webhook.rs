//! A webhook receiver: records what comes, answers as told, checks signatures.
//!
//! The check is written from the Standard Webhooks specification
//! (<https://www.standardwebhooks.com>), apart from the code that signs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::free_port;
use super::http::{RUNTIME, block_on};

/// A request as received.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it came.
    pub at: Instant,
    /// When it came, in seconds since 1970.
    pub at_s: u64,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
    /// The status it was answered with.
    pub answered: u16,
}

impl Received {
    /// A header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the Standard Webhooks signature with a `whsec_…` secret, and that the
    /// time stamp is within five minutes of its receipt.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, secret: &str) -> Result<(), String> {
        let (id, stamp) = (self.id(), self.header("webhook-timestamp"));
        let sent: u64 = stamp.parse().map_err(|_| format!("time stamp {stamp:?}"))?;
        if id.is_empty() || self.at_s.abs_diff(sent) > 300 {
            return Err(format!("id {id:?}, time stamp {stamp:?}"));
        }
        let wanted = signature(secret, id, stamp, &self.body)?;
        let given = self.header("webhook-signature");
        if given.split(' ').any(|signature| signature == wanted) {
            return Ok(());
        }
        Err(format!("signature {given:?}"))
    }
}

/// The Standard Webhooks signature of a message.
///
/// # Errors
/// When the secret is not `whsec_` and base64.
pub fn signature(secret: &str, id: &str, stamp: &str, body: &[u8]) -> Result<String, String> {
    let key = secret.strip_prefix("whsec_").ok_or("the secret's prefix")?;
    let key = STANDARD.decode(key).map_err(|error| error.to_string())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{stamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// A programmed answer.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// How long to hold it back.
    pub delay: Duration,
    /// The body.
    pub body: &'static str,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self { status, delay: Duration::ZERO, body: "" }
    }
}

struct Book {
    received: Vec<Received>,
    replies: VecDeque<Reply>,
    otherwise: Reply,
}

struct Shared {
    book: Mutex<Book>,
    changed: Condvar,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A receiver on a loopback port of its own.
pub struct Webhook {
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Webhook {
    /// Starts one that answers 204.
    pub fn start() -> Self {
        let book = Book { received: Vec::new(), replies: VecDeque::new(), otherwise: Reply::from(204) };
        let mut webhook =
            Self { port: free_port(), shared: Arc::new(Shared { book: Mutex::new(book), changed: Condvar::new() }), server: None };
        webhook.start_again();
        webhook
    }

    /// Its address with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Starts it after [`Self::stop`], on the same port.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the receiver runs already");
        let routes = Router::new().fallback(receive).with_state(Arc::clone(&self.shared));
        let listener = block_on(TcpListener::bind(("127.0.0.1", self.port))).expect("its port");
        self.server = Some(RUNTIME.spawn(async move {
            axum::serve(listener, routes).await.expect("a server");
        }));
    }

    /// Stops it: connections are refused from now on.
    pub fn stop(&mut self) {
        let server = self.server.take().expect("the receiver runs");
        server.abort();
        // The result says that the task was aborted.
        drop(block_on(server));
    }

    /// The next requests get these answers in turn.
    pub fn reply(&self, replies: impl IntoIterator<Item = impl Into<Reply>>) {
        self.shared.book().replies.extend(replies.into_iter().map(Into::into));
    }

    /// Every request without a programmed answer gets this one.
    pub fn reply_always(&self, reply: impl Into<Reply>) {
        self.shared.book().otherwise = reply.into();
    }

    /// What it has received so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.book().received.clone()
    }

    /// Waits until what was received satisfies `condition`.
    ///
    /// # Panics
    /// When the deadline passes; the message has what was received.
    pub fn wait_until(&self, what: &str, deadline: Duration, condition: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let (book, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.book(), deadline, |book| !condition(&book.received))
            .unwrap_or_else(PoisonError::into_inner);
        let received = book.received.clone();
        drop(book);
        assert!(condition(&received), "waited in vain for {what}: {received:?}");
        received
    }

    /// Waits until at least `count` requests came.
    pub fn wait_for_count(&self, count: usize, deadline: Duration) -> Vec<Received> {
        self.wait_until(&format!("{count} requests"), deadline, |all| all.len() >= count)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let reply = {
        let mut book = shared.book();
        let reply = book.replies.pop_front().unwrap_or(book.otherwise);
        book.received.push(Received {
            at: Instant::now(),
            at_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            method: method.to_string(),
            path: uri.to_string(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body: body.to_vec(),
            answered: reply.status,
        });
        reply
    };
    shared.changed.notify_all();
    tokio::time::sleep(reply.delay).await;
    (StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), reply.body)
}
