//! The HTTP port under clients that dawdle: each costs itself, and a probe is always answered.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::*;

const HALF_A_HEAD: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n";

/// A connection that has sent this and may be read for at most [`BOUND`].
fn sent(harness: &Harness, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(harness.running().addresses().http.unwrap()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// What comes until the server closes the connection; a reset is an end, too.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was left open: {error}"),
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_oldest_connection_makes_room_so_that_dawdlers_keep_no_probe_out() {
    let harness = Harness::with(|config| {
        config.limits.http_connections_max = 3;
        config.limits.http_ms_max = 600_000;
    });
    let mut dawdlers: Vec<_> = (0..20).map(|_| sent(&harness, HALF_A_HEAD)).collect();
    assert_eq!(harness.http("/livez"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    // The probe and the last two are left, whichever order they were accepted in.
    dawdlers[..17].iter_mut().for_each(|dawdler| assert_eq!(rest(dawdler), ""));
    for dawdler in &mut dawdlers[18..] {
        dawdler.write_all(b"\r\n").unwrap();
        assert!(rest(dawdler).starts_with("HTTP/1.1 200 OK"), "it was within the limit");
    }
}

#[test]
fn a_connection_ends_in_its_time_whether_it_sent_a_part_or_nothing() {
    let harness = Harness::with(|config| config.limits.http_ms_max = 500);
    let dawdlers = [&b""[..], b"GET", HALF_A_HEAD].map(|bytes| sent(&harness, bytes));
    for mut dawdler in dawdlers {
        let answer = rest(&mut dawdler);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    // A busy machine may need longer than that for a probe: then it is asked again, as by whoever probes.
    let (start, address) = (Instant::now(), harness.running().addresses().http.unwrap());
    while !crate::http(address, "/livez").is_ok_and(|(status, _)| status == "HTTP/1.1 200 OK") {
        assert!(start.elapsed() < BOUND, "no probe was answered");
    }
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let harness = Harness::with(|config| config.limits.http_header_bytes_max = 8_192);
    let head = |bytes: usize| format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(bytes));
    let within = rest(&mut sent(&harness, head(4_096).as_bytes()));
    assert!(within.starts_with("HTTP/1.1 200 OK"), "{within}");
    let over = rest(&mut sent(&harness, head(10_000).as_bytes()));
    assert!(!over.contains("200 OK"), "{over}");
}

#[test]
fn a_path_that_is_none_is_told_which_there_are() {
    let harness = Harness::start();
    let (status, body) = harness.http("/metric?all=1");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert_eq!(body, "expected /livez, /readyz or /metrics, came /metric\n");
}

#[test]
fn a_connection_answers_one_request() {
    let harness = Harness::start();
    let twice = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    let answer = rest(&mut sent(&harness, twice.as_bytes()));
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
}
