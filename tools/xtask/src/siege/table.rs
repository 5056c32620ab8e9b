//! What came of all ways, for people.

use std::fmt::Write;

use super::assault::{HEAP_BOUND, Outcome, TOOL_BOUND};

/// The table, and the bounds below it.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!(
        "{:10} {:44} {:>6} {:>7} {:>8} {:>8} {:>11} {:>6} {:>9} {:>9}  RESULT\n",
        "WAY", "", "TIME", "ROUNDS", "RAN", "HOSTILE", "EXITS", "LIVES", "HEAP", "TOOL"
    );
    for outcome in outcomes {
        let result = match outcome.faults.len() {
            0 => "nothing lost".to_owned(),
            count => format!("{count} FAULTS"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "{:10} {:44} {:>5}s {:>7} {:>7}s {:>7}s {:>11} {:>6} {:>8}K {:>8}K  {result}",
            outcome.way,
            outcome.what,
            outcome.seconds,
            outcome.rounds,
            outcome.run_us / 1_000_000,
            outcome.hostile_us / 1_000_000,
            outcome.exits,
            outcome.lives,
            outcome.heap_peak >> 10,
            outcome.tool_peak >> 10
        );
    }
    let most = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).max().unwrap_or(0) >> 10;
    let _ = writeln!(
        table,
        "hypervisor: at most {} KiB of its heap, bound {} KiB; tool: at most {} KiB resident, bound {} KiB",
        most(|outcome| outcome.heap_peak),
        HEAP_BOUND >> 10,
        most(|outcome| outcome.tool_peak),
        TOOL_BOUND >> 10
    );
    table
}
