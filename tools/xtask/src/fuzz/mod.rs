//! `cargo xtask fuzz`: hostile hosts, hostile realms and damaged input, found by a fuzzer that sees what it reaches.
//!
//! The targets are the programs of `verification/fuzz`. They are built so that the compiler counts edges and
//! comparisons for libFuzzer, with options that stable compilers have.

mod output;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child, progress::Lines};

use crate::screen::Screen;
use crate::turn;
use crate::verify::host::cargo;
use output::Pulse;

/// What `cargo xtask fuzz` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long to search, in all; each target gets the same share.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Only this target; may be given several times.
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Only two targets, others every day.
    #[arg(long, conflicts_with_all = ["targets", "input"])]
    sample: bool,
    /// Runs one target once, with the content of this file, and says what comes of it.
    #[arg(long, value_name = "FILE", conflicts_with = "seconds")]
    input: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Flags that make the compiler count what is reached, and check as much as a debug build does.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];
/// Long sequences from the start: hosts and realms get nowhere with a few bytes.
const LENGTHS: [&str; 2] = ["-len_control=0", "-max_len=1024"];
/// Seconds after which an input counts as one that never ends.
const PATIENCE: u64 = 60;
/// What a target may take longer than it was told, to end and to read its corpus on a busy computer.
const GRACE: Duration = Duration::from_secs(300);

/// What came of one target.
struct Outcome {
    target: String,
    time: Duration,
    executions: u64,
    coverage: u64,
    corpus: u64,
    /// What was found, if something was.
    finding: Option<Finding>,
}

/// An input that breaks a rule.
struct Finding {
    input: Option<PathBuf>,
    what: String,
}

impl Outcome {
    fn json(&self, workspace: &Workspace) -> Value {
        json!({
            "target": self.target,
            "seconds": self.time.as_secs_f64(),
            "executions": self.executions,
            "per_second": per_second(self.executions, self.time),
            "edges": self.coverage,
            "corpus": self.corpus,
            "finding": self.finding.as_ref().map(|finding| json!({
                "what": finding.what,
                "input": finding.input,
                "reproduce": finding.reproduce(workspace, &self.target),
            })),
        })
    }
}

impl Finding {
    /// The command that shows it again.
    fn reproduce(&self, workspace: &Workspace, target: &str) -> Option<String> {
        let input = self.input.as_deref()?;
        let input = input.strip_prefix(workspace.root()).unwrap_or(input);
        Some(format!(
            "cargo xtask fuzz --target {target} --input {}",
            input.display()
        ))
    }
}

/// Searches, prints what was done, and fails if an input was found that breaks a rule.
///
/// # Errors
///
/// When a target is unknown or does not build, and when something was found: the error names the inputs.
pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    if options.sample {
        return sample(workspace, options.seconds);
    }
    let targets = chosen(&known(workspace)?, &options.targets)?;
    if let Some(input) = &options.input {
        let [target] = &targets[..] else {
            return Err(Error::new("--input needs one target").advise("add --target NAME"));
        };
        let programs = build(workspace, &targets)?;
        return reproduce(&programs, target, input);
    }
    let share = options.seconds / targets.len() as u64;
    if share == 0 {
        let advice = format!("give at least --seconds {}", targets.len());
        return Err(Error::new("no second for each target").advise(advice));
    }
    let programs = build(workspace, &targets)?;
    let mut outcomes = Vec::new();
    for target in targets {
        let outcome = search(workspace, &programs, target, share)?;
        if !options.json {
            print(&outcome);
        }
        outcomes.push(outcome);
    }
    let executions: u64 = outcomes.iter().map(|outcome| outcome.executions).sum();
    let time: Duration = outcomes.iter().map(|outcome| outcome.time).sum();
    if options.json {
        let targets: Vec<_> = outcomes.iter().map(|o| o.json(workspace)).collect();
        let all = json!({
            "seconds": time.as_secs_f64(),
            "executions": executions,
            "targets": targets,
        });
        println!("{all}");
    } else {
        println!(
            "{executions} executions of {} targets in {} s",
            outcomes.len(),
            time.as_secs()
        );
    }
    verdict(workspace, &outcomes)
}

/// So many targets have their turn on a day.
const AT_ONCE: usize = 2;

/// Searches for so long with a few of the targets, others every day.
///
/// # Errors
///
/// As [`fuzz`].
pub(crate) fn sample(workspace: &Workspace, seconds: u64) -> Result<(), Error> {
    let options = Options {
        seconds,
        targets: turn::of_today(&known(workspace)?, AT_ONCE),
        sample: false,
        input: None,
        json: false,
    };
    fuzz(workspace, &options)
}

fn verdict(workspace: &Workspace, outcomes: &[Outcome]) -> Result<(), Error> {
    let mut found = Vec::new();
    let mut details = String::new();
    for outcome in outcomes {
        let Some(finding) = &outcome.finding else {
            continue;
        };
        let input = finding
            .input
            .as_deref()
            .unwrap_or_else(|| Path::new("no input"));
        found.push(format!("{} ({})", outcome.target, input.display()));
        details += &format!("{}: {}\n", outcome.target, finding.what);
        if let Some(command) = finding.reproduce(workspace, &outcome.target) {
            details += &format!("  again: {command}\n");
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("found: {}", found.join(", "))).with_details(details))
}

fn print(outcome: &Outcome) {
    let verdict = match &outcome.finding {
        Some(finding) => format!("FOUND {}", finding.what),
        None => "nothing found".to_owned(),
    };
    println!(
        "{:14} {:>10} executions in {:>5} s ({:>6}/s), {:>5} edges, corpus of {:>4}: {verdict}",
        outcome.target,
        outcome.executions,
        outcome.time.as_secs(),
        per_second(outcome.executions, outcome.time),
        outcome.coverage,
        outcome.corpus,
    );
}

