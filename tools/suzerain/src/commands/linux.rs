//! `suzerain run --kernel`: a Linux as a realm, with a person at its console, or with a command to run.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use realm_vmm::report::Phase;
use toolbox::Progress;

use super::conclude;
use super::run::{begin, verdict};
use crate::blueprint::Blueprint;
use crate::failure::Failure;
use crate::foreign::{Mode, Printer, printable};
use crate::network::Doors;
use crate::options::Options;
use crate::prepare::Parts;
use crate::qemu::Shape;
use crate::random::CHALLENGE;
use crate::screen::Screen;
use crate::session::boot::Booted;
use crate::session::{Session, Sink};
use crate::source::{self, ERRORS, KERNEL, OUTPUT, STATUS};
use crate::summary::{Attested, Durations, Exec, Summary};
use crate::terminal::{self, Raw, Typed};
use crate::watch::Observed;

/// With `--json`, so much of each of a command's outputs is kept.
const MOST: usize = 64 << 20;
/// Lines of the kernel's log that explain an early end.
const LINES: usize = 20;
/// A realm that is told to stop has this long.
const STOP: Duration = Duration::from_secs(20);

/// Runs a Linux to its end and returns the exit code.
pub(super) fn run(options: &Options) -> u8 {
    let started = Instant::now();
    let screen = Screen::new(options.json, options.verbose);
    let mut durations = Durations::default();
    let mut seen = Seen::default();
    let result = begin(options, &mut durations, &screen)
        .and_then(|(parts, blueprint)| on_machine(options, &parts, blueprint, &screen, &mut seen));
    screen.clear();
    durations.total = started.elapsed();
    let observed = seen.machine.map(|machine| {
        let duration = machine.elapsed();
        Observed::new(seen.phases, seen.report, duration)
    });
    let failure = result.as_ref().err();
    let exec = seen.output.filter(|_| options.realm.exec.is_some());
    let exec = exec.map(|output| output.exec());
    let attested = seen.rim.map(|rim| Attested {
        rim,
        challenge: None,
        token: None,
    });
    let summary = Summary::new(
        options,
        observed.as_ref(),
        &durations,
        failure,
        attested,
        exec,
    );
    if options.json {
        screen.out(&summary.json());
    } else if options.realm.exec.is_none() && observed.is_some() {
        screen.out(&summary.tables());
    }
    match result {
        Ok(status) => status,
        Err(failure) => conclude(Err(failure), &screen),
    }
}

/// What was seen of a run, as far as it went.
#[derive(Default)]
struct Seen {
    machine: Option<Instant>,
    phases: Vec<(Phase, Duration)>,
    report: Option<realm_vmm::report::Report>,
    output: Option<Output>,
    /// The measurement that was computed, once the host has said the same.
    rim: Option<String>,
}

impl Seen {
    fn reached(&mut self, phase: Phase) {
        let elapsed = self.machine.map(|machine| machine.elapsed());
        self.phases.push((phase, elapsed.unwrap_or_default()));
    }
}

fn on_machine(
    options: &Options,
    parts: &Parts,
    blueprint: Blueprint,
    screen: &Screen,
    seen: &mut Seen,
) -> Result<u8, Failure> {
    let expected = blueprint.rim()?;
    // Nobody should wait for a machine to hear that a port is taken.
    let plan = options.realm.network();
    let doors = plan.map(|plan| plan.open()).transpose()?;
    let shape = Shape {
        cpus: options.cpus(),
        memory: options.host_memory(),
    };
    let started = Instant::now();
    seen.machine = Some(started);
    let mut booted = Booted::new(parts, shape, options.page_size.bytes(), screen)?;
    seen.reached(Phase::Booted);
    let session = booted.session.clone();
    session.set_deadline(options.limit().map(|limit| {
        let why = format!("nothing came of it within {} s", limit.as_secs());
        (started + limit, why)
    }));
    let wanted = (blueprint, expected, doors);
    let result = realm(options, &session, wanted, screen, seen);
    let status = result.map_err(|failure| booted.explain(failure))?;
    screen.step("powering off");
    booted.shutdown()?;
    verdict(options, seen.report.as_ref())?;
    Ok(status)
}

/// Makes the realm, runs it, takes it apart.
fn realm(
    options: &Options,
    session: &Session,
    (blueprint, expected, doors): (Blueprint, String, Option<Doors>),
    screen: &Screen,
    seen: &mut Seen,
) -> Result<u8, Failure> {
    screen.step("loading the realm");
    let limit = options.host_limit().map_or(0, |limit| limit.as_millis());
    let spec = blueprint.spec(u64::try_from(limit).unwrap_or(u64::MAX), [0; CHALLENGE]);
    let realm = session.create(options.realm.name(), spec)?;
    let total = blueprint.length().max(1);
    session.upload(realm, &blueprint.contents, &mut |over| {
        screen.detail(&format!("{} %", over * 100 / total));
    })?;
    source::check_rim(&expected, &session.activate(realm)?)?;
    seen.rim = Some(expected);
    for (index, disk) in blueprint.disks.into_iter().enumerate() {
        session.add_disk(realm, u8::try_from(index).unwrap_or(u8::MAX), disk);
    }
    let has_network = doors.is_some();
    if let Some(doors) = doors {
        session.add_network(realm, doors)?;
    }
    seen.reached(Phase::Created);
    let stopped = match options.realm.exec {
        Some(_) => {
            screen.step("running the command");
            let output = Output::connect(session, realm, options, screen);
            seen.output = Some(output);
            session.start(realm)?;
            seen.reached(Phase::Running);
            session.wait_stopped(realm)
        }
        None => {
            seen.reached(Phase::Running);
            sit_at(session, realm, options, screen)
        }
    };
    let stopped = stopped.map_err(|failure| with_log(failure, session, realm, options))?;
    let failure = Failure::of_report(stopped.outcome, stopped.error.as_deref());
    let status = session.consoles().all(realm, STATUS);
    let log = failure.map(|failure| with_log(failure, session, realm, options));
    let silent = with_log(
        Failure::realm("the realm ended before the command had an exit status"),
        session,
        realm,
        options,
    );
    if has_network && !session.is_network_used(realm) {
        screen.err(
            "warning: the realm has sent nothing to its network; its kernel needs CONFIG_VIRTIO_NET, and eth0 an address (DHCP, or \
             10.0.2.15/24)",
        );
    }
    let report = session.remove(realm);
    seen.reached(Phase::Destroyed);
    seen.report = Some(report?);
    if let Some(failure) = log {
        return Err(failure);
    }
    let Some(output) = &mut seen.output else {
        return Ok(0);
    };
    output.status = exit_status(&status);
    output.complete()?;
    output.status.ok_or(silent)
}

