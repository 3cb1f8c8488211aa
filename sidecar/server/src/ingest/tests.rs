//! What a call holds while its rows wait to be written.

use tonic::Code;

use super::*;
use crate::specimen::{self, Busy, all_free, ask, ask_and_give_up, key};

/// As in AdminService: else clients that give up would queue work without end behind a disk that is slow.
#[test]
fn a_call_that_was_given_up_keeps_its_place_until_its_rows_are_written() {
    let dir = specimen::folder();
    let mut config = specimen::config(dir.path());
    config.limits.in_flight_max = 2;
    let sidecar = specimen::sidecar(config);
    let guard = specimen::guard(&sidecar);
    let row = pb::IngestRequest {
        view: "weather".to_owned(),
        keys: vec![key()],
        event_us: vec![0],
        ..pb::IngestRequest::default()
    };
    specimen::runtime().block_on(async {
        let busy = Busy::begin();
        let (asks, free) = ("IngestService/Ingest", || sidecar.gates.in_flight.available_permits());

        assert_eq!(ask(&guard, asks, "1n", &row).await, Code::DeadlineExceeded);
        assert_eq!(free(), 1);
        ask_and_give_up(&guard, asks, &row).await;
        assert_eq!(free(), 0);
        assert_eq!(ask(&guard, asks, "60S", &row).await, Code::ResourceExhausted);
        assert!(!sidecar.idle(), "rows still wait to be written");

        busy.end().await;
        all_free(&sidecar.gates.in_flight, 2).await;
        assert!(sidecar.idle());
        assert_eq!(ask(&guard, asks, "60S", &row).await, Code::Ok);
    });
}
