//! A TCP forwarder on a port of its own: a server that is away, there, or hanging, as the test likes.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::free_port;
use super::http::{RUNTIME, block_on};

/// A port that leads to a server, or nowhere.
pub struct Proxy {
    /// Its port.
    pub port: u16,
    server: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Nothing listens yet.
    pub fn closed() -> Self {
        Self { port: free_port(), server: None }
    }

    /// Forwards connections to `target`, `host:port`, from now on.
    pub fn open(&mut self, target: &str) {
        assert!(self.server.is_none(), "the proxy is open");
        let listener = block_on(TcpListener::bind(("127.0.0.1", self.port))).expect("its port");
        let target = target.to_owned();
        self.server = Some(RUNTIME.spawn(async move {
            // Whoever ends the server ends its connections, too.
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                let target = target.clone();
                while connections.try_join_next().is_some() {}
                connections.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(target).await {
                        // Whichever side ends it, it is over.
                        tokio::io::copy_bidirectional(&mut from, &mut to).await.ok();
                    }
                });
            }
        }));
    }

    /// Cuts all connections and refuses new ones, until it is opened again.
    pub fn close(&mut self) {
        let server = self.server.take().expect("the proxy is closed");
        server.abort();
        // The result says that the task was aborted.
        drop(block_on(server));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}
