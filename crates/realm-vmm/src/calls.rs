//! The host calls that a realm may make (RSI_HOST_CALL): small services that show that both sides work.

/// Adds: the sum of registers 1 and 2 comes back in register 0.
pub const ADD: u16 = 1;
/// Looks at a shared page: register 0 holds the unprotected address of a page. The host reads its first word and returns it in register
/// 0, writes [`HOST_WORD`] to the second word, and returns that in register 1.
pub const SHARED_PAGE: u16 = 2;
/// Compares the initial measurement: registers 0-7 hold the 64 bytes of the slot. Register 0 comes back 0 if it is what
/// the host expects, else 1.
pub const MEASUREMENT: u16 = 3;
/// The realm has failed. The run ends.
pub const FAILED: u16 = 0xDEAD;

/// What [`SHARED_PAGE`] writes: "suzerain".
pub const HOST_WORD: u64 = u64::from_le_bytes(*b"suzerain");

/// What register 0 holds after a call that could not be served, or that nobody knows.
pub const REFUSED: u64 = u64::MAX;
