//! `suzerain attest` and `suzerain measure` as a user starts them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use cca_abi::rmi::HashAlgorithm;
use machine::{Machine, PageSize, RunOptions, Time};
use realm_token::sign::{Key, binding, instance_id};
use realm_token::{
    CcaToken, Lifecycle, PlatformClaims, RealmClaims, Sign1, SoftwareComponent, TOKEN_MAX,
    development,
};
use realm_vmm::{Config, Console, Event, Outcome};
use serde_json::Value;
use tempfile::TempDir;

const CHALLENGE: [u8; 64] = [0xc1; 64];
const RIM: [u8; 32] = [0xa7; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token of a realm on a machine with the identity of this seed.
fn token(seed: &[u8; 32]) -> Vec<u8> {
    token_in(seed, Lifecycle::SECURED)
}

/// That of a machine in this state.
fn token_in(seed: &[u8; 32], lifecycle: Lifecycle) -> Vec<u8> {
    let platform_key = development::platform_key(seed);
    let realm_key = Key::from_scalar(&[0x21; 48]).unwrap();
    let claims = PlatformClaims {
        challenge: &binding(&realm_key.public_key()),
        implementation_id: development::IMPLEMENTATION_ID,
        instance_id: instance_id(&platform_key.public_key()),
        configuration: b"public",
        lifecycle,
        components: &[SoftwareComponent {
            kind: "RMM \u{1b}[2J",
            measurement: [8; 32],
            version: "0.1.0",
            signer_id: [9; 32],
        }],
        verification_service: "offline",
    };
    let mut payload = [0; TOKEN_MAX];
    let len = claims.encode(&mut payload).unwrap();
    let mut platform = [0; TOKEN_MAX];
    let message = Sign1 {
        payload: &payload[..len],
        signature: &platform_key.sign(&payload[..len]),
    };
    let platform_len = message.encode(&mut platform).unwrap();
    let mut rim = [0; 64];
    rim[..32].copy_from_slice(&RIM);
    let claims = RealmClaims {
        challenge: CHALLENGE,
        rpv: [0; 64],
        rim,
        rems: [[0; 64]; 4],
        hash_algo: HashAlgorithm::Sha256,
        public_key: realm_key.public_key(),
    };
    let mut payload = [0; TOKEN_MAX];
    let len = claims.encode(&mut payload).unwrap();
    let token = CcaToken {
        platform: &platform[..platform_len],
        realm: Sign1 {
            payload: &payload[..len],
            signature: &realm_key.sign(&payload[..len]),
        },
    };
    let mut whole = [0; TOKEN_MAX];
    let len = token.encode(&mut whole).unwrap();
    whole[..len].to_vec()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }
}

