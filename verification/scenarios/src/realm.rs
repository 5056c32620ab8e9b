//! What a fixture knows of a realm, and how it builds and destroys one.

use alloc::vec::Vec;

use cca_abi::mpidr::rec_mpidr_from_index;
use cca_abi::rmi::params::{REC_CREATE_GPRS, REC_FLAG_RUNNABLE, RealmParams, RecParams};
use cca_abi::rmi::{
    Command, MAX_AUX_GRANULES, data_destroy, realm_create, realm_destroy, rec_aux_count,
    rec_create, rec_destroy, rtt_destroy,
};
use cca_abi::smccc::Registers;

use crate::Host;
use crate::fixture::Fixture;

/// Lifecycle state as far as the fixture brings it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealmState {
    /// Being built.
    New,
    /// May run.
    Active,
}

/// IPA width of the fixture's realms.
pub(crate) const IPA_BITS: u32 = 40;
/// First unprotected IPA of the fixture's realms.
pub(crate) const UNPROTECTED: u64 = 1 << (IPA_BITS - 1);
/// Starting level of the fixture's realms.
pub(crate) const START_LEVEL: i64 = 1;
/// Number of starting-level tables of the fixture's realms.
pub(crate) const ROOT_TABLES: u32 = 2;

/// A realm.
#[derive(Clone, Debug)]
pub struct Realm {
    /// PA of the realm descriptor.
    pub rd: u64,
    /// PA of the first starting-level table.
    pub rtt_base: u64,
    /// Number of starting-level tables.
    pub root_tables: u64,
    /// VMID.
    pub vmid: u64,
    /// State.
    pub state: RealmState,
    /// RECs with their auxiliary granules.
    pub recs: Vec<(u64, Vec<u64>)>,
    /// Tables: base IPA, level, PA.
    pub tables: Vec<(u64, i64, u64)>,
    /// Data: IPA, PA.
    pub data: Vec<(u64, u64)>,
}

impl Realm {
    /// Parameters that an RMM of the specification accepts, but for the tables and the VMID.
    #[must_use]
    pub fn params(rtt_base: u64, vmid: u16) -> RealmParams {
        RealmParams {
            flags: 0,
            s2sz: IPA_BITS as u8,
            sve_vl: 0,
            num_bps: 1,
            num_wps: 1,
            pmu_num_ctrs: 0,
            hash_algo: 0,
            rpv: [0; 8],
            vmid,
            rtt_base,
            rtt_level_start: START_LEVEL,
            rtt_num_start: ROOT_TABLES,
        }
    }

    /// The call that creates a realm, with everything that it needs.
    pub(crate) fn realm_create(fixture: &mut Fixture<'_>) -> Registers {
        Self::realm_create_with(fixture, |_| {})
    }

    /// As [`Realm::realm_create`], with changed parameters.
    pub(crate) fn realm_create_with(
        fixture: &mut Fixture<'_>,
        change: impl FnOnce(&mut RealmParams),
    ) -> Registers {
        let rd = fixture.delegated();
        let rtt_base = fixture.delegated_contiguous(ROOT_TABLES.into());
        let vmid = fixture.vmid();
        let mut words = [0; 512];
        let mut params = Self::params(rtt_base, vmid);
        change(&mut params);
        params.write(&mut words);
        let params_ptr = fixture.non_secure_with(&words);
        realm_create::Input { rd, params_ptr }.encode()
    }

    /// Creates a realm.
    pub(crate) fn create(fixture: &mut Fixture<'_>) -> Realm {
        Self::create_with(fixture, |_| {})
    }

    /// Creates a realm with changed parameters.
    pub(crate) fn create_with(
        fixture: &mut Fixture<'_>,
        change: impl FnOnce(&mut RealmParams),
    ) -> Realm {
        let call = Self::realm_create_with(fixture, change);
        fixture.call(Command::RealmCreate, call);
        Self::from_params(fixture.host(), call.0[1], call.0[2])
    }

