//! The abstract state of a realm monitor.

use std::collections::BTreeMap;

use cca_abi::rmi::Ripas;
use cca_abi::rmi::feature_register::FeatureRegister0;

use crate::execution::{Operation, Retired};
use crate::judgement::{Code, Judgement};
use crate::measurement::Measurement;
use crate::tables::{Table, entry_size};

/// How the model reads Non-secure memory: the words of the granule at an address that the host may access.
pub type Read<'a> = &'a dyn Fn(u64) -> Box<[u64; 512]>;

/// What the monitor runs on.
#[derive(Clone, Debug)]
pub struct Platform {
    /// First and last-plus-one address of what may be delegated.
    pub delegable: Vec<(u64, u64)>,
    /// What RMI_FEATURES says at index 0.
    pub features: u64,
    /// Bits of a VMID.
    pub vmid_bits: u32,
}

/// State of a granule that is not UNDELEGATED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granule {
    /// Nobody's.
    Delegated,
    /// A realm descriptor.
    Rd,
    /// A REC.
    Rec,
    /// Storage of a REC.
    RecAux,
    /// A translation table.
    Rtt,
    /// Memory of a realm.
    Data,
}

/// State of a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealmState {
    /// Being built.
    New,
    /// May run.
    Active,
    /// Has switched itself off.
    SystemOff,
}

/// A realm.
#[derive(Clone, Debug)]
pub struct Realm {
    /// State.
    pub state: RealmState,
    /// IPA width.
    pub ipa_bits: u32,
    /// Uses LPA2.
    pub lpa2: bool,
    /// RmiHashAlgorithm.
    pub hash_algo: u8,
    /// VMID.
    pub vmid: u16,
    /// Starting level.
    pub start_level: i64,
    /// The starting-level tables.
    pub tables: Vec<Table>,
    /// The realm initial measurement.
    pub rim: Measurement,
    /// The index that the next REC has to have.
    pub rec_index: u64,
    /// Auxiliary granules of each REC: what the monitor has said once.
    pub aux_count: Option<u64>,
}

impl Realm {
    /// First unprotected IPA.
    #[must_use]
    pub fn unprotected(&self) -> u64 {
        1 << (self.ipa_bits - 1)
    }

    pub(crate) fn is_protected(&self, ipa: u64) -> bool {
        ipa < self.unprotected()
    }

    pub(crate) fn is_inside(&self, ipa: u64) -> bool {
        ipa < 1 << self.ipa_bits
    }

    fn starting(&self, ipa: u64) -> usize {
        let each = self.tables[0].entries.len() as u64 * entry_size(self.start_level);
        (ipa / each) as usize
    }

    /// The table in which the walk for an IPA inside the realm's space ends.
    #[must_use]
    pub fn walk(&self, ipa: u64, level: i64) -> &Table {
        self.tables[self.starting(ipa)].walk(ipa, level)
    }

    pub(crate) fn walk_mut(&mut self, ipa: u64, level: i64) -> &mut Table {
        let starting = self.starting(ipa);
        self.tables[starting].walk_mut(ipa, level)
    }

    /// All tables.
    #[must_use]
    pub fn all_tables(&self) -> Vec<&Table> {
        self.tables.iter().flat_map(Table::all).collect()
    }

    pub(crate) fn level_ok(&self, level: i64) -> bool {
        (self.start_level..=3).contains(&level)
    }

    pub(crate) fn level_below_start(&self, level: i64) -> bool {
        self.level_ok(level) && level != self.start_level
    }

    pub(crate) fn level_leaf(&self, level: i64) -> bool {
        self.level_ok(level) && level >= 1
    }

    pub(crate) fn is_too_high(&self, pa: u64) -> bool {
        !self.lpa2 && pa >= 1 << 48
    }
}

/// A PSCI call that waits for RMI_PSCI_COMPLETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciRequest {
    /// CPU_ON.
    On {
        /// REC index of the target.
        index: u64,
        /// Where it starts.
        entry: u64,
    },
    /// AFFINITY_INFO.
    Affinity {
        /// REC index of the target.
        index: u64,
    },
}

/// A RIPAS change that a realm has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RipasRequest {
    /// Next IPA to process.
    pub address: u64,
    /// End.
    pub top: u64,
    /// What is wanted.
    pub ripas: Ripas,
    /// DESTROYED entries may change, too.
    pub change_destroyed: bool,
}