fn suzerain(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suzerain"));
    command
        .args(arguments)
        .env_remove("SUZERAIN_IDENTITY_SEED")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = suzerain(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_good_token_is_verified_and_shown() {
    let folder = Folder::new();
    let file = folder.file("token", token(&development::DEFAULT_SEED));
    let (challenge, rim) = (hex(&CHALLENGE), hex(&RIM));
    let (code, out, err) = run(&["attest", &file, "--challenge", &challenge, "--rim", &rim]);
    assert_eq!(code, 0, "{err}");
    for part in [
        "\nverified\n",
        "secured (0x3000)",
        "RMM \\u{1b}[2J 0.1.0",
        "the development identity, which is no secret",
        &rim,
        &challenge,
    ] {
        assert!(out.contains(part), "{part} is not in: {out}");
    }
    let (code, out, _) = run(&[
        "attest",
        &file,
        "--challenge",
        &challenge,
        "--rim",
        &rim,
        "--json",
    ]);
    assert_eq!(code, 0);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["verified"], true);
    assert_eq!(object["realm"]["initial_measurement"], rim.as_str());
}

/// Whatever the user does not give is not checked, and said not to be: never is a token verified without that.
#[test]
fn what_was_not_given_is_not_checked() {
    let folder = Folder::new();
    let file = folder.file("token", token(&development::DEFAULT_SEED));
    let public = development::platform_key(&development::DEFAULT_SEED).public_key();
    let key = folder.file("key", hex(&public));
    let (challenge, rim) = (hex(&CHALLENGE), hex(&RIM));
    let instance = hex(&instance_id(&public));
    let implementation = hex(&development::IMPLEMENTATION_ID);
    let challenge = ["--challenge", &challenge];
    let rim = ["--rim", &rim];
    let instance = ["--instance-id", &instance];
    let implementation = ["--implementation-id", &implementation];
    let key = ["--key", &key];
    for (given, left) in [
        (&[][..], &["challenge", "initial measurement"][..]),
        (&[challenge], &["initial measurement"]),
        (&[rim], &["challenge"]),
        (
            &[key, challenge, rim],
            &["instance id", "implementation id"],
        ),
        (&[key, challenge, rim, instance], &["implementation id"]),
        (&[key, challenge, rim, implementation], &["instance id"]),
        (&[key, challenge, rim, instance, implementation], &[]),
        (&[challenge, rim], &[]),
    ] {
        let arguments = [&["attest", &file], &given.concat()[..]].concat();
        let (code, out, err) = run(&arguments);
        let verdict = out.lines().last().unwrap();
        if left.is_empty() {
            assert_eq!((code, verdict), (0, "verified"), "{given:?}: {err}");
        } else {
            let said = format!("NOT CHECKED: {}", left.join(", "));
            assert_eq!((code, verdict), (7, &*said), "{given:?}: {err}");
            assert!(err.contains("not everything was checked"), "{err}");
        }
        let (_, out, _) = run(&[&arguments[..], &["--json"]].concat());
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(object["verified"], left.is_empty());
        let named = object["not_checked"].as_array().unwrap();
        assert!(named.iter().eq(left.iter()), "{object}");
        for check in object["checks"].as_array().unwrap() {
            let unchecked = left.iter().any(|name| check["name"] == **name);
            let result = if unchecked { "not checked" } else { "ok" };
            assert_eq!(check["result"], result, "{check}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_token_is_said() {
    let folder = Folder::new();
    let good = token(&development::DEFAULT_SEED);
    let mut changed = good.clone();
    let at = changed
        .windows(32)
        .position(|window| window == RIM)
        .unwrap();
    changed[at] ^= 1;
    let (good, changed) = (folder.file("good", good), folder.file("changed", changed));
    let other = development::platform_key(&[1; 32]).public_key();
    let key = folder.file("key", hex(&other));
    let other_rim = "00".repeat(32);
    let other_instance = "01".repeat(33);
    let debugged = token_in(&development::DEFAULT_SEED, Lifecycle::NON_PLATFORM_DEBUG);
    let debugged = folder.file("debugged", debugged);
    let no_token = folder.file("none", [0xd9, 0x01, 0x8f, 0xa0]);
    for (arguments, why) in [
        (
            &[changed.as_str()][..],
            "the signature of the realm token does not verify",
        ),
        (
            &[&good, "--challenge", "00"],
            "the token answers another challenge",
        ),
        (
            &[&good, "--key", &key],
            "the signature of the platform token does not verify",
        ),
        (
            &[&good, "--rim", &other_rim],
            "suzerain measure --expect a7a7",
        ),
        (&[&no_token], "there is no platform token"),
        (&[&debugged], "is non-platform debug (0x4000)"),
        (
            &[&good, "--instance-id", &other_instance],
            "the platform is another one",
        ),
        (
            &[&good, "--implementation-id", &other_rim],
            "the platform is of another kind",
        ),
    ] {
        let (code, out, err) = run(&[&["attest"], arguments].concat());
        assert_eq!(code, 6, "{arguments:?}: {err}");
        let lines: Vec<_> = err.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("error: ") && lines[0].contains(why),
            "{err}"
        );
        assert!(!out.contains("\nverified"), "{out}");
    }
    for arguments in [
        &["/nonexistent/token"][..],
        &[&good, "--challenge", "xyz"],
        &[&good, "--key", &good],
        &[&good, "--identity-seed", "00"],
        &[&good, "--instance-id", "00"],
        &[&good, "--implementation-id", "00"],
    ] {
        let (code, _, err) = run(&[&["attest"], arguments].concat());
        assert_eq!(code, 2, "{arguments:?}: {err}");
    }
}

#[test]
fn another_seed_is_another_identity() {
    let folder = Folder::new();
    let seed = [0x5e; 32];
    let file = folder.file("token", hex(&token(&seed)));
    let (challenge, rim) = (hex(&CHALLENGE), hex(&RIM));
    let arguments = ["attest", &file, "--challenge", &challenge, "--rim", &rim];
    assert_eq!(run(&arguments).0, 6);
    let given = ["--identity-seed", &hex(&seed)];
    assert_eq!(run(&[&arguments[..], &given].concat()).0, 0);
    let status = suzerain(&arguments)
        .env("SUZERAIN_IDENTITY_SEED", hex(&seed))
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(0));
}

#[test]
fn the_object_of_a_run_is_taken_from_standard_input() {
    let token = hex(&token(&development::DEFAULT_SEED));
    // What the object says of its challenge does not count.
    let object = format!(
        "{{\"token\":\"{token}\",\"challenge\":\"{}\"}}\n",
        hex(&[0; 64])
    );
    for (challenge, code) in [(CHALLENGE, 0), ([0; 64], 6)] {
        let mut child = suzerain(&["attest", "-", "--challenge", &hex(&challenge)])
            .args(["--rim", &hex(&RIM)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(object.as_bytes()).unwrap();
        drop(input);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

struct Silent;

impl Console for Silent {
    fn event(&self, _: &Event<'_>) {}
}

/// What `measure` says before is what the host computes when it builds the realm, and that is what the monitor measures.
#[test]
fn a_realm_measures_what_was_said_before() {
    let folder = Folder::new();
    let image: Vec<u8> = (0..9000_u32).map(|i| (i * 7) as u8).collect();
    let file = folder.file("image", &image);
    for memory in [
        machine::DEMO_MEMORY,
        (66 << 20) + 4096,
        1 << 30,
        (1026 << 20) + 8192,
    ] {
        let machine = Machine::new(machine::Config {
            pes: 1,
            dram_bytes: 2 << 30,
            page_size: PageSize::Size4K,
            time: Time::Real,
        });
        let options = RunOptions {
            vcpus: 2,
            memory,
            sve_bits: 0,
            image: &image,
            time_limit_ms: 60_000,
            slice_us: Config::DEFAULT_SLICE_US,
            challenge: [0; 8],
        };
        let report = machine.run_demo(&options, &Silent);
        assert_eq!(report.outcome, Outcome::Ok, "{:?}", report.error);
        let memory = memory.to_string();
        let arguments = ["measure", "--raw", &file, "--memory", &memory];
        let (code, out, err) = run(&arguments);
        assert_eq!(code, 0, "{err}");
        assert_eq!(out, format!("realm initial measurement {}\n", report.rim));
        let (code, _, _) = run(&[&arguments[..], &["--expect", &report.rim]].concat());
        assert_eq!(code, 0);
    }
}

#[test]
fn steps_lead_to_the_measurement_and_a_difference_is_explained() {
    let folder = Folder::new();
    let image = folder.file("image", [7; 5000]);
    let arguments = ["measure", "--raw", &image, "--json", "--steps"];
    let (code, out, err) = run(&arguments);
    assert_eq!(code, 0, "{err}");
    let object: Value = serde_json::from_str(&out).unwrap();
    let steps = object["steps"].as_array().unwrap();
    let commands: Vec<_> = steps
        .iter()
        .map(|step| step["command"].as_str().unwrap())
        .collect();
    assert_eq!(commands[0], "RMI_REALM_CREATE");
    assert_eq!(commands[1..33], ["RMI_RTT_INIT_RIPAS"; 32]);
    assert_eq!(
        commands[33..],
        ["RMI_DATA_CREATE", "RMI_DATA_CREATE", "RMI_REC_CREATE"]
    );
    assert_eq!(steps[35]["rim"], object["rim"]);

    let (_, larger, _) = run(&["measure", "--raw", &image, "--memory", "128M", "--json"]);
    let larger: Value = serde_json::from_str(&larger).unwrap();
    let larger = larger["rim"].as_str().unwrap();
    let (code, _, err) = run(&["measure", "--raw", &image, "--expect", larger]);
    assert_eq!(code, 6);
    assert!(
        err.contains("the realm has 128M of memory, not 64M"),
        "{err}"
    );
    let (code, _, err) = run(&["measure", "--raw", &image, "--expect", &"00".repeat(32)]);
    assert_eq!(code, 6);
    assert!(err.contains("probably the image"), "{err}");
    let (code, text, _) = run(&["measure", "--raw", &image, "--steps"]);
    assert_eq!(code, 0);
    assert!(
        text.contains("RAM 0x40000000 to 0x40200000, an entry of 2M"),
        "{text}"
    );
}
