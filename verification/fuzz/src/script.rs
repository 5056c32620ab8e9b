//! What a hostile realm does: a script of instructions, drawn from bytes.

use cca_abi::psci::Function;
use cca_abi::{rsi, smccc};
use machine::cpu::{Encoding, GuestCpu, Instruction, SECONDARY_OFFSET, Transfer};

use crate::Hand;

/// What is in the registers that no exit may show.
pub const SECRET: u64 = 0x5EC2_E75E_C2E7_5EC2;

/// Where the program of a realm is, and with that its first page of memory.
pub const CODE: u64 = 0x4000_0000;
/// Bytes of the realm's memory.
pub const MEMORY: u64 = 4 << 20;
/// First unprotected address.
pub const UNPROTECTED: u64 = 1 << 39;

/// Addresses in a realm, aligned to eight bytes.
fn address(hand: &mut Hand<'_>) -> u64 {
    let page = u64::from(hand.byte()) << 12;
    match hand.below(12) {
        0..4 => CODE + 0x1000 + page,
        4 => CODE + (page & 0x7000) + (2 << 20),
        5 => CODE + MEMORY - 0x1000,
        6 => CODE + MEMORY + page,
        7 => UNPROTECTED | CODE | page,
        8 => UNPROTECTED | 0x0900_0000 | u64::from(hand.byte()) << 3,
        9 => page,
        10 => UNPROTECTED - 0x1000,
        _ => hand.value() & !7,
    }
}

fn operand(hand: &mut Hand<'_>) -> u64 {
    match hand.below(4) {
        0 => address(hand),
        1 => address(hand) & !0xFFF,
        _ => hand.value(),
    }
}

fn transfer(hand: &mut Hand<'_>) -> Transfer {
    Transfer {
        size: hand.pick(&[8, 4, 2, 1]),
        register: hand.pick(&[0, 1, 2, 9, 31]),
        sign: hand.seldom(4),
        wide: hand.seldom(2),
        described: !hand.seldom(4),
    }
}

fn call(guest: &GuestCpu, hand: &mut Hand<'_>) {
    let function = match hand.below(8) {
        0..4 => rsi::Command::ALL[hand.below(rsi::Command::ALL.len())].function_id(),
        4 | 5 => Function::ALL[hand.below(Function::ALL.len())].function_id(),
        6 => 0xC400_0150 + u32::from(hand.byte()),
        _ => hand.value() as u32,
    };
    guest.set_register(
        0,
        u64::from(function) | hand.value() & 0xFFFF_FFFF_0001_0000,
    );
    // A range of memory, so that calls about memory get somewhere.
    let base = operand(hand);
    guest.set_register(1, base);
    guest.set_register(
        2,
        if hand.seldom(2) {
            operand(hand)
        } else {
            base.wrapping_add(0x1000 << hand.below(10))
        },
    );
    for n in 3..hand.below(10) {
        guest.set_register(n, hand.value());
    }
    // A vCPU that starts where no program is dies of its first exception, and nothing is learnt from that.
    let function = Function::from_function_id(smccc::function_id(guest.register(0)));
    if function == Some(Function::CpuOn) {
        guest.set_register(2, CODE + SECONDARY_OFFSET);
    }
    // Whatever comes of it is the realm's own affair.
    let _ = guest.execute(Instruction::Smc);
}

/// Carries out what `data` says. Every register that the script does not use keeps the secret.
pub fn play(guest: &GuestCpu, data: &[u8]) {
    let mut hand = Hand::new(data);
    for register in 18..=28 {
        guest.set_register(register, SECRET);
    }
    while !hand.is_empty() {
        let instruction = match hand.below(10) {
            0..4 => {
                call(guest, &mut hand);
                continue;
            }
            4 => {
                let at = address(&mut hand);
                Instruction::Load(at, transfer(&mut hand))
            }
            5 => {
                let at = address(&mut hand);
                Instruction::Store(at, transfer(&mut hand))
            }
            6 => Instruction::AtomicAdd(address(&mut hand), Transfer::plain(8, 9)),
            7 => {
                let encoding = Encoding(
                    2 + hand.byte() % 2,
                    hand.byte() % 8,
                    hand.byte() % 16,
                    hand.byte() % 16,
                    hand.byte() % 8,
                );
                guest.set_register(8, hand.value());
                if hand.seldom(2) {
                    Instruction::Mrs(encoding, 8)
                } else {
                    Instruction::Msr(encoding, 8)
                }
            }
            8 => hand.pick(&[Instruction::WaitForInterrupt, Instruction::WaitForEvent]),
            _ => Instruction::Hvc,
        };
        let _ = guest.execute(instruction);
    }
}
