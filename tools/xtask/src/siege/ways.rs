//! The ways in which a realm does its worst.

use clap::builder::PossibleValuesParser;
use realm_guest::siege::Way as Number;

/// One way.
#[derive(Debug)]
pub(super) struct Way {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What it is, in the table.
    pub(super) what: &'static str,
    /// What the hostile realm is told.
    pub(super) number: Number,
    /// What the hostile realm has besides the others' things: options of `create`.
    pub(super) options: &'static [&'static str],
    /// Whether it needs a disk.
    pub(super) disk: bool,
}

const fn way(name: &'static str, what: &'static str, number: Number) -> Way {
    Way {
        name,
        what,
        number,
        options: &[],
        disk: false,
    }
}

/// All ways.
pub(super) const WAYS: [Way; 12] = [
    way("console", "prints without end", Number::Console),
    way(
        "exits",
        "leaves the realm at once, again and again",
        Number::Exits,
    ),
    way(
        "chequer",
        "makes every other page empty, and RAM again",
        Number::Chequer,
    ),
    way(
        "share",
        "shares every other page, and takes it back",
        Number::Share,
    ),
    Way {
        disk: true,
        ..way("disk", "floods its disk, and resets it", Number::Disk)
    },
    Way {
        options: &["--network", "ports"],
        ..way("network", "floods its network", Number::Network)
    },
    Way {
        options: &["--network", "ports", "--consoles", "2"],
        disk: true,
        ..way("nonsense", "gives its devices nonsense", Number::Nonsense)
    },
    way(
        "interrupts",
        "timers and interrupts without end",
        Number::Interrupts,
    ),
    way("power", "turns its vCPUs on and off", Number::Power),
    way("reset", "resets itself, and is made anew", Number::Reset),
    way("tokens", "has tokens made without end", Number::Tokens),
    way(
        "memory",
        "touches all memory in single pages",
        Number::Memory,
    ),
];

/// What the command line takes.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(WAYS.iter().map(|way| way.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_the_program_is_used() {
        let used: Vec<_> = WAYS.iter().map(|way| way.number).collect();
        let others: Vec<_> = Number::ALL
            .into_iter()
            .filter(|number| !used.contains(number))
            .collect();
        assert_eq!(others, [Number::Compute]);
    }
}
