//! `cargo xtask bench`: what the firmware spends on each call, counted by the emulator.

mod budgets;
mod calls;
mod rim;
mod split;

use std::fs::{self, File};
use std::time::Duration;

use cca_abi::{rmi, rsi};
use serde_json::{Value, json};
use toolbox::firmware::FLASH_SIZE;
use toolbox::images::{self, FIRMWARE, Image, REALM_MONITOR, ROOT_MONITOR};
use toolbox::progress::Lines;
use toolbox::qemu;
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child, setup};

use crate::images::BENCH;
use budgets::{BUDGETS, STRETCH, is_stretch};

/// A run takes some seconds; this is for a busy computer.
const LIMIT: Duration = Duration::from_secs(300);
/// The counter must count nanoseconds: with `-icount shift=0` an instruction takes one.
const FREQUENCY: &str = "1000000000";
/// What the benchmark consists of.
const IMAGES: [Image; 3] = [BENCH, ROOT_MONITOR, REALM_MONITOR];
/// What the figures do not say unless asked.
const TOGETHER: &str = "EL3 and the RMM are counted together; --split tells them apart";

/// What `cargo xtask bench` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// Only figures with this in their names.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Fails if a number of instructions is over its budget.
    #[arg(long)]
    check: bool,
    /// Tells EL3 and the RMM apart, which takes a trace of every instruction, and some minutes.
    #[arg(long)]
    split: bool,
}

/// What was measured under one name.
struct Figure {
    name: String,
    counts: Vec<u64>,
    /// Of each of them what was at EL3, if the worlds were told apart.
    at_el3: Vec<u64>,
}

fn median(counts: &[u64]) -> u64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

impl Figure {
    fn least(&self) -> u64 {
        self.counts.iter().copied().min().unwrap_or(0)
    }

    fn median(&self) -> u64 {
        median(&self.counts)
    }

    /// The medians of what EL3 took and of the rest, which is the RMM's and, for a REC entry, the realm's.
    fn split(&self) -> Option<(u64, u64)> {
        let rest = self.counts.iter().zip(&self.at_el3);
        let rest: Vec<_> = rest.map(|(all, el3)| all.saturating_sub(*el3)).collect();
        (!rest.is_empty()).then(|| (median(&self.at_el3), median(&rest)))
    }

    fn most(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or(0)
    }

    fn budget(&self) -> Option<&'static budgets::Budget> {
        BUDGETS.iter().find(|budget| budget.name == self.name)
    }

    /// Whether the worst measurement keeps within the budget, if there is one, and keeps no interrupt waiting for too long.
    fn is_within(&self) -> bool {
        let stretch = !is_stretch(&self.name) || self.most() <= STRETCH;
        let budget = self.budget();
        stretch && budget.is_none_or(|budget| self.most() <= budget.most)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "runs": self.counts.len(),
            "least": self.least(),
            "median": self.median(),
            "most": self.most(),
            "el3": self.split().map(|(el3, _)| el3),
            "rmm": self.split().map(|(_, rmm)| rmm),
            "budget": self.budget().map(|budget| budget.most),
            "c_stack": self.budget().map(|budget| budget.c_stack),
            "within": self.is_within(),
        })
    }
}

/// Builds the firmware and the benchmark, runs it, times calls on the in-process machine, and prints tables, or an
/// object.
///
/// # Errors
///
/// When something does not build or run, and with `--check` when a budget is not kept.
pub(crate) fn bench(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    let only = options.only.as_ref().map(|part| part.to_uppercase());
    let only = only.as_deref();
    let mut figures = measure(workspace, options.split)?;
    let missing = unmeasured(&figures);
    figures.retain(|figure| only.is_none_or(|part| figure.name.contains(part)));
    let calls = calls::measure(workspace, only)?;
    if options.json {
        let figures: Vec<_> = figures.iter().map(Figure::json).collect();
        let calls: Vec<_> = calls.iter().map(calls::Call::json).collect();
        println!(
            "{}",
            json!({ "unit": "instructions", "figures": figures, "in_process": calls })
        );
    } else {
        table(&figures);
        if !options.split {
            println!("{TOGETHER}.");
        }
        calls::table(&calls);
    }
    let missed: Vec<_> = figures
        .iter()
        .filter(|figure| !figure.is_within())
        .map(|figure| figure.name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(Error::new(format!("not measured: {}", missing.join(", "))));
    }
    if options.check && !missed.is_empty() {
        return Err(Error::new(format!("over budget: {}", missed.join(", "))));
    }
    Ok(())
}

