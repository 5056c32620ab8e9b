//! RSI_HOST_CALL: passes registers to the host, and later the host's registers back.

use core::sync::atomic::Ordering::Relaxed;

use cca_abi::GRANULE_SIZE;
use cca_abi::rsi::host_call::{Condition, Input, Output};
use cca_abi::rsi::host_call_offset::{GPRS, IMM, SIZE};

use super::Stop;
use crate::platform::Platform;
use crate::rec::{Exit, RunningRec, layout};

/// Index, in its page, of the word at an offset in the structure at `address`.
pub(crate) const fn word(address: u64, offset: usize) -> usize {
    ((address % GRANULE_SIZE) as usize + offset) / 8
}

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    if !input.addr.is_multiple_of(SIZE as u64) {
        return Err(Condition::AddrAlign.into());
    }
    if !running.is_protected(input.addr) {
        return Err(Condition::AddrBound.into());
    }
    // X1 keeps the address until the host has answered; the structure does not cross a page.
    let context = running.context;
    let imm = running
        .with_page(input.addr, |page| {
            let gprs = &page[word(input.addr, GPRS)..][..layout::GPR_COUNT];
            for (n, gpr) in gprs.iter().enumerate() {
                context.set(layout::HOST_CALL_GPRS + n, gpr.load(Relaxed));
            }
            page[word(input.addr, IMM)].load(Relaxed) as u16
        })
        .map_err(|why| Stop::inaccessible(why, Condition::Empty))?;
    context.set(layout::HOST_CALL_PENDING, 1);
    Err(Stop::Exit(Exit::HostCall { imm }))
}
