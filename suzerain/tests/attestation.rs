//! The token of a realm that ran: shown, kept, verified again, and refused once anything about it is wrong.
//!
//! The realm runs on the in-process machine. `suzerain run` gets to see its records from an emulator that is a script.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use machine::{Machine, RunOptions};
use realm_token::development;
use realm_vmm::report::RECORD_SEPARATOR;
use realm_vmm::{Console, Event, Outcome, Report};
use serde_json::Value;
use tempfile::TempDir;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// The records of a run, as an emulated machine prints them.
#[derive(Default)]
struct Records(Mutex<String>);

impl Console for Records {
    fn event(&self, event: &Event<'_>) {
        let json = serde_json::to_string(event).unwrap();
        *self.0.lock().unwrap() += &format!("{RECORD_SEPARATOR}{json}\n");
    }
}

/// The image of the realm.
fn image() -> Vec<u8> {
    (0..10_000_u32).map(|i| (i * 11) as u8).collect()
}

/// Runs a realm: its report, and the records before that.
fn run() -> (Report, String) {
    let records = Records::default();
    let image = image();
    let report = Machine::new(machine::Config::default()).run_demo(
        &RunOptions {
            vcpus: 2,
            ..RunOptions::new(&image)
        },
        &records,
    );
    assert_eq!(report.outcome, Outcome::Ok, "{:?}", report.error);
    let records = records.0.into_inner().unwrap();
    let lines = records.split_inclusive('\n');
    let before = lines.filter(|line| !line.contains("\"type\":\"report\""));
    (report, before.collect())
}

struct Bench(TempDir);

impl Bench {
    /// A folder with the realm's image.
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.file("image", image());
        bench
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Exit code, standard output, standard error.
    fn suzerain(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_suzerain"));
        command
            .args(arguments)
            .env("SUZERAIN_QEMU", self.0.path().join("qemu"))
            .env_remove("SUZERAIN_IDENTITY_SEED")
            .stdin(Stdio::null());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// What `suzerain run` says of a machine that prints these records and this report.
    fn show(&self, records: &str, report: &Report, more: &[&str]) -> String {
        let report = serde_json::to_string(&Event::Report(report.clone())).unwrap();
        let output = self.file("output", format!("{records}{RECORD_SEPARATOR}{report}\n"));
        let script = self.file(
            "qemu",
            format!(
                "#!/bin/sh\ncase \"$*\" in\n--version) echo 'QEMU emulator version 10.0.2';;\n*' -S '*) ;;\n*) cat \"{output}\";;\nesac\n"
            ),
        );
        fs::set_permissions(script, Permissions::from_mode(0o755)).unwrap();
        let [firmware, hypervisor] =
            ["firmware", "hypervisor"].map(|name| self.file(name, "content"));
        let image = self.file("image", image());
        let shape = [
            "run",
            "--vcpus",
            "2",
            "--firmware",
            &firmware,
            "--hypervisor",
            &hypervisor,
            "--image",
            &image,
        ];
        let (code, out, err) = self.suzerain(&[&shape, more].concat());
        assert_eq!(code, 0, "{err}");
        out
    }

    /// A token that must be refused for this reason, in one line.
    fn refused(&self, arguments: &[&str], why: &str) {
        let (code, out, err) = self.suzerain(&[&["attest"], arguments].concat());
        assert_eq!(code, 6, "{arguments:?}: {err}");
        let lines: Vec<_> = err.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("error: ") && lines[0].contains(why),
            "{arguments:?}: {err}"
        );
        assert!(!out.contains("\nverified"), "{out}");
    }
}

