//! What there is to be run, and how long it takes.

use std::time::Duration;

use toolbox::workspace::Workspace;

use super::{Case, Depth, boots, built, compilers, host, hosts, linux, runs, samples};

/// A number of checks that belong together.
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// What it checks, in a line.
    pub(super) what: &'static str,
    pub(super) run: fn(&Workspace, Depth) -> Vec<Case>,
    /// How long it takes on two idle cores for a change; `None` if a change does without it.
    pub(super) change: Option<Duration>,
    /// The same for all of it.
    pub(super) all: Duration,
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// In an order in which the quickest answer comes first, and what a suite needs is made by those before it.
pub(super) const SUITES: [Suite; 13] = [
    Suite {
        name: "layering",
        what: "dependencies point one way, unsafe code is where it may be",
        run: host::layering,
        change: Some(seconds(3)),
        all: seconds(3),
    },
    Suite {
        name: "style",
        what: "formatting, lints and documentation of what runs on your own computer",
        run: host::style,
        change: Some(seconds(30)),
        all: seconds(80),
    },
    Suite {
        name: "unit",
        what: "tests that cargo runs, the scenarios on the in-process machine among them",
        run: host::unit,
        change: Some(seconds(150)),
        all: seconds(320),
    },
    Suite {
        name: "images",
        what: "all images build, and are what their places need",
        run: built::images,
        change: Some(seconds(100)),
        all: seconds(250),
    },
    Suite {
        name: "lints",
        what: "lints and documentation of the code for bare metal",
        run: compilers::lints,
        change: Some(seconds(60)),
        all: seconds(120),
    },
    Suite {
        name: "compilers",
        what: "the same, and the images, with the other compiler that setup knows",
        run: compilers::others,
        change: None,
        all: seconds(400),
    },
    Suite {
        name: "firmware",
        what: "a payload above the firmware, in machines of several shapes",
        run: boots::firmware,
        change: Some(seconds(10)),
        all: seconds(20),
    },
    Suite {
        name: "scenarios",
        what: "a scenario for each failure condition, on QEMU",
        run: boots::scenarios,
        change: Some(seconds(25)),
        all: seconds(60),
    },
    Suite {
        name: "budgets",
        what: "no call takes more instructions than it may, or keeps an interrupt waiting",
        run: boots::budgets,
        change: Some(seconds(10)),
        all: seconds(20),
    },
    Suite {
        name: "runs",
        what: "suzerain run, as a user starts it",
        run: runs::runs,
        change: Some(seconds(60)),
        all: seconds(280),
    },
    Suite {
        name: "hosts",
        what: "suzerain host: Linux at EL2 and other payloads (downloads Debian's kernel once)",
        run: hosts::hosts,
        change: Some(seconds(25)),
        all: seconds(45),
    },
    Suite {
        name: "linux",
        what: "Linux as a realm (downloads Debian's kernel once)",
        run: linux::linux,
        change: Some(seconds(60)),
        all: seconds(330),
    },
    Suite {
        name: "samples",
        what: "a part of what takes hours, other parts as time goes by",
        run: samples::samples,
        change: None,
        all: samples::TAKES,
    },
];
