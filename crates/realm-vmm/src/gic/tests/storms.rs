//! Everything at random: whatever a realm does to the controller, the list registers stay legal and no interrupt is lost.

use super::*;
use realm_host::rec::MAX_LIST_REGISTERS;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What the monitor accepts (RMM specification 1.0-rel0, A6.1): no hardware interrupt, no NMI, five bits of priority, no pINTID but
/// for the maintenance bit, an INTID that exists, and none twice.
fn assert_legal(entry: &Entry, count: usize) {
    assert_eq!(entry.hcr & !0x40FE, 0);
    let used: Vec<u64> = entry
        .list_registers
        .iter()
        .copied()
        .filter(|list| list & lr::STATE != 0)
        .collect();
    assert!(used.len() <= count);
    assert!(entry.list_registers[count..].iter().all(|&list| list == 0));
    for list in &used {
        let allowed = lr::STATE | lr::GROUP_1 | lr::EOI | 0xF8 << lr::PRIORITY | 0x3F;
        assert_eq!(list & !allowed, 0, "{list:#x}");
        let same = used
            .iter()
            .filter(|other| *other & lr::INTID == list & lr::INTID);
        assert_eq!(same.count(), 1, "{used:x?}");
    }
}

#[test]
fn a_storm_of_registers_and_exits_leaves_legal_list_registers() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let vcpus = 1 + random.below(20) as usize;
        let count = 1 + random.below(MAX_LIST_REGISTERS as u64) as usize;
        let gic = Gic::new(vcpus);
        let mut inside: Vec<Option<Entry>> = std::vec![None; vcpus];
        for _ in 0..4000 {
            let vcpu = random.below(vcpus as u64) as usize;
            let size = [1, 2, 4, 8, 3, 16][random.below(6) as usize];
            let (offset, value) = (random.below(0x1000), random.next());
            let frame = random.below(vcpus as u64 + 1) * REDISTRIBUTOR_SIZE;
            match random.below(12) {
                0 => drop(gic.write_distributor(offset, size, value)),
                1 => drop(gic.write_distributor(offset & !3, 4, value)),
                2 => drop(gic.write_distributor(GICD_IROUTER + offset / 4, size, value & 0x101)),
                3 => drop(gic.write_redistributor(frame + PRIVATE + (offset & !3), 4, value)),
                4 => drop(gic.write_redistributor(random.next(), size, value)),
                5 => {
                    let _ = gic.read_distributor(random.next() >> random.below(64), size);
                    let _ = gic.read_redistributor(random.next() >> random.below(64), size);
                }
                6 => drop(gic.set_line(random.below(70) as u32, value & 1 != 0)),
                7 => drop(gic.send(vcpu, SgiGroup::One, SgiRequest::new(value & 0x1_0F03_FFFF))),
                8 => drop(gic.deactivate(vcpu, value & 0x3F)),
                9 => drop((gic.is_pending(vcpu, value), gic.deadline(vcpu))),
                _ => match inside[vcpu].take() {
                    None => {
                        let entry = gic.enter(vcpu, count, random.next());
                        assert_legal(&entry, count);
                        inside[vcpu] = Some(entry);
                    }
                    Some(entry) => {
                        let mut state = GicExit {
                            list_registers: entry.list_registers,
                            hcr: random.next(),
                            misr: random.next(),
                            vmcr: random.next(),
                        };
                        for list in &mut state.list_registers {
                            *list ^= random.next() & lr::STATE;
                        }
                        let timers = Timers {
                            physical: Timer {
                                control: random.next(),
                                compare: random.next(),
                            },
                            virtual_timer: ASSERTED,
                        };
                        let _ = gic.left(vcpu, &state, &timers, value & 1 != 0);
                    }
                },
            }
        }
        // And nothing has broken: set up anew, an interrupt arrives.
        for (vcpu, entry) in inside.into_iter().enumerate() {
            if entry.is_some() {
                let _ = exit(&gic, vcpu, &[], Timers::default());
            }
        }
        let _ = gic.write_redistributor(PRIVATE + ICACTIVER, 4, !0);
        let _ = gic.write_redistributor(PRIVATE + IGROUPR, 4, !0);
        let _ = gic.write_redistributor(PRIVATE + ISENABLER, 4, !0);
        let _ = gic.write_redistributor(PRIVATE + ICPENDR, 4, !0);
        let _ = gic.write_distributor(ICENABLER + 4, 4, !0);
        let _ = gic.write_distributor(ICACTIVER + 4, 4, !0);
        let _ = gic.write_distributor(GICD_CTLR, 4, 2);
        let _ = exit(&gic, 0, &[], Timers::default());
        let _ = send(&gic, 0, 5);
        assert_eq!(states(&gic.enter(0, count, 0)), [(5, 1)], "seed {seed}");
    }
}

