//! A map from ranges of addresses to small numbers: a sorted array, and for each value of an address's
//! first 16 bits where in it they begin, so that a search looks at a few neighbours and not all over it.
//!
//! Built once from ranges in any order. Where ranges overlap, the one that begins last wins, and of
//! those the one that ends first: for prefixes this is the longest prefix. Of equal ranges the first
//! given wins. A trie would allow changes; nothing here changes after loading.

/// An address as a number.
pub trait Address: Copy + Ord {
    /// The address after this one; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before this one; `None` before the first.
    fn previous(self) -> Option<Self>;
    /// Its first 16 bits.
    fn first_bits(self) -> u16;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn first_bits(self) -> u16 {
        (self >> 16) as u16
    }
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn first_bits(self) -> u16 {
        (self >> 112) as u16
    }
}

/// Both ends belong to the range.
#[derive(Clone, Copy, Debug)]
pub struct Range<A> {
    /// First address.
    pub start: A,
    /// Last address.
    pub end: A,
    /// What it maps to.
    pub value: u32,
}

/// Disjoint ranges in order.
#[derive(Clone, Debug)]
pub struct RangeMap<A> {
    ranges: Vec<Range<A>>,
    /// How many ranges begin before the first address with these first bits, with one more entry for the
    /// end; empty where there are no ranges.
    begins: Vec<u32>,
}

impl<A> Default for RangeMap<A> {
    fn default() -> Self {
        Self { ranges: Vec::new(), begins: Vec::new() }
    }
}

impl<A: Address> RangeMap<A> {
    /// Builds the map; ranges that end before they begin are left out.
    #[must_use]
    pub fn build(mut ranges: Vec<Range<A>>) -> Self {
        ranges.retain(|range| range.start <= range.end);
        let disjoint = ranges.is_sorted_by(|a, b| a.end < b.start);
        if !disjoint {
            ranges = flatten(ranges);
        }
        if ranges.is_empty() {
            return Self::default();
        }
        let mut begins = Vec::with_capacity(usize::from(u16::MAX) + 2);
        for (range, before) in ranges.iter().zip(0..) {
            begins.resize(begins.len().max(usize::from(range.start.first_bits()) + 1), before);
        }
        begins.resize(usize::from(u16::MAX) + 2, ranges.len() as u32);
        Self { ranges, begins }
    }

    /// The value of the range that holds `address`.
    #[must_use]
    pub fn get(&self, address: A) -> Option<u32> {
        let bits = usize::from(address.first_bits());
        let (from, to) = (*self.begins.get(bits)? as usize, *self.begins.get(bits + 1)? as usize);
        let after = from + self.ranges.get(from..to)?.partition_point(|range| range.start <= address);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (address <= range.end).then_some(range.value)
    }

    /// How many disjoint ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }
}

/// Cuts overlapping ranges into disjoint ones. A sweep over the starts keeps the ranges that are open
/// at the cursor on a stack, the winning one on top.
fn flatten<A: Address>(mut ranges: Vec<Range<A>>) -> Vec<Range<A>> {
    // The sort is stable: reversing first puts the first given of equal ranges last, and so on top.
    ranges.reverse();
    ranges.sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    let mut sweep = Sweep { open: Vec::new(), cursor: None, done: Vec::with_capacity(ranges.len()) };
    for range in ranges {
        sweep.close_before(Some(range.start));
        sweep.advance(range.start);
        sweep.open.push(range);
    }
    sweep.close_before(None);
    sweep.done
}

struct Sweep<A> {
    open: Vec<Range<A>>,
    /// First address not yet written; `None` before the first range and after the last address.
    cursor: Option<A>,
    done: Vec<Range<A>>,
}

impl<A: Address> Sweep<A> {
    /// Writes and drops the open ranges that end before `start` (all if there is no further start).
    fn close_before(&mut self, start: Option<A>) {
        while let Some(top) = self.open.pop_if(|top| start.is_none_or(|start| top.end < start)) {
            let Some(cursor) = self.cursor else { continue };
            if cursor <= top.end {
                self.done.push(Range { start: cursor, ..top });
                self.cursor = top.end.next();
            }
        }
    }

    /// Writes the open range on top up to `start`, where a new one begins.
    fn advance(&mut self, start: A) {
        if let (Some(top), Some(cursor), Some(before)) = (self.open.last(), self.cursor, start.previous())
            && cursor <= before
        {
            self.done.push(Range { start: cursor, end: before, value: top.value });
        }
        self.cursor = Some(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow way: look at every range.
    fn oracle(ranges: &[Range<u32>], address: u32) -> Option<u32> {
        let mut best: Option<&Range<u32>> = None;
        for range in ranges.iter().filter(|range| range.start <= address && address <= range.end) {
            if best.is_none_or(|best| (range.start, best.end) > (best.start, range.end)) {
                best = Some(range);
            }
        }
        best.map(|range| range.value)
    }

    proptest! {
        #[test]
        fn overlapping_ranges_answer_as_a_scan_would(
            ends in prop::collection::vec((0u32..60, 0u32..60), 0..20),
            offset in prop::sample::select(vec![0u32, 0x0001_0000 - 30, 0x7fff_ffe0, u32::MAX - 59]),
            // Ranges within one value of the first bits, and over many of them.
            step in prop::sample::select(vec![1u32, 0x0100, 0x8001]),
        ) {
            let at = |number: u32| if offset > u32::MAX / 2 { offset + number } else { offset + number * step };
            let ranges: Vec<_> = ends.iter().zip(0..)
                .map(|((start, end), value)| Range { start: at(*start), end: at(*end), value }).collect();
            let map = RangeMap::build(ranges.clone());
            for address in (0..60).map(at) {
                prop_assert_eq!(map.get(address), oracle(&ranges, address));
            }
        }
    }
}
