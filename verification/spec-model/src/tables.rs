//! Translation tables as trees (RMM specification 1.0-rel0, chapter A5).

use cca_abi::rmi::Ripas;

/// Bytes that an entry at `level` describes.
#[must_use]
pub fn entry_size(level: i64) -> u64 {
    1 << (12 + 9 * (3 - level))
}

/// Whether `address` is a multiple of what an entry at `level` describes; `false` if there is no such level.
pub(crate) fn is_level_aligned(address: u64, level: i64) -> bool {
    (-1..=3).contains(&level) && address.is_multiple_of(entry_size(level))
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Protected, nothing mapped.
    Unassigned(Ripas),
    /// Protected, with memory of the realm from `pa` on.
    Assigned {
        /// Output address.
        pa: u64,
        /// RIPAS.
        ripas: Ripas,
    },
    /// Unprotected, nothing mapped.
    UnassignedNs,
    /// Unprotected, mapped by the host.
    AssignedNs {
        /// Output address.
        pa: u64,
        /// MemAttr and S2AP, at their places in a descriptor.
        attributes: u64,
    },
    /// A table of the next level.
    Table(Box<Table>),
}

impl Entry {
    /// Whether it holds a physical address.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Unassigned(_) | Self::UnassignedNs)
    }

    /// RIPAS of a protected entry that is no table.
    #[must_use]
    pub fn ripas(&self) -> Option<Ripas> {
        match self {
            Self::Unassigned(ripas) | Self::Assigned { ripas, .. } => Some(*ripas),
            _ => None,
        }
    }

    /// The same entry for piece `n` of what it describes, each of `size` bytes.
    fn piece(&self, n: u64, size: u64) -> Self {
        match self {
            Self::Assigned { pa, ripas } => Self::Assigned {
                pa: pa + n * size,
                ripas: *ripas,
            },
            Self::AssignedNs { pa, attributes } => Self::AssignedNs {
                pa: pa + n * size,
                attributes: *attributes,
            },
            other => other.clone(),
        }
    }
}

/// A table in one granule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The granule.
    pub pa: u64,
    /// -1 to 3.
    pub level: i64,
    /// First IPA that it describes.
    pub base: u64,
    /// 512 entries, or 16 at level -1.
    pub entries: Vec<Entry>,
}

impl Table {
    /// A starting-level table of a new realm whose protected half ends at `unprotected`.
    pub(crate) fn starting(pa: u64, level: i64, base: u64, unprotected: u64) -> Self {
        let count = if level == -1 { 16 } else { 512 };
        let entries = (0..count)
            .map(|n| {
                if base + n * entry_size(level) < unprotected {
                    Entry::Unassigned(Ripas::Empty)
                } else {
                    Entry::UnassignedNs
                }
            })
            .collect();
        Self {
            pa,
            level,
            base,
            entries,
        }
    }

    /// A table that says what `parent`, an entry of the level above for IPA `base`, says.
    pub(crate) fn unfolded(pa: u64, level: i64, base: u64, parent: &Entry) -> Self {
        Self {
            pa,
            level,
            base,
            entries: (0..512)
                .map(|n| parent.piece(n, entry_size(level)))
                .collect(),
        }
    }

    /// Index of the entry for `ipa`.
    pub(crate) fn index(&self, ipa: u64) -> usize {
        ((ipa - self.base) / entry_size(self.level)) as usize
    }

    /// IPA of an entry; that of the one after the last is the end of the table.
    #[must_use]
    pub fn ipa(&self, index: usize) -> u64 {
        self.base + index as u64 * entry_size(self.level)
    }

    /// The table in which the walk for `ipa` down to `level` ends.
    pub(crate) fn walk(&self, ipa: u64, level: i64) -> &Table {
        match &self.entries[self.index(ipa)] {
            Entry::Table(next) if self.level < level => next.walk(ipa, level),
            _ => self,
        }
    }

    /// As [`Self::walk`], to change it.
    pub(crate) fn walk_mut(&mut self, ipa: u64, level: i64) -> &mut Table {
        let index = self.index(ipa);
        if self.level < level && matches!(self.entries[index], Entry::Table(_)) {
            match &mut self.entries[index] {
                Entry::Table(next) => next.walk_mut(ipa, level),
                _ => unreachable!("checked"),
            }
        } else {
            self
        }
    }

    /// The entry for `ipa`.
    pub(crate) fn entry(&self, ipa: u64) -> &Entry {
        &self.entries[self.index(ipa)]
    }

    /// The first IPA from `ipa` on whose entry is live, or the end of the table.
    pub(crate) fn skip_live(&self, ipa: u64) -> u64 {
        let first = self.index(ipa);
        match (first..self.entries.len()).find(|&n| self.entries[n].is_live()) {
            Some(n) if n == first => ipa,
            Some(n) => self.ipa(n),
            None => self.ipa(self.entries.len()),
        }
    }

    /// How far from `base` on, but not beyond `top`, entries are as `passes` wants; a multiple of the entry size.
    pub(crate) fn skip_while(&self, base: u64, top: u64, passes: impl Fn(&Entry) -> bool) -> u64 {
        let first = self.index(base);
        let end = (first..self.entries.len())
            .find(|&n| !passes(&self.entries[n]))
            .unwrap_or(self.entries.len());
        let size = entry_size(self.level);
        self.ipa(end).min(top) / size * size
    }

    /// What the parent entry becomes if the table is folded; `None` if it is not homogeneous.
    pub(crate) fn folded(&self) -> Option<Entry> {
        let first = &self.entries[0];
        let size = entry_size(self.level);
        let alike = (0u64..)
            .zip(&self.entries)
            .all(|(n, entry)| *entry == first.piece(n, size));
        let block = |pa: u64| self.level >= 2 && is_level_aligned(pa, self.level - 1);
        let foldable = match first {
            Entry::Unassigned(_) | Entry::UnassignedNs => true,
            Entry::Assigned { pa, .. } | Entry::AssignedNs { pa, .. } => block(*pa),
            Entry::Table(_) => false,
        };
        (alike && foldable).then(|| first.clone())
    }

    /// Whether it keeps its realm from being destroyed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Assigned { .. } | Entry::Table(_)))
    }

    /// This table and all tables below it.
    #[must_use]
    pub fn all(&self) -> Vec<&Table> {
        let below = self.entries.iter().filter_map(|entry| match entry {
            Entry::Table(table) => Some(table.all()),
            _ => None,
        });
        std::iter::once(self).chain(below.flatten()).collect()
    }
}
