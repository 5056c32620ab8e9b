//! A bar for work that takes a known time: on a terminal; elsewhere a line now and then.

use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const SELDOM: Duration = Duration::from_secs(60);

/// Shows how far work is that ends after some time.
pub(crate) struct Screen {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    last: Cell<Instant>,
}

impl Screen {
    /// Work begins that takes this long.
    pub(crate) fn new(name: &str, time: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:14} [{bar:30}] {pos}/{len} s  {msg}");
            let bar = ProgressBar::new(time.as_secs());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(name.to_owned());
            bar
        });
        if bar.is_none() {
            eprintln!("{name} ({} s) ...", time.as_secs());
        }
        Self {
            name: name.to_owned(),
            bar,
            started: Instant::now(),
            last: Cell::new(Instant::now()),
        }
    }

    /// What it has come to.
    pub(crate) fn show(&self, message: &str) {
        let seconds = self.started.elapsed().as_secs();
        if let Some(bar) = &self.bar {
            bar.set_position(seconds);
            bar.set_message(message.to_owned());
        } else if self.last.get().elapsed() >= SELDOM {
            self.last.set(Instant::now());
            eprintln!("{}, {seconds} s: {message}", self.name);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
