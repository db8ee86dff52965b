//! What a path asks for: a route, and of it one object.
//!
//! A segment that looks like an id stands for any other of the route: numbers, UUIDs, ULIDs, long hexadecimal or
//! random texts, e-mail addresses. Ids that are names do not look like any; they are [learnt](super::names). Of what follows
//! a question mark only an id under the name of one counts (`user_id=17`, `accountId=…`), and only where the path has
//! none: the rest is a search or a page. The number behind a segment that is called a page is left out, and so are dates.
//!
//! One pass over the bytes, without allocation: this is done for every request.

use super::names::{Known, Names, bit_of};

/// Bytes of a segment from which on one of letters and digits is a random text.
const RANDOM_BYTES_MIN: usize = 20;
/// Segments looked at; paths that are longer are alike from there on.
pub(super) const SEGMENTS_MAX: usize = 12;
/// Parameters of the query looked at.
const PARAMETERS_MAX: usize = 8;
/// Segments whose number is a place in a list.
const PAGES: [&[u8]; 5] = [b"page", b"pages", b"offset", b"p", b"cursor"];
/// Segments of routes that are made to fetch much.
const BULK: [&[u8]; 13] = [
    b"export",
    b"exports",
    b"download",
    b"downloads",
    b"report",
    b"reports",
    b"bulk",
    b"batch",
    b"archive",
    b"backup",
    b"sync",
    b"feed",
    b"dump",
];
/// Parameters that name an object by themselves; those that end in `_id` or `Id` do as well.
const OBJECTS: [&[u8]; 11] =
    [b"id", b"uid", b"uuid", b"user", b"account", b"customer", b"order", b"invoice", b"email", b"username", b"number"];
/// What is an id of the request or of the client, not of what it asks for.
const OWN: [&[u8]; 11] =
    [b"session", b"request", b"trace", b"span", b"client", b"device", b"correlation", b"page", b"cursor", b"after", b"since"];

/// A route and one object of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Print of the route.
    pub route: u32,
    /// Print of the object; `None` if the path names none.
    pub object: Option<u32>,
    /// Its last number, if its ids are numbers.
    pub number: Option<u64>,
    /// Are there texts in the path that were not known so far?
    pub is_news: bool,
    /// Are there any whose places are told of now and then?
    pub is_sampled: bool,
}

impl Asked {
    /// What a path asks for, where `names` are what is known of the tenant's paths.
    pub fn of(path: &str, names: &Names) -> Self {
        let (mut route, mut object, mut number, mut before) = (SEED, SEED, None, &b""[..]);
        let (mut is_news, mut is_sampled) = (false, false);
        let mut segments = Segments { rest: path.as_bytes() };
        for segment in segments.by_ref().take(SEGMENTS_MAX) {
            match segment.sort(before) {
                Sort::Fixed => {
                    let next = mix(route, segment.bytes);
                    let known = names.look(route as u32, bit_of(next));
                    if known == Known::Name {
                        object = mix(object, segment.bytes);
                        route = mix(route, ANY);
                    } else {
                        route = next;
                    }
                    is_news |= known == Known::No;
                    is_sampled |= matches!(known, Known::Name | Known::Unheld);
                }
                Sort::Place => route = mix(route, PLACE),
                Sort::Id => {
                    object = mix(object, segment.bytes);
                    number = segment.number();
                    route = mix(route, ANY);
                }
            }
            before = segment.bytes;
        }
        if let (true, [b'?', query @ ..]) = (object == SEED, segments.rest)
            && let Some((name, id)) = id_of(query)
        {
            (route, object, number) = (mix(mix(route, b"?"), name), mix(object, id.bytes), id.number());
        }
        Self { route: route as u32, object: (object != SEED).then_some(object as u32), number, is_news, is_sampled }
    }
}

/// Does a segment of the route say that it is there to fetch much?
pub(super) fn is_bulk(path: &str) -> bool {
    let mut before = &b""[..];
    (Segments { rest: path.as_bytes() }).take(SEGMENTS_MAX).any(|segment| {
        let sort = segment.sort(std::mem::replace(&mut before, segment.bytes));
        sort == Sort::Fixed && BULK.iter().any(|word| segment.bytes.eq_ignore_ascii_case(word))
    })
}

/// Stands in a route for an id, and for a page or a date.
pub(super) const ANY: &[u8] = b"{}";
const PLACE: &[u8] = b"{page}";

/// What a segment is by its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A part of the route.
    Fixed,
    /// A page or a date.
    Place,
    /// An id.
    Id,
}

impl Sort {
    /// What stands in the route for such a segment, if that is not itself.
    pub fn stands_for(self, known: Known) -> Option<&'static [u8]> {
        match (self, known) {
            (Self::Fixed, Known::Name) | (Self::Id, _) => Some(ANY),
            (Self::Place, _) => Some(PLACE),
            (Self::Fixed, _) => None,
        }
    }
}

