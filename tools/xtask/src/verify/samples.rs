//! A part of each check that takes too long as a whole, other parts as days go by.

use std::time::Duration;

use toolbox::Error;
use toolbox::workspace::Workspace;

use super::suites::seconds;
use super::{Case, Depth};
use crate::{fuzz, mutants, siege};

/// One of these checks.
struct Sample {
    name: &'static str,
    /// How long its part takes on two idle cores.
    takes: Duration,
    run: fn(&Workspace) -> Result<(), Error>,
}

/// All of them.
const SAMPLES: [Sample; 3] = [
    Sample {
        name: "mutations, some of the inventory",
        takes: seconds(240),
        run: |workspace| mutants::sample(workspace, &CAUGHT, MUTATIONS),
    },
    Sample {
        name: "one way of the siege",
        takes: seconds(110),
        run: |workspace| siege::sample_holds(workspace, SEARCH),
    },
    Sample {
        name: "two targets of the fuzzer",
        takes: seconds(160),
        run: |workspace| fuzz::sample(workspace, SEARCH),
    },
];

/// Files of the inventory all of whose rows are known to be caught. Those of others are still looked into, with `cargo xtask mutants`.
const CAUGHT: [&str; 4] = [
    "crates/",
    "hardware/common/debug/",
    "hardware/common/job/",
    "hardware/common/memory/",
];
/// Seconds of siege, and of fuzzing.
const SEARCH: u64 = 60;
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
