//! The tables of a report, and the list of what went wrong.

use super::report::{DetectorLine, HabitLine, KindLine, Report, Totals};
use std::fmt;

/// A number, or a dash where there is none.
fn cell(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn part(value: Option<f64>) -> String {
    cell(value.map(|value| format!("{value:.3}")))
}

fn rate(value: Option<f64>) -> String {
    cell(value.map(|value| format!("{value:.1}")))
}

impl fmt::Display for KindLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, total, found, recall, cut_off, hits, hits_high, delay_median_s, delay_worst_s, alerts_max } = self;
        let (recall, median, worst) = (part(*recall), cell(*delay_median_s), cell(*delay_worst_s));
        write!(
            f,
            "{kind:<34} {total:>6} {found:>6} {recall:>7} {cut_off:>7} {hits:>6} {hits_high:>7} {median:>8} {worst:>8} {alerts_max:>6}"
        )
    }
}

impl fmt::Display for DetectorLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { detector, alerts, fitting, other_attack, false_alerts, too_many, bystanders, low } = self;
        write!(f, "{detector:<34} {alerts:>6} {fitting:>7} {other_attack:>12} {false_alerts:>6} {too_many:>8} {bystanders:>10} {low:>6}")
    }
}

impl fmt::Display for HabitLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { habit, happenings, false_alerts } = self;
        write!(f, "{habit:<34} {happenings:>10} {false_alerts:>12}")
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.seed.map_or_else(|| "all".to_owned(), |seed| seed.to_string());
        let Self { attacks, found, cut_off, false_alerts, too_many, low, bystanders, .. } = self;
        let (recall, hits) = (part(self.recall), part(self.hits_recall));
        let (sign_ins, false_rate, low_rate) = (cell(self.sign_ins), rate(self.false_rate), rate(self.low_rate));
        write!(
            f,
            "{name:<10} {attacks:>7} {found:>6} {recall:>7} {cut_off:>7} {hits:>10} {sign_ins:>8} {false_alerts:>6} {false_rate:>8}"
        )?;
        write!(f, " {too_many:>8} {low:>6} {low_rate:>8} {bystanders:>10}")?;
        match &self.worst_kind {
            Some(kind) => write!(f, "  {kind} {}", part(self.worst_kind_recall)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = ["attack", "total", "found", "recall", "cut off", "hits", "at high", "median s", "worst s", "alerts"];
        let [attack, total, found, recall, cut_off, hits, high, median, worst, alerts] = columns;
        writeln!(f, "{attack:<34} {total:>6} {found:>6} {recall:>7} {cut_off:>7} {hits:>6} {high:>7} {median:>8} {worst:>8} {alerts:>6}")?;
        self.kinds.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        let [detector, alerts, fitting, other, wrong, too_many, bystanders, low] =
            ["detector", "alerts", "fitting", "other attack", "false", "too many", "bystanders", "low"];
        writeln!(f, "\n{detector:<34} {alerts:>6} {fitting:>7} {other:>12} {wrong:>6} {too_many:>8} {bystanders:>10} {low:>6}")?;
        self.detectors.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "\n{:<34} {:>10} {:>12}", "innocent", "happenings", "false alerts")?;
        self.habits.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        let columns = [
            "seed",
            "attacks",
            "found",
            "recall",
            "cut off",
            "hits, high",
            "sign-ins",
            "false",
            "per 100k",
            "too many",
            "low",
            "bystanders",
        ];
        let [seed, attacks, found, recall, cut_off, hits, sign_ins, wrong, per, too_many, low, bystanders] = columns;
        write!(f, "\n{seed:<10} {attacks:>7} {found:>6} {recall:>7} {cut_off:>7} {hits:>10} {sign_ins:>8} {wrong:>6} {per:>8}")?;
        writeln!(f, " {too_many:>8} {low:>6} {per:>8} {bystanders:>10}  worst kind")?;
        self.seeds.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "{}", self.total)?;
        self.worst_seed.map_or(Ok(()), |seed| writeln!(f, "\nworst seed: {seed}"))
    }
}

impl Report {
    /// The single attacks that were missed and alerts that are false, one on a line.
    #[must_use]
    pub fn list(&self) -> String {
        let of = |seed: Option<u64>| seed.map_or_else(String::new, |seed| format!("seed {seed} "));
        let missed = self.missed.iter().map(|missed| {
            let what = if missed.told_low { "told below high" } else { "missed" };
            format!("{what}: {}{} {} of {}\n", of(missed.seed), missed.attack, missed.kind, missed.tenant)
        });
        let wrong = self.false_alerts.iter().map(|alert| {
            let what = if alert.one_too_many { "one too many".to_owned() } else { format!("false, {}", alert.count) };
            let (seed, severity) = (of(alert.seed), alert.severity);
            format!("{what}: {seed}{} {} {severity} {} of {}: {}\n", alert.alert, alert.detector, alert.key, alert.tenant, alert.reason)
        });
        missed.chain(wrong).collect()
    }
}
