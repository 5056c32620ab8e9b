//! From the machine to the last record.

use cca_abi::GRANULE_SIZE;
use cca_abi::GRANULE_WORDS;
use cca_abi::rmi::params::{REC_FLAG_RUNNABLE, RealmParams, RecParams};
use cca_abi::rmi::run::ExitReason;
use cca_abi::rmi::{Command, DATA_FLAG_MEASURE, HashAlgorithm, Ripas};
use cca_abi::rsi;
use hardware::host::{Dram, Gic, Pe, counter};
use hardware::{print, println};

use crate::guest::CODE;
use crate::host::Host;
use crate::realm::Rec;

hardware::hypervisor_program!(primary, secondary);

/// How often everything is measured.
const ROUNDS: usize = 5;
/// IPA width of the realm.
const IPA_BITS: u8 = 39;
/// First unprotected IPA.
const UNPROTECTED: u64 = 1 << (IPA_BITS - 1);
/// The realm's memory: 2 MiB, which one table maps.
const BASE: u64 = 0x4000_0000;
const SIZE: u64 = 0x20_0000;
/// The page for host calls.
const CALL_PAGE: u64 = BASE + GRANULE_SIZE;
/// A page that is populated when it is touched.
const LATE_PAGE: u64 = BASE + 2 * GRANULE_SIZE;
/// Pages of data that are measured beside the program.
const DATA_PAGE: u64 = BASE + 0x10_0000;
/// As much memory again, whose RIPAS the realm changes as a whole.
const CHANGED: u64 = BASE + SIZE;
/// PSCI_AFFINITY_INFO.
const AFFINITY_INFO: u32 = 0xC400_0004;
/// Where QEMU's `virt` machine has the distributor and the redistributors of its GICv3.
const DISTRIBUTOR: u64 = 0x0800_0000;
const REDISTRIBUTORS: (u64, u64) = (0x080A_0000, 0xF6_0000);

fn primary(_device_tree: Option<&'static [u8]>) {
    let Some(dram) = Dram::claim() else {
        return println!("bench: the memory is taken");
    };
    let (base, size) = REDISTRIBUTORS;
    let pe = Gic::new(DISTRIBUTOR, base, size).and_then(|gic| {
        gic.enable();
        Pe::start(&gic, 0)
    });
    let Some(mut pe) = pe else {
        return println!("bench: there is no GIC");
    };
    let host = Host::new(dram);
    println!("bench-frequency {}", hardware::host::frequency());
    for round in 0..ROUNDS {
        println!("bench-round {round}");
        for algorithm in [HashAlgorithm::Sha512, HashAlgorithm::Sha256] {
            host.reset();
            lifecycle(&host, algorithm, &mut pe);
            widest(&host, algorithm);
        }
    }
    println!("bench-done");
}

/// One PE is measured.
fn secondary(_index: usize) {}

