//! Debian's Linux as a realm, from its first instruction to the last granule that comes back.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use toolbox::child::{self, Finished};
use toolbox::workspace::Workspace;

use super::runs::program;
use super::web::{self, Web};
use super::{Case, Depth};

/// Gives a command up that does not end; the first may have to download a kernel.
const LIMIT: Duration = Duration::from_secs(500);
/// Size of the disk.
const DISK: u64 = 4 << 20;
/// Where the host has left something for the realm to read: sector and bytes.
const MESSAGE_AT: u64 = 1 << 20;
/// The realm with so many vCPUs has a network.
const WITH_NETWORK: u64 = 1;
const CHALLENGE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
                         00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// What a realm with Linux is asked to do; it prints `name=value` lines.
const COMMANDS: &str = r#"
echo cpus=$(nproc)
echo rsi=$(dmesg | grep -c 'RME: Using RSI version 1.0')
echo message=$(dd if=/dev/vda bs=512 skip=2048 count=1 2>/dev/null | head -c 16)
dd if=/dev/urandom of=/tmp/noise bs=1024 count=1024 2>/dev/null
dd if=/tmp/noise of=/dev/vda bs=4096 seek=512 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vda bs=4096 skip=512 count=256 2>/dev/null | cmp - /tmp/noise && echo disk=same
printf 'from the realm' | dd of=/dev/vda conv=fsync 2>/dev/null
echo rng=$(cat /sys/class/misc/hw_random/rng_current)
echo random=$(head -c 32 /dev/hwrng | wc -c)
echo token=$(attest CHALLENGE | od -An -v -tx1 | tr -d ' \n')
"#;

/// What one with several vCPUs is asked besides: to take a vCPU out and in again, and to keep all of them busy with processes that come and go, which
/// makes timer interrupts and interrupts between them, for a minute. Meanwhile the disk's driver lets go of the disk and takes it again: each time
/// the kernel turns the memory of its queues from shared to private, and other memory to shared; the disk must read the same afterwards, and no
/// bounce buffer stay behind.
const LOAD: &str = r#"
mount -t debugfs debugfs /sys/kernel/debug
bounced() { sleep 0.2; cat /sys/kernel/debug/swiotlb/io_tlb_used; }
before=$(bounced)
sum=$(head -c 65536 /tmp/noise | md5sum)
disk=$(basename $(readlink /sys/block/vda/device))
(cd /sys/bus/virtio/drivers/virtio_blk
for round in $(seq ROUNDS); do
    echo $disk >unbind && echo $disk >bind
    [ "$(dd if=/dev/vda bs=4096 skip=512 count=16 2>/dev/null | md5sum)" = "$sum" ] && echo $round
done >/tmp/rounds) &
last=/sys/devices/system/cpu/cpu$(($(nproc) - 1))/online
echo 0 >$last && echo without=$(nproc)
echo 1 >$last && echo with=$(nproc)
end=$(($(date +%s) + 60))
for cpu in $(seq $(nproc)); do
    (while [ $(date +%s) -lt $end ]; do sleep 0.01; cat /proc/interrupts >/dev/null; done) &
done
wait
count() {
    awk "/$1/"' { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' /proc/interrupts
}
echo rounds=$(wc -l </tmp/rounds)
echo bounced=$(($(bounced) - before))
echo ipis=$(count '^ *IPI[0-9]+:')
echo ticks=$(count arch_timer)
"#;

/// How often the disk's driver lets go of the disk.
const ROUNDS: u64 = 12;

/// The last thing that is asked: whether the kernel has complained of anything.
const COMPLAINTS: &str = r#"
echo complaints=$(dmesg | grep -c -i -E 'stall|lockup|hung task|BUG:|Oops|WARNING: CPU')
exit 7
"#;

struct Tool {
    program: PathBuf,
    folder: PathBuf,
}

/// Realms with 1, 4 and 8 vCPUs; two Linuxes and the demo guest side by side. A change is tried with one vCPU.
pub(crate) fn linux(workspace: &Workspace, depth: Depth) -> Vec<Case> {
    let program = match program(workspace) {
        Ok(program) => program,
        Err(broken) => return vec![broken],
    };
    let folder = workspace.target().join("guests");
    let tool = Tool { program, folder };
    let mut cases = Vec::new();
    let shapes = match depth {
        Depth::Change => [1].as_slice(),
        Depth::All => &[4, 1, 8],
    };
    for &vcpus in shapes {
        let result = tool.alone(vcpus);
        cases.push(Case::new(
            format!("Debian's Linux as a realm with {vcpus} vCPUs"),
            result,
        ));
    }
    if depth == Depth::Change {
        return cases;
    }
    let name = "two realms with Linux and one with the demo guest, one of them stopped";
    cases.push(Case::new(name, tool.together()));
    cases
}

