//! The boot manifest in the page that the root monitor and the RMM share (version 0.3).

use crate::GRANULE_SIZE;

/// The version written: 0.3.
pub const VERSION: u32 = 0x0000_0003;
/// Size of the manifest itself, before the arrays that it points to.
pub const SIZE: usize = 64;
/// Largest number of DRAM banks that is read.
pub const MAX_BANKS: usize = 16;
/// Largest number of consoles that is read.
pub const MAX_CONSOLES: usize = 4;

/// Byte offsets in the manifest.
pub mod offset {
    /// Version, 32 bits.
    pub const VERSION: usize = 0;
    /// PA of platform data, 0 for none.
    pub const PLAT_DATA: usize = 8;
    /// DRAM: number of banks, PA of the array, checksum.
    pub const PLAT_DRAM: usize = 16;
    /// Consoles: number, PA of the array, checksum.
    pub const PLAT_CONSOLE: usize = 40;
}

/// A bank of memory that may be delegated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryBank {
    /// PA, a multiple of 4 KiB.
    pub base: u64,
    /// Size in bytes, a multiple of 4 KiB.
    pub size: u64,
}

impl MemoryBank {
    /// First PA after the bank.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }
}

/// A console that the RMM may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// PA of its registers.
    pub base: u64,
    /// Number of pages of registers.
    pub map_pages: u64,
    /// Kind, for example `pl011`, padded with zeros.
    pub name: [u8; 8],
    /// Input clock in Hz.
    pub clk_in_hz: u64,
    /// Baud rate.
    pub baud_rate: u64,
    /// Zero.
    pub flags: u64,
}

impl Console {
    const WORDS: usize = 6;

    fn words(&self) -> [u64; Self::WORDS] {
        [
            self.base,
            self.map_pages,
            u64::from_le_bytes(self.name),
            self.clk_in_hz,
            self.baud_rate,
            self.flags,
        ]
    }
}

/// Why a manifest was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Another major version, or too old a minor one.
    Version,
    /// A list is damaged: count, address, order, overlap, alignment or checksum.
    Data,
}

/// What an RMM learns from the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    banks: [MemoryBank; MAX_BANKS],
    bank_count: usize,
    consoles: [Console; MAX_CONSOLES],
    console_count: usize,
}

impl Manifest {
    /// The DRAM banks, in ascending order.
    #[must_use]
    pub fn banks(&self) -> &[MemoryBank] {
        &self.banks[..self.bank_count]
    }

    /// The consoles.
    #[must_use]
    pub fn consoles(&self) -> &[Console] {
        &self.consoles[..self.console_count]
    }

    /// Reads and checks the manifest in a shared page.
    ///
    /// `words` is the whole page, `page` its PA. Lists have to lie in the page.
    ///
    /// # Errors
    /// [`ManifestError::Version`] for a version that is not 0.3 or a later 0.x; [`ManifestError::Data`] for
    /// anything wrong with a list.
    pub fn read(words: &[u64; 512], page: u64) -> Result<Manifest, ManifestError> {
        let version = words[0] & 0xFFFF_FFFF;
        if version >> 16 != 0 || version < u64::from(VERSION) {
            return Err(ManifestError::Version);
        }
        let mut manifest = Manifest {
            banks: [MemoryBank::default(); MAX_BANKS],
            bank_count: 0,
            consoles: [Console::default(); MAX_CONSOLES],
            console_count: 0,
        };

        let banks = list(words, page, offset::PLAT_DRAM, 2, MAX_BANKS)?;
        if banks.is_empty() {
            return Err(ManifestError::Data);
        }
        let mut last = 0;
        for (slot, bank) in manifest.banks.iter_mut().zip(banks.chunks_exact(2)) {
            *slot = MemoryBank {
                base: bank[0],
                size: bank[1],
            };
            let end = slot
                .base
                .checked_add(slot.size)
                .ok_or(ManifestError::Data)?;
            let aligned = (slot.base | slot.size) & (GRANULE_SIZE - 1) == 0;
            if slot.base == 0 || slot.size == 0 || !aligned || slot.base < last || end > 1 << 52 {
                return Err(ManifestError::Data);
            }
            last = end;
        }
        manifest.bank_count = banks.len() / 2;

        let consoles = list(
            words,
            page,
            offset::PLAT_CONSOLE,
            Console::WORDS,
            MAX_CONSOLES,
        )?;
        for (slot, console) in manifest
            .consoles
            .iter_mut()
            .zip(consoles.chunks_exact(Console::WORDS))
        {
            *slot = Console {
                base: console[0],
                map_pages: console[1],
                name: console[2].to_le_bytes(),
                clk_in_hz: console[3],
                baud_rate: console[4],
                flags: console[5],
            };
        }
        manifest.console_count = consoles.len() / Console::WORDS;
        Ok(manifest)
    }
}