/// A REC.
#[derive(Clone, Debug)]
pub struct Rec {
    /// Its realm descriptor.
    pub owner: u64,
    /// REC index.
    pub index: u64,
    /// Auxiliary granules.
    pub aux: Vec<u64>,
    /// May run.
    pub runnable: bool,
    /// Awaits RMI_PSCI_COMPLETE.
    pub psci: Option<PsciRequest>,
    /// Has asked for a RIPAS change in its last exit.
    pub ripas: Option<RipasRequest>,
    /// The last exit was an emulatable data abort.
    pub emulatable: bool,
    /// The last exit was a data abort at an unprotected IPA.
    pub unprotected_abort: bool,
    /// Page of its program.
    pub code: u64,
    /// What its program has begun and not finished.
    pub in_flight: Option<Operation>,
    /// How that ends at the next entry; `None`: it is tried again.
    pub completion: Option<Retired>,
}

/// The state.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the monitor runs on.
    pub platform: Platform,
    /// Granules that are not UNDELEGATED.
    pub granules: BTreeMap<u64, Granule>,
    /// Realms by the address of their descriptor.
    pub realms: BTreeMap<u64, Realm>,
    /// RECs by address.
    pub recs: BTreeMap<u64, Rec>,
}

impl Model {
    /// A monitor that has just booted.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            granules: BTreeMap::new(),
            realms: BTreeMap::new(),
            recs: BTreeMap::new(),
        }
    }

    pub(crate) fn features(&self) -> FeatureRegister0 {
        FeatureRegister0::decode(self.platform.features)
    }

    /// Whether there is memory at `pa` that may be delegated.
    #[must_use]
    pub fn delegable(&self, pa: u64) -> bool {
        self.platform
            .delegable
            .iter()
            .any(|&(base, top)| (base..top).contains(&pa))
    }

    /// State of the granule that contains `pa`; `None` for UNDELEGATED.
    #[must_use]
    pub fn granule(&self, pa: u64) -> Option<Granule> {
        self.granules.get(&(pa & !0xFFF)).copied()
    }

    /// Whether the host can access the granule.
    #[must_use]
    pub fn is_non_secure(&self, pa: u64) -> bool {
        self.delegable(pa) && self.granule(pa).is_none()
    }

    /// RECs that a realm owns.
    pub fn recs_of(&self, rd: u64) -> impl Iterator<Item = (&u64, &Rec)> {
        self.recs.iter().filter(move |(_, rec)| rec.owner == rd)
    }

    pub(crate) fn set(&mut self, pa: u64, granule: Granule) {
        self.granules.insert(pa, granule);
    }

    pub(crate) fn realm_mut(&mut self, rd: u64) -> &mut Realm {
        self.realms.get_mut(&rd).expect("judged: a realm")
    }

    pub(crate) fn rec_mut(&mut self, rec: u64) -> &mut Rec {
        self.recs.get_mut(&rec).expect("judged: a REC")
    }

    /// The rows about an operand that has to be a granule in a state. Says whether it is one.
    pub(crate) fn judge_granule(
        &self,
        judgement: &mut Judgement,
        [align, bound, state]: [&'static str; 3],
        pa: u64,
        wanted: Option<Granule>,
    ) -> bool {
        let wrong = [
            judgement.when(align, Code::Input, !pa.is_multiple_of(0x1000)),
            judgement.when(bound, Code::Input, !self.delegable(pa)),
            judgement.when(
                state,
                Code::Input,
                self.delegable(pa) && self.granule(pa) != wanted,
            ),
        ];
        wrong == [false; 3]
    }

    /// The rows about `rd`.
    pub(crate) fn judge_rd(&self, judgement: &mut Judgement, rd: u64) -> Option<&Realm> {
        let names = ["rd_align", "rd_bound", "rd_state"];
        self.judge_granule(judgement, names, rd, Some(Granule::Rd))
            .then(|| &self.realms[&rd])
    }

    /// The rows about a structure in Non-secure memory.
    pub(crate) fn judge_structure(
        &self,
        judgement: &mut Judgement,
        names: [&'static str; 3],
        pa: u64,
    ) -> bool {
        self.judge_granule(judgement, names, pa, None)
    }
}
