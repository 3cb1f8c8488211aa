//! `skewless feast serve-transformations` from the outside: a client of Feast's service, batches as its servers send them,
//! mistakes, limits, and its life. What Feast's own programs make of it: `tests/interop/feast/transformations.py`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skewless_batch::{Column, Type, Value};
use skewless_offline::ipc::{IpcFile, IpcLimits, write};
use skewless_proto::feast::serving as pb;
use skewless_proto::feast::serving::transformation_service_client::TransformationServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::{DEFINITIONS, SUM, command, refused, repo_that_adds, skewless};

/// A server that ends with the test, however the test ends.
struct Server {
    child: Child,
    log: std::sync::mpsc::Receiver<String>,
    address: String,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Longest wait for anything it says: far above what any machine needs.
    const BOUND: Duration = Duration::from_secs(60);

    fn start(repo: &Path, more: &[&str]) -> Self {
        let patient = ["--set", "limits.queue_wait_ms_max=60000"];
        let words = ["feast", "serve-transformations", "--listen", "127.0.0.1:0"];
        let words = [&words[..], &patient, more].concat();
        let mut child = command(repo, &words).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (said, log) = std::sync::mpsc::channel();
        // To the end, so that it never waits for a reader.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                said.send(line).ok();
            });
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut server = Self { child, log, address: String::new(), runtime };
        let ready = server.says("ready");
        let address = ready.split(' ').find_map(|word| word.strip_prefix("tcp="));
        server.address = address.unwrap_or_else(|| panic!("{ready}")).to_owned();
        server
    }

    /// Waits for a line of its log.
    fn says(&self, part: &str) -> String {
        let until = Instant::now() + Self::BOUND;
        let mut seen = String::new();
        loop {
            match self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push_str(&format!("{line}\n")),
                Err(error) => panic!("it doesn't say `{part}` ({error}): {seen}"),
            }
        }
    }

    fn client(&self) -> TransformationServiceClient<Channel> {
        let address = format!("http://{}", self.address);
        self.runtime.block_on(TransformationServiceClient::connect(address)).unwrap()
    }

    fn ask(
        &self,
        request: pb::TransformFeaturesRequest,
    ) -> Result<Response<pb::TransformFeaturesResponse>, Status> {
        let mut client = self.client();
        self.runtime.block_on(client.transform_features(request))
    }

    fn signal(&self, name: &str) {
        let (id, name) = (self.child.id().to_string(), format!("-{name}"));
        assert!(Command::new("kill").args([&name, &id]).status().unwrap().success());
    }

    /// SIGTERM; it must end by itself with 0.
    fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn floats(values: &[Option<f64>]) -> Column {
    let mut column = Column::new(Type::Float64);
    for value in values {
        match value {
            Some(value) => column.push_f64(*value),
            None => column.push_null(),
        }
    }
    column
}

fn request(view: &str, batch: Vec<u8>) -> pb::TransformFeaturesRequest {
    let value = Some(pb::value_type::Value::ArrowValue(batch.into()));
    pb::TransformFeaturesRequest {
        on_demand_feature_view_name: view.to_owned(),
        project: "shop".to_owned(),
        transformation_input: Some(pb::ValueType { value }),
    }
}

fn batch(columns: &[(&str, &[Option<f64>])]) -> Vec<u8> {
    let columns: Vec<_> =
        columns.iter().map(|(name, values)| ((*name).to_owned(), floats(values))).collect();
    let views: Vec<_> =
        columns.iter().map(|(name, column)| (name.clone(), column.view())).collect();
    write(&views, columns.first().map_or(0, |(_, column)| column.len())).unwrap()
}

/// The one column of an answer.
fn sums(answer: &pb::TransformFeaturesResponse) -> (String, Vec<Option<f64>>) {
    let Some(pb::ValueType { value: Some(pb::value_type::Value::ArrowValue(bytes)) }) =
        &answer.transformation_output
    else {
        panic!("{answer:?}")
    };
    let limits = IpcLimits { rows_max: usize::MAX, columns_max: 16 };
    let file = IpcFile::open(bytes.clone(), limits).unwrap();
    let names: Vec<_> = file.names().map(str::to_owned).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let mut column = Column::new(Type::Float64);
    file.columns(&[(0, Type::Float64)]).unwrap().append(0, &names[0], &mut column).unwrap();
    let value = |row| match column.value(row) {
        Value::Float64(value) => Some(value),
        _ => None,
    };
    (names[0].clone(), (0..column.len()).map(value).collect())
}