/// The segments of a path; what is left is its query.
pub(super) struct Segments<'a> {
    pub rest: &'a [u8],
}

/// One segment, with what its bytes are.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub bytes: &'a [u8],
    digits: usize,
    classes: u8,
}

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const LETTER: u8 = 4;
const DASH: u8 = 8;
const AT: u8 = 16;
const OTHER: u8 = 32;
const END: u8 = 128;

static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "made when compiled")]
        {
            classes[byte] = match byte as u8 {
                b'0'..=b'9' => DIGIT,
                b'a'..=b'f' | b'A'..=b'F' => HEX,
                b'g'..=b'z' | b'G'..=b'Z' => LETTER,
                b'-' => DASH,
                b'@' => AT,
                b'/' | b'?' | b'#' | b'&' => END,
                _ => OTHER,
            };
        }
        byte += 1;
    }
    classes
};

/// Goes over bytes up to one that ends a segment. Most segments are words: those are passed eight bytes at a time.
#[inline]
fn scan(bytes: &[u8]) -> Segment<'_> {
    let len = plain_bytes(bytes);
    match bytes.get(len) {
        Some(byte) if class_of(*byte) & END == 0 => classify(bytes),
        _ => Segment { bytes: bytes.get(..len).unwrap_or_default(), digits: 0, classes: LETTER },
    }
}

/// How many bytes there are before the first that has a meaning: all that have lie between `!` and `@`.
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const TO_HIGH: u64 = 0x3f3f_3f3f_3f3f_3f3f;
    // The high bit of each byte up to `@`; no sum goes over to the next byte.
    let marks = |word: u64| !(((word & !HIGH) + TO_HIGH) | word) & HIGH;
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return 8 * at + (marks.trailing_zeros() / 8) as usize;
        }
    }
    8 * words.len() + tail.iter().position(|byte| *byte <= b'@').unwrap_or(tail.len())
}

/// The same byte by byte, with what they are.
fn classify(bytes: &[u8]) -> Segment<'_> {
    let (mut digits, mut classes, mut len) = (0, 0, 0);
    for byte in bytes {
        let class = class_of(*byte);
        if class & END != 0 {
            break;
        }
        classes |= class;
        digits += usize::from(class & DIGIT);
        len += 1;
    }
    Segment { bytes: bytes.get(..len).unwrap_or_default(), digits, classes }
}

#[inline]
fn class_of(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(OTHER)
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        while let [b'/' | b'&', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let segment = scan(self.rest);
        self.rest = self.rest.get(segment.bytes.len()..).unwrap_or_default();
        (!segment.bytes.is_empty()).then_some(segment)
    }
}

impl Segment<'_> {
    /// What it is, behind another one.
    #[inline]
    pub fn sort(&self, before: &[u8]) -> Sort {
        if self.digits == 0 && self.classes & AT == 0 { Sort::Fixed } else { self.sort_closely(before) }
    }

    fn sort_closely(&self, before: &[u8]) -> Sort {
        match (self.is_date(), self.is_id()) {
            (true, _) => Sort::Place,
            (_, true) if PAGES.contains(&before) => Sort::Place,
            (_, true) => Sort::Id,
            _ => Sort::Fixed,
        }
    }

    fn is_date(&self) -> bool {
        self.classes == DIGIT | DASH
            && matches!((self.bytes, self.digits), ([_, _, _, _, b'-', _, _], 6) | ([_, _, _, _, b'-', _, _, b'-', _, _], 8))
    }

    fn is_id(&self) -> bool {
        let len = self.bytes.len();
        if self.digits == len {
            return len > 0;
        }
        let is_hex = self.classes & !(DIGIT | HEX | DASH) == 0 && self.digits > 0 && len >= 16;
        is_hex || self.is_random() || self.is_address()
    }

    fn is_random(&self) -> bool {
        self.digits > 2
            && self.bytes.len() >= RANDOM_BYTES_MIN
            && self.bytes.iter().filter(|byte| !byte.is_ascii_alphanumeric()).count() <= 2
    }

    fn is_address(&self) -> bool {
        let mut parts = self.bytes.split(|byte| *byte == b'@');
        self.classes & AT != 0
            && matches!((parts.next(), parts.next(), parts.next()), (Some([_, ..]), Some(host @ [_, ..]), None) if host.contains(&b'.'))
    }

    fn number(&self) -> Option<u64> {
        let digit = |number: u64, byte: &u8| number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        (self.digits == self.bytes.len() && self.digits < 20).then(|| self.bytes.iter().fold(0, digit))
    }
}

