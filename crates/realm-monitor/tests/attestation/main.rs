//! The attestation key and the platform token from EL3, and tokens for realms.

#[path = "../rig/mod.rs"]
mod rig;
mod signing;

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::run::RecEnter;
use cca_abi::rsi::{self, Command};
use cca_abi::smccc::Registers;
use realm_monitor::attestation::{Attestation, RootServices, Unavailable};
use realm_monitor::platform::{Exception, Granule};
use realm_monitor::rec::layout;
use realm_token::sign::{Key, binding, instance_id};
use realm_token::verify::{Evidence, Expected, PublicKey, verify};
use realm_token::{Lifecycle, PLATFORM_TOKEN_MAX, PlatformClaims, Sign1, SoftwareComponent};
use rig::*;

const INIT: u64 = Command::AttestationTokenInit.function_id() as u64;
const CONTINUE: u64 = Command::AttestationTokenContinue.function_id() as u64;
const EXTEND: u64 = Command::MeasurementExtend.function_id() as u64;
const GET_REALM_KEY: u64 = 0xC400_01B2;
const GET_PLAT_TOKEN: u64 = 0xC400_01B3;
const SHARED: u64 = 0x418F_F000;
/// The page that receives tokens, and its IPA.
const PAGE: u64 = DATA + 0x1000;
const PAGE_IPA: u64 = RAM + 0x1000;

/// An EL3 with answers for everything.
struct Root {
    page: Granule,
    /// Size of the hunks, the last one excepted.
    hunk: usize,
    scalar: [u8; 48],
    key_length: u64,
    /// What it answers first, before it does what it is told.
    codes: RefCell<Vec<i64>>,
    token: RefCell<Vec<u8>>,
    /// Added to the number of bytes in a hunk.
    lie: u64,
    /// Bytes added to the token.
    padding: usize,
    challenges: RefCell<Vec<[u8; 32]>>,
}

fn cpak() -> Key {
    Key::from_scalar(&[2; 48]).unwrap()
}

fn rak() -> Key {
    Key::from_scalar(&[3; 48]).unwrap()
}

impl Root {
    fn new() -> Self {
        Self {
            page: [const { AtomicU64::new(0) }; 512],
            hunk: 4096,
            scalar: [3; 48],
            key_length: 48,
            codes: RefCell::default(),
            token: RefCell::default(),
            lie: 0,
            padding: 0,
            challenges: RefCell::default(),
        }
    }

    fn put(&self, bytes: &[u8]) {
        for (word, chunk) in self.page.iter().zip(bytes.chunks(8)) {
            let mut word_bytes = [0xEE; 8];
            word_bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(word_bytes), Relaxed);
        }
    }

    fn make(&self, challenge: [u8; 32]) {
        let claims = PlatformClaims {
            challenge: &challenge,
            implementation_id: [4; 32],
            instance_id: instance_id(&cpak().public_key()),
            configuration: b"test",
            lifecycle: Lifecycle::SECURED,
            components: &[SoftwareComponent {
                kind: "RMM",
                measurement: [5; 32],
                version: "1",
                signer_id: [0; 32],
            }],
            verification_service: "none",
        };
        let mut payload = [0; 2048];
        let size = claims.encode(&mut payload).unwrap();
        let mut token = vec![0; 4096];
        let size = Sign1 {
            payload: &payload[..size],
            signature: &cpak().sign(&payload[..size]),
        }
        .encode(&mut token)
        .unwrap();
        token.truncate(size);
        token.resize(size + self.padding, 0);
        *self.token.borrow_mut() = token;
    }
}

impl RootServices for Root {
    fn shared_buffer_address(&self) -> u64 {
        SHARED
    }

    fn shared_buffer(&self) -> &Granule {
        &self.page
    }

    fn call(&self, registers: &mut Registers) {
        let [function, buffer, size, argument, ..] = registers.0;
        assert_eq!((buffer, size), (SHARED, 4096));
        if let Some(code) = self.codes.borrow_mut().pop() {
            registers.0[0] = code.cast_unsigned();
            return;
        }
        registers.0[0] = 0;
        match function {
            GET_REALM_KEY => {
                assert_eq!(argument, 0, "P-384");
                self.put(&self.scalar);
                registers.0[1] = self.key_length;
            }
            GET_PLAT_TOKEN => {
                if argument != 0 {
                    assert_eq!(argument, 32);
                    let mut challenge = [0; 32];
                    for (bytes, word) in challenge.as_chunks_mut().0.iter_mut().zip(&self.page) {
                        *bytes = word.load(Relaxed).to_le_bytes();
                    }
                    assert!(self.page[4..].iter().all(|word| word.load(Relaxed) == 0));
                    self.challenges.borrow_mut().push(challenge);
                    self.make(challenge);
                }
                let mut token = self.token.borrow_mut();
                let size = self.hunk.min(token.len());
                let hunk: Vec<u8> = token.drain(..size).collect();
                self.put(&hunk);
                registers.0[1] = size as u64 + self.lie;
                registers.0[2] = token.len() as u64;
            }
            other => panic!("EL3 has no {other:#x}"),
        }
    }
}

