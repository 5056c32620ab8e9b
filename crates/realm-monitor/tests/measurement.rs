//! The initial measurement, through the commands that change it. The expected values were computed by an
//! independent implementation of the specification's rules.

mod common;

use cca_abi::rmi::Command;
use cca_abi::rmi::params::{RealmParams, RecParams};
use common::{Machine, create_realm, usual_cpu, usual_params};
use realm_monitor::realm::Realm;
use std::sync::atomic::Ordering::Relaxed;

fn rim(machine: &Machine, rd: u64) -> String {
    Realm::at(machine.fake(), rd)
        .measurement(0)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The RIM after each step of the specification's example.
fn steps(hash_algo: u8) -> Vec<String> {
    let machine = Machine::new(usual_cpu());
    let mut rims = Vec::new();
    let params = RealmParams {
        hash_algo,
        rpv: [0x55; 8],
        ..usual_params(&machine)
    };
    let rd = create_realm(&machine, &params);
    rims.push(rim(&machine, rd));

    machine.table(rd, 0x4000_0000, 2);
    let out_top = machine
        .call(Command::RttInitRipas, &[rd, 0x4000_0000, 0x4020_0000])
        .ok()
        .x
        .0[1];
    assert_eq!(out_top, 0x4020_0000);
    rims.push(rim(&machine, rd));

    machine.table(rd, 0x4020_0000, 3);
    let out_top = machine
        .call(Command::RttInitRipas, &[rd, 0x4020_0000, 0x4020_2000])
        .ok()
        .x
        .0[1];
    assert_eq!(out_top, 0x4020_2000);
    rims.push(rim(&machine, rd));

    let src = machine.host_filled(0xA5);
    machine
        .call(
            Command::DataCreate,
            &[rd, machine.delegated(), 0x4020_2000, src, 1],
        )
        .ok();
    rims.push(rim(&machine, rd));
    machine
        .call(
            Command::DataCreate,
            &[rd, machine.delegated(), 0x4020_3000, src, 0],
        )
        .ok();
    rims.push(rim(&machine, rd));

    let mut rec = RecParams {
        flags: 1,
        pc: 0x4020_2000,
        ..RecParams::default()
    };
    rec.gprs[0] = 0x1122_3344_5566_7788;
    let mut words = [0; 512];
    rec.write(&mut words);
    let pa = machine.host();
    for (to, from) in machine.fake().words(pa).iter().zip(words) {
        to.store(from, Relaxed);
    }
    machine
        .call(Command::RecCreate, &[rd, machine.delegated(), pa])
        .ok();
    rims.push(rim(&machine, rd));

    machine.call(Command::RealmActivate, &[rd]).ok();
    assert_eq!(rim(&machine, rd), rims[5]);
    rims
}

#[test]
fn sha_256() {
    let zeros = "00".repeat(32);
    let expected = [
        "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
        "5a660fe814905c83a8958f2d8cff7e748e5afb7f4daa8d4a3d645aebd95a85d6",
        "b420ebad1cca8d5348f2984f8c637a20e1432b069b512b5367f847cc109d7c62",
        "1c3487445d693149f5942ba3724340efa7ff096126e53ebced7f1b53c80e2578",
        "2a6582831176a2ca1ffd5015418b5860e1207389607883dcd56ec61282c26c8c",
        "53e6b9001be607b683d345aa0509a57f33f9160102c771d80a8cd339c54259da",
    ];
    assert_eq!(steps(0), expected.map(|rim| format!("{rim}{zeros}")));
}

#[test]
fn sha_512() {
    let expected = [
        concat!(
            "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9",
            "898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81"
        ),
        concat!(
            "d9f5a8846fa3ed3d7b07412bf4e71e834400adf4f37a6412624ebccde6475591",
            "e5fa542a22a24cad9e2682b120cdd18efd8c0496a0c752b32a8ccc9b18a94ead"
        ),
        concat!(
            "d4dadb335924a0ab4af7aaa1a2c1b0be5a02ce1e25050d7ec180d1e288c1483d",
            "ac61e424abfea55f10b738c9bda4c3c5dcb22aa3e0cd2768374751d0f7095e3c"
        ),
        concat!(
            "593de403b93574d5ea43924c0a05d6577e040510cb807643f6c9353767c53efd",
            "78907bc5946f77536e017d728605f1d652a35f5e25f0b9ee0f68101417ab7a5b"
        ),
        concat!(
            "f8cc671c59a70626d2e7b880f66d5ca7a3827f20a56ba6bc70b6f7825e9532b0",
            "a7a49d75bfd2412b38b0858a0b46066b38d40b7b6563594459bdbbe49c5b8521"
        ),
        concat!(
            "7b4ffde7aaf15166128183c8258a345c95117e5a4525c6915d2171a06a1516c8",
            "3d5787bdce7e2021f61b90265d68d827fb2c8d290a7ed13636c5f577b4e2ca1c"
        ),
    ];
    assert_eq!(steps(1), expected);
}
