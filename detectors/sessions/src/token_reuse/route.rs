//! What a request asks for, without the object: method and path, with all that looks like an id taken out.

/// Segments looked at; paths that are longer are alike from there on.
const SEGMENTS_MAX: usize = 12;
/// Bytes of a segment from which on one of letters and digits is a random text.
const RANDOM_BYTES_MIN: usize = 20;
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Print of a route.
pub(super) fn of(method: Option<&str>, path: &str) -> u32 {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').filter(|segment| !segment.is_empty()).take(SEGMENTS_MAX);
    let route = segments.fold(mix(SEED, method.unwrap_or_default().as_bytes()), |route, segment| {
        mix(route, if is_id(segment.as_bytes()) { b"{}" } else { segment.as_bytes() })
    });
    route as u32
}

/// FNV-1a with its halves mixed: prints are compared within one program's few routes.
fn mix(before: u64, bytes: &[u8]) -> u64 {
    let hash = bytes.iter().chain(b"/").fold(before, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ hash >> 32
}

/// A number, a UUID or another long hexadecimal or random text.
fn is_id(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return false;
    }
    let others = segment.iter().filter(|byte| !byte.is_ascii_alphanumeric()).count();
    let is_hex = segment.len() >= 16 && segment.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let is_random = segment.len() >= RANDOM_BYTES_MIN && others <= 2;
    digits == segment.len() || is_hex || (digits > 2 && is_random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_for_one_another_and_names_do_not() {
        let of = |path: &str| of(Some("GET"), path);
        for id in ["7", "0f8fad5b-d9cb-469f-a165-70867728950e", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "5f3a9c0e1b2d4c6f"] {
            assert_eq!(of(&format!("/v1/invoices/{id}/lines?all=1")), of("/v1/invoices/12/lines"), "{id}");
        }
        assert_ne!(of("/v1/invoices"), of("/v1/users"));
        assert_ne!(of("/v1/invoices"), super::of(Some("DELETE"), "/v1/invoices"));
    }
}
