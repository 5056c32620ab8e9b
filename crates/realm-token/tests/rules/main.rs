//! The rules of RFC 8949, 9052, 9053, 8392 and 9711 and of the token's profile that an implementation of tokens has to keep, one by
//! one. Each case is a token that verifies but for one thing, which is signed like everything else.

mod cbor;
mod claims;
mod keys;
mod messages;

use realm_token::sign::{Key, instance_id};
use realm_token::verify::{Expected, PublicKey, verify};
use sha2::{Digest, Sha256};

/// The head of an item.
fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..=23 => vec![major | value as u8],
        24..=0xff => vec![major | 24, value as u8],
        0x100..=0xffff => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
    }
}

fn int(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(0, value),
        Err(_) => head(1, !value as u64),
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len() as u64), content.to_vec()].concat()
}

fn text(content: &str) -> Vec<u8> {
    [head(3, content.len() as u64), content.as_bytes().to_vec()].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn map(entries: &Entries) -> Vec<u8> {
    let mut encoded = head(5, entries.len() as u64);
    for (key, value) in entries {
        encoded.extend([&key[..], value].concat());
    }
    encoded
}

fn tag(number: u64, content: &[u8]) -> Vec<u8> {
    [head(6, number), content.to_vec()].concat()
}

/// The entry with an integer key.
fn entry(key: i64, value: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    (int(key), value)
}

fn platform_key() -> Key {
    Key::from_scalar(&[0x55; 48]).unwrap()
}

fn realm_key() -> Key {
    Key::from_scalar(&[0x17; 48]).unwrap()
}

/// A message in its parts.
#[derive(Clone)]
struct Message {
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    payload: Vec<u8>,
    tag: u64,
}

impl Message {
    fn new(payload: Vec<u8>) -> Self {
        Self {
            protected: map(&vec![entry(1, int(-35))]),
            unprotected: map(&vec![]),
            payload,
            tag: 18,
        }
    }

    fn sign(&self, key: &Key) -> Vec<u8> {
        let signed = array(&[
            text("Signature1"),
            bytes(&self.protected),
            bytes(&[]),
            bytes(&self.payload),
        ]);
        let digest = sha2::Sha384::digest(signed);
        let signature = key.sign_digest(&digest.into());
        let items = [
            bytes(&self.protected),
            self.unprotected.clone(),
            bytes(&self.payload),
            bytes(&signature),
        ];
        tag(self.tag, &array(&items))
    }
}

/// What a token is made of, before it is signed.
#[derive(Clone)]
struct Parts {
    platform: Entries,
    realm: Entries,
    key: Entries,
    /// Instead of the encoded key.
    raw_key: Option<Vec<u8>>,
    platform_message: Option<fn(Message) -> Message>,
    realm_message: Option<fn(Message) -> Message>,
    /// What becomes of the signed realm token.
    realm_token: Option<fn(Vec<u8>) -> Vec<u8>>,
    /// What becomes of the encoded claims of the realm.
    realm_payload: Option<fn(Vec<u8>) -> Vec<u8>>,
    /// What becomes of the whole.
    token: Option<fn(Vec<u8>) -> Vec<u8>>,
    /// The entries of the outermost map, if others.
    outer: Option<fn(Entries) -> Entries>,
}

impl Parts {
    fn new() -> Self {
        let digest = || bytes(&[3; 32]);
        let point = realm_key().public_key();
        let instance = instance_id(&platform_key().public_key());
        let component = vec![entry(2, digest()), entry(5, digest())];
        Self {
            platform: vec![
                entry(265, text("tag:arm.com,2023:cca_platform#1.0.0")),
                entry(2396, bytes(&[4; 32])),
                entry(256, bytes(&instance)),
                entry(2401, bytes(&[1, 2])),
                entry(2395, int(0x3000)),
                entry(2402, text("sha-256")),
                entry(2399, array(&[map(&component)])),
            ],
            realm: vec![
                entry(10, bytes(&[0xc1; 64])),
                entry(265, text("tag:arm.com,2023:realm#1.0.0")),
                entry(44235, bytes(&[0; 64])),
                entry(44236, text("sha-256")),
                entry(44238, digest()),
                entry(44239, array(&[digest(), digest(), digest(), digest()])),
                entry(44240, text("sha-256")),
            ],
            key: vec![
                entry(1, int(2)),
                entry(-1, int(2)),
                entry(-2, bytes(&point[1..49])),
                entry(-3, bytes(&point[49..])),
            ],
            raw_key: None,
            platform_message: None,
            realm_message: None,
            realm_token: None,
            realm_payload: None,
            token: None,
            outer: None,
        }
    }

    fn build(&self) -> Vec<u8> {
        let key = self.raw_key.clone().unwrap_or_else(|| map(&self.key));
        let mut platform = self.platform.clone();
        if !platform.iter().any(|(label, _)| *label == int(10)) {
            platform.push(entry(10, bytes(&Sha256::digest(&key))));
        }
        let mut realm = self.realm.clone();
        realm.push(entry(44237, bytes(&key)));
        let mut payload = map(&realm);
        if let Some(change) = self.realm_payload {
            payload = change(payload);
        }
        let (mut platform, mut realm) = (Message::new(map(&platform)), Message::new(payload));
        if let Some(change) = self.platform_message {
            platform = change(platform);
        }
        if let Some(change) = self.realm_message {
            realm = change(realm);
        }
        let mut realm = realm.sign(&realm_key());
        if let Some(change) = self.realm_token {
            realm = change(realm);
        }
        let mut outer = vec![
            entry(44234, bytes(&platform.sign(&platform_key()))),
            entry(44241, bytes(&realm)),
        ];
        if let Some(change) = self.outer {
            outer = change(outer);
        }
        let token = tag(399, &map(&outer));
        self.token.map_or(token.clone(), |change| change(token))
    }
}

fn verdict(change: fn(&mut Parts)) -> Result<(), String> {
    let mut parts = Parts::new();
    change(&mut parts);
    let key = PublicKey::from_point(&platform_key().public_key()).unwrap();
    let expected = Expected {
        platform_key: Some(&key),
        challenge: Some(&[0xc1; 64]),
        rim: Some(&[3; 32]),
        ..Expected::default()
    };
    let verified = verify(&parts.build(), &expected).map(drop);
    verified.map_err(|error| error.to_string())
}

/// A rule: its name, the one thing that breaks it (or does not), and what is said.
type Rule = (&'static str, fn(&mut Parts), Result<(), &'static str>);

fn keep(rules: &[Rule]) {
    assert_eq!(verdict(|_| {}), Ok(()), "the token that is changed");
    for (name, change, wanted) in rules {
        let found = verdict(*change);
        match wanted {
            Ok(()) => assert_eq!(found, Ok(()), "{name}"),
            Err(why) => {
                let error = found.expect_err(name);
                assert!(error.contains(why), "{name}: {error}");
            }
        }
    }
}

fn set(entries: &mut Entries, key: i64, value: Vec<u8>) {
    let label = int(key);
    match entries.iter_mut().find(|(found, _)| *found == label) {
        Some((_, old)) => *old = value,
        None => entries.push((label, value)),
    }
}

fn header(entries: &[(i64, Vec<u8>)]) -> Vec<u8> {
    map(&entries
        .iter()
        .cloned()
        .map(|(key, value)| entry(key, value))
        .collect())
}
