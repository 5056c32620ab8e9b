//! The rows of the Realm Management Interface (RMM specification 1.0-rel0, chapter B4).

/// Calls a macro with the rows of the RMI command table.
///
/// A row: documentation, the command's name, its module, its function identifier, its name in the specification;
/// then operands and results in register order from X1, and the failure conditions in evaluation order with what
/// each reports. The order satisfies every precedence that the specification makes mandatory.
#[macro_export]
macro_rules! rmi_commands {
    ($callback:ident) => {
        $callback! {
            /// Finds an interface revision that both sides support.
            Version version 0xC400_0150 "RMI_VERSION" {
                input { req: u64 = "Requested revision.", }
                output {
                    lower: u64 = "The requested revision, or the nearest supported one below it.",
                    higher: u64 = "The highest supported revision.",
                }
                conditions { Incompatible "incompatible" [Input], }
            }
            /// Moves a granule from the host to the RMM.
            GranuleDelegate granule_delegate 0xC400_0151 "RMI_GRANULE_DELEGATE" {
                input { addr: u64 = "PA of the granule.", }
                output {}
                conditions {
                    GranAlign "gran_align" [Input],
                    GranBound "gran_bound" [Input],
                    GranState "gran_state" [Input],
                    GranGpt "gran_gpt" [Input],
                }
            }
            /// Gives a delegated granule back to the host.
            GranuleUndelegate granule_undelegate 0xC400_0152 "RMI_GRANULE_UNDELEGATE" {
                input { addr: u64 = "PA of the granule.", }
                output {}
                conditions {
                    GranAlign "gran_align" [Input],
                    GranBound "gran_bound" [Input],
                    GranState "gran_state" [Input],
                }
            }
            /// Copies a Non-secure granule into a new realm and maps it.
            DataCreate data_create 0xC400_0153 "RMI_DATA_CREATE" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    data: u64 = "PA of the granule that receives the content.",
                    ipa: u64 = "IPA at which it is mapped.",
                    src: u64 = "PA of the Non-secure source granule.",
                    flags: u64 = "RmiDataFlags: bit 0 measures the content.",
                }
                output {}
                conditions {
                    Flags "flags" [Input],
                    SrcAlign "src_align" [Input],
                    SrcBound "src_bound" [Input],
                    SrcPas "src_pas" [Input],
                    DataAlign "data_align" [Input],
                    DataBound "data_bound" [Input],
                    DataState "data_state" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    DataBound2 "data_bound2" [Input],
                    RealmState "realm_state" [Realm(0)],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                }
            }
            /// Maps a delegated granule with wiped content.
            DataCreateUnknown data_create_unknown 0xC400_0154 "RMI_DATA_CREATE_UNKNOWN" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    data: u64 = "PA of the granule to map.",
                    ipa: u64 = "IPA at which it is mapped.",
                }
                output {}
                conditions {
                    DataAlign "data_align" [Input],
                    DataBound "data_bound" [Input],
                    DataState "data_state" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    DataBound2 "data_bound2" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                }
            }
            /// Unmaps a data granule and releases it.
            DataDestroy data_destroy 0xC400_0155 "RMI_DATA_DESTROY" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    ipa: u64 = "IPA of the page.",
                }
                output {
                    data: u64 = "PA of the released granule.",
                    top: u64 = "IPA of the next live entry.",
                }
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                }
            }
            /// Makes a new realm ready to run and freezes its initial measurement.
            RealmActivate realm_activate 0xC400_0157 "RMI_REALM_ACTIVATE" {
                input { rd: u64 = "PA of the realm descriptor.", }
                output {}
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    RealmState "realm_state" [Realm(0)],
                }
            }
            /// Creates a realm.
            RealmCreate realm_create 0xC400_0158 "RMI_REALM_CREATE" {
                input {
                    rd: u64 = "PA of the granule that becomes the realm descriptor.",
                    params_ptr: u64 = "PA of the Non-secure granule with RmiRealmParams.",
                }
                output {}
                conditions {
                    ParamsAlign "params_align" [Input],
                    ParamsBound "params_bound" [Input],
                    ParamsPas "params_pas" [Input],
                    ParamsValid "params_valid" [Input],
                    ParamsSupp "params_supp" [Input],
                    RttNumLevel "rtt_num_level" [Input],
                    VmidValid "vmid_valid" [Input],
                    Alias "alias" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    RttAlign "rtt_align" [Input],
                    RttState "rtt_state" [Input],
                }
            }
            /// Destroys a realm that is not live.
            RealmDestroy realm_destroy 0xC400_0159 "RMI_REALM_DESTROY" {
                input { rd: u64 = "PA of the realm descriptor.", }
                output {}
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    RealmLive "realm_live" [Realm(0)],
                }
            }
            /// Creates a Realm Execution Context.
            RecCreate rec_create 0xC400_015A "RMI_REC_CREATE" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    rec: u64 = "PA of the granule that becomes the REC.",
                    params_ptr: u64 = "PA of the Non-secure granule with RmiRecParams.",
                }
                output {}
                conditions {
                    ParamsAlign "params_align" [Input],
                    ParamsBound "params_bound" [Input],
                    ParamsPas "params_pas" [Input],
                    RecAlign "rec_align" [Input],
                    RecBound "rec_bound" [Input],
                    RecState "rec_state" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    RealmState "realm_state" [Realm(0)],
                    NumRecs "num_recs" [Realm(0)],
                    MpidrIndex "mpidr_index" [Input],
                    NumAux "num_aux" [Input],
                    AuxAlign "aux_align" [Input],
                    AuxAlias "aux_alias" [Input],
                    AuxState "aux_state" [Input],
                }
            }
            /// Destroys a REC that is not running.
            RecDestroy rec_destroy 0xC400_015B "RMI_REC_DESTROY" {
                input { rec: u64 = "PA of the REC.", }
                output {}
                conditions {
                    RecAlign "rec_align" [Input],
                    RecBound "rec_bound" [Input],
                    RecGranState "rec_gran_state" [Input],
                    RecState "rec_state" [Rec],
                }
            }
            /// Runs a REC until something needs the host.
            RecEnter rec_enter 0xC400_015C "RMI_REC_ENTER" {
                input {
                    rec: u64 = "PA of the REC.",
                    run_ptr: u64 = "PA of the Non-secure granule with RmiRecRun.",
                }
                output {}
                conditions {
                    RunAlign "run_align" [Input],
                    RunBound "run_bound" [Input],
                    RunPas "run_pas" [Input],
                    RecAlign "rec_align" [Input],
                    RecBound "rec_bound" [Input],
                    RecGranState "rec_gran_state" [Input],
                    RecState "rec_state" [Rec],
                    RunRead "run_read" [Input],
                    RealmNew "realm_new" [Realm(0)],
                    SystemOff "system_off" [Realm(1)],
                    RecRunnable "rec_runnable" [Rec],
                    RecPsci "rec_psci" [Rec],
                    RecGicv3 "rec_gicv3" [Rec],
                    RecMmio "rec_mmio" [Rec],
                    RunWrite "run_write" [Input],
                }
            }
            /// Adds a translation table.
            RttCreate rtt_create 0xC400_015D "RMI_RTT_CREATE" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    rtt: u64 = "PA of the granule that becomes the table.",
                    ipa: u64 = "Base of the IPA range that the table describes.",
                    level: i64 = "Level of the table.",
                }
                output {}
                conditions {
                    RttAlign "rtt_align" [Input],
                    RttBound "rtt_bound" [Input],
                    RttState "rtt_state" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    LevelBound "level_bound" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttBound2 "rtt_bound2" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                }
            }
            /// Removes a table that is not live.
            RttDestroy rtt_destroy 0xC400_015E "RMI_RTT_DESTROY" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    ipa: u64 = "Base of the IPA range that the table describes.",
                    level: i64 = "Level of the table.",
                }
                output {
                    rtt: u64 = "PA of the released table.",
                    top: u64 = "IPA of the next live entry.",
                }
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    LevelBound "level_bound" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                    RttLive "rtt_live" [Rtt],
                }
            }
            /// Maps Non-secure memory at an unprotected IPA.
            RttMapUnprotected rtt_map_unprotected 0xC400_015F "RMI_RTT_MAP_UNPROTECTED" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    ipa: u64 = "Unprotected IPA.",
                    level: i64 = "Level of the entry: 1 or 2 for a block, 3 for a page.",
                    desc: u64 = "Output address, MemAttr and S2AP in descriptor positions.",
                }
                output {}
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    LevelBound "level_bound" [Input],
                    AttrValid "attr_valid" [Input],
                    AddrAlign "addr_align" [Input],
                    AddrBound "addr_bound" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                }
            }
            /// Reads a translation table entry.
            RttReadEntry rtt_read_entry 0xC400_0161 "RMI_RTT_READ_ENTRY" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    ipa: u64 = "IPA whose entry is read.",
                    level: i64 = "Deepest level to walk to.",
                }
                output {
                    walk_level: i64 = "Level at which the walk stopped.",
                    state: u64 = "RmiRttEntryState.",
                    desc: u64 = "Output address and attributes in descriptor positions.",
                    ripas: u64 = "RmiRipas.",
                }
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    LevelBound "level_bound" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                }
            }
            /// Unmaps Non-secure memory.
            RttUnmapUnprotected rtt_unmap_unprotected 0xC400_0162 "RMI_RTT_UNMAP_UNPROTECTED" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    ipa: u64 = "Unprotected IPA.",
                    level: i64 = "Level of the entry.",
                }
                output { top: u64 = "IPA of the next live entry.", }
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    LevelBound "level_bound" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                }
            }
            /// Answers a PSCI call of a REC that names another REC.
            PsciComplete psci_complete 0xC400_0164 "RMI_PSCI_COMPLETE" {
                input {
                    calling_rec: u64 = "PA of the REC that made the call.",
                    target_rec: u64 = "PA of the REC that the call names.",
                    status: i64 = "PSCI return code.",
                }
                output {}
                conditions {
                    Alias "alias" [Input],
                    CallingAlign "calling_align" [Input],
                    CallingBound "calling_bound" [Input],
                    CallingState "calling_state" [Input],
                    TargetAlign "target_align" [Input],
                    TargetBound "target_bound" [Input],
                    TargetState "target_state" [Input],
                    Running "running" [Input],
                    Pending "pending" [Input],
                    Owner "owner" [Input],
                    Target "target" [Input],
                    Status "status" [Input],
                }
            }
            /// Reads a feature register.
            Features features 0xC400_0165 "RMI_FEATURES" {
                input { index: u64 = "Index of the feature register.", }
                output { value: u64 = "Its value.", }
                conditions {}
            }
            /// Removes a homogeneous table and stores its meaning in the parent entry.
            RttFold rtt_fold 0xC400_0166 "RMI_RTT_FOLD" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    ipa: u64 = "Base of the IPA range that the table describes.",
                    level: i64 = "Level of the table.",
                }
                output { rtt: u64 = "PA of the released table.", }
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    LevelBound "level_bound" [Input],
                    IpaAlign "ipa_align" [Input],
                    IpaBound "ipa_bound" [Input],
                    RttWalk "rtt_walk" [Rtt],
                    RtteState "rtte_state" [Rtt],
                    RttHomo "rtt_homo" [Rtt],
                }
            }
            /// Says how many auxiliary granules each REC of a realm needs.
            RecAuxCount rec_aux_count 0xC400_0167 "RMI_REC_AUX_COUNT" {
                input { rd: u64 = "PA of the realm descriptor.", }
                output { aux_count: u64 = "Number of auxiliary granules, 0 to 16.", }
                conditions {
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                }
            }
            /// Sets RIPAS to RAM in a new realm.
            RttInitRipas rtt_init_ripas 0xC400_0168 "RMI_RTT_INIT_RIPAS" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    base: u64 = "First IPA.",
                    top: u64 = "End of the range, exclusive.",
                }
                output { out_top: u64 = "End of the range that was processed.", }
                conditions {
                    SizeValid "size_valid" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    TopGranAlign "top_gran_align" [Input],
                    TopBound "top_bound" [Input],
                    RealmState "realm_state" [Realm(0)],
                    BaseAlign "base_align" [Rtt],
                    RtteState "rtte_state" [Rtt],
                    NoProgress "no_progress" [Rtt],
                }
            }
            /// Applies a RIPAS change that a realm asked for.
            RttSetRipas rtt_set_ripas 0xC400_0169 "RMI_RTT_SET_RIPAS" {
                input {
                    rd: u64 = "PA of the realm descriptor.",
                    rec: u64 = "PA of the REC that asked.",
                    base: u64 = "First IPA; the next that the request has to process.",
                    top: u64 = "End of the range, exclusive.",
                }
                output { out_top: u64 = "End of the range that was processed.", }
                conditions {
                    SizeValid "size_valid" [Input],
                    TopGranAlign "top_gran_align" [Input],
                    RdAlign "rd_align" [Input],
                    RdBound "rd_bound" [Input],
                    RdState "rd_state" [Input],
                    RecAlign "rec_align" [Input],
                    RecBound "rec_bound" [Input],
                    RecGranState "rec_gran_state" [Input],
                    RecState "rec_state" [Rec],
                    RecOwner "rec_owner" [Rec],
                    BaseBound "base_bound" [Input],
                    TopBound "top_bound" [Input],
                    BaseAlign "base_align" [Rtt],
                    NoProgress "no_progress" [Rtt],
                }
            }
        }
    };
}
