//! Tables for people.

use std::collections::BTreeMap;

use crate::foreign::printable;

/// The widest that a cell is: who names realms does not decide how much is printed.
const WIDEST: usize = 1024;

/// Columns as wide as their widest cell; every line ends where its text ends. Cells that are too wide are cut, and lines that are wider
/// than `most` columns.
pub(crate) fn table<const N: usize>(
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    most: Option<usize>,
) -> String {
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(rows.map(|row| row.map(|cell| cut(&printable(&cell), Some(WIDEST)))));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text += &cut(cells.join("  ").trim_end(), most);
        text += "\n";
    }
    text
}

fn cut(line: &str, most: Option<usize>) -> String {
    match most {
        Some(most) if line.chars().count() > most => {
            let kept: String = line.chars().take(most.saturating_sub(1)).collect();
            kept + "…"
        }
        _ => line.to_owned(),
    }
}

/// Counts by name, most frequent first, such as `mmio 513, irq 8`.
pub(crate) fn counts<'a>(counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> String {
    let mut counts: Vec<_> = counts
        .into_iter()
        .filter(|(_, count)| **count > 0)
        .collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let texts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    texts.collect::<Vec<_>>().join(", ")
}

/// All counts together; the numbers are a host's, who can say what he likes.
pub(crate) fn total(counts: &BTreeMap<String, u64>) -> u64 {
    counts
        .values()
        .fold(0, |sum, count| sum.saturating_add(*count))
}

/// A time in its two largest units, such as `3m 20s`.
pub(crate) fn age(microseconds: u64) -> String {
    let seconds = microseconds / 1_000_000;
    match seconds {
        0 => format!("{}ms", microseconds / 1000),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The standard library pads to 65,535 columns at most, and panics beyond.
    #[test]
    fn a_name_without_end_is_cut() {
        let rows = ["x", "\x1b"].map(|cell| [cell.repeat(100_000), String::new()]);
        let text = table(["NAME", "STATE"], rows.into_iter(), None);
        assert!(text.lines().all(|line| line.chars().count() <= WIDEST + 7));
        assert!(text.lines().skip(1).all(|line| line.ends_with('…')));
    }

    #[test]
    fn columns_line_up_and_fit() {
        let rows = || {
            [
                ["0".to_owned(), "psci 3".to_owned()],
                ["10".to_owned(), "irq 1".to_owned()],
            ]
            .into_iter()
        };
        assert_eq!(
            table(["REC", "exits"], rows(), None),
            "REC  exits\n0    psci 3\n10   irq 1\n"
        );
        assert_eq!(
            table(["REC", "exits"], rows(), Some(10)),
            "REC  exits\n0    psci…\n10   irq 1\n"
        );
    }

    #[test]
    fn what_happens_most_comes_first() {
        let exits = [("irq", 8), ("fiq", 0), ("mmio", 513), ("host-call", 8)];
        let exits: BTreeMap<_, _> = exits.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(counts(&exits), "mmio 513, host-call 8, irq 8");
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [
            (59, "59s"),
            (3599, "59m 59s"),
            (3600, "1h 0m"),
            (200_000, "2d 7h"),
        ] {
            assert_eq!(age(seconds * 1_000_000), text);
        }
        assert_eq!(age(1500), "1ms");
    }
}
