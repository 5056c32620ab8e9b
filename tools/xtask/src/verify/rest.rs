//! What an emulator that should rest uses of the computer.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use toolbox::qemu::listen;

/// How long the threads are watched.
const WATCHED: Duration = Duration::from_secs(5);
/// Units of processor time in a second (USER_HZ, which Linux fixes for its interfaces).
const TICKS: f64 = 100.0;

/// A child that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the emulator, waits until it prints the line `ready`, and returns the name of each of its threads with the part of a
/// core that it uses from then on.
///
/// # Errors
///
/// What it said instead, if the line does not come within `limit`, or why its threads cannot be watched.
pub(super) fn measure(
    mut command: Command,
    ready: &str,
    limit: Duration,
) -> Result<Vec<(String, f64)>, String> {
    command
        .args(["-name", "rest,debug-threads=on"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Ended(command.spawn().map_err(|error| error.to_string())?);
    let output = child.0.stdout.take().ok_or("it has no output")?;
    let errors = child.0.stderr.take().ok_or("it has no errors")?;
    let (sender, lines) = mpsc::channel();
    let other = sender.clone();
    thread::spawn(move || {
        listen(errors, |line| drop(other.send(line.to_owned())));
    });
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let (started, mut said) = (Instant::now(), String::new());
    loop {
        let left = limit.saturating_sub(started.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) if line.trim_end() == ready => break,
            Ok(line) => said = format!("{said}{line}\n"),
            Err(_) => return Err(format!("it does not rest; it said:\n{said}")),
        }
    }
    // What it does at last before it rests.
    thread::sleep(Duration::from_millis(500));
    let (before, from) = (ticks(child.0.id())?, Instant::now());
    thread::sleep(WATCHED);
    let (after, watched) = (ticks(child.0.id())?, from.elapsed().as_secs_f64());
    Ok(after
        .into_iter()
        .map(|(id, name, ticks)| {
            let earlier = before.iter().find(|thread| thread.0 == id);
            let used = ticks - earlier.map_or(0.0, |thread| thread.2);
            (name, used / TICKS / watched)
        })
        .collect())
}

/// Identifier, name and ticks of each thread of a process (proc(5)).
fn ticks(process: u32) -> Result<Vec<(String, String, f64)>, String> {
    let folder = format!("/proc/{process}/task");
    let threads = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let of = |path: std::path::PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        let (id, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        // From the third field on; the 14th and 15th are the time in user and in system mode.
        let mut times = rest.split(' ').skip(11).map(|field| field.parse::<f64>());
        let sum = times.next()?.ok()? + times.next()?.ok()?;
        Some((id.to_owned(), name.to_owned(), sum))
    };
    Ok(threads
        .flatten()
        .filter_map(|thread| of(thread.path()))
        .collect())
}
