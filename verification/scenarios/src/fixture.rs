//! What a case stands on: granules in every state, a realm that is being built and one that is active, and a
//! book of everything that has to be taken back.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::explain::RmiResult;
use cca_abi::rmi::{
    Command, data_create, data_create_unknown, data_destroy, granule_delegate, granule_undelegate,
    realm_activate, realm_create, rec_create, rec_destroy, rtt_create, rtt_destroy, rtt_fold,
    rtt_init_ripas,
};
use cca_abi::smccc::Registers;

use crate::realm::{Realm, RealmState};
use crate::{Failure, Host};

/// An IPA whose RIPAS is RAM in an active realm, and where nothing is mapped.
const UNPOPULATED: u64 = 0x10_0000_0000;

/// So many stretches of memory are tried before there is none that can be delegated.
const ATTEMPTS: usize = 8;

/// A state of a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Non-secure memory.
    Undelegated,
    /// Delegated and unused.
    Delegated,
    /// A realm descriptor.
    Rd,
    /// A REC.
    Rec,
    /// A translation table.
    Rtt,
    /// Data of a realm.
    Data,
}

/// Everything that a case has set up.
pub struct Fixture<'h> {
    host: &'h dyn Host,
    failure: Option<Failure>,
    /// Non-secure granules in use.
    non_secure: Vec<u64>,
    /// Delegated granules that are not part of anything.
    delegated: Vec<u64>,
    realms: Vec<Realm>,
    undo: Vec<fn(&mut Fixture<'h>)>,
    next_vmid: u16,
    saved: Vec<(u64, Vec<u64>)>,
}

impl<'h> Fixture<'h> {
    /// An empty fixture.
    #[must_use]
    pub fn new(host: &'h dyn Host) -> Self {
        Self {
            host,
            failure: None,
            non_secure: Vec::new(),
            delegated: Vec::new(),
            realms: Vec::new(),
            undo: Vec::new(),
            next_vmid: 1,
            saved: Vec::new(),
        }
    }

