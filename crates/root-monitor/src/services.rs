//! What the RMM asks of the root monitor while it runs (RMM-EL3 communication interface 0.4).

use crate::attestation::Attestation;
use crate::gpt::{Gpt, TransitionError};
use crate::platform::Platform;
use cca_abi::el3::{
    Command, FailureKind, attest_get_plat_token, attest_get_realm_key, code, el3_features,
    el3_token_sign, gtsi_delegate, gtsi_undelegate,
};
use cca_abi::smccc::Registers;
use cca_abi::{Condition, Fields};

/// Serves one call: X0 is the return code, the outputs follow on success, everything else keeps its value.
///
/// `shared_buffer` is the PA of the page in which arguments in memory have to lie.
pub(crate) fn call(
    command: Command,
    gpt: &Gpt<'_>,
    platform: &impl Platform,
    attestation: &Attestation,
    shared_buffer: u64,
    registers: &mut Registers,
) {
    let result = match command {
        Command::GtsiDelegate => {
            let input = gtsi_delegate::Input::decode(registers);
            delegate(gpt, platform, input.addr).map_err(|condition| condition.kind())
        }
        Command::GtsiUndelegate => {
            let input = gtsi_undelegate::Input::decode(registers);
            undelegate(gpt, platform, input.addr).map_err(|condition| condition.kind())
        }
        Command::El3Features => {
            let input = el3_features::Input::decode(registers);
            answer(features(&input), registers)
        }
        Command::AttestGetRealmKey => {
            let input = attest_get_realm_key::Input::decode(registers);
            answer(
                attestation.realm_key(platform, shared_buffer, &input),
                registers,
            )
        }
        Command::AttestGetPlatToken => {
            let input = attest_get_plat_token::Input::decode(registers);
            answer(
                attestation.platform_token(platform, shared_buffer, &input),
                registers,
            )
        }
        // Announced as absent by RMM_EL3_FEATURES.
        Command::El3TokenSign => Err(el3_token_sign::Condition::Unsupported.kind()),
    };
    registers.0[0] = match result {
        Ok(()) => code::OK,
        Err(kind) => kind.code(),
    }
    .cast_unsigned();
}

/// Puts the outputs of a service that succeeded into the registers.
fn answer<O: Fields, C: Condition<Kind = FailureKind>>(
    result: Result<O, C>,
    registers: &mut Registers,
) -> Result<(), FailureKind> {
    result
        .map(|output| output.put(&mut registers.0[1..]))
        .map_err(|condition| condition.kind())
}

/// RMM_GTSI_DELEGATE.
#[inline]
pub(crate) fn delegate(
    gpt: &Gpt<'_>,
    platform: &impl Platform,
    address: u64,
) -> Result<(), gtsi_delegate::Condition> {
    gpt.delegate(platform, address)
        .map_err(|error| match error {
            TransitionError::BadAddress => gtsi_delegate::Condition::Address,
            TransitionError::BadAddressSpace => gtsi_delegate::Condition::Pas,
        })
}

/// RMM_GTSI_UNDELEGATE.
#[inline]
pub(crate) fn undelegate(
    gpt: &Gpt<'_>,
    platform: &impl Platform,
    address: u64,
) -> Result<(), gtsi_undelegate::Condition> {
    gpt.undelegate(platform, address)
        .map_err(|error| match error {
            TransitionError::BadAddress => gtsi_undelegate::Condition::Address,
            TransitionError::BadAddressSpace => gtsi_undelegate::Condition::Pas,
        })
}

/// Feature register 0: no token signing.
fn features(input: &el3_features::Input) -> Result<el3_features::Output, el3_features::Condition> {
    if input.index == 0 {
        Ok(el3_features::Output { value: 0 })
    } else {
        Err(el3_features::Condition::Index)
    }
}