fn attestation() -> Attestation {
    static ONE: OnceLock<Attestation> = OnceLock::new();
    ONE.get_or_init(|| Attestation::fetch(&Root::new()).unwrap())
        .clone()
}

fn active() -> Rig {
    Rig::attesting_with(Some(attestation()))
        .and_realm()
        .and_active()
}

fn challenge(seed: u64) -> [u64; 8] {
    core::array::from_fn(|n| {
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(n as u32)
    })
}

fn init(rig: &mut Rig, challenge: [u64; 8]) -> [u64; 31] {
    let mut call = vec![INIT];
    call.extend(challenge);
    rig.answered(&call)
}

/// A CONTINUE that is answered: X0 and X1. With `signs` the realm makes the call twice.
fn more(rig: &mut Rig, offset: u64, size: u64, signs: bool) -> (u64, u64) {
    let call = [CONTINUE, PAGE_IPA, offset, size, 0x44];
    if signs {
        rig.smc(&call);
    }
    let out = rig.answered(&call);
    assert_eq!(out[2..5], [0, 0, 0x44]);
    (out[0], out[1])
}

fn page(rig: &Rig, offset: u64, length: u64) -> Vec<u8> {
    let words = rig.host_page(PAGE).iter();
    let bytes: Vec<u8> = words
        .flat_map(|word| word.load(Relaxed).to_le_bytes())
        .collect();
    bytes[offset as usize..][..length as usize].to_vec()
}

/// Fetches the token that was begun, in parts of `size`.
fn fetch(rig: &mut Rig, size: u64) -> Vec<u8> {
    let mut token = Vec::new();
    loop {
        let offset = (token.len() as u64 * 3) % (4097 - size);
        let (status, length) = more(rig, offset, size, token.is_empty());
        token.extend(page(rig, offset, length));
        match status {
            rsi::INCOMPLETE => assert_eq!(length, size),
            rsi::SUCCESS => return token,
            other => panic!("status {other}"),
        }
    }
}

fn check(token: &[u8], challenge: [u64; 8]) -> Evidence {
    let challenge: Vec<u8> = challenge
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let expected = Expected {
        platform_key: Some(&PublicKey::from_point(&cpak().public_key()).unwrap()),
        challenge: Some(&challenge),
        ..Expected::default()
    };
    verify(token, &expected).unwrap()
}

#[test]
fn key_and_token_are_fetched_in_hunks_of_any_size() {
    for hunk in [1, 7, 32, 100, 4096] {
        let root = Root {
            hunk,
            ..Root::new()
        };
        let attestation = Attestation::fetch(&root).unwrap();
        assert_eq!(attestation.public_key(), &rak().public_key());
        assert_eq!(*root.challenges.borrow(), [binding(&rak().public_key())]);
        root.make(root.challenges.borrow()[0]);
        assert_eq!(attestation.platform_token(), *root.token.borrow());
    }
}

#[test]
fn a_busy_root_monitor_is_asked_again() {
    let root = Root::new();
    root.codes.borrow_mut().extend([-6; 20]);
    assert!(Attestation::fetch(&root).is_ok());
    let root = Root::new();
    root.codes.borrow_mut().extend(vec![-6; 1_000_000]);
    assert_eq!(Attestation::fetch(&root).unwrap_err(), Unavailable::Key(-6));
}

#[test]
fn what_the_root_monitor_gives_is_checked() {
    let root = Root::new();
    root.codes.borrow_mut().push(-1);
    assert_eq!(Attestation::fetch(&root).unwrap_err(), Unavailable::Key(-1));
    for (scalar, key_length) in [
        ([3; 48], 47),
        ([3; 48], 4096),
        ([0; 48], 48),
        ([0xFF; 48], 48),
    ] {
        let root = Root {
            scalar,
            key_length,
            ..Root::new()
        };
        assert_eq!(
            Attestation::fetch(&root).unwrap_err(),
            Unavailable::Malformed
        );
        assert!(
            root.page.iter().all(|word| word.load(Relaxed) == 0),
            "the key does not stay in the page"
        );
    }
    let largest = PLATFORM_TOKEN_MAX - attestation().platform_token().len();
    for (hunk, lie, padding, works) in [
        (4096, 0, largest, true),
        (4096, 0, largest + 1, false),
        (100, 0, largest + 1, false),
        (0, 0, 0, false),
        (4096, u64::MAX - 4096, 0, false),
        (4096, 4096, 0, false),
    ] {
        let root = Root {
            hunk,
            lie,
            padding,
            ..Root::new()
        };
        let result = Attestation::fetch(&root);
        assert_eq!(result.is_ok(), works, "{hunk} {lie:#x} {padding}");
        if let Err(why) = result {
            assert_eq!(why, Unavailable::Size);
        }
    }
}