    /// The machine.
    #[must_use]
    pub fn host(&self) -> &'h dyn Host {
        self.host
    }

    /// Remembers the first thing that went wrong while setting up.
    pub fn fail(&mut self, what: &str) {
        self.failure
            .get_or_insert_with(|| Failure(format!("setting up: {what}")));
    }

    /// Whether everything so far went as it must.
    ///
    /// # Errors
    ///
    /// What went wrong first.
    pub fn check(&self) -> Result<(), Failure> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Says more about what went wrong.
    pub(crate) fn explain(&mut self, place: &str) {
        if let Some(failure) = &mut self.failure {
            failure.0.push_str(&format!(" ({place})"));
        }
    }

    /// Whether there are delegated granules that are not part of anything.
    pub(crate) fn has_delegated(&self) -> bool {
        !self.delegated.is_empty()
    }

    /// Makes a call that has to succeed, and books its effect.
    pub fn call(&mut self, command: Command, registers: Registers) -> Registers {
        let mut results = registers;
        self.host.smc(&mut results);
        if results.0[0] == 0 {
            self.succeeded(command, &registers, &results);
        } else {
            self.fail(&format!("{}: {}", command.name(), RmiResult(results.0[0])));
        }
        results
    }

    /// A fresh Non-secure granule.
    pub fn non_secure(&mut self) -> u64 {
        let pa = self.host.allocate();
        self.non_secure.push(pa);
        pa
    }

    /// A fresh Non-secure granule with these words at its start.
    pub fn non_secure_with(&mut self, words: &[u64]) -> u64 {
        let pa = self.non_secure();
        for word in 0..512 {
            self.host
                .write(pa, word, words.get(word).copied().unwrap_or(0));
        }
        pa
    }

    /// A fresh delegated granule.
    pub fn delegated(&mut self) -> u64 {
        self.delegated_contiguous(1)
    }

    /// A fresh Non-secure granule that can be delegated: it has been before.
    pub fn delegable(&mut self) -> u64 {
        let pa = self.delegated();
        self.call(
            Command::GranuleUndelegate,
            granule_undelegate::Input { addr: pa }.encode(),
        );
        pa
    }

    /// Fresh delegated granules in a row, aligned to their total size.
    ///
    /// Not all memory can be delegated, and only the RMM knows which (RMI_GRANULE_DELEGATE, `gran_gpt`): what it refuses
    /// is set aside until the end, and other memory takes its place.
    pub fn delegated_contiguous(&mut self, granules: u64) -> u64 {
        let mut refusals = Vec::new();
        for _ in 0..ATTEMPTS {
            let base = self.non_secure_contiguous(granules);
            let refused = (0..granules)
                .map(|i| base + i * 4096)
                .find_map(|pa| self.delegate(pa).err());
            match refused {
                None => return base,
                Some(x0) => refusals.push(x0),
            }
        }
        let last = refusals.last().copied().unwrap_or_default();
        self.fail(&format!(
            "RMI_GRANULE_DELEGATE: {ATTEMPTS} times, at last {}",
            RmiResult(last)
        ));
        0
    }

    /// Tries to delegate a Non-secure granule: X0 of the refusal.
    fn delegate(&mut self, pa: u64) -> Result<(), u64> {
        let call = granule_delegate::Input { addr: pa }.encode();
        let mut results = call;
        self.host.smc(&mut results);
        if results.0[0] != 0 {
            return Err(results.0[0]);
        }
        self.succeeded(Command::GranuleDelegate, &call, &results);
        Ok(())
    }

    /// Fresh Non-secure granules in a row, aligned to their total size.
    pub fn non_secure_contiguous(&mut self, granules: u64) -> u64 {
        let base = self.host.allocate_contiguous(granules);
        self.non_secure
            .extend((0..granules).map(|i| base + i * 4096));
        base
    }

    /// A granule in a state; a realm is made for it if it takes one.
    pub fn granule_in(&mut self, state: State) -> u64 {
        match state {
            State::Undelegated => self.non_secure(),
            State::Delegated => self.delegated(),
            State::Rd => self.realm().rd,
            State::Rec => {
                let realm = self.realm();
                self.rec(realm.rd, 0, true)
            }
            State::Rtt => self.realm().rtt_base,
            State::Data => {
                let realm = self.realm();
                self.data(realm.rd, 0)
            }
        }
    }

    /// A VMID that no other realm of this fixture has; eight bits, which every CPU has.
    pub(crate) fn vmid(&mut self) -> u16 {
        self.next_vmid += 1;
        self.next_vmid - 1
    }

    /// A realm in state NEW.
    pub fn realm(&mut self) -> Realm {
        let realm = Realm::create(self);
        self.find(realm.rd).unwrap_or(realm)
    }

    /// A realm in state ACTIVE with a runnable REC: its realm and the PA of the REC.
    ///
    /// The REC's program counter is in memory that nobody has populated, so that every entry comes back at once
    /// with an instruction abort.
    pub fn active_realm(&mut self) -> (Realm, u64) {
        let realm = self.realm();
        let rd = realm.rd;
        let ripas = rtt_init_ripas::Input {
            rd,
            base: UNPOPULATED,
            top: UNPOPULATED + (1 << 30),
        };
        self.call(Command::RttInitRipas, ripas.encode());
        let call = Realm::rec_create_at(self, rd, 0, true, UNPOPULATED, [0; 8]);
        self.call(Command::RecCreate, call);
        self.call(
            Command::RealmActivate,
            realm_activate::Input { rd }.encode(),
        );
        (realm, call.0[2])
    }

    /// Creates the REC with this index.
    pub fn rec(&mut self, rd: u64, index: u64, runnable: bool) -> u64 {
        let call = Realm::rec_create(self, rd, index, runnable);
        self.call(Command::RecCreate, call);
        call.0[2]
    }

    /// Creates all missing tables down to level 3 for an IPA.
    pub fn tables(&mut self, rd: u64, ipa: u64) {
        for level in 2..=3 {
            self.table(rd, ipa, level);
        }
    }

    /// Creates the table at this level for an IPA, unless there is one; gives its PA.
    pub fn table(&mut self, rd: u64, ipa: u64, level: i64) -> u64 {
        let base = ipa & !((1u64 << (12 + 9 * (4 - level))) - 1);
        let existing = self.find(rd).and_then(|realm| realm.table_at(base, level));
        if let Some(pa) = existing {
            return pa;
        }
        let rtt = self.delegated();
        self.call(
            Command::RttCreate,
            rtt_create::Input {
                rd,
                rtt,
                ipa: base,
                level,
            }
            .encode(),
        );
        rtt
    }

    /// Maps a granule of unknown content at an IPA, tables included; gives its PA.
    pub fn data(&mut self, rd: u64, ipa: u64) -> u64 {
        self.tables(rd, ipa);
        let data = self.delegated();
        self.call(
            Command::DataCreateUnknown,
            data_create_unknown::Input { rd, data, ipa }.encode(),
        );
        data
    }

    /// What the fixture knows of a realm.
    #[must_use]
    pub fn find(&self, rd: u64) -> Option<Realm> {
        self.realms.iter().find(|realm| realm.rd == rd).cloned()
    }

    /// Remembers what stands in a Non-secure granule, so that undoing brings it back.
    pub(crate) fn save(&mut self, pa: u64) {
        if self.non_secure.contains(&pa) {
            let words = (0..512).map(|word| self.host.read(pa, word)).collect();
            self.saved.push((pa, words));
        }
    }

    /// Something to be done when the change of the case is taken back.
    pub fn on_undo(&mut self, undo: fn(&mut Fixture<'h>)) {
        self.undo.push(undo);
    }

    pub(crate) fn undo(&mut self) {
        while let Some(undo) = self.undo.pop() {
            undo(self);
        }
        for (pa, words) in core::mem::take(&mut self.saved) {
            for (word, value) in words.into_iter().enumerate() {
                self.host.write(pa, word, value);
            }
        }
    }

    /// Books the effect of a command that succeeded.
    pub(crate) fn succeeded(&mut self, command: Command, call: &Registers, results: &Registers) {
        match command {
            Command::GranuleDelegate => {
                let pa = granule_delegate::Input::decode(call).addr;
                self.non_secure.retain(|&other| other != pa);
                self.delegated.push(pa);
            }
            Command::GranuleUndelegate => {
                let pa = granule_undelegate::Input::decode(call).addr;
                self.delegated.retain(|&other| other != pa);
                self.non_secure.push(pa);
            }
            Command::RealmCreate => {
                let input = realm_create::Input::decode(call);
                let realm = Realm::from_params(self.host, input.rd, input.params_ptr);
                self.delegated
                    .retain(|pa| *pa != input.rd && !realm.root_tables().any(|table| table == *pa));
                self.realms.push(realm);
            }
            Command::RealmDestroy => {
                let rd = call.0[1];
                if let Some(at) = self.realms.iter().position(|realm| realm.rd == rd) {
                    let realm = self.realms.swap_remove(at);
                    self.delegated.push(rd);
                    self.delegated.extend(realm.root_tables());
                }
            }
            Command::RealmActivate => {
                self.with(call.0[1], |realm| realm.state = RealmState::Active)
            }
            Command::RecCreate => {
                let input = rec_create::Input::decode(call);
                let aux = Realm::aux_of(self.host, input.params_ptr);
                self.delegated
                    .retain(|pa| *pa != input.rec && !aux.contains(pa));
                self.with(input.rd, |realm| realm.recs.push((input.rec, aux)));
            }
            Command::RecDestroy => {
                let rec = rec_destroy::Input::decode(call).rec;
                for realm in &mut self.realms {
                    if let Some(at) = realm.recs.iter().position(|(pa, _)| *pa == rec) {
                        let (_, aux) = realm.recs.swap_remove(at);
                        self.delegated.push(rec);
                        self.delegated.extend(aux);
                    }
                }
            }
            Command::RttCreate => {
                let input = rtt_create::Input::decode(call);
                self.delegated.retain(|&pa| pa != input.rtt);
                self.with(input.rd, |realm| {
                    realm.tables.push((input.ipa, input.level, input.rtt))
                });
            }
            Command::RttDestroy => {
                let input = rtt_destroy::Input::decode(call);
                self.forget_table(input.rd, results.0[1]);
            }
            Command::RttFold => {
                let input = rtt_fold::Input::decode(call);
                self.forget_table(input.rd, results.0[1]);
            }
            Command::DataCreate => {
                let input = data_create::Input::decode(call);
                self.delegated.retain(|&pa| pa != input.data);
                self.with(input.rd, |realm| realm.data.push((input.ipa, input.data)));
            }
            Command::DataCreateUnknown => {
                let input = data_create_unknown::Input::decode(call);
                self.delegated.retain(|&pa| pa != input.data);
                self.with(input.rd, |realm| realm.data.push((input.ipa, input.data)));
            }
            Command::DataDestroy => {
                let input = data_destroy::Input::decode(call);
                let data = results.0[1];
                self.with(input.rd, |realm| realm.data.retain(|&(_, pa)| pa != data));
                self.delegated.push(data);
            }
            _ => {}
        }
    }

    fn with(&mut self, rd: u64, change: impl FnOnce(&mut Realm)) {
        if let Some(realm) = self.realms.iter_mut().find(|realm| realm.rd == rd) {
            change(realm);
        }
    }

    fn forget_table(&mut self, rd: u64, pa: u64) {
        self.with(rd, |realm| {
            realm.tables.retain(|&(_, _, table)| table != pa)
        });
        self.delegated.push(pa);
    }

    /// Takes everything down and gives all memory back.
    pub(crate) fn tear_down(mut self) -> Result<(), Failure> {
        let setup = self.failure.take();
        for realm in self.realms.clone() {
            realm.destroy(&mut self);
        }
        for pa in core::mem::take(&mut self.delegated) {
            let mut registers = granule_undelegate::Input { addr: pa }.encode();
            self.host.smc(&mut registers);
            if registers.0[0] == 0 {
                self.non_secure.push(pa);
            } else {
                self.fail(&format!(
                    "undelegating {pa:#x}: {}",
                    RmiResult(registers.0[0])
                ));
            }
        }
        for pa in core::mem::take(&mut self.non_secure) {
            self.host.free(pa);
        }
        match (setup, self.failure) {
            (None, None) => Ok(()),
            (Some(failure), _) => Err(failure),
            (None, Some(failure)) => Err(Failure(format!("teardown: {}", failure.0))),
        }
    }
}