#[test]
fn a_run_shows_that_its_realm_is_attested_and_what_the_token_says() {
    let bench = Bench::new();
    let (mut report, records) = run();
    let out = bench.show(&records, &report, &[]);
    let rim = &report.rim;
    assert!(
        out.contains(&format!("\nrealm initial measurement {rim}\n")),
        "{out}"
    );
    let at = out.find("\nattestation: verified\n").unwrap();
    let claims: Vec<_> = out[at..].lines().skip(2).take(3).collect();
    assert!(claims[0].starts_with("  platform  secured (0x3000), RMM "));
    assert!(claims[1].contains("the development identity"));
    assert_eq!(claims[2], format!("  realm     {rim}"));

    // A host that says that it built something else.
    let rim = rim.clone();
    let digit = if rim.starts_with('0') { "1" } else { "0" };
    report.rim.replace_range(..1, digit);
    let out = bench.show(&records, &report, &[]);
    let refused = format!("\nattestation: REFUSED, the realm measured {rim}, not {digit}");
    assert!(out.contains(&refused), "{out}");
}

#[test]
fn the_report_has_the_token_with_every_check_and_the_measurement_that_was_said_before() {
    let bench = Bench::new();
    let (report, records) = run();
    let out = bench.show(&records, &report, &["--json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    let attestation = &object["attestation"];
    assert_eq!(attestation["verified"], true);
    let checks = attestation["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| &check["name"]).collect();
    assert_eq!(
        names,
        [
            "platform signature",
            "realm signature",
            "binding of the two",
            "challenge",
            "initial measurement"
        ]
    );
    assert!(checks.iter().all(|check| check["result"] == "ok"), "{out}");
    assert_eq!(attestation["realm"]["challenge"], object["challenge"]);
    assert_eq!(attestation["realm"]["initial_measurement"], object["rim"]);
    let image = bench.file("image", image());
    let (code, out, err) = bench.suzerain(&["measure", "--image", &image, "--json"]);
    assert_eq!(code, 0, "{err}");
    let measured: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(measured["rim"], object["rim"]);
    let kept = bench.file("object", object.to_string());
    let (code, _, err) = bench.suzerain(&["attest", &kept, "--rim", &report.rim]);
    assert_eq!(code, 0, "{err}");

    // Each run has a challenge of its own, and so a token of its own.
    let (again, _) = run();
    assert_eq!(again.rim, report.rim);
    assert_ne!(again.challenge, report.challenge);
    assert_ne!(again.token, report.token);
}

#[test]
fn a_kept_token_verifies_until_something_is_wrong_with_it() {
    let bench = Bench::new();
    let (report, _) = run();
    let rim = &report.rim;
    let token = unhex(&report.token.unwrap());
    let challenge = report.challenge.unwrap();
    let good = bench.file("token", &token);
    let all = [&good, "--challenge", &challenge, "--rim", rim];
    let (code, out, err) = bench.suzerain(&[&["attest"], &all[..]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("\nverified\n"), "{out}");

    bench.refused(
        &[&good, "--challenge", &"5a".repeat(64)],
        "the token answers another challenge",
    );
    let other = development::platform_key(&[1; 32]).public_key();
    let key = bench.file("key", hex(&other));
    bench.refused(
        &[&good, "--key", &key],
        "the signature of the platform token does not verify",
    );
    bench.refused(
        &[&good, "--rim", &"00".repeat(32)],
        &format!("suzerain measure --expect {rim}"),
    );

    // The last byte of a message is one of its signature; the realm token comes last. The measurement is a claim of the
    // realm, the label one of the platform.
    let flip = |name: &str, at: usize| {
        let mut changed = token.clone();
        changed[at] ^= 1;
        bench.file(name, changed)
    };
    let find = |part: &[u8]| {
        token
            .windows(part.len())
            .position(|window| window == part)
            .unwrap()
    };
    for (name, at, why) in [
        (
            "signature",
            token.len() - 1,
            "the signature of the realm token does not verify",
        ),
        (
            "measurement",
            find(&unhex(rim)),
            "the signature of the realm token does not verify",
        ),
        (
            "label",
            find(b"development identity, known seed"),
            "the signature of the platform token does not verify",
        ),
        ("tag", 2, "this is no CCA token: its tag is"),
    ] {
        bench.refused(&[&flip(name, at)], why);
    }
    // `realm-token` does this for every byte; here the tool is started for some.
    for at in (0..token.len()).step_by(token.len() / 16) {
        bench.refused(&[&flip("some", at), "--challenge", &challenge], "the ");
    }
}
