//! Pages, granules and addresses, as types that do not mix.
//!
//! A *page* is what the host's allocator deals in: 4K, 16K or 64K. A *granule* is what the monitor deals
//! in: always 4K (RMM specification 1.0-rel0, A2.2). Counts and addresses of the two are different types,
//! and a guest's addresses are a third one.

use core::fmt;

/// Bytes of a granule.
pub const GRANULE: u64 = cca_abi::GRANULE_SIZE;

/// The size of the host's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageSize {
    /// 4 KiB: one granule.
    Size4K,
    /// 16 KiB: four granules.
    Size16K,
    /// 64 KiB: sixteen granules.
    Size64K,
}

impl PageSize {
    /// The most granules that a page can have.
    pub const MAX_GRANULES: usize = 16;

    /// The page size of that many bytes, if it is one.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            0x1000 => Some(Self::Size4K),
            0x4000 => Some(Self::Size16K),
            0x1_0000 => Some(Self::Size64K),
            _ => None,
        }
    }

    /// Bytes of a page.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Size4K => 0x1000,
            Self::Size16K => 0x4000,
            Self::Size64K => 0x1_0000,
        }
    }

    /// Granules of a page.
    #[must_use]
    pub const fn granules(self) -> GranuleCount {
        GranuleCount(self.bytes() / GRANULE)
    }
}

/// A number of host pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageCount(u64);

impl PageCount {
    /// One page.
    pub const ONE: Self = Self(1);

    /// So many pages.
    #[must_use]
    pub const fn new(pages: u64) -> Self {
        Self(pages)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes of so many pages of that size.
    #[must_use]
    pub const fn bytes(self, size: PageSize) -> u64 {
        self.0 * size.bytes()
    }
}

/// A number of 4K granules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GranuleCount(u64);

impl GranuleCount {
    /// One granule.
    pub const ONE: Self = Self(1);

    /// So many granules.
    #[must_use]
    pub const fn new(granules: u64) -> Self {
        Self(granules)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes of so many granules.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 * GRANULE
    }

    /// The pages of that size that hold so many granules, rounded up.
    #[must_use]
    pub const fn pages(self, size: PageSize) -> PageCount {
        PageCount(self.0.div_ceil(size.granules().0))
    }
}

/// The physical address of a granule: a multiple of 4K.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GranuleAddress(u64);

impl GranuleAddress {
    /// The granule at a physical address, if the address is aligned to a granule.
    #[must_use]
    pub const fn new(address: u64) -> Option<Self> {
        if address.is_multiple_of(GRANULE) {
            Some(Self(address))
        } else {
            None
        }
    }

    /// The granule that a physical address is in.
    pub(crate) const fn of(address: u64) -> Self {
        Self(address & !(GRANULE - 1))
    }

    /// The physical address in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The page of that size that this granule is part of.
    #[must_use]
    pub const fn page(self, size: PageSize) -> PageAddress {
        PageAddress(self.0 & !(size.bytes() - 1))
    }

    /// Which granule of its page this is.
    #[must_use]
    pub const fn index_in_page(self, size: PageSize) -> usize {
        ((self.0 & (size.bytes() - 1)) / GRANULE) as usize
    }

    /// The granule that lies so many granules further up.
    #[must_use]
    pub const fn plus(self, granules: GranuleCount) -> Self {
        Self(self.0 + granules.bytes())
    }
}

impl fmt::Debug for GranuleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "granule {:#x}", self.0)
    }
}

/// The physical address of a host page. What it is aligned to depends on the host's page size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageAddress(u64);

impl PageAddress {
    /// The page at a physical address, if the address is aligned to a page of that size.
    #[must_use]
    pub const fn new(address: u64, size: PageSize) -> Option<Self> {
        if address.is_multiple_of(size.bytes()) {
            Some(Self(address))
        } else {
            None
        }
    }

    /// The physical address in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The granule with that index in this page. The index is below [`PageSize::granules`].
    #[must_use]
    pub const fn granule(self, index: usize) -> GranuleAddress {
        GranuleAddress(self.0 + index as u64 * GRANULE)
    }

    /// The page that lies so many pages further up.
    #[must_use]
    pub const fn plus(self, pages: PageCount, size: PageSize) -> Self {
        Self(self.0 + pages.bytes(size))
    }
}

impl fmt::Debug for PageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {:#x}", self.0)
    }
}

/// An address in a realm's intermediate physical address space, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipa(u64);

impl Ipa {
    /// That address.
    #[must_use]
    pub const fn new(address: u64) -> Self {
        Self(address)
    }

    /// The address in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The start of the granule that the address lies in.
    #[must_use]
    pub const fn granule(self) -> Self {
        Self(self.0 & !(GRANULE - 1))
    }

    /// Whether the address is a multiple of 4K.
    #[must_use]
    pub const fn is_granule_aligned(self) -> bool {
        self.0.is_multiple_of(GRANULE)
    }
}

impl fmt::Debug for Ipa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPA {:#x}", self.0)
    }
}

/// A range of a realm's address space, from its base up to (not including) its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpaRange {
    base: u64,
    top: u64,
}

impl IpaRange {
    /// The range between two addresses, if both are aligned to granules and it is not empty.
    #[must_use]
    pub const fn new(base: Ipa, top: Ipa) -> Option<Self> {
        if base.is_granule_aligned() && top.is_granule_aligned() && base.0 < top.0 {
            Some(Self {
                base: base.0,
                top: top.0,
            })
        } else {
            None
        }
    }

    /// The first address.
    #[must_use]
    pub const fn base(self) -> Ipa {
        Ipa(self.base)
    }

    /// The first address behind the range.
    #[must_use]
    pub const fn top(self) -> Ipa {
        Ipa(self.top)
    }

    /// The granules of the range.
    #[must_use]
    pub const fn granules(self) -> GranuleCount {
        GranuleCount((self.top - self.base) / GRANULE)
    }
}
