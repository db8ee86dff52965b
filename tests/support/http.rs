//! A small blocking HTTP client for tests.

use std::future::Future;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

/// An answer with its body read.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not, with the body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Where the asynchronous parts of the test binary run.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Runs a future to its end, outside of any runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// The client that [`send`] uses: follows no redirects, times out after 30 s.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // An error means that a provider is installed already.
        rustls::crypto::ring::default_provider().install_default().ok();
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .expect("an HTTP client")
    })
}

/// Sends a request made with [`client`]; an error when there is no whole answer.
pub fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    block_on(async {
        let answer = request.send().await?;
        Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body: answer.text().await? })
    })
}
