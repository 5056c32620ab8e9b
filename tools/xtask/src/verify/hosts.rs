//! `suzerain host`: hosts of others on the project's firmware.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use toolbox::child::{self, Finished};
use toolbox::images::{HYPERVISOR, REALM_MONITOR};
use toolbox::workspace::Workspace;

use super::runs::program;
use super::{Case, Depth};
use crate::images::PAYLOAD;

/// Gives a host up that the command itself does not end; the first call may have to download a kernel.
const LIMIT: Duration = Duration::from_secs(400);
/// For the machine alone, in seconds.
const TIMEOUT: &str = "240";

/// Debian's Linux, the project's own hypervisor above another RMM, a raw payload, and what is refused.
pub(crate) fn hosts(workspace: &Workspace, depth: Depth) -> Vec<Case> {
    let program = match program(workspace) {
        Ok(program) => program,
        Err(broken) => return vec![broken],
    };
    let image = |name: &str| workspace.images().join(name).to_string_lossy().into_owned();
    let host = |arguments: &[&str], answer: &dyn Fn(&str) -> Option<String>| {
        let mut command = Command::new(&program);
        command.args(["host", "--timeout", TIMEOUT]).args(arguments);
        let finished = child::converse(&mut command, Some(LIMIT), answer);
        finished
            .map_err(|error| format!("{error}: {}", error.details().unwrap_or("it said nothing")))
    };
    let linux = |cpus: u64| {
        let first = format!("linux: {cpus} CPUs, Linux ");
        let typed = |line: &str| {
            let ready = line.trim_end().starts_with(&first);
            ready.then(|| "echo $(nproc) of $(nproc --all); exit\n".to_owned())
        };
        let cpus_text = cpus.to_string();
        let arguments = ["--kernel", "debian", "--cpus", &cpus_text, "--json"];
        host(&arguments, &typed).and_then(|finished| is_whole(&finished, cpus, &first))
    };
    let mut cases = vec![Case::new("Debian's Linux as host with 4 CPUs", linux(4))];
    if depth == Depth::All {
        cases.push(Case::new("Debian's Linux as host with 1 CPU", linux(1)));
    }

    // What the payload looks for in memory is put there by an option of QEMU's.
    let end = "loader,addr=0x63000000,data=0x80000000,data-len=8";
    let payload = image(PAYLOAD.file);
    let arguments = ["--kernel", &payload, "--cpus", "2", "--", "-device", end];
    let result = host(&arguments, &|_| None);
    let result = result.and_then(|finished| says(&finished, &["payload: 2 CPUs"]));
    cases.push(Case::new("a raw payload as host", result));

    let (hypervisor, rmm) = (image(HYPERVISOR.file), image(REALM_MONITOR.file));
    let result = host(&["--kernel", &hypervisor, "--rmm", &rmm], &|_| None);
    let result = result.and_then(|finished| says(&finished, &["demo: done", "\"outcome\":\"ok\""]));
    cases.push(Case::new("a hypervisor above an RMM from a file", result));

    let name = "a host at a terminal, ended with Ctrl-A X";
    cases.push(Case::new(name, at_terminal(workspace, &program)));

    for (name, arguments) in [
        (
            "a kernel that is not there",
            ["--kernel", "/nowhere/Image"].as_slice(),
        ),
        (
            "a command line for a raw payload",
            &["--kernel", &payload, "--append", "x"],
        ),
        (
            "an RMM that is not there",
            &["--kernel", &payload, "--rmm", "/nowhere/rmm"],
        ),
    ] {
        let result = host(arguments, &|_| None).and_then(|finished| match finished.status.code() {
            Some(2) => Ok(()),
            code => Err(format!("{code:?}: {}", finished.all)),
        });
        cases.push(Case::new(format!("refuses {name}"), result));
    }
    cases
}

/// A host that does nothing, with a terminal as its standard input.
fn at_terminal(workspace: &Workspace, program: &Path) -> Result<(), String> {
    // b .
    let code = 0x1400_0000u32.to_le_bytes();
    let payload = workspace.target().join("guests").join("host");
    fs::create_dir_all(workspace.target().join("guests"))
        .and_then(|()| fs::write(&payload, code))
        .map_err(|error| format!("{}: {error}", payload.display()))?;
    let failed = |error| format!("no terminal can be made: {error}");
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(failed)?;
    grantpt(&keyboard).map_err(failed)?;
    unlockpt(&keyboard).map_err(failed)?;
    let name = ptsname(&keyboard, Vec::new()).map_err(failed)?;
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(&*name.to_string_lossy())
        .map_err(|error| format!("{}: {error}", name.to_string_lossy()))?;
    let mut keyboard = File::from(keyboard);
    let mut command = Command::new(program);
    command.args(["host", "--timeout", TIMEOUT, "--kernel"]);
    command.arg(&payload).stdin(terminal);
    let finished = child::watch(&mut command, Some(LIMIT), |line| {
        if line.contains("RMM ready") {
            // If it does not arrive, the machine is ended by its limit, which is a failure.
            let _ = keyboard.write_all(b"\x01x");
        }
    });
    let finished = finished.map_err(|error| error.to_string())?;
    says(&finished, &["Ctrl-A X ends the machine", "RMM ready"])
}

/// A Linux that came up with all CPUs and KVM at EL2, took what was typed, and switched off.
fn is_whole(finished: &Finished, cpus: u64, first: &str) -> Result<(), String> {
    let typed = format!("{cpus} of {cpus}");
    says(finished, &["CPU: All CPU(s) started at EL2", first, &typed])?;
    // The rest of the line depends on what the processor has.
    let kvm = finished
        .all
        .lines()
        .find(|line| line.contains("kvm [1]: ") && line.contains("initialized"));
    kvm.ok_or_else(|| format!("KVM is not initialised: {}", finished.all))?;
    let object: Value = serde_json::from_str(&finished.stdout)
        .map_err(|error| format!("not one JSON object: {error}\n{}", finished.stdout))?;
    let good = object["outcome"] == "ok"
        && object["cpus"] == cpus
        && object["append"] == "console=ttyAMA0"
        && object["seconds"]["machine"].is_number();
    if good {
        Ok(())
    } else {
        Err(format!("the summary is {object}"))
    }
}

fn says(finished: &Finished, parts: &[&str]) -> Result<(), String> {
    let missing = parts.iter().find(|part| !finished.all.contains(**part));
    match missing {
        None if finished.status.success() => Ok(()),
        None => Err(format!("{}: {}", finished.status, finished.all)),
        Some(part) => Err(format!(
            "{part} is missing ({}): {}",
            finished.status, finished.all
        )),
    }
}
