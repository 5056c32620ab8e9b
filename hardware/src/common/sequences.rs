//! The order of instructions in what all rings use, and the check that no barrier of this crate is without a test.

use std::collections::BTreeSet;
use std::format;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::string::{String, ToString};
use std::vec::Vec;

use super::{barrier, fake, memory, points};

/// Panics unless right after each event that begins with `before` comes `after`.
#[track_caller]
pub(crate) fn assert_followed(events: &[String], before: &str, after: &str) {
    let mut found = false;
    for (n, event) in events.iter().enumerate() {
        if event.starts_with(before) {
            found = true;
            let next = events.get(n + 1).map_or("nothing", String::as_str);
            assert!(next.starts_with(after), "{event} comes before {next}");
        }
    }
    assert!(found, "no {before} in {events:#?}");
}

/// The events between the first that begins with `from` and the next one that begins with `to`.
#[track_caller]
pub(crate) fn between<'e>(events: &'e [String], from: &str, to: &str) -> &'e [String] {
    let place = |events: &[String], text: &str| {
        let place = events.iter().position(|event| event.starts_with(text));
        place.unwrap_or_else(|| panic!("no {text} in {events:#?}"))
    };
    let rest = &events[place(events, from) + 1..];
    &rest[..place(rest, to)]
}

#[test]
fn cleaning_covers_every_line_and_is_complete() {
    fake::reset();
    // Lines of 64 bytes.
    fake::set("ctr_el0", 4 << 16);
    memory::clean_and_invalidate(0x1030, 0x60);
    assert_eq!(
        fake::effects(),
        [
            "dc civac, 0x1000",
            "dc civac, 0x1040",
            "dc civac, 0x1080",
            "dsb sy"
        ]
    );
}

#[test]
fn each_barrier_is_the_instruction_of_its_name() {
    fake::reset();
    barrier::isb();
    barrier::dsb_sy();
    barrier::dsb_ish();
    barrier::dsb_ishst();
    barrier::dsb_osh();
    barrier::dsb_oshst();
    barrier::dsb_nsh();
    barrier::dmb_sy();
    assert_eq!(
        fake::log(),
        [
            "isb",
            "dsb sy",
            "dsb ish",
            "dsb ishst",
            "dsb osh",
            "dsb oshst",
            "dsb nsh",
            "dmb sy"
        ]
    );
}

/// A PE with two breakpoints, two watchpoints and three counters.
fn a_pe_with_counters() {
    fake::reset();
    fake::set("id_aa64dfr0_el1", 1 << 8 | 1 << 12 | 1 << 20);
    fake::set("pmcr_el0", 3 << 11);
}

#[test]
fn a_counter_is_selected_before_it_is_accessed() {
    a_pe_with_counters();
    // SAFETY: a fake.
    unsafe { points::fill(1, true) };
    let events = fake::effects();
    assert_eq!(events.last().map(String::as_str), Some("isb"));
    assert_eq!(between(&events, "msr pmcr_el0", "msr pmselr_el0"), ["isb"]);
    let accesses = events
        .iter()
        .position(|event| event.starts_with("msr pmccntr_el0"))
        .expect("the cycle counter");
    assert_followed(&events[..accesses], "msr pmselr_el0", "isb");

    points::differences(1, true);
    let mut events = fake::log();
    let comparing = events.len();
    // The last selection puts back what was there.
    let last = events
        .iter()
        .rposition(|event| event.starts_with("msr pmselr_el0"));
    events.truncate(last.unwrap_or(comparing));
    assert_followed(&events, "msr pmselr_el0", "isb");
}

/// Every barrier and every maintenance instruction of this crate, as `file:line`.
fn sites() -> BTreeSet<String> {
    const INSTRUCTIONS: [&str; 11] = [
        "esb()",
        "isb()",
        "dsb_sy()",
        "dsb_ish()",
        "dsb_ishst()",
        "dsb_osh()",
        "dsb_oshst()",
        "dsb_nsh()",
        "dmb_sy()",
        "sev()",
        "operation!(",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = Vec::from([root.clone()]);
    let mut sites = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_test = path
                .components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with("sequences"))
                || name.ends_with("_tests.rs");
            // What gives the instructions their names, and what fills registers for scenarios.
            let names = ["barrier.rs", "assembly.rs", "fake.rs", "canaries.rs"];
            if is_test || names.contains(&&*name) || !name.ends_with(".rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let shown = path.strip_prefix(&root).expect("a path below");
            for (n, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if INSTRUCTIONS
                    .iter()
                    .any(|instruction| code.contains(instruction))
                {
                    sites.insert(format!("hardware/src/{}:{}", shown.display(), n + 1));
                }
            }
        }
    }
    sites
}

#[test]
fn no_barrier_can_be_left_out_unnoticed() {
    if std::env::var_os(fake::LEFT_OUT).is_some() {
        // This is one of the runs below.
        return;
    }
    let sites = sites();
    assert!(sites.len() > 80, "found only {sites:?}");
    let passes_without = |site: &str| {
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(this);
        command.args([
            "--skip",
            "no_barrier_can_be_left_out",
            "--test-threads",
            "1",
        ]);
        command.env(fake::LEFT_OUT, site);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("it runs").success()
    };
    assert!(passes_without("nowhere:0"), "the tests pass as they are");
    let unnoticed: Vec<_> = sites.iter().filter(|site| passes_without(site)).collect();
    assert!(
        unnoticed.is_empty(),
        "no test notices that the instruction is missing at {}",
        unnoticed
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
}
