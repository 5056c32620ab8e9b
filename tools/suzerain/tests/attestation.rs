//! The token of a realm that ran: shown, kept, verified again, and refused once anything about it is wrong.
//!
//! Realms run on the in-process machine. `suzerain run` starts an emulator that is a script: it hands the launch bundle to the test,
//! and prints whatever the test wants the host in the machine to say.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use machine::{Machine, RunOptions};
use realm_token::sign::instance_id;
use realm_token::verify::Evidence;
use realm_token::{CcaToken, PlatformClaims, Sign1, SoftwareComponent, TOKEN_MAX, development};
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

/// The image of the realm that the tool is told to run.
fn image() -> Vec<u8> {
    (0..10_000_u32).map(|i| (i * 11) as u8).collect()
}

/// Runs a realm of this image, which is given this challenge: its report, and the records before that.
fn realm(image: &[u8], challenge: &[u8; 64]) -> (Report, String) {
    let records = Records::default();
    let (words, _) = challenge.as_chunks();
    let report = Machine::new(machine::Config::default()).run_demo(
        &RunOptions {
            vcpus: 2,
            challenge: std::array::from_fn(|n| u64::from_le_bytes(words[n])),
            ..RunOptions::new(image)
        },
        &records,
    );
    assert_eq!(report.outcome, Outcome::Ok, "{:?}", report.error);
    let records = records.0.into_inner().unwrap();
    let lines = records.split_inclusive('\n');
    let before = lines.filter(|line| !line.contains("\"type\":\"report\""));
    (report, before.collect())
}

/// What the host in the machine says, given the challenge that it was handed.
type Host = Box<dyn FnOnce(&[u8; 64]) -> (Report, String) + Send>;

/// A host that does what it is told, and changes its report afterwards.
fn host(change: impl FnOnce(&mut Report) + Send + 'static) -> Host {
    Box::new(|challenge| {
        let (mut report, records) = realm(&image(), challenge);
        change(&mut report);
        (report, records)
    })
}

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// The tool, with the identity of the seed in the environment.
    fn command(&self, seed: Option<&str>, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_suzerain"));
        command
            .args(arguments)
            .env("SUZERAIN_QEMU", self.path("qemu"))
            .env("SUZERAIN_IDENTITY_SEED", seed.unwrap_or_default())
            .stdin(Stdio::null());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Exit code, standard output, standard error.
    fn suzerain(&self, arguments: &[&str]) -> (i32, String, String) {
        self.command(None, arguments)
    }

    /// What becomes of `suzerain run` on a machine with this host.
    fn run(&self, host: Host, seed: Option<&str>, more: &[&str]) -> (i32, String, String) {
        let folder = self.0.path().display();
        for left in ["launch", "output"] {
            let _ = fs::remove_file(self.path(left));
        }
        let script = self.file(
            "qemu",
            format!(
                r#"#!/bin/sh
case "$*" in
--version) echo 'QEMU emulator version 10.0.2'; exit;;
*' -S '*) exit;;
esac
for argument; do
    case "$argument" in *file=*/launch*)
        bundle=${{argument#*file=}}
        cp "${{bundle%%,*}}" "{folder}/launch.part" && mv "{folder}/launch.part" "{folder}/launch";;
    esac
done
until [ -f "{folder}/output" ]; do sleep 0.02; done
cat "{folder}/output"
"#
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
            "--raw",
            &image,
        ];
        let (launch, output) = (self.path("launch"), self.path("output"));
        thread::scope(|scope| {
            scope.spawn(move || {
                let bundle = loop {
                    match fs::read(&launch) {
                        Ok(bundle) => break bundle,
                        Err(_) => thread::sleep(Duration::from_millis(20)),
                    }
                };
                // Words 10 to 17 (`cca_abi::launch`).
                let (report, records) = host(bundle[80..144].try_into().unwrap());
                let report = serde_json::to_string(&Event::Report(report)).unwrap();
                let part = output.with_extension("part");
                fs::write(&part, format!("{records}{RECORD_SEPARATOR}{report}\n")).unwrap();
                fs::rename(part, output).unwrap();
            });
            self.command(seed, &[&shape, more].concat())
        })
    }

    /// A run whose token must not be believed, for this reason.
    fn distrusted(&self, host: Host, why: &str) {
        let (code, out, err) = self.run(host, None, &[]);
        assert_eq!(code, 6, "{err}");
        let last = err.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(why), "{err}");
        assert!(!out.contains("attestation: verified"), "{out}");
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
    let (code, out, err) = bench.run(host(|_| {}), None, &[]);
    assert_eq!(code, 0, "{err}");
    let at = out.find("\nattestation: verified\n").unwrap();
    let claims: Vec<_> = out[at..].lines().skip(2).take(3).collect();
    assert!(claims[0].starts_with("  platform  secured (0x3000), RMM "));
    assert!(claims[1].contains("the development identity, which is no secret"));
    let rim = claims[2].strip_prefix("  realm     ").unwrap();
    assert!(
        out.contains(&format!("\nrealm initial measurement {rim}\n")),
        "{out}"
    );
}

