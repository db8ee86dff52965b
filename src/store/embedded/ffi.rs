//! The C calls of the ClickHouse engine's shared library (`libchdb`), behind a safe face.
//!
//! The library is opened at run time, so that the program builds and starts without it. It is
//! opened once for a process and never closed: the engine keeps threads of its own.
//!
//! Invariants: a [`Connection`] runs one statement at a time (`&mut self`); an [`Answer`] owns its
//! buffer until it is dropped; every connection is closed before the process exits, or the engine's
//! own tear-down crashes. Signatures follow `chdb.h` of release 26.7
//! (<https://github.com/chdb-io/chdb-core/blob/main/programs/local/chdb.h>).
//!
//! Deliberately absent: streaming selects (the answers of this program are bounded) and the
//! deprecated calls. This is the one file of the program with unsafe code.
#![allow(unsafe_code, reason = "calls into a C library; every block says why it is sound")]

use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{NonNull, null};

/// Bytes handed to the engine in one call while rows are inserted; it copies each piece.
const APPEND_BYTES: usize = 1 << 20;

type RawConnection = *mut c_void;
type RawResult = *mut c_void;
type RawStream = *mut c_void;
type QueryWithParams = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> *mut c_void;

/// Why the engine cannot be used, or what it said.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The shared library is not there or is not the right one.
    #[error("the ClickHouse engine at {path} cannot be loaded: {reason}")]
    Load {
        /// The file that was tried.
        path: String,
        /// What the loader said.
        reason: String,
    },
    /// The data directory cannot be opened: in use by another process, damaged, or not writable.
    #[error("the ClickHouse engine cannot open its data directory (in use by another process, damaged, or not writable)")]
    Connect,
    /// ClickHouse refused the statement; its own text, which begins with `Code: N.`.
    #[error("{0}")]
    Statement(String),
}

struct Api {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close: unsafe extern "C" fn(*mut RawConnection),
    shutdown: unsafe extern "C" fn() -> c_int,
    version: unsafe extern "C" fn() -> *const c_char,
    query: QueryWithParams,
    result_buffer: unsafe extern "C" fn(RawResult) -> *const u8,
    result_length: unsafe extern "C" fn(RawResult) -> usize,
    result_rows_read: unsafe extern "C" fn(RawResult) -> u64,
    result_rows_written: unsafe extern "C" fn(RawResult) -> u64,
    result_error: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_destroy: unsafe extern "C" fn(RawResult),
    insert: QueryWithParams,
    insert_append: unsafe extern "C" fn(RawStream, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(RawStream) -> RawResult,
    insert_error: unsafe extern "C" fn(RawStream) -> *const c_char,
    insert_destroy: unsafe extern "C" fn(RawStream),
}

/// The loaded library. Copies are cheap; the library stays for the life of the process.
#[derive(Clone, Copy)]
pub struct Engine {
    api: &'static Api,
}

impl Engine {
    /// Loads the library and keeps it from taking over the process's signals.
    ///
    /// # Errors
    /// [`EngineError::Load`] when the file is missing, is no shared library, or lacks a call.
    pub fn load(path: &Path) -> Result<Self, EngineError> {
        let failed = |error: libloading::Error| EngineError::Load { path: path.display().to_string(), reason: error.to_string() };
        // SAFETY: loading runs the library's constructors; it is the engine the operator installed,
        // found by an absolute path, and it is loaded before any other thread uses its symbols.
        let library = unsafe { Library::new(path) }.map_err(failed)?;
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the types of `Api` are those that the library's header declares.
        let api = unsafe { Api::resolve(library) }.map_err(failed)?;
        // SAFETY: as above; takes an int, has no other precondition, and precedes every connect.
        let set_signal_handlers = unsafe { library.get::<unsafe extern "C" fn(c_int)>(b"chdb_set_signal_handlers_enabled\0") };
        let set_signal_handlers = set_signal_handlers.map_err(failed)?;
        // SAFETY: see above.
        unsafe { set_signal_handlers(0) };
        Ok(Self { api: Box::leak(Box::new(api)) })
    }

