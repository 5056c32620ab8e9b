//! Records what a program shows on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use toolbox::Error;
use vt100::{Parser, Screen};

/// When so long nothing has been written, what is on the screen is whole.
const QUIET: Duration = Duration::from_millis(60);
/// Frames of a recording are at least so far apart.
const APART: Duration = Duration::from_millis(1500);
/// The program has so long to end after the last act.
const END: Duration = Duration::from_secs(10);

/// Size of a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) columns: u16,
    pub(super) lines: u16,
}

impl Size {
    /// A terminal of this size with nothing on it.
    pub(super) fn terminal(self) -> Parser {
        let some = |count| NonZero::new(count).unwrap_or(NonZero::<u16>::MIN);
        Parser::new(some(self.lines), some(self.columns), 0)
    }
}

/// What was to be seen from some time on.
pub(super) struct Frame {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) screen: Screen,
}

/// What happens during a recording.
pub(super) enum Act {
    /// Keys are pressed.
    Type(&'static str),
    /// Somebody gives a command elsewhere.
    Run(Command),
}

/// Runs a program on a terminal of this size, has things happen so many seconds after its start, and returns
/// what it showed. The last act should make the program end.
///
/// # Errors
///
/// When the terminal or the program cannot be had, an act fails, or the program does not end well.
pub(super) fn record(
    mut command: Command,
    size: Size,
    acts: impl IntoIterator<Item = (u64, Act)>,
) -> Result<Vec<Frame>, Error> {
    let failed = |error| Error::new(format!("no terminal can be made: {error}"));
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(failed)?;
    grantpt(&ours).map_err(failed)?;
    unlockpt(&ours).map_err(failed)?;
    let window = Winsize {
        ws_row: size.lines,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&ours, window).map_err(failed)?;
    let name = ptsname(&ours, Vec::new()).map_err(failed)?;
    let name = name.to_string_lossy();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(&*name)
        .map_err(|error| Error::new(format!("{name}: {error}")))?;
    let io = |error| Error::new(format!("the terminal cannot be used: {error}"));
    command
        .env("TERM", "xterm-256color")
        .stdin(theirs.try_clone().map_err(io)?)
        .stdout(theirs);
    let mut child = command
        .spawn()
        .map_err(|error| Error::new(format!("the program cannot be started: {error}")))?;
    // Its copies of the terminal go with it, so that the terminal hangs up when the program ends.
    drop(command);
    let mut ours = File::from(ours);
    let bytes = listen(ours.try_clone().map_err(io)?);

    let start = Instant::now();
    let mut acts = acts.into_iter().peekable();
    let mut parser = size.terminal();
    let mut frames: Vec<Frame> = Vec::new();
    let mut fresh = false;
    let mut last = start;
    loop {
        match bytes.recv_timeout(QUIET) {
            Ok(some) => {
                parser.process(&some);
                fresh = true;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if fresh => {
                fresh = false;
                frames.push(Frame {
                    at: start.elapsed(),
                    screen: parser.screen().clone(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some((_, act)) = acts.next_if(|(second, _)| start.elapsed().as_secs() >= *second) {
            match act {
                Act::Type(keys) => ours.write_all(keys.as_bytes()).map_err(io)?,
                Act::Run(mut command) => drop(toolbox::child::output(&mut command)?),
            }
            last = Instant::now();
        }
        if toolbox::child::interrupted() || (acts.peek().is_none() && last.elapsed() > END) {
            // Whichever of the two it is, an error follows; a program that has ended need not be ended.
            let _ = child.kill();
        }
    }
    let status = child.wait().map_err(io)?;
    if !status.success() {
        return Err(Error::new(format!("the program ended badly: {status}")));
    }
    // As it ends, the program gives the terminal back as it was.
    frames.retain(|frame| frame.screen.alternate_screen());
    let Some(last) = frames.pop() else {
        return Err(Error::new("the program showed nothing"));
    };
    let mut next = Duration::ZERO;
    frames.retain(|frame| {
        let is_kept = frame.at >= next;
        if is_kept {
            next = frame.at + APART;
        }
        is_kept
    });
    frames.push(last);
    Ok(frames)
}

/// What arrives on a terminal, until nobody is at its other end any more.
fn listen(mut from: File) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
