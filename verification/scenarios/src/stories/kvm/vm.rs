//! A virtual machine as KVM builds it and takes it down.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use cca_abi::rmi::params::{REC_CREATE_GPRS, REC_FLAG_RUNNABLE, RealmParams, RecParams};
use cca_abi::rmi::run::{LIST_REGISTERS, RecEnter, RecExit};
use cca_abi::rmi::{
    Command, MAX_AUX_GRANULES, data_create, granule_undelegate, realm_activate, realm_create,
    realm_destroy, rec_aux_count, rec_create, rec_destroy, rtt_init_ripas,
};

use super::stage2::{roots, start_level};
use super::{invoke, must};
use crate::fixture::Fixture;
use crate::stories::vectors::supported;

/// A vCPU with its REC.
pub(super) struct Vcpu {
    /// The REC's granule.
    pub(super) rec: u64,
    /// The page that it runs with.
    pub(super) run_page: u64,
    aux: Vec<u64>,
    /// MPIDR_EL1 without the bits that are no affinity.
    pub(super) mpidr: u64,
    /// Whether it may run, as far as KVM knows.
    pub(super) on: bool,
    /// KVM's copy of X0 to X30.
    pub(super) shadow: [u64; 31],
    /// What stands in the first half of the run page. Only flags are reset after a run.
    pub(super) enter: RecEnter,
    /// What stood in the second half after the last run.
    pub(super) exit: RecExit,
    /// The list registers, as the virtual GIC keeps them between runs.
    pub(super) lists: [u64; LIST_REGISTERS],
}

/// A virtual machine with a realm.
pub(super) struct Vm {
    /// Its realm descriptor.
    pub(super) rd: u64,
    /// Its IPA width.
    pub(super) bits: u32,
    root: u64,
    num_aux: usize,
    /// Its vCPUs.
    pub(super) vcpus: Vec<Vcpu>,
    /// The one memory slot: guest addresses without the bit that makes them shared.
    pub(super) slot: Range<u64>,
    /// Pages of the slot that the VMM has made shared.
    pub(super) shared: BTreeSet<u64>,
    /// The VMM's own memory behind shared pages.
    pub(super) backing: BTreeMap<u64, u64>,
    /// Whether the VMM changes the attributes of memory as the realm asks for it.
    pub(super) obliging: bool,
    /// The exits to the VMM for memory faults: base, size, whether it is to become private.
    pub(super) memory_faults: Vec<(u64, u64, bool)>,
}

impl Vm {
    /// Creates a realm: KVM_CAP_ARM_RME, CREATE_REALM. KVM gives VMIDs from its own bitmap, which starts with 0.
    pub(super) fn create(
        fixture: &mut Fixture<'_>,
        bits: u32,
        vmid: u16,
        configure: impl FnOnce(&mut RealmParams),
    ) -> Vm {
        let features = supported(fixture);
        let rd = fixture.delegated();
        let count = roots(bits);
        let root = fixture.delegated_contiguous(count);
        let mut params = RealmParams {
            flags: 0,
            s2sz: bits as u8,
            sve_vl: 0,
            // Of ID_AA64DFR0_EL1, into which KVM puts what the RMM has.
            num_bps: features.num_bps,
            num_wps: features.num_wps,
            pmu_num_ctrs: 0,
            hash_algo: 0,
            rpv: [0; 8],
            vmid,
            rtt_base: root,
            rtt_level_start: start_level(bits),
            rtt_num_start: count as u32,
        };
        configure(&mut params);
        let mut words = [0; 512];
        params.write(&mut words);
        let params_ptr = fixture.non_secure_with(&words);
        let input = realm_create::Input { rd, params_ptr };
        must(fixture, Command::RealmCreate, input.encode());
        // The page is the kernel's again, which uses it for something else.
        for word in 0..512 {
            fixture.host().write(params_ptr, word, u64::MAX);
        }
        let input = rec_aux_count::Input { rd };
        let num_aux = must(fixture, Command::RecAuxCount, input.encode()).x(1) as usize;
        if num_aux > MAX_AUX_GRANULES {
            fixture.fail("KVM has no room for so many auxiliary granules");
        }
        Vm {
            rd,
            bits,
            root,
            num_aux: num_aux.min(MAX_AUX_GRANULES),
            vcpus: Vec::new(),
            slot: 0..0,
            shared: BTreeSet::new(),
            backing: BTreeMap::new(),
            obliging: true,
            memory_faults: Vec::new(),
        }
    }

