//! What is in the registers of EL3 and of the RMM while they work: a debugger stops the machine in each and compares.
//!
//! Most of these registers nobody but their owner can read, and of some of their bits the emulator shows no effect.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use toolbox::Error;
use toolbox::images::{self, Image, REALM_MONITOR, ROOT_MONITOR};
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;

use super::debugger::{Debugger, attend};
use super::stacks::symbol;

/// A scenario in which the host fills its registers and a realm runs.
const SCENARIO: &str = "REC: every system register stays with the realm and with the host";
/// A scenario in which a realm uses its vectors.
const VECTORS: &str = "REC: vector registers of every length stay with the realm and with the host";
/// How often a realm is entered at most until it uses them.
const ENTRIES: usize = 500;
/// CPTR_EL2.FPEN: SIMD is open.
const SIMD_OPEN: u64 = 0b11 << 20;

/// A place where the machine stops.
#[derive(Debug)]
struct Stop {
    /// What happens there.
    when: &'static str,
    image: Image,
    /// Part of the name of a function.
    function: &'static str,
    /// Names as the emulator spells them.
    registers: &'static [(&'static str, u64)],
}

/// EL3 serves the RMM, which says that it is ready.
const EL3_FOR_THE_RMM: Stop = Stop {
    when: "EL3 serves the RMM",
    image: ROOT_MONITOR,
    function: "el3_lower_synchronous",
    registers: &[
        // RES1, SA, I; M, C, WXN.
        (
            "SCTLR_EL3",
            0x30C5_0830 | 1 << 3 | 1 << 12 | 1 | 1 << 2 | 1 << 19,
        ),
        ("MAIR_EL3", 0xBB_04FF),
        ("TCR_EL3", 0x8082_3510),
        // RES1, NS, FIQ, HCE, SIF, RW, APK, API, EnSCXT, FGTEn, ECVEn, HXEn, EnTP2; and NSE.
        ("SCR_EL3", 0x0000_0240_1A03_0735 | 1 << 62),
        // EZ, ESM; TTA, TAM.
        ("CPTR_EL3", 1 << 8 | 1 << 12 | 1 << 20 | 1 << 30),
        ("MDCR_EL3", MDCR_EL3),
        ("ZCR_EL3", 0xF),
        // LEN; FA64.
        ("SMCR_EL3", 0xF | 1 << 31),
        // PPS, SH, ORGN, IRGN of what the tables are in, GPC.
        ("GPCCR_EL3", 0x1_3A02),
    ],
};

/// SDD, SPD32 = 0b10, TTRF, SCCD, MCCD.
const MDCR_EL3: u64 = 1 << 16 | 0b10 << 14 | 1 << 19 | 1 << 23 | 1 << 34;

/// The RMM serves a call, and its registers on demand are still the host's: APK, API, EnSCXT, FGTEn, ECVEn and HXEn are zero.
const QUICK_CALL: Stop = Stop {
    when: "the RMM serves a call",
    image: REALM_MONITOR,
    function: "cca_abi3rmi8dispatch",
    registers: &[
        ("SCR_EL3", 0x0000_0200_0000_0735 | 1 << 62),
        ("SCTLR_EL2", SCTLR_EL2),
        ("HCR_EL2", HCR_EL2),
        ("CPTR_EL2", CPTR_EL2),
        ("MDCR_EL2", MDCR_EL2),
        ("MAIR_EL2", 0x04FF),
        ("TCR_EL2", 0x5_B510_3510),
        ("CNTHCTL_EL2", 1 << 10 | 1 << 11),
        ("CNTVOFF_EL2", 0),
        ("HSTR_EL2", 0),
    ],
};

/// LSMAOE, nTLSMD, SPAN, EIS, TSCXT, nTWE, nTWI, EOS, SED, ITD, SA; M, C, I, WXN.
const SCTLR_EL2: u64 = 1 << 29
    | 1 << 28
    | 1 << 23
    | 1 << 22
    | 1 << 20
    | 1 << 18
    | 1 << 16
    | 1 << 11
    | 1 << 8
    | 1 << 7
    | 1 << 3
    | 1
    | 1 << 2
    | 1 << 12
    | 1 << 19;
/// TGE, E2H, TEA.
const HCR_EL2: u64 = 1 << 27 | 1 << 34 | 1 << 37;
/// TTA, TAM; FPEN, ZEN and SMEN zero: all of SIMD is trapped.
const CPTR_EL2: u64 = 1 << 28 | 1 << 30;
/// HPMN: all six counters are EL1's; HPMD, HCCD: the host's do not count.
const MDCR_EL2: u64 = 6 | 1 << 17 | 1 << 23;

/// The RMM enters a realm, with its own registers on demand.
const REALM_ENTRY: Stop = Stop {
    when: "the RMM enters a realm",
    image: REALM_MONITOR,
    function: "rmm_realm_enter",
    registers: &[
        ("SCR_EL3", 0x0000_0240_1A03_0735 | 1 << 62),
        ("SCTLR_EL2", SCTLR_EL2),
        ("HCR_EL2", 0x433C_803C_063F),
        ("CPTR_EL2", CPTR_EL2),
        ("MDCR_EL2", 0x1082_0E66),
        ("CNTPOFF_EL2", 0),
        ("CNTVOFF_EL2", 0),
        ("HCRX_EL2", 0),
        ("HSTR_EL2", 0),
        ("HFGRTR_EL2", 0),
        ("HFGWTR_EL2", 0),
        ("HFGITR_EL2", 0),
        ("HDFGRTR_EL2", 0),
        ("HDFGWTR_EL2", 0),
        ("SCXTNUM_EL2", 0),
        ("VSESR_EL2", 0),
        // Six counters of an implementation of Arm's; LC, DP: what a realm begins with.
        ("PMCR_EL0", 0x4101_3060),
        // TDCC.
        ("MDSCR_EL1", 1 << 12),
    ],
};

