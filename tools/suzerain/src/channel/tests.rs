use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use suzerain_wire::channel;
use suzerain_wire::ring::{SENT, TAKEN};

use super::*;

type Words = &'static [AtomicU64];

/// The first words of the two rings.
const TO_HOST: usize = 64;
const TO_TOOL: usize = 128;

/// A channel: the tool's ends, the host's, the memory, the socket of the bell.
fn opened() -> (
    Reader<Words>,
    Writer<Words>,
    Sender<Words>,
    Receiver<Words>,
    Words,
    UnixStream,
) {
    let words: Words = (0..512 + 64)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (reader, writer) = open(words, ours);
    let (to_tool, from_tool) = channel::host(words).unwrap();
    (reader, writer, to_tool, from_tool, words, theirs)
}

#[test]
fn much_more_than_fits_goes_both_ways_and_each_end_sleeps() {
    const BYTES: usize = 300_000;
    let (mut reader, mut writer, mut to_tool, mut from_tool, _, bell) = opened();
    let data: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
    let sent = data.clone();
    let from = thread::spawn(move || writer.write_all(&sent).unwrap());
    // A host that says back what it is told, and does nothing unless it is rung for.
    let host = thread::spawn(move || {
        let (mut kept, mut count) = (Vec::new(), 0);
        while count < BYTES {
            let mut bytes = [0; 100];
            let moved = from_tool.receive(&mut bytes).unwrap();
            kept.extend_from_slice(&bytes[..moved.bytes]);
            let back = to_tool.send(&kept).unwrap();
            kept.drain(..back.bytes);
            count += back.bytes;
            if moved.bell || back.bell {
                (&bell).write_all(&[1]).unwrap();
            }
            let idle = moved.bytes == 0 && back.bytes == 0;
            if idle && from_tool.wait().unwrap() && (kept.is_empty() || to_tool.wait().unwrap()) {
                (&bell).read_exact(&mut [0]).unwrap();
            }
        }
    });
    let mut back = vec![0; BYTES];
    reader.read_exact(&mut back).unwrap();
    assert!(back == data);
    from.join().unwrap();
    host.join().unwrap();
    // The machine is gone with its end of the bell.
    assert_eq!(reader.read(&mut back).unwrap(), 0);
}

#[test]
fn what_a_host_has_said_before_its_end_is_still_read() {
    let (mut reader, mut writer, mut to_tool, _, _, bell) = opened();
    let _ = to_tool.send(b"last words").unwrap();
    drop(bell);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "last words");
    let error = writer.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_host_whose_indices_are_mad_is_an_error_in_both_directions() {
    let (mut reader, mut writer, _, _, words, _bell) = opened();
    words[TO_TOOL + SENT].store(u64::MAX / 2, Ordering::Relaxed);
    words[TO_HOST + TAKEN].store(7, Ordering::Relaxed);
    let error = reader.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("out of its mind"), "{error}");
    assert_eq!(
        writer.write(b"x").unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
}

#[test]
fn a_host_that_rings_without_end_and_says_nothing_keeps_nobody_awake_for_ever() {
    let (mut reader, _writer, mut to_tool, _, _, bell) = opened();
    let ring = bell.try_clone().unwrap();
    let ringing = thread::spawn(move || {
        for _ in 0..10_000 {
            (&ring).write_all(&[7; 64]).unwrap();
        }
    });
    let reading = thread::spawn(move || {
        let mut bytes = [0; 5];
        reader.read_exact(&mut bytes).unwrap();
        bytes
    });
    ringing.join().unwrap();
    let moved = to_tool.send(b"hello").unwrap();
    assert!(moved.bell);
    (&bell).write_all(&[0]).unwrap();
    assert_eq!(&reading.join().unwrap(), b"hello");
}

#[test]
fn who_writes_to_a_host_that_never_reads_waits_until_it_is_gone() {
    let (_reader, mut writer, _, _, _, bell) = opened();
    let writing = thread::spawn(move || writer.write_all(&[0; 10_000]).unwrap_err().kind());
    thread::sleep(Duration::from_millis(20));
    assert!(!writing.is_finished());
    drop(bell);
    assert_eq!(writing.join().unwrap(), io::ErrorKind::BrokenPipe);
}