#[test]
fn a_transform_is_the_on_demand_feature_view_of_its_name() {
    let folder = repo_that_adds(DEFINITIONS, SUM);
    let server = Server::start(folder.path(), &["--project", "shop"]);
    for spent in ["spent", "customer_orders__spent"] {
        let columns: [(&str, &[Option<f64>]); 3] = [
            (spent, &[Some(1.0), Some(0.1), None]),
            ("customer_id", &[Some(7.0), Some(8.0), Some(9.0)]),
            ("amount", &[Some(2.0), Some(0.2), Some(3.0)]),
        ];
        let answer = server.ask(request("adds", batch(&columns))).unwrap();
        assert!(answer.metadata().get("skewless-rows-failed").is_none());
        let expected = vec![Some(3.0), Some(0.1 + 0.2), None];
        assert_eq!(sums(answer.get_ref()), ("adds__sum".to_owned(), expected));
    }
    let none = server.ask(request("adds", batch(&[("spent", &[]), ("amount", &[])]))).unwrap();
    assert_eq!(sums(none.get_ref()).1, []);
    let mut client = server.client();
    let info = client.get_transformation_service_info(pb::GetTransformationServiceInfoRequest {});
    let info = server.runtime.block_on(info).unwrap().into_inner();
    assert_eq!(info.r#type(), pb::TransformationServiceType::Custom);
    assert!(info.version.starts_with("skewless "), "{info:?}");
    server.stop();
    assert!(!folder.path().join(".skewless/store").exists(), "it opens no store");
}

#[test]
fn what_was_imported_is_found_and_answered_by_feasts_names() {
    let folder = repo_that_adds(DEFINITIONS, SUM);
    let names = r#"{"project": "shop", "views": {}, "transforms": {"adds": {"name": "addUp", "features": {"sum": "theSum"},
        "inputs": {"customer_orders.spent": ["home-1:spentEUR"], "request.amount": ["orderAmount"]}}}}"#;
    std::fs::write(folder.path().join("feast.json"), names).unwrap();
    let server = Server::start(folder.path(), &[]);
    for spent in ["spentEUR", "home-1__spentEUR", "spent"] {
        let columns: [(&str, &[Option<f64>]); 2] =
            [(spent, &[Some(1.0)]), ("orderAmount", &[Some(2.0)])];
        let answer = server.ask(request("addUp", batch(&columns))).unwrap();
        assert_eq!(
            sums(answer.get_ref()),
            ("addUp__theSum".to_owned(), vec![Some(3.0)]),
            "{spent}"
        );
    }
    server.stop();
}

#[test]
fn mistakes_have_their_codes_and_say_what_was_meant() {
    let folder = repo_that_adds(DEFINITIONS, SUM);
    let more = [
        "--project",
        "shop",
        "--set",
        "limits.rows_max=3",
        "--set",
        "limits.request_bytes_max=65536",
    ];
    let server = Server::start(folder.path(), &more);
    let one = || batch(&[("spent", &[Some(1.0)]), ("amount", &[Some(2.0)])]);
    let other =
        pb::TransformFeaturesRequest { project: "flights".to_owned(), ..request("adds", one()) };
    let empty =
        pb::TransformFeaturesRequest { transformation_input: None, ..request("adds", one()) };
    let null = batch(&[("spent", &[Some(1.0)]), ("amount", &[None])]);
    for (asked, code, parts) in [
        (request("ads", one()), Code::NotFound, ["declared transform", "did you mean `adds`?"]),
        (
            request("customer_orders", one()),
            Code::NotFound,
            ["declared transform", "`customer_orders`"],
        ),
        (other, Code::InvalidArgument, ["`shop` (--project)", "`flights`"]),
        (empty, Code::InvalidArgument, ["transformation_input.arrow_value", "came none"]),
        (
            request("adds", batch(&[("spent", &[None])])),
            Code::InvalidArgument,
            ["`amount` (float64)", "has spent"],
        ),
        (
            request("adds", batch(&[("spent", &[None]), ("amonut", &[None])])),
            Code::InvalidArgument,
            ["request.amount", "did you mean `amonut`?"],
        ),
        (
            request("adds", null),
            Code::InvalidArgument,
            ["`amount` in row 0", "`nullable: true` under `requests`"],
        ),
        (
            request("adds", one()[..100].to_vec()),
            Code::InvalidArgument,
            ["a broken one", "cut off"],
        ),
        (request("adds", b"{}".to_vec()), Code::InvalidArgument, ["Arrow's IPC format", "2 bytes"]),
        (
            request("adds", batch(&[("spent", &[None; 4]), ("amount", &[Some(1.0); 4])])),
            Code::ResourceExhausted,
            ["at most 3 rows (limits.rows_max)", "came 4"],
        ),
        (
            request("adds", vec![0; 65_536]),
            Code::ResourceExhausted,
            ["65536 bytes", "limits.request_bytes_max"],
        ),
    ] {
        let status = server.ask(asked).unwrap_err();
        let text = status.message();
        assert!(
            status.code() == code && parts.iter().all(|part| text.contains(part)),
            "{parts:?}: {status}"
        );
    }
    // It goes on.
    assert_eq!(sums(server.ask(request("adds", one())).unwrap().get_ref()).1, [Some(3.0)]);
    server.stop();
}