/// A realm from its first granule to its last, with every command on the way.
fn lifecycle(host: &Host, algorithm: HashAlgorithm, pe: &mut Pe) {
    let suffixed = |sha256, sha512| match algorithm {
        HashAlgorithm::Sha256 => sha256,
        HashAlgorithm::Sha512 => sha512,
    };
    host.call(Command::Version, &[1 << 16]);
    host.call(Command::Features, &[0]);

    let (start, firmware) = (counter(), host.firmware.get());
    let rd = host.delegated();
    let root = host.delegated();
    let mut words = [0; GRANULE_WORDS];
    RealmParams {
        flags: 0,
        s2sz: IPA_BITS,
        sve_vl: 0,
        num_bps: 1,
        num_wps: 1,
        pmu_num_ctrs: 0,
        hash_algo: algorithm as u8,
        rpv: [0; 8],
        vmid: 1,
        rtt_base: root,
        rtt_level_start: 1,
        rtt_num_start: 1,
    }
    .write(&mut words);
    let params = host.granule_with(&words);
    let name = suffixed("RMI_REALM_CREATE", "RMI_REALM_CREATE_SHA512");
    host.call_as(name, Command::RealmCreate, &[rd, params]);
    let tables = [
        (BASE, 2),
        (BASE, 3),
        (CHANGED, 3),
        (UNPROTECTED, 2),
        (UNPROTECTED, 3),
    ];
    for (ipa, level) in tables {
        let table = host.delegated();
        let ipa = ipa & !((GRANULE_SIZE << (9 * (4 - level))) - 1);
        host.call(Command::RttCreate, &[rd, table, ipa, level]);
    }
    let name = suffixed("RMI_RTT_INIT_RIPAS", "RMI_RTT_INIT_RIPAS_SHA512");
    let mut at = BASE;
    while at < BASE + SIZE {
        at = host
            .call_as(name, Command::RttInitRipas, &[rd, at, BASE + SIZE])
            .0[1];
    }
    let data = populate(host, rd, algorithm);

    let recs = [0, 1].map(|index| {
        let name = suffixed("RMI_REC_CREATE", "RMI_REC_CREATE_SHA512");
        rec_create(host, rd, index, name)
    });
    host.call(Command::RealmActivate, &[rd]);
    let rec = Rec {
        host,
        rec: recs[0],
        run: host.granule_with(&[0; GRANULE_WORDS]),
    };
    let late = run(host, rd, &rec, recs[1], algorithm, pe);

    for rec in recs {
        host.call(Command::RecDestroy, &[rec]);
        host.call(Command::GranuleUndelegate, &[rec]);
    }
    for (ipa, data) in data.into_iter().chain([(LATE_PAGE, late)]) {
        host.call(Command::DataDestroy, &[rd, ipa]);
        host.call(Command::GranuleUndelegate, &[data]);
    }
    for (ipa, level) in tables.into_iter().rev() {
        let ipa = ipa & !((GRANULE_SIZE << (9 * (4 - level))) - 1);
        let table = host.call(Command::RttDestroy, &[rd, ipa, level]).0[1];
        host.call(Command::GranuleUndelegate, &[table]);
    }
    host.call(Command::RealmDestroy, &[rd]);
    for granule in [rd, root] {
        host.call(Command::GranuleUndelegate, &[granule]);
    }
    let total = counter() - start;
    let firmware = host.firmware.get() - firmware;
    println!(
        "bench {} {firmware}",
        suffixed("REALM_FIRMWARE", "REALM_FIRMWARE_SHA512")
    );
    println!(
        "bench {} {}",
        suffixed("REALM_HOST", "REALM_HOST_SHA512"),
        total - firmware
    );
}

/// A realm with as many starting tables as there can be.
fn widest(host: &Host, algorithm: HashAlgorithm) {
    const TABLES: u64 = 16;
    host.reset();
    let tables: [u64; TABLES as usize] = core::array::from_fn(|_| host.delegated());
    let rd = host.delegated();
    let mut words = [0; GRANULE_WORDS];
    RealmParams {
        flags: 0,
        s2sz: IPA_BITS + 4,
        sve_vl: 0,
        num_bps: 1,
        num_wps: 1,
        pmu_num_ctrs: 0,
        hash_algo: algorithm as u8,
        rpv: [0; 8],
        vmid: 1,
        rtt_base: tables[0],
        rtt_level_start: 1,
        rtt_num_start: TABLES as u32,
    }
    .write(&mut words);
    let params = host.granule_with(&words);
    host.call_as(
        "RMI_REALM_CREATE_WIDEST",
        Command::RealmCreate,
        &[rd, params],
    );
    host.call_as("RMI_REALM_DESTROY_WIDEST", Command::RealmDestroy, &[rd]);
    for granule in tables.into_iter().chain([rd]) {
        host.call(Command::GranuleUndelegate, &[granule]);
    }
}

