//! `cargo xtask test`: every check of the project, in suites.

mod boots;
mod built;
pub(crate) mod host;
mod hosts;
mod linux;
mod runs;
mod web;

use std::time::Instant;

use xtask::workspace::Workspace;
use xtask::{Error, child};

/// One thing that was checked.
#[derive(Debug)]
pub(crate) struct Case {
    name: String,
    /// What is wrong, if something is.
    result: Result<(), String>,
}

impl Case {
    fn new(name: impl Into<String>, result: Result<(), String>) -> Self {
        Self {
            name: name.into(),
            result,
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
}

/// A number of checks that belong together.
struct Suite {
    name: &'static str,
    run: fn(&Workspace) -> Vec<Case>,
}

/// In an order in which the quickest answer comes first, and what a suite needs is made by those before it.
const SUITES: [Suite; 9] = [
    Suite {
        name: "layering",
        run: host::layering,
    },
    Suite {
        name: "style",
        run: host::style,
    },
    Suite {
        name: "unit",
        run: host::unit,
    },
    Suite {
        name: "images",
        run: built::images,
    },
    Suite {
        name: "firmware",
        run: boots::firmware,
    },
    Suite {
        name: "scenarios",
        run: boots::scenarios,
    },
    Suite {
        name: "runs",
        run: runs::runs,
    },
    Suite {
        name: "hosts",
        run: hosts::hosts,
    },
    Suite {
        name: "linux",
        run: linux::linux,
    },
];

/// The names of all suites.
pub(crate) fn names() -> Vec<&'static str> {
    SUITES.iter().map(|suite| suite.name).collect()
}

/// Runs the suites with these names, or all; prints a line per suite, every failure, and the sum as the last line.
///
/// # Errors
///
/// When a name is unknown, or when a check failed.
pub(crate) fn test(workspace: &Workspace, wanted: &[String]) -> Result<(), Error> {
    if let Some(unknown) = wanted.iter().find(|name| !names().contains(&name.as_str())) {
        let advice = format!("choose among {}", names().join(", "));
        return Err(Error::new(format!("there is no suite {unknown}")).advise(advice));
    }
    let (mut passed, mut failed) = (0, 0);
    for suite in SUITES
        .iter()
        .filter(|suite| wanted.is_empty() || wanted.iter().any(|name| name == suite.name))
    {
        println!("suite {} ...", suite.name);
        let started = Instant::now();
        let cases = (suite.run)(workspace);
        if child::interrupted() {
            return Err(Error::new("interrupted"));
        }
        let bad: Vec<_> = cases.iter().filter(|case| case.result.is_err()).collect();
        for case in &bad {
            if let Err(why) = &case.result {
                println!(
                    "FAILED {}: {}\n  {}",
                    suite.name,
                    case.name,
                    why.replace('\n', "\n  ")
                );
            }
        }
        let good = cases.len() - bad.len();
        let seconds = started.elapsed().as_secs();
        println!(
            "suite {}: {good} passed, {} failed ({seconds} s)",
            suite.name,
            bad.len()
        );
        passed += good;
        failed += bad.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        Ok(())
    } else {
        Err(Error::new("some checks failed; they are listed above"))
    }
}
