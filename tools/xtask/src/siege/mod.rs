//! `cargo xtask siege`: a realm that does its worst beside one that computes.

mod assault;
mod machine;
mod parts;
mod rounds;
mod state;
mod table;
mod ways;

use std::time::Duration;

use clap::Args;
use serde_json::json;
use toolbox::workspace::Workspace;
use toolbox::{Error, child};

use crate::turn;
use assault::Outcome;
use parts::Parts;
use state::State;
use ways::WAYS;

/// What a way takes besides its minutes: a machine that boots, realms that are made and taken apart.
const OVERHEAD: Duration = Duration::from_secs(30);

/// What the command is told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Minutes of each way
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,

    /// Only this way [may be repeated]
    #[arg(long, value_name = "NAME", value_parser = ways::names())]
    way: Vec<String>,

    /// One way, for that long; which one it is changes from day to day
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["minutes", "way"])]
    sample: Option<u64>,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the ways, and prints a table of what came of them.
///
/// # Errors
///
/// When a realm that computes lost something, something was not given back, or somebody needed more memory than its bound.
pub(crate) fn siege(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    if let Some(seconds) = options.sample {
        return conclude(&[sample(workspace, seconds)?], options.json);
    }
    let ways: Vec<_> = WAYS
        .iter()
        .filter(|way| options.way.is_empty() || options.way.iter().any(|name| name == way.name))
        .collect();
    let time = Duration::from_secs(options.minutes * 60);
    let parts = Parts::build(workspace)?;
    let mut state = State::read(workspace, &parts.digest, time)?;
    let left = ways.iter().filter(|way| state.outcome(way.name).is_none());
    let left = left.count() as u32;
    eprintln!(
        "siege: {left} of {} ways are left, {} min each, about {} min; log in {}",
        ways.len(),
        options.minutes,
        ((time + OVERHEAD) * left).as_secs().div_ceil(60),
        state.log().display()
    );
    let mut outcomes = Vec::new();
    for way in ways {
        if let Some(known) = state.outcome(way.name) {
            outcomes.push(known.clone());
            continue;
        }
        if child::interrupted() {
            return Err(Error::new(
                "interrupted; the same command goes on from here",
            ));
        }
        let outcome = assault::run(&parts, way, time, &mut |line| state.note(line))?;
        state.keep(&outcome)?;
        outcomes.push(outcome);
    }
    conclude(&outcomes, options.json)
}

/// Runs one way for so many seconds; which one depends on the day.
///
/// # Errors
///
/// When nothing could be run at all. What went wrong with the realms is in the outcome.
fn sample(workspace: &Workspace, seconds: u64) -> Result<Outcome, Error> {
    let [way] = &turn::of_today(&WAYS.each_ref(), 1)[..] else {
        return Err(Error::new("there is no way"));
    };
    eprintln!("siege: {} for {seconds} s", way.name);
    let parts = Parts::build(workspace)?;
    assault::run(&parts, way, Duration::from_secs(seconds), &mut |line| {
        eprintln!("{line}");
    })
}

/// The same, for who only wants to know whether it holds.
///
/// # Errors
///
/// As [`siege`].
pub(crate) fn sample_holds(workspace: &Workspace, seconds: u64) -> Result<(), Error> {
    conclude(&[sample(workspace, seconds)?], false)
}

fn conclude(outcomes: &[Outcome], as_json: bool) -> Result<(), Error> {
    if as_json {
        println!("{}", json!({ "ways": outcomes }));
    } else {
        print!("{}", table::table(outcomes));
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.faults.is_empty());
    let lines: Vec<_> = failed
        .map(|outcome| format!("{}: {}", outcome.way, outcome.faults.join("; ")))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("{} ways did harm", lines.len())).with_details(lines.join("\n")))
}
