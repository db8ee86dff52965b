//! The listening socket: plain HTTP or TLS, with limits on connections and on slow clients.
//!
//! The address is bound before anything is served, so that a port in use is told at once and port 0
//! gives the real one. On shutdown no new connection is taken, and open requests get
//! [`SHUTDOWN_TIME_MAX`]. A certificate that changes on disk is taken up without a restart; one that
//! does not load is reported and the one in use stays.

use super::HttpConfig;
use super::limits;
use axum::extract::ConnectInfo;
use axum::http::Extensions;
use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::accept::{Accept, DefaultAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// How long a client may take to send a request's head, or to send none.
const HEAD_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long open requests get when it is time to stop.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);
/// How often the certificate's files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `http.listen` is no address.
    #[error("http.listen {0:?} is not an address and a port")]
    Address(String),
    /// The address cannot be bound, e.g. because another program has it.
    #[error("cannot listen on {address} (http.listen): {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("http.tls_cert, http.tls_key: {0}")]
    Certificate(String),
    /// The socket failed while serving.
    #[error("http: {0}")]
    Io(#[from] io::Error),
}

/// A bound address.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    config: HttpConfig,
}

/// A certificate in use, and where it came from.
#[derive(Debug)]
struct Tls {
    config: RustlsConfig,
    cert: PathBuf,
    key: PathBuf,
}

impl Server {
    /// Binds the address of the configuration and loads the certificate, if there is one.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(config: &HttpConfig) -> Result<Self, ServeError> {
        let address: SocketAddr = config.listen.parse().map_err(|_| ServeError::Address(config.listen.clone()))?;
        let tls = config.has_tls().then(|| Tls::load(&config.tls_cert, &config.tls_key)).transpose()?;
        let listener = std::net::TcpListener::bind(address).map_err(|error| ServeError::Bind { address, error })?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener, tls, config: config.clone() })
    }

    /// The address that is bound.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where people reach it: `http://…` or `https://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> Result<(), ServeError> {
        let handle = Handle::new();
        let stop = {
            let (handle, shutdown) = (handle.clone(), shutdown.clone());
            async move {
                shutdown.cancelled().await;
                handle.graceful_shutdown(Some(SHUTDOWN_TIME_MAX));
            }
        };
        let stopping = tokio::spawn(stop);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let connections = Connections::new(&self.config);
        let mut server = axum_server::from_tcp(self.listener)?.handle(handle);
        limit(server.http_builder(), &self.config);
        let served = match self.tls {
            None => server.acceptor(Counted { inner: DefaultAcceptor, connections }).serve(service).await,
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(tls.config.clone()).handshake_timeout(HANDSHAKE_TIME_MAX);
                let renewing = tokio::spawn(tls.renew(shutdown));
                let served = server.acceptor(Counted { inner: acceptor, connections }).serve(service).await;
                renewing.abort();
                served
            }
        };
        stopping.abort();
        Ok(served?)
    }
}

fn limit(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>, config: &HttpConfig) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(config.head_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIME_MAX)
        .max_concurrent_streams(config.connection_streams_max)
        .max_header_list_size(config.head_bytes_max as u32);
}

impl Tls {
    fn load(cert: &Path, key: &Path) -> Result<Self, ServeError> {
        let config = RustlsConfig::from_config(certificate(cert, key)?);
        Ok(Self { config, cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Takes up the files when they change.
    async fn renew(self, shutdown: CancellationToken) {
        let mut seen = self.modified();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(CERTIFICATE_CHECK) => {}
            }
            let modified = self.modified();
            if modified == seen {
                continue;
            }
            match certificate(&self.cert, &self.key) {
                Ok(config) => {
                    self.config.reload_from_config(config);
                    seen = modified;
                    tracing::info!("certificate renewed");
                }
                // One of the two files may not be there yet: looked at again.
                Err(error) => tracing::error!(%error, "changed certificate cannot be used"),
            }
        }
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.cert, &self.key].map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
    }
}

fn certificate(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServeError> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| ServeError::Certificate(format!("{}: {error}", path.display()));
    let chain =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| wrong(cert, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| wrong(cert, &error))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(|error| wrong(cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Open connections by client.
#[derive(Clone, Debug)]
struct Connections {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    all_max: usize,
    client_max: usize,
}

impl Connections {
    fn new(config: &HttpConfig) -> Self {
        Self { open: Arc::default(), all_max: config.connections_max, client_max: config.connections_client_max }
    }

    fn enter(&self, peer: SocketAddr) -> io::Result<Connection> {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(peer));
        let client = limits::client(&extensions);
        let mut open = self.open.lock();
        let own = open.get(&client).copied().unwrap_or(0);
        if own >= self.client_max || open.values().sum::<usize>() >= self.all_max {
            return Err(io::Error::other("too many connections"));
        }
        open.insert(client, own + 1);
        Ok(Connection { client, all: self.clone() })
    }
}

/// One open connection; it is over when the last copy of this goes.
struct Connection {
    client: IpAddr,
    all: Connections,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.all.open.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// Takes a connection if there is room; what is too much is closed at once.
#[derive(Clone)]
struct Counted<A> {
    inner: A,
    connections: Connections,
}

type Accepting<T> = std::pin::Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl<A, S> Accept<TcpStream, S> for Counted<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = A::Stream;
    // The extension lives as long as the connection's service.
    type Service = <Extension<Arc<Connection>> as Layer<A::Service>>::Service;
    type Future = Accepting<(Self::Stream, Self::Service)>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let entered = stream.peer_addr().and_then(|peer| self.connections.enter(peer));
        let nodelay = stream.set_nodelay(true);
        match entered.and_then(|connection| nodelay.map(|()| connection)) {
            Err(error) => Box::pin(async { Err(error) }),
            Ok(connection) => {
                let accepting = self.inner.accept(stream, service);
                Box::pin(async move {
                    let (stream, service) = accepting.await?;
                    Ok((stream, Extension(Arc::new(connection)).layer(service)))
                })
            }
        }
    }
}