#[test]
fn without_a_key_there_is_no_token() {
    let mut rig = Rig::active();
    assert_eq!(
        init(&mut rig, challenge(1))[..4],
        [rsi::ERROR_UNKNOWN, 0, 0, 0]
    );
    assert_eq!(more(&mut rig, 0, 4096, false), (rsi::ERROR_STATE, 0));
}

/// No machine of this project loses its key, so this is the only place where it is seen.
#[test]
fn a_token_that_was_begun_cannot_go_on_without_a_key() {
    for signed in [false, true] {
        let mut rig = active();
        init(&mut rig, challenge(1));
        if signed {
            more(&mut rig, 0, 100, true);
        }
        rig.lose_key();
        // Bad input is told first, an empty page is not.
        let out = rig.answered(&[CONTINUE, PAGE_IPA + 1, 0, 16]);
        assert_eq!(out[..2], [rsi::ERROR_INPUT, 0]);
        for addr in [EMPTY, PAGE_IPA] {
            let out = rig.answered(&[CONTINUE, addr, 0, 16]);
            assert_eq!(out[..4], [rsi::ERROR_UNKNOWN, 0, 0, 0]);
        }
    }
}

#[test]
fn a_token_of_a_realm_verifies() {
    let mut rig = active();
    let mut extend = vec![EXTEND, 2, 64];
    extend.extend([7; 8]);
    rig.answered(&extend);
    let out = init(&mut rig, challenge(1));
    let max = out[1];
    assert_eq!((out[0], out[2], out[3]), (rsi::SUCCESS, 0, 0));
    // What happens to a measurement now is not in the token.
    rig.answered(&extend);
    let token = fetch(&mut rig, 4096);
    assert!(token.len() as u64 <= max && max <= 4096);
    let evidence = check(&token, challenge(1));
    assert_eq!(evidence.realm.encoded_key.len(), 107);
    let stored = |slot: usize| -> Vec<u8> {
        let first = realm_monitor::realm::layout::MEASUREMENTS + 8 * slot;
        let words = rig.host_page(RD)[first..first + 4].iter();
        words
            .flat_map(|word| word.load(Relaxed).to_le_bytes())
            .collect()
    };
    assert_eq!(evidence.realm.rim, stored(0));
    assert_eq!(evidence.realm.rems[0], [0; 32]);
    assert_ne!(evidence.realm.rems[1], [0; 32]);
    assert_ne!(evidence.realm.rems[1], stored(2), "as of the start");
    let rpv: Vec<u8> = (0..8)
        .flat_map(|n| (0x5255_4250_0000_u64 + n).to_le_bytes())
        .collect();
    assert_eq!(evidence.realm.rpv[..], rpv);
    assert_eq!(
        more(&mut rig, 0, 4096, false),
        (rsi::ERROR_STATE, 0),
        "it is over"
    );
}

#[test]
fn parts_of_any_size_are_the_token() {
    let mut rig = active();
    init(&mut rig, challenge(2));
    let whole = fetch(&mut rig, 4096);
    for size in [1, 100, 1000, whole.len() as u64, whole.len() as u64 - 1] {
        init(&mut rig, challenge(2));
        assert_eq!(fetch(&mut rig, size), whole, "parts of {size}");
    }
}

#[test]
fn a_part_leaves_the_rest_of_the_page_alone() {
    let mut rig = active();
    init(&mut rig, challenge(3));
    for word in rig.host_page(PAGE) {
        word.store(u64::from_le_bytes([0xA5; 8]), Relaxed);
    }
    assert_eq!(
        more(&mut rig, 0, 0, true),
        (rsi::INCOMPLETE, 0),
        "no bytes wanted"
    );
    assert_eq!(more(&mut rig, 4095, 1, false), (rsi::INCOMPLETE, 1));
    assert_eq!(more(&mut rig, 13, 3, false), (rsi::INCOMPLETE, 3));
    assert_eq!(page(&rig, 4095, 1), [0xD9], "tag 399");
    assert_eq!(page(&rig, 12, 5), [0xA5, 0x01, 0x8F, 0xA2, 0xA5]);
    assert!(page(&rig, 17, 4078).iter().all(|&byte| byte == 0xA5));
}

