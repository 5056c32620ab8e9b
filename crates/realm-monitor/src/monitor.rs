//! The monitor: what all PEs share.

use cca_abi::rmi;
use cca_abi::smccc::Registers;

use crate::attestation::Places;
use crate::commands::Call;
use crate::granule::{Banks, GranuleState, GranuleTable, Locked, Refused, State};
use crate::platform::{Platform, ProcessingElement};
use crate::realm::{self, VmidSet};

/// The Realm Management Monitor. One instance serves all PEs at once.
#[derive(Debug)]
pub struct Monitor<P: Platform> {
    platform: P,
    granules: GranuleTable,
    vmids: VmidSet,
    places: Places,
    features: rmi::feature_register::FeatureRegister0,
}

impl<P: Platform> Monitor<P> {
    /// A monitor for a machine whose delegable memory is `banks`. No granule is delegated yet.
    ///
    /// `None` if the platform has less than one granule state for each granule of the banks.
    #[must_use]
    pub fn new(platform: P, banks: Banks) -> Option<Self> {
        if platform.granule_states().len() < banks.granules() {
            return None;
        }
        let features = realm::features(platform.cpu());
        Some(Self {
            platform,
            granules: GranuleTable::new(banks),
            vmids: VmidSet::new(),
            places: Places::new(),
            features,
        })
    }

    /// Carries out one call of the host, made on the PE `pe`, and leaves the results in `registers`. PEs may do this at
    /// the same time.
    pub fn handle_rmi(
        &self,
        pe: &mut impl ProcessingElement,
        registers: &mut Registers,
    ) -> rmi::Dispatched {
        rmi::dispatch(&mut Call { monitor: self, pe }, registers)
    }

    /// The machine.
    #[must_use]
    #[inline]
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The granule table.
    #[must_use]
    #[inline]
    pub fn granules(&self) -> &GranuleTable {
        &self.granules
    }

    /// The VMIDs that realms have.
    #[must_use]
    #[inline]
    pub fn vmids(&self) -> &VmidSet {
        &self.vmids
    }

    /// The places for signatures that are under way.
    #[must_use]
    #[inline]
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What RMI_FEATURES reports at index 0.
    #[must_use]
    #[inline]
    pub fn features(&self) -> &rmi::feature_register::FeatureRegister0 {
        &self.features
    }

    /// The state of a granule right now; `None` if it is not delegable. For traces and tests.
    #[must_use]
    pub fn granule_state(&self, address: u64) -> Option<GranuleState> {
        self.granules.state(&self.platform, address)
    }

    /// Locks a granule that the host named. See [`GranuleTable::lock`].
    ///
    /// # Errors
    /// Why it is not what the host says it is.
    #[inline]
    pub fn lock<S: State>(&self, address: u64) -> Result<Locked<'_, S>, Refused> {
        self.granules.lock(&self.platform, address)
    }

    /// Locks two granules that the host named. See [`GranuleTable::lock_pair`].
    #[inline]
    pub fn lock_pair<A: State, B: State>(
        &self,
        a: u64,
        b: u64,
    ) -> (
        Result<Locked<'_, A>, Refused>,
        Result<Locked<'_, B>, Refused>,
    ) {
        self.granules.lock_pair(&self.platform, a, b)
    }

    /// Locks a granule that something of ours points to. See [`GranuleTable::lock_owned`].
    #[inline]
    pub fn lock_owned<S: State>(&self, address: u64) -> Locked<'_, S> {
        self.granules.lock_owned(&self.platform, address)
    }
}
