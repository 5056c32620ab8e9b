//! Every way out of the tool, with somebody hostile at the other end: a terminal is shown text, and obeys none of it.
//!
//! The process that keeps a machine is a thread here, which passes on what a hostile hypervisor would say; standard output is a
//! terminal.
#![cfg(target_os = "linux")]

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use realm_vmm::control::{FrameReader, Kind, frame};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Clears the screen, writes to the clipboard, turns the order of letters, and forges a line.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}1;1H\u{1b}]52;c;eA==\u{7}\u{202e}\u{7f}\r\nerror: forged";

/// What the hypervisor says of its realm.
fn status() -> Value {
    json!({
        "realm": 1, "name": HOSTILE, "state": "stopped", "vcpus": 1, "memory": u64::MAX, "age_us": u64::MAX, "run_us": u64::MAX,
        "entries": u64::MAX, "exits": {HOSTILE: u64::MAX, "irq": u64::MAX}, "granules": {HOSTILE: u64::MAX, "rd": u64::MAX},
        "outcome": "error", "error": HOSTILE
    })
}

fn listing() -> Value {
    json!({
        "answer": "realms", "realms": [status()], "pes": u32::MAX, "free": u64::MAX,
        "granules": {"delegated": u64::MAX, "returned": 0, "quarantined": u64::MAX}
    })
}

fn details() -> Value {
    json!({"answer": "realm", "details": {
        "status": status(), "rim": HOSTILE, "token": HOSTILE,
        "spec": {"vcpus": 1, "memory": u64::MAX, "entry": u64::MAX, "arguments": [0, 0, 0, 0, 0, 0, 0, 0],
                 "devices": [{"device": "console"}]},
        "recs": [{"index": 0, "mpidr": u64::MAX, "state": HOSTILE, "aux_granules": u64::MAX, "entries": u64::MAX,
                  "exits": {HOSTILE: u64::MAX}}],
        "map": [{"base": u64::MAX, "top": 0, "ripas": HOSTILE, "present": u64::MAX}],
        "faults": [{"device": u32::MAX, "fault": HOSTILE, "stopped": true}]
    }})
}

/// Answers as the process that keeps a machine would.
fn keep(mut stream: UnixStream) {
    let mut frames = FrameReader::default();
    let mut bytes = [0; 4096];
    loop {
        while let Some(frame) = frames.take().unwrap() {
            if frame.kind != Kind::Request {
                continue;
            }
            let ask: Value = serde_json::from_slice(&frame.payload).unwrap();
            let answer = |answer| json!({"ok": {"said": "answer", "answer": answer}});
            let reply = match (ask["ask"].as_str(), ask["call"]["request"].as_str()) {
                (_, Some("list")) => answer(listing()),
                (_, Some("inspect")) => answer(details()),
                (Some("console"), _) => {
                    send(&mut stream, Kind::Console, HOSTILE.as_bytes());
                    json!({"ok": {"said": "ended", "outcome": "error", "error": HOSTILE}})
                }
                (Some("drawn"), _) => {
                    json!({"ok": {"said": "drawn", "challenge": "00", "rim": "00"}})
                }
                _ => json!({"failed": {"code": 4, "message": HOSTILE, "details": HOSTILE}}),
            };
            send(&mut stream, Kind::Reply, reply.to_string().as_bytes());
        }
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(read) => frames.push(&bytes[..read]),
        }
    }
}

fn send(stream: &mut UnixStream, kind: Kind, payload: &[u8]) {
    let mut bytes = Vec::new();
    frame::write(kind, 1, 0, payload, &mut bytes).expect("it is short enough");
    // The command may have gone.
    let _ = stream.write_all(&bytes);
}

/// A folder for sockets, with somebody who listens there.
fn machine() -> TempDir {
    let runtime = tempfile::tempdir().unwrap();
    let folder = runtime.path().join("suzerain");
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let listener = UnixListener::bind(folder.join("default.socket")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || keep(stream.unwrap()));
        }
    });
    runtime
}

