//! The rows of the RMM-EL3 interface: the services of version 0.4.

/// Calls a macro with the rows of the RMM-EL3 service table; the form is that of
/// [`rmi_commands!`](crate::rmi_commands).
#[macro_export]
macro_rules! rmm_el3_commands {
    ($callback:ident) => {
        $callback! {
            /// Moves a granule from the Non-secure to the Realm physical address space.
            GtsiDelegate gtsi_delegate 0xC400_01B0 "RMM_GTSI_DELEGATE" {
                input { addr: u64 = "PA of the granule.", }
                output {}
                conditions {
                    Address "address" [BadAddress],
                    Pas "pas" [BadPas],
                }
            }
            /// Moves a granule from the Realm to the Non-secure physical address space.
            GtsiUndelegate gtsi_undelegate 0xC400_01B1 "RMM_GTSI_UNDELEGATE" {
                input { addr: u64 = "PA of the granule.", }
                output {}
                conditions {
                    Address "address" [BadAddress],
                    Pas "pas" [BadPas],
                }
            }
            /// Fetches the realm attestation key.
            AttestGetRealmKey attest_get_realm_key 0xC400_01B2 "RMM_ATTEST_GET_REALM_KEY" {
                input {
                    buffer: u64 = "PA in the shared buffer.",
                    size: u64 = "Size of the buffer in bytes.",
                    curve: u64 = "0 for P-384.",
                }
                output { length: u64 = "Size of the key in bytes.", }
                conditions {
                    Buffer "buffer" [BadAddress],
                    Size "size" [Invalid],
                    Curve "curve" [Invalid],
                    Platform "platform" [Unknown],
                }
            }
            /// Fetches the next part of the platform token.
            AttestGetPlatToken attest_get_plat_token 0xC400_01B3 "RMM_ATTEST_GET_PLAT_TOKEN" {
                input {
                    buffer: u64 = "PA in the shared buffer.",
                    size: u64 = "Size of the buffer in bytes.",
                    challenge_size: u64 = "Size of the challenge in the buffer; 0 to continue.",
                }
                output {
                    length: u64 = "Number of bytes written.",
                    remaining: u64 = "Number of bytes still to come.",
                }
                conditions {
                    Buffer "buffer" [BadAddress],
                    Size "size" [Invalid],
                    Challenge "challenge" [Invalid],
                    Busy "busy" [Again],
                    Platform "platform" [Unknown],
                }
            }
            /// Reads a feature register of the root monitor.
            El3Features el3_features 0xC400_01B4 "RMM_EL3_FEATURES" {
                input { index: u64 = "0.", }
                output { value: u64 = "Bit 0: token signing.", }
                conditions { Index "index" [Invalid], }
            }
            /// Has the root monitor sign a token.
            El3TokenSign el3_token_sign 0xC400_01B5 "RMM_EL3_TOKEN_SIGN" {
                input {
                    opcode: u64 = "1 push, 2 pull, 3 read the public key.",
                    buffer: u64 = "PA in the shared buffer.",
                    size: u64 = "Size of the buffer in bytes.",
                    curve: u64 = "0 for P-384.",
                }
                output { length: u64 = "Number of bytes written.", }
                conditions {
                    Unsupported "unsupported" [Unknown],
                    Buffer "buffer" [BadAddress],
                    Size "size" [Invalid],
                    Opcode "opcode" [Invalid],
                    Busy "busy" [Again],
                }
            }
        }
    };
}
