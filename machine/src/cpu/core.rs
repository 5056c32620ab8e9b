//! Instructions: what a realm's program can do, one at a time, and when it has to leave.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};

use realm_monitor::platform::Exception;
use realm_monitor::rec::layout::SysReg;

use super::stage2::{Access, Fault, Location, Regime};
use super::state::State;
use super::syndrome::{self, Encoding, Transfer};
use super::sysreg::{self, Effect};
use crate::board::{Board, NoAccess};
use crate::memory::{GRANULE_SIZE, Page};

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// A load from `ipa` (stage 1 is an identity map).
    Load(u64, Transfer),
    /// A store to `ipa`.
    Store(u64, Transfer),
    /// `LDADD` of the transfer's register to the doubleword at `ipa`; the register receives the old value.
    AtomicAdd(u64, Transfer),
    /// `SMC #0`.
    Smc,
    /// `HVC #0`.
    Hvc,
    /// `WFI`.
    WaitForInterrupt,
    /// `WFE`.
    WaitForEvent,
    /// `MRS X<n>, <register>`.
    Mrs(Encoding, u8),
    /// `MSR <register>, X<n>`.
    Msr(Encoding, u8),
}

/// An exception that the realm has taken to its own EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
    /// `ELR_EL1`.
    pub elr: u64,
}

/// The processing element's side of a vCPU tells it to go on.
pub(crate) struct Resume {
    /// The registers.
    pub state: State,
    /// Where its stage 2 is.
    pub regime: Regime,
    /// Which processing element it runs on now.
    pub pe: usize,
}

/// The vCPU's side has stopped.
pub(crate) struct Stop {
    /// The registers.
    pub state: State,
    /// Why.
    pub exception: Exception,
}

/// What a program unwinds with when its vCPU has ceased to exist.
pub struct Cancelled;

/// What an attempt at an instruction came to.
enum Attempt {
    Done,
    /// Taken to R-EL2.
    Leave(Exception),
    /// Taken to EL1: `ESR_EL1` and `FAR_EL1`.
    Inside(u64, u64),
}

/// A vCPU that is loaded on a processing element.
pub(crate) struct Core {
    board: Arc<Board>,
    /// Its registers.
    pub state: State,
    regime: Regime,
    pe: usize,
    code: u64,
    stopped: Sender<Stop>,
    resumed: Receiver<Resume>,
}

/// The instructions of a program go round in this part of the page that it was started in; its exception vectors are
/// in the other half.
const CODE_BYTES: u64 = 0x7F0;
/// Offset of the exception vectors in the page that a program was started in.
const VECTORS: u64 = 0x800;
/// Offset of the vector for synchronous exceptions from the current exception level with SP_ELx.
const SYNCHRONOUS: u64 = 0x200;

const UNDEFINED: u64 = 1 << 25;

impl Core {
    /// The vCPU that `first` starts; `id` is what marks its registers as belonging to this program.
    pub(crate) fn new(
        board: Arc<Board>,
        first: Resume,
        id: u64,
        stopped: Sender<Stop>,
        resumed: Receiver<Resume>,
    ) -> Self {
        let Resume {
            mut state,
            regime,
            pe,
        } = first;
        let code = state.pc & !(GRANULE_SIZE - 1);
        // What the first instructions of any program do: a stack, vectors, interrupts enabled in the GIC.
        state.owner = id;
        state.gprs[29] = id;
        state.set_system(SysReg::VbarEl1, code + VECTORS);
        state.interface.set_priority_mask(0xFF);
        state.interface.set_group1_enabled(true);
        Self {
            board,
            state,
            regime,
            pe,
            code,
            stopped,
            resumed,
        }
    }

    /// The counter.
    pub(crate) fn now(&self) -> u64 {
        self.board.clock.now()
    }