/// What the tool writes to a terminal, and to standard error.
fn shown(runtime: &Path, arguments: &[&str]) -> (String, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_suzerain"))
        .args(arguments)
        .env("XDG_RUNTIME_DIR", runtime)
        .env("SUZERAIN_QEMU", runtime.join("qemu"))
        .env_remove("SUZERAIN_IDENTITY_SEED")
        .stdin(Stdio::null())
        .stdout(slave)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut master = File::from(master);
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        // It ends with an error once nobody has the other end open.
        let _ = master.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    (
        reader.join().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Nothing in it but text, tabulators and ends of lines, and no line of somebody else's.
fn is_only_text(what: &[&str], text: &str) {
    // Before the end of a line, one is the realm's own and one the terminal's; anywhere else it would be obeyed.
    let mut text = text.to_owned();
    while text.contains("\r\n") {
        text = text.replace("\r\n", "\n");
    }
    for c in text.chars() {
        let obeyed = c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}';
        assert!(!obeyed, "{what:?} shows {c:?}: {text:?}");
    }
}

#[test]
fn nothing_that_a_hypervisor_says_is_obeyed_or_makes_lines() {
    let runtime = machine();
    for arguments in [
        &["ps"][..],
        &["ps", "--json"],
        &["inspect", "1"],
        &["inspect", "1", "--json"],
        &["top", "--once"],
        &["start", "1"],
        &["pause", "1"],
        &["rm", "1"],
        &["rm", "1", "--json"],
        &["attest", "1"],
        &["create", "--name", "realm", "--raw", "/bin/sh"],
        &["up"],
        &["down"],
    ] {
        let (out, err) = shown(runtime.path(), arguments);
        for text in [&out, &err] {
            is_only_text(arguments, text);
        }
        let (start, details) = (
            arguments[0],
            // What explains a failure has lines; that they are the host's, the line after them says.
            err.lines().take_while(|line| !line.starts_with("error: x")),
        );
        let forged = |text: &str| text.lines().any(|line| line.trim_end() == "error: forged");
        let in_details = details.into_iter().any(|line| line == "error: forged");
        assert!(!forged(&out), "{start}: {out}");
        assert!(in_details || !forged(&err), "{start}: {err}");
        assert!(!(out.is_empty() && err.is_empty()), "{start}");
        if arguments.contains(&"--json") && !out.is_empty() {
            let object: Value = serde_json::from_str(&out).unwrap();
            let says_it = object.to_string().contains("forged");
            assert!(says_it, "{object}");
        }
    }
}

#[test]
fn what_a_realm_prints_is_shown_to_a_terminal_and_left_alone_elsewhere() {
    let runtime = machine();
    let (out, err) = shown(runtime.path(), &["logs", "1"]);
    is_only_text(&["logs"], &out);
    is_only_text(&["logs"], &err);
    // A carriage return at the end of a line is the realm's own, the other one the terminal's.
    assert!(
        out.contains("x\\u{1b}[2J\\u{9b}1;1H\\u{1b}]52;c;eA==\\u{7}\\u{202e}\\u{7f}"),
        "{out:?}"
    );
    let piped = Command::new(env!("CARGO_BIN_EXE_suzerain"))
        .args(["logs", "1"])
        .env("XDG_RUNTIME_DIR", runtime.path())
        .output()
        .unwrap();
    assert_eq!(piped.stdout, HOSTILE.as_bytes());
}

/// A run whose machine prints nonsense, forged records among it.
#[test]
fn what_a_machine_says_of_a_run_is_not_obeyed() {
    let runtime = tempfile::tempdir().unwrap();
    let at = |name: &str| runtime.path().join(name).to_string_lossy().into_owned();
    let record = |value: Value| format!("\u{1e}{value}\n");
    let report = json!({
        "type": "report", "outcome": "guest-failed", "error": HOSTILE, "rim": HOSTILE, "token": HOSTILE,
        "recs": [{"index": 0, "mpidr": 0, "state": HOSTILE, "aux_granules": 0, "entries": 0, "exits": {HOSTILE: 1}}],
        "granules": {"delegated": 0, "returned": 0, "quarantined": 0}
    });
    let said = [
        format!("{HOSTILE}\n"),
        record(json!({"type": "console", "vcpu": 0, "text": HOSTILE})),
        record(json!({"type": HOSTILE})),
        record(report),
    ];
    fs::write(at("output"), said.concat()).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n--version) echo 'QEMU emulator version 10.0.2';;\n*' -S '*) ;;\n*) cat '{}'; \
         cat '{}' >&2;;\nesac\n",
        at("output"),
        at("output")
    );
    fs::write(at("qemu"), script).unwrap();
    fs::set_permissions(at("qemu"), Permissions::from_mode(0o755)).unwrap();
    let (firmware, hypervisor, image) = (at("firmware"), at("hypervisor"), at("image"));
    for file in [&firmware, &hypervisor, &image] {
        fs::write(file, "content").unwrap();
    }
    let run = [
        "run",
        "--firmware",
        &firmware,
        "--hypervisor",
        &hypervisor,
        "--raw",
        &image,
    ];
    for more in [
        &[][..],
        &["--verbose"],
        &["--json"],
        &["--json", "--verbose"],
    ] {
        let arguments = [&run[..], more].concat();
        let (out, err) = shown(runtime.path(), &arguments);
        is_only_text(&arguments, &out);
        is_only_text(&arguments, &err);
        assert!(
            err.contains("error: the realm failed: x\\u{1b}[2J"),
            "{err}"
        );
        if more.contains(&"--json") {
            let object: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(object["outcome"], "guest-failed");
        }
    }
}
