//! The end of realms, and of the machine: realms are taken apart a bit at a time, between vCPUs and requests.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use realm_host::{PageSupply, SmcTransport};

use super::message::{Answer, Outcome};
use super::server::{Link, Server, Stage};
use crate::pe::HostPe;

/// So many pages, tables and RECs of a realm are destroyed before others get their turn.
const STEPS: u64 = 64;

/// Why the machine is switched off once the last realm is gone.
#[derive(Clone, Copy)]
pub(super) enum Leaving {
    /// That is the number of the request.
    Asked(u64),
    /// The request is answered. The answer is still on its way.
    Answered,
    /// Nobody can ask for anything any more.
    Closed,
}

impl<T: SmcTransport, M: PageSupply, L: Link> Server<'_, '_, T, M, L> {
    /// Begins to take a realm apart, and answers once that is over; at once if the realm was never active.
    pub(super) fn remove(&mut self, realm: u32, id: u64) -> Result<Option<Answer>, String> {
        let fleet = self.fleet;
        let entry = self.entry(realm)?;
        let member = match &entry.stage {
            // It is destroyed when it is dropped.
            Stage::New(_) => {
                self.realms.remove(&realm);
                return Ok(Some(Answer::Done));
            }
            Stage::Whole(member, _) => member,
            Stage::Going(..) => return Err(is_going(realm)),
        };
        if member.is_started() && !member.machine.is_stopped() {
            return Err(format!("realm {realm} is running; stop it first"));
        }
        fleet.remove(realm);
        entry.stage = Stage::Going(Arc::clone(member), Some(id));
        Ok(None)
    }

    /// Begins to take all realms apart. The machine is switched off after that.
    pub(super) fn take_all_apart(&mut self, leaving: Leaving) {
        self.leaving = Some(leaving);
        // A realm that is being filled is destroyed when it is dropped.
        self.realms
            .retain(|_, entry| !matches!(entry.stage, Stage::New(_)));
        for (&realm, entry) in &mut self.realms {
            if let Stage::Whole(member, _) = &entry.stage {
                self.fleet.remove(realm);
                entry.stage = Stage::Going(Arc::clone(member), None);
            }
        }
    }

    /// Destroys a part of the first realm that is to be taken apart. Says whether there is more of it.
    pub(super) fn take_apart(&mut self, pe: &mut impl HostPe) -> bool {
        let mut going = self.realms.iter().filter_map(|(&realm, entry)| {
            let Stage::Going(member, id) = &entry.stage else {
                return None;
            };
            Some((realm, Arc::clone(member), *id))
        });
        if let Some((realm, member, id)) = going.next() {
            if id.is_some() && !self.outbox.has_room() && !self.link.is_closed() {
                // There is no room for the report yet.
                return false;
            }
            let Some(report) = member.machine.teardown_step(STEPS, pe) else {
                return true;
            };
            self.realms.remove(&realm);
            if let Some(id) = id {
                let report = Box::new(report);
                self.reply(id, Outcome::Ok(Answer::Removed { report }));
            }
            return true;
        }
        if let Some(leaving) = self.leaving
            && !self.fleet.is_over()
        {
            if let Leaving::Asked(id) = leaving {
                self.reply(id, Outcome::Ok(Answer::Done));
                self.leaving = Some(Leaving::Answered);
            }
            if self.send() || matches!(leaving, Leaving::Closed) {
                self.fleet.finish(pe);
            }
        }
        false
    }
}

/// Why a request about a realm is refused.
pub(super) fn is_going(realm: u32) -> String {
    format!("realm {realm} is being taken apart")
}
