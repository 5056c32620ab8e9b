//! Attestation tokens: what a realm gets, part by part, and what is refused.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::rmi::run::{ExitReason, RecEnter};
use cca_abi::rsi::{
    self, ERROR_INPUT, ERROR_STATE, ERROR_UNKNOWN, INCOMPLETE, MEASUREMENTS, SUCCESS,
    attestation_token_continue, attestation_token_init, measurement_extend, measurement_read,
};
use cca_abi::smccc::Registers;
use realm_guest::puppet::{LOAD_WORDS, Operation, SMC_REGISTERS};
use realm_token::verify::{Evidence, Expected, PublicKey, Step};
use realm_token::{HashName, TOKEN_MAX};

use super::{Needs, Story, psci};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, Puppet};
use crate::realm::{IPA_BITS, Realm, UNPROTECTED};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RSI_ATTESTATION_TOKEN_INIT and CONTINUE/a token of the realm, at the time of the call",
        covers: &[
            "RSI_ATTESTATION_TOKEN_INIT/success",
            "RSI_ATTESTATION_TOKEN_CONTINUE/success",
            "RSI_ATTESTATION_TOKEN_CONTINUE/state",
        ],
        needs: Needs::Key,
        tell: claims,
    },
    Story {
        name: "RSI_ATTESTATION_TOKEN_INIT/each challenge is another token, and a new one starts over",
        covers: &["RSI_ATTESTATION_TOKEN_INIT/success"],
        needs: Needs::Key,
        tell: challenges,
    },
    Story {
        name: "RSI_ATTESTATION_TOKEN_CONTINUE/parts of any size are the token, and nothing else is written",
        covers: &["RSI_ATTESTATION_TOKEN_CONTINUE/success"],
        needs: Needs::Key,
        tell: parts,
    },
    Story {
        name: "RSI_ATTESTATION_TOKEN_CONTINUE/refused for each reason, and no byte is lost",
        covers: &[
            "RSI_ATTESTATION_TOKEN_CONTINUE/addr_align",
            "RSI_ATTESTATION_TOKEN_CONTINUE/addr_bound",
            "RSI_ATTESTATION_TOKEN_CONTINUE/offset_bound",
            "RSI_ATTESTATION_TOKEN_CONTINUE/size_overflow",
            "RSI_ATTESTATION_TOKEN_CONTINUE/size_bound",
            "RSI_ATTESTATION_TOKEN_CONTINUE/state",
            "RSI_ATTESTATION_TOKEN_CONTINUE/empty",
        ],
        needs: Needs::Key,
        tell: refused,
    },
    Story {
        name: "RSI_ATTESTATION_TOKEN_CONTINUE/each vCPU has a token of its own",
        covers: &["RSI_ATTESTATION_TOKEN_CONTINUE/success"],
        needs: Needs::Key,
        tell: two_vcpus,
    },
    Story {
        name: "RSI_ATTESTATION_TOKEN_CONTINUE/an interrupt does not wait for the signature",
        covers: &["RSI_ATTESTATION_TOKEN_CONTINUE/success"],
        needs: Needs::Key,
        tell: interrupted,
    },
    Story {
        name: "RSI_ATTESTATION_TOKEN_INIT/unknown, if EL3 has no key",
        covers: &["RSI_ATTESTATION_TOKEN_INIT/unknown"],
        needs: Needs::NoKey,
        tell: without_key,
    },
];

/// Bytes of a page.
const PAGE: u64 = 4096;
/// How often to try to interrupt a signature.
const ATTEMPTS: u64 = 100;

type Challenge = [u64; 8];

