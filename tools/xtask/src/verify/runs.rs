//! `suzerain run`, as a user starts it, on both machines.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cca_abi::firmware::{PlatformIdentity, SEED_SIZE};
use realm_token::development;
use serde_json::Value;
use toolbox::child::{self, Finished};
use toolbox::firmware;
use toolbox::images::{REALM_MONITOR, ROOT_MONITOR};
use toolbox::workspace::Workspace;

use super::host::cargo;
use super::{Case, Depth};
use crate::images::STRICT_FIRMWARE;

/// After this a run of the command is given up, whatever it was told.
const LIMIT: Duration = Duration::from_secs(200);

struct Tool {
    program: PathBuf,
    folder: PathBuf,
}

/// Runs realms in many shapes, and guests that do not do what they should.
pub(crate) fn runs(workspace: &Workspace, depth: Depth) -> Vec<Case> {
    let program = match program(workspace) {
        Ok(program) => program,
        Err(broken) => return vec![broken],
    };
    let tool = Tool {
        program,
        folder: workspace.target().join("guests"),
    };
    let mut cases = Vec::new();
    let mut rims = BTreeMap::new();
    let all = depth == Depth::All;
    let sizes = if all { [1, 2, 4, 8].as_slice() } else { &[4] };
    for (machine, &vcpus) in ["qemu", "model"]
        .into_iter()
        .flat_map(|machine| sizes.iter().map(move |vcpus| (machine, vcpus)))
    {
        let vcpus_text = vcpus.to_string();
        let result = tool.good(&["--machine", machine, "--vcpus", &vcpus_text], vcpus);
        let result = result.and_then(|object| same_rim(&mut rims, vcpus, &object));
        cases.push(Case::new(format!("{vcpus} vCPUs on {machine}"), result));
    }
    let shapes = [
        (["--cpus", "1"].as_slice(), 4),
        (&["--cpus", "2", "--vcpus", "5"], 5),
        (&["--cpus", "8", "--vcpus", "8", "--host-memory", "8G"], 8),
        (&["--cpus", "3", "--vcpus", "16"], 16),
        (&["--memory", "8M"], 4),
        (&["--memory", "1G"], 4),
        (&["--memory", "6G", "--host-memory", "8G"], 4),
        (&["--page-size", "16k"], 4),
        (&["--page-size", "64k", "--vcpus", "2"], 2),
        (
            &["--machine", "model", "--memory", "256M", "--vcpus", "3"],
            3,
        ),
    ];
    // A change is tried with one shape; all of them take minutes.
    for (arguments, vcpus) in &shapes[..if all { shapes.len() } else { 1 }] {
        cases.push(Case::new(
            arguments.join(" "),
            tool.good(arguments, *vcpus).map(drop),
        ));
    }
    let firmware = workspace.images().join(STRICT_FIRMWARE);
    let firmware = firmware.to_string_lossy();
    let page_sizes = if all {
        ["4k", "64k"].as_slice()
    } else {
        &["64k"]
    };
    for &page_size in page_sizes {
        let arguments = ["--firmware", &*firmware, "--page-size", page_size];
        let result = tool.good_above(&arguments, 4, |aux_granules| aux_granules == 16);
        cases.push(Case::new(
            format!("above the strict monitor, pages of {page_size}"),
            result.map(drop),
        ));
    }
    cases.push(Case::new("console and tables", tool.console()));
    for machine in if all {
        ["qemu", "model"].as_slice()
    } else {
        &["qemu"]
    } {
        let result = tool.attested(machine);
        cases.push(Case::new(format!("attestation on {machine}"), result));
    }
    cases.push(Case::new(
        "firmware of another identity",
        tool.of_another_identity(workspace),
    ));
    if all {
        cases.extend(tool.guests());
    }
    cases.extend(tool.refused());
    cases
}

