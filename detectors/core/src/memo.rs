//! What was worked out of the values that the last events had, so that it is not worked out again.
//!
//! Most events come from a few hundred programs and applications, and reading a text takes longer than looking a key up.
//! A memo remembers nothing that an event does not say again: it is no state, and makes no finding another one.

/// Keys remembered, each in the one place that its hash names.
const PLACES: usize = 512;

/// What values come to, by the hash of their key.
#[derive(Clone, Debug)]
pub struct Memo<T>(Box<[(u64, T)]>);

impl<T: Copy> Memo<T> {
    /// A memo that knows what nothing (a hash of 0) comes to.
    #[must_use]
    pub fn new(nothing: T) -> Self {
        Self(vec![(0, nothing); PLACES].into_boxed_slice())
    }

    /// What the value with this hash comes to; `work_out` says so if that is not remembered.
    pub fn get(&mut self, hash: u64, work_out: impl FnOnce() -> T) -> T {
        // The upper bits are alike within a slice.
        match self.0.get_mut(hash as usize % PLACES) {
            Some((known, value)) if *known == hash => *value,
            Some(place) => {
                *place = (hash, work_out());
                place.1
            }
            None => work_out(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_worked_out_when_its_place_is_new_or_was_taken() {
        let (mut memo, mut times) = (Memo::new(0), 0);
        let mut get = |hash: u64| {
            memo.get(hash, || {
                times += 1;
                hash * 2
            })
        };
        let other = 7 + PLACES as u64;
        assert_eq!([0, 7, 7, other, 7].map(&mut get), [0, 14, 14, other * 2, 14]);
        assert_eq!(times, 3);
    }
}
