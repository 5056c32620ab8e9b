//! What a person sees while the run goes on.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use toolbox::Progress;

use crate::foreign::{self, lines, printable};

/// Progress on standard error, the guest's console on standard output. Whatever text comes here, a terminal only shows it.
///
/// With JSON asked for, nothing here ever goes to standard output. Clones are the same screen.
#[derive(Clone)]
pub(crate) struct Screen {
    bar: ProgressBar,
    json: bool,
    verbose: bool,
}

impl Screen {
    /// A screen that suits what standard error is.
    pub(crate) fn new(json: bool, verbose: bool) -> Self {
        let bar = if foreign::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar, json, verbose }
    }

    /// A line that a vCPU printed.
    pub(crate) fn console(&self, vcpu: usize, text: &str) {
        let line = format!("[vcpu {vcpu}] {}", printable(text));
        if !self.json {
            self.out(&line);
        } else if self.verbose {
            self.err(&line);
        }
    }

    /// A line of firmware, host or emulator: only somebody who debugs wants it.
    pub(crate) fn text(&self, text: &str) {
        if self.verbose {
            self.err(&printable(text));
        }
    }

    /// Lines for standard error, whatever was asked for.
    pub(crate) fn err(&self, line: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(foreign::stderr(), "{}", lines(line));
        });
    }

    /// Lines for standard output. A reader that went away is nobody's failure.
    pub(crate) fn out(&self, text: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(foreign::stdout(), "{}", lines(text));
        });
    }

    /// Nothing is going on any more.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Screen {
    fn step(&self, what: &str) {
        if self.bar.is_hidden() {
            if !self.json || self.verbose {
                self.err(what);
            }
        } else {
            self.bar.reset_elapsed();
            self.bar.set_message("");
            self.bar.set_prefix(printable(what));
            self.bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    fn note(&self, line: &str) {
        self.err(line);
    }

    fn detail(&self, line: &str) {
        if self.verbose {
            self.err(line);
        } else {
            self.bar.set_message(plain(line.trim()));
        }
    }
}

/// A tool's line without its colours.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += part
            .split_once(|c: char| c.is_ascii_alphabetic())
            .map_or("", |(_, rest)| rest);
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(
            plain("\x1b[1m\x1b[92m   Compiling\x1b[0m core"),
            "   Compiling core"
        );
        assert_eq!(plain("none\x1b[1"), "none");
    }
}
