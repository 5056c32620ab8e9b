//! Sequences of system instructions in a built image: the test for barriers, whose absence the emulator does not show.
//!
//! Of the image's code only what has an effect in the system space counts (writes of system registers, TLB and cache
//! maintenance, barriers), ERET, and the stores that wipe memory. A sequence holds where they stand in this order with no other of them in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Object, ObjectSection, SectionKind};
use serde::Deserialize;
use toolbox::Error;
use toolbox::images::{self, Image};
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;

use crate::images::ALL;

/// `verification/mutants/sequences.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// System registers' names for people.
    registers: BTreeMap<String, String>,
    sequence: Vec<Sequence>,
}

/// Instructions that must stand in an image in this order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// Name of the image.
    image: String,
    /// As [`decode`] names them.
    instructions: Vec<String>,
    /// How often at least.
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

/// Every sequence, with the registers' names resolved.
///
/// # Errors
///
/// When the file is not in the format.
pub(crate) fn read(workspace: &Workspace) -> Result<Vec<Sequence>, Error> {
    let path = super::inventory::folder(workspace).join("sequences.toml");
    let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    let file: File = toml::from_str(&text)
        .map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
    let File {
        registers,
        mut sequence,
    } = file;
    for instruction in sequence.iter_mut().flat_map(|one| &mut one.instructions) {
        if let Some((operation, name)) = instruction.split_once(' ')
            && let Some(register) = registers.get(name)
        {
            *instruction = format!("{operation} {register}");
        }
    }
    Ok(sequence)
}

/// Whether the sequence of this name is in the image as it is built now.
///
/// # Errors
///
/// Says what is wrong: there is no such sequence, or the image does not have it.
pub(crate) fn check(
    workspace: &Workspace,
    toolchain: &Toolchain,
    sequences: &[Sequence],
    name: &str,
) -> Result<(), String> {
    let sequence = sequences
        .iter()
        .find(|one| one.name == name)
        .ok_or_else(|| format!("there is no sequence {name}"))?;
    let image = ALL
        .into_iter()
        .find(|image| image.name == sequence.image)
        .ok_or_else(|| format!("there is no image {}", sequence.image))?;
    let stream = stream(workspace, toolchain, image).map_err(|error| error.to_string())?;
    let found = stream
        .windows(sequence.instructions.len())
        .filter(|window| is_there(window, &sequence.instructions))
        .count();
    if found >= sequence.times {
        return Ok(());
    }
    Err(format!(
        "{found} instead of {} times in {}: {}",
        sequence.times,
        image.name,
        sequence.instructions.join("; ")
    ))
}

/// Bytes within which an ISB is still that of the register before it: a compiler may put something between.
const NEAR: u64 = 32;

/// Whether `found` is this sequence. Behind an ERET nothing stands in between, and little between a register and the ISB at the end:
/// else what follows in the image would do.
fn is_there(found: &[(u64, String)], instructions: &[String]) -> bool {
    if let [.., (before, register), (at, last)] = found
        && last == "isb"
        && register.starts_with("msr ")
        && *at > before + NEAR
    {
        return false;
    }
    let mut follows_eret = None;
    found
        .iter()
        .zip(instructions)
        .all(|((address, name), expected)| {
            let is_in_place = follows_eret.is_none_or(|next| next == *address);
            if name == "eret" || follows_eret.is_some() {
                follows_eret = Some(address + 4);
            }
            is_in_place && name == expected
        })
}

/// The instructions that count, in the order of their addresses.
fn stream(
    workspace: &Workspace,
    toolchain: &Toolchain,
    image: Image,
) -> Result<Vec<(u64, String)>, Error> {
    let path = images::elf_path(workspace, toolchain, image);
    let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
    of_elf(&path, &bytes)
}

fn of_elf(path: &Path, bytes: &[u8]) -> Result<Vec<(u64, String)>, Error> {
    let unread = |error| Error::new(format!("cannot read {}: {error}", path.display()));
    let elf = object::File::parse(bytes).map_err(unread)?;
    let mut sections: Vec<_> = elf
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .collect();
    sections.sort_by_key(ObjectSection::address);
    let mut stream = Vec::new();
    for section in sections {
        let code = section.data().map_err(unread)?;
        let words = code
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word));
        let places = (section.address()..).step_by(4);
        stream.extend(
            places
                .zip(words)
                .filter_map(|(address, word)| Some((address, decode(word)?))),
        );
    }
    Ok(stream)
}

