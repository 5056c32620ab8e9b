//! RECs: one for each vCPU, created in order, entered one slice at a time.

mod create;
mod exit;
mod psci;
mod record;
mod session;

pub(crate) use create::Vcpu;
pub use create::VcpuConfig;
pub use exit::{
    Abort, EXIT_NAMES, Exit, HostCall, Mmio, RegisterAccess, RipasChange, UnprotectedAbort,
    WaitExit, WaitKind, WaitLimit,
};
pub use psci::{Completion, Decision, PsciCall, PsciRequest};
pub use record::{Entry, GicExit, MAX_LIST_REGISTERS, Timer, Timers};
pub use session::{EnterError, Left, RecSession};
