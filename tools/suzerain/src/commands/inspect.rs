//! `suzerain inspect`.

use clap::Args;
use realm_vmm::control::message::{Details, Region};

use super::ps::state;
use super::{Which, conclude, json};
use crate::failure::Failure;
use crate::foreign::printable;
use crate::screen::Screen;
use crate::table::{age, counts, table};
use crate::{size, terminal};

/// A map with more regions than this is shown in parts.
const REGIONS: usize = 1024;

#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Name or number of a realm
    #[arg(value_name = "REALM")]
    pub(crate) realm: String,

    /// Shows memory from this address on: a map that is long comes in parts
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "0")]
    pub(crate) from: u64,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// Shows a realm, and returns the exit code.
pub(crate) fn run(options: &Inspect) -> u8 {
    let screen = Screen::new(options.json, false);
    let result = inspect(options, &screen);
    conclude(result, &screen)
}

fn inspect(options: &Inspect, screen: &Screen) -> Result<(), Failure> {
    let mut client = options.which.connect()?;
    let realm = client.find(&options.realm)?.realm;
    let mut details = client.inspect(realm, options.from)?;
    // The host answers in parts, and is asked for the next one as long as it gets on.
    let mut from = options.from;
    while let Some(rest) = details.rest.filter(|&rest| rest > from)
        && details.map.len() < REGIONS
    {
        from = rest;
        let part = client.inspect(realm, from)?;
        details.rest = part.rest;
        append(&mut details.map, part.map);
    }
    let text = match options.json {
        true => json(&details)?,
        false => tables(&details, terminal::columns()),
    };
    screen.out(text.trim_end());
    Ok(())
}

/// Adds the next part of a map, which may begin in the midst of what the last one ended with.
fn append(map: &mut Vec<Region>, part: Vec<Region>) {
    for region in part {
        match map.last_mut() {
            Some(last) if last.top == region.base && last.ripas == region.ripas => {
                last.top = region.top;
                last.present = last.present.saturating_add(region.present);
            }
            _ => map.push(region),
        }
    }
}

/// An address, in hexadecimal or not.
fn address(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "an address is a number, such as 0x40000000".to_owned())
}

/// Everything, in lines of at most that many columns where that is possible.
pub fn tables(details: &Details, columns: Option<usize>) -> String {
    let status = &details.status;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text += &format!("{name:<12} {}\n", printable(value));
    };
    line("realm", &format!("{} `{}`", status.realm, status.name));
    line("state", &state(status));
    if let Some(error) = &status.error {
        line("error", error);
    }
    line("measurement", &details.rim);
    line("vCPUs", &status.vcpus.to_string());
    line("memory", &size::show(status.memory));
    if details.spec.sve_bits > 0 {
        line("SVE", &format!("{} bits", details.spec.sve_bits));
    }
    line("entry", &format!("{:#x}", details.spec.entry));
    line("age", &age(status.age_us));
    line("vCPU time", &age(status.run_us));
    line("exits", &counts(&status.exits));
    line("granules", &counts(&status.granules));
    let devices: Vec<_> = details.spec.devices.iter().map(device).collect();
    line("devices", &devices.join(", "));
    for fault in &details.faults {
        let name = devices.get(fault.device as usize);
        let name = name.map_or("unknown", String::as_str);
        let state = match fault.stopped {
            true => "stopped until its driver resets it",
            false => "reset since",
        };
        line("fault", &format!("{name}: {}; {state}", fault.fault));
    }
    let token = match &details.token {
        Some(_) => "handed over; `suzerain attest` verifies it",
        None => "none handed over",
    };
    line("token", token);
    let heads = [
        "REC",
        "MPIDR",
        "STATE",
        "AUX GRANULES",
        "ENTRIES",
        "EXITS BY REASON",
    ];
    let rows = details.recs.iter().map(|rec| {
        [
            rec.index.to_string(),
            format!("{:#x}", rec.mpidr),
            printable(&rec.state),
            rec.aux_granules.to_string(),
            rec.entries.to_string(),
            printable(&counts(&rec.exits)),
        ]
    });
    text += "\n";
    text += &table(heads, rows, columns);
    let rows = details.map.iter().map(|region| {
        let length = region.top.saturating_sub(region.base);
        [
            format!("{:#x}", region.base),
            format!("{:#x}", region.top),
            size::show(length),
            printable(&region.ripas),
            size::show(region.present),
        ]
    });
    text += "\n";
    text += &table(["FROM", "TO", "SIZE", "RIPAS", "PRESENT"], rows, columns);
    if let Some(rest) = details.rest {
        text += &format!("... and more from {rest:#x} on: `--from {rest:#x}`\n");
    }
    text
}

fn device(device: &realm_vmm::control::message::Device) -> String {
    use realm_vmm::control::message::Device;
    match device {
        Device::Console => "console".to_owned(),
        Device::Disk { sectors, read_only } => {
            let kind = if *read_only { " (read only)" } else { "" };
            format!("disk of {}{kind}", size::show(sectors.saturating_mul(512)))
        }
        Device::Network { mac } => {
            let mac: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("network {}", mac.join(":"))
        }
        Device::Entropy { .. } => "entropy".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_map_are_put_together() {
        let region = |base, top, ripas: &str, present| Region {
            base,
            top,
            ripas: ripas.to_owned(),
            present,
        };
        let mut map = vec![region(0, 4, "ram", 3)];
        let second = vec![region(4, 8, "ram", 2), region(8, 9, "empty", 0)];
        append(&mut map, second);
        append(&mut map, vec![region(9, 10, "ram", 1)]);
        let whole = [
            region(0, 8, "ram", 5),
            region(8, 9, "empty", 0),
            region(9, 10, "ram", 1),
        ];
        assert_eq!(map, whole);
    }

    #[test]
    fn a_device_that_its_driver_does_wrong_is_named_with_what_it_was() {
        let details = r#"{
            "status": {"realm": 1, "name": "web", "state": "running", "vcpus": 1, "memory": 4096, "age_us": 0, "run_us": 0,
                       "entries": 0, "exits": {}, "granules": {}},
            "spec": {"vcpus": 1, "memory": 4096, "entry": 0, "arguments": [0, 0, 0, 0, 0, 0, 0, 0],
                     "devices": [{"device": "console"}, {"device": "disk", "sectors": 8, "read_only": false}]},
            "rim": "00", "recs": [], "map": [],
            "faults": [{"device": 1, "fault": "a buffer is too long", "stopped": true},
                       {"device": 9, "fault": "\u001b[2J", "stopped": false}]
        }"#;
        let details: Details = serde_json::from_str(details).unwrap();
        let text = tables(&details, None);
        for line in [
            "fault        disk of 4K: a buffer is too long; stopped until its driver resets it\n",
            // A host that says nonsense does not get to drive the terminal.
            "fault        unknown: \\u{1b}[2J; reset since\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }
}