    /// What the fixture has to know of a realm made from these parameters.
    pub(crate) fn from_params(host: &dyn Host, rd: u64, params_ptr: u64) -> Realm {
        let words: Vec<u64> = (0..RealmParams::WORDS)
            .map(|word| host.read(params_ptr, word))
            .collect();
        let params = RealmParams::read(&words);
        Realm {
            rd,
            rtt_base: params.rtt_base,
            root_tables: params.rtt_num_start.into(),
            vmid: params.vmid.into(),
            state: RealmState::New,
            recs: Vec::new(),
            tables: Vec::new(),
            data: Vec::new(),
        }
    }

    /// The auxiliary granules in REC parameters.
    pub(crate) fn aux_of(host: &dyn Host, params_ptr: u64) -> Vec<u64> {
        let words: Vec<u64> = (0..RecParams::WORDS)
            .map(|word| host.read(params_ptr, word))
            .collect();
        let params = RecParams::read(&words);
        params.aux[..(params.num_aux as usize).min(MAX_AUX_GRANULES)].to_vec()
    }

    /// The call that creates a REC, with everything that it needs.
    pub(crate) fn rec_create(
        fixture: &mut Fixture<'_>,
        rd: u64,
        index: u64,
        runnable: bool,
    ) -> Registers {
        Self::rec_create_at(fixture, rd, index, runnable, 0, [0; REC_CREATE_GPRS])
    }

    /// As [`Realm::rec_create`], with a program counter and X0 to X7.
    pub(crate) fn rec_create_at(
        fixture: &mut Fixture<'_>,
        rd: u64,
        index: u64,
        runnable: bool,
        pc: u64,
        gprs: [u64; REC_CREATE_GPRS],
    ) -> Registers {
        let rec = fixture.delegated();
        let count = fixture
            .call(Command::RecAuxCount, rec_aux_count::Input { rd }.encode())
            .0[1];
        let mut params = RecParams {
            flags: if runnable { REC_FLAG_RUNNABLE } else { 0 },
            mpidr: rec_mpidr_from_index(index).unwrap_or(0),
            pc,
            gprs,
            num_aux: count,
            ..RecParams::default()
        };
        for slot in params.aux.iter_mut().take(count as usize) {
            *slot = fixture.delegated();
        }
        let mut words = [0; 512];
        params.write(&mut words);
        let params_ptr = fixture.non_secure_with(&words);
        rec_create::Input {
            rd,
            rec,
            params_ptr,
        }
        .encode()
    }

    /// The PAs of the starting-level tables.
    pub fn root_tables(&self) -> impl Iterator<Item = u64> + use<> {
        let base = self.rtt_base;
        (0..self.root_tables).map(move |i| base + i * 4096)
    }

    /// The table at this level for this base IPA.
    #[must_use]
    pub fn table_at(&self, base: u64, level: i64) -> Option<u64> {
        self.tables
            .iter()
            .find(|&&(ipa, at, _)| ipa == base && at == level)
            .map(|&(_, _, pa)| pa)
    }

    /// Takes the realm down.
    pub(crate) fn destroy(&self, fixture: &mut Fixture<'_>) {
        let rd = self.rd;
        for &(rec, _) in &self.recs {
            fixture.call(Command::RecDestroy, rec_destroy::Input { rec }.encode());
        }
        for &(ipa, _) in &self.data {
            fixture.call(
                Command::DataDestroy,
                data_destroy::Input { rd, ipa }.encode(),
            );
        }
        let mut tables = self.tables.clone();
        tables.sort_by_key(|&(_, level, _)| core::cmp::Reverse(level));
        for (ipa, level, _) in tables {
            fixture.call(
                Command::RttDestroy,
                rtt_destroy::Input { rd, ipa, level }.encode(),
            );
        }
        fixture.call(Command::RealmDestroy, realm_destroy::Input { rd }.encode());
    }
}
