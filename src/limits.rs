//! Ranges of configured limits. What each means, the table that holds it says.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// Why a value is not in its range; `None` if it is.
pub fn outside<T: PartialOrd + Display>(value: &T, range: &RangeInclusive<T>) -> Option<String> {
    (!range.contains(value)).then(|| format!("must be from {} to {}, is {value}", range.start(), range.end()))
}

/// The keys of a table whose values are out of their ranges, each with what would be right.
macro_rules! out_of_range {
    ($table:expr; $($key:ident: $range:expr),+ $(,)?) => {
        [$($crate::limits::outside(&$table.$key, &$range).map(|problem| (stringify!($key), problem))),+].into_iter().flatten()
    };
}

#[cfg(test)]
mod tests {
    struct Table {
        few: u32,
        many: usize,
    }

    #[test]
    fn both_ends_are_allowed_and_what_is_beyond_them_is_named() {
        let errors = |few, many| out_of_range!(Table { few, many }; few: 1..=3, many: 10..=1 << 20).collect::<Vec<_>>();
        assert_eq!(errors(1, 1 << 20), []);
        assert_eq!(errors(3, 10), []);
        let told = |text: &str| text.to_owned();
        assert_eq!(errors(0, 9), [("few", told("must be from 1 to 3, is 0")), ("many", told("must be from 10 to 1048576, is 9"))]);
    }
}
