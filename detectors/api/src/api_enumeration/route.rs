//! What a path asks for: a route, and of it one object.
//!
//! A segment that looks like an id stands for any other of the route: numbers, UUIDs, ULIDs, long hexadecimal or
//! random texts. What else may vary (names of people, titles) is not told apart from a fixed part, so that hostile
//! paths can make up routes but not objects. What follows a question mark is a search or a page, and left out, and so is
//! the number behind a segment that is called a page.

/// Bytes of a segment from which on one of letters and digits is a random text.
const RANDOM_BYTES_MIN: usize = 20;
/// Segments looked at; paths that are longer are alike from there on.
const SEGMENTS_MAX: usize = 12;
/// Segments whose number is a place in a list.
const PAGES: [&str; 5] = ["page", "pages", "offset", "p", "cursor"];

/// A route and one object of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Print of the route.
    pub route: u32,
    /// Print of the object; `None` if the path names none.
    pub object: Option<u32>,
    /// Its last number, if its ids are numbers.
    pub number: Option<u64>,
}

impl Asked {
    pub fn of(path: &str) -> Self {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let (mut route, mut object, mut number, mut before) = (SEED, SEED, None, "");
        for segment in path.split('/').filter(|segment| !segment.is_empty()).take(SEGMENTS_MAX) {
            if is_id(segment) && !PAGES.contains(&before) {
                object = mix(object, segment.as_bytes());
                number = segment.parse().ok();
                route = mix(route, b"{}");
            } else {
                let is_page = PAGES.contains(&before) && is_id(segment);
                route = mix(route, if is_page { b"{page}" } else { segment.as_bytes() });
            }
            before = segment;
        }
        Self { route: route as u32, object: (object != SEED).then_some(object as u32), number }
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a with its halves mixed: prints are compared within one principal's few routes.
fn mix(before: u64, bytes: &[u8]) -> u64 {
    let hash = bytes.iter().chain(b"/").fold(before, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ hash >> 32
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let is_number = digits == bytes.len();
    let is_hex = hex && digits > 0 && bytes.len() >= 16;
    let is_random = digits > 2 && digits + letters + 2 >= bytes.len() && bytes.len() >= RANDOM_BYTES_MIN;
    is_number || is_hex || is_random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_all_sorts_stand_for_others() {
        let ids = ["7", "0012345", "0f8fad5b-d9cb-469f-a165-70867728950e", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "5f3a9c0e1b2d4c6f"];
        let all = ids.map(|id| Asked::of(&format!("/api/v1/invoices/{id}/lines")));
        assert!(all.iter().all(|asked| asked.route == all[0].route && asked.object.is_some()), "{all:?}");
        assert_eq!((all[0].number, all[1].number, all[2].number), (Some(7), Some(12_345), None));
        assert_ne!(all[0].object, all[1].object);
    }

    #[test]
    fn what_names_no_object_is_a_route_alone() {
        for path in ["/", "/api/v1/orders", "/api/v2/me", "/search?q=17", "/catalog/page/17", "/wp-admin/setup-config.php", "/.env"] {
            assert_eq!(Asked::of(path).object, None, "{path}");
        }
        assert_eq!(Asked::of("/catalog/page/1").route, Asked::of("/catalog/page/2").route);
        assert_ne!(Asked::of("/a/b").route, Asked::of("/ab").route);
        assert_ne!(Asked::of("/orders/7").route, Asked::of("/invoices/7").route);
    }
}
