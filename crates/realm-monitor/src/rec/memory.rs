//! The realm's memory as the monitor sees it: accesses on behalf of a call, and what an address is to the realm.

use aarch64_formats::esr::{Esr, class, fault};
use aarch64_formats::stage2::{self, PAGE_LEVEL};
use cca_abi::GRANULE_SIZE;
use cca_abi::rmi::Ripas;

use super::exit::{Exit, Syndrome};
use super::running::RunningRec;
use crate::platform::{Granule, Platform};
use crate::rtt::Walk;

/// Why memory of the realm cannot be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inaccessible {
    /// Its RIPAS is EMPTY: the realm has no memory there.
    Empty,
    /// The host has to do something first.
    Fault(Fault),
}

/// A page that the host has to provide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    ipa: u64,
    level: i8,
}

impl Fault {
    /// The exit that asks the host for the page: the data abort that an access of the realm itself would cause.
    pub(crate) fn exit(self) -> Exit {
        let esr = Esr::new(class::DATA_ABORT_LOWER, fault::translation(self.level)).bits();
        Exit::Sync(Syndrome {
            esr,
            hpfar: (self.ipa / GRANULE_SIZE) << 4,
            ..Syndrome::default()
        })
    }
}

impl<P: Platform> RunningRec<'_, P> {
    /// What a protected address is to the realm.
    pub(crate) fn ripas(&self, ipa: u64) -> Ripas {
        let walk = Walk::new(
            self.monitor(),
            &self.realm().address_space(),
            ipa,
            PAGE_LEVEL,
        );
        walk.entry.ripas(walk.level)
    }

    /// Accesses the granule at a protected address. The table entry stays locked meanwhile, so the host cannot take the
    /// granule away.
    ///
    /// # Errors
    /// [`Inaccessible`], without an access.
    pub(crate) fn with_page<R>(
        &self,
        ipa: u64,
        access: impl FnOnce(&Granule) -> R,
    ) -> Result<R, Inaccessible> {
        let space = self.realm().address_space();
        let walk = Walk::new(self.monitor(), &space, ipa, PAGE_LEVEL);
        if walk.entry.is_assigned(walk.level) && walk.entry.is_valid() {
            let offset = ipa & (stage2::entry_size(walk.level) - 1) & !(GRANULE_SIZE - 1);
            let granule = self
                .platform()
                .granule(walk.entry.address(space.lpa2) + offset);
            return Ok(access(granule));
        }
        if walk.entry.ripas(walk.level) == Ripas::Empty {
            return Err(Inaccessible::Empty);
        }
        Err(Inaccessible::Fault(Fault {
            ipa,
            level: walk.level,
        }))
    }
}
