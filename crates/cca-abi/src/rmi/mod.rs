//! The Realm Management Interface: what a host may ask of the RMM (RMM specification 1.0-rel0, chapter B4).

pub mod feature_register;
pub mod params;
pub mod run;
#[macro_use]
mod table;
mod values;

pub use values::{
    DATA_FLAG_MEASURE, EntryState, HashAlgorithm, InterfaceVersion, MAX_AUX_GRANULES, Ripas,
};

use crate::smccc::{self, Registers};
use crate::{Condition, Failed, Fields, Outcome};

/// What a failure condition of RMI reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// RMI_ERROR_INPUT.
    Input,
    /// RMI_ERROR_REALM with an index.
    Realm(u8),
    /// RMI_ERROR_REC.
    Rec,
    /// RMI_ERROR_RTT; the index is the level of the failed condition.
    Rtt,
}

rmi_commands!(define_commands);

/// Status of a command: bits 7:0 of X0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The command was carried out.
    Success = 0,
    /// An operand is not valid, or names something that it may not.
    ErrorInput = 1,
    /// The realm does not permit the command.
    ErrorRealm = 2,
    /// The REC does not permit the command.
    ErrorRec = 3,
    /// A table walk ended early or met an entry that does not permit the command.
    ErrorRtt = 4,
}

impl Status {
    /// The specification's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Status::Success => "RMI_SUCCESS",
            Status::ErrorInput => "RMI_ERROR_INPUT",
            Status::ErrorRealm => "RMI_ERROR_REALM",
            Status::ErrorRec => "RMI_ERROR_REC",
            Status::ErrorRtt => "RMI_ERROR_RTT",
        }
    }
}

/// RmiCommandReturnCode: X0 of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnCode {
    /// Status of the command.
    pub status: Status,
    /// Detail: 0 or 1 for RMI_ERROR_REALM, a level (as a signed byte) for RMI_ERROR_RTT, else 0.
    pub index: u8,
}

impl ReturnCode {
    /// RMI_SUCCESS.
    pub const SUCCESS: ReturnCode = ReturnCode {
        status: Status::Success,
        index: 0,
    };

    /// X0.
    #[must_use]
    #[inline]
    pub const fn encode(self) -> u64 {
        self.status as u64 | (self.index as u64) << 8
    }

    /// From X0; `None` if this is no RMI return code, for example because the function is not supported.
    #[must_use]
    #[inline]
    pub const fn decode(x0: u64) -> Option<ReturnCode> {
        let status = match x0 & 0xFF {
            0 => Status::Success,
            1 => Status::ErrorInput,
            2 => Status::ErrorRealm,
            3 => Status::ErrorRec,
            4 => Status::ErrorRtt,
            _ => return None,
        };
        if x0 >> 16 != 0 {
            None
        } else {
            Some(ReturnCode {
                status,
                index: (x0 >> 8) as u8,
            })
        }
    }

    /// The level named by RMI_ERROR_RTT.
    #[must_use]
    pub const fn level(self) -> i8 {
        self.index.cast_signed()
    }
}

impl<C: Condition<Kind = FailureKind>, O> Failed<C, O> {
    /// The return code that reports this refusal.
    #[inline]
    pub fn return_code(&self) -> ReturnCode {
        let (status, index) = match self.condition.kind() {
            FailureKind::Input => (Status::ErrorInput, 0),
            FailureKind::Realm(index) => (Status::ErrorRealm, index),
            FailureKind::Rec => (Status::ErrorRec, 0),
            FailureKind::Rtt => (Status::ErrorRtt, self.level.cast_unsigned()),
        };
        ReturnCode { status, index }
    }
}

/// What [`dispatch`] did, for traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// The command; `None` for a function identifier that the interface does not have.
    pub command: Option<Command>,
    /// The failure condition that was reported.
    pub condition: Option<&'static str>,
}

