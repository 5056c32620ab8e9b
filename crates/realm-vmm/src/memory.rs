//! The memory that a realm shares, as its devices see it.

use core::ops::Range;

use cca_abi::rmi::Ripas;
use realm_host::realm::Active;
use realm_host::units::GRANULE;
use realm_host::{Ipa, PageSupply, Realm, SmcTransport};

use crate::bus::{NotShared, SharedMemory};

/// The shared memory of a realm.
///
/// What a realm has made shared (RIPAS EMPTY, in its RAM) is memory, whether or not it has touched it through the unprotected alias: the
/// pages are added when a device touches them first, too.
pub struct RealmMemory<'r, 'h, T: SmcTransport, M: PageSupply> {
    realm: &'r Realm<'h, T, M, Active>,
    ram: Range<u64>,
}

impl<'r, 'h, T: SmcTransport, M: PageSupply> RealmMemory<'r, 'h, T, M> {
    /// The shared memory of a realm whose RAM is there, by its protected addresses.
    pub const fn new(realm: &'r Realm<'h, T, M, Active>, ram: Range<u64>) -> Self {
        Self { realm, ram }
    }

    /// Tries a copy at the unprotected alias, and once more if pages were missing.
    fn copy(
        &self,
        ipa: u64,
        length: usize,
        mut copy: impl FnMut(Ipa) -> Option<()>,
    ) -> Result<(), NotShared> {
        let private = ipa & !self.realm.geometry().unprotected_bit();
        let alias = self.realm.geometry().alias(Ipa::new(private));
        if copy(alias).is_some() {
            return Ok(());
        }
        self.add_pages(private, length)?;
        copy(alias).ok_or(NotShared)
    }

    fn add_pages(&self, private: u64, length: usize) -> Result<(), NotShared> {
        let top = private.checked_add(length as u64).ok_or(NotShared)?;
        if private < self.ram.start || top > self.ram.end {
            return Err(NotShared);
        }
        for granule in (private & !(GRANULE - 1)..top).step_by(GRANULE as usize) {
            let granule = Ipa::new(granule);
            let alias = self.realm.geometry().alias(granule);
            if self.realm.read_shared(alias).is_some() {
                continue;
            }
            let entry = self.realm.entry(granule).map_err(|_| NotShared)?;
            if entry.ripas != Ripas::Empty {
                return Err(NotShared);
            }
            self.realm.share(alias).map_err(|_| NotShared)?;
        }
        Ok(())
    }
}

impl<T: SmcTransport, M: PageSupply> SharedMemory for RealmMemory<'_, '_, T, M> {
    fn read(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared> {
        self.copy(ipa, to.len(), |alias| {
            self.realm.read_shared_bytes(alias, to)
        })
    }

    fn write(&self, ipa: u64, from: &[u8]) -> Result<(), NotShared> {
        self.copy(ipa, from.len(), |alias| {
            self.realm.write_shared_bytes(alias, from)
        })
    }
}
