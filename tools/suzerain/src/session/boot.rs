//! A machine with a control channel, from its start to its end.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use toolbox::Progress;

use super::{Hello, Session, lock};
use crate::bundle::Launch;
use crate::failure::Failure;
use crate::foreign::printable;
use crate::options::PageSize;
use crate::prepare::Parts;
use crate::qemu::{self, Process, Shape};
use crate::records::Line;
use crate::screen::Screen;
use crate::watch::Message;

/// Lines of firmware and host that are kept for the case that the machine fails.
const LINES: usize = 12;
/// After `shutdown`, a machine has this long to power off, or to give any granule back.
const POWER_OFF: Duration = Duration::from_secs(30);
/// How often it is asked whether granules came back.
const LOOK: Duration = Duration::from_millis(100);
/// A machine has this long to say hello.
const HELLO: Duration = Duration::from_secs(120);

/// A machine that is up. Dropping it ends it.
pub(crate) struct Booted {
    /// Its control channel.
    pub(crate) session: Session,
    /// What it said of itself.
    pub(crate) hello: Hello,
    process: Box<dyn Ends + Send>,
    lines: Lines,
    listener: Option<JoinHandle<()>>,
}

/// Whoever runs the machine.
trait Ends {
    /// Whether it still does.
    fn runs(&mut self) -> bool;
    /// How it ended; waits a moment for that.
    fn how_it_ended(&mut self) -> String;
}

impl Ends for Process {
    fn runs(&mut self) -> bool {
        Self::runs(self)
    }

    fn how_it_ended(&mut self) -> String {
        Self::how_it_ended(self)
    }
}

/// The thread of the in-process machine, which ends when its channel does.
impl Ends for JoinHandle<()> {
    fn runs(&mut self) -> bool {
        !self.is_finished()
    }

    fn how_it_ended(&mut self) -> String {
        "its threads are gone".to_owned()
    }
}

/// The last lines that firmware, host and emulator have printed.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    fn add(&self, line: String) {
        let mut lines = lock(&self.0);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        lock(&self.0)
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

impl Booted {
    /// Boots a machine of that shape and waits until its host is there.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends, or says nothing.
    pub(crate) fn new(
        parts: &Parts,
        shape: Shape,
        page_size: u64,
        screen: &Screen,
    ) -> Result<Self, Failure> {
        screen.step("booting");
        let Some(emulator) = &parts.qemu else {
            return Err(Failure::machine("no emulator was looked for"));
        };
        let bundle = Launch::control(page_size).encode();
        let (running, reader, writer) =
            qemu::start_with_channel(emulator, shape, parts, &bundle, screen)?;
        let (messages, process) = running.into_parts();
        let lines = Lines::default();
        let listener = {
            let (lines, screen) = (lines.clone(), screen.clone());
            thread::spawn(move || listen(&messages, &lines, &screen))
        };
        let session = Session::new(reader, writer);
        Self::greet(session, Box::new(process), lines, Some(listener))
    }

    /// Starts the in-process machine of that shape, in which realms run the demo guest's program.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(crate) fn model(shape: Shape, page_size: PageSize) -> Result<Self, Failure> {
        let failed =
            |error| Failure::machine(format!("cannot start the in-process machine: {error}"));
        let config = machine::Config {
            pes: shape.cpus as usize,
            dram_bytes: shape.memory,
            page_size: page_size.of_model(),
            time: machine::Time::Real,
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let from = theirs.try_clone().map_err(failed)?;
        let serve = move || {
            let machine = machine::Machine::new(config);
            machine.install_demo();
            machine.serve(from, &theirs);
            // The other half of the channel is still read.
            let _ = theirs.shutdown(Shutdown::Both);
        };
        let thread = thread::Builder::new().name("machine".to_owned());
        let thread = thread.spawn(serve).map_err(failed)?;
        let session = Session::new(ours.try_clone().map_err(failed)?, ours);
        Self::greet(session, Box::new(thread), Lines::default(), None)
    }

    /// Waits until the host at the other end of the channel is there.
    fn greet(
        session: Session,
        process: Box<dyn Ends + Send>,
        lines: Lines,
        listener: Option<JoinHandle<()>>,
    ) -> Result<Self, Failure> {
        let why = format!("the machine says nothing within {} s", HELLO.as_secs());
        session.set_deadline(Some((Instant::now() + HELLO, why)));
        let hello = session.hello();
        session.set_deadline(None);
        let mut booted = Self {
            session,
            hello: Hello::default(),
            process,
            lines,
            listener,
        };
        match hello {
            Ok(hello) => {
                booted.hello = hello;
                Ok(booted)
            }
            Err(failure) => Err(booted.explain(failure)),
        }
    }

    /// Whether the machine still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.runs() && self.session.gone().is_none()
    }

    /// Adds what is known of the machine's end to a failure, if it has ended.
    pub(crate) fn explain(&mut self, failure: Failure) -> Failure {
        if self.session.gone().is_none() || toolbox::child::interrupted() {
            return failure;
        }
        let how = self.process.how_it_ended();
        // All of its own words, if its output is closed.
        if !self.process.runs()
            && let Some(listener) = self.listener.take()
        {
            let _ = listener.join();
        }
        failure
            .with_context(&format!(" ({how})"))
            .with_details(self.lines.text())
    }

    /// Has all realms taken apart and the machine switched off.
    ///
    /// # Errors
    ///
    /// When the host does not answer. The machine is ended in any case.
    pub(crate) fn shutdown(mut self) -> Result<(), Failure> {
        let why = "the host does not switch the machine off".to_owned();
        let allow = |session: &Session| {
            let end = Instant::now() + POWER_OFF;
            session.set_deadline(Some((end, why.clone())));
            end
        };
        let session = &self.session;
        allow(session);
        thread::scope(|scope| {
            let shutdown = scope.spawn(|| session.shutdown());
            let mut held = None;
            while !shutdown.is_finished() {
                thread::sleep(LOOK);
                // It takes its time, as long as granules come back. That the machine is off is for `shutdown` to say.
                let now = session.list().ok().map(|listing| listing.granules.returned);
                if now.is_some() && held != now && !shutdown.is_finished() {
                    held = now;
                    allow(session);
                }
            }
            shutdown
                .join()
                .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        })?;
        let end = allow(session);
        while self.process.runs() && Instant::now() < end && !toolbox::child::interrupted() {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Shows what the machine prints to who wants to see it, and keeps its last lines.
fn listen(messages: &Receiver<Message>, lines: &Lines, screen: &Screen) {
    for message in messages {
        let text = match message {
            Message::Line(Line::Text(text) | Line::Damaged(text)) | Message::Emulator(text) => text,
            Message::Line(Line::Record(record)) => format!("{record:?}"),
            Message::Ended => return,
        };
        screen.text(&text);
        lines.add(printable(&text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_many_are_kept() {
        let lines = Lines::default();
        (0..10_000).for_each(|n| lines.add(n.to_string()));
        assert_eq!(lines.text().lines().count(), LINES);
        assert!(lines.text().ends_with("9999\n"));
    }
}
