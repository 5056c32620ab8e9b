//! A realm with a bit of everything, and the list of the failure conditions that were provoked in it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command::{self, *};
use cca_abi::rmi::params::{RealmParams, RecParams};
use realm_monitor::rec::layout;

use super::{DEVICE, HIGH, LOW, Machine, create_realm, usual_cpu, usual_params};

/// First unprotected address of a realm with 40 bits.
pub const SHARED: u64 = 1 << 39;
/// Described by a level 3 table.
pub const PAGES: u64 = 0x4020_0000;
/// Mapped in [`PAGES`].
pub const MAPPED: u64 = PAGES + 0x1000;
/// Described by a level 2 entry.
pub const NO_PAGES: u64 = 0x4040_0000;
/// Described by a level 1 entry.
pub const NO_TABLES: u64 = 0x8000_0000;
/// Normal write-back memory, readable and writable.
pub const ATTRIBUTES: u64 = 0b110 << 2 | 0b11 << 6;
pub const PAST_SPACE: u64 = 1 << 40;

/// A realm with a bit of everything, and granules to name in calls that succeed.
pub struct World {
    pub machine: Machine,
    pub rd: u64,
    pub active: u64,
    pub rec: u64,
    pub stranger: u64,
    /// A realm without anything, and one that only has a REC.
    pub empty: u64,
    pub spare: u64,
    pub host: u64,
    pub root: u64,
    pub params: RealmParams,
}

impl World {
    pub fn new() -> Self {
        let machine = Machine::new(usual_cpu());
        let realm = |vmid| {
            create_realm(
                &machine,
                &RealmParams {
                    vmid,
                    ..usual_params(&machine)
                },
            )
        };
        let (rd, active, empty) = (realm(1), realm(2), realm(3));
        for rd in [rd, active] {
            machine.table(rd, 0x4000_0000, 2);
            machine.table(rd, PAGES, 3);
        }
        machine.table(rd, SHARED, 2);
        machine.table(rd, SHARED, 3);
        let host = machine.host_filled(0xAB);
        machine
            .call(DataCreate, &[rd, machine.delegated(), MAPPED, host, 0])
            .ok();
        machine
            .call(
                RttMapUnprotected,
                &[rd, SHARED + 0x1000, 3, 0x1234_5000 | ATTRIBUTES],
            )
            .ok();
        let (rec, stranger) = (Self::rec(&machine, rd), Self::rec(&machine, active));
        // The realm has asked for a change of [PAGES, PAGES + 8 MiB) to RAM.
        for rec in [rec, stranger] {
            let words = machine.fake().words(rec);
            words[layout::RIPAS_ADDR].store(PAGES, Relaxed);
            words[layout::RIPAS_TOP].store(PAGES + 0x80_0000, Relaxed);
            words[layout::RIPAS_VALUE].store(1, Relaxed);
        }
        machine.call(RealmActivate, &[active]).ok();
        let params = RealmParams {
            vmid: 4,
            ..usual_params(&machine)
        };
        let (spare, root) = (machine.delegated(), params.rtt_base);
        Self {
            machine,
            rd,
            active,
            rec,
            stranger,
            empty,
            spare,
            host,
            root,
            params,
        }
    }

    pub fn rec(machine: &Machine, rd: u64) -> u64 {
        let mut words = [0; 512];
        RecParams::default().write(&mut words);
        let (rec, params) = (machine.delegated(), machine.host());
        machine.call(RecCreate, &[rd, rec, params]).ok();
        rec
    }
}

/// What has been provoked, and how.
#[derive(Default)]
pub struct Coverage(pub BTreeSet<(&'static str, &'static str)>);

impl Coverage {
    /// Makes the call in a fresh world that `prepare` changed, and expects the condition.
    #[track_caller]
    pub fn refused(
        &mut self,
        command: Command,
        condition: &'static str,
        x0: u64,
        prepare: impl FnOnce(&World) -> Vec<u64>,
    ) -> [u64; 5] {
        let world = World::new();
        let operands = prepare(&world);
        let before = world.machine.fake().snapshot();
        let reply = world.machine.call(command, &operands);
        assert_eq!(
            (reply.condition, reply.x.0[0]),
            (Some(condition), x0),
            "{}",
            command.name()
        );
        assert!(
            world.machine.fake().snapshot() == before,
            "{} {condition} changed something",
            command.name()
        );
        // What the memory does not show (which VMIDs are taken) must not have changed either.
        let again = world.machine.call(command, &operands);
        assert_eq!(
            again,
            reply,
            "{} {condition} ends otherwise the second time",
            command.name()
        );
        self.0.insert((command.name(), condition));
        reply.x.0[1..6].try_into().unwrap()
    }

    /// The three ways in which a granule that should be in some state is not one.
    pub fn granule(
        &mut self,
        command: Command,
        names: [&'static str; 3],
        wrong: fn(&World) -> Vec<u64>,
        call: impl Fn(&World, u64) -> Vec<u64>,
    ) {
        self.refused(command, names[0], 1, |w| call(w, w.spare + 8));
        for outside in [DEVICE, LOW.base + LOW.size, HIGH.base - 4096, !0xFFF] {
            self.refused(command, names[1], 1, |w| call(w, outside));
        }
        for i in 0..wrong(&World::new()).len() {
            self.refused(command, names[2], 1, |w| call(w, wrong(w)[i]));
        }
    }

    pub fn rd(&mut self, command: Command, call: impl Fn(&World, u64) -> Vec<u64>) {
        self.granule(
            command,
            ["rd_align", "rd_bound", "rd_state"],
            |w| {
                vec![
                    w.host,
                    w.spare,
                    w.rec,
                    w.machine.monitor_root(w.rd),
                    w.machine.data(w.rd, MAPPED),
                ]
            },
            call,
        );
    }

    /// Every condition of the table has been provoked, but those named.
    pub fn complete(&self, commands: &[Command], unreachable: &[&str]) {
        for command in commands {
            for condition in command.conditions() {
                assert!(
                    self.0.contains(&(command.name(), condition.name))
                        || unreachable.contains(&condition.name),
                    "{} {} was not provoked",
                    command.name(),
                    condition.name
                );
            }
        }
    }
}

impl Machine {
    pub fn monitor_root(&self, rd: u64) -> u64 {
        realm_monitor::realm::Realm::at(self.fake(), rd)
            .address_space()
            .root
    }

    pub fn data(&self, rd: u64, ipa: u64) -> u64 {
        self.read(rd, ipa, 3)[2]
    }
}

/// States that are not DELEGATED.
pub fn not_delegated(w: &World) -> Vec<u64> {
    vec![
        w.host,
        w.rd,
        w.rec,
        w.machine.monitor_root(w.rd),
        w.machine.data(w.rd, MAPPED),
    ]
}
