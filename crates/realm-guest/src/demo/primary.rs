//! The program of vCPU 0.

use cca_abi::mpidr::{ARCHITECTURAL_MASK, architectural_from_index};

use super::board::Board;
use super::steps::{Vcpu, give_up, rsi};
use super::{Failure, GuestPe};
use crate::psci::{Affinity, PsciError};
use crate::{HashAlgorithm, RealmConfig, Rsi};

/// Runs the program on vCPU 0 of a realm that starts with this `board` in X0-X4.
///
/// Ends in PSCI `SYSTEM_OFF`; returns only where the machine lets that call return.
pub fn run<P: GuestPe>(pe: &P, board: Board) {
    match configure(pe, board) {
        Ok((vcpu, config)) => vcpu.guard(|vcpu| demonstrate(vcpu, &config)),
        // Without a configuration the console is out of reach.
        Err(_) => give_up(pe, board.config()),
    }
}

/// Finds out about the realm: everything else needs the width of its addresses.
fn configure<P: GuestPe>(pe: &P, board: Board) -> Result<(Vcpu<'_, P>, RealmConfig), Failure> {
    let page = board.config();
    Rsi::new(pe)
        .realm_config(page)
        .map_err(rsi("RSI_REALM_CONFIG"))?;
    let config =
        RealmConfig::read(|offset| pe.read(page + offset)).ok_or(Failure::Configuration)?;
    let vcpu = Vcpu {
        pe,
        board,
        width: config.ipa_width,
        index: 0,
    };
    Ok((vcpu, config))
}

fn demonstrate<P: GuestPe>(vcpu: &Vcpu<'_, P>, config: &RealmConfig) -> Result<(), Failure> {
    vcpu.board.check()?;
    let version = vcpu.rsi().version().map_err(rsi("RSI_VERSION"))?;
    let algorithm = match config.hash_algorithm {
        HashAlgorithm::Sha256 => "SHA-256",
        HashAlgorithm::Sha512 => "SHA-512",
    };
    vcpu.say(format_args!(
        "a realm, RSI {version}, {} address bits, {algorithm}",
        config.ipa_width.bits()
    ));
    vcpu.compare_measurement(config.hash_algorithm)?;

    vcpu.forward_interrupts();
    let others = turn_on_others(vcpu)?;
    vcpu.introduce()?;
    vcpu.share_a_page()?;
    vcpu.touch_untouched()?;
    vcpu.attest()?;
    wait_for_others(vcpu, others)?;
    if others > 0 {
        vcpu.say(format_args!("vCPUs that are off again: {others}"));
    }
    vcpu.say(format_args!("done"));
    vcpu.psci().system_off();
    Ok(())
}

/// Turns on vCPU 1, 2, ... until there is none; how many there are besides vCPU 0.
fn turn_on_others<P: GuestPe>(vcpu: &Vcpu<'_, P>) -> Result<u64, Failure> {
    vcpu.board.publish(vcpu.pe, vcpu.width);
    let entry = vcpu.pe.secondary_entry();
    for index in 1.. {
        let target = architectural_from_index(index) & ARCHITECTURAL_MASK;
        match vcpu.psci().cpu_on(target, entry, vcpu.board.parameters()) {
            Ok(()) => {}
            Err(PsciError::InvalidParameters) => return Ok(index - 1),
            Err(error) => {
                return Err(Failure::Psci {
                    function: "CPU_ON",
                    returned: error.code(),
                });
            }
        }
    }
    Err(Failure::Configuration)
}

fn wait_for_others<P: GuestPe>(vcpu: &Vcpu<'_, P>, others: u64) -> Result<(), Failure> {
    for index in 1..=others {
        let target = architectural_from_index(index) & ARCHITECTURAL_MASK;
        loop {
            match vcpu.psci().affinity_info(target) {
                Ok(Affinity::Off) => break,
                Ok(Affinity::On | Affinity::OnPending) => vcpu.sleep()?,
                Err(error) => {
                    return Err(Failure::Psci {
                        function: "AFFINITY_INFO",
                        returned: error.code(),
                    });
                }
            };
        }
        vcpu.check_work_of(index)?;
    }
    Ok(())
}