/// A vCPU's CPU interface as far as it matters here: takes what is pending in its list registers, and ends it.
struct Vcpu {
    entry: Option<Entry>,
    handled: [u64; 64],
}

#[test]
fn no_edge_is_lost_and_none_is_handled_more_often_than_it_was_sent() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let count = 1 + random.below(4) as usize;
        let gic = set_up(3);
        let _ = gic.write_distributor(ICFGR + 8, 4, 0xAAAA_AAAA);
        let _ = gic.write_distributor(ICFGR + 12, 4, 0xAAAA_AAAA);
        for vcpu in 0..3 {
            let _ = exit(&gic, vcpu, &[], Timers::default());
        }
        let mut vcpus: Vec<Vcpu> = (0..3)
            .map(|_| Vcpu {
                entry: None,
                handled: [0; 64],
            })
            .collect();
        let mut sent = [[0; 64]; 3];
        let mut edges = [0; 64];
        for step in 0..6000 {
            let vcpu = random.below(3) as usize;
            let quiet = step > 4000;
            match random.below(6) {
                0 if !quiet => {
                    let intid = random.below(16);
                    let _ = send(&gic, vcpu as u64, intid);
                    sent[vcpu][intid as usize] += 1;
                }
                1 if !quiet => {
                    let n = random.below(32);
                    let _ = gic.set_line(n as u32, true);
                    let _ = gic.set_line(n as u32, false);
                    edges[n as usize] += 1;
                }
                2 if !quiet => {
                    let n = 32 + random.below(32);
                    let route = random.below(3);
                    let _ = gic.write_distributor(GICD_IROUTER + 8 * n, 8, route);
                }
                3 => match vcpus[vcpu].entry.take() {
                    None => {
                        let entry = gic.enter(vcpu, count, 0);
                        assert_legal(&entry, count);
                        vcpus[vcpu].entry = Some(entry);
                    }
                    Some(entry) => {
                        let _ = exit(&gic, vcpu, &entry.list_registers, Timers::default());
                    }
                },
                _ => {
                    let Vcpu { entry, handled } = &mut vcpus[vcpu];
                    let Some(entry) = entry else { continue };
                    let lists = &mut entry.list_registers;
                    // What is active ends before the next one of the same priority begins.
                    if let Some(list) = lists.iter_mut().find(|list| **list & lr::ACTIVE != 0) {
                        *list &= !lr::ACTIVE;
                    } else if let Some(list) = lists.iter_mut().find(|list| **list >> 62 == 1) {
                        *list ^= lr::STATE;
                        handled[(*list & lr::INTID) as usize] += 1;
                    }
                }
            }
        }
        for (vcpu, sent) in vcpus.iter().zip(&sent) {
            for (intid, (&handled, &sent)) in vcpu.handled.iter().zip(sent).enumerate().take(16) {
                assert!(handled <= sent, "SGI {intid}");
                assert_eq!(handled == 0, sent == 0, "SGI {intid}, seed {seed}");
            }
        }
        for (n, &edges) in edges.iter().enumerate().take(32) {
            let handled: u64 = vcpus.iter().map(|vcpu| vcpu.handled[32 + n]).sum();
            assert!(handled <= edges);
            assert_eq!(handled == 0, edges == 0, "SPI {n}, seed {seed}");
        }
        let left = (0..3).filter(|&vcpu| gic.is_pending(vcpu, 0));
        assert_eq!(left.count(), 0, "seed {seed}");
    }
}