impl Tool {
    fn run(&self, arguments: &[&str]) -> Result<Finished, String> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env("SUZERAIN_MACHINE", "test");
        child::run(&mut command, Some(LIMIT), |_| {})
            .map_err(|error| format!("{error}: {}", error.details().unwrap_or("it said nothing")))
    }

    /// What a command prints that must succeed.
    fn done(&self, arguments: &[&str]) -> Result<String, String> {
        let finished = self.run(arguments)?;
        if finished.status.success() {
            Ok(finished.stdout)
        } else {
            Err(format!(
                "suzerain {}: {}: {}",
                arguments.join(" "),
                finished.status,
                finished.all
            ))
        }
    }

    fn object(&self, arguments: &[&str]) -> Result<Value, String> {
        let text = self.done(arguments)?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }

    /// A realm that has the machine for itself.
    fn alone(&self, vcpus: u64) -> Result<(), String> {
        let disk = self
            .disk(vcpus)
            .map_err(|error| format!("the disk: {error}"))?;
        let disk = disk.to_string_lossy();
        let mut script = COMMANDS.replace("CHALLENGE", CHALLENGE);
        if vcpus == 4 {
            script += &LOAD.replace("ROUNDS", &ROUNDS.to_string());
        }
        let web = (vcpus == WITH_NETWORK).then(Web::new).transpose();
        let web = web.map_err(|error| format!("a server on this host: {error}"))?;
        if let Some(web) = &web {
            script += &web.script();
        }
        script += COMPLAINTS;
        let vcpus_text = vcpus.to_string();
        let network = web.as_ref().map(Web::options);
        let mut options = vec![
            "--kernel",
            "debian",
            "--vcpus",
            &vcpus_text,
            "--disk",
            &disk,
            "--exec",
            &script,
            "--json",
        ];
        options.extend(network.iter().flatten().map(String::as_str));
        let finished = self.run(&[&["run", "--timeout", "400"], options.as_slice()].concat())?;
        let object: Value = serde_json::from_str(&finished.stdout)
            .map_err(|error| format!("{error}: {}", finished.all))?;
        let said = object["exec"]["stdout"].as_str().unwrap_or_default();
        let value = |name: &str| {
            let mut values = said.lines().filter_map(|line| line.split_once('='));
            values.find(|(own, _)| *own == name).map(|(_, value)| value)
        };
        let rounds = ROUNDS.to_string();
        let mut expected = vec![
            ("cpus", vcpus_text.as_str()),
            ("rsi", "1"),
            ("message", "from the host"),
            ("disk", "same"),
            ("rng", "virtio_rng.0"),
            ("random", "32"),
            ("complaints", "0"),
        ];
        if vcpus == 4 {
            expected.extend([("without", "3"), ("with", "4")]);
            expected.extend([("rounds", rounds.as_str()), ("bounced", "0")]);
        }
        if web.is_some() {
            expected.extend(web::EXPECTED);
        }
        if let Some((name, wanted)) = expected
            .into_iter()
            .find(|(name, wanted)| value(name) != Some(wanted))
        {
            return Err(format!(
                "{name} is not {wanted}: {object}\n{}",
                finished.all
            ));
        }
        // Hundreds of the former and ten thousands of the latter are usual.
        let few = |name: &str, least: u64| {
            let count = value(name).and_then(|count| count.parse().ok());
            count.is_none_or(|count: u64| count < least)
        };
        if vcpus == 4 && (few("ipis", 100) || few("ticks", 1000)) {
            return Err(format!("there were hardly any interrupts: {said}"));
        }
        // Each round gives shared memory back and shares other memory.
        if vcpus == 4 && exits(&object, "ripas-change") < 2 * ROUNDS {
            return Err(format!("memory was hardly shared: {object}"));
        }
        if finished.status.code() != Some(7) || object["exec"]["status"] != 7 {
            return Err(format!("the status is {}: {object}", finished.status));
        }
        if !fs::read(&*disk).is_ok_and(|bytes| bytes.starts_with(b"from the realm")) {
            return Err("what the realm wrote is not on the disk".to_owned());
        }
        whole(&object, vcpus)?;
        self.attested(value("token").unwrap_or_default(), &object, &options)
    }

    /// A disk with a message for the realm.
    fn disk(&self, vcpus: u64) -> std::io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("disk-{vcpus}"));
        let mut file = fs::File::create(&path)?;
        file.set_len(DISK)?;
        file.seek(SeekFrom::Start(MESSAGE_AT))?;
        file.write_all(b"from the host\n")?;
        Ok(path)
    }

    /// The token that Linux got through configfs is good, and says what was computed before the launch.
    fn attested(&self, token: &str, object: &Value, options: &[&str]) -> Result<(), String> {
        let measured = self.object(&[&["measure"], options].concat())?;
        let rim = measured["rim"].as_str().unwrap_or_default();
        if object["rim"] != rim {
            return Err(format!("measure says {rim}: {object}"));
        }
        let file = self.folder.join("linux-token");
        fs::write(&file, token).map_err(|error| format!("{}: {error}", file.display()))?;
        let file = file.to_string_lossy();
        let said = self.done(&["attest", &file, "--challenge", CHALLENGE, "--rim", rim])?;
        if said.contains("verified") {
            Ok(())
        } else {
            Err(format!("the token is not verified: {said}"))
        }
    }

    /// Three realms on one machine.
    fn together(&self) -> Result<(), String> {
        // A machine that an earlier test has left.
        let _ = self.run(&["down"]);
        self.done(&["up", "--cpus", "2", "--memory", "3G"])?;
        let result = self.side_by_side();
        let down = self.done(&["down"]);
        result.and(down.map(drop))
    }

    fn side_by_side(&self) -> Result<(), String> {
        let linux = ["--kernel", "debian", "--vcpus", "2", "--memory", "512M"];
        for name in ["one", "two"] {
            self.done(&[&["create", "--name", name], linux.as_slice()].concat())?;
        }
        self.done(&["create", "--name", "demo", "--vcpus", "3"])?;
        self.done(&["start", "one", "two", "demo"])?;
        for name in ["one", "two"] {
            self.until(|| Ok(self.done(&["logs", name])?.contains("realm: 2 CPUs")))?;
        }
        self.until(|| Ok(self.status("demo")?["state"] == "stopped"))?;
        if self.status("demo")?["outcome"] != "ok" {
            return Err(format!("the demo guest: {}", self.status("demo")?));
        }
        self.done(&["stop", "two"])?;
        let two = self.status("two")?;
        if two["state"] != "stopped" || two["outcome"] != "stopped" {
            return Err(format!("the realm that was stopped: {two}"));
        }
        // The other goes on, and can be paused.
        let entries = |object: &Value| object["entries"].as_u64().unwrap_or(0);
        let before = entries(&self.status("one")?);
        self.until(|| Ok(entries(&self.status("one")?) > before))?;
        self.done(&["pause", "one"])?;
        let paused = self.status("one")?;
        if paused["state"] != "paused" {
            return Err(format!("the realm that was paused: {paused}"));
        }
        self.done(&["resume", "one"])?;
        let details = self.object(&["inspect", "one", "--json"])?;
        let whole = details["recs"]
            .as_array()
            .is_some_and(|recs| recs.len() == 2)
            && details["status"]["granules"]["rec"] == 2
            && details["map"].as_array().is_some_and(|map| map.len() > 1);
        if !whole {
            return Err(format!("what there is to know of a realm: {details}"));
        }
        self.done(&["rm", "--force", "one", "two", "demo"])?;
        let all = self.object(&["ps", "--json"])?;
        let granules = &all["granules"];
        let empty = all["realms"].as_array().is_some_and(Vec::is_empty)
            && granules["delegated"] == granules["returned"]
            && granules["quarantined"] == 0;
        if empty {
            Ok(())
        } else {
            Err(format!("not everything came back: {all}"))
        }
    }

    fn status(&self, name: &str) -> Result<Value, String> {
        let all = self.object(&["ps", "--json"])?;
        let realms = all["realms"].as_array().cloned().unwrap_or_default();
        let realm = realms.into_iter().find(|realm| realm["name"] == name);
        realm.ok_or_else(|| format!("there is no realm {name}: {all}"))
    }

    /// Asks until something is so.
    fn until(&self, is_so: impl Fn() -> Result<bool, String>) -> Result<(), String> {
        let started = Instant::now();
        while !is_so()? {
            if started.elapsed() > LIMIT {
                let all = self.done(&["ps", "--json"])?;
                return Err(format!("nothing comes of it: {all}"));
            }
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }
}

/// How many exits of that kind all RECs have had.
fn exits(object: &Value, name: &str) -> u64 {
    let recs = object["recs"].as_array().into_iter().flatten();
    recs.filter_map(|rec| rec["exits"][name].as_u64()).sum()
}

/// The report of a realm whose RECs all ran and whose granules all came back.
fn whole(object: &Value, vcpus: u64) -> Result<(), String> {
    let granules = &object["granules"];
    let recs = object["recs"].as_array().cloned().unwrap_or_default();
    let good = object["outcome"] == "ok"
        && object["vcpus"] == vcpus
        && recs.len() as u64 == vcpus
        && recs.iter().all(|rec| rec["entries"].as_u64() > Some(0))
        && granules["delegated"].as_u64() > Some(10_000)
        && granules["delegated"] == granules["returned"]
        && granules["quarantined"] == 0;
    if good {
        Ok(())
    } else {
        Err(format!("the report is {object}"))
    }
}
