//! What is in the registers of EL3 and of the RMM while they work: a debugger stops the machine in each and compares.
//!
//! Most of these registers nobody but their owner can read, and of some of their bits the emulator shows no effect.

use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use toolbox::Error;
use toolbox::images::{self, Image, REALM_MONITOR, ROOT_MONITOR};
use toolbox::toolchain::Toolchain;
use toolbox::workspace::Workspace;

use super::debugger::attend;
use super::stacks::symbol;

/// A scenario in which the host fills its registers and a realm runs.
pub(crate) const SCENARIO: &str =
    "REC: every system register stays with the realm and with the host";

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

/// Stops `command`, a machine with [`SCENARIO`], at each place: what is not as it must be, a line each.
///
/// # Errors
///
/// When a place is not reached in `limit`, or something is not as it must be.
pub(super) fn check(
    workspace: &Workspace,
    toolchain: &Toolchain,
    mut command: Command,
    limit: Duration,
) -> Result<(), String> {
    let addresses = STOPS
        .iter()
        .map(|stop| {
            let path = images::elf_path(workspace, toolchain, stop.image);
            let elf = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
            symbol(&elf, |name| name.contains(stop.function))
        })
        .collect::<Result<Vec<_>, Error>>()
        .map_err(|error| error.to_string())?;
    let looked = attend(
        &mut command,
        limit,
        |_| {},
        move |debugger| {
            let numbers = debugger.registers()?;
            let mut wrong = Vec::new();
            for (stop, address) in STOPS.iter().zip(addresses) {
                debugger.run_to(address)?;
                wrong.extend(differences(stop, |name| match numbers.get(name) {
                    Some(&number) => debugger.register(number),
                    None => Err(io::Error::other(format!("the emulator shows no {name}"))),
                })?);
            }
            debugger.end()?;
            Ok(wrong)
        },
    );
    let (_, wrong) =
        looked.map_err(|error| format!("{error}:\n{}", error.details().unwrap_or_default()))?;
    match wrong[..] {
        [] => Ok(()),
        _ => Err(wrong.join("\n")),
    }
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
