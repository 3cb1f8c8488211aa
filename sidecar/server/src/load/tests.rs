//! What a load holds while its rows wait to be sorted.

use tonic::Code;

use super::*;
use crate::specimen::{self, Busy, all_free, ask, ask_and_give_up, key};

/// Else another could begin beside it, and each sorts and writes as fast as the disk goes.
#[test]
fn a_load_that_was_given_up_keeps_its_right_until_what_it_began_is_done() {
    let dir = specimen::folder();
    let sidecar = specimen::sidecar(specimen::config(dir.path()));
    let guard = specimen::guard(&sidecar);
    let rows = pb::LoadRequest {
        view: "weather".to_owned(),
        keys: vec![key()],
        event_us: vec![0],
        ..pb::LoadRequest::default()
    };
    specimen::runtime().block_on(async {
        let (busy, asks) = (Busy::begin(), "AdminService/Load");

        ask_and_give_up(&guard, asks, &rows).await;
        assert_eq!(sidecar.gates.load.available_permits(), 0);
        assert_eq!(ask(&guard, asks, "60S", &rows).await, Code::ResourceExhausted);
        assert!(!sidecar.idle(), "rows still wait to be sorted");

        busy.end().await;
        all_free(&sidecar.gates.load, 1).await;
        assert!(sidecar.idle());
        assert_eq!(ask(&guard, asks, "60S", &rows).await, Code::Ok);
    });
}
