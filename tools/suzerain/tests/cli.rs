//! The command as a user starts it, with an emulator that is a script.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PHASES: &str = r#"
printf 'root-monitor: 4 CPUs\n'
printf '\036{"type":"phase","name":"booted","ticks":1,"frequency":1000}\n'
printf '\036{"type":"phase","name":"created","ticks":2,"frequency":1000}\n'
printf '\036{"type":"phase","name":"running","ticks":2,"frequency":1000}\n'
printf '\036{"type":"console","vcpu":0,"text":"hello \\u001b[2J"}\n'
"#;

/// What the realm of the image measures, as `suzerain measure` says.
const RIM: &str = "eeeade510499722316de1ab5bff6da96a2dcb027f5a157e58ae099703593c468";

/// A report of one REC with the given outcome and number of granules returned of 9.
fn report(outcome: &str, returned: u32) -> String {
    let rec =
        r#"{"index":0,"mpidr":0,"state":"off","aux_granules":0,"entries":3,"exits":{"psci":3}}"#;
    let granules = format!(r#"{{"delegated":9,"returned":{returned},"quarantined":0}}"#);
    let head = format!(r#""type":"report","outcome":"{outcome}","error":"why not","rim":"{RIM}""#);
    format!("printf '%b%s\\n' '\\036' '{{{head},\"recs\":[{rec}],\"granules\":{granules}}}'\n")
}

struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A folder with images of nonsense and an emulator that does `script` once it is started for a run.
    fn new(script: &str) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["firmware", "hypervisor", "image"] {
            fs::write(bench.path(name), "content").unwrap();
        }
        fs::write(bench.path("empty"), "").unwrap();
        bench.emulator("10.0.2", script);
        bench
    }

    fn emulator(&self, version: &str, script: &str) {
        let pid = self.path("pid");
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             --version) echo \"QEMU emulator version {version}\"; exit 0;;\n\
             *' -S '*) [ -e '{no_rme}' ] && {{ echo \"Property 'max-arm-cpu.x-rme' not found\" >&2; exit 1; }}; exit 0;;\n\
             esac\necho $$ >'{pid}'\necho \"$*\" >'{arguments}'\n{script}\n",
            no_rme = self.path("no-rme").display(),
            pid = pid.display(),
            arguments = self.path("arguments").display(),
        );
        let path = self.path("qemu");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_suzerain"));
        command.arg("run").env("SUZERAIN_QEMU", self.path("qemu"));
        let path = |name: &str| self.path(name).to_string_lossy().into_owned();
        let defaults = [
            ("--vcpus", "1".to_owned()),
            ("--timeout", "60".to_owned()),
            ("--firmware", path("firmware")),
            ("--hypervisor", path("hypervisor")),
            ("--raw", path("image")),
        ];
        for (name, value) in defaults
            .iter()
            .filter(|(name, _)| !arguments.contains(name))
        {
            command.args([name, value.as_str()]);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The emulator of the run before has ended.
    fn assert_nothing_left(&self) {
        let pid = fs::read_to_string(self.path("pid")).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        let end = Instant::now() + Duration::from_secs(10);
        while process.exists() && !is_zombie(&process) {
            assert!(
                Instant::now() < end,
                "process {} is left behind",
                pid.trim()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_zombie(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one line of the error, of which there must be exactly one.
fn error_line(output: &Output) -> String {
    let text = stderr(output);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_good_run_shows_console_and_tables() {
    let bench = Bench::new(&format!("{PHASES}{}", report("ok", 9)));
    let output = bench.run(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in ["[vcpu 0] hello \\u{1b}[2J", RIM, "psci 3", "in quarantine"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let arguments = fs::read_to_string(bench.path("arguments")).unwrap();
    for part in [
        "secure=on",
        "x-rme=on",
        "-nodefaults",
        "its=off",
        "fw_cfg.dma_enabled=off",
        "-smp 1",
        "-m 1024M",
        "addr=0x60000000",
        "addr=0x64000000",
    ] {
        assert!(arguments.contains(part), "{part} is not in: {arguments}");
    }
}

#[test]
fn json_is_all_there_is_on_standard_output() {
    let bench = Bench::new(&format!("{PHASES}{}", report("ok", 9)));
    let output = bench.run(&["--json", "--name", "web"]);
    let object = json(&output);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(object["name"], "web");
    assert_eq!(
        (object["outcome"].as_str(), object["machine"].as_str()),
        (Some("ok"), Some("qemu"))
    );
    assert_eq!(object["rim"], RIM);
    assert_eq!(object["recs"][0]["exits"]["psci"], 3);
    assert_eq!(
        object["granules"]["delegated"],
        object["granules"]["returned"]
    );
    assert!(object["seconds"]["boot"].is_number() && object["seconds"]["total"].is_number());
    assert_eq!(object.get("error"), None);
}

#[test]
fn failures_have_their_exit_code_and_reason() {
    for (script, outcome, code, why) in [
        (
            format!("{PHASES}{}", report("guest-failed", 9)),
            "guest-failed",
            1,
            "why not",
        ),
        (
            format!("{PHASES}{}", report("timeout", 9)),
            "timeout",
            5,
            "--timeout",
        ),
        (
            format!("{PHASES}{}", report("error", 9)),
            "error",
            4,
            "why not",
        ),
        (
            format!("{PHASES}{}", report("ok", 8)),
            "error",
            4,
            "8 of them",
        ),
        (
            format!("{PHASES}echo broken >&2; exit 7"),
            "error",
            4,
            "broken",
        ),
        (
            "exit 1".to_owned(),
            "error",
            4,
            "before the firmware said anything",
        ),
        ("kill -9 $$".to_owned(), "error", 4, "signal: 9"),
    ] {
        let bench = Bench::new(&script);
        let output = bench.run(&["--json"]);
        let object = json(&output);
        assert_eq!(object["outcome"], outcome);
        assert_eq!(output.status.code(), Some(code), "{object}");
        assert!(error_line(&output).contains(why), "{}", error_line(&output));
        assert!(object["error"].as_str().unwrap().contains(why), "{object}");
    }
}

#[test]
fn a_machine_that_hangs_is_ended() {
    for script in [
        "exec sleep 600".to_owned(),
        format!("{PHASES}exec sleep 600"),
    ] {
        let bench = Bench::new(&script);
        let output = bench.run(&["--json", "--verbose", "--timeout", "1"]);
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
        assert_eq!(json(&output)["outcome"], "timeout");
        bench.assert_nothing_left();
    }
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let bench = Bench::new("exec sleep 600");
        let mut child = bench
            .command(&[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while !bench.path("arguments").exists() {
            assert!(Instant::now() < end, "the emulator was not started");
            thread::sleep(Duration::from_millis(20));
        }
        assert!(
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let status = child.wait().unwrap();
        assert!(!status.success());
        if signal != "-KILL" {
            assert_eq!(status.code(), Some(130));
        }
        bench.assert_nothing_left();
    }
}

#[test]
fn bad_input_is_one_line_that_says_what_to_do() {
    let bench = Bench::new("exit 0");
    let missing = bench.path("nothing");
    let (missing, empty) = (missing.to_str().unwrap(), bench.path("empty"));
    for (arguments, why) in [
        (["--raw", missing], "exists"),
        (["--raw", empty.to_str().unwrap()], "empty"),
        (["--firmware", missing], "exists"),
        (["--hypervisor", empty.to_str().unwrap()], "empty"),
        (["--memory", "64G"], "at most"),
        (["--memory", "1001"], "multiple"),
        (["--vcpus", "0"], "1 to"),
        (["--vcpus", "100000"], "1 to"),
        (["--vcpus", "many"], "--vcpus"),
        (["--name", "12"], "no name of a realm"),
        (["--cpus", "99"], "1 to 8"),
        (["--host-memory", "1T"], "not a size"),
        (["--page-size", "5k"], "16k"),
    ] {
        let output = bench.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = stderr(&output);
        assert!(
            error_line(&output).contains(why) || text.contains(why),
            "{text}"
        );
        assert!(output.stdout.is_empty());
        assert!(
            !bench.path("pid").exists(),
            "no machine may be started for {arguments:?}"
        );
    }
}

#[test]
fn unfit_emulators_are_named() {
    let bench = Bench::new("exit 0");
    let failed = |why: &str| {
        let output = bench.run(&[]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let line = error_line(&output);
        assert!(
            line.contains(why) && line.contains("SUZERAIN_QEMU"),
            "{line}"
        );
    };
    bench.emulator("8.2.0", "exit 0");
    failed("too old");
    bench.emulator("9.0.0", "exit 0");
    fs::write(bench.path("no-rme"), "").unwrap();
    failed("no Realm Management Extension");
    fs::remove_file(bench.path("qemu")).unwrap();
    failed("cannot start");
}
