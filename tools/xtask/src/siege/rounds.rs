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
    /// Goes on with what a console has printed. The tool keeps the last of it: what it begins with was read before.
    pub(super) fn read(&mut self, text: &str, results: &mut Results) {
        // A line that is not whole is not there yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter(|line| !line.trim().is_empty());
        let mut next = None;
        for (place, line) in lines.enumerate() {
            let words: Vec<_> = match line.split_once("siege: ") {
                Some((_, said)) => said.split_whitespace().collect(),
                None => Vec::new(),
            };
            let round = match words[..] {
                ["round", number, sum] => number.parse().ok().filter(|&number| {
                    next.map_or(number <= self.count, |next| number == next)
                        && u64::from_str_radix(sum, 16) == Ok(results.of(number))
                }),
                _ => None,
            };
            match words[..] {
                _ if let Some(number) = round => {
                    next = Some(number + 1);
                    self.count = self.count.max(number + 1);
                }
                ["done", count] if count.parse() == Ok(self.count) => self.done = true,
                // The first of many may be cut.
                _ if place == 0 && self.count > 0 => {}
                _ => self.wrong.push(format!("it said {line:?}")),
            }
        }
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

    fn said(round: u64) -> String {
        format!("[vcpu 0] siege: round {round} {:x}\n", right(round))
    }

    fn read(texts: &[&str]) -> Rounds {
        let (mut rounds, mut results) = (Rounds::default(), Results::default());
        texts
            .iter()
            .for_each(|text| rounds.read(text, &mut results));
        rounds
    }

    #[test]
    fn only_right_results_in_their_order_count() {
        let good = said(0) + &said(1) + "[vcpu 0] siege: done 2\n[vcpu 0] sie";
        assert_eq!(
            read(&[&good]),
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
            format!("siege: round 0 {:x}\n", right(0) ^ 1),
        ] {
            let rounds = read(&[&bad]);
            assert_eq!((rounds.count, rounds.wrong.len()), (0, 1), "{bad}");
        }
        let twice = said(0) + &said(0);
        assert_eq!(read(&[&twice]).wrong.len(), 1);
    }

    #[test]
    fn rounds_count_on_when_the_beginning_is_gone() {
        let from = |first: u64| (first..5).map(said).collect::<String>();
        let cut = &from(1)[4..];
        for rest in [&from(0), cut, &from(2), &from(3)] {
            let rounds = read(&[&(said(0) + &said(1) + &said(2)), rest]);
            assert_eq!((rounds.count, rounds.wrong.len()), (5, 0), "{rest}");
        }
        // Nobody has seen round 3.
        let lost = read(&[
            &(said(0) + &said(1) + &said(2)),
            &("und 3 5\n".to_owned() + &said(4)),
        ]);
        assert_eq!((lost.count, lost.wrong.len()), (3, 1));
    }
}