fn per_second(executions: u64, time: Duration) -> u64 {
    (executions as f64 / time.as_secs_f64().max(1.0)) as u64
}

/// The names of all targets: each has a file.
fn known(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let folder = workspace.root().join("verification/fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| Error::io("read", &folder, &error))?;
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            Some(name.to_str()?.strip_suffix(".rs")?.replace('_', "-"))
        })
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Those of the targets that are wanted, or all.
fn chosen(known: &[String], wanted: &[String]) -> Result<Vec<String>, Error> {
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        let advice = format!("choose among {}", known.join(", "));
        return Err(Error::new(format!("there is no target {unknown}")).advise(advice));
    }
    let wanted = |name: &&String| wanted.is_empty() || wanted.contains(name);
    Ok(known.iter().filter(wanted).cloned().collect())
}

/// Builds targets; the folder with the programs.
fn build(workspace: &Workspace, targets: &[String]) -> Result<PathBuf, Error> {
    Lines.step("building the fuzz targets");
    let version = child::output(Command::new("rustc").arg("-vV"))?;
    let triple = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or_else(|| Error::new("rustc does not say what it runs on"))?;
    let folder = workspace.target().join("fuzz/build");
    let mut command = cargo(workspace, "build");
    command
        .args(["--release", "--quiet", "--package", "fuzz"])
        .args(targets.iter().map(|target| format!("--bin=fuzz-{target}")))
        .args(["--features", "libfuzzer", "--target", triple])
        .env("CARGO_TARGET_DIR", &folder)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    child::output(&mut command)
        .map_err(|error| error.advise("libFuzzer needs a C++ compiler, such as Debian's g++"))?;
    Ok(folder.join(triple).join("release"))
}

fn program(programs: &Path, target: &str) -> Command {
    Command::new(programs.join(format!("fuzz-{target}")))
}

/// Runs one target for some seconds, from the corpus of earlier runs on.
fn search(
    workspace: &Workspace,
    programs: &Path,
    target: String,
    seconds: u64,
) -> Result<Outcome, Error> {
    let (corpus, findings) = (
        workspace.target().join("fuzz/corpus").join(&target),
        workspace.target().join("fuzz/findings"),
    );
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
    }
    let mut command = program(programs, &target);
    command
        .args([
            format!("-max_total_time={seconds}"),
            format!("-timeout={PATIENCE}"),
            format!("-artifact_prefix={}/{target}-", findings.display()),
        ])
        .args(LENGTHS)
        .args(["-rss_limit_mb=4096", "-print_final_stats=1"])
        .arg(&corpus);
    let screen = Screen::new(&target, Duration::from_secs(seconds));
    let started = Instant::now();
    let mut last = Pulse::default();
    let limit = Duration::from_secs(seconds + PATIENCE) + GRACE;
    let finished = child::run(&mut command, Some(limit), |line| {
        if let Some(pulse) = Pulse::read(line) {
            screen.show(&format!(
                "{} executions, {} edges, corpus of {}",
                pulse.executions, pulse.coverage, pulse.corpus
            ));
            last = pulse;
        }
    })?;
    drop(screen);
    let finding = (!finished.status.success()).then(|| Finding {
        input: output::artifact(&finished.all).map(PathBuf::from),
        what: output::what(&finished.all),
    });
    Ok(Outcome {
        target,
        time: started.elapsed(),
        executions: output::executions(&finished.all).unwrap_or(last.executions),
        coverage: last.coverage,
        corpus: last.corpus,
        finding,
    })
}

/// Runs one input.
fn reproduce(programs: &Path, target: &str, input: &Path) -> Result<(), Error> {
    if !input.is_file() {
        return Err(Error::new(format!("there is no file {}", input.display())));
    }
    let mut command = program(programs, target);
    command.arg(format!("-timeout={PATIENCE}")).arg(input);
    let finished = child::run(&mut command, None, |_| {})?;
    if finished.status.success() {
        println!("{target}: nothing wrong with {}", input.display());
        return Ok(());
    }
    let what = output::what(&finished.all);
    Err(Error::new(format!("{target}: {what}")).with_details(finished.all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_by_their_files_and_chosen_by_name() {
        let workspace = Workspace::find().expect("the sources");
        let known = known(&workspace).expect("the folder");
        for name in ["device-tree", "host", "realm", "token"] {
            assert!(known.iter().any(|known| known == name), "{known:?}");
        }
        assert_eq!(chosen(&known, &[]).expect("all"), known);
        let one = ["host".to_owned()];
        assert_eq!(chosen(&known, &one).expect("one"), one);
        let error = chosen(&known, &["hosts".to_owned()]).expect_err("unknown");
        assert!(
            error
                .to_string()
                .contains("choose among control, device-tree"),
            "{error}"
        );
    }

    #[test]
    fn a_finding_is_an_error_that_says_how_to_see_it_again() {
        let workspace = Workspace::find().expect("the sources");
        let outcome = |finding| Outcome {
            target: "host".to_owned(),
            time: Duration::from_secs(2),
            executions: 10,
            coverage: 3,
            corpus: 1,
            finding,
        };
        assert!(verdict(&workspace, &[outcome(None)]).is_ok());
        let finding = Finding {
            input: Some(workspace.root().join("target/fuzz/findings/host-crash-1")),
            what: "a panic".to_owned(),
        };
        let error = verdict(&workspace, &[outcome(None), outcome(Some(finding))])
            .expect_err("something was found");
        assert!(error.to_string().contains("host-crash-1"), "{error}");
        let again = "cargo xtask fuzz --target host --input target/fuzz/findings/host-crash-1";
        assert!(error.details().is_some_and(|text| text.contains(again)));
    }
}
