//! The services that the host offers realms by RSI_HOST_CALL: the immediates, and what is in the registers of the host call structure.
//!
//! They are this project's, not the specification's, and small: for a realm that shows that both sides work.

/// Adds: registers 1 and 2. The sum, wrapping, comes back in register 0.
pub const ADD: u16 = 1;
/// Looks at a shared page: register 0 holds its address, in the unprotected half. The first word of it comes back in register 0; the
/// host writes [`HOST_WORD`] to the second word, and returns that in register 1.
pub const SHARED_PAGE: u16 = 2;
/// Compares the initial measurement: registers 0 to 7 hold the 64 bytes that RSI_MEASUREMENT_READ gives. Register 0 comes back 0 if
/// that is what the host has built, else 1.
pub const MEASUREMENT: u16 = 3;
/// Asks for a challenge: registers 0 to 7 come back with 64 bytes over which the host wants an attestation token.
pub const CHALLENGE: u16 = 4;
/// Hands over the next part of an attestation token: register 0 holds the unprotected address of a page, register 1 how many
/// bytes from there on, in that page, are the part. Register 0 comes back 0 if the host has taken it.
pub const TOKEN: u16 = 5;
/// The realm has failed. The host ends the run with an error.
pub const FAILED: u16 = 0xDEAD;

/// What [`SHARED_PAGE`] writes: "suzerain".
pub const HOST_WORD: u64 = u64::from_le_bytes(*b"suzerain");

/// Size in bytes of the largest token that the host takes by [`TOKEN`].
pub const TOKEN_MAX: usize = 64 << 10;

/// What register 0 holds after a call that could not be served, or that nobody knows.
pub const REFUSED: u64 = u64::MAX;