/// Builds the firmware and the benchmark, runs it, and reads its figures; with `split` told apart by world.
fn measure(workspace: &Workspace, split: bool) -> Result<Vec<Figure>, Error> {
    let toolchain = setup::toolchain(workspace, &Lines)?;
    images::build(workspace, &toolchain, &IMAGES, &Lines)?;
    let (output, at_el3) = run(workspace, split)?;
    rim::check(&output)?;
    let mut figures = read(&output)?;
    if split {
        attribute(&output, &mut figures, &at_el3)?;
    }
    Ok(figures)
}

/// A check by its name, with what is wrong.
pub(crate) type Check = (String, Result<(), String>);

/// Each figure by its name with what is wrong with it: what is over its budget, or keeps an interrupt waiting for too long. And
/// whether every command was measured.
///
/// # Errors
///
/// When the benchmark does not build or run.
pub(crate) fn budgets_kept(workspace: &Workspace) -> Result<Vec<Check>, Error> {
    let figures = measure(workspace, false)?;
    let all = match &unmeasured(&figures)[..] {
        [] => Ok(()),
        missing => Err(format!("not measured: {}", missing.join(", "))),
    };
    let kept = figures.iter().map(|figure| {
        let most = figure.budget().map_or(STRETCH, |budget| budget.most);
        let over = || format!("{} instructions, {most} at most", figure.most());
        let name = format!("what {} costs", figure.name);
        (name, figure.is_within().then_some(()).ok_or_else(over))
    });
    let every = ("every command is measured".to_owned(), all);
    Ok(std::iter::once(every).chain(kept).collect())
}

/// Whether a figure is one SMC of the payload: RSI calls are the realm's, and sums are no calls.
fn is_smc(name: &str) -> bool {
    name.starts_with("RMI_") || name.starts_with("REC_ENTER_")
}

/// The commands of RMI and RSI that no figure is about.
fn unmeasured(figures: &[Figure]) -> Vec<&'static str> {
    let rmi = rmi::Command::ALL.iter().map(|command| command.name());
    let rsi = rsi::Command::ALL.iter().map(|command| command.name());
    // What leaves the realm is measured as an entry of the host's.
    let about = |name: &str| name.split_once('_').map_or("", |(_, name)| name).to_owned();
    rmi.chain(rsi)
        .filter(|name| {
            !figures
                .iter()
                .any(|figure| figure.name.contains(&about(name)))
        })
        .collect()
}

/// Gives each measurement what EL3 took of it. The payload makes no SMC between two measured ones.
fn attribute(output: &str, figures: &mut [Figure], at_el3: &[u64]) -> Result<(), Error> {
    let mut at_el3 = at_el3.iter();
    for line in output.lines() {
        let ["bench", name, _] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            continue;
        };
        let figure = figures.iter_mut().find(|figure| figure.name == name);
        if let Some(figure) = figure.filter(|_| is_smc(name)) {
            let count = at_el3.next().copied();
            figure
                .at_el3
                .push(count.ok_or_else(|| Error::new("the trace has not all calls"))?);
        }
    }
    Ok(())
}