    /// Executes one instruction, however often the processing element has to leave the realm meanwhile.
    pub(crate) fn execute(&mut self, instruction: Instruction) -> Result<(), Taken> {
        if self.state.pc.wrapping_sub(self.code) >= CODE_BYTES {
            self.state.pc = self.code;
        }
        let at = self.state.pc;
        loop {
            match self.attempt(instruction) {
                Attempt::Done => {
                    self.state.pc = at + 4;
                    self.board.clock.tick();
                    return Ok(());
                }
                Attempt::Leave(exception) => {
                    self.leave(exception);
                    if self.state.pc == at + 4 {
                        return Ok(());
                    }
                    if self.state.pc != at {
                        return Err(self.handle(at));
                    }
                }
                Attempt::Inside(esr, far) => {
                    self.take(esr, far);
                    return Err(self.handle(at));
                }
            }
        }
    }

    /// Stops; returns when some processing element has entered the realm again.
    fn leave(&mut self, exception: Exception) {
        let stop = Stop {
            state: self.state.clone(),
            exception,
        };
        let resumed = self
            .stopped
            .send(stop)
            .ok()
            .and_then(|()| self.resumed.recv().ok());
        let Some(Resume { state, regime, pe }) = resumed else {
            let cancelled: Box<dyn Any + Send> = Box::new(Cancelled);
            resume_unwind(cancelled)
        };
        self.state = state;
        self.regime = regime;
        self.pe = pe;
    }

    /// What hardware does when it takes an exception to EL1.
    fn take(&mut self, esr: u64, far: u64) {
        self.state.set_system(SysReg::EsrEl1, esr);
        self.state.set_system(SysReg::FarEl1, far);
        self.state.set_system(SysReg::ElrEl1, self.state.pc);
        self.state.set_system(SysReg::SpsrEl1, self.state.pstate);
        self.state.pc = self.state.system(SysReg::VbarEl1) + SYNCHRONOUS;
        self.state.pstate = 0x3C5;
    }

    /// The exception handler of every program: remembers what happened, and returns behind the instruction.
    ///
    /// # Panics
    ///
    /// If the vCPU is not at its exception vector: the monitor has resumed it at a wrong address.
    fn handle(&mut self, at: u64) -> Taken {
        let vector = self.state.system(SysReg::VbarEl1) + SYNCHRONOUS;
        assert_eq!(
            self.state.pc, vector,
            "a vCPU that stopped at {at:#x} goes on neither there, nor behind it, nor at its vector {vector:#x}"
        );
        let taken = Taken {
            esr: self.state.system(SysReg::EsrEl1),
            far: self.state.system(SysReg::FarEl1),
            elr: self.state.system(SysReg::ElrEl1),
        };
        self.state.pc = at + 4;
        self.state.pstate = self.state.system(SysReg::SpsrEl1);
        taken
    }

    fn attempt(&mut self, instruction: Instruction) -> Attempt {
        if self.physical_interrupt() {
            return Attempt::Leave(Exception::Irq);
        }
        let pc = self.state.pc;
        if let Err(attempt) = self.access(pc, Access::Fetch, |_, _| ()) {
            return attempt;
        }
        match instruction {
            Instruction::Load(ipa, transfer) => self.load(ipa, transfer),
            Instruction::Store(ipa, transfer) => self.store(ipa, transfer),
            Instruction::AtomicAdd(ipa, transfer) => self.atomic_add(ipa, transfer),
            Instruction::Smc => {
                assert!(
                    self.state.hcr >> 19 & 1 == 1,
                    "a realm's SMC does not trap: HCR_EL2.TSC is clear"
                );
                leave(syndrome::syndrome(syndrome::EC_SMC, 0), 0, 0)
            }
            Instruction::Hvc => {
                self.state.pc += 4;
                leave(syndrome::syndrome(syndrome::EC_HVC, 0), 0, 0)
            }
            Instruction::WaitForInterrupt => self.wait_for_interrupt(),
            Instruction::WaitForEvent if self.state.hcr >> 14 & 1 == 1 => leave(
                syndrome::syndrome(syndrome::EC_WFX, 1 << 24 | 0xE << 20 | 1),
                0,
                0,
            ),
            Instruction::WaitForEvent => {
                std::thread::yield_now();
                Attempt::Done
            }
            Instruction::Mrs(encoding, register) => {
                let now = self.now();
                let effect = sysreg::read(&mut self.state, encoding, register, now);
                system(effect, encoding, register, true)
            }
            Instruction::Msr(encoding, register) => {
                let effect = sysreg::write(&mut self.state, encoding, register);
                system(effect, encoding, register, false)
            }
        }
    }

