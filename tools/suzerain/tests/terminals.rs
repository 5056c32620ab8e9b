//! A person at a terminal, at a console or at `top`, and what is left of the terminal when that ends, however it ends.
#![cfg(target_os = "linux")]

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use realm_vmm::control::{FrameReader, Kind, frame};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Turns the colour, hides the cursor, and would write to the clipboard.
const PRINTED: &str = "\u{1b}[31mhello\u{1b}[?25l\u{1b}]52;c;eA==\u{7}";

/// What a machine does when somebody has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    /// It goes on.
    Stays,
    /// It says something that is no frame.
    GoesMad,
    /// It hangs up.
    Leaves,
}

/// Answers as the process that keeps a machine would, until somebody has been shown something.
fn keep(mut stream: UnixStream, machine: Machine) {
    let mut frames = FrameReader::default();
    let mut bytes = [0; 4096];
    let mut lists = 0;
    loop {
        while let Some(frame) = frames.take().unwrap() {
            if frame.kind != Kind::Request {
                continue;
            }
            let ask: Value = serde_json::from_slice(&frame.payload).unwrap();
            let is_console = ask["ask"] == "console";
            lists += usize::from(ask["call"]["request"] == "list");
            if is_console {
                send(&mut stream, Kind::Console, PRINTED.as_bytes());
            }
            if is_console || lists == 3 {
                match machine {
                    Machine::Stays => {}
                    Machine::GoesMad => drop(stream.write_all(&[0xff; 64])),
                    Machine::Leaves => return,
                }
            }
            if !is_console {
                let listing = json!({"ok": {"said": "answer", "answer": {
                    "answer": "realms", "pes": 1, "free": 1,
                    "granules": {"delegated": 0, "returned": 0, "quarantined": 0},
                    "realms": [{
                        "realm": 1, "name": "web\u{1b}]0;title\u{7}", "state": "running", "vcpus": 1, "memory": 4096, "age_us": 0,
                        "run_us": 0, "entries": 0, "exits": {}, "granules": {}
                    }]
                }}});
                send(&mut stream, Kind::Reply, listing.to_string().as_bytes());
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(read) => frames.push(&bytes[..read]),
        }
    }
}

fn send(stream: &mut UnixStream, kind: Kind, payload: &[u8]) {
    let mut bytes = Vec::new();
    frame::write(kind, 1, 0, payload, &mut bytes).unwrap();
    // The command may have gone.
    let _ = stream.write_all(&bytes);
}

/// A person at a terminal of 100 columns.
struct Terminal {
    /// Where the process reads and writes.
    slave: File,
    shown: Arc<Mutex<Vec<u8>>>,
    child: Child,
    _runtime: TempDir,
}

impl Terminal {
    fn new(arguments: &[&str], machine: Machine) -> Self {
        let runtime = tempfile::tempdir().unwrap();
        let folder = runtime.path().join("suzerain");
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("default.socket")).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || keep(stream, machine));
            }
        });
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let mut options = File::options();
        let slave = options.read(true).write(true);
        let slave = slave.open(name.to_str().unwrap()).unwrap();
        let size = Winsize {
            ws_row: 30,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        let again = || slave.try_clone().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_suzerain"))
            .args(arguments)
            .env("XDG_RUNTIME_DIR", runtime.path())
            .env_remove("SUZERAIN_MACHINE")
            .stdin(again())
            .stdout(again())
            .stderr(again())
            .spawn()
            .unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut master, showing) = (File::from(master), shown.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = master.read(&mut bytes) {
                showing.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Self {
            slave,
            shown,
            child,
            _runtime: runtime,
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        !modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}: {:?}", self.shown());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, and looks at what is left.
    fn ends(mut self, what: &str) {
        self.until(what, |terminal| {
            terminal.child.try_wait().unwrap().is_some()
        });
        self.until(what, |terminal| !terminal.is_raw());
        // The last that is said of each.
        for (on, off) in [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h")] {
            self.until(what, |terminal| {
                let shown = terminal.shown();
                shown.rfind(off) > shown.rfind(on)
            });
        }
        let shown = self.shown();
        assert!(!shown.contains("\x1b]"), "{what}: {shown:?}");
    }
}

/// Each command, with the last of what shows that it has the terminal.
const COMMANDS: [(&[&str], &str); 2] = [
    (&["console", "1"], "\x1b[31mhello"),
    (&["top"], "\x1b[?25l"),
];

#[test]
fn a_terminal_is_given_back_however_its_process_is_told_to_end() {
    for (arguments, sign) in COMMANDS {
        for signals in [
            &[Signal::TERM][..],
            &[Signal::HUP],
            &[Signal::INT],
            // At once, as when a computer goes down.
            &[Signal::HUP, Signal::TERM, Signal::INT],
        ] {
            let what = format!("{arguments:?} {signals:?}");
            let mut terminal = Terminal::new(arguments, Machine::Stays);
            terminal.until(&what, |terminal| {
                terminal.is_raw() && terminal.shown().contains(sign)
            });
            for &signal in signals {
                terminal.kill(signal);
                if signals.len() > 1 {
                    // The second one is another signal only when the first was taken.
                    thread::sleep(Duration::from_millis(1));
                }
            }
            terminal.ends(&what);
        }
    }
}

#[test]
fn a_terminal_is_given_back_when_its_machine_goes_mad_or_leaves() {
    for (arguments, _) in COMMANDS {
        for machine in [Machine::GoesMad, Machine::Leaves] {
            let what = format!("{arguments:?} {machine:?}");
            Terminal::new(arguments, machine).ends(&what);
        }
    }
}
