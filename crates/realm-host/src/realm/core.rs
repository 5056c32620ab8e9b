//! What a realm is in any state, and how it is taken apart.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cca_abi::rmi::params::RealmParams;
use cca_abi::rmi::{
    Command, MAX_AUX_GRANULES, realm_create, realm_destroy, rec_aux_count, rec_destroy,
};
use spin::{Mutex, RwLock};

use super::config::{Geometry, RealmConfig};
use super::memory::Tables;
use super::sharing::Shared;
use super::tables::Keep;
use crate::client::Client;
use crate::error::{About, Error};
use crate::host::Host;
use crate::ledger::{Granules, Purpose, RealmId};
use crate::measure::Rim;
use crate::rec::Vcpu;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GranuleAddress, GranuleCount};

/// Fewer steps than these might all go into finding out where the last ones ended.
const LEAST_STEPS: u64 = 16;

/// A realm in any state.
pub(crate) struct Core<'h, T: SmcTransport, M: PageSupply> {
    host: &'h Host<T, M>,
    id: RealmId,
    config: RealmConfig,
    vmid: Option<u16>,
    rd: Option<GranuleAddress>,
    roots: Option<GranuleAddress>,
    /// Whether `RMI_REALM_CREATE` succeeded and `RMI_REALM_DESTROY` did not yet.
    exists: bool,
    closed: bool,
    aux_count: usize,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) rim: Rim,
    /// Whether a REC switched the realm off.
    off: AtomicBool,
    /// Whether the host wants no REC to be entered for now.
    paused: AtomicBool,
    /// Faults are served under a read lock, conversions between private and shared under a write lock.
    pub(super) memory: RwLock<()>,
    /// Held while a block is made, before `memory`: two at work on the same one would each get half of it, and neither a block.
    pub(super) making_block: Mutex<()>,
    /// What is mapped at unprotected addresses, by its first IPA.
    pub(super) shared: Mutex<BTreeMap<u64, Shared>>,
    /// A table that is kept to split blocks with when the realm is destroyed: there is one once there is a block.
    pub(super) reserve: Mutex<Option<GranuleAddress>>,
    /// How much may be done before an operation has to give way: see [`Core::spend`].
    budget: AtomicU64,
    /// While the realm is destroyed: below this protected address there is no data any more.
    pub(super) cleared: AtomicU64,
}

impl<'h, T: SmcTransport, M: PageSupply> Core<'h, T, M> {
    /// Creates a realm.
    pub(super) fn create(host: &'h Host<T, M>, config: RealmConfig) -> Result<Self, Error> {
        config.check(host.features())?;
        let mut core = Self {
            host,
            id: host.new_realm_id(),
            config,
            vmid: None,
            rd: None,
            roots: None,
            exists: false,
            closed: false,
            aux_count: 0,
            vcpus: Vec::new(),
            rim: Rim::new(&config.measured()),
            off: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            memory: RwLock::new(()),
            making_block: Mutex::new(()),
            shared: Mutex::new(BTreeMap::new()),
            reserve: Mutex::new(None),
            budget: AtomicU64::new(u64::MAX),
            cleared: AtomicU64::new(0),
        };
        core.granules().open(core.id);
        // Whatever fails from here on, dropping the core undoes what was done.
        core.vmid = Some(host.take_vmid()?);
        let rd = core
            .granules()
            .delegate(core.id, Purpose::RealmDescriptor)?;
        core.rd = Some(rd);
        let tables = config.geometry().root_tables();
        let roots = core
            .granules()
            .delegate_contiguous(core.id, Purpose::RootTable, tables)?;
        core.roots = Some(roots);
        core.create_descriptor(rd, roots)?;
        core.exists = true;
        let count = core
            .client()
            .rec_aux_count(rec_aux_count::Input { rd: rd.get() })
            .about(rd.get())?
            .aux_count;
        core.aux_count = match usize::try_from(count) {
            Ok(granules) if granules <= MAX_AUX_GRANULES => granules,
            _ => {
                let what = "more auxiliary granules than a REC can have";
                return Err(Error::Answer {
                    command: Command::RecAuxCount,
                    what,
                    value: count,
                });
            }
        };
        Ok(core)
    }