/// Lets a person sit at the console until the realm has stopped.
fn sit_at(
    session: &Session,
    realm: u32,
    options: &Options,
    screen: &Screen,
) -> Result<crate::session::Stopped, Failure> {
    // With --json, standard output is for the object.
    let mut printer = match options.json {
        true => Printer::stderr(Mode::Console),
        false => Printer::stdout(Mode::Console),
    };
    // A reader that went away is nobody's failure.
    let show: Sink = Box::new(move |bytes| drop(printer.print(bytes)));
    session.consoles().set_sink(realm, KERNEL, show);
    screen.clear();
    let raw = Raw::take();
    if raw.is_some() {
        screen.err("Ctrl-] q ends the realm\r");
    }
    session.start(realm)?;
    let typist = session.clone();
    let typed = terminal::typed(true);
    thread::spawn(move || {
        for typed in typed {
            let sent = match typed {
                Typed::Bytes(bytes) => typist.input(realm, KERNEL, &bytes),
                Typed::Leave => {
                    let why = "the realm does not stop".to_owned();
                    typist.set_deadline(Some((Instant::now() + STOP, why)));
                    typist.stop(realm)
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let stopped = session.wait_stopped(realm);
    drop(raw);
    stopped
}

/// Adds the end of the kernel's log to a failure, if nobody has seen it.
fn with_log(failure: Failure, session: &Session, realm: u32, options: &Options) -> Failure {
    if options.realm.exec.is_none() || options.verbose {
        return failure;
    }
    let lines = session.consoles().tail(realm, KERNEL, LINES);
    if lines.is_empty() {
        return failure.with_context(" (it printed nothing)");
    }
    let heading = "the last lines of the realm's console:\n  ".to_owned();
    failure.with_details(heading + &lines.join("\n  "))
}

/// The decimal digits that the realm wrote last.
fn exit_status(bytes: &[u8]) -> Option<u8> {
    str::from_utf8(bytes)
        .ok()?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

/// What a command prints.
#[derive(Default)]
struct Output {
    stdout: Kept,
    stderr: Kept,
    status: Option<u8>,
}

type Kept = Arc<Mutex<Vec<u8>>>;

impl Output {
    /// Has everything that the realm's consoles bring go where it belongs.
    fn connect(session: &Session, realm: u32, options: &Options, screen: &Screen) -> Self {
        let output = Self::default();
        let consoles = session.consoles();
        let sink = |kept: &Kept, mut show: Sink| -> Sink {
            let kept = kept.clone();
            match options.json {
                // Somewhat more than the most, to tell that there was more.
                true => Box::new(move |bytes| {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = (MOST + 1).saturating_sub(kept.len()).min(bytes.len());
                    kept.extend_from_slice(&bytes[..room]);
                }),
                false => Box::new(move |bytes| show(bytes)),
            }
        };
        let show = |mut printer: Printer| -> Sink {
            let clear = screen.clone();
            Box::new(move |bytes| {
                clear.clear();
                // A reader that went away is nobody's failure.
                let _ = printer.print(bytes);
            })
        };
        let stdout = show(Printer::stdout(Mode::Lines));
        let stderr = show(Printer::stderr(Mode::Lines));
        consoles.set_sink(realm, OUTPUT, sink(&output.stdout, stdout));
        consoles.set_sink(realm, ERRORS, sink(&output.stderr, stderr));
        if options.verbose {
            let (mut line, screen) = (Vec::new(), screen.clone());
            let log: Sink = Box::new(move |bytes| {
                for &byte in bytes {
                    if byte == b'\n' {
                        let text = String::from_utf8_lossy(&line);
                        screen.err(&printable(text.trim_end()));
                        line.clear();
                    } else {
                        line.push(byte);
                    }
                }
            });
            consoles.set_sink(realm, KERNEL, log);
        }
        output
    }

    /// Refuses to report a part of what there was.
    fn complete(&self) -> Result<(), Failure> {
        let length = |kept: &Kept| kept.lock().unwrap_or_else(PoisonError::into_inner).len();
        if length(&self.stdout).max(length(&self.stderr)) > MOST {
            return Err(Failure::input(
                "the command prints more than fits into a JSON object (64M); run it without --json",
            ));
        }
        Ok(())
    }

    fn exec(&self) -> Exec {
        let text = |kept: &Kept| {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&kept).into_owned()
        };
        Exec {
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            status: self.status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_a_number_of_eight_bits() {
        assert_eq!(exit_status(b"0\n"), Some(0));
        assert_eq!(exit_status(b"\r\n137\r\n"), Some(137));
        for nothing in [&b""[..], b"\n", b"256\n", b"x\n", b"\xff1\n"] {
            assert_eq!(exit_status(nothing), None);
        }
    }
}