/// The words of a list whose head (count, PA, checksum) is at `head`.
fn list(
    words: &[u64; 512],
    page: u64,
    head: usize,
    item_words: usize,
    maximum: usize,
) -> Result<&[u64], ManifestError> {
    let [count, array, checksum] = [words[head / 8], words[head / 8 + 1], words[head / 8 + 2]];
    if count == 0 {
        return if array == 0 && checksum == 0 {
            Ok(&[])
        } else {
            Err(ManifestError::Data)
        };
    }
    let start = array.checked_sub(page).ok_or(ManifestError::Data)?;
    if count > maximum as u64 || start % 8 != 0 || start >= GRANULE_SIZE {
        return Err(ManifestError::Data);
    }
    let start = start as usize / 8;
    let items = words
        .get(start..start + count as usize * item_words)
        .ok_or(ManifestError::Data)?;
    let sum = items.iter().fold(
        count.wrapping_add(array).wrapping_add(checksum),
        |sum, &word| sum.wrapping_add(word),
    );
    if sum == 0 {
        Ok(items)
    } else {
        Err(ManifestError::Data)
    }
}

/// Writes a manifest with these banks and consoles into a shared page whose PA is `page`.
///
/// # Errors
/// [`ManifestError::Data`] if there are more banks or consoles than fit.
pub fn write(
    words: &mut [u64; 512],
    page: u64,
    banks: &[MemoryBank],
    consoles: &[Console],
) -> Result<(), ManifestError> {
    if banks.len() > MAX_BANKS || consoles.len() > MAX_CONSOLES {
        return Err(ManifestError::Data);
    }
    words.fill(0);
    words[offset::VERSION / 8] = u64::from(VERSION);
    let mut at = SIZE / 8;
    let bank_start = at;
    for bank in banks {
        words[at..at + 2].copy_from_slice(&[bank.base, bank.size]);
        at += 2;
    }
    seal(words, page, offset::PLAT_DRAM, bank_start, at, banks.len());
    let console_start = at;
    for console in consoles {
        words[at..at + Console::WORDS].copy_from_slice(&console.words());
        at += Console::WORDS;
    }
    seal(
        words,
        page,
        offset::PLAT_CONSOLE,
        console_start,
        at,
        consoles.len(),
    );
    Ok(())
}

fn seal(words: &mut [u64; 512], page: u64, head: usize, start: usize, end: usize, count: usize) {
    if count == 0 {
        return;
    }
    let count = count as u64;
    let array = page + 8 * start as u64;
    let sum = words[start..end]
        .iter()
        .fold(count.wrapping_add(array), |sum, &word| {
            sum.wrapping_add(word)
        });
    words[head / 8..head / 8 + 3].copy_from_slice(&[count, array, sum.wrapping_neg()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 0x418F_F000;

    fn sample() -> [u64; 512] {
        let mut words = [0; 512];
        let banks = [
            MemoryBank {
                base: 0x4190_0000,
                size: 0x1000_0000,
            },
            MemoryBank {
                base: 0x1_0000_0000,
                size: 0x4000_0000,
            },
        ];
        let console = Console {
            base: 0x0900_0000,
            map_pages: 1,
            name: *b"pl011\0\0\0",
            ..Console::default()
        };
        write(&mut words, PAGE, &banks, &[console]).unwrap();
        words
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = Manifest::read(&sample(), PAGE).unwrap();
        assert_eq!(manifest.banks().len(), 2);
        assert_eq!(
            manifest.banks()[1],
            MemoryBank {
                base: 0x1_0000_0000,
                size: 0x4000_0000
            }
        );
        assert_eq!(manifest.consoles()[0].base, 0x0900_0000);
    }

    #[test]
    fn every_damaged_word_is_noticed() {
        let good = sample();
        for index in 2..(SIZE / 8 + 4 + 6) {
            if index == 8 - 1 {
                continue; // behind the console list's head
            }
            let mut words = good;
            words[index] ^= 0x8000;
            assert_eq!(
                Manifest::read(&words, PAGE),
                Err(ManifestError::Data),
                "word {index}"
            );
        }
        let mut words = good;
        words[0] = 2;
        assert_eq!(Manifest::read(&words, PAGE), Err(ManifestError::Version));
        words[0] = 0x1_0003;
        assert_eq!(Manifest::read(&words, PAGE), Err(ManifestError::Version));
        words[0] = 5;
        assert!(Manifest::read(&words, PAGE).is_ok());
    }

    #[test]
    fn banks_out_of_order_are_refused() {
        let mut words = [0; 512];
        let banks = [
            MemoryBank {
                base: 0x8000_0000,
                size: 0x1000,
            },
            MemoryBank {
                base: 0x4000_0000,
                size: 0x1000,
            },
        ];
        write(&mut words, PAGE, &banks, &[]).unwrap();
        assert_eq!(Manifest::read(&words, PAGE), Err(ManifestError::Data));
    }
}
