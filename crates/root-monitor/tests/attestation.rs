//! RMM_ATTEST_GET_REALM_KEY and RMM_ATTEST_GET_PLAT_TOKEN.

mod common;

use cca_abi::firmware::PlatformIdentity;
use common::{Recorder, SHARED, cold, realm, status};
use realm_token::development;
use realm_token::development::IMPLEMENTATION_ID;
use realm_token::sign::digest_to_sign;
use root_monitor::attestation::Identity;
use root_monitor::{Action, RootMonitor};
use std::sync::atomic::Ordering::Relaxed;

const GET_REALM_KEY: u32 = 0xC400_01B2;
const GET_PLAT_TOKEN: u32 = 0xC400_01B3;
const UNKNOWN: i64 = -1;
const BAD_ADDRESS: i64 = -2;
const INVALID: i64 = -5;
const SEED: [u8; 32] = [0x5E; 32];
const RMM: [u8; 32] = [0xA7; 32];

const AGAIN: i64 = -6;

fn monitor() -> RootMonitor<'static, Recorder> {
    cold(1, Some(SHARED)).with_identity(Identity {
        platform: PlatformIdentity::new(SEED, PlatformIdentity::OWN),
        rmm: RMM,
        rmm_version: "9.9",
    })
}

fn bytes(monitor: &RootMonitor<'_, Recorder>) -> Vec<u8> {
    let words = monitor.platform().shared.iter();
    words
        .flat_map(|word| word.load(Relaxed).to_le_bytes())
        .collect()
}

fn fill(monitor: &RootMonitor<'_, Recorder>, byte: u8) {
    for word in &monitor.platform().shared {
        word.store(u64::from_le_bytes([byte; 8]), Relaxed);
    }
}

/// A successful call: X1 and X2.
fn ok(monitor: &RootMonitor<'_, Recorder>, fid: u32, arguments: &[u64]) -> (usize, usize) {
    let (action, registers) = realm(monitor, 0, fid, arguments);
    assert_eq!((action, registers.0[0]), (Action::Return, 0));
    (registers.0[1] as usize, registers.0[2] as usize)
}

/// Fetches the token for the challenge that fills the page, in hunks of `size`.
fn fetch(monitor: &RootMonitor<'_, Recorder>, challenge_size: u64, size: u64) -> Vec<u8> {
    let (mut token, mut challenge_size) = (Vec::new(), challenge_size);
    loop {
        let (length, remaining) = ok(monitor, GET_PLAT_TOKEN, &[SHARED + 8, size, challenge_size]);
        token.extend(&bytes(monitor)[8..8 + length]);
        challenge_size = 0;
        if remaining == 0 {
            return token;
        }
        assert_eq!(length as u64, size, "a hunk that is not the last is whole");
    }
}

#[test]
fn the_key_is_the_seeds_and_the_rmms() {
    let monitor = monitor();
    fill(&monitor, 0xEE);
    // An odd place: the last 48 bytes but one of the page.
    let offset = 4096 - 49;
    let length = ok(&monitor, GET_REALM_KEY, &[SHARED + offset as u64, 49, 0]).0;
    let page = bytes(&monitor);
    let key = development::realm_key(&SEED, &RMM);
    assert_eq!(length, 48);
    assert_eq!(page[offset..offset + 48], key.scalar());
    assert!(page[..offset].iter().all(|&byte| byte == 0xEE));
    assert_eq!(page[4095], 0xEE);
    assert_ne!(
        key.scalar(),
        development::realm_key(&SEED, &[0; 32]).scalar()
    );
    assert_ne!(
        key.scalar(),
        development::realm_key(&[1; 32], &RMM).scalar()
    );
}

