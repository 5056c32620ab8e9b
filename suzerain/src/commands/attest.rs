//! `suzerain attest`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use realm_token::verify::PublicKey;

use super::Which;
use crate::evidence::{Checked, Trust};
use crate::failure::{self, Failure};
use crate::keeper::{Client, Place};
use crate::screen::Screen;
use crate::{hex, key};

/// The most that is read of a token file: a token has one granule, a run's JSON object a few of them.
const MAX_FILE: u64 = 4 << 20;

#[derive(Args, Debug)]
#[command(after_help = failure::HELP)]
pub(crate) struct Attest {
    /// The token: bytes or hexadecimal digits, or what `suzerain run --json` prints; `-` is standard input. If there is no such
    /// file: a realm of the machine that is up, which has handed its token over to its host
    #[arg(value_name = "FILE|REALM")]
    pub(crate) file: PathBuf,

    /// The challenge that the realm was given, at most 64 bytes
    #[arg(long, value_name = "HEX")]
    pub(crate) challenge: Option<String>,

    /// The platform's attestation key: PEM, DER, JWK, or an uncompressed point [default: the development identity]
    #[arg(long, value_name = "FILE", conflicts_with = "identity_seed")]
    pub(crate) key: Option<PathBuf>,

    /// The seed of the development identity that the firmware was built with
    #[arg(long, value_name = "HEX")]
    pub(crate) identity_seed: Option<String>,

    /// The realm initial measurement that the realm must have
    #[arg(long, value_name = "HEX")]
    pub(crate) rim: Option<String>,

    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// Decodes and verifies a token, shows what it says, and returns the exit code.
pub(crate) fn run(arguments: &Attest) -> u8 {
    let screen = Screen::new(arguments.json, false);
    let result = attest(arguments);
    screen.clear();
    let failure = match result {
        Ok(checked) => {
            screen.out(&if arguments.json {
                checked.json()
            } else {
                checked.table()
            });
            checked.failure()
        }
        Err(failure) => Some(failure),
    };
    let Some(failure) = failure else {
        return 0;
    };
    screen.err(&format!("error: {failure}"));
    failure.code()
}

fn attest(arguments: &Attest) -> Result<Checked, Failure> {
    let option = |name: &str, text: &Option<String>| {
        text.as_deref()
            .map(hex::parse)
            .transpose()
            .map_err(|why| Failure::input(format!("{name} is {why}")))
    };
    let challenge = option("--challenge", &arguments.challenge)?;
    let rim = option("--rim", &arguments.rim)?;
    let seed = option("--identity-seed", &arguments.identity_seed)?;
    let (key, whose) = match &arguments.key {
        Some(path) => (read_key(path)?, path.display().to_string()),
        None => key::development(seed.as_deref())?,
    };
    let token = Token::find(arguments)?;
    let trust = Trust {
        key,
        whose,
        challenge: challenge.or(token.challenge),
        rim: rim.or(token.rim),
    };
    Checked::new(&token.bytes, &trust)
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let shown = path.display();
    let bytes = read(path)?;
    key::parse(&bytes).ok_or_else(|| {
        Failure::input(format!(
            "{shown} is no public key on P-384 or P-256 (PEM, DER, JWK or an uncompressed point)"
        ))
    })
}

/// A token as somebody kept it.
struct Token {
    bytes: Vec<u8>,
    /// The challenge that was kept with it.
    challenge: Option<Vec<u8>>,
    /// What the realm's host computed that it must have measured.
    rim: Option<Vec<u8>>,
}

impl Token {
    /// The token in a file, or else that of a realm.
    fn find(arguments: &Attest) -> Result<Self, Failure> {
        let path = &arguments.file;
        let name = path.to_str().filter(|name| *name != "-" && !path.exists());
        let place = Place::new(&arguments.which.name).ok();
        let client = place.and_then(|place| Client::try_connect(&place));
        match (name, client) {
            (Some(name), Some(client)) => Self::of_realm(name, client),
            _ => Self::read(path),
        }
    }

    /// The token that a realm has handed over to its host.
    fn of_realm(name: &str, mut client: Client) -> Result<Self, Failure> {
        let realm = client.find(name)?.realm;
        let details = client.inspect(realm)?;
        let bytes = |text: &str| {
            hex::parse(text)
                .map_err(|why| Failure::machine(format!("what the host has of `{name}` is {why}")))
        };
        let token = details.token.ok_or_else(|| {
            Failure::input(format!(
                "realm `{name}` has handed no token over to its host; the demo guest does so as it runs, in a Linux run \
                 `attest HEX`, and give what it prints to `suzerain attest -`"
            ))
        })?;
        Ok(Self {
            bytes: bytes(&token)?,
            challenge: details.challenge.as_deref().map(bytes).transpose()?,
            rim: Some(bytes(&details.rim)?),
        })
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        Self::parse(read(path)?).map_err(|why| Failure::input(format!("{}: {why}", path.display())))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.trim_ascii().is_empty() {
            return Err("there is nothing in it".to_owned());
        }
        let text = str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
        if text.starts_with('{') {
            let object: serde_json::Value = serde_json::from_str(text)
                .map_err(|error| format!("not a JSON object: {error}"))?;
            let member = |name| object[name].as_str().map(hex::parse).transpose();
            return Ok(Self {
                bytes: member("token")?.ok_or("the JSON object has no token")?,
                challenge: member("challenge")?,
                rim: None,
            });
        }
        let digits: String = text.split_whitespace().collect();
        Ok(Self {
            bytes: hex::parse(&digits).unwrap_or(bytes),
            challenge: None,
            rim: None,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    };
    result.map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_however_it_was_kept() {
        for kept in [
            &[0xd9, 0x01, 0x8f][..],
            b"d9018f",
            b" D901\n8f \n",
            b"{\"outcome\":\"ok\",\"token\":\"d9018f\"}\n",
        ] {
            let token = Token::parse(kept.to_vec()).unwrap();
            assert_eq!(token.bytes, [0xd9, 0x01, 0x8f]);
            assert_eq!(token.challenge, None);
        }
        let with = b"{\"token\":\"d9\",\"challenge\":\"0102\"}";
        assert_eq!(
            Token::parse(with.to_vec()).unwrap().challenge.unwrap(),
            [1, 2]
        );
        for wrong in [&b"  \n"[..], b"{}", b"{\"token\":\"x\"}", b"{"] {
            assert!(Token::parse(wrong.to_vec()).is_err());
        }
    }
}
