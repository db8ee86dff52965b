//! Rows through the ClickHouse client, as the daemon inserts them: RowBinary, LZ4, HTTP.
//!
//! The other end is a thread that reads and says yes, so only this side's work is counted.

use bartizan::store::{EventRow, Position};
use bartizan_core::EventBatch;
use clickhouse::Client;
use clickhouse::insert::Insert;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Rows of one insert.
const INSERT_ROWS: u64 = 50_000;
/// How a chunked body ends (RFC 9112 §7.1).
const BODY_END: &[u8] = b"\r\n0\r\n\r\n";
const BUFFER_BYTES: usize = 256 * 1024;

/// Encodes and sends rows.
pub struct Encoder {
    runtime: tokio::runtime::Runtime,
    client: Client,
    insert: Option<Insert<EventRow<'static>>>,
    rows: u64,
}

impl Encoder {
    /// Starts the other end.
    ///
    /// # Errors
    /// No port, no runtime.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = Client::default().with_url(format!("http://{}", listener.local_addr()?)).with_validation(false);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(move || swallow(stream)))));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client, insert: None, rows: 0 })
    }

    /// Sends a batch's rows.
    ///
    /// # Errors
    /// What the client says.
    pub fn send(&mut self, events: &EventBatch) -> Result<(), clickhouse::error::Error> {
        let Self { runtime, client, insert, rows } = self;
        runtime.block_on(async {
            for event in events.iter() {
                let open = match insert {
                    Some(open) => open,
                    None => insert.insert(client.insert::<EventRow<'static>>("events").await?),
                };
                open.write(&EventRow::new(&event, Position { topic: "replay", partition: 0, offset: *rows as i64 })).await?;
                *rows += 1;
                if rows.is_multiple_of(INSERT_ROWS)
                    && let Some(full) = insert.take()
                {
                    full.end().await?;
                }
            }
            Ok(())
        })
    }

    /// Ends the last insert.
    ///
    /// # Errors
    /// What the client says.
    pub fn finish(&mut self) -> Result<(), clickhouse::error::Error> {
        match self.insert.take() {
            Some(open) => self.runtime.block_on(open.end()),
            None => Ok(()),
        }
    }
}

/// Reads requests to their ends and answers each with 200.
fn swallow(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut tail = Vec::new();
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let fresh = buffer.get(..read).unwrap_or_default();
        tail.extend_from_slice(fresh.get(read.saturating_sub(BODY_END.len())..).unwrap_or_default());
        if tail.ends_with(BODY_END) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        tail.drain(..tail.len().saturating_sub(BODY_END.len()));
    }
}
