//! RMI_VERSION: which revision of the interface both sides support (RMM specification 1.0-rel0, chapter B4).

use cca_abi::rmi::InterfaceVersion;
use cca_abi::rmi::version::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::monitor::Monitor;
use crate::platform::Platform;

/// Both outputs are defined on failure too: there is nothing but revision 1.0 on either side of a request.
#[inline]
pub(super) fn handle<P: Platform>(_: &Monitor<P>, input: &Input) -> Outcome<Output, Condition> {
    let only = InterfaceVersion::V1_0.encode();
    let output = Output {
        lower: only,
        higher: only,
    };
    if input.req == only {
        Ok(output)
    } else {
        Err(Failed::new(Condition::Incompatible).with_output(output))
    }
}
