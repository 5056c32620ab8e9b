//! A part of each check that takes too long as a whole, other parts at each commit.

use std::time::Duration;

use xtask::Error;
use xtask::workspace::Workspace;

use super::suites::seconds;
use super::{Case, Depth};
use crate::mutants;

/// One of these checks.
struct Sample {
    name: &'static str,
    /// How long its part takes on two idle cores.
    takes: Duration,
    run: fn(&Workspace) -> Result<(), Error>,
}

/// All of them.
const SAMPLES: [Sample; 1] = [Sample {
    name: "mutations, some of the inventory",
    takes: seconds(240),
    run: |workspace| mutants::sample(workspace, MUTATIONS),
}];

/// So many that a copy is built and they are tried in the time above.
const MUTATIONS: usize = 12;

/// How long they take together.
pub(super) const TAKES: Duration = {
    let (mut sum, mut n) = (0, 0);
    while n < SAMPLES.len() {
        sum += SAMPLES[n].takes.as_secs();
        n += 1;
    }
    seconds(sum)
};

/// Each of them, one after the other.
pub(super) fn samples(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    let run = |sample: &Sample| match (sample.run)(workspace) {
        Ok(()) => Case::new(sample.name, Ok(())),
        Err(error) => Case::broken(sample.name, &error),
    };
    SAMPLES.iter().map(run).collect()
}
