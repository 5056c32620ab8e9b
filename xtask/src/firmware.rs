//! The firmware flash: root monitor, a table that says where the RMM is, the RMM.

use cca_abi::firmware;

use crate::Error;

/// Size of the flash device that QEMU's virt machine has at address 0.
pub const FLASH_SIZE: u64 = firmware::FLASH_SIZE;

const TABLE_OFFSET: usize = firmware::TABLE_OFFSET as usize;
const RMM_OFFSET: usize = firmware::RMM_OFFSET as usize;

/// Puts `firmware.bin` together.
///
/// # Errors
///
/// When one of the two images does not fit or is empty.
pub fn assemble(root_monitor: &[u8], realm_monitor: &[u8]) -> Result<Vec<u8>, Error> {
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
    let table = firmware::table(realm_monitor.len() as u64);
    for (index, word) in table.iter().enumerate() {
        flash[TABLE_OFFSET + index * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    flash[RMM_OFFSET..].copy_from_slice(realm_monitor);
    Ok(flash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_rmm() {
        let flash = assemble(b"root", b"realm").unwrap();
        let word = |index: usize| {
            u64::from_le_bytes(flash[TABLE_OFFSET + index * 8..][..8].try_into().unwrap())
        };
        assert_eq!(&flash[..5], b"root\0");
        assert_eq!((word(0), word(1), word(4)), (firmware::MAGIC, 1, 0));
        let (offset, length) = (word(2) as usize, word(3) as usize);
        assert_eq!(&flash[offset..offset + length], b"realm");
        assert_eq!(flash.len(), offset + length);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(assemble(&vec![1; TABLE_OFFSET], b"x").is_ok());
        assert!(assemble(&vec![1; TABLE_OFFSET + 1], b"x").is_err());
        assert!(assemble(b"", b"x").is_err());
        assert!(assemble(b"x", b"").is_err());
    }
}