/// One boot of the benchmark, with every instruction counted: what it prints, and with `split` what EL3 took of each
/// SMC.
fn run(workspace: &Workspace, split: bool) -> Result<(String, Vec<u64>), Error> {
    let emulator = setup::qemu(workspace, &Lines)?;
    let folder = workspace.target().join("bench");
    let flash = folder.join("flash");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(workspace.images().join(FIRMWARE), &flash))
        .and_then(|_| {
            File::options()
                .write(true)
                .open(&flash)?
                .set_len(FLASH_SIZE)
        })
        .map_err(|error| Error::io("write", &flash, &error))?;
    let mut command = qemu::machine(&emulator, 1, 1 << 30);
    command.args(["-icount", "shift=0"]);
    qemu::flash(&mut command, &flash);
    qemu::load(
        &mut command,
        &workspace.images().join(BENCH.file),
        qemu::PAYLOAD,
    );
    if split {
        Lines.step("tracing every instruction, which takes minutes");
        return split::run(&mut command);
    }
    let finished = child::run(&mut command, Some(LIMIT), |_| {})?;
    Ok((finished.all, Vec::new()))
}

/// The records, by name in the order in which they first appear.
fn read(output: &str) -> Result<Vec<Figure>, Error> {
    let broken = |why: &str| Error::new(why.to_owned()).with_details(output.to_owned());
    let mut figures: Vec<Figure> = Vec::new();
    let mut done = false;
    for line in output.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["bench-done"] => done = true,
            ["bench-frequency", FREQUENCY] => {}
            ["bench-frequency", other] => {
                return Err(broken(&format!(
                    "the counter runs at {other} Hz: it does not count instructions"
                )));
            }
            ["bench", name, count] => {
                let count = count
                    .parse()
                    .map_err(|_| broken(&format!("{count} is no count")))?;
                match figures.iter_mut().find(|figure| figure.name == name) {
                    Some(figure) => figure.counts.push(count),
                    None => figures.push(Figure {
                        name: name.to_owned(),
                        counts: vec![count],
                        at_el3: Vec::new(),
                    }),
                }
            }
            _ => {}
        }
    }
    if done {
        Ok(figures)
    } else {
        Err(broken("the benchmark did not come to its end"))
    }
}

fn table(figures: &[Figure]) {
    println!(
        "{:38} {:>4} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>8}",
        "instructions", "runs", "least", "median", "most", "EL3", "RMM", "budget", "C stack"
    );
    for figure in figures {
        let (budget, c_stack) = figure.budget().map_or_else(Default::default, |budget| {
            (budget.most.to_string(), budget.c_stack.to_string())
        });
        let (el3, rmm) = figure.split().map_or_else(Default::default, |(el3, rmm)| {
            (el3.to_string(), rmm.to_string())
        });
        println!(
            "{:38} {:>4} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>8}{}",
            figure.name,
            figure.counts.len(),
            figure.least(),
            figure.median(),
            figure.most(),
            el3,
            rmm,
            budget,
            c_stack,
            if figure.is_within() { "" } else { "  over" },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_gathered_by_name() {
        let output = "bench-frequency 1000000000\nbench RMI_VERSION 400\nnoise\nbench RMI_VERSION 500\nbench-done\n";
        let figures = read(output).expect("whole");
        assert_eq!(figures.len(), 1);
        assert_eq!((figures[0].least(), figures[0].most()), (400, 500));
        assert!(!figures[0].is_within());
    }

    #[test]
    fn el3_has_its_part_of_each_call_that_is_an_smc() {
        let output =
            "bench RMI_VERSION 400\nbench RSI_VERSION 229\nbench RMI_VERSION 410\nbench-done\n";
        let mut figures = read(output).expect("whole");
        attribute(output, &mut figures, &[290, 300]).expect("two SMCs");
        assert_eq!(figures[0].split(), Some((300, 110)));
        assert_eq!(figures[1].split(), None);
        let mut figures = read(output).expect("whole");
        assert!(attribute(output, &mut figures, &[290]).is_err());
    }

    #[test]
    fn a_run_that_ends_early_or_counts_something_else_is_no_measurement() {
        assert!(read("bench RMI_VERSION 400\n").is_err());
        assert!(read("bench-frequency 62500000\nbench-done\n").is_err());
    }
}
