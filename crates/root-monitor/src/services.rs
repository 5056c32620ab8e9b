//! What the RMM asks of the root monitor while it runs (RMM-EL3 communication interface 0.4).

use crate::gpt::{Gpt, TransitionError};
use crate::platform::Platform;
use cca_abi::el3::{
    Command, attest_get_plat_token, attest_get_realm_key, code, el3_features, el3_token_sign,
    gtsi_delegate, gtsi_undelegate,
};
use cca_abi::smccc::Registers;
use cca_abi::{Condition, Fields, GRANULE_SIZE};

/// Curve number of P-384.
const CURVE_P384: u64 = 0;

/// Serves one call: X0 is the return code, the outputs follow on success, everything else keeps its value.
///
/// `shared_buffer` is the PA of the page in which arguments in memory have to lie.
pub(crate) fn call(
    command: Command,
    gpt: &Gpt<'_>,
    platform: &impl Platform,
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
            match features(&input) {
                Ok(output) => {
                    output.put(&mut registers.0[1..]);
                    Ok(())
                }
                Err(condition) => Err(condition.kind()),
            }
        }
        Command::AttestGetRealmKey => {
            let input = attest_get_realm_key::Input::decode(registers);
            Err(realm_key(&input, shared_buffer).kind())
        }
        Command::AttestGetPlatToken => {
            let input = attest_get_plat_token::Input::decode(registers);
            Err(platform_token(&input, shared_buffer).kind())
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

/// There is no attestation key on this platform: the reason for which the call fails.
fn realm_key(
    input: &attest_get_realm_key::Input,
    shared_buffer: u64,
) -> attest_get_realm_key::Condition {
    use attest_get_realm_key::Condition as C;
    match place(input.buffer, input.size, shared_buffer) {
        Err(Misplaced::Outside) => C::Buffer,
        Err(Misplaced::TooLong) => C::Size,
        Ok(()) if input.curve != CURVE_P384 => C::Curve,
        Ok(()) => C::Platform,
    }
}

/// There is no platform token on this platform: the reason for which the call fails.
fn platform_token(
    input: &attest_get_plat_token::Input,
    shared_buffer: u64,
) -> attest_get_plat_token::Condition {
    use attest_get_plat_token::Condition as C;
    match place(input.buffer, input.size, shared_buffer) {
        Err(Misplaced::Outside) => C::Buffer,
        Err(Misplaced::TooLong) => C::Size,
        Ok(()) if !matches!(input.challenge_size, 0 | 32 | 48 | 64) => C::Challenge,
        Ok(()) => C::Platform,
    }
}

enum Misplaced {
    Outside,
    TooLong,
}

/// Whether `size` bytes at `buffer` lie in the shared page.
fn place(buffer: u64, size: u64, shared_buffer: u64) -> Result<(), Misplaced> {
    let offset = buffer.wrapping_sub(shared_buffer);
    if offset >= GRANULE_SIZE {
        return Err(Misplaced::Outside);
    }
    if size == 0 || size > GRANULE_SIZE - offset {
        Err(Misplaced::TooLong)
    } else {
        Ok(())
    }
}
