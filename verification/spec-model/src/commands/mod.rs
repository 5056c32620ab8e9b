//! The commands (RMM specification 1.0-rel0, chapter B4): for each, its failure conditions and its effects.

mod data;
mod granule;
mod realm;
mod rec;
mod ripas;
mod rtt;
mod unprotected;

use cca_abi::rmi::{self, Command};
use cca_abi::smccc::Registers;

use crate::judgement::{Code, Judgement};
use crate::state::{Model, Read};

macro_rules! commands {
    ($($command:ident $module:ident: $judge:path, $apply:path;)*) => {
        /// The chapter of a command.
        fn chapter(command: Command) -> Chapter {
            match command {
                $(Command::$command => Chapter {
                    judge: |model, call, read| $judge(model, &rmi::$module::Input::decode(call), read),
                    apply: |model, call, read| $apply(model, &rmi::$module::Input::decode(call), read),
                },)*
            }
        }
    };
}

/// What the specification says of a command.
struct Chapter {
    judge: fn(&Model, &Registers, Read<'_>) -> Judgement,
    apply: fn(&mut Model, &Registers, Read<'_>) -> [u64; 4],
}

impl Model {
    /// What a call may be answered with.
    #[must_use]
    pub fn judge(&self, command: Command, call: &Registers, read: Read<'_>) -> Judgement {
        (chapter(command).judge)(self, call, read)
    }

    /// Carries out a call that was judged to succeed: X1 to X4. RMI_REC_ENTER has effects of its own, see
    /// [`Model::enter`].
    pub fn apply(&mut self, command: Command, call: &Registers, read: Read<'_>) -> [u64; 4] {
        (chapter(command).apply)(self, call, read)
    }
}

commands! {
    Version version: judge_version, version;
    GranuleDelegate granule_delegate: granule::judge_delegate, granule::delegate;
    GranuleUndelegate granule_undelegate: granule::judge_undelegate, granule::undelegate;
    DataCreate data_create: data::judge_create, data::create;
    DataCreateUnknown data_create_unknown: data::judge_create_unknown, data::create_unknown;
    DataDestroy data_destroy: data::judge_destroy, data::destroy;
    RealmActivate realm_activate: realm::judge_activate, realm::activate;
    RealmCreate realm_create: realm::judge_create, realm::create;
    RealmDestroy realm_destroy: realm::judge_destroy, realm::destroy;
    RecCreate rec_create: rec::judge_create, rec::create;
    RecDestroy rec_destroy: rec::judge_destroy, rec::destroy;
    RecEnter rec_enter: rec::judge_enter, no_results;
    RttCreate rtt_create: rtt::judge_create, rtt::create;
    RttDestroy rtt_destroy: rtt::judge_destroy, rtt::destroy;
    RttMapUnprotected rtt_map_unprotected: unprotected::judge_map, unprotected::map;
    RttReadEntry rtt_read_entry: rtt::judge_read, rtt::read;
    RttUnmapUnprotected rtt_unmap_unprotected: unprotected::judge_unmap, unprotected::unmap;
    PsciComplete psci_complete: rec::judge_complete, rec::complete;
    Features features: no_conditions, features;
    RttFold rtt_fold: rtt::judge_fold, rtt::fold;
    RecAuxCount rec_aux_count: realm::judge_aux_count, realm::aux_count;
    RttInitRipas rtt_init_ripas: ripas::judge_init, ripas::init;
    RttSetRipas rtt_set_ripas: ripas::judge_set, ripas::set;
}

/// The only revision of the interface.
const VERSION_1_0: u64 = 0x1_0000;

fn judge_version(_: &Model, input: &rmi::version::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.when_with(
        "incompatible",
        Code::Input,
        input.req & 0x7FFF_FFFF != VERSION_1_0,
        [VERSION_1_0, VERSION_1_0, 0, 0],
    );
    judgement
}

fn version(_: &mut Model, _: &rmi::version::Input, _: Read<'_>) -> [u64; 4] {
    [VERSION_1_0, VERSION_1_0, 0, 0]
}

fn no_conditions<I>(_: &Model, _: &I, _: Read<'_>) -> Judgement {
    Judgement::default()
}

fn no_results<I>(_: &mut Model, _: &I, _: Read<'_>) -> [u64; 4] {
    [0; 4]
}

fn features(model: &mut Model, input: &rmi::features::Input, _: Read<'_>) -> [u64; 4] {
    let value = if input.index == 0 {
        model.platform.features
    } else {
        0
    };
    [value, 0, 0, 0]
}
