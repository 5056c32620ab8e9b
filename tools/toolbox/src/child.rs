//! Child processes whose output is watched, and that never outlive an interrupted parent.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Tells every running [`run`] to end its child. Called from a signal handler's thread.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// True once [`interrupt`] was called.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// How a child ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard output and standard error, line by line as they came.
    pub all: String,
}

/// Runs `command` to its end with nothing on its standard input, gives each line of its output to `on_line`.
///
/// # Errors
///
/// When the program cannot be started, when it does not end within `limit`, or when [`interrupt`] was called; the
/// child and everything that it started is killed then. An exit status that is not zero is not an error here.
pub fn run(
    command: &mut Command,
    limit: Option<Duration>,
    on_line: impl FnMut(&str),
) -> Result<Finished, Error> {
    run_with_input(command, "", limit, on_line)
}

/// Runs `command` to its end with `input` (a line or two) on its standard input, gives each line of its output to
/// `on_line`.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_with_input(
    command: &mut Command,
    input: &str,
    limit: Option<Duration>,
    mut on_line: impl FnMut(&str),
) -> Result<Finished, Error> {
    command.stdin(if input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    follow(command, limit, |line, stdin| match line {
        None => {
            if let Some(mut stdin) = stdin.take() {
                // A child that does not read, or ends before it does, shows in its status.
                let _ = stdin.write_all(input.as_bytes());
            }
        }
        Some(line) => on_line(line),
    })
}

/// Runs `command` to its end and types what `answer` returns for a line of its output. Its standard input stays open.
///
/// # Errors
///
/// As [`run`].
pub fn converse(
    command: &mut Command,
    limit: Option<Duration>,
    mut answer: impl FnMut(&str) -> Option<String>,
) -> Result<Finished, Error> {
    command.stdin(Stdio::piped());
    follow(command, limit, |line, stdin| {
        if let (Some(answer), Some(stdin)) = (line.and_then(&mut answer), stdin) {
            // A child that does not read, or ends before it does, shows in its status.
            let _ = stdin.write_all(answer.as_bytes());
        }
    })
}

/// Runs `command` to its end with the standard input that it was given, gives each line of its output to `on_line`.
///
/// # Errors
///
/// As [`run`].
pub fn watch(
    command: &mut Command,
    limit: Option<Duration>,
    mut on_line: impl FnMut(&str),
) -> Result<Finished, Error> {
    follow(command, limit, |line, _| {
        if let Some(line) = line {
            on_line(line);
        }
    })
}

/// Runs `command`, whose standard input is chosen, to its end. `on_line` sees its start (without a line) and each line
/// of its output, with the standard input if that is a pipe and still open.
fn follow(
    command: &mut Command,
    limit: Option<Duration>,
    mut on_line: impl FnMut(Option<&str>, &mut Option<ChildStdin>),
) -> Result<Finished, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    own_group(command);
    let mut child = command
        .spawn()
        .map_err(|error| Error::new(format!("cannot start {name}: {error}")))?;
    let mut stdin = child.stdin.take();
    on_line(None, &mut stdin);
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, true, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, false, sender);
    }
    let started = Instant::now();
    let (mut stdout, mut all) = (String::new(), String::new());
    let mut take = |(is_stdout, line): (bool, String)| {
        on_line(Some(&line), &mut stdin);
        let kept = if is_stdout { Some(&mut stdout) } else { None };
        for text in kept.into_iter().chain([&mut all]) {
            text.push_str(&line);
            text.push('\n');
        }
    };
    let status = loop {
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => take(line),
            // Both pipes are closed: nothing more to read, only the exit status is missing.
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(5)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if interrupted() {
            kill_group(&mut child);
            return Err(Error::new("interrupted"));
        }
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            kill_group(&mut child);
            return Err(Error::new(format!("{name} did not end in time")).with_details(all));
        }
        if let Some(status) = child
            .try_wait()
            .map_err(|error| Error::new(format!("cannot wait for {name}: {error}")))?
        {
            break status;
        }
    };
    // A grandchild may hold the pipes open for ever: take what is there, do not wait for more than a moment.
    while let Ok(line) = lines.recv_timeout(Duration::from_millis(200)) {
        take(line);
    }
    Ok(Finished {
        status,
        stdout,
        all,
    })
}

/// Runs `command` and returns its standard output if it succeeds; everything that it said is in the error otherwise.
///
/// # Errors
///
/// As [`run`], and when the exit status is not zero.
pub fn output(command: &mut Command) -> Result<String, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let finished = run(command, None, |_| {})?;
    if finished.status.success() {
        Ok(finished.stdout)
    } else {
        Err(Error::new(format!("{name} failed ({})", finished.status)).with_details(finished.all))
    }
}

fn forward(from: impl Read + Send + 'static, is_stdout: bool, to: mpsc::Sender<(bool, String)>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            if to.send((is_stdout, text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Puts the child into a process group of its own, so that it can be ended with everything that it starts.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Asks a child to end, so that it can put things in order first. The caller waits for it.
pub fn terminate(child: &Child) {
    #[cfg(unix)]
    if let Some(pid) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // A child that has ended needs no asking.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = child;
}

fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // The group may be gone already, which is what we want.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    // Both fail only when the child has ended, which is what we want.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_both_pipes_is_kept() {
        let finished = run(
            Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]),
            None,
            |_| {},
        )
        .unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.stdout, "one\n");
        assert!(finished.all.contains("two\n"));
    }

    #[test]
    fn a_child_is_answered_line_by_line() {
        let script = "echo first; read a; echo got $a; read b; echo and $b";
        let finished = converse(
            Command::new("sh").args(["-c", script]),
            None,
            |line| match line {
                "first" => Some("one\n".to_owned()),
                "got one" => Some("two\n".to_owned()),
                _ => None,
            },
        );
        assert_eq!(finished.unwrap().stdout, "first\ngot one\nand two\n");
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        let error = run(
            Command::new("sleep").arg("600"),
            Some(Duration::from_millis(100)),
            |_| {},
        )
        .unwrap_err();
        assert!(error.to_string().contains("did not end in time"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("/nowhere/at-all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at-all"), "{error}");
    }
}
