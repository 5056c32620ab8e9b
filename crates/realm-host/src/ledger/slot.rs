//! What the ledger knows of one granule: whose it is, what for, and in which state.

/// A realm, as the ledger names it: a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmId(pub(crate) u32);

impl RealmId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What a granule is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Purpose {
    /// Realm descriptor.
    RealmDescriptor = 0,
    /// One of the starting-level tables.
    RootTable = 1,
    /// A translation table below the starting level.
    Table = 2,
    /// Realm memory.
    Data = 3,
    /// Realm execution context.
    Rec = 4,
    /// Auxiliary granule of a REC.
    RecAuxiliary = 5,
    /// Parameters of a command, or content to copy. The host's own.
    Parameters = 6,
    /// The page through which a REC is entered. The host's own.
    Run = 7,
    /// Memory that the host shares with a realm. The host's own.
    Shared = 8,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RealmDescriptor,
        Self::RootTable,
        Self::Table,
        Self::Data,
        Self::Rec,
        Self::RecAuxiliary,
        Self::Parameters,
        Self::Run,
        Self::Shared,
    ];

    pub(super) const fn side(self) -> Side {
        match self {
            Self::Parameters | Self::Run | Self::Shared => Side::Host,
            _ => Side::Monitor,
        }
    }
}

/// Which world the granules of a page are meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Host = 0,
    Monitor = 1,
}

/// How many granules took which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Granules that the monitor took, in total.
    pub delegated: u64,
    /// Granules that it gave back, in total.
    pub returned: u64,
    /// Granules that it did not give back when asked, now. Their pages are not given to anybody.
    pub quarantined: u64,
}

impl Account {
    /// Granules that are delegated and in use, now.
    #[must_use]
    pub const fn in_use(&self) -> u64 {
        self.delegated - self.returned - self.quarantined
    }
}

/// The state of one granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The host's, unused.
    Free,
    /// The host's; the monitor does not take it.
    SetAside,
    /// The host's, in use or about to be delegated.
    Held(Purpose),
    /// Delegated.
    Delegated(Purpose),
    /// Delegated, of no use to anybody, and the monitor does not give it back.
    Quarantined(Purpose),
}

/// A [`Slot`] in a byte: the kind above, the purpose below.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed(u8);

impl Packed {
    pub(super) const FREE: Self = Self(0);

    pub(super) const fn pack(slot: Slot) -> Self {
        Self(match slot {
            Slot::Free => 0,
            Slot::SetAside => 0x10,
            Slot::Held(purpose) => 0x20 | purpose as u8,
            Slot::Delegated(purpose) => 0x30 | purpose as u8,
            Slot::Quarantined(purpose) => 0x40 | purpose as u8,
        })
    }

    pub(super) fn unpack(self) -> Slot {
        let purpose = Purpose::ALL[usize::from(self.0 & 0xF)];
        match self.0 >> 4 {
            0 => Slot::Free,
            1 => Slot::SetAside,
            2 => Slot::Held(purpose),
            3 => Slot::Delegated(purpose),
            _ => Slot::Quarantined(purpose),
        }
    }
}
