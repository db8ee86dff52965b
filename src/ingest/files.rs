//! Lines of files and of standard input, for `replay` and `normalise`.
//!
//! gzip and zstd are told by their content, not by the file's name. Memory does not grow with the input:
//! a line over its limit is skipped and told with its beginning, and what unpacks to far more than it
//! was (a decompression bomb) is an error. A file that breaks off is an error too, after all whole lines
//! before it were handed out; the broken line is not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Window of a zstd frame, as a power of two: what `zstd --long=27` makes, the format's own advice.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// What one input may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of a line, its break not counted.
    pub line_bytes_max: usize,
    /// Unpacked bytes for each packed one. Logs pack 1:10 to 1:50, gzip's utmost is 1:1032.
    pub ratio_max: u64,
    /// Unpacked bytes up to which any ratio is taken.
    pub ratio_from_bytes: u64,
    /// Unpacked bytes in all, of packed input.
    pub unpacked_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes_max: 1 << 20, ratio_max: 300, ratio_from_bytes: 64 << 20, unpacked_bytes_max: 1 << 40 }
    }
}

/// One line of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes without the line break; the beginning of a line that is too long.
    pub bytes: &'a [u8],
    /// Its whole length if it is longer than the limit and was skipped.
    pub skipped_bytes: Option<u64>,
}

/// Reads an input line by line.
pub struct LineReader {
    input: Box<dyn BufRead + Send>,
    name: String,
    modified_ms: Option<i64>,
    limits: Limits,
    number: u64,
    line: Vec<u8>,
    /// Bytes at the front of the buffer that were handed out already.
    handed_out: usize,
}

impl LineReader {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::new(Box::new(io::stdin()), "-", None, limits);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
        }
        let modified = metadata.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
        Self::new(Box::new(file), &path.to_string_lossy(), modified.map(|time| time.as_millisecond()), limits)
    }

    /// Reads from any source of bytes.
    ///
    /// # Errors
    /// When the first bytes cannot be read.
    pub fn new(source: Box<dyn Read + Send>, name: &str, modified_ms: Option<i64>, limits: Limits) -> io::Result<Self> {
        let packed = Arc::new(AtomicU64::new(0));
        let mut input = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: source, count: Arc::clone(&packed) });
        let unpack = |inner: Box<dyn Read + Send>| Unpacked { inner, packed: Arc::clone(&packed), unpacked: 0, limits };
        let input: Box<dyn BufRead + Send> = match first_bytes(&mut input)? {
            [0x1f, 0x8b, ..] => {
                let inner = unpack(Box::new(flate2::bufread::MultiGzDecoder::new(input)));
                Box::new(BufReader::with_capacity(BUFFER_BYTES, inner))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, unpack(Box::new(decoder))))
            }
            _ => Box::new(input),
        };
        Ok(Self { input, name: name.to_owned(), modified_ms, limits, number: 0, line: Vec::new(), handed_out: 0 })
    }

    /// The input as its user named it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the file was last written; absent for standard input.
    #[must_use]
    pub fn modified_ms(&self) -> Option<i64> {
        self.modified_ms
    }

    /// Lines handed out so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end. The last line needs no line break.
    ///
    /// # Errors
    /// What the operating system or the unpacker says. Nothing more can be read then.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.input.consume(std::mem::take(&mut self.handed_out));
        // Most lines lie whole in the buffer and are handed out from there. The first may begin with a byte
        // order mark. An error is left to the loop, which meets it again.
        let end = self.input.fill_buf().ok().and_then(|buffer| memchr::memchr(b'\n', buffer));
        if let Some(end) = end.filter(|end| self.number > 0 && *end <= self.limits.line_bytes_max) {
            self.number += 1;
            self.handed_out = end + 1;
            let line = self.input.fill_buf()?.get(..end).unwrap_or_default();
            let bytes = line.strip_suffix(b"\r").unwrap_or(line);
            return Ok(Some(Line { number: self.number, bytes, skipped_bytes: None }));
        }
        self.long_line()
    }

    /// The next line, put together from several buffers.
    fn long_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut whole_bytes = 0_u64;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(&error)),
            };
            if buffer.is_empty() && whole_bytes == 0 {
                return Ok(None);
            }
            let end = memchr::memchr(b'\n', buffer);
            let part = end.and_then(|end| buffer.get(..end)).unwrap_or(buffer);
            let room = self.limits.line_bytes_max.saturating_add(1).saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            let used = end.map_or(buffer.len(), |end| end + 1);
            let last = buffer.is_empty();
            whole_bytes += used as u64;
            self.input.consume(used);
            if end.is_some() || last {
                return Ok(Some(self.finish(whole_bytes - u64::from(end.is_some()))));
            }
        }
    }

    fn finish(&mut self, whole_bytes: u64) -> Line<'_> {
        self.number += 1;
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let too_long = bytes.len() > self.limits.line_bytes_max;
        let bytes = bytes.get(..self.limits.line_bytes_max).unwrap_or(bytes);
        Line { number: self.number, bytes, skipped_bytes: too_long.then_some(whole_bytes) }
    }

    fn broken(&self, error: &io::Error) -> io::Error {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the packed data breaks off".to_owned(),
            _ => error.to_string(),
        };
        io::Error::new(error.kind(), format!("{}: {why} (after line {})", self.name, self.number))
    }
}

