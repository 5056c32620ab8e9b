//! A processing element as the host uses it.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cca_abi::smccc::Registers;
use realm_host::SmcTransport;

use crate::board::{Board, NoAccess};
use crate::clock::FREQUENCY;
use crate::interrupts::NEVER;
use crate::machine::{Inner, Stopped};
use crate::memory::{GRANULE_SIZE, WORDS};
use crate::monitor_platform::on;
use crate::protection::{Gpi, PhysicalAddressSpace};

/// An access of the host that granule protection forbids, or to where no memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFault {
    /// The physical address.
    pub pa: u64,
    /// What the protection table says about it; `None` if there is no memory.
    pub gpi: Option<Gpi>,
}

/// A processing element at NS-EL2.
pub struct HostPe {
    pub(crate) inner: Arc<Inner>,
    pub(crate) index: usize,
    pub(crate) stop_with_guests: bool,
}

impl HostPe {
    /// Its number.
    pub fn number(&self) -> usize {
        self.index
    }

    /// From now on, its thread unwinds with [`Stopped`] once a program in a realm has panicked.
    pub(crate) fn stop_with_guests(&mut self) {
        self.stop_with_guests = true;
    }

    /// Runs `code` with the calling thread as this processing element, for what uses a [`Transport`](crate::Transport).
    pub fn run<T>(&self, code: impl FnOnce() -> T) -> T {
        on(&self.inner.board, self.index, code)
    }

    /// As [`HostPe::run`], for code that is given the processing element.
    pub fn run_with<T>(&mut self, code: impl FnOnce(&mut Self) -> T) -> T {
        let inner = Arc::clone(&self.inner);
        on(&inner.board, self.index, || code(self))
    }

    /// The doubleword at `pa`, through the Non-secure physical address space.
    ///
    /// # Errors
    ///
    /// The fault that hardware takes.
    pub fn read(&self, pa: u64) -> Result<u64, HostFault> {
        let _busy = self.inner.board.pes[self.index].access();
        Ok(self.cell(pa)?[pa as usize % GRANULE_SIZE as usize / 8].load(Ordering::Acquire))
    }

    /// Stores a doubleword at `pa`, through the Non-secure physical address space.
    ///
    /// # Errors
    ///
    /// The fault that hardware takes.
    pub fn write(&self, pa: u64, value: u64) -> Result<(), HostFault> {
        let _busy = self.inner.board.pes[self.index].access();
        self.cell(pa)?[pa as usize % GRANULE_SIZE as usize / 8].store(value, Ordering::Release);
        Ok(())
    }

    /// All words of the granule at `pa`.
    ///
    /// # Errors
    ///
    /// The fault that hardware takes.
    pub fn read_granule(&self, pa: u64) -> Result<Box<[u64; WORDS]>, HostFault> {
        let _busy = self.inner.board.pes[self.index].access();
        Ok(crate::memory::contents(self.cell(pa)?))
    }

    /// Stores all words of the granule at `pa`.
    ///
    /// # Errors
    ///
    /// The fault that hardware takes.
    pub fn write_granule(&self, pa: u64, words: &[u64; WORDS]) -> Result<(), HostFault> {
        let _busy = self.inner.board.pes[self.index].access();
        for (cell, word) in self.cell(pa)?.iter().zip(words) {
            cell.store(*word, Ordering::Relaxed);
        }
        Ok(())
    }

    fn cell(&self, pa: u64) -> Result<&crate::memory::Page, HostFault> {
        self.inner
            .board
            .page(pa, PhysicalAddressSpace::NonSecure)
            .map_err(|cause| match cause {
                NoAccess::Protected(gpi) => HostFault { pa, gpi: Some(gpi) },
                NoAccess::NoMemory => HostFault { pa, gpi: None },
            })
    }
}

impl Drop for HostPe {
    fn drop(&mut self) {
        self.inner.taken[self.index].store(false, Ordering::Release);
    }
}

impl SmcTransport for HostPe {
    fn smc(&self, registers: &mut Registers) {
        self.inner.smc(self.index, registers);
    }
}

impl realm_vmm::HostPe for HostPe {
    fn index(&self) -> usize {
        self.index
    }

    fn counter(&self) -> u64 {
        // Who polls the counter must see it advance.
        self.inner.board.clock.tick();
        self.inner.board.clock.now()
    }

    fn frequency(&self) -> u64 {
        FREQUENCY
    }

    fn arm_slice(&mut self, deadline: u64) {
        self.inner.board.pes[self.index].lines.set_slice(deadline);
    }

    fn disarm_slice(&mut self) {
        self.inner.board.pes[self.index].lines.set_slice(NEVER);
    }

    fn acknowledge_interrupts(&mut self) {
        let board = &self.inner.board;
        if board.failure.get().is_some() || self.stop_with_guests && board.guests.failed() {
            resume_unwind(Box::new(Stopped));
        }
        self.inner.board.pes[self.index]
            .lines
            .acknowledge(&self.inner.board.clock);
    }

    fn wait(&mut self, deadline: Option<u64>) {
        let Board { clock, pes, .. } = &*self.inner.board;
        let lines = &pes[self.index].lines;
        clock.wait(deadline.unwrap_or(NEVER).min(lines.slice()), || {
            lines.pending(clock)
        });
    }

    fn kick(&mut self, index: usize) {
        let Board { clock, pes, .. } = &*self.inner.board;
        if let Some(pe) = pes.get(index).filter(|_| index != self.index) {
            pe.lines.kick(clock);
        }
    }

    fn kick_others(&mut self) {
        let Board { clock, pes, .. } = &*self.inner.board;
        for (index, pe) in pes.iter().enumerate() {
            if index != self.index {
                pe.lines.kick(clock);
            }
        }
    }
}
