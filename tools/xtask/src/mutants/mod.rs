//! `cargo xtask mutants`: copies of the firmware with one instruction less, each of which a test has to tell from the right one.

mod copy;
mod inputs;
mod inventory;
mod protections;
mod run;
mod sequence;
mod sites;
mod state;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use toolbox::progress::Lines;
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child, setup};

use crate::turn;
use copy::Copy;
use inventory::{Kind, Row, Test};
use run::Runner;
use state::{Outcome, State};

/// What a row takes on an idle machine, for the estimate at the start.
const PER_ROW: Duration = Duration::from_secs(9);

/// What `cargo xtask mutants` takes.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only rows whose name begins like this.
    rows: Vec<String>,
    /// Prints the table of all rows in the end, also of those whose outcome is known from earlier runs.
    #[arg(long)]
    all: bool,
    /// Only so many rows, other ones every day; known outcomes are not used.
    #[arg(long, value_name = "N", conflicts_with = "all")]
    sample: Option<usize>,
    /// Runs the test that a row names and no other: the quickest way through all rows. Who passes it counts as missed.
    #[arg(long)]
    own: bool,
    /// Prints one JSON object per row and one for the sum.
    #[arg(long)]
    json: bool,
}

/// Makes each mutation that has no outcome yet for the sources as they are, and looks who catches it.
///
/// # Errors
///
/// When the inventory does not fit the sources, a test fails without a mutation, or nobody catches a mutation.
pub(crate) fn mutants(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    let all = inventory::read(workspace)?;
    let complaints = sites::complaints(workspace, &all)?;
    if !complaints.is_empty() {
        return Err(
            Error::new("the inventory of mutations does not fit the sources")
                .with_details(complaints.join("\n")),
        );
    }
    let chosen = choose(&all, options)?;
    let copy = Copy::make(workspace)?;
    let toolchain = setup::toolchain(workspace, &Lines)?;
    let qemu = setup::qemu(workspace, &Lines)?;
    let sequences = sequence::read(workspace)?;
    Lines.step("building everything without a mutation ...");
    let mut runner = Runner::new(copy, toolchain, qemu, sequences)?;
    let mut state = State::read(workspace, runner.inputs(&all)?)?;
    let to_do: Vec<&Row> = chosen
        .iter()
        .copied()
        // Who was missed is tried again: another test may catch it now.
        .filter(|row| options.sample.is_some() || state.outcome(row) != Some(&Outcome::Caught))
        .collect();
    Lines.note(&format!(
        "{} of {} rows to be tried, about {} minutes on an idle machine; Ctrl-C stops, the next call goes on",
        to_do.len(),
        all.len(),
        1 + to_do.len() as u64 * PER_ROW.as_secs() / 60,
    ));
    let broken = try_rows(&mut runner, &mut state, &to_do, options)?;
    report(&state, &all, &chosen, &broken, options)
}

/// Tries so many of the rows whose names begin like one of `rows`, other ones every day.
///
/// # Errors
///
/// As [`mutants`].
pub(crate) fn sample(workspace: &Workspace, rows: &[&str], count: usize) -> Result<(), Error> {
    let options = Options {
        rows: rows.iter().map(|&row| row.to_owned()).collect(),
        sample: Some(count),
        ..Options::default()
    };
    mutants(workspace, &options)
}

/// The rows that the options name.
fn choose<'r>(all: &'r [Row], options: &Options) -> Result<Vec<&'r Row>, Error> {
    let named = |row: &&Row| {
        options.rows.is_empty() || options.rows.iter().any(|name| row.name.starts_with(name))
    };
    let chosen: Vec<_> = all.iter().filter(named).collect();
    if chosen.is_empty() {
        return Err(Error::new("no row has such a name")
            .advise("the names are the files of verification/mutants and the rows in them"));
    }
    Ok(match options.sample {
        Some(count) => turn::of_today(&chosen, count),
        None => chosen,
    })
}

