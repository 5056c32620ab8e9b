//! Checks that need nothing but the user's own Rust.

use std::env;
use std::process::Command;

use toolbox::workspace::Workspace;
use toolbox::{Error, child};

use super::{Case, Depth};
use crate::{layering, promises, unsafety};

/// The arrows between members, and where unsafe code is.
pub(crate) fn layering(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    let verdict = |name: &str, found: Result<Vec<String>, Error>| match found {
        Ok(lines) if lines.is_empty() => Case::new(name, Ok(())),
        Ok(lines) => Case::new(name, Err(lines.join("\n"))),
        Err(error) => Case::broken(name, &error),
    };
    vec![
        verdict(
            "dependencies point one way",
            layering::broken_rules(workspace),
        ),
        verdict(
            "unsafe code is where it may be",
            unsafety::misplaced(workspace),
        ),
        verdict(
            "unsafe code says why it is sound",
            unsafety::unexplained(workspace),
        ),
        verdict(
            "tests that SECURITY.md names are there",
            promises::unkept(workspace),
        ),
    ]
}

/// Formatting, lints and the documentation's build of what runs on the developer's own computer.
pub(crate) fn style(workspace: &Workspace, _depth: Depth) -> Vec<Case> {
    let mut formatting = cargo(workspace, "fmt");
    formatting.args(["--all", "--check"]);
    let mut lints = cargo(workspace, "clippy");
    lints.args(["--quiet", "--workspace", "--all-targets"]);
    lints.args(["--", "-D", "warnings"]);
    let mut documentation = cargo(workspace, "doc");
    documentation.args(["--quiet", "--workspace", "--no-deps"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    vec![
        with_component(workspace, "formatting", "rustfmt", &mut formatting),
        with_component(workspace, "lints", "clippy", &mut lints),
        succeeds("documentation", &mut documentation),
    ]
}

/// Whether a command ends well that belongs to a component of the toolchain; without that it says how to get it.
fn with_component(
    workspace: &Workspace,
    name: &str,
    component: &str,
    command: &mut Command,
) -> Case {
    let tool = component.trim_start_matches("rust");
    if child::output(cargo(workspace, tool).arg("--version")).is_ok() {
        return succeeds(name, command);
    }
    let advice = format!("your Rust has no {component}; run `rustup component add {component}`");
    Case::new(name, Err(advice))
}

/// Whether a command ends well.
fn succeeds(name: &str, command: &mut Command) -> Case {
    match child::output(command) {
        Ok(_) => Case::new(name, Ok(())),
        Err(error) => Case::broken(name, &error),
    }
}

/// Tests that take more than a few seconds each, whose names begin so. A change does without them.
const LONG: [&str; 1] = ["every_call_fails_once"];

/// Everything that `cargo test` runs, test by test.
pub(crate) fn unit(workspace: &Workspace, depth: Depth) -> Vec<Case> {
    let mut command = cargo(workspace, "test");
    command.args(["--workspace", "--no-fail-fast"]);
    command.args(["--color", "never"]);
    if depth == Depth::Change {
        command.arg("--");
        command.args(LONG.iter().flat_map(|name| ["--skip", name]));
    }
    let finished = match child::run(&mut command, None, |_| {}) {
        Ok(finished) => finished,
        Err(error) => return vec![Case::broken("cargo test", &error)],
    };
    let mut cases = parse(&finished.all);
    // A crate that does not compile, or a test program that dies, leaves no line of its own.
    let all_passed = cases.iter().all(Case::passed);
    if !finished.status.success() && all_passed {
        let from = finished.all.find("error").unwrap_or(0);
        cases.push(Case::new(
            "cargo test",
            Err(finished.all[from..].trim_end().to_owned()),
        ));
    }
    cases
}

/// The tests in cargo's output, with what a failed one printed.
fn parse(output: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for line in output.lines() {
        let Some((name, verdict)) = line
            .strip_prefix("test ")
            .and_then(|line| line.rsplit_once(" ... "))
        else {
            continue;
        };
        match verdict.split(' ').next() {
            Some("ok") => cases.push(Case::new(name, Ok(()))),
            Some("FAILED") => cases.push(Case::new(name, Err(said_by(output, name)))),
            _ => {}
        }
    }
    cases
}

fn said_by(output: &str, name: &str) -> String {
    let heading = format!("---- {name} stdout ----\n");
    let text = output.split_once(&heading).map_or("", |(_, text)| text);
    text.split("\n\n").next().unwrap_or_default().to_owned()
}

/// A call of the user's own cargo in the workspace.
pub(crate) fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand).current_dir(workspace.root());
    command
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn tests_are_counted_by_name() {
        let output = "\nrunning 3 tests\ntest a::b ... ok\ntest c - d (line 3) ... FAILED\ntest e ... ignored\n\n\
                      failures:\n\n---- c - d (line 3) stdout ----\nassertion failed\n\n\nfailures:\n";
        let cases = parse(output);
        assert_eq!(cases.len(), 2);
        assert!(cases[0].name == "a::b" && cases[0].passed());
        assert_eq!(
            cases[1].verdict,
            Verdict::Failed("assertion failed".to_owned())
        );
    }
}
