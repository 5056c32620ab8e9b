//! `cargo xtask stress`: threads that create, run and destroy realms at once, and hostile hosts on several PEs.

use std::time::Duration;

use serde_json::{Value, json};
use toolbox::workspace::Workspace;
use toolbox::{Error, Progress, child, progress::Lines};

use crate::screen::Screen;
use crate::verify::host::cargo;

/// What it may take longer than it was told: to end what it is at, on a busy computer.
const GRACE: Duration = Duration::from_secs(300);

/// What one kind of stress came to.
struct Line {
    kind: String,
    realms: u64,
    calls: u64,
    exits: u64,
}

impl Line {
    /// From `stress KIND REALMS CALLS EXITS`.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        let ["stress", kind, realms, calls, exits] = words[..] else {
            return None;
        };
        Some(Self {
            kind: kind.to_owned(),
            realms: realms.parse().ok()?,
            calls: calls.parse().ok()?,
            exits: exits.parse().ok()?,
        })
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "realms": self.realms,
            "calls": self.calls,
            "exits": self.exits,
        })
    }

    /// What it is, for people.
    fn title(&self) -> &str {
        match &*self.kind {
            "lives" => "realms from creation to destruction",
            "hostile" => "hostile hosts",
            other => other,
        }
    }
}

/// Runs both kinds for half of the time each, and prints what was done.
///
/// # Errors
///
/// When something panicked: a monitor, the host's library, or a check of what is left.
pub(crate) fn stress(workspace: &Workspace, seconds: u64, as_json: bool) -> Result<(), Error> {
    let build = |subcommand| {
        let mut command = cargo(workspace, subcommand);
        command.args([
            "--release",
            "--quiet",
            "--package",
            "fuzz",
            "--bin",
            "stress",
        ]);
        command
    };
    Lines.step("building the stress test");
    child::output(&mut build("build"))?;
    let screen = Screen::new("stress", Duration::from_secs(seconds));
    let mut command = build("run");
    command.args(["--", &seconds.to_string()]);
    let limit = Duration::from_secs(seconds) + GRACE;
    let finished = child::run(&mut command, Some(limit), |line| {
        if let Some(line) = Line::read(line) {
            screen.show(&format!("{}: {} calls", line.title(), line.calls));
        }
    })?;
    drop(screen);
    let lines: Vec<_> = finished.stdout.lines().filter_map(Line::read).collect();
    if as_json {
        let kinds: Vec<_> = lines.iter().map(Line::json).collect();
        println!("{}", json!({ "seconds": seconds, "kinds": kinds }));
    } else {
        for line in &lines {
            println!(
                "{:36} {:>9} realms {:>10} calls {:>9} exits: nothing left, nothing broken",
                line.title(),
                line.realms,
                line.calls,
                line.exits
            );
        }
    }
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::new("something broke under stress").with_details(finished.all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let line = Line::read("stress lives 3 400 50").expect("whole");
        assert_eq!((line.realms, line.calls, line.exits), (3, 400, 50));
        assert!(Line::read("stress lives 3 400").is_none());
        assert!(Line::read("stress-seed 77").is_none());
    }
}