/// The first parameter that names an object by an id.
fn id_of(query: &[u8]) -> Option<(&[u8], Segment<'_>)> {
    let mut parameters = query.split(|byte| matches!(byte, b'&' | b'#')).take(PARAMETERS_MAX);
    parameters.find_map(|parameter| {
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (parameter.get(..at)?, scan(parameter.get(at + 1..)?));
        (names_object(name) && (value.is_id() || is_encoded_address(value.bytes))).then_some((name, value))
    })
}

fn names_object(name: &[u8]) -> bool {
    let of = name.strip_suffix(b"_id").or_else(|| name.strip_suffix(b"Id")).filter(|of| !of.is_empty());
    OBJECTS.contains(&name) || of.is_some_and(|of| !OWN.contains(&of))
}

fn is_encoded_address(value: &[u8]) -> bool {
    value.windows(3).any(|three| three == b"%40")
}

/// Where hashes begin.
pub(super) const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Takes bytes into a hash, eight at a time: prints are compared within one tenant's few routes.
#[inline]
pub(super) fn mix(before: u64, bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let start = before ^ (bytes.len() as u64) << 56;
    let (words, tail) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(start, |hash, bytes| fold(hash ^ word(bytes)));
    if tail.is_empty() {
        return fold(hash);
    }
    // The end overlaps what is taken in already.
    let end = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(last), ..) => word(last),
        (None, Some(first), Some(last)) => half(first) | half(last) << 32,
        _ => tail.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    fold(hash ^ end)
}

fn fold(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn asked(path: &str) -> Asked {
        Asked::of(path, &Names::new())
    }

    #[test]
    fn ids_of_all_sorts_stand_for_others() {
        let ids =
            ["7", "0012345", "0f8fad5b-d9cb-469f-a165-70867728950e", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "5f3a9c0e1b2d4c6f", "ann@acme.example"];
        let all = ids.map(|id| asked(&format!("/api/v1/invoices/{id}/lines")));
        assert!(all.iter().all(|asked| asked.route == all[0].route && asked.object.is_some()), "{all:?}");
        assert_eq!((all[0].number, all[1].number, all[2].number), (Some(7), Some(12_345), None));
        assert_ne!(all[0].object, all[1].object);
    }

    #[test]
    fn what_names_no_object_is_a_route_alone() {
        let paths = ["/", "/api/v1/orders", "/api/v2/me", "/search?q=17", "/catalog/page/17", "/wp-admin/setup-config.php", "/.env"];
        let queries =
            ["/list?page=3&limit=50", "/a?offset=100", "/b?cursor=0123456789abcdef", "/c?session_id=17&clientId=9", "/d?user=ann&id=new"];
        let others = ["/reports/2026-03-02", "/reports/2026-03", "/docs/en-US/v1.2.3", "/graphql", "/a?since_id=5", "/x?t=1772442000"];
        for path in paths.into_iter().chain(queries).chain(others) {
            assert_eq!(asked(path).object, None, "{path}");
        }
        assert_eq!(asked("/catalog/page/1").route, asked("/catalog/page/2").route);
        assert_eq!(asked("/reports/2026-03-02").route, asked("/reports/2026-03-03").route);
        assert_ne!(asked("/a/b").route, asked("/ab").route);
        assert_ne!(asked("/orders/7").route, asked("/invoices/7").route);
    }

    #[test]
    fn an_id_in_the_query_counts_where_the_path_has_none() {
        let of = |path: &str| asked(path);
        assert_eq!(of("/profile?user_id=17&x=1").number, Some(17));
        assert_eq!(of("/profile?user_id=17").route, of("/profile?lang=de&user_id=18#top").route);
        assert_ne!(of("/profile?user_id=17").object, of("/profile?user_id=18").object);
        assert!(
            ["/p?id=5", "/p?accountId=77", "/p?email=ann%40acme.example", "/p?email=ann@acme.example"]
                .iter()
                .all(|path| of(path).object.is_some())
        );
        assert_eq!(of("/orders/3?user_id=17").number, Some(3));
    }

    #[test]
    fn words_that_are_passed_are_sorted_like_what_is_read_byte_by_byte() {
        let alphabet = b"abcXYZ019/?#&@-._ %\xc3\xa9pqrstuvw";
        for number in 0..20_000_u64 {
            let dice = |at: u64| (number * 64 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) as usize;
            // Every third path begins with a word.
            let byte = |at: u64| alphabet[dice(at) % if number % 3 == 0 { 6 } else { alphabet.len() }];
            let mut bytes: Vec<u8> = (0..number % 40).map(byte).collect();
            bytes.extend_from_slice(&alphabet[dice(50) % alphabet.len()..]);
            let (passed, read) = (scan(&bytes), classify(&bytes));
            assert_eq!((passed.bytes, passed.digits, passed.classes & AT), (read.bytes, read.digits, read.classes & AT), "{bytes:?}");
            assert_eq!((passed.sort(b""), passed.is_id()), (read.sort(b""), read.is_id()), "{bytes:?}");
        }
    }
}
