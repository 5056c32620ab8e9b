//! ELF executables as the raw bytes that a machine loads.

use object::Endianness;
use object::elf::{EM_AARCH64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::Error;

/// The loadable content of an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Physical address of the first byte.
    pub(crate) base: u64,
    /// The bytes from `base` on; gaps between segments are zero, memory without content (bss) is left out.
    pub(crate) bytes: Vec<u8>,
    /// Offset of the entry point in `bytes`.
    pub(crate) entry: u64,
}

/// The largest image that is plausible: the firmware flash of the machine.
const LIMIT: u64 = 64 << 20;

/// Extracts the content of the loadable segments of `elf`, placed by their physical addresses.
///
/// # Errors
///
/// When the file is not an AArch64 ELF executable, has nothing to load, or its segments lie implausibly far apart.
pub(crate) fn from_elf(elf: &[u8]) -> Result<Raw, Error> {
    let bad = |what: &str| Error::new(format!("not an AArch64 ELF executable: {what}"));
    let header = FileHeader64::<Endianness>::parse(elf).map_err(|error| bad(&error.to_string()))?;
    let endian = header.endian().map_err(|error| bad(&error.to_string()))?;
    if header.e_machine(endian) != EM_AARCH64 {
        return Err(bad("it is for another processor"));
    }
    let mut segments = Vec::new();
    for segment in header
        .program_headers(endian, elf)
        .map_err(|error| bad(&error.to_string()))?
    {
        if segment.p_type(endian) == PT_LOAD && segment.p_filesz(endian) > 0 {
            let data = segment
                .data(endian, elf)
                .map_err(|()| bad("a segment lies outside the file"))?;
            segments.push((segment.p_paddr(endian), segment.p_vaddr(endian), data));
        }
    }
    let base = segments
        .iter()
        .map(|(pa, ..)| *pa)
        .min()
        .ok_or_else(|| bad("it has nothing to load"))?;
    let mut bytes = Vec::new();
    let mut entry = None;
    for (pa, va, data) in &segments {
        let start = pa - base;
        let end = start
            .checked_add(data.len() as u64)
            .filter(|end| *end <= LIMIT);
        let end = end.ok_or_else(|| {
            bad(&format!(
                "a segment at {pa:#x} is too far from the first at {base:#x}"
            ))
        })?;
        let (start, end) = (start as usize, end as usize);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        let e_entry = header.e_entry(endian);
        if (*va..va + data.len() as u64).contains(&e_entry) {
            entry = Some(e_entry - va + start as u64);
        }
    }
    let entry = entry.ok_or_else(|| bad("its entry point lies in no segment"))?;
    Ok(Raw { base, bytes, entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: usize = 64;
    const PROGRAM_HEADER: usize = 56;

    /// An ELF file with the given `(physical address, virtual address, content, memory size)` segments.
    fn elf(machine: u16, entry: u64, segments: &[(u64, u64, &[u8], u64)]) -> Vec<u8> {
        let mut file = vec![0; HEADER + segments.len() * PROGRAM_HEADER];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        file[16..18].copy_from_slice(&2u16.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[20..24].copy_from_slice(&1u32.to_le_bytes());
        file[24..32].copy_from_slice(&entry.to_le_bytes());
        file[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
        file[52..54].copy_from_slice(&(HEADER as u16).to_le_bytes());
        file[54..56].copy_from_slice(&(PROGRAM_HEADER as u16).to_le_bytes());
        file[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for (index, (pa, va, data, memory)) in segments.iter().enumerate() {
            let offset = file.len() as u64;
            file.extend_from_slice(data);
            let header = &mut file[HEADER + index * PROGRAM_HEADER..][..PROGRAM_HEADER];
            header[..4].copy_from_slice(&PT_LOAD.0.to_le_bytes());
            for (at, value) in [
                (8, offset),
                (16, *va),
                (24, *pa),
                (32, data.len() as u64),
                (40, *memory),
            ] {
                header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        file
    }

    #[test]
    fn segments_are_placed_by_physical_address_and_bss_is_left_out() {
        let file = elf(
            183,
            0x8004,
            &[
                (0x1010, 0x9000, b"data", 0x1000),
                (0x1000, 0x8000, b"text\0\0", 6),
            ],
        );
        let raw = from_elf(&file).unwrap();
        assert_eq!(raw.base, 0x1000);
        assert_eq!(raw.entry, 4);
        assert_eq!(raw.bytes, b"text\0\0\0\0\0\0\0\0\0\0\0\0data");
    }

    #[test]
    fn other_files_are_refused() {
        for (file, why) in [
            (b"MZ".to_vec(), "not an AArch64 ELF"),
            (elf(62, 0, &[(0, 0, b"x", 1)]), "another processor"),
            (elf(183, 0, &[(0, 0, b"", 9)]), "nothing to load"),
            (
                elf(183, 0, &[(0, 0, b"x", 1), (1 << 40, 0, b"x", 1)]),
                "too far",
            ),
            (elf(183, 7, &[(0, 0, b"x", 1)]), "entry point"),
        ] {
            let error = from_elf(&file).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