    fn create_descriptor(&self, rd: GranuleAddress, roots: GranuleAddress) -> Result<(), Error> {
        let measured = self.config.measured();
        let mut rpv = [0; 8];
        for (word, bytes) in rpv.iter_mut().zip(self.config.rpv.chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        let params = RealmParams {
            flags: measured.flags,
            s2sz: measured.s2sz,
            sve_vl: measured.sve_vl,
            num_bps: measured.num_bps,
            num_wps: measured.num_wps,
            pmu_num_ctrs: measured.pmu_num_ctrs,
            hash_algo: measured.hash as u8,
            rpv,
            vmid: self.vmid.unwrap_or_default(),
            rtt_base: roots.get(),
            rtt_level_start: self.geometry().start_level(),
            rtt_num_start: self.geometry().root_tables().get() as u32,
        };
        let mut words = [0; 512];
        params.write(&mut words);
        self.with_parameters(&words, |params_ptr| {
            let input = realm_create::Input {
                rd: rd.get(),
                params_ptr: params_ptr.get(),
            };
            self.client()
                .realm_create(input)
                .about(rd.get())
                .map(|_| ())
        })
    }

    /// Puts words into a granule of the host's own for the length of a call.
    pub(crate) fn with_parameters<R>(
        &self,
        words: &[u64],
        call: impl FnOnce(GranuleAddress) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let granule = self.granules().hold(self.id, Purpose::Parameters)?;
        for (word, &value) in self.host.supply().words(granule).iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        let result = call(granule);
        // What was in it may be the owner's secret; the next user of the page may be anybody.
        self.granules().clear(granule);
        self.granules().release(granule)?;
        result
    }

    /// Takes the realm apart, from whatever state, in the order that the monitor demands: RECs, data, shared
    /// mappings, tables from the bottom up, the realm, root tables. Allocates nothing. What is done stays done: after a
    /// failure it can be called again and goes on. A REC that cannot be destroyed does not keep the rest from being
    /// returned.
    ///
    /// [`Error::Unfinished`] if the budget is used up before.
    pub(super) fn tear_down(&mut self) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        let mut first = Ok(());
        if self.exists {
            first = self.destroy_recs();
            if first == Err(Error::Unfinished) {
                return first;
            }
            let memory = self.destroy_memory();
            if memory == Err(Error::Unfinished) {
                return memory;
            }
            first = first.and(memory);
            first?;
            let rd = self.rd()?;
            self.client()
                .realm_destroy(realm_destroy::Input { rd })
                .about(rd)?;
            self.exists = false;
        }
        if let Some(rd) = self.rd.take() {
            self.granules().undelegate(rd)?;
        }
        if let Some(roots) = self.roots.take() {
            for table in 0..self.geometry().root_tables().get() {
                self.granules()
                    .undelegate(roots.plus(GranuleCount::new(table)))?;
            }
        }
        if let Some(vmid) = self.vmid.take() {
            self.host.free_vmid(vmid);
        }
        self.granules().close(self.id)?;
        self.closed = true;
        first
    }

    fn destroy_recs(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        for index in 0..self.vcpus.len() {
            let Some(rec) = self.vcpus[index].granule() else {
                continue;
            };
            self.spend()?;
            let answer = self
                .client()
                .rec_destroy(rec_destroy::Input { rec: rec.get() })
                .about(rec.get());
            result = result.and(answer.map(|_| ()).and_then(|()| {
                let Some(memory) = self.vcpus[index].take_memory() else {
                    return Ok(());
                };
                self.return_rec_memory(&memory)
            }));
        }
        result
    }

    fn destroy_memory(&self) -> Result<(), Error> {
        let geometry = self.geometry();
        let unprotected = geometry.unprotected_bit();
        let from = self.cleared.load(Ordering::Relaxed);
        self.remove_data(from, unprotected, Tables::Reserve)?;
        self.cleared.store(unprotected, Ordering::Relaxed);
        self.unshare(unprotected, geometry.end(), Tables::Reserve)?;
        self.remove_tables(geometry.start_level() + 1, 0, geometry.end(), Keep::None)?;
        self.give_up_reserve()
    }

    /// As [`Core::tear_down`], but gives way after about `steps` RECs, pages, mappings and tables.
    pub(super) fn tear_down_some(&mut self, steps: u64) -> Result<(), Error> {
        self.budget.store(steps.max(LEAST_STEPS), Ordering::Relaxed);
        let result = self.tear_down();
        self.budget.store(u64::MAX, Ordering::Relaxed);
        result
    }

    /// Told of everything that takes a few calls and makes progress by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] if there has been enough of it.
    pub(super) fn spend(&self) -> Result<(), Error> {
        match self.budget.load(Ordering::Relaxed) {
            0 => Err(Error::Unfinished),
            u64::MAX => Ok(()),
            left => {
                self.budget.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// The address of the realm descriptor.
    pub(crate) fn rd(&self) -> Result<u64, Error> {
        let gone = Error::Usage {
            what: "the realm has no descriptor any more",
            value: 0,
        };
        self.rd.map(GranuleAddress::get).ok_or(gone)
    }

    pub(crate) const fn host(&self) -> &'h Host<T, M> {
        self.host
    }

    pub(crate) const fn granules(&self) -> &'h Granules<T, M> {
        self.host.granules()
    }

    pub(crate) const fn client(&self) -> &'h Client<T> {
        self.host.client()
    }

    pub(crate) const fn id(&self) -> RealmId {
        self.id
    }

    pub(crate) const fn geometry(&self) -> Geometry {
        self.config.geometry()
    }

    pub(crate) const fn config(&self) -> &RealmConfig {
        &self.config
    }

    pub(crate) const fn aux_count(&self) -> usize {
        self.aux_count
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off.load(Ordering::SeqCst)
    }

    pub(crate) fn set_off(&self) {
        self.off.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }
}

impl<T: SmcTransport, M: PageSupply> Drop for Core<'_, T, M> {
    /// A realm that is dropped is destroyed. What the monitor refuses to give back stays in the ledger as delegated
    /// under the realm's number.
    fn drop(&mut self) {
        let _ = self.tear_down();
    }
}
