//! Granules as values, for an embedder that issues commands of its own: what is delegated cannot be touched.

use core::fmt;

use super::granules::Returned;
use super::slot::{Purpose, RealmId};
use crate::error::Error;
use crate::host::Host;
use crate::supply::{GranuleWords, PageSupply};
use crate::transport::SmcTransport;
use crate::units::GranuleAddress;

/// Whose the granules are that the embedder takes for itself.
pub(crate) const EMBEDDER: RealmId = RealmId(0);

/// A granule that the host owns and can touch. Dropping it gives it back to the pool.
#[must_use]
pub struct OwnGranule<'h, T: SmcTransport, M: PageSupply> {
    host: &'h Host<T, M>,
    address: Option<GranuleAddress>,
    granule: GranuleAddress,
}

/// A granule that is delegated: there is no way to touch it. Dropping it undelegates it, or leaves it in quarantine.
#[must_use]
pub struct DelegatedGranule<'h, T: SmcTransport, M: PageSupply> {
    host: &'h Host<T, M>,
    granule: GranuleAddress,
}

impl<T: SmcTransport, M: PageSupply> Host<T, M> {
    /// Takes a granule from the embedder's own part of the pool, all zero.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn take_granule(&self) -> Result<OwnGranule<'_, T, M>, Error> {
        let granule = self.granules().hold(EMBEDDER, Purpose::Data)?;
        Ok(OwnGranule {
            host: self,
            address: Some(granule),
            granule,
        })
    }
}

impl<'h, T: SmcTransport, M: PageSupply> OwnGranule<'h, T, M> {
    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> GranuleAddress {
        self.granule
    }

    /// What is in it.
    #[must_use]
    pub fn words(&self) -> &GranuleWords {
        self.host.supply().words(self.granule)
    }

    /// Delegates it (`RMI_GRANULE_DELEGATE`, RMM specification 1.0-rel0, B4.3). Its content is cleared before.
    ///
    /// # Errors
    ///
    /// The monitor's refusal; the granule is back in the pool then.
    pub fn delegate(mut self) -> Result<DelegatedGranule<'h, T, M>, Error> {
        let delegated = self.host.granules().delegate_held(self.granule);
        delegated.map_err(|refusal| Error::refused(refusal, self.granule.get()))?;
        self.address = None;
        Ok(DelegatedGranule {
            host: self.host,
            granule: self.granule,
        })
    }
}

impl<T: SmcTransport, M: PageSupply> DelegatedGranule<'_, T, M> {
    /// Where it is, for commands.
    #[must_use]
    pub const fn address(&self) -> GranuleAddress {
        self.granule
    }

    /// Undelegates it (`RMI_GRANULE_UNDELEGATE`, RMM specification 1.0-rel0, B4.3); it goes back to the pool or to quarantine.
    ///
    /// # Errors
    ///
    /// [`Error::Ledger`] if it was undelegated behind the ledger's back.
    pub fn undelegate(self) -> Result<Returned, Error> {
        let returned = self.host.granules().undelegate(self.granule);
        core::mem::forget(self);
        returned
    }
}

impl<T: SmcTransport, M: PageSupply> Drop for OwnGranule<'_, T, M> {
    fn drop(&mut self) {
        if let Some(granule) = self.address.take() {
            self.host.granules().clear(granule);
            let _ = self.host.granules().release(granule);
        }
    }
}

impl<T: SmcTransport, M: PageSupply> Drop for DelegatedGranule<'_, T, M> {
    fn drop(&mut self) {
        let _ = self.host.granules().undelegate(self.granule);
    }
}

impl<T: SmcTransport, M: PageSupply> fmt::Debug for OwnGranule<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnGranule").field(&self.granule).finish()
    }
}

impl<T: SmcTransport, M: PageSupply> fmt::Debug for DelegatedGranule<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DelegatedGranule")
            .field(&self.granule)
            .finish()
    }
}