#[test]
fn a_row_that_fails_is_null_and_told_with_its_reason() {
    let traps = format!(
        "(if (result f64) (f64.lt (local.get $a) (f64.const 0)) (then unreachable) (else {SUM}))"
    );
    let folder = repo_that_adds(DEFINITIONS, &traps);
    let server = Server::start(folder.path(), &[]);
    let columns: [(&str, &[Option<f64>]); 2] =
        [("amount", &[Some(1.0), Some(-1.0), Some(2.0), Some(-2.0)]), ("spent", &[Some(0.5); 4])];
    let answer = server.ask(request("adds", batch(&columns))).unwrap();
    assert_eq!(sums(answer.get_ref()).1, [Some(1.5), None, Some(2.5), None]);
    let told = answer.metadata();
    assert_eq!(told.get("skewless-rows-failed").unwrap().to_str().unwrap(), "2");
    let why = told.get_bin("skewless-failures-bin").unwrap().to_bytes().unwrap();
    let why = String::from_utf8(why.to_vec()).unwrap();
    let lines: Vec<_> = why.lines().collect();
    assert_eq!(lines.len(), 2, "{why}");
    assert!(
        lines[0].starts_with("row 1: adds: ") && lines[1].starts_with("row 3: adds: "),
        "{why}"
    );
    server.says("a transform broke");
    server.stop();
}

#[test]
fn a_deadline_ends_a_plugin_that_loops() {
    let loops = format!(
        "(if (f64.lt (local.get $a) (f64.const 0)) (then (loop $forever (br $forever)))) {SUM}"
    );
    let folder = repo_that_adds(DEFINITIONS, &loops);
    // The call's deadline passes long before the plugin's.
    let more = ["--set", "engine.deadline_ticks=10000", "--set", "limits.deadline_ms=300"];
    let server = Server::start(folder.path(), &more);
    let rows: [(&str, &[Option<f64>]); 2] = [("amount", &[Some(-1.0)]), ("spent", &[Some(1.0)])];
    let status = server.ask(request("adds", batch(&rows))).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("300 ms passed while transforms ran"), "{status}");
    server.stop();
}

#[test]
fn definitions_are_read_again_and_a_bad_version_is_refused_whole() {
    let folder = repo_that_adds(DEFINITIONS, SUM);
    let server = Server::start(folder.path(), &[]);
    let rows = || batch(&[("amount", &[Some(1.0)]), ("spent", &[Some(2.0)])]);
    let definitions = folder.path().join("features.yaml");
    std::fs::write(
        &definitions,
        DEFINITIONS.replace("adds", "plus").replace("plugins/plus", "plugins/adds"),
    )
    .unwrap();
    server.signal("HUP");
    server.says("reloaded");
    assert_eq!(sums(server.ask(request("plus", rows())).unwrap().get_ref()).0, "plus__sum");
    assert_eq!(server.ask(request("adds", rows())).unwrap_err().code(), Code::NotFound);
    std::fs::write(&definitions, DEFINITIONS.replace("request.amount", "request.amonut")).unwrap();
    server.signal("HUP");
    server.says("reload refused");
    assert_eq!(sums(server.ask(request("plus", rows())).unwrap().get_ref()).1, [Some(3.0)]);
    server.stop();
}

#[test]
fn what_can_not_be_served_is_refused_at_once() {
    let folder = repo_that_adds(DEFINITIONS, SUM);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let serve = ["feast", "serve-transformations"];
    let with = |more: &[&str]| skewless(folder.path(), &[&serve[..], more].concat());
    let complaint = refused(&with(&["--listen", &taken]), 1);
    assert!(
        complaint.contains("give another address with --listen, or stop what has it"),
        "{complaint}"
    );
    let complaint = refused(&with(&["--port", "1"]), 2);
    assert!(complaint.contains("'--listen'"), "{complaint}");
    let (views, rest) = DEFINITIONS.split_once("requests:").unwrap();
    assert!(rest.contains("transforms:"));
    let views = format!("{views}services: [{{name: risk, features: [customer_orders.spent]}}]\n");
    std::fs::write(folder.path().join("features.yaml"), views).unwrap();
    let complaint = refused(&with(&["--listen", "127.0.0.1:0"]), 1);
    assert!(complaint.contains("expected at least one transform"), "{complaint}");
}
