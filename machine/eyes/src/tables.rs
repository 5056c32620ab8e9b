//! Descriptors that a PE may have cached.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use aarch64_formats::stage2::field::{NS, SOFTWARE, TABLE_OR_PAGE, VALID};
use aarch64_formats::stage2::{self, Level, PAGE_LEVEL, TABLE_ENTRIES};
use realm_monitor::granule::{GranuleState, word};
use realm_monitor::platform::{Granule, TlbScope};
use realm_monitor::realm::layout;

use crate::{Memory, pe};

/// Of a descriptor in either format, as far as the memory of these machines goes.
const ADDRESS: u64 = 0x0003_FFFF_FFFF_F000;

/// A table that a walk can come to.
#[derive(Debug)]
struct Table {
    vmid: u16,
    /// IPA of its first entry, and its level.
    base: u64,
    level: Level,
    /// The entry that leads to it. At the starting level there is none.
    parent: Option<(u64, usize)>,
    /// The granule whose lock protects it.
    lock: u64,
    /// What may be cached of each entry; zero if nothing.
    cached: Box<[u64; TABLE_ENTRIES]>,
}

impl Table {
    fn span(&self, index: usize) -> Range<u64> {
        let size = stage2::entry_size(self.level);
        let start = self.base + index as u64 * size;
        start..start + size
    }

    /// Whether a walk comes to it, at `pa`.
    fn is_linked(&self, memory: &dyn Memory, pa: u64) -> bool {
        self.parent.is_none_or(|parent| {
            let descriptor = entry(memory, parent);
            descriptor & VALID != 0 && descriptor & ADDRESS == pa
        })
    }
}

/// A descriptor as it is now.
fn entry(memory: &dyn Memory, (table, index): (u64, usize)) -> u64 {
    let words = memory.words(table);
    words.map_or(0, |words| words[index].load(Relaxed) & !SOFTWARE)
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    tables: HashMap<u64, Table>,
    /// By the address of realm memory or of a table: which descriptor that may be cached leads there.
    reach: HashMap<u64, (u64, usize)>,
    /// The realm of which something may be cached under a VMID.
    used: HashMap<u16, u64>,
    /// By their descriptors: what is known of realms, which is their VMID.
    realms: HashMap<u64, u16>,
}

impl Tables {
    /// A realm, with what is in its complete descriptor.
    #[track_caller]
    pub(crate) fn meet(&mut self, rd: u64, words: &[u64; layout::AUX_COUNT]) {
        if self.realms.contains_key(&rd) {
            return;
        }
        let vmid = words[layout::VMID] as u16;
        let last = self.used.insert(vmid, rd);
        assert!(
            last.is_none(),
            "VMID {vmid:#x} is given to {rd:#x}, and translations of {last:x?} may be cached"
        );
        self.realms.insert(rd, vmid);
        let (root, level) = (
            words[layout::RTT_BASE],
            words[layout::RTT_LEVEL_START] as Level,
        );
        for n in 0..words[layout::RTT_NUM_START] {
            let table = Table {
                vmid,
                base: n << (stage2::entry_shift(level) + 9),
                level,
                parent: None,
                lock: root,
                cached: Box::new([0; TABLE_ENTRIES]),
            };
            self.tables.insert(root + n * 4096, table);
        }
    }

    /// A realm ceases to exist.
    #[track_caller]
    pub(crate) fn end(&mut self, rd: u64) {
        if let Some(vmid) = self.realms.remove(&rd) {
            assert!(
                self.used.get(&vmid) != Some(&rd),
                "the realm {rd:#x} ends, and translations of its VMID {vmid:#x} may be cached"
            );
        }
    }

    /// The granule whose lock protects the one at `pa`: its own, but for tables at the starting level.
    pub(crate) fn lock_of(&self, pa: u64) -> u64 {
        self.tables.get(&pa).map_or(pa, |table| table.lock)
    }

    pub(crate) fn level(&self, pa: u64) -> Option<Level> {
        self.tables.get(&pa).map(|table| table.level)
    }

    /// Looks at the table at `pa`, if a walk comes to one there.
    #[track_caller]
    pub(crate) fn look(&mut self, memory: &dyn Memory, pa: u64) {
        let (Some(table), Some(words)) = (self.tables.get_mut(&pa), memory.words(pa)) else {
            return;
        };
        if !table.is_linked(memory, pa) {
            return;
        }
        let mut new = Vec::new();
        for (index, (word, cached)) in words.iter().zip(&mut table.cached[..]).enumerate() {
            let now = word.load(Relaxed) & !SOFTWARE;
            if now & VALID == 0 || now == *cached {
                continue;
            }
            assert!(
                *cached == 0,
                "the valid descriptor {cached:#x} at {pa:#x}[{index}] becomes {now:#x} without a break"
            );
            *cached = now;
            new.push((index, now));
        }
        let (vmid, level) = (table.vmid, table.level);
        for (index, descriptor) in new {
            pe::with(|pe| pe.unpublished.push((pa, index)));
            let leads_to = descriptor & ADDRESS;
            if descriptor & NS != 0 {
                continue;
            }
            let other = self.reach.insert(leads_to, (pa, index));
            assert!(
                other.is_none(),
                "{leads_to:#x} is reached from {pa:#x}[{index}] and from {other:x?}"
            );
            let (is_table, state) = if is_table(descriptor, level) {
                (true, GranuleState::Rtt)
            } else {
                (false, GranuleState::Data)
            };
            // Who has made the descriptor has not got past its publication, so nobody has taken the granule away again.
            let found = memory.state(leads_to).and_then(word::state);
            assert!(
                found == Some(state),
                "{pa:#x}[{index}] leads to {leads_to:#x}, which is not {state:?}, but {found:?}"
            );
            if is_table {
                let base = self.tables[&pa].span(index).start;
                let table = Table {
                    vmid,
                    base,
                    level: level + 1,
                    parent: Some((pa, index)),
                    lock: leads_to,
                    cached: Box::new([0; TABLE_ENTRIES]),
                };
                self.tables.insert(leads_to, table);
                self.look(memory, leads_to);
            }
        }
    }