    /// The engine's version, e.g. `26.7.3`.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: no precondition; the text is static and ends with NUL.
        unsafe { text((self.api.version)()) }.unwrap_or_default()
    }

    /// Opens one more connection. The first one of a process opens the data directory, with the
    /// server-level arguments; later ones must name the same directory.
    ///
    /// # Errors
    /// [`EngineError::Connect`] when the engine refuses; it does not say why.
    pub fn connect(&self, arguments: &[String]) -> Result<Connection, EngineError> {
        let arguments: Result<Vec<CString>, _> =
            std::iter::once("clickhouse").chain(arguments.iter().map(String::as_str)).map(CString::new).collect();
        let arguments = arguments.map_err(|_| EngineError::Connect)?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| EngineError::Connect)?;
        // SAFETY: `count` NUL-terminated strings that outlive the call, which only reads them.
        let handle = unsafe { (self.api.connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(handle).map(|handle| Connection { api: self.api, handle }).ok_or(EngineError::Connect)
    }

    /// Stops the engine's threads; every connection must have been dropped. Nothing can be opened
    /// in this process afterwards. False when a connection is still open.
    #[must_use]
    pub fn shutdown(self) -> bool {
        // SAFETY: no precondition; with a connection open it does nothing and says so.
        unsafe { (self.api.shutdown)() == 0 }
    }
}

impl Api {
    /// # Safety
    /// The library must be a `libchdb` whose functions have the types named in [`Api`].
    unsafe fn resolve(library: &'static Library) -> Result<Self, libloading::Error> {
        // SAFETY: the caller vouches for the types; the library is never unloaded.
        unsafe {
            Ok(Self {
                connect: *library.get(b"chdb_connect\0")?,
                close: *library.get(b"chdb_close_conn\0")?,
                shutdown: *library.get(b"chdb_shutdown\0")?,
                version: *library.get(b"chdb_version\0")?,
                query: *library.get(b"chdb_query_with_params_n\0")?,
                result_buffer: *library.get(b"chdb_result_buffer\0")?,
                result_length: *library.get(b"chdb_result_length\0")?,
                result_rows_read: *library.get(b"chdb_result_storage_rows_read\0")?,
                result_rows_written: *library.get(b"chdb_result_rows_written\0")?,
                result_error: *library.get(b"chdb_result_error\0")?,
                result_destroy: *library.get(b"chdb_destroy_query_result\0")?,
                insert: *library.get(b"chdb_stream_insert_with_params_n\0")?,
                insert_append: *library.get(b"chdb_stream_append\0")?,
                insert_done: *library.get(b"chdb_stream_done\0")?,
                insert_error: *library.get(b"chdb_stream_insert_error\0")?,
                insert_destroy: *library.get(b"chdb_destroy_insert_stream\0")?,
            })
        }
    }
}

/// One session of the engine: settings and current database are its own.
pub struct Connection {
    api: &'static Api,
    handle: NonNull<RawConnection>,
}

// SAFETY: the header allows calls from any thread as long as a connection runs one statement at a
// time, which `&mut self` enforces.
unsafe impl Send for Connection {}

impl Connection {
    /// Runs one statement, with parameters for its `{name:Type}` places (values in ClickHouse's
    /// escaped text form), and returns its answer in `format` unless the statement names another.
    ///
    /// # Errors
    /// [`EngineError::Statement`] with ClickHouse's text.
    pub fn query(&mut self, sql: &str, format: &str, parameters: &[(String, String)]) -> Result<Answer, EngineError> {
        let result = self.call(self.api.query, sql, format, parameters);
        Answer::new(self.api, result)
    }