/// The program, the page for host calls, and pages of data: IPA and PA of each.
fn populate(host: &Host, rd: u64, algorithm: HashAlgorithm) -> [(u64, u64); 5] {
    let mut code = [0; GRANULE_WORDS];
    for (word, pair) in code.iter_mut().zip(CODE.as_chunks::<2>().0) {
        *word = u64::from(pair[0]) | u64::from(pair[1]) << 32;
    }
    // No two words are alike.
    let noise = core::array::from_fn(|n| (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let measured = match algorithm {
        HashAlgorithm::Sha256 => "RMI_DATA_CREATE_MEASURED",
        HashAlgorithm::Sha512 => "RMI_DATA_CREATE_MEASURED_SHA512",
    };
    let unmeasured = match algorithm {
        HashAlgorithm::Sha256 => "RMI_DATA_CREATE_UNMEASURED",
        HashAlgorithm::Sha512 => "RMI_DATA_CREATE_UNMEASURED_SHA512",
    };
    let create = |ipa, content: &[u64; GRANULE_WORDS], name, flags| {
        let (data, src) = (host.delegated(), host.granule_with(content));
        host.call_as(name, Command::DataCreate, &[rd, data, ipa, src, flags]);
        (ipa, data)
    };
    let known = [
        create(BASE, &code, unmeasured, 0),
        create(CALL_PAGE, &[0; GRANULE_WORDS], unmeasured, 0),
        create(DATA_PAGE, &noise, measured, DATA_FLAG_MEASURE),
        create(DATA_PAGE + GRANULE_SIZE, &noise, unmeasured, 0),
    ];
    let unknown = DATA_PAGE + 2 * GRANULE_SIZE;
    let data = host.delegated();
    host.call(Command::DataCreateUnknown, &[rd, data, unknown]);
    let [a, b, c, d] = known;
    [a, b, c, d, (unknown, data)]
}

fn rec_create(host: &Host, rd: u64, index: u64, name: &str) -> u64 {
    let count = host.call(Command::RecAuxCount, &[rd]).0[1];
    let rec = host.delegated();
    let mut params = RecParams {
        flags: REC_FLAG_RUNNABLE,
        mpidr: index,
        pc: BASE,
        gprs: [CALL_PAGE, 0, 0, 0, 0, 0, 0, 0],
        num_aux: count,
        ..RecParams::default()
    };
    for slot in params.aux.iter_mut().take(count as usize) {
        *slot = host.delegated();
    }
    let mut words = [0; GRANULE_WORDS];
    params.write(&mut words);
    let params = host.granule_with(&words);
    host.call_as(name, Command::RecCreate, &[rd, rec, params]);
    rec
}

/// What happens while the realm is active. Gives the PA of the page that was populated late.
/// The realm changes RIPAS for a whole table, which becomes homogeneous: it is folded and made again.
fn change_ripas(host: &Host, rd: u64, rec: &Rec<'_>) {
    let function = rsi::Command::IpaStateSet.function_id();
    let mut at = CHANGED;
    while at < CHANGED + SIZE {
        rec.leave(
            "REC_ENTER_TO_IPA_STATE_SET",
            function,
            [at, CHANGED + SIZE, Ripas::Ram as u64],
            ExitReason::RipasChange,
        );
        let change = [rd, rec.rec, at, CHANGED + SIZE];
        at = host.call(Command::RttSetRipas, &change).0[1];
        rec.resume("REC_ENTER_TO_HOST_CALL", 0, &[]);
    }
    let table = host.call(Command::RttFold, &[rd, CHANGED, 3]).0[1];
    let again = [rd, table, CHANGED, 3];
    host.call_as("RMI_RTT_CREATE_AS_A_BLOCK_WAS", Command::RttCreate, &again);
}

fn run(
    host: &Host,
    rd: u64,
    rec: &Rec<'_>,
    other: u64,
    algorithm: HashAlgorithm,
    pe: &mut Pe,
) -> u64 {
    rec.resume("REC_ENTER_FIRST", 0, &[]);
    rec.wait();
    rec.device(UNPROTECTED);
    let late = host.delegated();
    rec.page_fault(LATE_PAGE, || {
        host.call(Command::DataCreateUnknown, &[rd, late, LATE_PAGE]);
    });
    change_ripas(host, rd, rec);
    rec.rsi(rsi::Command::Version, [1 << 16, 0, 0]);
    rec.rsi(rsi::Command::Features, [0; 3]);
    rec.rsi(rsi::Command::RealmConfig, [DATA_PAGE, 0, 0]);
    rec.leave(
        "REC_ENTER_TO_PSCI",
        AFFINITY_INFO,
        [1, 0, 0],
        ExitReason::Psci,
    );
    host.call(Command::PsciComplete, &[rec.rec, other, 0]);
    rec.resume("REC_ENTER_TO_HOST_CALL", 0, &[]);
    let page = [DATA_PAGE, DATA_PAGE + GRANULE_SIZE, 0];
    rec.rsi(rsi::Command::IpaStateGet, page);
    let rim = rec.rsi(rsi::Command::MeasurementRead, [0, 0, 0]);
    print!("bench-rim {algorithm:?} ");
    for byte in rim.into_iter().flat_map(u64::to_le_bytes) {
        print!("{byte:02x}");
    }
    println!();
    rec.rsi(rsi::Command::MeasurementExtend, [1, 8, 1]);
    rec.token(DATA_PAGE, pe);

    let shared = host.granule();
    // MemAttr: write-back; S2AP: read and write.
    let entry = shared | 0b110 << 2 | 0b11 << 6;
    host.call(Command::RttReadEntry, &[rd, DATA_PAGE, 3]);
    let map = [rd, UNPROTECTED, 3, entry];
    host.call(Command::RttMapUnprotected, &map);
    host.call(Command::RttUnmapUnprotected, &map[..3]);
    late
}
