//! The programs that run in realms: Rust closures, one thread for each vCPU that has been started.
//!
//! A vCPU's thread runs only while a processing element is inside the realm with that vCPU, and stops as soon as
//! the realm is left: the two threads hand the registers to each other. The registers in the REC are the truth. A
//! context whose X29 does not name the thread that last ran there has been created or restarted since, and starts a
//! new program at its PC; the old one, if any, unwinds.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cca_abi::psci::Function;
use cca_abi::smccc::Registers;

use crate::board::Board;
use crate::cpu::core::{Cancelled, Core, Instruction, Resume, Stop};
use crate::cpu::guest::GuestCpu;
use crate::memory::Page;

/// What a vCPU executes. Returning is like an endless loop around WFI.
pub type Program = Arc<dyn Fn(&GuestCpu) + Send + Sync>;

/// Which granule of memory something is in, whatever address that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity(usize);

impl Identity {
    /// Of a page of the machine's memory, which stays where it is as long as the machine exists.
    pub(crate) fn of(page: &Page) -> Self {
        Self(std::ptr::from_ref(page).addr())
    }
}

/// Where a program belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The REC in this granule, wherever its PC points.
    Rec(Identity),
    /// Every vCPU that starts at this intermediate physical address and whose REC has no program of its own.
    Entry(u64),
}

/// A vCPU's thread.
struct Thread {
    id: u64,
    resume: Sender<Resume>,
    stopped: Receiver<Stop>,
    join: JoinHandle<()>,
}

impl Thread {
    /// Makes the program unwind, and waits until it has.
    fn cancel(self) {
        drop(self.resume);
        drop(self.stopped);
        // A program that panicked has been reported by the thread itself.
        let _ = self.join.join();
    }
}

/// All programs and threads of a machine.
#[derive(Default)]
pub(crate) struct Guests {
    programs: Mutex<HashMap<Place, Program>>,
    threads: Mutex<HashMap<Identity, Thread>>,
    /// How many threads there are, in the table or running.
    count: AtomicUsize,
    last_id: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Guests {
    /// Says what runs at a place, from the next time a vCPU starts there.
    pub(crate) fn install(&self, place: Place, program: Program) {
        lock(&self.programs).insert(place, program);
    }

    /// Takes what programs have panicked with so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    /// Whether a program has panicked.
    pub(crate) fn failed(&self) -> bool {
        !lock(&self.failures).is_empty()
    }

    /// Runs the vCPU in the REC granule `rec` until it stops.
    pub(crate) fn run(&self, board: &Arc<Board>, rec: Identity, resume: Resume) -> Stop {
        let known = lock(&self.threads).remove(&rec);
        let state = &resume.state;
        let thread = match known {
            Some(thread) if thread.id == state.owner && thread.id == state.gprs[29] => {
                // The thread waits for this; if it is gone, receiving fails below.
                let _ = thread.resume.send(resume);
                thread
            }
            stale => {
                if let Some(stale) = stale {
                    self.cancel(stale);
                }
                self.count.fetch_add(1, Ordering::SeqCst);
                self.start(board, rec, resume)
            }
        };
        let stop = thread
            .stopped
            .recv()
            .expect("a vCPU's thread ends only when it is cancelled");
        lock(&self.threads).insert(rec, thread);
        stop
    }

    /// This granule is no REC any more: whatever ran there ceases to exist.
    pub(crate) fn forget(&self, rec: Identity) {
        // What was there has been started before the granule ceased to be a REC.
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let thread = lock(&self.threads).remove(&rec);
        if let Some(thread) = thread {
            self.cancel(thread);
        }
    }

    fn cancel(&self, thread: Thread) {
        thread.cancel();
        self.count.fetch_sub(1, Ordering::SeqCst);
    }

    /// Ends all threads.
    pub(crate) fn end(&self) {
        let threads: Vec<_> = lock(&self.threads)
            .drain()
            .map(|(_, thread)| thread)
            .collect();
        threads.into_iter().for_each(|thread| self.cancel(thread));
    }

    fn program(&self, rec: Identity, pc: u64) -> Option<Program> {
        let programs = lock(&self.programs);
        programs
            .get(&Place::Rec(rec))
            .or_else(|| programs.get(&Place::Entry(pc)))
            .cloned()
    }

    fn start(&self, board: &Arc<Board>, rec: Identity, first: Resume) -> Thread {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let program = self.program(rec, first.state.pc);
        let (resume, resumed) = channel();
        let (stop, stopped) = channel();
        let board = Arc::clone(board);
        let main = move || {
            let guest = GuestCpu::new(Core::new(Arc::clone(&board), first, id, stop, resumed));
            let outcome = catch_unwind(AssertUnwindSafe(|| match program {
                Some(program) => program(&guest),
                None => suspend(&guest),
            }));
            match outcome {
                Ok(()) => {}
                Err(cause) if cause.is::<Cancelled>() => return,
                Err(cause) => {
                    lock(&board.guests.failures).push(message(&*cause));
                    // Whoever runs this vCPU may want to know.
                    board.pes.iter().for_each(|pe| pe.lines.kick(&board.clock));
                }
            }
            // Until it is cancelled; the unwinding has nothing else to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                loop {
                    let _ = guest.execute(Instruction::WaitForInterrupt);
                }
            }));
        };
        let join = std::thread::Builder::new()
            .name(format!("vcpu-{id}"))
            .spawn(main)
            .expect("the computer has threads left");
        Thread {
            id,
            resume,
            stopped,
            join,
        }
    }
}

/// What a vCPU without a program does: it lets the host run, for ever.
fn suspend(guest: &GuestCpu) {
    loop {
        let mut call = Registers::call(Function::CpuSuspend.function_id(), &[]);
        guest.call(&mut call);
    }
}

/// What a panic said.
pub(crate) fn message(cause: &(dyn std::any::Any + Send)) -> String {
    cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each of them is only ever replaced as a whole: a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