    /// Inserts the rows in `body`, encoded in `format`; `sql` is the statement without its `FORMAT`.
    /// Returns how many rows were written, those of materialised views included.
    ///
    /// # Errors
    /// [`EngineError::Statement`]; the rows may be inserted again without harm where the table
    /// replaces equal keys.
    pub fn insert(&mut self, sql: &str, format: &str, parameters: &[(String, String)], body: &[u8]) -> Result<u64, EngineError> {
        let stream = self.call(self.api.insert, sql, format, parameters);
        let stream = NonNull::new(stream).ok_or_else(|| EngineError::Statement("Code: 1002. the engine opened no insert".to_owned()))?;
        let stream = InsertStream { api: self.api, handle: stream };
        for piece in body.chunks(APPEND_BYTES) {
            // SAFETY: the stream is open; the piece is valid for the call, which copies it.
            if unsafe { (self.api.insert_append)(stream.handle.as_ptr(), piece.as_ptr().cast(), piece.len()) } != 0 {
                break; // `insert_done` reports the reason
            }
        }
        // SAFETY: the stream is open and finished once, here.
        let result = unsafe { (self.api.insert_done)(stream.handle.as_ptr()) };
        // SAFETY: the stream is still open; the text ends with NUL and is copied at once.
        if let Some(reason) = unsafe { text((self.api.insert_error)(stream.handle.as_ptr())) } {
            drop(Answer::new(self.api, result));
            return Err(EngineError::Statement(reason));
        }
        Ok(Answer::new(self.api, result)?.rows_written())
    }

    fn call(&mut self, function: QueryWithParams, sql: &str, format: &str, parameters: &[(String, String)]) -> *mut c_void {
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_ptr().cast::<c_char>()).collect();
        let name_lengths: Vec<_> = parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<_> = parameters.iter().map(|(_, value)| value.as_ptr().cast::<c_char>()).collect();
        let value_lengths: Vec<_> = parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: the connection is open; each pointer comes with its length, and the four arrays
        // have `parameters.len()` entries and outlive the call.
        unsafe {
            function(
                *self.handle.as_ref(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                if names.is_empty() { null() } else { names.as_ptr() },
                if names.is_empty() { null() } else { name_lengths.as_ptr() },
                if names.is_empty() { null() } else { values.as_ptr() },
                if names.is_empty() { null() } else { value_lengths.as_ptr() },
                names.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `connect` and closed once, here.
        unsafe { (self.api.close)(self.handle.as_ptr()) }
    }
}

struct InsertStream {
    api: &'static Api,
    handle: NonNull<c_void>,
}

impl Drop for InsertStream {
    fn drop(&mut self) {
        // SAFETY: returned by the engine and destroyed once, here; cancels what was not finished.
        unsafe { (self.api.insert_destroy)(self.handle.as_ptr()) }
    }
}

/// The answer to a statement: its bytes, owned by the engine until this is dropped.
pub struct Answer {
    api: &'static Api,
    handle: NonNull<c_void>,
}

// SAFETY: the answer is a plain buffer that nothing writes to; it may be read and freed anywhere.
unsafe impl Send for Answer {}
// SAFETY: see above; every call on it only reads.
unsafe impl Sync for Answer {}

impl Answer {
    fn new(api: &'static Api, handle: RawResult) -> Result<Self, EngineError> {
        let handle = NonNull::new(handle).ok_or_else(|| EngineError::Statement("Code: 1002. the engine gave no answer".to_owned()))?;
        let answer = Self { api, handle };
        // SAFETY: the result is open; the text ends with NUL and is copied at once.
        match unsafe { text((api.result_error)(handle.as_ptr())) } {
            Some(reason) => Err(EngineError::Statement(reason)),
            None => Ok(answer),
        }
    }

    /// Rows that the statement read from tables.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        // SAFETY: the result is open.
        unsafe { (self.api.result_rows_read)(self.handle.as_ptr()) }
    }

    /// Rows that the statement wrote.
    #[must_use]
    pub fn rows_written(&self) -> u64 {
        // SAFETY: the result is open.
        unsafe { (self.api.result_rows_written)(self.handle.as_ptr()) }
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the result is open.
        let (buffer, length) = unsafe { ((self.api.result_buffer)(self.handle.as_ptr()), (self.api.result_length)(self.handle.as_ptr())) };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the buffer holds `length` bytes until the result is destroyed, which `drop` does.
        unsafe { std::slice::from_raw_parts(buffer, length) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: returned by the engine and destroyed once, here.
        unsafe { (self.api.result_destroy)(self.handle.as_ptr()) }
    }
}

/// Copies a C string; `None` when the pointer is null or the text is empty.
///
/// # Safety
/// The pointer is null or points to a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
