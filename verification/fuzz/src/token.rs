//! Attestation tokens: any bytes, good tokens that were damaged, and what monitors build.

use std::sync::LazyLock;

use cca_abi::rmi::HashAlgorithm;
use realm_token::sign::{Key, binding, instance_id};
use realm_token::verify::{Evidence, Expected, PublicKey, Step, verify};
use realm_token::{
    CcaToken, Lifecycle, PLATFORM_PAYLOAD_MAX, PlatformClaims, REALM_PAYLOAD_MAX, RealmClaims,
    SIGNATURE_SIZE, Sign1, SoftwareComponent, TOKEN_MAX, development,
};

use crate::Hand;

/// Who signs.
struct Keys {
    platform: Key,
    realm: Key,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    platform: development::platform_key(&development::DEFAULT_SEED),
    realm: development::realm_key(&development::DEFAULT_SEED, &[8; 32]),
});

/// A token that verifies, and what it takes to verify it.
struct Good {
    bytes: Vec<u8>,
    key: PublicKey,
    evidence: Evidence,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    // Choices that make all parts of it long enough to damage them.
    let choices: Vec<u8> = (2..100).collect();
    let hand = &mut Hand::new(&choices);
    let platform = platform_token(hand, Some(&KEYS.platform));
    let realm = RealmClaims {
        challenge: CHALLENGE,
        ..realm_claims(hand)
    };
    let bytes = joined(hand, &platform, &realm, Some(&KEYS.realm));
    let key = PublicKey::from_point(&KEYS.platform.public_key()).expect("a point");
    let evidence = verify(&bytes, &expected(&key)).expect("a good token");
    Good {
        bytes,
        key,
        evidence,
    }
});

const CHALLENGE: [u8; 64] = [0xC1; 64];

fn expected(platform_key: &PublicKey) -> Expected<'_> {
    Expected {
        platform_key: Some(platform_key),
        challenge: Some(&CHALLENGE),
        ..Expected::default()
    }
}

/// Gives these bytes, or what they make of a token, to whoever verifies tokens.
///
/// # Panics
///
/// If decoding does, if a token verifies whose claims nobody has signed, or if claims change on their way.
pub fn run(data: &[u8]) {
    let mut hand = Hand::new(data);
    match hand.below(4) {
        0 => any(hand.rest()),
        1 | 2 => damaged(&mut hand),
        _ => built(&mut hand),
    }
}

