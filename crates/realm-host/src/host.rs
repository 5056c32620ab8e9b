//! The host: one monitor, one allocator, one ledger, any number of realms.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use cca_abi::rmi::feature_register::FeatureRegister0;
use cca_abi::rmi::{InterfaceVersion, features, version};
use spin::Mutex;

use crate::client::Client;
use crate::error::{About, Error};
use crate::ledger::{Account, EMBEDDER, Granules, Purpose, Quarantined, RealmId};
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GranuleAddress, GranuleCount, PageCount};

/// VMIDs that every PE has.
const NARROW_VMIDS: usize = 1 << 8;
/// VMIDs of PEs with FEAT_VMID16.
const WIDE_VMIDS: usize = 1 << 16;

/// What hosts realms: the monitor that was found behind a transport, the embedder's allocator, and the ledger of
/// everything that one was given of the other.
///
/// It is shared by all threads and has to outlive its realms.
pub struct Host<T, M> {
    granules: Granules<T, M>,
    features: FeatureRegister0,
    next_realm: AtomicU32,
    /// A bit for each VMID that is taken, as far as any was.
    vmids: Mutex<Vec<u64>>,
    most_vmids: usize,
}

impl<T: SmcTransport, M: PageSupply> Host<T, M> {
    /// Looks for a monitor and reads its features.
    ///
    /// # Errors
    ///
    /// [`Error::NoMonitor`] if there is none, [`Error::Version`] if it does not speak RMI 1.0, or what it answered to
    /// `RMI_FEATURES`.
    pub fn new(transport: T, supply: M) -> Result<Self, Error> {
        let client = Client::new(transport);
        if let Err(refused) = client.version(version::Input {
            req: InterfaceVersion::V1_0.encode(),
        }) {
            return Err(if refused.refusal.code().is_none() {
                Error::NoMonitor
            } else {
                Error::Version {
                    lower: InterfaceVersion::decode(refused.output.lower),
                    higher: InterfaceVersion::decode(refused.output.higher),
                }
            });
        }
        let features = client.features(features::Input { index: 0 }).about(0)?;
        let granules = Granules::new(client, supply);
        granules.open(EMBEDDER);
        Ok(Self {
            granules,
            features: FeatureRegister0::decode(features.value),
            next_realm: AtomicU32::new(1),
            vmids: Mutex::new(Vec::new()),
            most_vmids: NARROW_VMIDS,
        })
    }

    /// Permits more than 256 realms at once: VMIDs of 16 bits. That is for PEs whose ID_AA64MMFR1_EL1.VMIDBits is 2, which a monitor
    /// does not report (RMM specification 1.0-rel0, RMI_REALM_CREATE, `vmid_valid`). The low ones are used first.
    #[must_use]
    pub fn with_wide_vmids(mut self) -> Self {
        self.most_vmids = WIDE_VMIDS;
        self
    }

    /// What the monitor supports.
    pub const fn features(&self) -> &FeatureRegister0 {
        &self.features
    }

    /// How many list registers a host may use: the feature field plus one (RMM specification 1.0-rel0, B4.4).
    pub const fn list_registers(&self) -> usize {
        self.features.gicv3_num_lrs as usize + 1
    }

    /// The typed client, for commands that this crate has no use for.
    ///
    /// What it changes behind the ledger's back is the caller's own business.
    pub const fn client(&self) -> &Client<T> {
        self.granules.client()
    }

    /// The embedder's allocator.
    pub const fn supply(&self) -> &M {
        self.granules.supply()
    }

    /// The granule account of all realms, ever.
    pub fn account(&self) -> Account {
        self.granules.account()
    }

    /// The granule account of one realm. After it was destroyed only what it has left behind is known: granules that did not come
    /// back, as delegated and, if the monitor refused to give them back, as quarantined.
    pub fn account_of(&self, realm: RealmId) -> Account {
        let (mut held, mut quarantined) = (0, 0);
        self.for_each_delegated(|_, _, owner| held += u64::from(owner == realm));
        self.for_each_quarantined(|granule| quarantined += u64::from(granule.owner == realm));
        let delegated = self.granules.delegated_for(realm).max(held);
        Account {
            delegated,
            returned: delegated - held,
            quarantined,
        }
    }

    /// Host pages that realms hold now, quarantined ones included.
    pub fn pages_held(&self) -> usize {
        self.granules.pages()
    }

    /// Host pages that realms were promised and do not hold yet: never more than are free.
    pub fn pages_owed(&self) -> PageCount {
        self.granules.pages_owed()
    }

    /// Calls `f` for each granule that the monitor has now, those in quarantine included, in ascending order of address: what
    /// it is used for, and by which realm. It is what a crash dump needs, or a host that hands over to another one.
    pub fn for_each_delegated(&self, f: impl FnMut(GranuleAddress, Purpose, RealmId)) {
        self.granules.for_each_delegated(f);
    }

    /// Calls `f` for each granule in quarantine, in ascending order of address.
    pub fn for_each_quarantined(&self, f: impl FnMut(Quarantined)) {
        self.granules.for_each_quarantined(f);
    }

    /// Tries once more to undelegate every granule in quarantine; returns how many came back.
    ///
    /// # Errors
    ///
    /// [`Error::Ledger`] if two threads retry at the same moment and one finds a granule already returned.
    pub fn retry_quarantine(&self) -> Result<GranuleCount, Error> {
        self.granules.retry_quarantine()
    }

    pub(crate) const fn granules(&self) -> &Granules<T, M> {
        &self.granules
    }

    pub(crate) fn new_realm_id(&self) -> RealmId {
        RealmId(self.next_realm.fetch_add(1, Ordering::Relaxed))
    }

    /// Reserves the lowest free VMID.
    pub(crate) fn take_vmid(&self) -> Result<u16, Error> {
        let mut vmids = self.vmids.lock();
        let word = vmids.iter().position(|&taken| taken != u64::MAX);
        let word = word.unwrap_or(vmids.len());
        if word * 64 >= self.most_vmids {
            return Err(Error::NoVmid);
        }
        if word == vmids.len() {
            vmids.push(0);
        }
        let bit = vmids[word].trailing_ones() as usize;
        vmids[word] |= 1 << bit;
        Ok((word * 64 + bit) as u16)
    }

    pub(crate) fn free_vmid(&self, vmid: u16) {
        let vmid = usize::from(vmid);
        self.vmids.lock()[vmid / 64] &= !(1 << (vmid % 64));
    }
}
