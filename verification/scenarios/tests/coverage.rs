//! The coverage page: every condition of the command tables, the scenarios that bring it about, and where they run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use cca_abi::{psci, rmi, rsi};
use scenarios::coverage::OUT_OF_REACH;
use scenarios::priorities::NEVER_TOGETHER;
use scenarios::{Needs, Scenario, scenarios};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/coverage.md");

const HEAD: &str = "\
# What the scenarios cover

Every command of RMI, RSI and PSCI for realms, every condition in its row of the command tables in `cca-abi` (in the order in
which they are evaluated), the scenarios of `verification/scenarios` that bring it about, and where those run.

`UPDATE_COVERAGE=1 cargo test -p scenarios --test coverage` writes this page. Without the variable the same test fails if
a row has no scenario, or if the page is not current.

*Both* machines are the in-process machine (`cargo test -p scenarios`, which runs them once more above a strict monitor) and
QEMU (`cargo xtask test scenarios`, which does the same), where the scenarios are a payload at NS-EL2. A short name says which change in a call that succeeds brings the condition about (the
name of a granule's state: that of the granule which an operand names); *yes* stands where there is only one. A name in
quotation marks is a story: a realm runs.

[1] The normal world on QEMU knows no memory that may be delegated and is in another address space than Non-secure and
Realm; the in-process machine has a granule of the Secure world.

[2] The in-process machine runs programs in Rust in place of machine code: its vCPUs have no vector, debug and PMU
registers that a realm and the host could take from each other.
";

/// A row of a command table.
struct Row {
    command: &'static str,
    condition: &'static str,
    reports: String,
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}", self.command, self.condition)
    }
}

/// The rows of an interface, `success` first.
macro_rules! rows {
    ($command:ty) => {{
        let rows = <$command>::ALL.iter().flat_map(|command| {
            let success = Row {
                command: command.name(),
                condition: "success",
                reports: "success".to_owned(),
            };
            let conditions = command.conditions().iter().map(|condition| Row {
                command: command.name(),
                condition: condition.name,
                reports: reports(&format!("{:?}", condition.kind)),
            });
            std::iter::once(success).chain(conditions)
        });
        rows.collect::<Vec<_>>()
    }};
}

/// `Realm(1)` as `realm 1`, `AlreadyOn` as `already on`.
fn reports(kind: &str) -> String {
    let mut text = String::new();
    for character in kind.chars() {
        match character {
            '(' => text.push(' '),
            ')' => {}
            upper if upper.is_uppercase() && !text.is_empty() => {
                text.push(' ');
                text.extend(upper.to_lowercase());
            }
            other => text.extend(other.to_lowercase()),
        }
    }
    text
}

fn tables() -> [(&'static str, Vec<Row>); 3] {
    [
        ("RMI", rows!(rmi::Command)),
        ("RSI", rows!(rsi::Command)),
        ("PSCI for realms", rows!(psci::realm::Command)),
    ]
}

/// Whether a scenario is one of a pair of conditions, and the second of them.
fn second(scenario: &Scenario) -> Option<&'static str> {
    match scenario {
        Scenario::Case(case) => case.variant.strip_prefix("before "),
        Scenario::Story(_) => None,
    }
}

/// A scenario in a row that says already what it is about.
fn short(scenario: &Scenario) -> String {
    match scenario {
        Scenario::Case(case) if case.variant.is_empty() => "yes".to_owned(),
        Scenario::Case(case) => case.variant.to_owned(),
        Scenario::Story(story) => format!("\"{}\"", story.name),
    }
}

/// What each scenario but those of pairs covers.
fn covered() -> BTreeMap<String, Vec<Scenario>> {
    let mut covered = BTreeMap::<_, Vec<_>>::new();
    for scenario in scenarios().filter(|scenario| second(scenario).is_none()) {
        for what in scenario.covers() {
            covered.entry(what).or_default().push(scenario);
        }
    }
    covered
}

/// Where scenarios run: once if all run in the same places.
fn machines(scenarios: &[Scenario]) -> String {
    let places: BTreeSet<_> = scenarios
        .iter()
        .map(|scenario| scenario.needs().machines())
        .collect();
    if places.len() == 1 {
        return places.into_iter().collect();
    }
    let few = scenarios
        .iter()
        .filter(|scenario| matches!(scenario.needs(), Needs::Foreign | Needs::Registers))
        .map(|scenario| format!("{}: {}", short(scenario), scenario.needs().machines()));
    std::iter::once("both".to_owned())
        .chain(few)
        .collect::<Vec<_>>()
        .join("; ")
}