#[test]
fn a_key_is_refused_for_each_reason() {
    let monitor = monitor();
    let table = [
        (SHARED - 1, 48, 0, BAD_ADDRESS),
        (SHARED + 4096, 48, 0, BAD_ADDRESS),
        (0, 48, 0, BAD_ADDRESS),
        (u64::MAX, 48, 0, BAD_ADDRESS),
        // Bad address before bad size before bad curve.
        (SHARED + 4096, 0, 9, BAD_ADDRESS),
        (SHARED, 0, 0, INVALID),
        (SHARED, 4097, 0, INVALID),
        (SHARED + 1, 4096, 0, INVALID),
        (SHARED + 8, u64::MAX, 0, INVALID),
        (SHARED, 48, 1, INVALID),
        (SHARED, 47, 1, INVALID),
        (SHARED, 47, 0, UNKNOWN),
    ];
    fill(&monitor, 0xEE);
    for (buffer, size, curve, code) in table {
        let found = status(realm(&monitor, 0, GET_REALM_KEY, &[buffer, size, curve]));
        assert_eq!(found, code, "{buffer:#x} {size:#x} {curve}");
    }
    assert!(bytes(&monitor).iter().all(|&byte| byte == 0xEE));
    let none = cold(1, Some(SHARED));
    let found = status(realm(&none, 0, GET_REALM_KEY, &[SHARED, 48, 0]));
    assert_eq!(found, UNKNOWN, "without an identity");
}

#[test]
fn a_token_is_signed_over_its_challenge() {
    use p384::ecdsa::signature::hazmat::PrehashVerifier;
    use p384::ecdsa::{Signature, VerifyingKey};
    let monitor = monitor();
    let key = development::platform_key(&SEED);
    let verifying = VerifyingKey::from_sec1_bytes(&key.public_key()).unwrap();
    for challenge_size in [32, 48, 64] {
        fill(&monitor, challenge_size as u8);
        let token = fetch(&monitor, challenge_size as u64, 4088);
        // Tag and array, protected and unprotected headers, head of the payload; behind it head and signature.
        assert_eq!(token[..8], [0xD2, 0x84, 0x44, 0xA1, 0x01, 0x38, 0x22, 0xA0]);
        assert_eq!(token[8], 0x59);
        let length = usize::from(token[9]) << 8 | usize::from(token[10]);
        let (payload, signature) = token[11..].split_at(length);
        assert_eq!(signature[..2], [0x58, 96]);
        let signature = Signature::from_slice(&signature[2..]).unwrap();
        verifying
            .verify_prehash(&digest_to_sign(payload), &signature)
            .unwrap();
        let has = |needle: &[u8]| payload.windows(needle.len()).any(|window| window == needle);
        // Claim 10, a byte string of this size, the challenge.
        let mut claim = vec![0x0A, 0x58, challenge_size as u8];
        claim.extend(std::iter::repeat_n(challenge_size as u8, challenge_size));
        assert!(has(&claim));
        assert!(has(&RMM) && has(&IMPLEMENTATION_ID) && has(b"9.9"));
        assert!(
            has(PlatformIdentity::OWN.as_bytes()),
            "it says what it is worth"
        );
    }
}

#[test]
fn hunks_of_any_size_are_the_token() {
    let monitor = monitor();
    fill(&monitor, 1);
    let whole = fetch(&monitor, 32, 4088);
    for size in [32, 33, 100, whole.len() as u64 - 1, whole.len() as u64] {
        fill(&monitor, 1);
        assert_eq!(fetch(&monitor, 32, size), whole, "hunks of {size}");
    }
    // After the first one, hunks of one byte.
    fill(&monitor, 1);
    let (length, remaining) = ok(&monitor, GET_PLAT_TOKEN, &[SHARED, 32, 32]);
    assert_eq!((length, remaining), (32, whole.len() - 32));
    for n in 32..whole.len() {
        let hunk = ok(&monitor, GET_PLAT_TOKEN, &[SHARED + 4095, 1, 0]);
        assert_eq!(hunk, (1, whole.len() - n - 1));
        assert_eq!(bytes(&monitor)[4095], whole[n]);
    }
}

#[test]
fn a_challenge_starts_over() {
    let monitor = monitor();
    fill(&monitor, 1);
    ok(&monitor, GET_PLAT_TOKEN, &[SHARED, 100, 32]);
    fill(&monitor, 2);
    let second = fetch(&monitor, 32, 4088);
    fill(&monitor, 1);
    let first = fetch(&monitor, 32, 4088);
    assert_ne!(first, second);
    fill(&monitor, 2);
    assert_eq!(
        fetch(&monitor, 32, 4088),
        second,
        "tokens are deterministic"
    );
}