    /// Whether an interrupt that goes to R-EL2 is pending on this processing element: one of the host's, one of the
    /// realm's timers unless the monitor masks it, or the maintenance interrupt of the GIC.
    fn physical_interrupt(&self) -> bool {
        let lines = &self.board.pes[self.pe].lines;
        lines.pending(&self.board.clock) || self.realm_interrupt()
    }

    fn realm_interrupt(&self) -> bool {
        let now = self.now();
        let virtual_masked = self.state.cnthctl >> 18 & 1 == 1;
        let physical_masked = self.state.cnthctl >> 19 & 1 == 1;
        self.state.virtual_timer.asserted(now) && !virtual_masked
            || self.state.physical_timer.asserted(now) && !physical_masked
            || self.state.interface.maintenance_asserted()
    }

    fn wait_for_interrupt(&mut self) -> Attempt {
        if self.state.interface.signalled() {
            return Attempt::Done;
        }
        if self.state.hcr >> 13 & 1 == 1 {
            return leave(
                syndrome::syndrome(syndrome::EC_WFX, 1 << 24 | 0xE << 20),
                0,
                0,
            );
        }
        let lines = &self.board.pes[self.pe].lines;
        let masked = [
            self.state.cnthctl >> 18 & 1 == 1,
            self.state.cnthctl >> 19 & 1 == 1,
        ];
        let deadline = [self.state.virtual_timer, self.state.physical_timer]
            .iter()
            .zip(masked)
            .filter(|(_, masked)| !masked)
            .filter_map(|(timer, _)| timer.deadline())
            .fold(lines.slice(), u64::min);
        self.board
            .clock
            .wait(deadline, || lines.pending(&self.board.clock));
        Attempt::Done
    }

    fn load(&mut self, ipa: u64, transfer: Transfer) -> Attempt {
        let loaded = self.access(ipa, Access::Read, |page, offset| {
            let word = page[offset / 8].load(Ordering::Acquire);
            word >> (offset % 8 * 8) & mask(transfer.size)
        });
        match loaded {
            Ok(value) => {
                self.set(transfer.register, extend(value, transfer));
                Attempt::Done
            }
            Err(attempt) => describe(attempt, transfer, false),
        }
    }

    fn store(&mut self, ipa: u64, transfer: Transfer) -> Attempt {
        let value = self.get(transfer.register) & mask(transfer.size);
        let stored = self.access(ipa, Access::Write, |page, offset| {
            let shift = offset % 8 * 8;
            let keep = !(mask(transfer.size) << shift);
            // Never `None`: the closure always gives a new value.
            let _ = page[offset / 8].fetch_update(Ordering::Release, Ordering::Relaxed, |word| {
                Some(word & keep | value << shift)
            });
        });
        stored.map_or_else(
            |attempt| describe(attempt, transfer, true),
            |()| Attempt::Done,
        )
    }

    fn atomic_add(&mut self, ipa: u64, transfer: Transfer) -> Attempt {
        let addend = self.get(transfer.register);
        let added = self.access(ipa, Access::Write, |page, offset| {
            page[offset / 8].fetch_add(addend, Ordering::AcqRel)
        });
        match added {
            Ok(old) => {
                self.set(transfer.register, old);
                Attempt::Done
            }
            Err(attempt) => describe(
                attempt,
                Transfer {
                    described: false,
                    ..transfer
                },
                true,
            ),
        }
    }