/// The first four bytes, or all there are; a pipe may give them one by one.
fn first_bytes(input: &mut BufReader<Counted>) -> io::Result<[u8; 4]> {
    // A buffer that holds less than four bytes after one read is the whole of a tiny file, or a slow pipe
    // whose writer made its magic number in pieces, which no packer does.
    let buffer = input.fill_buf()?;
    let mut first = [0; 4];
    first.iter_mut().zip(buffer).for_each(|(to, from)| *to = *from);
    Ok(first)
}

/// Counts what is read.
struct Counted {
    inner: Box<dyn Read + Send>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Holds an unpacker to the limits.
struct Unpacked {
    inner: Box<dyn Read + Send>,
    packed: Arc<AtomicU64>,
    unpacked: u64,
    limits: Limits,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += read as u64;
        let allowed = self.packed.load(Ordering::Relaxed).saturating_mul(self.limits.ratio_max).max(self.limits.ratio_from_bytes);
        if self.unpacked > allowed || self.unpacked > self.limits.unpacked_bytes_max {
            let text = format!("unpacks to far more than it is ({} bytes so far): taken for a decompression bomb", self.unpacked);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use std::io::{Cursor, Write as _};

    fn reader(bytes: Vec<u8>, limits: Limits) -> LineReader {
        LineReader::new(Box::new(Cursor::new(bytes)), "test", None, limits).unwrap()
    }

    /// Number, bytes, and the whole length if it was skipped.
    type Told = (u64, Vec<u8>, Option<u64>);

    fn all(bytes: &[u8], limits: Limits) -> (Vec<Told>, Option<io::Error>) {
        let (mut reader, mut lines) = (reader(bytes.to_vec(), limits), Vec::new());
        loop {
            match reader.next_line() {
                Ok(Some(line)) => lines.push((line.number, line.bytes.to_vec(), line.skipped_bytes)),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error)),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_end_as_people_write_them() {
        let (lines, error) = all(b"\xef\xbb\xbfa\r\n\nb", Limits::default());
        assert!(error.is_none());
        assert_eq!(lines, [(1, b"a".to_vec(), None), (2, Vec::new(), None), (3, b"b".to_vec(), None)]);
        assert_eq!(all(b"", Limits::default()).0, []);
    }

    #[test]
    fn a_line_over_its_limit_is_skipped_and_the_next_is_read() {
        let limits = Limits { line_bytes_max: 10, ..Limits::default() };
        let mut input = vec![b'x'; 1_000_000];
        input.extend_from_slice(b"\n0123456789\r\n0123456789a");
        let (lines, _) = all(&input, limits);
        assert_eq!(lines[0], (1, b"xxxxxxxxxx".to_vec(), Some(1_000_000)));
        assert_eq!(lines[1], (2, b"0123456789".to_vec(), None));
        assert_eq!((lines[2].0, lines[2].2), (3, Some(11)));
        let mut reader = reader(input, limits);
        reader.next_line().unwrap();
        assert!(reader.line.capacity() < 1024, "the skipped line is not kept");
    }

    #[test]
    fn packed_input_is_told_by_its_content() {
        let text = b"one\ntwo\n";
        let two_members = [gzip(b"one\n"), gzip(b"two\n")].concat();
        for packed in [gzip(text), two_members, zstd::encode_all(&text[..], 3).unwrap()] {
            let (lines, error) = all(&packed, Limits::default());
            assert!(error.is_none());
            assert_eq!(lines.iter().map(|line| line.1.as_slice()).collect::<Vec<_>>(), [b"one", b"two"]);
        }
    }

    #[test]
    fn packed_input_that_breaks_off_is_an_error_after_its_whole_lines() {
        let text: String = (0..20_000).map(|n| format!("line {n} {}\n", n * 7919 % 10_007)).collect();
        for packed in [gzip(text.as_bytes()), zstd::encode_all(text.as_bytes(), 3).unwrap()] {
            let (lines, error) = all(&packed[..packed.len() - packed.len() / 4], Limits::default());
            assert!(error.unwrap().to_string().contains("breaks off"));
            let whole: Vec<_> = text.lines().collect();
            assert!(lines.iter().all(|line| line.1 == whole[line.0 as usize - 1].as_bytes()));
        }
    }

    #[test]
    fn a_decompression_bomb_is_an_error() {
        let limits = Limits { ratio_from_bytes: 1 << 20, ..Limits::default() };
        for packed in [gzip(&vec![0; 8 << 20]), zstd::encode_all(&vec![0; 8 << 20][..], 3).unwrap()] {
            let (lines, error) = all(&packed, limits);
            assert!(lines.is_empty());
            assert!(error.unwrap().to_string().contains("decompression bomb"));
        }
    }
}