#[test]
fn a_token_is_refused_for_each_reason() {
    let monitor = monitor();
    let call = |buffer, size, challenge| {
        status(realm(
            &monitor,
            0,
            GET_PLAT_TOKEN,
            &[buffer, size, challenge],
        ))
    };
    assert_eq!(call(SHARED, 4096, 0), UNKNOWN, "no challenge was given yet");
    fill(&monitor, 1);
    ok(&monitor, GET_PLAT_TOKEN, &[SHARED, 100, 64]);
    let table = [
        (SHARED - 8, 4096, 32, BAD_ADDRESS),
        (SHARED + 4096, 1, 0, BAD_ADDRESS),
        (SHARED + 4096, 0, 1, BAD_ADDRESS),
        (SHARED, 0, 0, INVALID),
        (SHARED, 4097, 32, INVALID),
        (SHARED + 4095, 2, 0, INVALID),
        (SHARED, u64::MAX, 1, INVALID),
        (SHARED, 4096, 1, INVALID),
        (SHARED, 4096, 31, INVALID),
        (SHARED, 4096, 65, INVALID),
        (SHARED, 4096, 128, INVALID),
        (SHARED, 4096, u64::MAX, INVALID),
        // The challenge would lie outside of the buffer.
        (SHARED, 47, 48, INVALID),
    ];
    for (buffer, size, challenge, code) in table {
        assert_eq!(
            call(buffer, size, challenge),
            code,
            "{buffer:#x} {size:#x} {challenge}"
        );
    }
    // None of these has lost the place in the token.
    fill(&monitor, 1);
    let (rest, remaining) = ok(&monitor, GET_PLAT_TOKEN, &[SHARED, 4096, 0]);
    assert_eq!(remaining, 0);
    fill(&monitor, 1);
    assert_eq!(fetch(&monitor, 64, 4088).len(), 100 + rest);
    assert_eq!(call(SHARED, 4096, 0), UNKNOWN, "the token is at its end");
    let none = cold(1, Some(SHARED));
    let found = status(realm(&none, 0, GET_PLAT_TOKEN, &[SHARED, 4096, 32]));
    assert_eq!(found, UNKNOWN, "without an identity");
}

#[test]
fn a_signature_that_is_interrupted_goes_on_with_the_next_call() {
    let monitor = monitor();
    fill(&monitor, 3);
    let whole = fetch(&monitor, 32, 4088);
    let call = |challenge| {
        status(realm(
            &monitor,
            0,
            GET_PLAT_TOKEN,
            &[SHARED + 8, 4088, challenge],
        ))
    };
    let platform = monitor.platform();
    let begun = || platform.begun.load(Relaxed);
    let before = begun();
    // The same challenge again takes no signature; another one does, which is suspended five times.
    fill(&monitor, 3);
    assert_eq!(fetch(&monitor, 32, 4088), whole);
    assert_eq!(begun(), before);
    platform.interruptions.store(5, Relaxed);
    fill(&monitor, 4);
    assert_eq!(call(48), AGAIN);
    assert!(
        bytes(&monitor).iter().all(|&byte| byte == 4),
        "the challenge stays for the next call"
    );
    // With and without the challenge.
    for challenge in [48, 0, 0, 48] {
        assert_eq!(call(challenge), AGAIN);
    }
    let (length, remaining) = ok(&monitor, GET_PLAT_TOKEN, &[SHARED + 8, 4088, 48]);
    assert_eq!((begun(), remaining), (before + 1, 0));
    let resumed = bytes(&monitor)[8..8 + length].to_vec();
    let fresh = self::monitor();
    fill(&fresh, 4);
    assert_eq!(resumed, fetch(&fresh, 48, 4088));
    // Another challenge forgets what is suspended.
    platform.interruptions.store(1, Relaxed);
    fill(&monitor, 5);
    assert_eq!(call(32), AGAIN);
    fill(&monitor, 3);
    assert_eq!(fetch(&monitor, 32, 4088), whole);
    assert_eq!(begun(), before + 3);
}