    /// Gives granules back to the kernel.
    pub(super) fn give_back(fixture: &mut Fixture<'_>, addr: u64) {
        let input = granule_undelegate::Input { addr };
        must(fixture, Command::GranuleUndelegate, input.encode());
    }

    /// INIT_RIPAS_REALM.
    pub(super) fn init_ripas(&self, fixture: &mut Fixture<'_>, range: Range<u64>) {
        let rd = self.rd;
        self.change_ripas(fixture, range, Command::RttInitRipas, |base, top| {
            rtt_init_ripas::Input { rd, base, top }.encode()
        });
    }

    /// POPULATE_REALM of one page, measured: the content comes from the VMM's memory.
    pub(super) fn populate(&self, fixture: &mut Fixture<'_>, ipa: u64, words: &[u64]) {
        let src = fixture.non_secure_with(words);
        let data = fixture.delegated();
        let call = data_create::Input {
            rd: self.rd,
            data,
            ipa,
            src,
            flags: 1,
        }
        .encode();
        let mut answer = invoke(fixture, Command::DataCreate, call);
        if let Some(level) = answer.rtt() {
            fixture.equal("whether a table is missing", level < 3, true);
            self.create_tables(fixture, ipa, level, 3);
            answer = invoke(fixture, Command::DataCreate, call);
        }
        fixture.equal("RMI_DATA_CREATE", answer.x(0), 0);
    }

    /// KVM_ARM_VCPU_FINALIZE of the next vCPU, which KVM_ARM_VCPU_INIT has on if it is the first.
    pub(super) fn create_vcpu(
        &mut self,
        fixture: &mut Fixture<'_>,
        pc: u64,
        gprs: [u64; REC_CREATE_GPRS],
    ) {
        let id = self.vcpus.len() as u64;
        let mpidr = id & 0xF | (id >> 4 & 0xFF) << 8 | (id >> 12 & 0xFF) << 16;
        let run_page = fixture.non_secure_with(&[]);
        let rec = fixture.delegated();
        let aux: Vec<u64> = (0..self.num_aux).map(|_| fixture.delegated()).collect();
        let mut params = RecParams {
            flags: if id == 0 { REC_FLAG_RUNNABLE } else { 0 },
            mpidr,
            pc,
            gprs,
            num_aux: aux.len() as u64,
            ..RecParams::default()
        };
        params.aux[..aux.len()].copy_from_slice(&aux);
        let mut words = [0; 512];
        params.write(&mut words);
        let params_ptr = fixture.non_secure_with(&words);
        let input = rec_create::Input {
            rd: self.rd,
            rec,
            params_ptr,
        };
        must(fixture, Command::RecCreate, input.encode());
        self.vcpus.push(Vcpu {
            rec,
            run_page,
            aux,
            mpidr,
            on: id == 0,
            shadow: [0; 31],
            enter: RecEnter::default(),
            exit: RecExit::default(),
            lists: [0; LIST_REGISTERS],
        });
    }

    /// ACTIVATE_REALM.
    pub(super) fn activate(&self, fixture: &mut Fixture<'_>) {
        let input = realm_activate::Input { rd: self.rd };
        must(fixture, Command::RealmActivate, input.encode());
    }

    /// The end of a VM: the address space goes first, then the vCPUs, then the realm.
    pub(super) fn destroy(self, fixture: &mut Fixture<'_>) {
        let half = 1 << (self.bits - 1);
        self.unmap(fixture, 0..half, true);
        self.tear_down(fixture, start_level(self.bits) + 1, 0..1 << self.bits);
        for vcpu in &self.vcpus {
            let input = rec_destroy::Input { rec: vcpu.rec };
            must(fixture, Command::RecDestroy, input.encode());
            for &pa in &vcpu.aux {
                Self::give_back(fixture, pa);
            }
            Self::give_back(fixture, vcpu.rec);
        }
        let input = realm_destroy::Input { rd: self.rd };
        must(fixture, Command::RealmDestroy, input.encode());
        Self::give_back(fixture, self.rd);
        for table in 0..roots(self.bits) {
            Self::give_back(fixture, self.root + table * 4096);
        }
        // Another monitor may have refused some granules of a row, and the fixture keeps the others.
        let forgotten = fixture.host().has_own_monitor() && fixture.has_delegated();
        fixture.equal("whether KVM has forgotten a granule", forgotten, false);
    }
}
