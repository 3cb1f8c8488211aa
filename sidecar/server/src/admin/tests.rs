//! What a call that only reads holds while its work waits for a thread.

use tonic::Code;

use super::*;
use crate::specimen::{self, Busy, all_free, ask};

/// Else short deadlines would queue work without end behind a disk that is slow.
#[test]
fn a_call_whose_deadline_passed_keeps_its_place_until_its_work_is_done() {
    let dir = specimen::folder();
    let mut config = specimen::config(dir.path());
    config.limits.in_flight_max = 2;
    let sidecar = specimen::sidecar(config);
    let guard = specimen::guard(&sidecar);
    specimen::runtime().block_on(async {
        let busy = Busy::begin();
        let free = || sidecar.gates.inspect.available_permits();

        let (asks, info) = ("AdminService/SnapshotInfo", pb::SnapshotInfoRequest {});
        assert_eq!(ask(&guard, asks, "1n", &info).await, Code::DeadlineExceeded);
        assert_eq!(free(), 1);
        let of = Some(pb::describe_request::Of::View("weather".to_owned()));
        let view = pb::DescribeRequest { of };
        let described = ask(&guard, "AdminService/Describe", "1n", &view).await;
        assert_eq!(described, Code::DeadlineExceeded);
        assert_eq!(free(), 0);
        assert_eq!(ask(&guard, asks, "1n", &info).await, Code::ResourceExhausted);
        assert!(!sidecar.idle(), "the store is still asked");

        busy.end().await;
        all_free(&sidecar.gates.inspect, 2).await;
        assert!(sidecar.idle());
        assert_eq!(ask(&guard, asks, "60S", &info).await, Code::Ok);
    });
}

/// It has no deadline of ours, as it takes what the disk takes.
#[test]
fn a_flush_whose_client_waits_no_longer_is_told_so() {
    let dir = specimen::folder();
    let sidecar = specimen::sidecar(specimen::config(dir.path()));
    let guard = specimen::guard(&sidecar);
    specimen::runtime().block_on(async {
        let busy = Busy::begin();
        let flush = pb::FlushRequest {};
        assert_eq!(ask(&guard, "AdminService/Flush", "1n", &flush).await, Code::DeadlineExceeded);
        let again = ask(&guard, "AdminService/Flush", "60S", &flush).await;
        assert_eq!(again, Code::ResourceExhausted, "it goes on");
        busy.end().await;
        all_free(&sidecar.gates.admin, 1).await;
        assert_eq!(ask(&guard, "AdminService/Flush", "60S", &flush).await, Code::Ok);
    });
}
