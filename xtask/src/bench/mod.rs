//! `cargo xtask bench`: what the firmware spends on each call, counted by the emulator.

mod budgets;
mod rim;

use std::fs::{self, File};
use std::time::Duration;

use serde_json::{Value, json};
use xtask::firmware::FLASH_SIZE;
use xtask::images::{self, BENCH, FIRMWARE, REALM_MONITOR, ROOT_MONITOR};
use xtask::progress::Lines;
use xtask::qemu;
use xtask::workspace::Workspace;
use xtask::{Error, child, setup};

use budgets::BUDGETS;

/// A run takes some seconds; this is for a busy computer.
const LIMIT: Duration = Duration::from_secs(300);
/// The counter must count nanoseconds: with `-icount shift=0` an instruction takes one.
const FREQUENCY: &str = "1000000000";
/// What the figures do not say.
const SPLIT: &str =
    "EL3 and the RMM are counted together: a split by world needs a trace of every instruction";

/// What was measured under one name.
struct Figure {
    name: String,
    counts: Vec<u64>,
}

impl Figure {
    fn least(&self) -> u64 {
        self.counts.iter().copied().min().unwrap_or(0)
    }

    fn median(&self) -> u64 {
        let mut sorted = self.counts.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }

    fn most(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or(0)
    }

    fn budget(&self) -> Option<&'static budgets::Budget> {
        BUDGETS.iter().find(|budget| budget.name == self.name)
    }

    /// Whether the worst measurement keeps within the budget, if there is one.
    fn is_within(&self) -> bool {
        self.budget()
            .is_none_or(|budget| self.most() <= budget.most)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "runs": self.counts.len(),
            "least": self.least(),
            "median": self.median(),
            "most": self.most(),
            "budget": self.budget().map(|budget| budget.most),
            "c_stack": self.budget().map(|budget| budget.c_stack),
            "within": self.is_within(),
        })
    }
}

/// Builds the firmware and the benchmark, runs it, and prints a table, or an object if `as_json`; of all figures, or of
/// those whose name contains `only`. With `check`, a budget that is not kept is an error.
pub(crate) fn bench(
    workspace: &Workspace,
    as_json: bool,
    only: Option<&str>,
    check: bool,
) -> Result<(), Error> {
    let toolchain = setup::toolchain(workspace, &Lines)?;
    let needed = [BENCH, ROOT_MONITOR, REALM_MONITOR];
    images::build(workspace, &toolchain, &needed, &Lines)?;
    let output = run(workspace)?;
    rim::check(&output)?;
    let mut figures = read(&output)?;
    if let Some(part) = only {
        let part = part.to_uppercase();
        figures.retain(|figure| figure.name.contains(&part));
    }
    if as_json {
        let figures: Vec<_> = figures.iter().map(Figure::json).collect();
        println!(
            "{}",
            json!({ "unit": "instructions", "note": SPLIT, "figures": figures })
        );
    } else {
        table(&figures);
    }
    let missed: Vec<_> = figures
        .iter()
        .filter(|figure| !figure.is_within())
        .map(|figure| figure.name.as_str())
        .collect();
    if check && !missed.is_empty() {
        return Err(Error::new(format!("over budget: {}", missed.join(", "))));
    }
    Ok(())
}

/// One boot of the benchmark, with every instruction counted: what it prints.
fn run(workspace: &Workspace) -> Result<String, Error> {
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
    let mut command = qemu::machine(&emulator.path, 1, 1 << 30);
    command.args(["-icount", "shift=0"]);
    qemu::flash(&mut command, &flash);
    qemu::load(
        &mut command,
        &workspace.images().join(BENCH.file),
        qemu::PAYLOAD,
    );
    Ok(child::run(&mut command, Some(LIMIT), |_| {})?.all)
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
        "{:38} {:>4} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "instructions", "runs", "least", "median", "most", "budget", "C stack"
    );
    for figure in figures {
        let (budget, c_stack) = figure.budget().map_or_else(Default::default, |budget| {
            (budget.most.to_string(), budget.c_stack.to_string())
        });
        println!(
            "{:38} {:>4} {:>8} {:>8} {:>8} {:>8} {:>8}{}",
            figure.name,
            figure.counts.len(),
            figure.least(),
            figure.median(),
            figure.most(),
            budget,
            c_stack,
            if figure.is_within() { "" } else { "  over" },
        );
    }
    println!("{SPLIT}.");
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
    fn a_run_that_ends_early_or_counts_something_else_is_no_measurement() {
        assert!(read("bench RMI_VERSION 400\n").is_err());
        assert!(read("bench-frequency 62500000\nbench-done\n").is_err());
    }
}
