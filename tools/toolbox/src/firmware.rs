//! The firmware flash: root monitor, a table that says where the RMM is, the RMM.

use cca_abi::firmware::{self, PlatformIdentity, SEED_SIZE, Table};
use realm_token::development;

use crate::Error;

/// The environment variable with the seed of the machine's identity: 64 hexadecimal digits. It goes into the firmware
/// image, where whoever has the image reads it.
pub const SEED: &str = "SUZERAIN_IDENTITY_SEED";

/// Size of the flash device that QEMU's virt machine has at address 0.
pub const FLASH_SIZE: u64 = firmware::FLASH_SIZE;

const TABLE_OFFSET: usize = firmware::TABLE_OFFSET as usize;
const RMM_OFFSET: usize = firmware::RMM_OFFSET as usize;

/// Puts `firmware.bin` together.
///
/// # Errors
///
/// When one of the two images does not fit or is empty.
pub fn assemble(
    root_monitor: &[u8],
    realm_monitor: &[u8],
    identity: PlatformIdentity,
) -> Result<Vec<u8>, Error> {
    for (name, image, limit) in [
        ("root-monitor.bin", root_monitor, TABLE_OFFSET),
        (
            "realm-monitor.img",
            realm_monitor,
            FLASH_SIZE as usize - RMM_OFFSET,
        ),
    ] {
        if image.is_empty() || image.len() > limit {
            return Err(Error::new(format!(
                "{name} has {} bytes, must have 1 to {limit}",
                image.len()
            )));
        }
    }
    let mut flash = vec![0; RMM_OFFSET + realm_monitor.len()];
    flash[..root_monitor.len()].copy_from_slice(root_monitor);
    let table = Table::new(realm_monitor.len() as u64, Some(identity)).words();
    for (index, word) in table.iter().enumerate() {
        flash[TABLE_OFFSET + index * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    flash[RMM_OFFSET..].copy_from_slice(realm_monitor);
    Ok(flash)
}

/// The identity that the environment asks for: that of its seed, or the one that everybody knows.
///
/// # Errors
///
/// When the seed is none.
pub fn identity() -> Result<PlatformIdentity, Error> {
    match std::env::var_os(SEED).filter(|text| !text.is_empty()) {
        Some(text) => identity_of(&text.to_string_lossy()),
        None => Ok(PlatformIdentity::new(
            development::DEFAULT_SEED,
            PlatformIdentity::PUBLIC,
        )),
    }
}

fn identity_of(text: &str) -> Result<PlatformIdentity, Error> {
    let wrong = |why: &str| {
        Error::new(format!("{SEED} {why}")).advise(format!(
            "give it {} hexadecimal digits, or unset it to use the development identity",
            2 * SEED_SIZE
        ))
    };
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong("has something else than hexadecimal digits"));
    }
    if text.len() != 2 * SEED_SIZE {
        return Err(wrong(&format!("has {} digits", text.len())));
    }
    let mut seed = [0; SEED_SIZE];
    for (byte, digits) in seed.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
        *byte = digit(digits[0]) << 4 | digit(digits[1]);
    }
    if seed == [0; SEED_SIZE] {
        return Err(wrong("is zero, which means no identity"));
    }
    Ok(PlatformIdentity::new(seed, PlatformIdentity::OWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: PlatformIdentity = PlatformIdentity::new([7; SEED_SIZE], "test");

    #[test]
    fn a_seed_is_64_digits() {
        let text = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
        let identity = identity_of(text).unwrap();
        assert_eq!(identity.seed[..3], [0x00, 0x11, 0x22]);
        assert_eq!(identity.seed[29..], [0x22, 0x11, 0x00]);
        assert_eq!(identity.label(), PlatformIdentity::OWN.as_bytes());
        for wrong in [&text[1..], &text[2..], "", &"0".repeat(64), &"ü".repeat(32)] {
            assert!(identity_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_table_names_the_rmm() {
        let flash = assemble(b"root", b"realm", IDENTITY).unwrap();
        let word = |index: usize| {
            u64::from_le_bytes(flash[TABLE_OFFSET + index * 8..][..8].try_into().unwrap())
        };
        assert_eq!(&flash[..5], b"root\0");
        let words = std::array::from_fn(word);
        let table = Table::read(&words).unwrap();
        assert_eq!(table.identity, Some(IDENTITY));
        assert_eq!(word(firmware::TABLE_WORDS), 0);
        let (offset, length) = (table.rmm_offset as usize, table.rmm_length as usize);
        assert_eq!(&flash[offset..offset + length], b"realm");
        assert_eq!(flash.len(), offset + length);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(assemble(&vec![1; TABLE_OFFSET], b"x", IDENTITY).is_ok());
        assert!(assemble(&vec![1; TABLE_OFFSET + 1], b"x", IDENTITY).is_err());
        assert!(assemble(b"", b"x", IDENTITY).is_err());
        assert!(assemble(b"x", b"", IDENTITY).is_err());
    }
}