/// The command as users have it, built now; or the case that says why not.
pub(crate) fn program(workspace: &Workspace) -> Result<PathBuf, Case> {
    let mut build = cargo(workspace, "build");
    build.args(["--quiet", "--release", "--package", "suzerain"]);
    match child::output(&mut build) {
        Ok(_) => Ok(workspace.target().join("release").join("suzerain")),
        Err(error) => Err(Case::broken("build the command", &error)),
    }
}

/// The initial measurement depends on the realm, not on the machine that it is built on.
fn same_rim(rims: &mut BTreeMap<u64, Value>, vcpus: u64, object: &Value) -> Result<(), String> {
    let rim = &object["rim"];
    if !rim
        .as_str()
        .is_some_and(|rim| rim.len() == 64 && rim.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(format!("rim is {rim}"));
    }
    match rims.insert(vcpus, rim.clone()) {
        Some(other) if other != *rim => Err(format!("rim is {rim}, on the other machine {other}")),
        _ => Ok(()),
    }
}

impl Tool {
    fn run(&self, arguments: &[&str]) -> Result<Finished, String> {
        self.command("run", arguments)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Result<Finished, String> {
        let mut command = Command::new(&self.program);
        command.arg(name).args(arguments);
        child::run(&mut command, Some(LIMIT), |_| {}).map_err(|error| error.to_string())
    }

    /// The object of a run with `--json`, and its exit code.
    fn json(&self, arguments: &[&str]) -> Result<(Value, i32), String> {
        let finished = self.run(&[arguments, &["--json"]].concat())?;
        let object = serde_json::from_str(&finished.stdout);
        let object =
            object.map_err(|error| format!("not one JSON object: {error}\n{}", finished.all))?;
        Ok((object, finished.status.code().unwrap_or(-1)))
    }

    /// A run that must succeed, with everything that its report promises.
    fn good(&self, arguments: &[&str], vcpus: u64) -> Result<Value, String> {
        self.good_above(arguments, vcpus, |aux_granules| aux_granules <= 1)
    }

    /// The same above a monitor that takes other numbers of auxiliary granules.
    fn good_above(
        &self,
        arguments: &[&str],
        vcpus: u64,
        aux_granules: fn(u64) -> bool,
    ) -> Result<Value, String> {
        let (object, code) = self.json(arguments)?;
        let check = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!("{what}: {object}"))
            }
        };
        check(code == 0 && object["outcome"] == "ok", "the run failed")?;
        let granules = &object["granules"];
        check(
            granules["delegated"]
                .as_u64()
                .is_some_and(|count| count > 0),
            "nothing was delegated",
        )?;
        check(
            granules["delegated"] == granules["returned"],
            "granules are missing",
        )?;
        check(granules["quarantined"] == 0, "granules are in quarantine")?;
        let recs = object["recs"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        check(recs.len() as u64 == vcpus, "the number of RECs is wrong")?;
        for (index, rec) in recs.iter().enumerate() {
            let mpidr = (index % 16 + ((index / 16) << 8)) as u64;
            check(
                rec["index"] == index && rec["mpidr"] == mpidr,
                "a REC has the wrong place",
            )?;
            check(
                rec["entries"].as_u64().is_some_and(|count| count > 0),
                "a REC was never entered",
            )?;
            check(
                rec["exits"]
                    .as_object()
                    .is_some_and(|exits| !exits.is_empty()),
                "a REC was never left",
            )?;
            check(
                rec["aux_granules"].as_u64().is_some_and(aux_granules),
                "a REC has another number of auxiliary granules",
            )?;
        }
        let checks = object["attestation"]["checks"].as_array();
        check(
            object["attestation"]["verified"] == true
                && checks.is_some_and(|checks| {
                    checks.len() == 8 && checks.iter().all(|check| check["result"] == "ok")
                }),
            "the realm's token does not verify",
        )?;
        for phase in ["setup", "images", "boot", "realm", "total"] {
            check(
                object["seconds"][phase].is_number(),
                &format!("seconds has no {phase}"),
            )?;
        }
        Ok(object)
    }

    /// What a person sees: lines of all vCPUs, and the tables.
    fn console(&self) -> Result<(), String> {
        let finished = self.run(&[])?;
        if !finished.status.success() {
            return Err(finished.all);
        }
        for part in [
            "[vcpu 0]",
            "[vcpu 1]",
            "[vcpu 2]",
            "[vcpu 3]",
            "demo: done",
            "MPIDR",
            "in quarantine",
        ] {
            if !finished.stdout.contains(part) {
                return Err(format!("{part} is not in:\n{}", finished.stdout));
            }
        }
        Ok(())
    }

    /// The token of a run on a machine: what is shown of it, and what becomes of it when something about it is wrong.
    fn attested(&self, machine: &str) -> Result<(), String> {
        let shown = self.run(&["--machine", machine])?;
        let object = self.good(&["--machine", machine], 4)?;
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let (token, challenge, rim) = (text("token"), text("challenge"), text("rim"));
        let claims = [
            "\nattestation: verified\n  platform  secured (0x3000), RMM ".to_owned(),
            format!("\n  realm     {rim}\n"),
        ];
        for part in claims {
            if !shown.stdout.contains(&part) {
                return Err(format!("{part:?} is not in:\n{}", shown.stdout));
            }
        }
        let measured = self.command("measure", &["--machine", machine])?;
        if measured.stdout != format!("realm initial measurement {rim}\n") {
            return Err(format!("not the measurement of the run: {}", measured.all));
        }

        let keep = |name: &str, content: &str| {
            let path = self.folder.join(name);
            let written = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&path, content));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(path.to_string_lossy().into_owned())
        };
        let good = keep("token", token)?;
        // The last byte is one of the realm token's signature.
        let (rest, last) = token.split_at(token.len().saturating_sub(1));
        let flipped = keep(
            "flipped",
            &format!("{rest}{}", if last == "0" { 1 } else { 0 }),
        )?;
        let another = development::platform_key(&[1; SEED_SIZE]).public_key();
        let another: String = another.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = keep("key", &another)?;
        for (arguments, why) in [
            (
                [good.as_str(), "--challenge", challenge, "--rim", rim].as_slice(),
                None,
            ),
            (
                &[&flipped],
                Some("the signature of the realm token does not verify"),
            ),
            (
                &[&good, "--challenge", "00"],
                Some("the token answers another challenge"),
            ),
            (
                &[&good, "--key", &key],
                Some("the signature of the platform token does not verify"),
            ),
        ] {
            let finished = self.command("attest", arguments)?;
            let right = match why {
                None => finished.status.success(),
                Some(why) => finished.status.code() == Some(6) && finished.all.contains(why),
            };
            if !right {
                let code = finished.status.code();
                return Err(format!("attest {arguments:?}: {code:?}\n{}", finished.all));
            }
        }
        Ok(())
    }

    /// A token of firmware with another seed is genuine, and not of the platform that the tool trusts unless it is told so.
    fn of_another_identity(&self, workspace: &Workspace) -> Result<(), String> {
        const SEED: [u8; SEED_SIZE] = [7; SEED_SIZE];
        let read = |name: &str| {
            let path = workspace.images().join(name);
            fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let (root, realm) = (read(ROOT_MONITOR.file)?, read(REALM_MONITOR.file)?);
        let identity = PlatformIdentity::new(SEED, PlatformIdentity::OWN);
        let flash = firmware::assemble(&root, &realm, identity).map_err(|e| e.to_string())?;
        let path = self.folder.join("other-identity.bin");
        let written = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&path, flash));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        let path = path.to_string_lossy();
        let refused = self.run(&["--firmware", &path])?;
        let why = "the signature of the platform token does not verify with the platform key given";
        if refused.status.code() != Some(6)
            || !refused.all.contains(why)
            || refused.all.contains("attestation: verified")
        {
            return Err(format!("believed: {}", refused.all));
        }
        let key = development::platform_key(&SEED).public_key();
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = self.folder.join("other-identity.key");
        fs::write(&file, key).map_err(|error| format!("{}: {error}", file.display()))?;
        let told = self.run(&["--firmware", &path, "--key", &file.to_string_lossy()])?;
        let said = "attestation: NOT CHECKED: instance id, implementation id";
        match told.status.success() && told.stdout.contains(said) {
            true => Ok(()),
            false => Err(format!("not told apart: {}", told.all)),
        }
    }

    /// Guests of a few instructions: one that behaves, and some that do not.
    fn guests(&self) -> Vec<Case> {
        const SYSTEM_OFF: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0003, 0x1400_0000];
        const LOOP: [u32; 1] = [0x1400_0000];
        const WAIT: [u32; 2] = [0xd503_207f, 0x17ff_ffff];
        const UNDEFINED: [u32; 1] = [0];
        // ldr x0, [xzr-like base 0]: memory that no realm of this shape has.
        const STRAY: [u32; 3] = [0xd280_0001, 0xf940_0020, 0x1400_0000];
        let mut cases = Vec::new();
        for (name, code, outcomes) in [
            (
                "a guest that switches off at once",
                SYSTEM_OFF.as_slice(),
                ["ok"].as_slice(),
            ),
            ("a guest that loops", &LOOP, &["timeout"]),
            ("a guest that waits for ever", &WAIT, &["timeout"]),
            (
                "a guest that is no program",
                &UNDEFINED,
                &["guest-failed", "timeout"],
            ),
            ("a guest that strays", &STRAY, &["guest-failed", "timeout"]),
        ] {
            cases.push(Case::new(name, self.guest(name, code, outcomes)));
        }
        cases
    }

    fn guest(&self, name: &str, code: &[u32], outcomes: &[&str]) -> Result<(), String> {
        let path = self.folder.join(name.replace(' ', "-"));
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        let written = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&path, bytes));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        let limit = 30;
        let started = Instant::now();
        let path = path.to_string_lossy();
        let (object, code) = self.json(&[
            "--raw",
            &path,
            "--vcpus",
            "2",
            "--timeout",
            &limit.to_string(),
        ])?;
        let check = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!("{what}: {object}"))
            }
        };
        let outcome = object["outcome"].as_str().unwrap_or_default();
        check(outcomes.contains(&outcome), "the outcome is another")?;
        check(
            (outcome == "ok") == (code == 0),
            &format!("the exit code is {code}"),
        )?;
        check(
            (outcome == "ok") == object["error"].is_null(),
            "the reason is wrong",
        )?;
        // Setup and images come before the machine's own limit.
        check(
            started.elapsed() < Duration::from_secs(limit + 60),
            "the limit did not hold",
        )?;
        check(
            object["recs"]
                .as_array()
                .is_some_and(|recs| recs.len() == 2),
            "the report is not whole",
        )?;
        check(
            object["granules"]["delegated"] == object["granules"]["returned"],
            "granules are missing",
        )
    }

    /// What is refused before a machine is started.
    fn refused(&self) -> Vec<Case> {
        let nowhere = self.folder.join("nowhere").to_string_lossy().into_owned();
        let mut cases = Vec::new();
        for arguments in [
            ["--vcpus", "0"],
            ["--vcpus", "100000"],
            ["--memory", "0"],
            ["--memory", "100G"],
            ["--raw", &nowhere],
            ["--raw", "/dev/null"],
            ["--firmware", &nowhere],
        ] {
            let result = self.run(&arguments).and_then(|finished| {
                let errors = finished
                    .all
                    .lines()
                    .filter(|line| line.starts_with("error:"))
                    .count();
                let code = finished.status.code();
                if code == Some(2) && errors == 1 {
                    Ok(())
                } else {
                    Err(format!("{code:?}: {}", finished.all))
                }
            });
            cases.push(Case::new(
                format!("refuses {}", arguments.join(" ")),
                result,
            ));
        }
        cases
    }
}
