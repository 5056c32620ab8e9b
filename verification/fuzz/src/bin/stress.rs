//! Stress for some seconds: `stress SECONDS`, as `cargo xtask stress` starts it. Prints a line `stress KIND REALMS CALLS
//! EXITS` for each kind of stress; a panic is a finding.

use std::process::ExitCode;
use std::time::Duration;

use fuzz::stress::{self, Until};
use fuzz::swarm;

/// Threads of each kind.
const THREADS: usize = 3;

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let Some(seconds) = seconds else {
        eprintln!("usage: stress SECONDS");
        return ExitCode::FAILURE;
    };
    let half = Until::Time(Duration::from_secs(seconds) / 2);
    let print = |kind, work: stress::Work| {
        println!(
            "stress {kind} {} {} {}",
            work.realms, work.calls, work.exits
        );
    };
    print("lives", stress::run(THREADS, half));
    let seed = std::time::UNIX_EPOCH.elapsed();
    let seed = seed.map_or(0, |time| time.as_secs());
    println!("stress-seed {seed}");
    print("hostile", swarm::run(THREADS, half, seed));
    ExitCode::SUCCESS
}
