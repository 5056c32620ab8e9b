//! What the realm that computes says, and whether it is right.

use realm_guest::siege::{LAST, STEPS, step};

/// The constants of a number of steps at once: number * .0 + .1.
fn jump(steps: u64) -> (u64, u64) {
    // Those of one step, found by asking it.
    let increment = step(0);
    let (mut factor, mut addend) = (step(1).wrapping_sub(increment), increment);
    let (mut all_factor, mut all_addend) = (1u64, 0u64);
    let mut left = steps;
    while left > 0 {
        if left % 2 == 1 {
            all_factor = all_factor.wrapping_mul(factor);
            all_addend = all_addend.wrapping_mul(factor).wrapping_add(addend);
        }
        addend = addend.wrapping_mul(factor.wrapping_add(1));
        factor = factor.wrapping_mul(factor);
        left /= 2;
    }
    (all_factor, all_addend)
}

/// What a round comes to. The realm takes every step; here, all but the last ones are one.
fn right(round: u64) -> u64 {
    let (factor, addend) = jump(STEPS - LAST);
    let mut number = round.wrapping_mul(factor).wrapping_add(addend);
    (0..LAST).fold(0, |sum: u64, _| {
        number = step(number);
        sum.wrapping_add(number)
    })
}

/// What rounds come to, worked out once each.
#[derive(Debug, Default)]
pub(super) struct Results(Vec<u64>);

impl Results {
    /// Of a round that comes next, or of an earlier one.
    fn of(&mut self, round: u64) -> u64 {
        let next = self.0.len() as u64;
        self.0.extend((next..=round).map(right));
        self.0[round as usize]
    }
}

/// The rounds of which a realm's console tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rounds {
    /// How many it has done.
    pub(super) count: u64,
    /// Whether it said that it was done.
    pub(super) done: bool,
    /// What is wrong with what it said.
    pub(super) wrong: Vec<String>,
}

impl Rounds {
    /// Reads what a console has printed, from the start.
    pub(super) fn read(text: &str, results: &mut Results) -> Self {
        let mut rounds = Self::default();
        // A line that is not whole is not there yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<_> = match line.split_once("siege: ") {
                Some((_, said)) => said.split_whitespace().collect(),
                None => Vec::new(),
            };
            match words[..] {
                ["round", number, sum]
                    if number.parse() == Ok(rounds.count)
                        && u64::from_str_radix(sum, 16) == Ok(results.of(rounds.count)) =>
                {
                    rounds.count += 1;
                }
                ["done", count] if count.parse() == Ok(rounds.count) => rounds.done = true,
                _ => rounds.wrong.push(format!("it said {line:?}")),
            }
        }
        rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_steps_are_as_many_single_ones() {
        for steps in [0, 1, 2, 5, 1000] {
            let (factor, addend) = jump(steps);
            let one_by_one = (0..steps).fold(77, |number, _| step(number));
            assert_eq!(77u64.wrapping_mul(factor).wrapping_add(addend), one_by_one);
        }
        let all: Vec<_> = (0..STEPS)
            .scan(3, |number, _| {
                *number = step(*number);
                Some(*number)
            })
            .collect();
        let last = all[all.len() - LAST as usize..].iter();
        assert_eq!(right(3), last.fold(0, |sum: u64, n| sum.wrapping_add(*n)));
    }

    #[test]
    fn only_right_results_in_their_order_count() {
        let said = |round: u64| format!("[vcpu 0] siege: round {round} {:x}\n", right(round));
        let good = said(0) + &said(1) + "[vcpu 0] siege: done 2\n[vcpu 0] sie";
        assert_eq!(
            Rounds::read(&good, &mut Results::default()),
            Rounds {
                count: 2,
                done: true,
                wrong: Vec::new()
            }
        );
        for bad in [
            said(1),
            said(0).replace("round 0", "round 0 1"),
            "x\n".to_owned(),
        ] {
            let rounds = Rounds::read(&bad, &mut Results::default());
            assert_eq!((rounds.count, rounds.wrong.len()), (0, 1), "{bad}");
        }
        let flipped = format!("siege: round 0 {:x}\n", right(0) ^ 1);
        assert_eq!(
            Rounds::read(&flipped, &mut Results::default()).wrong.len(),
            1
        );
    }
}
