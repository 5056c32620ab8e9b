//! The private contract between the demonstration program and its host: the immediates of its host calls.
//!
//! Arguments and results are in the general-purpose registers of the host call structure.

/// `gprs[1] + gprs[2]`, wrapping, is wanted back in `gprs[0]`.
pub const ADD: u16 = 1;

/// `gprs[0]` is the address of shared memory, in the shared half. The host answers with the first doubleword there in
/// `gprs[0]`, and stores a doubleword of its own choice, not zero, as the second one.
pub const LOOK: u16 = 2;

/// `gprs[0..8]` are the realm initial measurement as `RSI_MEASUREMENT_READ` gives it. The host answers with 0 in `gprs[0]`
/// if that is what it built.
pub const MEASUREMENT: u16 = 3;

/// The host answers with 64 bytes in `gprs[0..8]` over which it wants an attestation token.
pub const CHALLENGE: u16 = 4;

/// `gprs[0]` is the address of shared memory, in the shared half, with the next `gprs[1]` bytes of the token, in one page.
/// The host answers with 0 in `gprs[0]` if it has taken them.
pub const TOKEN: u16 = 5;

/// The program has found something wrong: the host ends the run with an error.
pub const FAILED: u16 = 0xDEAD;