macro_rules! define_handler {
    ($(
        $(#[doc = $doc:literal])*
        $command:ident $module:ident $fid:literal $name:literal { $($rest:tt)* }
    )*) => {
        /// Whoever carries out RMI commands. There are no default methods: a new row of the table does not
        /// build until every handler has an answer to it.
        pub trait Handler {
            $(
                $(#[doc = $doc])*
                ///
                /// # Errors
                #[doc = concat!("The failure conditions of ", $name, ".")]
                fn $module(&mut self, input: $module::Input) -> Outcome<$module::Output, $module::Condition>;
            )*
        }

        /// Decodes a call, has it carried out and encodes its results.
        ///
        /// X0 receives the return code, results follow from X1. Of the registers that the command does not
        /// define, X1 to X3 become zero and X4 and up keep the caller's values (SMCCC). An unknown function
        /// changes X0 only, to "not supported".
        #[inline]
        pub fn dispatch<H: Handler + ?Sized>(handler: &mut H, registers: &mut Registers) -> Dispatched {
            match smccc::function_id(registers.0[0]) {
                $($fid => {
                    let outcome = handler.$module($module::Input::decode(registers));
                    finish(Command::$command, outcome, registers)
                })*
                _ => {
                    registers.0[0] = smccc::NOT_SUPPORTED;
                    Dispatched { command: None, condition: None }
                }
            }
        }
    };
}

rmi_commands!(define_handler);

#[inline]
fn finish<O: Fields, C: Condition<Kind = FailureKind>>(
    command: Command,
    outcome: Outcome<O, C>,
    registers: &mut Registers,
) -> Dispatched {
    let (code, output, condition) = match outcome {
        Ok(output) => (ReturnCode::SUCCESS, output, None),
        Err(failed) => (
            failed.return_code(),
            failed.output,
            Some(failed.condition.name()),
        ),
    };
    registers.0[0] = code.encode();
    registers.0[1..4].fill(0);
    output.put(&mut registers.0[1..]);
    Dispatched {
        command: Some(command),
        condition,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn there_are_23_commands_with_the_numbers_of_the_specification() {
        assert_eq!(Command::ALL.len(), 23);
        let holes = [0x156, 0x160, 0x163];
        let expected = (0x150..=0x169)
            .filter(|number| !holes.contains(number))
            .map(|number| 0xC400_0000 | number);
        assert!(
            Command::ALL
                .iter()
                .map(|command| command.function_id())
                .eq(expected)
        );
        for &command in Command::ALL {
            assert_eq!(
                Command::from_function_id(command.function_id()),
                Some(command)
            );
            let mut names: std::vec::Vec<_> = command
                .conditions()
                .iter()
                .map(|condition| condition.name)
                .collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(
                names.len(),
                command.conditions().len(),
                "{}",
                command.name()
            );
        }
        assert_eq!(Command::from_function_id(0xC400_0156), None);
    }

    #[test]
    fn operands_stand_in_the_specified_registers() {
        let registers = rtt_create::Input {
            rd: 1,
            rtt: 2,
            ipa: 3,
            level: -1,
        }
        .encode();
        assert_eq!(&registers.0[..5], &[0xC400_015D, 1, 2, 3, u64::MAX]);
        let registers = data_create::Input {
            rd: 1,
            data: 2,
            ipa: 3,
            src: 4,
            flags: 5,
        }
        .encode();
        assert_eq!(&registers.0[..6], &[0xC400_0153, 1, 2, 3, 4, 5]);
        assert_eq!(data_create::Input::decode(&registers).src, 4);
    }

    #[test]
    fn return_codes_have_the_specified_encoding() {
        let code = |status, index| ReturnCode { status, index }.encode();
        assert_eq!(code(Status::ErrorRtt, 3), 0x304);
        assert_eq!(code(Status::ErrorRtt, 0xFF), 0xFF04);
        assert_eq!(code(Status::ErrorRealm, 1), 0x102);
        assert_eq!(ReturnCode::decode(u64::MAX), None);
        assert_eq!(ReturnCode::decode(0x1_0000), None);
        assert_eq!(ReturnCode::decode(0xFF04).unwrap().level(), -1);
        let failed: Failed<_, data_destroy::Output> =
            Failed::at_level(data_destroy::Condition::RttWalk, 2);
        assert_eq!(failed.return_code().encode(), 0x204);
    }
}
