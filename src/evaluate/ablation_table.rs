//! An ablation as text.

use super::ablation::{Ablation, Difference, Group, Worth};
use std::fmt;

/// Kinds of attack and detectors that a line names; `--json` has all.
const NAMED_MAX: usize = 3;

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { found, hits_high, false_alerts, too_many, low } = self.total;
        let number = |number: i64| if number == 0 { "0".to_owned() } else { format!("{number:+}") };
        let [found, high, wrong, many, low] = [found, hits_high, false_alerts, too_many, low].map(number);
        let mut parts: Vec<(u64, String)> =
            self.kinds.iter().map(|(kind, found)| (found.unsigned_abs(), format!("{kind} {found:+}"))).collect();
        parts.extend(self.detectors.iter().flat_map(|(detector, of)| {
            let numbers = [(of.false_alerts, "false"), (of.low, "low")].into_iter().filter(|(number, _)| *number != 0);
            numbers.map(move |(number, what)| (number.unsigned_abs(), format!("{detector} {what} {number:+}")))
        }));
        parts.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        let parts: Vec<_> = parts.into_iter().take(NAMED_MAX).map(|(_, part)| part).collect();
        write!(f, "{:<74} {found:>6} {high:>8} {wrong:>6} {many:>9} {low:>6}  {}", self.switch.to_string(), parts.join(", "))
    }
}

impl fmt::Display for Ablation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.whole.total;
        let (found, attacks, high, hits) = (total.found, total.attacks, total.hits_high, total.hits);
        writeln!(
            f,
            "As it is: {found} of {attacks} attacks found, {high} of {hits} hits at high, {} false alerts ({} of them one too many about an \
             attack), {} low ones. Without:",
            total.false_alerts, total.too_many, total.low
        )?;
        for (group, title) in
            [(Group::Detectors, "detector"), (Group::Gates, "gate"), (Group::Rules, "rule"), (Group::Evidence, "evidence")]
        {
            let of_group: Vec<_> = self.without.iter().filter(|worth| worth.switch.group == group).collect();
            if of_group.is_empty() {
                continue;
            }
            writeln!(f, "\n{title:<74} {:>6} {:>8} {:>6} {:>9} {:>6}  above all", "found", "at high", "false", "too many", "low")?;
            of_group.iter().filter(|worth| !worth.is_nothing()).try_for_each(|worth| writeln!(f, "{worth}"))?;
            let nothing: Vec<_> = of_group.iter().filter(|worth| worth.is_nothing()).map(|worth| worth.switch.to_string()).collect();
            if !nothing.is_empty() {
                writeln!(f, "without any of these nothing changes: {}", nothing.join("; "))?;
            }
        }
        Ok(())
    }
}