    /// An invalidation: what it reaches is forgotten, unless it can still be walked to.
    pub(crate) fn forget(&mut self, memory: &dyn Memory, scope: &TlbScope) {
        if let TlbScope::Vmid(vmid) = scope {
            self.used.remove(vmid);
        }
        for (&pa, table) in &mut self.tables {
            if table.vmid != vmid_of(scope) {
                continue;
            }
            let linked = table.is_linked(memory, pa);
            let all = table.span(0).start..table.span(TABLE_ENTRIES - 1).end;
            if !overlaps(scope, &all) {
                continue;
            }
            let words = memory.words(pa).filter(|_| linked);
            for index in 0..TABLE_ENTRIES {
                let cached = table.cached[index];
                let is_valid =
                    || words.is_some_and(|words| words[index].load(Relaxed) & VALID != 0);
                if cached == 0
                    || !reaches(scope, &table.span(index), table.level, cached)
                    || is_valid()
                {
                    continue;
                }
                table.cached[index] = 0;
                if self.reach.get(&(cached & ADDRESS)) == Some(&(pa, index)) {
                    self.reach.remove(&(cached & ADDRESS));
                }
            }
        }
    }

    /// A granule is wiped.
    #[track_caller]
    pub(crate) fn wipe(&mut self, pa: u64) {
        // As a page or a table, or as a part of a block.
        for level in (1..=PAGE_LEVEL).rev() {
            let start = pa & !(stage2::entry_size(level) - 1);
            let Some(&(table, index)) = self.reach.get(&start) else {
                continue;
            };
            let from = &self.tables.get(&table);
            let reaches = from.is_some_and(|from| {
                level == PAGE_LEVEL || from.level == level && !is_table(from.cached[index], level)
            });
            assert!(
                !reaches,
                "{pa:#x} is wiped while a PE may still reach it, by {table:#x}[{index}]"
            );
        }
        if let Some(table) = self.tables.remove(&pa) {
            // At the starting level mappings of the host's memory may be left, which go with the VMID.
            let left = table
                .cached
                .iter()
                .position(|&cached| cached != 0 && (table.parent.is_some() || cached & NS == 0));
            assert!(
                left.is_none(),
                "the table {pa:#x}, level {}, is wiped while its entry {left:?} may be cached: {:#x}",
                table.level,
                table.cached[left.unwrap_or_default()]
            );
        }
    }
}

/// Whether an entry of this table maps the granule at `pa`.
pub(crate) fn mapped_by(words: &Granule, level: Level, pa: u64) -> bool {
    words.iter().any(|word| {
        let descriptor = word.load(Relaxed);
        let start = descriptor & ADDRESS;
        descriptor & VALID != 0
            && descriptor & NS == 0
            && !is_table(descriptor, level)
            && (start..start + stage2::entry_size(level)).contains(&pa)
    })
}

fn is_table(descriptor: u64, level: Level) -> bool {
    level < PAGE_LEVEL && descriptor & TABLE_OR_PAGE != 0
}

fn vmid_of(scope: &TlbScope) -> u16 {
    match *scope {
        TlbScope::Page { vmid, .. }
        | TlbScope::Block { vmid, .. }
        | TlbScope::Table { vmid, .. }
        | TlbScope::Range { vmid, .. }
        | TlbScope::Vmid(vmid) => vmid,
    }
}

fn overlaps(scope: &TlbScope, span: &Range<u64>) -> bool {
    match *scope {
        TlbScope::Page { ipa, .. } | TlbScope::Block { ipa, .. } | TlbScope::Table { ipa, .. } => {
            span.contains(&ipa)
        }
        TlbScope::Range { ipa, size, .. } => span.start < ipa + size && ipa < span.end,
        TlbScope::Vmid(_) => true,
    }
}

/// Whether an invalidation has to reach the descriptor of these addresses, at that level.
fn reaches(scope: &TlbScope, span: &Range<u64>, level: Level, descriptor: u64) -> bool {
    let of_kind = match *scope {
        TlbScope::Page { .. } => level == PAGE_LEVEL,
        TlbScope::Block { level: named, .. } => level == named && !is_table(descriptor, level),
        TlbScope::Table { .. } => is_table(descriptor, level),
        TlbScope::Range { .. } | TlbScope::Vmid(_) => true,
    };
    of_kind && overlaps(scope, span)
}
