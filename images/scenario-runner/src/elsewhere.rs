//! Calls on the second PE.
//!
//! The first PE leaves a call in a mailbox and wakes the second, which makes it and leaves the results there.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use hardware::host::{Pe, Transport};
use realm_host::SmcTransport;
use realm_vmm::HostPe;
use scenarios::NoOtherPe;

/// There is no second PE yet.
const ABSENT: u64 = 0;
/// The second PE waits for a call.
const IDLE: u64 = 1;
/// A call is in the mailbox.
const CALL: u64 = 2;
/// The second PE has seen that there is one.
const AWAKE: u64 = 3;
/// No interrupt will come from here before the call has begun.
const GO: u64 = 4;
/// The results are in the mailbox.
const DONE: u64 = 5;

static STATE: AtomicU64 = AtomicU64::new(ABSENT);
static MAILBOX: [AtomicU64; 18] = [const { AtomicU64::new(0) }; 18];

/// How often to look for the second PE before there is none.
const PATIENCE: u64 = 100_000_000;

fn put(registers: &Registers) {
    for (slot, &value) in MAILBOX.iter().zip(&registers.0) {
        slot.store(value, Ordering::Relaxed);
    }
}

fn take() -> Registers {
    Registers(core::array::from_fn(|i| MAILBOX[i].load(Ordering::Relaxed)))
}

/// Waits until the second PE is there; `false` if it does not come.
pub(crate) fn wait_until_ready() -> bool {
    for _ in 0..PATIENCE {
        if STATE.load(Ordering::Acquire) != ABSENT {
            return true;
        }
        spin_loop();
    }
    false
}

/// Has the second PE make a call; `kick` interrupts it.
pub(crate) fn start(registers: Registers, kick: impl FnOnce()) -> Result<(), NoOtherPe> {
    if STATE.load(Ordering::Acquire) != IDLE {
        return Err(NoOtherPe);
    }
    put(&registers);
    STATE.store(CALL, Ordering::Release);
    kick();
    wait_for(AWAKE);
    STATE.store(GO, Ordering::Release);
    Ok(())
}

/// Interrupts the second PE with `kick` until its call has ended.
pub(crate) fn finish(kick: impl Fn()) -> Registers {
    while STATE.load(Ordering::Acquire) != DONE {
        kick();
        (0..1000).for_each(|_| spin_loop());
    }
    let registers = take();
    STATE.store(IDLE, Ordering::Release);
    registers
}

fn wait_for(state: u64) {
    while STATE.load(Ordering::Acquire) != state {
        spin_loop();
    }
}

/// What the second PE does, for ever. It sleeps until it is interrupted for a call.
pub(crate) fn serve(mut pe: Pe) -> ! {
    STATE.store(IDLE, Ordering::Release);
    loop {
        if STATE.load(Ordering::Acquire) == CALL {
            STATE.store(AWAKE, Ordering::Release);
            wait_for(GO);
            pe.acknowledge_interrupts();
            let mut registers = take();
            Transport.smc(&mut registers);
            put(&registers);
            STATE.store(DONE, Ordering::Release);
        } else {
            pe.wait(None);
            pe.acknowledge_interrupts();
        }
    }
}
