//! The state of 32 interrupts: those of a vCPU (SGIs and PPIs), or a word of the shared ones.

/// Priority bits that exist: five, as in the virtual CPU interface of every PE.
const PRIORITY_MASK: u8 = 0xF8;

/// 32 interrupts. A bit stands for an interrupt, the least significant one for the lowest INTID.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bank {
    /// In group 1; otherwise in group 0.
    pub(super) group1: u32,
    pub(super) enabled: u32,
    /// Edges that nobody has taken yet, and levels that software has made pending.
    latch: u32,
    /// Input lines that are high.
    lines: u32,
    pub(super) active: u32,
    /// Edge-triggered; otherwise level-sensitive.
    edge: u32,
    priorities: [u8; 32],
    /// In a list register of a vCPU that is inside the realm.
    in_flight: u32,
    /// Bits of `latch` that have gone into a list register.
    moved: u32,
    /// While in flight: what the realm has asked for meanwhile, to be done when the vCPU comes back.
    orders: Orders,
}

#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    activate: u32,
    deactivate: u32,
    /// Disabled, which has not happened before its vCPU is back.
    disable: u32,
}

/// An interrupt that comes back from a list register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) pending: bool,
    pub(super) active: bool,
}

impl Bank {
    /// SGIs, which are edges, and PPIs, which are levels until software says otherwise.
    pub(super) const SGIS: u32 = 0xFFFF;

    pub(super) fn private() -> Self {
        Self {
            edge: Self::SGIS,
            ..Self::default()
        }
    }

    /// What is pending: an edge, a level that is high, or what software has made pending.
    pub(super) fn pending(&self) -> u32 {
        self.latch | self.lines & !self.edge
    }

    /// What is pending as far as is known: what is in flight was so when its vCPU was entered.
    pub(super) fn visibly_pending(&self) -> u32 {
        self.pending() | self.moved
    }

    /// What may be signalled to a vCPU, given the groups that the distributor forwards; active ones come again only when they are done.
    pub(super) fn deliverable(&self, forwarded: Groups) -> u32 {
        let groups = forwarded.select(self.group1);
        self.pending() & self.enabled & groups
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether what software has disabled can still be signalled, for it is in flight.
    pub(super) fn is_disabling(&self) -> bool {
        self.orders.disable != 0
    }

    pub(super) fn is_edge(&self, n: u32) -> bool {
        self.edge & 1 << n != 0
    }

    pub(super) fn priority(&self, n: u32) -> u8 {
        self.priorities[n as usize & 31]
    }

    pub(super) fn set_priority(&mut self, n: u32, priority: u8) {
        self.priorities[n as usize & 31] = priority & PRIORITY_MASK;
    }

    /// An input line changes, or stays.
    pub(super) fn set_line(&mut self, n: u32, level: bool) {
        let bit = 1 << n;
        if level {
            self.latch |= bit & self.edge & !self.lines;
            self.lines |= bit;
        } else {
            self.lines &= !bit;
        }
    }

    pub(super) fn enable(&mut self, bits: u32) {
        self.enabled |= bits;
        self.orders.disable &= !bits;
    }

    pub(super) fn disable(&mut self, bits: u32) {
        self.enabled &= !bits;
        self.orders.disable |= bits & self.in_flight;
    }

    /// Software makes interrupts pending: an SGI, or a write to ISPENDR.
    pub(super) fn set_pending(&mut self, bits: u32) {
        self.latch |= bits;
    }

    /// Software withdraws interrupts. A level that is high stays pending.
    pub(super) fn clear_pending(&mut self, bits: u32) {
        self.latch &= !bits;
        self.moved &= !bits;
    }

    pub(super) fn set_active(&mut self, bits: u32) {
        self.active |= bits;
        self.orders.activate |= bits & self.in_flight;
        self.orders.deactivate &= !bits;
    }

    pub(super) fn clear_active(&mut self, bits: u32) {
        self.active &= !bits;
        self.orders.deactivate |= bits & self.in_flight;
        self.orders.activate &= !bits;
    }

    /// Two bits of configuration for each of 16 interrupts, the upper one of which means edge-triggered.
    pub(super) fn configuration(&self, upper_half: bool) -> u32 {
        let edges = self.edge >> if upper_half { 16 } else { 0 };
        (0..16).fold(0, |word, n| word | (edges >> n & 1) << (2 * n + 1))
    }

    pub(super) fn configure(&mut self, upper_half: bool, word: u32) {
        let shift = if upper_half { 16 } else { 0 };
        let edges = (0..16).fold(0, |edges, n| edges | (word >> (2 * n + 1) & 1) << n);
        self.edge = self.edge & !(0xFFFF << shift) | edges << shift;
    }

    /// Puts an interrupt into a list register. Returns whether it is pending there: of a level that is active the next one waits for its
    /// end, when the level is looked at again.
    pub(super) fn take(&mut self, n: u32, deliverable: bool) -> bool {
        let bit = 1 << n;
        self.in_flight |= bit;
        let pending = deliverable && (self.is_edge(n) || self.active & bit == 0);
        if pending {
            self.moved |= self.latch & bit;
            self.latch &= !bit;
        }
        pending
    }

    /// Takes an interrupt back from a list register.
    pub(super) fn give_back(&mut self, n: u32, returned: Returned) {
        let bit = 1 << n;
        if self.in_flight & bit == 0 {
            return;
        }
        self.in_flight &= !bit;
        if returned.pending {
            self.latch |= self.moved & bit;
        }
        self.moved &= !bit;
        let is = |mask: u32| mask & bit != 0;
        let active = (returned.active || is(self.orders.activate)) && !is(self.orders.deactivate);
        self.active = self.active & !bit | if active { bit } else { 0 };
        self.orders.activate &= !bit;
        self.orders.deactivate &= !bit;
        self.orders.disable &= !bit;
    }
}

/// Which groups the distributor forwards: GICD_CTLR.EnableGrp0 and EnableGrp1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) group0: bool,
    pub(super) group1: bool,
}

impl Groups {
    fn select(self, group1: u32) -> u32 {
        let mut bits = 0;
        if self.group0 {
            bits |= !group1;
        }
        if self.group1 {
            bits |= group1;
        }
        bits
    }
}