/// EL3 serves the normal world.
const EL3_FOR_THE_HOST: Stop = Stop {
    when: "EL3 serves the host",
    image: ROOT_MONITOR,
    function: "el3_lower_synchronous",
    registers: &[
        ("SCR_EL3", 0x0000_0240_1A03_0735),
        ("CPTR_EL3", 1 << 8 | 1 << 12),
        ("MDCR_EL3", MDCR_EL3),
        ("ZCR_EL3", 0xF),
        ("SMCR_EL3", 0xF | 1 << 31),
    ],
};

/// The RMM has taken a realm's vectors out of the PE and the host's in.
const AFTER_VECTORS: Stop = Stop {
    when: "the RMM serves a call after a realm has used vectors",
    ..QUICK_CALL
};

/// In this order.
const STOPS: [Stop; 6] = [
    EL3_FOR_THE_RMM,
    QUICK_CALL,
    REALM_ENTRY,
    Stop {
        when: "the RMM serves a call after a realm's exit",
        ..QUICK_CALL
    },
    REALM_ENTRY,
    EL3_FOR_THE_HOST,
];

/// All that is expected, for who keeps outcomes.
pub(crate) fn expected() -> String {
    format!("{STOPS:?}")
}

/// Stops machines that `machine` makes for a scenario at each place: what is not as it must be, a line each.
///
/// # Errors
///
/// When a place is not reached in `limit`, or something is not as it must be.
pub(super) fn check(
    workspace: &Workspace,
    toolchain: &Toolchain,
    machine: &dyn Fn(&str) -> Result<Command, Error>,
    limit: Duration,
) -> Result<(), String> {
    let address = |image: Image, function: &str| {
        let path = images::elf_path(workspace, toolchain, image);
        let elf = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
        symbol(&elf, |name| name.contains(function))
    };
    let looked = || {
        let addresses = STOPS
            .iter()
            .map(|stop| address(stop.image, stop.function))
            .collect::<Result<Vec<_>, Error>>()?;
        let (_, mut wrong) = attend(
            &mut machine(SCENARIO)?,
            limit,
            |_| {},
            move |debugger| {
                let shown = debugger.registers()?;
                let mut wrong = Vec::new();
                for (stop, address) in STOPS.iter().zip(addresses) {
                    debugger.run_to(address)?;
                    wrong.extend(look(debugger, &shown, stop)?);
                }
                debugger.end()?;
                Ok(wrong)
            },
        )?;
        let entry = address(REALM_ENTRY.image, REALM_ENTRY.function)?;
        let exit = address(REALM_MONITOR, "rmm_realm_exit")?;
        let call = address(AFTER_VECTORS.image, AFTER_VECTORS.function)?;
        let (_, more) = attend(
            &mut machine(VECTORS)?,
            limit,
            |_| {},
            move |debugger| {
                let shown = debugger.registers()?;
                for _ in 0..ENTRIES {
                    debugger.run_to(entry)?;
                    if read(debugger, &shown, "CPTR_EL2")? & SIMD_OPEN == SIMD_OPEN {
                        debugger.run_to(call)?;
                        let wrong = look(debugger, &shown, &AFTER_VECTORS)?;
                        debugger.end()?;
                        return Ok(wrong);
                    }
                    debugger.run_to(exit)?;
                }
                Err(io::Error::other("no realm uses its vectors"))
            },
        )?;
        wrong.extend(more);
        Ok::<_, Error>(wrong)
    };
    let wrong =
        looked().map_err(|error| format!("{error}:\n{}", error.details().unwrap_or_default()))?;
    match wrong[..] {
        [] => Ok(()),
        _ => Err(wrong.join("\n")),
    }
}

/// What is in the register of this name, where `shown` are the numbers of those that the emulator shows.
fn read(debugger: &mut Debugger, shown: &BTreeMap<String, u32>, name: &str) -> io::Result<u64> {
    match shown.get(name) {
        Some(&number) => debugger.register(number),
        None => Err(io::Error::other(format!("the emulator shows no {name}"))),
    }
}

/// What is not as it must be at `stop`, where the machine stands.
fn look(
    debugger: &mut Debugger,
    shown: &BTreeMap<String, u32>,
    stop: &Stop,
) -> io::Result<Vec<String>> {
    differences(stop, |name| read(debugger, shown, name))
}

/// What is not as it must be at `stop`.
fn differences<E>(
    stop: &Stop,
    mut read: impl FnMut(&str) -> Result<u64, E>,
) -> Result<Vec<String>, E> {
    let mut wrong = Vec::new();
    for &(name, expected) in stop.registers {
        let value = read(name)?;
        if value != expected {
            wrong.push(format!(
                "when {}, {name} is {value:#x} and not {expected:#x}",
                stop.when
            ));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_a_difference() {
        let expected = |name: &str| {
            let known = QUICK_CALL.registers.iter().find(|known| known.0 == name);
            known.map(|known| known.1).ok_or(())
        };
        assert_eq!(differences(&QUICK_CALL, expected), Ok(Vec::new()));
        let other = |name: &str| Ok::<_, ()>(expected(name)? ^ u64::from(name == "HCR_EL2"));
        assert_eq!(
            differences(&QUICK_CALL, other),
            Ok(vec![
                "when the RMM serves a call, HCR_EL2 is 0x2408000001 and not 0x2408000000"
                    .to_owned()
            ])
        );
    }
}