/// A challenge with different words, which `seed` tells from others.
fn challenge(seed: u64) -> Challenge {
    core::array::from_fn(|n| {
        (seed + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(n as u32)
    })
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Has a REC make an SMC: X0 to X11 afterwards.
fn smc(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    rec: usize,
    call: Registers,
) -> [u64; SMC_REGISTERS] {
    let results = puppet.perform(fixture, rec, Operation::Smc, &call.0[..SMC_REGISTERS]);
    core::array::from_fn(|i| results[i])
}

/// Begins a token.
fn begin(fixture: &mut Fixture<'_>, puppet: &Puppet, rec: usize, challenge: Challenge) {
    let call = attestation_token_init::Input { challenge }.encode();
    let results = smc(fixture, puppet, rec, call);
    fixture.equal("X0 of INIT", results[0], SUCCESS);
    fixture.equal("the largest token", results[1], TOKEN_MAX as u64);
    fixture.equal("X2 and X3", results[2..4].to_vec(), [0; 2].to_vec());
    fixture.equal("X4 to X8", &results[4..9], &challenge[3..]);
}

/// Asks for a part: X0 and X1.
fn more(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    rec: usize,
    (addr, offset, size): (u64, u64, u64),
) -> (u64, u64) {
    let call = attestation_token_continue::Input { addr, offset, size }.encode();
    let results = smc(fixture, puppet, rec, call);
    fixture.equal("X2 and X3", results[2..4].to_vec(), [0; 2].to_vec());
    (results[0], results[1])
}

/// What lies at an IPA of the realm.
fn load(fixture: &mut Fixture<'_>, puppet: &Puppet, rec: usize, ipa: u64, length: u64) -> Vec<u8> {
    let first = ipa & !7;
    let mut words = Vec::new();
    while first + 8 * (words.len() as u64) < ipa + length {
        let at = first + 8 * words.len() as u64;
        let report = puppet.perform(fixture, rec, Operation::ReadMany, &[at]);
        words.extend_from_slice(&report[..LOAD_WORDS]);
    }
    bytes(&words)[(ipa - first) as usize..][..length as usize].to_vec()
}

/// Asks for the next part of at most `size` bytes until a byte comes, as an RMM that is interrupted before answers
/// without any: whether it is the last part, and the part.
fn part(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    rec: usize,
    (addr, offset, size): (u64, u64, u64),
) -> (bool, Vec<u8>) {
    for _ in 0..ATTEMPTS {
        let (status, length) = more(fixture, puppet, rec, (addr, offset, size));
        if (status, length) == (INCOMPLETE, 0) {
            continue;
        }
        let is_last = status == SUCCESS;
        fixture.equal("X0 of CONTINUE", is_last || status == INCOMPLETE, true);
        fixture.equal("a part as long as wanted", is_last || length == size, true);
        fixture.equal("no part is longer", length <= size, true);
        let length = length.min(size);
        return (is_last, load(fixture, puppet, rec, addr + offset, length));
    }
    fixture.fail("there is no token");
    (true, Vec::new())
}

/// Fetches the token that a REC has begun, in parts of `size` bytes, each at another place of the page.
fn fetch(fixture: &mut Fixture<'_>, puppet: &Puppet, rec: usize, addr: u64, size: u64) -> Vec<u8> {
    let mut token = Vec::new();
    loop {
        let offset = (token.len() as u64 * 3) % (PAGE + 1 - size);
        let (is_last, bytes) = part(fixture, puppet, rec, (addr, offset, size));
        token.extend(bytes);
        if is_last || token.len() > TOKEN_MAX {
            return token;
        }
    }
}

/// Decodes and verifies a token with libraries that had no part in making it.
fn verified(fixture: &mut Fixture<'_>, token: &[u8], challenge: Challenge) -> Option<Evidence> {
    let evidence = match Evidence::decode(token) {
        Ok(evidence) => evidence,
        Err(error) => {
            fixture.fail(&format!("{} bytes are no token: {error}", token.len()));
            return None;
        }
    };
    let point = fixture.host().platform_key();
    let platform_key = point.and_then(|point| PublicKey::from_point(&point));
    let challenge = bytes(&challenge);
    let expected = Expected {
        // Where nobody knows the platform's key, that step is left out.
        platform_key: platform_key.as_ref(),
        challenge: Some(&challenge),
        ..Expected::default()
    };
    for step in Step::ALL {
        if let Err(error) = evidence.check(step, &expected) {
            fixture.fail(&format!("{}: {error}", step.name()));
        }
    }
    Some(evidence)
}

/// The measurements as RSI reads them, of the size that a token has.
fn measurements(fixture: &mut Fixture<'_>, puppet: &Puppet, size: usize) -> Vec<Vec<u8>> {
    (0..MEASUREMENTS as u64)
        .map(|index| {
            let call = measurement_read::Input { index }.encode();
            let results = smc(fixture, puppet, 0, call);
            bytes(&results[1..9])[..size].to_vec()
        })
        .collect()
}

/// Extends a measurement.
fn extend(fixture: &mut Fixture<'_>, puppet: &Puppet) {
    let call = measurement_extend::Input {
        index: 2,
        size: 64,
        value: [7; 8],
    }
    .encode();
    let results = smc(fixture, puppet, 0, call);
    fixture.equal("X0 of MEASUREMENT_EXTEND", results[0], SUCCESS);
}

fn claims(fixture: &mut Fixture<'_>) {
    for (hash_algo, hash, size) in [(0, HashName::Sha256, 32), (1, HashName::Sha512, 64)] {
        let rpv = core::array::from_fn(|n| 0x5255_4250_0000 + n as u64);
        let realm = Realm::create_with(fixture, |params| {
            params.hash_algo = hash_algo;
            params.rpv = rpv;
        });
        let realm = fixture.find(realm.rd).unwrap_or(realm);
        let puppet = Puppet::of(fixture, realm, 1);
        extend(fixture, &puppet);
        let then = measurements(fixture, &puppet, size);
        begin(fixture, &puppet, 0, challenge(1));
        // What happens to a measurement now is not in the token.
        extend(fixture, &puppet);
        let now = measurements(fixture, &puppet, size);
        fixture.equal("the measurement changed", then[2] != now[2], true);

        let token = fetch(fixture, &puppet, 0, FREE_PAGE, PAGE);
        let Some(evidence) = verified(fixture, &token, challenge(1)) else {
            return;
        };
        let claimed = &evidence.realm;
        fixture.equal("hash algorithm", claimed.hash, hash);
        fixture.equal("personalization value", claimed.rpv.to_vec(), bytes(&rpv));
        fixture.equal("initial measurement", &claimed.rim, &then[0]);
        for (index, (rem, then)) in claimed.rems.iter().zip(&then[1..]).enumerate() {
            fixture.equal(&format!("extensible measurement {index}"), rem, then);
        }
        let over = more(fixture, &puppet, 0, (FREE_PAGE, 0, PAGE));
        fixture.equal("after the last part", over, (ERROR_STATE, 0));
    }
}

fn challenges(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let mut tokens = Vec::new();
    for seed in [2, 3] {
        begin(fixture, &puppet, 0, challenge(seed));
        let token = fetch(fixture, &puppet, 0, FREE_PAGE, PAGE);
        verified(fixture, &token, challenge(seed));
        tokens.push(token);
    }
    fixture.equal("two challenges, one token", tokens[0] == tokens[1], false);
    if let Ok(evidence) = Evidence::decode(&tokens[0]) {
        let other = bytes(&challenge(3));
        let expected = Expected {
            challenge: Some(&other),
            ..Expected::default()
        };
        let accepted = evidence.check(Step::Challenge, &expected).is_ok();
        fixture.equal("a token answers another challenge", accepted, false);
    }
    begin(fixture, &puppet, 0, challenge(4));
    let (is_last, _) = part(fixture, &puppet, 0, (FREE_PAGE, 0, 100));
    fixture.equal("100 bytes are all", is_last, false);
    begin(fixture, &puppet, 0, challenge(3));
    let token = fetch(fixture, &puppet, 0, FREE_PAGE, PAGE);
    fixture.equal("the same again", token == tokens[1], true);
}

fn parts(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    begin(fixture, &puppet, 0, challenge(5));
    let whole = fetch(fixture, &puppet, 0, FREE_PAGE, PAGE);
    verified(fixture, &whole, challenge(5));
    let length = whole.len() as u64;
    for size in [99, 1000, length - 1, length] {
        begin(fixture, &puppet, 0, challenge(5));
        let token = fetch(fixture, &puppet, 0, FREE_PAGE, size);
        fixture.equal(&format!("in parts of {size}"), token == whole, true);
    }

    let pattern = [0xA5A5_A5A5_A5A5_A5A5; 4];
    let place = FREE_PAGE + 1000;
    for (word, ipa) in pattern.into_iter().zip((place..).step_by(8)) {
        puppet.perform(fixture, 0, Operation::Write, &[ipa, word]);
    }
    begin(fixture, &puppet, 0, challenge(5));
    let (_, first) = part(fixture, &puppet, 0, (FREE_PAGE, 1013, 3));
    let nothing = more(fixture, &puppet, 0, (FREE_PAGE, 1000, 0));
    fixture.equal("no bytes are wanted", nothing, (INCOMPLETE, 0));
    let (_, second) = part(fixture, &puppet, 0, (FREE_PAGE, 4095, 1));
    fixture.equal("the first part", &first[..], &whole[..3]);
    fixture.equal("the second part", &second[..], &whole[3..4]);
    let mut must = bytes(&pattern);
    must[13..16].copy_from_slice(&whole[..3]);
    let is = load(fixture, &puppet, 0, place, 32);
    fixture.equal("what is around the part", is, must);
}

fn refused(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let table = [
        ("addr_align", FREE_PAGE + 1, 0, 16),
        ("addr_align", FREE_PAGE + 0x800, 0, 16),
        ("offset_bound", FREE_PAGE, PAGE, 0),
        ("offset_bound", FREE_PAGE, 1 << 63, 16),
        ("size_overflow", FREE_PAGE, 8, u64::MAX),
        ("size_bound", FREE_PAGE, 0, PAGE + 1),
        ("size_bound", FREE_PAGE, PAGE - 1, 2),
        ("size_bound", FREE_PAGE, 0, u64::MAX),
        ("addr_bound", UNPROTECTED, 0, 16),
        ("addr_bound", UNPROTECTED + FREE_PAGE, 0, 16),
        ("addr_bound", 1 << IPA_BITS, 0, 16),
        ("addr_bound", !0xFFF, 0, 16),
    ];
    for begun in [false, true] {
        for (name, addr, offset, size) in table {
            let what = format!("{name}: {addr:#x} {offset:#x} {size:#x}, begun: {begun}");
            let answer = more(fixture, &puppet, 0, (addr, offset, size));
            fixture.equal(&what, answer, (ERROR_INPUT, 0));
        }
        if !begun {
            // An operand that is not valid comes before the state, and that before a page that is EMPTY.
            for addr in [FREE_PAGE, 0] {
                let answer = more(fixture, &puppet, 0, (addr, 0, 16));
                fixture.equal("nothing was begun", answer, (ERROR_STATE, 0));
            }
            begin(fixture, &puppet, 0, challenge(6));
        }
    }
    let mut answer = (INCOMPLETE, 0);
    for _ in 0..ATTEMPTS {
        if answer != (INCOMPLETE, 0) {
            break;
        }
        answer = more(fixture, &puppet, 0, (0, 0, 16));
    }
    fixture.equal("a page that is EMPTY", answer, (ERROR_INPUT, 0));
    let token = fetch(fixture, &puppet, 0, FREE_PAGE, PAGE);
    verified(fixture, &token, challenge(6));
}

fn two_vcpus(fixture: &mut Fixture<'_>) {
    const OTHER_PAGE: u64 = FREE_PAGE + PAGE;
    let puppet = psci::two_vcpus(fixture);
    begin(fixture, &puppet, 0, challenge(7));
    let answer = more(fixture, &puppet, 1, (OTHER_PAGE, 0, PAGE));
    fixture.equal("the other has begun nothing", answer, (ERROR_STATE, 0));
    begin(fixture, &puppet, 1, challenge(8));
    // In turns, each in parts of its own size.
    let mut tokens = [(false, Vec::new()), (false, Vec::new())];
    while tokens.iter().any(|(done, _)| !done) {
        for (rec, (addr, size)) in [(FREE_PAGE, 700), (OTHER_PAGE, 900)]
            .into_iter()
            .enumerate()
        {
            let (done, token) = &mut tokens[rec];
            if !*done {
                let (is_last, bytes) = part(fixture, &puppet, rec, (addr, 0, size));
                token.extend(bytes);
                *done = is_last || token.len() > TOKEN_MAX;
            }
        }
    }
    let [(_, first), (_, second)] = tokens;
    verified(fixture, &first, challenge(7));
    verified(fixture, &second, challenge(8));
}

fn interrupted(fixture: &mut Fixture<'_>) {
    let host = fixture.host();
    let puppet = Puppet::new(fixture, 1);
    let input = (FREE_PAGE, 0, PAGE);
    // How long the call takes that signs, the page being there.
    let mut duration = 0;
    for seed in [9, 10] {
        begin(fixture, &puppet, 0, challenge(seed));
        let start = host.counter();
        more(fixture, &puppet, 0, input);
        duration = host.counter().wrapping_sub(start);
    }
    let (addr, offset, size) = input;
    let call = attestation_token_continue::Input { addr, offset, size }.encode();
    for attempt in 0..ATTEMPTS {
        begin(fixture, &puppet, 0, challenge(11 + attempt));
        let order = Puppet::order(Operation::Smc, &call.0[..SMC_REGISTERS]);
        let share = duration * (attempt % 8 + 1) / 9;
        host.interrupt_at(Some(host.counter().wrapping_add(share)));
        let (x0, exit) = puppet.enter(fixture, 0, &order);
        host.interrupt_at(None);
        fixture.equal("X0 of RMI_REC_ENTER", x0, 0);
        if exit.exit_reason != ExitReason::Irq as u8 {
            // The call was over before.
            continue;
        }
        host.take_interrupts();
        let none = exit.esr == 0 && exit.far == 0 && exit.gprs.iter().all(|&gpr| gpr == 0);
        fixture.equal("the host sees nothing of the call", none, true);
        let report = puppet.expect_call(fixture, 0, &RecEnter::default());
        if report[1..3] != [INCOMPLETE, 0] {
            // The interrupt came before the call.
            continue;
        }
        let token = fetch(fixture, &puppet, 0, FREE_PAGE, PAGE);
        verified(fixture, &token, challenge(11 + attempt));
        return;
    }
    fixture.fail("no interrupt came while a token was made");
}

fn without_key(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let call = attestation_token_init::Input {
        challenge: challenge(1),
    };
    for _ in 0..2 {
        let results = smc(fixture, &puppet, 0, call.encode());
        let must = [ERROR_UNKNOWN, 0, 0, 0];
        fixture.equal("X0 to X3", results[..4].to_vec(), must.to_vec());
        let answer = more(fixture, &puppet, 0, (FREE_PAGE, 0, PAGE));
        fixture.equal("nothing is begun by that", answer, (ERROR_STATE, 0));
    }
    // Everything else is there.
    extend(fixture, &puppet);
    let call = rsi::version::Input { req: 0x1_0000 }.encode();
    let results = smc(fixture, &puppet, 0, call);
    fixture.equal("X0 of RSI_VERSION", results[0], SUCCESS);
}
