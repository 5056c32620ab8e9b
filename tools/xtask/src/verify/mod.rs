//! `cargo xtask test`: every check of the project, in suites.

pub(crate) mod boots;
mod built;
mod compilers;
mod debugger;
pub(crate) mod host;
mod hosts;
mod linux;
pub(crate) mod registers;
mod reset;
mod rest;
pub(crate) mod runs;
mod samples;
mod stacks;
mod suites;
mod web;

use std::time::{Duration, Instant};

use toolbox::workspace::Workspace;
use toolbox::{Error, child};

use self::suites::{SUITES, Suite};

/// How much of a suite is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What every change must pass, in minutes.
    Change,
    /// Everything.
    All,
}

/// One thing that was checked.
#[derive(Debug)]
pub(crate) struct Case {
    name: String,
    verdict: Verdict,
}

/// What became of a check.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// What is wrong.
    Failed(String),
    /// Why it could not be made here.
    Skipped(String),
}

impl Case {
    fn new(name: impl Into<String>, result: Result<(), String>) -> Self {
        Self {
            name: name.into(),
            verdict: result.map_or_else(Verdict::Failed, |()| Verdict::Passed),
        }
    }

    /// A check that could not even begin.
    fn broken(name: impl Into<String>, error: &Error) -> Self {
        let details = error
            .details()
            .map(|details| format!("\n{}", details.trim_end()))
            .unwrap_or_default();
        Self::new(name, Err(format!("{error}{details}")))
    }

    /// A check that says why it cannot be made on this computer.
    fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verdict: Verdict::Skipped(why.into()),
        }
    }

    fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }
}

/// Runs the suites with these names, or all that `depth` has; prints a line per suite, every failure, and the sum as the
/// last line.
///
/// # Errors
///
/// When a name is unknown, or when a check failed.
pub(crate) fn test(workspace: &Workspace, wanted: &[String], depth: Depth) -> Result<(), Error> {
    let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        let advice = format!("choose among {}", names.join(", "));
        return Err(Error::new(format!("there is no suite {unknown}")).advise(advice));
    }
    let chosen: Vec<_> = SUITES
        .iter()
        .filter(|suite| {
            if wanted.is_empty() {
                depth == Depth::All || suite.change.is_some()
            } else {
                wanted.iter().any(|name| name == suite.name)
            }
        })
        .collect();
    announce(&chosen, depth);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for suite in chosen {
        println!("suite {} ...", suite.name);
        let started = Instant::now();
        let cases = (suite.run)(workspace, depth);
        if child::interrupted() {
            return Err(Error::new("interrupted"));
        }
        let (mut bad, mut left_out) = (0, 0);
        for case in &cases {
            let (word, why) = match &case.verdict {
                Verdict::Passed => continue,
                Verdict::Failed(why) => ("FAILED", why),
                Verdict::Skipped(why) => ("SKIPPED", why),
            };
            match case.verdict {
                Verdict::Failed(_) => bad += 1,
                _ => left_out += 1,
            }
            let why = why.replace('\n', "\n  ");
            println!("{word} {}: {}\n  {why}", suite.name, case.name);
        }
        let good = cases.len() - bad - left_out;
        let seconds = started.elapsed().as_secs();
        println!(
            "suite {}: {}",
            suite.name,
            sum(good, bad, left_out, &format!(" ({seconds} s)"))
        );
        passed += good;
        failed += bad;
        skipped += left_out;
    }
    println!("{}", sum(passed, failed, skipped, ""));
    if failed == 0 {
        Ok(())
    } else {
        Err(Error::new("some checks failed; they are listed above"))
    }
}

/// Says what will be done, and how long that takes.
fn announce(suites: &[&Suite], depth: Depth) {
    let time = |suite: &Suite| match depth {
        Depth::Change => suite.change.unwrap_or(suite.all),
        Depth::All => suite.all,
    };
    let total: Duration = suites.iter().map(|suite| time(suite)).sum();
    println!(
        "{} suites, about {} minutes on two idle cores once everything is built:",
        suites.len(),
        total.as_secs().div_ceil(60)
    );
    for suite in suites {
        let seconds = time(suite).as_secs();
        println!("  {:10} {seconds:4} s  {}", suite.name, suite.what);
    }
    if depth == Depth::Change {
        println!("`cargo xtask test --all` runs everything.");
    }
}

fn sum(passed: usize, failed: usize, skipped: usize, rest: &str) -> String {
    if skipped == 0 {
        format!("{passed} passed, {failed} failed{rest}")
    } else {
        format!("{passed} passed, {failed} failed, {skipped} skipped{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_was_skipped_only_where_something_was() {
        assert_eq!(sum(3, 1, 0, ""), "3 passed, 1 failed");
        assert_eq!(
            sum(3, 0, 2, " (1 s)"),
            "3 passed, 0 failed, 2 skipped (1 s)"
        );
    }

    #[test]
    fn what_a_change_must_pass_takes_at_most_ten_minutes() {
        let total: Duration = SUITES.iter().filter_map(|suite| suite.change).sum();
        assert!(total <= Duration::from_secs(600), "{total:?}");
    }
}