fn page() -> String {
    let covered = covered();
    let mut page = HEAD.to_owned();
    let all = scenarios().count();
    let rows: usize = tables().iter().map(|(_, rows)| rows.len()).sum();
    let put = |page: &mut String, line: &str| writeln!(page, "{line}").expect("a string grows");
    put(&mut page, &format!("\n{rows} rows, {all} scenarios."));
    for (interface, rows) in tables() {
        put(&mut page, &format!("\n## {interface}"));
        let mut command = "";
        for row in rows {
            if command != row.command {
                command = row.command;
                put(
                    &mut page,
                    &format!(
                        "\n### {command}\n\n| condition | reports | brought about | machines |\n|---|---|---|---|"
                    ),
                );
            }
            let (how, machines) = match covered.get(&row.key()) {
                Some(scenarios) => {
                    let names: Vec<_> = scenarios.iter().map(short).collect();
                    (names.join(", "), machines(scenarios))
                }
                None => out_of_reach(&row),
            };
            let Row {
                condition, reports, ..
            } = &row;
            put(
                &mut page,
                &format!("| {condition} | {reports} | {how} | {machines} |"),
            );
        }
    }
    put(
        &mut page,
        "\n## Pairs with a mandatory order\n\nBoth conditions hold; the first has to be reported.\n\n\
         | command | first | second | machines |\n|---|---|---|---|",
    );
    for scenario in scenarios() {
        if let (Scenario::Case(case), Some(second)) = (&scenario, second(&scenario)) {
            let places = scenario.needs().machines();
            put(
                &mut page,
                &format!(
                    "| {} | {} | {second} | {places} |",
                    case.command.name(),
                    case.condition
                ),
            );
        }
    }
    put(&mut page, "\nPairs that cannot hold at once:\n");
    for (pair, why) in NEVER_TOGETHER {
        put(&mut page, &format!("* {pair}: {why}"));
    }
    put(
        &mut page,
        "\n## Behaviour that is no condition of a command\n\n| story | machines |\n|---|---|",
    );
    let keys: BTreeSet<_> = tables()
        .iter()
        .flat_map(|(_, rows)| rows.iter().map(Row::key))
        .collect();
    for scenario in scenarios() {
        if !scenario.covers().iter().any(|what| keys.contains(what)) {
            let places = scenario.needs().machines();
            put(&mut page, &format!("| {} | {places} |", scenario.name()));
        }
    }
    page
}

fn out_of_reach(row: &Row) -> (String, String) {
    OUT_OF_REACH
        .iter()
        .find(|(key, _)| *key == row.key())
        .map(|(_, why)| (format!("out of reach: {why}"), "none".to_owned()))
        .unwrap_or_default()
}

#[test]
fn every_condition_has_a_scenario() {
    let covered = covered();
    let keys: BTreeSet<_> = tables()
        .iter()
        .flat_map(|(_, rows)| rows.iter().map(Row::key))
        .collect();
    let empty: Vec<_> = keys
        .iter()
        .filter(|key| !covered.contains_key(*key))
        .filter(|key| !OUT_OF_REACH.iter().any(|(other, _)| other == *key))
        .collect();
    assert!(empty.is_empty(), "no scenario brings about {empty:#?}");
    for (key, _) in OUT_OF_REACH {
        assert!(keys.contains(*key), "{key} is no row");
        assert!(!covered.contains_key(*key), "a scenario brings {key} about");
    }
    let unknown: Vec<_> = covered
        .keys()
        .filter(|key| !keys.contains(*key) && !key.starts_with("SMC/"))
        .collect();
    assert!(unknown.is_empty(), "no table has {unknown:#?}");
}

#[test]
fn names_are_different() {
    let mut names = BTreeSet::new();
    for scenario in scenarios() {
        let name = scenario.name();
        assert!(names.insert(name.clone()), "two scenarios are named {name}");
    }
}

#[test]
fn the_page_is_current() {
    let page = page();
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        std::fs::write(PAGE, &page).expect("the page can be written");
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = found
        .lines()
        .zip(page.lines())
        .find(|(is, must)| is != must);
    assert!(
        found == page,
        "{} is not current ({differs:?}): run this test with UPDATE_COVERAGE=1 and commit the page",
        Path::new(PAGE).display()
    );
}