#[test]
fn a_new_challenge_starts_over_and_each_rec_has_its_own() {
    let mut rig = active();
    init(&mut rig, challenge(4));
    more(&mut rig, 0, 100, true);
    init(&mut rig, challenge(5));
    // The other REC has begun nothing.
    let other = rig.rec(REC1);
    assert_eq!(other.get(layout::ATTEST_STATE), 0);
    let token = fetch(&mut rig, 4096);
    check(&token, challenge(5));
}

#[test]
fn a_part_is_refused_for_each_reason_in_order() {
    let mut rig = active();
    let far = 1 << 63;
    let table = [
        (PAGE_IPA + 1, 0, 16),
        (PAGE_IPA + 0x800, 0, 16),
        (PAGE_IPA, 4096, 0),
        (PAGE_IPA, far, 16),
        (PAGE_IPA, 0, 4097),
        (PAGE_IPA, 4095, 2),
        (PAGE_IPA, 8, u64::MAX),
        (PAGE_IPA, 0, u64::MAX),
        (UNPROTECTED, 0, 16),
        (1 << IPA_BITS, 0, 16),
        (!0xFFF, 0, 16),
    ];
    for begun in [false, true] {
        for (addr, offset, size) in table {
            let out = rig.answered(&[CONTINUE, addr, offset, size]);
            assert_eq!(
                out[..4],
                [rsi::ERROR_INPUT, 0, 0, 0],
                "{addr:#x} {offset:#x} {size:#x} {begun}"
            );
        }
        if !begun {
            // Bad input before bad state; bad state before a page that is empty.
            let out = rig.answered(&[CONTINUE, EMPTY, 0, 16]);
            assert_eq!(out[..2], [rsi::ERROR_STATE, 0]);
            init(&mut rig, challenge(6));
        }
    }
    // Now it is signed, and still nobody has got a byte.
    rig.smc(&[CONTINUE, EMPTY, 0, 16]);
    let out = rig.answered(&[CONTINUE, EMPTY, 0, 16]);
    assert_eq!(out[..2], [rsi::ERROR_INPUT, 0]);
    assert_eq!(rig.rec(REC0).get(layout::ATTEST_OFFSET), 0);
    let (status, length) = more(&mut rig, 0, 4096, false);
    assert_eq!(status, rsi::SUCCESS);
    check(&page(&rig, 0, length), challenge(6));
}

#[test]
fn a_missing_page_is_the_hosts_to_provide() {
    let mut rig = active();
    init(&mut rig, challenge(7));
    more(&mut rig, 0, 100, true);
    let pc = rig.rec(REC0).pc();
    rig.smc(&[CONTINUE, UNPOPULATED, 0, 4096]);
    let exit = rig.run();
    assert_eq!((exit.exit_reason, exit.hpfar), (0, UNPOPULATED >> 12 << 4));
    assert_eq!(rig.rec(REC0).pc(), pc, "the realm makes the call again");
    assert_eq!(rig.rec(REC0).get(layout::ATTEST_OFFSET), 100);
    assert_eq!(more(&mut rig, 0, 4096, false).0, rsi::SUCCESS);
}

#[test]
fn a_pending_interrupt_goes_before_the_signature() {
    for (pending, signed) in [(vec![true], false), (vec![false, true], true)] {
        let mut rig = active();
        init(&mut rig, challenge(8));
        let pc = rig.rec(REC0).pc();
        rig.pe.pending.borrow_mut().extend(pending);
        rig.smc(&[CONTINUE, PAGE_IPA, 0, 4096, 0x44]);
        assert_eq!(rig.run(), irq());
        let rec = rig.rec(REC0);
        assert_eq!(rec.pc(), pc + 4, "the call is over");
        let registers: [u64; 5] = core::array::from_fn(|n| rec.gpr(n));
        assert_eq!(registers, [rsi::INCOMPLETE, 0, 0, 0, 0x44]);
        let (status, length) = more(&mut rig, 0, 4096, !signed);
        assert_eq!(status, rsi::SUCCESS);
        check(&page(&rig, 0, length), challenge(8));
        // Copying out is not worth asking.
        assert!(rig.pe.pending.borrow().is_empty());
    }
}

#[test]
fn signing_is_not_repeated() {
    let mut rig = active();
    init(&mut rig, challenge(9));
    let runs = rig.pe.runs;
    more(&mut rig, 0, 10, true);
    more(&mut rig, 0, 10, false);
    rig.script([Exception::Irq]);
    rig.run();
    assert_eq!(rig.pe.runs, runs + 6);
}
