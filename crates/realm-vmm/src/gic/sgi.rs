//! Software-generated interrupts: whom a write to ICC_SGI1R_EL1 or its like addresses.

/// A value written to ICC_SGI1R_EL1, ICC_SGI0R_EL1 or ICC_ASGI1R_EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SgiRequest {
    value: u64,
}

impl SgiRequest {
    /// The value written.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self { value }
    }

    /// The interrupt.
    #[must_use]
    pub const fn intid(self) -> u32 {
        (self.value >> 24 & 0xF) as u32
    }

    /// Whether the vCPU with REC index `target` is addressed by the vCPU with index `sender`.
    #[must_use]
    pub const fn addresses(self, target: u64, sender: u64) -> bool {
        let everybody_else = self.value >> 40 & 1 != 0;
        if everybody_else {
            return target != sender;
        }
        // REC indices have four bits of Aff0, so the range selector of a valid target is 0.
        let range = self.value >> 44 & 0xF;
        let cluster = self.affinity(48) << 16 | self.affinity(32) << 8 | self.affinity(16);
        range == 0 && target >> 4 == cluster && self.value >> (target & 0xF) & 1 != 0
    }

    const fn affinity(self, low: u32) -> u64 {
        self.value >> low & 0xFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sgi_targets_are_those_of_the_affinity_fields() {
        let list = SgiRequest::new(5 << 24 | 0b1001);
        assert_eq!(list.intid(), 5);
        assert!(list.addresses(0, 0) && list.addresses(3, 0));
        assert!(!list.addresses(1, 0) && !list.addresses(16, 0));
        let second_cluster = SgiRequest::new(1 << 16 | 0b10);
        assert!(second_cluster.addresses(17, 0) && !second_cluster.addresses(1, 0));
        let far = SgiRequest::new(1 << 48 | 1);
        assert!(far.addresses(1 << 20, 0) && !far.addresses(0, 0));
        let others = SgiRequest::new(1 << 40);
        assert!(others.addresses(1, 0) && others.addresses(40, 0) && !others.addresses(0, 0));
        assert!(
            !SgiRequest::new(1 << 44 | 1).addresses(0, 0),
            "a range that no REC has"
        );
    }
}
