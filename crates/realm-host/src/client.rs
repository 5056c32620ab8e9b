//! The typed client: one method per RMI command, and nothing else.
//!
//! A method encodes its operands, issues the call and decodes the results. It keeps no state and takes no
//! decision; it can be used alone by somebody who wants to do the rest.

use core::fmt;

use cca_abi::rmi::{self, Command, ReturnCode, Status};
use cca_abi::smccc;

use crate::transport::SmcTransport;

/// What X0 said when a command did not succeed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The command.
    pub command: Command,
    /// X0 as it came back.
    pub x0: u64,
}

impl Refusal {
    /// The return code, if X0 is one. It is not if there is no monitor, if the monitor does not know the command,
    /// or if it answers with a status that RMI 1.0 does not have.
    #[must_use]
    pub fn code(&self) -> Option<ReturnCode> {
        if self.is_not_supported() {
            None
        } else {
            ReturnCode::decode(self.x0)
        }
    }

    /// Whether nobody knows the command.
    #[must_use]
    pub fn is_not_supported(&self) -> bool {
        self.x0 == smccc::NOT_SUPPORTED
    }

    /// The level at which a table walk ended, if the status is `RMI_ERROR_RTT`.
    #[must_use]
    pub fn rtt_level(&self) -> Option<i64> {
        match self.code() {
            Some(code) if code.status == Status::ErrorRtt => Some(code.level().into()),
            _ => None,
        }
    }

    /// Whether the status is this one.
    #[must_use]
    pub fn is(&self, status: Status) -> bool {
        self.code().is_some_and(|code| code.status == status)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.command.name();
        match self.code() {
            Some(ReturnCode {
                status: Status::ErrorRtt,
                index,
            }) => {
                write!(
                    f,
                    "{name}: {} at level {}",
                    Status::ErrorRtt.name(),
                    index.cast_signed()
                )
            }
            Some(ReturnCode { status, index: 0 }) => write!(f, "{name}: {}", status.name()),
            Some(ReturnCode { status, index }) => {
                write!(f, "{name}: {}, index {index}", status.name())
            }
            None if self.is_not_supported() => {
                write!(f, "{name}: the monitor does not know this command")
            }
            None => write!(f, "{name}: unknown status {:#x}", self.x0),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A refusal with the outputs that came with it. They mean something only where the command says so (`top`, and the
/// revisions of `RMI_VERSION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<O> {
    /// The status.
    pub refusal: Refusal,
    /// X1 and up.
    pub output: O,
}

/// Issues RMI commands over a transport.
#[derive(Clone, Copy, Debug)]
pub struct Client<T> {
    transport: T,
}

impl<T> Client<T> {
    /// A client over that transport.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    /// The transport.
    pub const fn transport(&self) -> &T {
        &self.transport
    }
}

macro_rules! define_client {
    ($(
        $(#[doc = $doc:literal])*
        $command:ident $module:ident $fid:literal $name:literal { $($rest:tt)* }
    )*) => {
        impl<T: SmcTransport> Client<T> {
            $(
                $(#[doc = $doc])*
                ///
                #[doc = concat!("Issues ", $name, ".")]
                ///
                /// # Errors
                #[doc = concat!("What the monitor answered if it was not `RMI_SUCCESS`: the failure conditions of ", $name, ".")]
                pub fn $module(
                    &self,
                    input: rmi::$module::Input,
                ) -> Result<rmi::$module::Output, Refused<rmi::$module::Output>> {
                    let mut registers = input.encode();
                    self.transport.smc(&mut registers);
                    let output = rmi::$module::Output::decode(&registers);
                    if registers.0[0] == ReturnCode::SUCCESS.encode() {
                        Ok(output)
                    } else {
                        let refusal = Refusal { command: Command::$command, x0: registers.0[0] };
                        Err(Refused { refusal, output })
                    }
                }
            )*
        }
    };
}

cca_abi::rmi_commands!(define_client);