    fn get(&self, register: u8) -> u64 {
        self.state
            .gprs
            .get(usize::from(register))
            .copied()
            .unwrap_or(0)
    }

    fn set(&mut self, register: u8, value: u64) {
        if let Some(gpr) = self.state.gprs.get_mut(usize::from(register)) {
            *gpr = value;
        }
    }

    /// Translates, checks protection, and does `act` on the page before any other processing element can learn that
    /// an invalidation of this translation is complete. A fault comes back with a syndrome that says nothing about
    /// the instruction yet.
    fn access<T>(
        &self,
        ipa: u64,
        access: Access,
        act: impl FnOnce(&Page, usize) -> T,
    ) -> Result<T, Attempt> {
        let _busy = self.board.pes[self.pe].access();
        let board = &*self.board;
        let read = |pa| board.read_table(pa);
        let Location { pa, space } = self
            .regime
            .translate(ipa, access, read)
            .map_err(|fault| stage2_abort(ipa, access, fault))?;
        match board.page(pa, space) {
            Ok(page) => Ok(act(page, (pa & (GRANULE_SIZE - 1)) as usize)),
            // HCR_EL2.GPF is clear: a granule protection fault of the realm is the realm's own.
            Err(NoAccess::Protected(_)) => Err(Attempt::Inside(own_abort(access, 0x28), ipa)),
            // A synchronous external abort, which HCR_EL2.TEA takes to R-EL2.
            Err(NoAccess::NoMemory) => Err(stage2_abort(ipa, access, Fault { status: 0x10 })),
        }
    }
}

fn leave(esr: u64, far: u64, hpfar: u64) -> Attempt {
    Attempt::Leave(Exception::Sync { esr, far, hpfar })
}

fn system(effect: Effect, encoding: Encoding, register: u8, read: bool) -> Attempt {
    match effect {
        Effect::Done => Attempt::Done,
        Effect::Trap => leave(syndrome::system_access(encoding, register, read), 0, 0),
        Effect::Undefined => Attempt::Inside(UNDEFINED, 0),
    }
}

/// An abort to R-EL2.
fn stage2_abort(ipa: u64, access: Access, fault: Fault) -> Attempt {
    let class = match access {
        Access::Fetch => syndrome::EC_INSTRUCTION_ABORT,
        Access::Read | Access::Write => syndrome::EC_DATA_ABORT,
    };
    leave(syndrome::syndrome(class, fault.status), ipa, ipa >> 12 << 4)
}

/// An abort to EL1 from EL1.
fn own_abort(access: Access, status: u64) -> u64 {
    let class = match access {
        Access::Fetch => 0x21,
        Access::Read | Access::Write => 0x25,
    };
    syndrome::syndrome(class, status | u64::from(access == Access::Write) << 6)
}

/// Adds what hardware knows about the instruction to the syndrome of its data abort.
fn describe(attempt: Attempt, transfer: Transfer, write: bool) -> Attempt {
    match attempt {
        Attempt::Leave(Exception::Sync { esr, far, hpfar }) => {
            let status = esr & 0x3F;
            // Hardware describes only what a hypervisor could emulate: no external aborts.
            let described = transfer.described && status != 0x10;
            leave(
                syndrome::data_abort(
                    Transfer {
                        described,
                        ..transfer
                    },
                    write,
                    status,
                ),
                far,
                hpfar,
            )
        }
        other => other,
    }
}

fn mask(size: u8) -> u64 {
    if size == 8 { !0 } else { (1 << (8 * size)) - 1 }
}

/// What a load puts into its register.
fn extend(value: u64, transfer: Transfer) -> u64 {
    if !transfer.sign {
        return value;
    }
    let unused = 64 - 8 * u32::from(transfer.size);
    let extended = ((value << unused) as i64 >> unused) as u64;
    if transfer.wide {
        extended
    } else {
        extended & 0xFFFF_FFFF
    }
}