/// Bytes that nobody has signed.
fn any(bytes: &[u8]) {
    let Ok(evidence) = Evidence::decode(bytes) else {
        return;
    };
    for step in Step::ALL {
        if let Err(error) = evidence.check(step, &expected(&GOOD.key)) {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// A good token after some damage: either somebody notices, or it says the same as before.
fn damaged(hand: &mut Hand<'_>) {
    let bytes = damage(hand);
    match verify(&bytes, &expected(&GOOD.key)) {
        Ok(evidence) => {
            let good = &GOOD.evidence;
            assert_eq!(evidence.platform, good.platform);
            assert_eq!(evidence.realm, good.realm);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A good token after some damage, in hexadecimal.
pub(crate) fn damaged_hex(hand: &mut Hand<'_>) -> String {
    let bytes = damage(hand);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn damage(hand: &mut Hand<'_>) -> Vec<u8> {
    let mut bytes = GOOD.bytes.clone();
    for _ in 0..=hand.below(4) {
        let at = (usize::from(hand.byte()) << 8 | usize::from(hand.byte())) % bytes.len();
        match hand.below(6) {
            0 => bytes[at] ^= 1 << hand.below(8),
            1 => bytes[at] = hand.byte(),
            2 => bytes.insert(at, hand.byte()),
            3 => drop(bytes.remove(at)),
            4 => {
                let end = (at + 1 + hand.below(64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            // Something has to be left that the next damage can be done to.
            _ => bytes.truncate(at.max(64)),
        }
    }
    bytes
}

/// Claims as the monitors make them are read as they were written, however the token was copied out.
fn built(hand: &mut Hand<'_>) {
    let platform = platform_token(hand, None);
    let realm = realm_claims(hand);
    let bytes = joined(hand, &platform, &realm, None);
    assert!(bytes.len() <= TOKEN_MAX, "{} bytes", bytes.len());
    let evidence = Evidence::decode(&bytes).expect("what a monitor has built");
    let size = evidence.realm.hash.size();
    assert_eq!(evidence.realm.challenge, realm.challenge);
    assert_eq!(evidence.realm.rpv, realm.rpv);
    assert_eq!(evidence.realm.rim, realm.rim[..size]);
    for (read, written) in evidence.realm.rems.iter().zip(&realm.rems) {
        assert_eq!(*read, written[..size]);
    }
    let check = |step| evidence.check(step, &expected(&GOOD.key));
    check(Step::Binding).expect("the platform token names the realm's key");
    check(Step::PlatformSignature).expect_err("nobody has signed it");
    check(Step::RealmSignature).expect_err("nobody has signed it");
}

fn realm_claims(hand: &mut Hand<'_>) -> RealmClaims {
    let mut digest = || [hand.byte(); 64];
    RealmClaims {
        challenge: digest(),
        rpv: digest(),
        rim: digest(),
        rems: std::array::from_fn(|_| digest()),
        hash_algo: if hand.seldom(2) {
            HashAlgorithm::Sha512
        } else {
            HashAlgorithm::Sha256
        },
        public_key: KEYS.realm.public_key(),
    }
}

/// The platform token of a platform that vouches for the realm's key, signed if there is a key for it.
fn platform_token(hand: &mut Hand<'_>, key: Option<&Key>) -> Vec<u8> {
    let text = |length: usize| "é.0/".repeat(length);
    let (kind, version, service) = (
        text(hand.below(64)),
        text(hand.below(16)),
        text(hand.below(64)),
    );
    let component = SoftwareComponent {
        kind: &kind,
        measurement: [hand.byte(); 32],
        version: &version,
        signer_id: [hand.byte(); 32],
    };
    let claims = PlatformClaims {
        challenge: &binding(&KEYS.realm.public_key()),
        implementation_id: [hand.byte(); 32],
        instance_id: instance_id(&KEYS.platform.public_key()),
        configuration: &vec![hand.byte(); hand.below(256)],
        lifecycle: match key {
            Some(_) => Lifecycle::SECURED,
            None => Lifecycle(hand.pick(&[0x3000, 0x4000, 0x0001, 0x60FF])),
        },
        components: &vec![component; 1 + hand.below(4)],
        verification_service: &service,
    };
    let mut payload = [0; PLATFORM_PAYLOAD_MAX];
    let length = claims.encode(&mut payload).expect("it fits");
    let payload = &payload[..length];
    let message = Sign1 {
        payload,
        signature: &key.map_or([1; SIGNATURE_SIZE], |key| key.sign(payload)),
    };
    let mut token = vec![0; message.size()];
    message.encode(&mut token).expect("it fits");
    token
}

/// The whole token, copied out in pieces of some size, as a realm fetches it.
fn joined(hand: &mut Hand<'_>, platform: &[u8], realm: &RealmClaims, key: Option<&Key>) -> Vec<u8> {
    let mut payload = [0; REALM_PAYLOAD_MAX];
    let length = realm.encode(&mut payload).expect("it fits");
    let payload = &payload[..length];
    let signature = key.map_or([1; SIGNATURE_SIZE], |key| key.sign(payload));
    let realm = Sign1 {
        payload,
        signature: &signature,
    };
    let token = CcaToken { platform, realm };
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 + usize::from(hand.byte()) * 17];
    loop {
        let read = token.read(bytes.len(), &mut piece);
        bytes.extend_from_slice(&piece[..read]);
        if read < piece.len() {
            break;
        }
    }
    assert_eq!(bytes.len(), token.size());
    bytes
}
