//! RSI_ATTESTATION_TOKEN_CONTINUE: writes the next part of a token into the realm's memory.

use core::sync::atomic::Ordering::Relaxed;

use cca_abi::rsi::attestation_token_continue::{Condition, Input, Output};
use cca_abi::{GRANULE_SIZE, rsi};

use super::Stop;
use crate::attestation;
use crate::platform::{Granule, Platform, ProcessingElement};
use crate::rec::{Exit, RunningRec, TokenState, layout};

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    let &Input { addr, offset, size } = input;
    if !addr.is_multiple_of(GRANULE_SIZE) {
        return Err(Condition::AddrAlign.into());
    }
    if offset >= GRANULE_SIZE {
        return Err(Condition::OffsetBound.into());
    }
    let Some(end) = offset.checked_add(size) else {
        return Err(Condition::SizeOverflow.into());
    };
    if end > GRANULE_SIZE {
        return Err(Condition::SizeBound.into());
    }
    if !running.is_protected(addr) {
        return Err(Condition::AddrBound.into());
    }
    let context = running.context;
    let state = TokenState::of(context);
    if state == TokenState::None {
        return Err(Condition::State.into());
    }
    let Some(attestation) = running.platform().attestation() else {
        return Err(Condition::Unknown.into());
    };
    if state == TokenState::Begun {
        return Err(Stop::Sign);
    }

    // A realm that has to wait for the page makes the call again: until it is there nothing changes.
    let done = context.get(layout::ATTEST_OFFSET);
    let mut buffer = [0; GRANULE_SIZE as usize];
    let (len, left) = attestation::token_bytes(
        attestation,
        &running.realm(),
        context,
        done as usize,
        &mut buffer[..size as usize],
    );
    running
        .with_page(addr, |page| write(page, offset as usize, &buffer[..len]))
        .map_err(|why| Stop::inaccessible(why, Condition::Empty))?;
    context.set(layout::ATTEST_OFFSET, done + len as u64);
    let output = Output { len: len as u64 };
    if left != 0 {
        return Err(Stop::Incomplete(output));
    }
    TokenState::None.put(context);
    Ok(output)
}

/// Signs the token that a REC has begun, after which the realm makes its call again. If an interrupt is pending, before,
/// meanwhile or after, the host serves it first: the exit, with the call answered by "incomplete, no bytes". The realm's next
/// call goes on where this one was suspended.
pub(crate) fn sign<P: Platform>(
    running: &RunningRec<'_, P>,
    pe: &mut impl ProcessingElement,
) -> Option<Exit> {
    let context = running.context;
    if !pe.interrupt_pending() {
        let attestation = running.platform().attestation();
        let signed = attestation.is_none_or(|attestation| {
            let signed = attestation::sign(attestation, running, pe);
            if signed {
                TokenState::Signed.put(context);
            }
            signed
        });
        if signed && !pe.interrupt_pending() {
            return None;
        }
    }
    context.set_gpr(0, rsi::INCOMPLETE);
    for n in 1..=super::CLEARED {
        context.set_gpr(n, 0);
    }
    context.advance_pc();
    Some(Exit::Irq)
}

/// Copies bytes into the page.
fn write(page: &Granule, offset: usize, from: &[u8]) {
    for (at, byte) in (offset..).zip(from) {
        let word = &page[at / 8];
        let mut bytes = word.load(Relaxed).to_le_bytes();
        bytes[at % 8] = *byte;
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }
}
