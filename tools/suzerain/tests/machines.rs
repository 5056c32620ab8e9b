//! Machines that stay up, as a user drives them: on the in-process machine, with an image that is built from nothing.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A user with a runtime folder of their own, and one machine at most.
struct User {
    folder: TempDir,
}

impl User {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        // What is measured and loaded; the in-process machine runs the demo guest's program whatever it is.
        fs::write(folder.path().join("image"), vec![1; 100_000]).unwrap();
        Self { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_suzerain"));
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env_remove("SUZERAIN_MACHINE")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A command that must succeed, and its standard output.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// A command that must fail with that exit code, and its error.
    fn bad(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        let errors: Vec<_> = stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        errors[0].to_owned()
    }

    fn create(&self, name: &str) -> Value {
        let image = self.folder.path().join("image");
        let image = image.to_str().unwrap();
        self.json(&["create", "--name", name, "--raw", image, "--vcpus", "2"])
    }

    /// What `ps` says of a realm, once it is `state`.
    fn when(&self, name: &str, state: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let realms = self.json(&["ps"])["realms"].clone();
            let realm = realms
                .as_array()
                .unwrap()
                .iter()
                .find(|realm| realm["name"] == name);
            if let Some(realm) = realm.filter(|realm| realm["state"] == state) {
                return realm.clone();
            }
            assert!(Instant::now() < end, "{name} is never {state}: {realms}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Most tests have taken it down.
        self.run(&["down"]);
    }
}

const UP: [&str; 6] = ["up", "--machine", "model", "--memory", "1G", "--cpus"];

#[test]
fn realms_live_in_a_machine_that_stays_up() {
    let user = User::new();
    let up = user.json(&[&UP[..], &["2"]].concat());
    assert_eq!(
        (up["machine"].as_str(), up["pes"].as_u64()),
        (Some("default"), Some(2))
    );
    assert!(user.bad(&[&UP[..], &["2"]].concat(), 2).contains("down"));

    let one = user.create("one");
    let two = user.create("two");
    assert_eq!(
        (one["realm"].as_u64(), two["realm"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(one["rim"], two["rim"]);
    let image = user.folder.path().join("image");
    let image = image.to_str().unwrap();
    let measured = user.json(&["measure", "--raw", image, "--vcpus", "2"]);
    assert_eq!(measured["rim"], one["rim"]);
    assert!(
        user.bad(&["create", "--name", "one", "--raw", image], 2)
            .contains("already")
    );
    user.when("two", "active");

    user.good(&["start", "one"]);
    let stopped = user.when("one", "stopped");
    assert_eq!(stopped["outcome"], "ok");
    assert!(stopped["exits"]["psci"].as_u64().unwrap() > 0);
    let log = user.good(&["logs", "--follow", "1"]);
    assert!(log.contains("[vcpu 0] demo: done"), "{log}");
    assert!(user.bad(&["console", "one"], 2).contains("logs one"));
    let table = user.good(&["ps"]);
    assert!(
        table.contains("stopped (ok)") && table.contains("active"),
        "{table}"
    );

    let frame = user.good(&["top", "--once"]);
    assert!(
        frame.contains("2 realms, 0 running") && frame.contains("vCPUs of one"),
        "{frame}"
    );
    assert!(user.bad(&["top"], 2).contains("--once"));

    let details = user.json(&["inspect", "one"]);
    assert_eq!(details["rim"], one["rim"]);
    assert_eq!(details["recs"].as_array().unwrap().len(), 2);
    assert!(!details["map"].as_array().unwrap().is_empty());
    let text = user.good(&["inspect", "one"]);
    assert!(
        text.contains("RIPAS") && text.contains("0x40000000"),
        "{text}"
    );
    let rim = one["rim"].as_str().unwrap();
    let attested = user.json(&["attest", "one", "--rim", rim]);
    assert_eq!(attested["verified"], true, "{attested}");
    assert!(user.bad(&["attest", "two"], 2).contains("token"));

    let report: Value = serde_json::from_str(&user.good(&["rm", "one", "--json"])).unwrap();
    assert_eq!(report["outcome"], "ok");
    assert_eq!(
        report["granules"]["delegated"],
        report["granules"]["returned"]
    );
    user.good(&["rm", "two"]);
    let listing = user.json(&["ps"]);
    assert_eq!(listing["realms"].as_array().unwrap().len(), 0);
    assert_eq!(
        listing["granules"]["delegated"],
        listing["granules"]["returned"]
    );
    user.good(&["down"]);
    assert!(user.bad(&["ps"], 2).contains("suzerain up"));
}

#[test]
fn errors_say_what_to_do() {
    let user = User::new();
    for arguments in [
        ["ps"].as_slice(),
        &["start", "x"],
        &["down"],
        &["logs", "x"],
        &["inspect", "x"],
        &["console", "x"],
    ] {
        assert!(
            user.bad(arguments, 2).contains("suzerain up"),
            "{arguments:?}"
        );
    }
    assert!(user.bad(&["up", "--on", "a/b"], 2).contains("letters"));
    assert!(user.bad(&["up", "--cpus", "9"], 2).contains("1 to 8"));
    assert!(user.bad(&["create", "--name", "12"], 2).contains("digits"));
    user.good(&[&UP[..], &["1"]].concat());
    for arguments in [["start", "x"], ["inspect", "7"], ["rm", "x"]] {
        assert!(
            user.bad(&arguments, 2).contains("suzerain ps"),
            "{arguments:?}"
        );
    }
    user.create("idle");
    // Nothing to resume; the host says so.
    user.bad(&["resume", "idle"], 4);
    user.good(&["down"]);
}

#[test]
fn old_spellings_name_the_new_ones_and_do_nothing() {
    let user = User::new();
    let image = user.folder.path().join("image");
    let image = image.to_str().unwrap();
    for (arguments, new) in [
        (["create", "web"].as_slice(), "--name web"),
        (&["create", "--on", "x", "web"], "--name web"),
        (&["create", "--name", "web", "--image", image], "--raw FILE"),
        (
            &["run", "--machine", "model", "--image", image],
            "--raw FILE",
        ),
        (&["measure", &format!("--image={image}")], "--raw FILE"),
        (
            &["run", "--raw", image, "--disk", image, "--read-only"],
            "--disk FILE:ro",
        ),
        (&["create", "--raw", image, "--network"], "--network ports"),
        (&["run", "--network", "--kernel", image], "--network ports"),
        (&["up", "--machine", "model", "--name", "x"], "--on MACHINE"),
        (&["ps", "--name=x"], "--on MACHINE"),
        (&["rm", "web", "--force", "--name", "x"], "--on MACHINE"),
        (&["attest", "web", "--name", "x"], "--on MACHINE"),
    ] {
        let why = user.bad(arguments, 2);
        assert!(why.contains(new), "{arguments:?}: {why}");
        assert!(user.run(arguments).stdout.is_empty(), "{arguments:?}");
    }
    assert!(!user.folder.path().join("suzerain").exists());
}

#[test]
fn a_realm_without_a_name_gets_one_and_a_machine_is_named_by_an_option_or_the_environment() {
    let user = User::new();
    let image = user.folder.path().join("image");
    let image = image.to_str().unwrap();
    user.good(&[&UP[..], &["1", "--on", "other"]].concat());
    assert!(user.bad(&["ps"], 2).contains("suzerain up"));
    let create = ["create", "--on", "other", "--vcpus", "1", "--raw", image];
    let (one, two) = (user.json(&create), user.json(&create));
    let name = one["name"].as_str().unwrap();
    assert!(name.starts_with("realm-"), "{name}");
    assert_ne!(one["name"], two["name"]);
    user.good(&["rm", "--on", "other", name]);
    let listing = user
        .command(&["ps", "--json"])
        .env("SUZERAIN_MACHINE", "other")
        .output();
    let listing: Value = serde_json::from_slice(&listing.unwrap().stdout).unwrap();
    assert_eq!(listing["realms"].as_array().unwrap().len(), 1);
    assert_eq!(listing["realms"][0]["name"], two["name"]);
    user.good(&["down", "--on", "other"]);
    assert!(
        user.bad(&["down", "--on", "other"], 2)
            .contains("suzerain up --on other")
    );
}

#[test]
fn a_disk_is_the_realms_to_write_unless_it_says_otherwise() {
    let user = User::new();
    let image = user.folder.path().join("image");
    let image = image.to_str().unwrap();
    let disk = user.folder.path().join("disk");
    fs::write(&disk, [0; 512]).unwrap();
    let disk = disk.to_str().unwrap();
    let read_only = format!("{disk}:ro");
    user.good(&[&UP[..], &["1"]].concat());
    for (file, is_read_only) in [(&*read_only, true), (disk, false)] {
        let create = [
            "create",
            "--name=with",
            "--vcpus=1",
            "--raw",
            image,
            "--disk",
            file,
        ];
        user.json(&create);
        let device = user.json(&["inspect", "with"])["spec"]["devices"][0].clone();
        assert_eq!(device["read_only"], is_read_only, "{device}");
        user.good(&["rm", "with"]);
    }
    user.good(&["down"]);
}

#[test]
fn a_published_port_is_taken_as_long_as_its_realm_is_there() {
    let user = User::new();
    // The start of a kernel; nothing runs it.
    let mut kernel = vec![0; 0x1000];
    kernel[16..24].copy_from_slice(&0x10000u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARM\x64");
    let path = user.folder.path().join("kernel");
    fs::write(&path, kernel).unwrap();
    let path = path.to_str().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let port = at.port().to_string();
    let publish = format!("{port}:80");
    let realm = ["--kernel", path, "--vcpus", "1", "--memory", "64M"];

    user.good(&[&UP[..], &["1"]].concat());

    let open = user.json(
        &[
            &["create", "--name=open", "--publish", &publish],
            &realm[..],
        ]
        .concat(),
    );
    TcpStream::connect(at).unwrap();
    let text = user.good(&["inspect", "open"]);
    assert!(text.contains("network 02:00:0a:00:02:0f"), "{text}");
    let why = user.bad(
        &[
            &["create", "--name=late", "--publish", &publish],
            &realm[..],
        ]
        .concat(),
        2,
    );
    assert!(why.contains(&port) && why.contains("in use"), "{why}");
    // A realm that cannot be made gives its port back: the name is in use.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let another = other.local_addr().unwrap();
    drop(other);
    let publish = format!("{}:80", another.port());
    user.bad(
        &[
            &["create", "--name=open", "--publish", &publish],
            &realm[..],
        ]
        .concat(),
        2,
    );
    TcpListener::bind(another).unwrap();
    // The network is a part of what is measured; which ports are open is not.
    let closed = user.json(&[&["create", "--name=closed", "--network=ports"], &realm[..]].concat());
    let without = user.json(&[&["create", "--name=without"], &realm[..]].concat());
    assert_eq!(open["rim"], closed["rim"]);
    assert_ne!(open["rim"], without["rim"]);

    user.good(&["rm", "open"]);
    TcpListener::bind(at).unwrap();
    user.good(&["down"]);
}

#[test]
fn completions_name_commands_and_options() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = user.good(&["completions", shell]);
        assert!(
            script.contains("inspect") && script.contains("vcpus"),
            "{shell}"
        );
        assert!(!script.is_empty());
    }
}
