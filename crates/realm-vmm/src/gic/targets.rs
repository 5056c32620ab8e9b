//! Sets of vCPUs.

/// The largest number of vCPUs that the address space has redistributors for.
pub const MAX_VCPUS: usize = 64;

/// vCPUs that something has changed for: each has to be woken or, inside the realm, to be called out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "an interrupt that nobody looks for is lost"]
pub struct Targets(u64);

impl Targets {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// One vCPU, whose number is below [`MAX_VCPUS`].
    pub const fn one(vcpu: usize) -> Self {
        Self(1 << (vcpu % MAX_VCPUS))
    }

    /// With another one.
    pub fn add(&mut self, vcpu: usize) {
        self.0 |= Self::one(vcpu).0;
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of the vCPUs, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        bits(self.0).map(|n| n as usize)
    }
}

impl core::ops::BitOrAssign for Targets {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The numbers of the bits that are set, in ascending order.
pub(super) fn bits(word: impl Into<u64>) -> impl Iterator<Item = u32> {
    let mut rest: u64 = word.into();
    core::iter::from_fn(move || {
        let n = rest.trailing_zeros();
        (rest != 0).then(|| {
            rest &= rest - 1;
            n
        })
    })
}
