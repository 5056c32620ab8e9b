//! The rows of the Realm Services Interface (RMM specification 1.0-rel0, chapter B5).

/// Calls a macro with the rows of the RSI command table; the form is that of
/// [`rmi_commands!`](crate::rmi_commands).
///
/// Beside the specification's conditions each command that takes the IPA of a buffer has `empty`: the page's
/// RIPAS is EMPTY.
#[macro_export]
macro_rules! rsi_commands {
    ($callback:ident) => {
        $callback! {
            /// Finds an interface revision that both sides support.
            Version version 0xC400_0190 "RSI_VERSION" {
                input { req: u64 = "Requested revision.", }
                output {
                    lower: u64 = "The requested revision, or the nearest supported one.",
                    higher: u64 = "The highest supported revision.",
                }
                conditions { Incompatible "incompatible" [Input], }
            }
            /// Reads a feature register.
            Features features 0xC400_0191 "RSI_FEATURES" {
                input { index: u64 = "Index of the feature register.", }
                output { value: u64 = "Its value.", }
                conditions {}
            }
            /// Reads a measurement of the calling realm.
            MeasurementRead measurement_read 0xC400_0192 "RSI_MEASUREMENT_READ" {
                input { index: u64 = "0 for the initial measurement, 1 to 4 for the extensible ones.", }
                output { value: [u64; 8] = "The measurement.", }
                conditions { Index "index" [Input], }
            }
            /// Extends a measurement of the calling realm.
            MeasurementExtend measurement_extend 0xC400_0193 "RSI_MEASUREMENT_EXTEND" {
                input {
                    index: u64 = "1 to 4.",
                    size: u64 = "Number of bytes of `value` that count.",
                    value: [u64; 8] = "The value.",
                }
                output {}
                conditions {
                    Index "index" [Input],
                    Size "size" [Input],
                }
            }
            /// Begins an attestation token.
            AttestationTokenInit attestation_token_init 0xC400_0194 "RSI_ATTESTATION_TOKEN_INIT" {
                input { challenge: [u64; 8] = "The challenge.", }
                output { max_size: u64 = "Upper bound of the token's size in bytes.", }
                conditions { Unknown "unknown" [Unknown], }
            }
            /// Fetches the next part of an attestation token.
            AttestationTokenContinue attestation_token_continue 0xC400_0195 "RSI_ATTESTATION_TOKEN_CONTINUE" {
                input {
                    addr: u64 = "IPA of the granule that receives it.",
                    offset: u64 = "Offset in the granule.",
                    size: u64 = "Number of bytes to write at most.",
                }
                output { len: u64 = "Number of bytes written.", }
                conditions {
                    AddrAlign "addr_align" [Input],
                    OffsetBound "offset_bound" [Input],
                    SizeOverflow "size_overflow" [Input],
                    SizeBound "size_bound" [Input],
                    AddrBound "addr_bound" [Input],
                    State "state" [State],
                    Unknown "unknown" [Unknown],
                    Empty "empty" [Input],
                }
            }
            /// Reads the configuration of the calling realm.
            RealmConfig realm_config 0xC400_0196 "RSI_REALM_CONFIG" {
                input { addr: u64 = "IPA of the granule that receives RsiRealmConfig.", }
                output {}
                conditions {
                    AddrAlign "addr_align" [Input],
                    AddrBound "addr_bound" [Input],
                    Empty "empty" [Input],
                }
            }
            /// Asks the host to change the RIPAS of a range.
            IpaStateSet ipa_state_set 0xC400_0197 "RSI_IPA_STATE_SET" {
                input {
                    base: u64 = "First IPA.",
                    top: u64 = "End of the range, exclusive.",
                    ripas: u64 = "EMPTY or RAM.",
                    flags: u64 = "RsiRipasChangeFlags.",
                }
                output {
                    new_base: u64 = "First IPA that was not processed.",
                    response: u64 = "RsiResponse.",
                }
                conditions {
                    RipasValid "ripas_valid" [Input],
                    BaseAlign "base_align" [Input],
                    TopAlign "top_align" [Input],
                    SizeValid "size_valid" [Input],
                    RgnBound "rgn_bound" [Input],
                }
            }
            /// Reads the RIPAS of a range.
            IpaStateGet ipa_state_get 0xC400_0198 "RSI_IPA_STATE_GET" {
                input {
                    base: u64 = "First IPA.",
                    top: u64 = "End of the range, exclusive.",
                }
                output {
                    out_top: u64 = "End of the part that has the RIPAS of its base.",
                    ripas: u64 = "That RIPAS.",
                }
                conditions {
                    BaseAlign "base_align" [Input],
                    TopAlign "top_align" [Input],
                    SizeValid "size_valid" [Input],
                    RgnBound "rgn_bound" [Input],
                }
            }
            /// Calls the host.
            HostCall host_call 0xC400_0199 "RSI_HOST_CALL" {
                input { addr: u64 = "IPA of the RsiHostCall structure.", }
                output {}
                conditions {
                    AddrAlign "addr_align" [Input],
                    AddrBound "addr_bound" [Input],
                    Empty "empty" [Input],
                }
            }
        }
    };
}
