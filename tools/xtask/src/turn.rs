//! Whose turn it is, where there is no time for all.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// At most `count` of them, spread over all: every day other ones, until each has been there. A day is one of UTC, so that everybody has the
/// same, in a clone without history as well.
pub(crate) fn of_today<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = now.unwrap_or_default().as_secs() / SECONDS_OF_A_DAY;
    of_day(all, count, days as usize)
}

fn of_day<T: Clone>(all: &[T], count: usize, day: usize) -> Vec<T> {
    let turns = all.len().div_ceil(count.max(1)).max(1);
    let chosen = all.iter().skip(day % turns).step_by(turns);
    chosen.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successive_days_come_to_everybody() {
        for (members, count) in [
            (413, 12),
            (12, 12),
            (5, 12),
            (24, 12),
            (12, 1),
            (9, 2),
            (1, 1),
        ] {
            let all: Vec<usize> = (0..members).collect();
            let mut seen = Vec::new();
            for day in 20_000..20_000 + members.div_ceil(count) {
                let chosen = of_day(&all, count, day);
                assert!(!chosen.is_empty() && chosen.len() <= count, "{chosen:?}");
                seen.extend(chosen);
            }
            seen.sort_unstable();
            assert_eq!(seen, all);
        }
    }
}
