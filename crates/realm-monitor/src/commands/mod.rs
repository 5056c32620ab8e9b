//! The commands of the Realm Management Interface, one file each.
//!
//! Every command has two halves. `check` takes the locks, reads the host's memory once, evaluates the failure
//! conditions in the order of the command table and changes nothing that anybody can see. `commit` makes the change
//! and cannot fail. So a command that reports an error has changed nothing.

mod data_create;
mod data_create_unknown;
mod data_destroy;
mod features;
mod granule_delegate;
mod granule_undelegate;
mod psci_complete;
mod realm_activate;
mod realm_create;
mod realm_destroy;
mod rec_aux_count;
mod rec_create;
mod rec_destroy;
mod rec_enter;
mod rtt_create;
mod rtt_destroy;
mod rtt_fold;
mod rtt_init_ripas;
mod rtt_map_unprotected;
mod rtt_read_entry;
mod rtt_set_ripas;
mod rtt_unmap_unprotected;
mod version;

use cca_abi::Outcome;
use cca_abi::rmi::{self, Handler};

use crate::granule::Refused;
use crate::monitor::Monitor;
use crate::platform::{Platform, ProcessingElement};

/// One call of the host, on the PE on which it was made.
pub(crate) struct Call<'m, P: Platform, E: ProcessingElement> {
    pub(crate) monitor: &'m Monitor<P>,
    pub(crate) pe: &'m mut E,
}

impl Refused {
    /// The condition that the specification has for this refusal of an operand.
    #[inline]
    pub(crate) fn condition<C>(self, align: C, bound: C, state: C) -> C {
        match self {
            Refused::Unaligned => align,
            Refused::OutOfBounds => bound,
            Refused::WrongState => state,
        }
    }
}

macro_rules! handler {
    (shared { $($shared:ident,)* } with_pe { $($with_pe:ident,)* }) => {
        impl<P: Platform, E: ProcessingElement> Handler for Call<'_, P, E> {
            $(
                #[inline]
                fn $shared(
                    &mut self,
                    input: rmi::$shared::Input,
                ) -> Outcome<rmi::$shared::Output, rmi::$shared::Condition> {
                    $shared::handle(self.monitor, &input)
                }
            )*
            $(
                #[inline]
                fn $with_pe(
                    &mut self,
                    input: rmi::$with_pe::Input,
                ) -> Outcome<rmi::$with_pe::Output, rmi::$with_pe::Condition> {
                    $with_pe::handle(self.monitor, self.pe, &input)
                }
            )*
        }
    };
}

handler! {
    shared {
        version,
        features,
        granule_delegate,
        granule_undelegate,
        realm_create,
        realm_activate,
        realm_destroy,
        rec_aux_count,
        rec_create,
        rec_destroy,
        psci_complete,
        data_create,
        data_create_unknown,
        data_destroy,
        rtt_create,
        rtt_destroy,
        rtt_fold,
        rtt_read_entry,
        rtt_map_unprotected,
        rtt_unmap_unprotected,
        rtt_init_ripas,
        rtt_set_ripas,
    }
    with_pe {
        rec_enter,
    }
}
