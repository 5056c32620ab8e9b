//! The state of the monitors at one moment.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};

use realm_monitor::Monitor;
use realm_monitor::granule::GranuleState;
use realm_monitor::platform::Platform;

use crate::board::Board;
use crate::memory::{GRANULE_SIZE, WORDS, contents};
use crate::monitor_platform::RealmPlatform;
use crate::protection::Gpi;

/// What the monitors hold about one granule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GranuleSnapshot {
    /// What the protection table says.
    pub gpi: Gpi,
    /// What the realm monitor says.
    pub state: GranuleState,
    /// Its count of users.
    pub count: u16,
    /// What is in it, if it is in the Realm physical address space and not all zero.
    pub content: Option<Box<[u64; WORDS]>>,
}

impl GranuleSnapshot {
    /// Of the granule at `pa`; `None` if it is not delegable or simply the host's.
    pub(crate) fn take(board: &Board, monitor: &Monitor<RealmPlatform>, pa: u64) -> Option<Self> {
        let state = monitor.granule_state(pa)?;
        let count = monitor.granules().count(monitor.platform(), pa)?;
        let gpi = board.gpi(pa);
        if gpi == Gpi::NON_SECURE && state == GranuleState::Undelegated && count == 0 {
            return None;
        }
        let content = if gpi == Gpi::REALM {
            board.memory.touched(pa).map(contents)
        } else {
            None
        };
        let content = content.filter(|words| words.iter().any(|word| *word != 0));
        Some(Self {
            gpi,
            state,
            count,
            content,
        })
    }
}

/// All delegable granules that are not simply the host's, and the VMIDs in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// By physical address.
    pub granules: BTreeMap<u64, GranuleSnapshot>,
    /// The VMIDs that realms have.
    pub vmids: BTreeSet<u16>,
}

/// Bytes that one level 1 descriptor of the protection table covers, if they begin at a multiple of it.
const GROUP: u64 = 16 * GRANULE_SIZE;

impl Snapshot {
    /// Nobody may be in the middle of a command.
    pub(crate) fn take(board: &Board, monitor: &Monitor<RealmPlatform>) -> Self {
        let mut granules = BTreeMap::new();
        let banks = monitor.granules().banks();
        for bank in banks.as_slice() {
            for first in (bank.base..bank.base + bank.size).step_by(GROUP as usize) {
                let top = (first + GROUP).min(bank.base + bank.size);
                let group = (first..top).step_by(GRANULE_SIZE as usize);
                if board.is_all_non_secure(first, top)
                    && banks.index(first).is_some_and(|index| {
                        let states = monitor.platform().granule_states();
                        let states = &states[index..][..group.clone().count()];
                        // All at once: there are many groups, and hardly anything in most of them.
                        let any = |any, state: &AtomicU16| any | state.load(Ordering::Acquire);
                        states.iter().fold(0, any) == 0
                    })
                {
                    continue;
                }
                granules.extend(
                    group.filter_map(|pa| Some((pa, GranuleSnapshot::take(board, monitor, pa)?))),
                );
            }
        }
        let vmids = monitor.vmids().taken().collect();
        Self { granules, vmids }
    }

    /// What differs from an `earlier` snapshot.
    pub fn differences(&self, earlier: &Self) -> Vec<Difference> {
        let addresses: BTreeSet<_> = self
            .granules
            .keys()
            .chain(earlier.granules.keys())
            .copied()
            .collect();
        let mut differences: Vec<_> = addresses
            .into_iter()
            .filter_map(|pa| {
                let (before, after) = (earlier.granules.get(&pa), self.granules.get(&pa));
                (before != after).then(|| Difference::Granule {
                    pa,
                    before: before.map(|granule| (granule.gpi, granule.state, granule.count)),
                    after: after.map(|granule| (granule.gpi, granule.state, granule.count)),
                    words: changed(before, after),
                })
            })
            .collect();
        differences.extend(
            self.vmids
                .symmetric_difference(&earlier.vmids)
                .map(|vmid| Difference::Vmid(*vmid)),
        );
        differences
    }
}

/// One thing that changed between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A granule. `None` is one that is simply the host's.
    Granule {
        /// Its physical address.
        pa: u64,
        /// Protection, state and count before.
        before: Option<(Gpi, GranuleState, u16)>,
        /// Protection, state and count after.
        after: Option<(Gpi, GranuleState, u16)>,
        /// The words that changed: index, before, after.
        words: Vec<(usize, u64, u64)>,
    },
    /// A VMID was taken or given back.
    Vmid(u16),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granule {
                pa,
                before,
                after,
                words,
            } => {
                write!(f, "granule {pa:#x}: {before:?} -> {after:?}")?;
                words
                    .iter()
                    .take(8)
                    .try_for_each(|(n, old, new)| write!(f, ", [{n}] {old:#x} -> {new:#x}"))
            }
            Self::Vmid(vmid) => write!(f, "VMID {vmid}"),
        }
    }
}

fn changed(
    before: Option<&GranuleSnapshot>,
    after: Option<&GranuleSnapshot>,
) -> Vec<(usize, u64, u64)> {
    const ZERO: &[u64; WORDS] = &[0; WORDS];
    let words =
        |granule: Option<&GranuleSnapshot>| granule.and_then(|granule| granule.content.clone());
    let (before, after) = (words(before), words(after));
    let (before, after) = (
        before.as_deref().unwrap_or(ZERO),
        after.as_deref().unwrap_or(ZERO),
    );
    (0..WORDS)
        .filter(|&n| before[n] != after[n])
        .map(|n| (n, before[n], after[n]))
        .collect()
}
