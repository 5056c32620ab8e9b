//! The commands of the Realm Services Interface, one file each (RMM specification 1.0-rel0, B5).

mod attestation_token_continue;
mod attestation_token_init;
mod features;
pub(crate) mod host_call;
mod ipa_state_get;
mod ipa_state_set;
mod measurement_extend;
mod measurement_read;
mod realm_config;
mod version;

pub(crate) use attestation_token_continue::sign as sign_token;

use cca_abi::rsi::{self, FailureKind};
use cca_abi::{Condition, Failed, Fields, rsi_commands};

use crate::platform::Platform;
use crate::rec::{Exit, Fault, Inaccessible, Next, RunningRec};
use crate::smc;

/// Result registers that a command without results clears: X1 to X3. Those above keep the caller's values.
const CLEARED: usize = 3;
/// The command with most operands or results has this many.
const MOST_REGISTERS: usize = 10;

/// What became of a command that did not simply succeed.
#[derive(Debug)]
pub(crate) enum Stop<C, O> {
    /// It was refused.
    Failed(Failed<C, O>),
    /// The host completes it; the PC moves on.
    Exit(Exit),
    /// It needs a page that the host has to provide; the realm then makes the call again.
    Fault(Fault),
    /// There is more to come.
    Incomplete(O),
    /// It needs a signature; the realm then makes the call again.
    Sign,
}

impl<C: Condition, O: Default> From<C> for Stop<C, O> {
    fn from(condition: C) -> Self {
        Self::Failed(condition.into())
    }
}

impl<C, O: Default> Stop<C, O> {
    /// What memory that cannot be accessed means for a command with the condition `empty`.
    fn inaccessible(why: Inaccessible, empty: C) -> Self {
        match why {
            Inaccessible::Empty => Self::Failed(Failed::new(empty)),
            Inaccessible::Fault(fault) => Self::Fault(fault),
        }
    }
}

macro_rules! define_handle {
    ($(
        $(#[doc = $doc:literal])*
        $command:ident $module:ident $fid:literal $name:literal { $($rest:tt)* }
    )*) => {
        /// Carries out a command for the realm. `None` if the function is not one of RSI.
        #[inline]
        pub(crate) fn handle<P: Platform>(running: &RunningRec<'_, P>, function: u32) -> Option<Next> {
            Some(match function {
                $($fid => {
                    let input = operands::<rsi::$module::Input, P>(running);
                    finish(running, $module::handle(running, &input))
                })*
                _ => return None,
            })
        }
    };
}

rsi_commands!(define_handle);

#[inline]
fn operands<I: Fields, P: Platform>(running: &RunningRec<'_, P>) -> I {
    let mut registers = [0; MOST_REGISTERS];
    for (n, register) in registers[..I::REGISTERS].iter_mut().enumerate() {
        *register = running.context.gpr(1 + n);
    }
    I::take(&registers)
}

#[inline]
fn finish<O: Fields, C: Condition<Kind = FailureKind>, P: Platform>(
    running: &RunningRec<'_, P>,
    result: Result<O, Stop<C, O>>,
) -> Next {
    let context = running.context;
    let (x0, output) = match result {
        Ok(output) => (rsi::SUCCESS, output),
        Err(Stop::Failed(failed)) => (failed.condition.kind().encode(), failed.output),
        Err(Stop::Exit(exit)) => {
            context.advance_pc();
            return Next::Exit(exit);
        }
        Err(Stop::Fault(fault)) => return Next::Exit(fault.exit()),
        Err(Stop::Incomplete(output)) => (rsi::INCOMPLETE, output),
        Err(Stop::Sign) => return Next::Sign,
    };
    let mut registers = [0; MOST_REGISTERS];
    output.put(&mut registers);
    for (n, &register) in registers[..O::REGISTERS.max(CLEARED)].iter().enumerate() {
        context.set_gpr(1 + n, register);
    }
    smc::answer_only(context, x0)
}