/// The host has kept what an earlier run of the very same realm said.
#[test]
fn an_old_report_is_not_verified() {
    let (report, records) = realm(&image(), &[0x5a; 64]);
    let replay: Host = Box::new(|_| (report, records));
    Bench::new().distrusted(
        replay,
        "the token answers another challenge, so it may be an old one: 5a5a5a",
    );
}

/// The host runs the right realm, and another one beside it that gets the challenge.
#[test]
fn a_fresh_token_of_another_realm_is_not_verified() {
    let of_another: Host = Box::new(|challenge| {
        let (other, _) = realm(b"another image", challenge);
        let (mut report, records) = realm(&image(), &[0; 64]);
        report.token = other.token;
        (report, records)
    });
    Bench::new().distrusted(of_another, "the realm measured ");
}

/// A host that says itself that it built something else.
#[test]
fn a_report_of_another_realm_is_refused() {
    let another: Host = Box::new(|challenge| realm(b"another image", challenge));
    Bench::new().distrusted(another, "it built something else than it was given");
}

/// Right in everything, but the platform is another one than that whose firmware the tool built.
#[test]
fn a_genuine_token_of_another_identity_is_not_verified() {
    const SEED: [u8; 32] = [7; 32];
    let bench = Bench::new();
    let genuine = || {
        host(|report| {
            let token = unhex(&report.token.take().unwrap());
            report.token = Some(hex(&of_identity(&token, &SEED)));
        })
    };
    bench.distrusted(
        genuine(),
        "the signature of the platform token does not verify with the platform key given",
    );
    // Who has built that firmware knows its identity.
    let (code, out, err) = bench.run(genuine(), Some(&hex(&SEED)), &[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("\nattestation: verified\n"), "{out}");
    // Who knows the key alone does not know which platform it is of.
    let key = bench.file("key", development::platform_key(&SEED).public_key());
    let (code, out, err) = bench.run(genuine(), None, &["--key", &key]);
    assert_eq!(code, 0, "{err}");
    let said = "\nattestation: NOT CHECKED: instance id, implementation id\n";
    assert!(out.contains(said), "{out}");
}

/// The same realm's token, of a platform with the identity of another seed.
fn of_identity(token: &[u8], seed: &[u8; 32]) -> Vec<u8> {
    let evidence = Evidence::decode(token).unwrap();
    let key = development::platform_key(seed);
    let [component] = &evidence.platform.components[..] else {
        panic!("one component");
    };
    let claims = PlatformClaims {
        challenge: &evidence.platform.challenge,
        implementation_id: evidence.platform.implementation_id,
        instance_id: instance_id(&key.public_key()),
        configuration: &evidence.platform.configuration,
        lifecycle: evidence.platform.lifecycle,
        components: &[SoftwareComponent {
            kind: "RMM",
            measurement: component.measurement[..].try_into().unwrap(),
            version: component.version.as_deref().unwrap(),
            signer_id: [0; 32],
        }],
        verification_service: "offline",
    };
    let mut payload = [0; TOKEN_MAX];
    let len = claims.encode(&mut payload).unwrap();
    let payload = &payload[..len];
    let signature = key.sign(payload);
    let mut platform = [0; TOKEN_MAX];
    let message = Sign1 {
        payload,
        signature: &signature,
    };
    let len = message.encode(&mut platform).unwrap();
    // The realm token comes last: the label and the head of a string, 8 bytes before the head of the payload, and after it the
    // signature with its head.
    let label = [0x19, 0xac, 0xd1];
    let at = token.windows(3).position(|bytes| bytes == label).unwrap();
    let realm = &token[at + 6 + 8 + 3..];
    let (payload, signature) = realm.split_at(realm.len() - 98);
    let joined = CcaToken {
        platform: &platform[..len],
        realm: Sign1 {
            payload,
            signature: signature[2..].try_into().unwrap(),
        },
    };
    let mut token = [0; TOKEN_MAX];
    let len = joined.encode(&mut token).unwrap();
    token[..len].to_vec()
}

#[test]
fn a_run_without_a_token_says_so() {
    let bench = Bench::new();
    let (code, out, err) = bench.run(host(|report| report.token = None), None, &[]);
    assert_eq!(code, 0, "{err}");
    let said = "\nattestation: NOT CHECKED, the realm has handed over no token\n";
    assert!(out.contains(said), "{out}");
    bench.distrusted(
        host(|report| report.token = Some("x".to_owned())),
        "the token in the host's report is not an even number of hexadecimal digits",
    );
    bench.distrusted(
        host(|report| report.token = Some("d9018f".to_owned())),
        "the token cannot be decoded",
    );
}

#[test]
fn the_report_has_the_token_with_every_check_and_what_the_tool_itself_knows() {
    let bench = Bench::new();
    let (code, out, err) = bench.run(host(|_| {}), None, &["--json"]);
    assert_eq!(code, 0, "{err}");
    let object: Value = serde_json::from_str(&out).unwrap();
    let attestation = &object["attestation"];
    assert_eq!(attestation["verified"], true);
    assert_eq!(attestation["verdict"], "verified");
    let checks = attestation["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| &check["name"]).collect();
    assert_eq!(
        names,
        [
            "platform signature",
            "realm signature",
            "binding of the two",
            "life cycle state",
            "instance id",
            "implementation id",
            "challenge",
            "initial measurement"
        ]
    );
    assert!(checks.iter().all(|check| check["result"] == "ok"), "{out}");
    assert_eq!(attestation["not_checked"], Value::Array(Vec::new()));
    assert_eq!(attestation["not_judged"][0], "software components");
    assert_eq!(attestation["realm"]["challenge"], object["challenge"]);
    assert_eq!(attestation["realm"]["initial_measurement"], object["rim"]);
    let image = bench.file("image", image());
    let (code, out, err) = bench.suzerain(&["measure", "--raw", &image, "--json"]);
    assert_eq!(code, 0, "{err}");
    let measured: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(measured["rim"], object["rim"]);

    // Each run has a challenge of its own.
    let (_, out, _) = bench.run(host(|_| {}), None, &["--json"]);
    let again: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(again["rim"], object["rim"]);
    assert_ne!(again["challenge"], object["challenge"]);

    // What a file says of itself is not taken for what the user knows.
    let kept = bench.file("object", object.to_string());
    let (code, out, err) = bench.suzerain(&["attest", &kept]);
    assert_eq!(code, 7, "{err}");
    assert!(
        out.ends_with("\nNOT CHECKED: challenge, initial measurement\n"),
        "{out}"
    );
    let text = |name: &str| object[name].as_str().unwrap();
    let known = ["--challenge", text("challenge"), "--rim", text("rim")];
    let (code, _, err) = bench.suzerain(&[&["attest", &kept], &known[..]].concat());
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_kept_token_verifies_until_something_is_wrong_with_it() {
    let bench = Bench::new();
    let challenge = [0x3c; 64];
    let (report, _) = realm(&image(), &challenge);
    let challenge = hex(&challenge);
    let rim = &report.rim;
    let token = unhex(&report.token.unwrap());
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