/// Tries the rows, and returns what could not be tried: a test that fails without a mutation, a mutation that does not
/// compile. It does not stop there, since all rows take more than an hour.
fn try_rows(
    runner: &mut Runner,
    state: &mut State,
    rows: &[&Row],
    options: &Options,
) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    let tests: BTreeSet<&Test> = rows.iter().map(|row| &row.test).collect();
    Lines.step(&format!("{} tests without a mutation ...", tests.len()));
    let mut failing = BTreeSet::new();
    for test in tests {
        if let Some(seconds) = state.control(test) {
            runner.knows(test, seconds);
            continue;
        }
        let started = Instant::now();
        let result = runner.control(test);
        if child::interrupted() {
            return Err(interrupted());
        }
        match result {
            Ok(()) => {
                state.set_control(test, started.elapsed())?;
                runner.knows(test, started.elapsed());
            }
            Err(why) => {
                broken.push(format!("without any mutation this fails: {test}\n{why}"));
                Lines.note(&broken[broken.len() - 1]);
                failing.insert(test);
            }
        }
    }
    let started = Instant::now();
    for (n, row) in rows.iter().enumerate() {
        if failing.contains(&row.test) {
            broken.push(format!("{}: its test fails without it", row.name));
            continue;
        }
        let result = runner.try_row(row, options.own);
        if child::interrupted() {
            return Err(interrupted());
        }
        let left = started.elapsed() / (n as u32 + 1) * (rows.len() - n - 1) as u32;
        let told = match &result {
            Ok(outcome) => outcome.to_string(),
            Err(error) => error.to_string(),
        };
        Lines.note(&format!(
            "{}/{} {}: {told} ({} min left)",
            n + 1,
            rows.len(),
            row.name,
            left.as_secs().div_ceil(60)
        ));
        match result {
            Ok(outcome) => state.set_outcome(row, outcome)?,
            Err(error) => {
                let details = error.details().unwrap_or_default();
                broken.push(format!("{error}\n{details}").trim_end().to_owned());
                continue;
            }
        }
        if options.json {
            print_json(row, state);
        }
    }
    Ok(broken)
}

fn interrupted() -> Error {
    Error::new("interrupted").advise("the next call goes on here")
}

fn print_json(row: &Row, state: &State) {
    if let Some(outcome) = state.outcome(row) {
        println!(
            "{}",
            json!({
                "row": row.name,
                "kind": row.kind,
                "test": row.test.to_string(),
                "argued": row.argued,
                "caught_by": outcome.caught_by(),
            })
        );
    }
}

/// Prints the table and the sums.
fn report(
    state: &State,
    all: &[Row],
    chosen: &[&Row],
    broken: &[String],
    options: &Options,
) -> Result<(), Error> {
    let mut missed = Vec::new();
    let (mut caught, mut argued, mut barriers, mut open) = (0, 0, 0, 0);
    for row in if options.all {
        all.iter().collect()
    } else {
        chosen.to_vec()
    } {
        let outcome = state.outcome(row);
        match outcome {
            None => open += 1,
            Some(Outcome::Missed) => missed.push(row.name.clone()),
            Some(_) if row.kind == Kind::Barrier => barriers += 1,
            Some(_) if row.argued.is_some() => argued += 1,
            Some(_) => caught += 1,
        }
        if options.all && !options.json {
            let how = match (outcome, &row.argued) {
                (None, _) => "not tried".to_owned(),
                (Some(outcome), None) => outcome.to_string(),
                (Some(outcome), Some(why)) => format!("argued: {why}; {outcome}"),
            };
            println!("{:<60} {how}", row.name);
        }
    }
    if options.json {
        println!(
            "{}",
            json!({
                "caught": caught,
                "argued": argued,
                "barriers": barriers,
                "missed": missed,
                "broken": broken,
                "not_tried": open,
            })
        );
    } else {
        println!(
            "{caught} caught by a run, {argued} argued, {barriers} barriers by their sequence, {} missed, {open} not tried",
            missed.len()
        );
    }
    if !missed.is_empty() {
        let all: Vec<_> = missed.iter().chain(broken).map(String::as_str).collect();
        return Err(Error::new("nobody notices these mutations").with_details(all.join("\n")));
    }
    if !broken.is_empty() {
        return Err(Error::new("these could not be tried").with_details(broken.join("\n")));
    }
    Ok(())
}

/// What is wrong with the sequences of instructions in the images as they are built, a line each.
///
/// # Errors
///
/// When the list of sequences cannot be read.
pub(crate) fn broken_sequences(
    workspace: &Workspace,
    toolchain: &Toolchain,
) -> Result<Vec<String>, Error> {
    let sequences = sequence::read(workspace)?;
    let check = |one: &sequence::Sequence| {
        let result = sequence::check(workspace, toolchain, &sequences, &one.name);
        result.err().map(|why| format!("{}: {why}", one.name))
    };
    Ok(sequences.iter().filter_map(check).collect())
}
