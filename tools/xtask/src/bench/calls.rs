//! How long calls take on the in-process machine.

use serde_json::{Value, json};
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child, progress::Lines};

use super::budgets::{CALL_BUDGETS, CallBudget};
use crate::verify::host::cargo;

/// The time of one call.
pub(super) struct Call {
    name: String,
    threads: u64,
    picoseconds: u64,
}

impl Call {
    /// From `calls NAME THREADS PICOSECONDS`.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        let ["calls", name, threads, picoseconds] = words[..] else {
            return None;
        };
        Some(Self {
            name: name.to_owned(),
            threads: threads.parse().ok()?,
            picoseconds: picoseconds.parse().ok()?,
        })
    }

    fn budget(&self) -> Option<&'static CallBudget> {
        CALL_BUDGETS
            .iter()
            .find(|budget| budget.name == self.name && self.threads == 1)
    }

    fn nanoseconds(&self) -> f64 {
        self.picoseconds as f64 / 1000.0
    }

    fn is_within(&self) -> bool {
        self.budget()
            .is_none_or(|budget| self.picoseconds <= budget.most * 1000)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "threads": self.threads,
            "nanoseconds": self.nanoseconds(),
            "per_second": 1e12 / self.picoseconds as f64,
            "budget": self.budget().map(|budget| budget.most),
            "c_stack": self.budget().map(|budget| budget.c_stack),
            "within": self.is_within(),
        })
    }
}

/// Takes the time of calls whose name contains `only`.
pub(super) fn measure(workspace: &Workspace, only: Option<&str>) -> Result<Vec<Call>, Error> {
    Lines.step("timing calls on the in-process machine");
    let mut command = cargo(workspace, "run");
    command.args(["--release", "--quiet", "--package", "machine"]);
    command.args(["--example", "calls"]);
    let output = child::output(&mut command)?;
    let mut calls: Vec<_> = output.lines().filter_map(Call::read).collect();
    if calls.is_empty() {
        return Err(Error::new("no call was timed").with_details(output));
    }
    calls.retain(|call| only.is_none_or(|part| call.name.contains(part)));
    Ok(calls)
}

/// Prints them.
pub(super) fn table(calls: &[Call]) {
    if calls.is_empty() {
        return;
    }
    println!(
        "{:38} {:>7} {:>8} {:>13} {:>8} {:>8}",
        "in-process machine", "threads", "ns", "calls/s", "budget", "C stack"
    );
    for call in calls {
        let (budget, c_stack) = call.budget().map_or_else(Default::default, |budget| {
            (budget.most.to_string(), budget.c_stack.to_string())
        });
        println!(
            "{:38} {:>7} {:>8.1} {:>13.0} {:>8} {:>8}{}",
            call.name,
            call.threads,
            call.nanoseconds(),
            1e12 / call.picoseconds as f64,
            budget,
            c_stack,
            if call.is_within() { "" } else { "  over" },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_for_one_thread() {
        let one = Call::read("calls VERSION 1 30001").expect("whole");
        assert!(!one.is_within());
        assert!(Call::read("calls VERSION 1 30000").is_some_and(|call| call.is_within()));
        assert!(Call::read("calls VERSION 2 90000").is_some_and(|call| call.budget().is_none()));
        assert!(Call::read("calls VERSION 2").is_none());
    }
}
