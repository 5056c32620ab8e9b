//! The distributor's interrupts: 32 SPIs, each with a route.

use cca_abi::mpidr::index_from_architectural;

use super::bank::{Bank, Groups};
use super::targets::{Targets, bits};

/// IROUTER.Interrupt_Routing_Mode: any PE. It is always the first one here.
const ANY: u64 = 1 << 31;
/// The bits of IROUTER that exist.
const ROUTE: u64 = 0xFF_00FF_FFFF | ANY;

/// SPIs and what is common to all vCPUs.
#[derive(Debug, Default)]
pub(super) struct Shared {
    vcpus: usize,
    pub(super) forwarded: Groups,
    pub(super) bank: Bank,
    routes: [u64; 32],
    /// Of an interrupt that is active or in flight: whose list register it was in.
    holders: [u8; 32],
}

impl Shared {
    pub(super) fn new(vcpus: usize) -> Self {
        Self {
            vcpus,
            ..Self::default()
        }
    }

    /// GICD_IROUTER.
    pub(super) fn route(&self, n: u32) -> u64 {
        self.routes[n as usize & 31]
    }

    /// Writes GICD_IROUTER.
    pub(super) fn set_route(&mut self, n: u32, route: u64) {
        self.routes[n as usize & 31] = route & ROUTE;
    }

    /// The vCPU that an interrupt goes to, if there is one with that affinity.
    fn target(&self, n: u32) -> Option<usize> {
        let route = self.route(n);
        if route & ANY != 0 {
            return Some(0);
        }
        let target = index_from_architectural(route) as usize;
        // Aff0 of a REC has four bits.
        (route & 0xF0 == 0 && target < self.vcpus).then_some(target)
    }

    /// What can go into a list register of this vCPU next: what is deliverable to it and nowhere else already.
    pub(super) fn deliverable(&self, vcpu: usize) -> u32 {
        let candidates = self.bank.deliverable(self.forwarded) & !self.bank.in_flight();
        let mut mine = candidates & self.bank.active & self.held(vcpu);
        for n in bits(candidates & !self.bank.active) {
            if self.target(n) == Some(vcpu) {
                mine |= 1 << n;
            }
        }
        mine
    }

    /// What this vCPU has acknowledged and not yet ended.
    pub(super) fn active(&self, vcpu: usize) -> u32 {
        self.bank.active & self.held(vcpu) & !self.bank.in_flight()
    }

    /// Whom some interrupts are routed to.
    pub(super) fn targets(&self, interrupts: u32) -> Targets {
        let mut targets = Targets::NONE;
        for target in bits(interrupts).filter_map(|n| self.target(n)) {
            targets.add(target);
        }
        targets
    }

    fn held(&self, vcpu: usize) -> u32 {
        bits(self.bank.active)
            .filter(|&n| usize::from(self.holders[n as usize]) == vcpu)
            .fold(0, |held, n| held | 1 << n)
    }

    /// An interrupt goes into a list register of this vCPU.
    pub(super) fn hold(&mut self, n: u32, vcpu: usize) {
        self.holders[n as usize & 31] = vcpu as u8;
    }

    /// Software makes interrupts active that none of the vCPUs has taken: they are those' that they are routed to.
    pub(super) fn set_active(&mut self, active: u32) {
        for n in bits(active & !self.bank.active & !self.bank.in_flight()) {
            let target = self.target(n).unwrap_or(0);
            self.hold(n, target);
        }
        self.bank.set_active(active);
    }

    /// Changes something; says whom it concerns: the vCPUs that something is deliverable to that was not before, and those
    /// that one of the interrupts in `recalled` is in flight on.
    pub(super) fn change(&mut self, recalled: u32, change: impl FnOnce(&mut Self)) -> Targets {
        let before = self.addressed();
        let mut targets = Targets::NONE;
        for n in bits(recalled & self.bank.in_flight()) {
            targets.add(usize::from(self.holders[n as usize]));
        }
        change(self);
        for (now, before) in self.addressed().into_iter().zip(before) {
            // What becomes active is of no more interest than before; what is active no more can be taken.
            match now {
                Some((target, true)) if before.is_none_or(|(before, _)| before != target) => {
                    targets.add(target);
                }
                Some((target, false)) if before != now => targets.add(target),
                _ => {}
            }
        }
        targets
    }

    /// Whom each interrupt that is deliverable goes to, and whether it waits there for its own end.
    fn addressed(&self) -> [Option<(usize, bool)>; 32] {
        let mut addressed = [None; 32];
        let active = self.bank.active;
        for n in bits(self.bank.deliverable(self.forwarded)) {
            addressed[n as usize] = if active & 1 << n != 0 {
                Some((usize::from(self.holders[n as usize]), true))
            } else {
                self.target(n).map(|target| (target, false))
            };
        }
        addressed
    }
}