/// The name of an instruction that counts: `dsb ishst`, `isb`, `msr s3_4_c1_c1_0`, `sys #4, c8, c3, #1`, `eret`.
fn decode(word: u32) -> Option<String> {
    const DOMAINS: [&str; 16] = [
        "#0", "oshld", "oshst", "osh", "#4", "nshld", "nshst", "nsh", "#8", "ishld", "ishst",
        "ish", "#12", "ld", "st", "sy",
    ];
    if word == 0xD69F_03E0 {
        return Some("eret".to_owned());
    }
    // The loops that wipe the stack of a job and the RMM's memory, by their registers told from others.
    if word & !(0x1F << 5) == 0xA881_7C1F && matches!(word >> 5 & 0x1F, 8 | 10) {
        return Some(format!("stp xzr, xzr, [x{}], #16", word >> 5 & 0x1F));
    }
    if word >> 22 != 0b11_0101_0100 {
        return None;
    }
    let field = |shift: u32, bits: u32| word >> shift & ((1 << bits) - 1);
    let (read, op0) = (field(21, 1) == 1, field(19, 2));
    let (op1, crn, crm, op2) = (field(16, 3), field(12, 4), field(8, 4), field(5, 3));
    let domain = DOMAINS[crm as usize];
    match (op0, crn, op2) {
        (0, 3, 4) => Some(format!("dsb {domain}")),
        (0, 3, 5) => Some(format!("dmb {domain}")),
        (0, 3, 6) => Some("isb".to_owned()),
        (0, 4, 5) if op1 == 0 => Some("msr spsel".to_owned()),
        (0, ..) => None,
        (1, ..) => Some(format!("sys #{op1}, c{crn}, c{crm}, #{op2}")),
        _ if read => None,
        _ => Some(format!("msr s{op0}_{op1}_c{crn}_c{crm}_{op2}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_the_names_of_the_architecture() {
        for (word, name) in [
            (0xD503_3B9F, "dsb ish"),
            (0xD503_3A9F, "dsb ishst"),
            (0xD503_3F9F, "dsb sy"),
            (0xD503_3FDF, "isb"),
            (0xD69F_03E0, "eret"),
            (0xA881_7D5F, "stp xzr, xzr, [x10], #16"),
            (0xA881_7D1F, "stp xzr, xzr, [x8], #16"),
            // MSR SPSel, #1
            (0xD500_41BF, "msr spsel"),
            // TLBI VMALLE1IS
            (0xD508_831F, "sys #0, c8, c3, #0"),
            // MSR HCR_EL2, X0
            (0xD51C_1100, "msr s3_4_c1_c1_0"),
        ] {
            assert_eq!(decode(word).as_deref(), Some(name), "{word:#x}");
        }
        // MRS X0, HCR_EL2 among them: a read has no effect.
        for other in [0xD53C_1100, 0xD503_201F, 0xD503_207F, 0xAA00_03E0, 0] {
            assert_eq!(decode(other), None, "{other:#x}");
        }
    }

    #[test]
    fn behind_an_eret_nothing_stands_in_between() {
        let instructions = ["msr elr_el2", "eret", "dsb nsh", "isb"].map(str::to_owned);
        let at = |addresses: [u64; 4]| {
            let found: Vec<_> = addresses.into_iter().zip(instructions.clone()).collect();
            is_there(&found, &instructions)
        };
        assert!(at([0, 12, 16, 20]));
        assert!(!at([0, 12, 16, 24]));
        assert!(!at([0, 12, 20, 24]));
    }

    #[test]
    fn an_isb_at_the_end_is_that_of_its_register() {
        let instructions = ["isb", "msr sctlr_el2", "isb"].map(str::to_owned);
        let at = |addresses: [u64; 3]| {
            let found: Vec<_> = addresses.into_iter().zip(instructions.clone()).collect();
            is_there(&found, &instructions)
        };
        assert!(at([0, 12, 16]));
        assert!(at([0, 12, 20]));
        assert!(!at([0, 12, 48]));
    }

    #[test]
    fn every_sequence_has_a_row_that_breaks_it() {
        let workspace = Workspace::find().unwrap();
        let rows = super::super::inventory::read(&workspace).unwrap();
        let named: Vec<_> = rows.iter().map(|row| row.test.to_string()).collect();
        for sequence in read(&workspace).unwrap() {
            let test = format!("sequence {}", sequence.name);
            assert!(named.contains(&test), "no row names {test}");
        }
    }
}
