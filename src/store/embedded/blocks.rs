//! ClickHouse's framed compression, as clients use it over HTTP (`decompress=1`, `compress=1`).
//!
//! A body is a sequence of blocks: 16 bytes CityHash128 (version 1.0.2) of what follows, one byte
//! for the method, the compressed size with its 9 bytes of header, the size when unpacked (both
//! little-endian, 32 bits), then the data. Sizes are checked before anything is allocated.

use cityhash_rs::cityhash_102_128;

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;
/// Bytes in one block that is written.
const BLOCK_BYTES: usize = 1 << 20;

/// Unpacks a sequence of blocks.
///
/// # Errors
/// A sentence that says what is wrong: damaged, an unknown method, or over `bytes_max` when unpacked.
pub fn unpack(mut input: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    while !input.is_empty() {
        let (checksum, rest) = input.split_first_chunk::<CHECKSUM_BYTES>().ok_or("a compressed block is cut short")?;
        let (header, _) = rest.split_first_chunk::<HEADER_BYTES>().ok_or("a compressed block is cut short")?;
        let [method, sizes @ ..] = header;
        let [a, b, c, d, e, f, g, h] = *sizes;
        let packed_size = u32::from_le_bytes([a, b, c, d]) as usize;
        let unpacked_size = u32::from_le_bytes([e, f, g, h]) as usize;
        if packed_size < HEADER_BYTES || unpacked_size > bytes_max.saturating_sub(output.len()) {
            return Err(format!("a compressed block is over the limit of {bytes_max} bytes or damaged"));
        }
        let (block, next) = rest.split_at_checked(packed_size).ok_or("a compressed block is cut short")?;
        if checksum_of(block) != *checksum {
            return Err("the checksum of a compressed block is wrong".to_owned());
        }
        let packed = block.get(HEADER_BYTES..).unwrap_or_default();
        match *method {
            METHOD_NONE => output.extend_from_slice(packed),
            METHOD_LZ4 => output.extend(lz4_flex::block::decompress(packed, unpacked_size).map_err(|error| error.to_string())?),
            METHOD_ZSTD => output.extend(zstd::bulk::decompress(packed, unpacked_size).map_err(|error| error.to_string())?),
            other => return Err(format!("compression method {other:#04x} is not supported: use LZ4, ZSTD or none")),
        }
        input = next;
    }
    Ok(output)
}

/// Packs bytes into LZ4 blocks.
#[must_use]
pub fn pack(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len() / 2 + CHECKSUM_BYTES + HEADER_BYTES);
    for piece in input.chunks(BLOCK_BYTES) {
        let packed = lz4_flex::block::compress(piece);
        let mut block = Vec::with_capacity(packed.len() + HEADER_BYTES);
        block.push(METHOD_LZ4);
        // Both sizes are far below 4 GiB: a piece is at most `BLOCK_BYTES`.
        block.extend(u32::try_from(packed.len() + HEADER_BYTES).unwrap_or(u32::MAX).to_le_bytes());
        block.extend(u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes());
        block.extend(packed);
        output.extend(checksum_of(&block));
        output.extend(block);
    }
    output
}

fn checksum_of(block: &[u8]) -> [u8; CHECKSUM_BYTES] {
    // ClickHouse writes the two 64-bit halves with the high one first.
    let hash = cityhash_102_128(block);
    hash.rotate_left(64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let input: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
        assert_eq!(unpack(&pack(&input), input.len()).unwrap(), input);
        assert_eq!(unpack(&pack(b""), 0).unwrap(), b"");
    }

    #[test]
    fn damage_and_bombs_are_refused() {
        let packed = pack(&[7; 10_000]);
        assert!(unpack(&packed, 9_999).unwrap_err().contains("limit"));
        assert!(unpack(&packed[..packed.len() - 1], 10_000).unwrap_err().contains("cut short"));
        let mut damaged = packed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(unpack(&damaged, 10_000).unwrap_err().contains("checksum"));
    }
}
