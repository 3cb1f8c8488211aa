//! What a newcomer stumbles over says what to do next.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use crate::{DEFINITIONS, SUM, Sidecar, command, done, refused, repo_that_adds, skewless};

/// Sets when a file was changed last, seconds since 1970.
pub(crate) fn set_changed(file: &Path, s: u64) {
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(s)).unwrap();
}

pub(crate) fn says(complaint: &str, parts: &[&str]) {
    for part in parts {
        assert!(complaint.contains(part), "expected `{part}` in\n{complaint}");
    }
}

/// An address of loopback where nobody listens, and the socket that keeps it: bound, so that nobody else gets it.
fn nobody() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = socket.local_addr().unwrap().to_string();
    (socket, at)
}

#[test]
fn a_plugin_that_was_not_built_yet_is_named_with_the_command_that_builds_it() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::remove_file(repo.join("plugins/adds.wasm")).unwrap();
    let backfill = ["backfill", "risk", "--spine", "data/orders.parquet", "--out", "out.parquet"];
    let commands: [&[&str]; 3] =
        [&["check"], &backfill, &["serve", "--tcp", "127.0.0.1:0", "--http", ""]];
    for words in commands {
        let complaint = refused(&skewless(repo, words), 3);
        says(
            &complaint,
            &[
                "plugins/adds.wasm",
                "next: put the plugin at plugins/adds.wasm",
                "skewless plugin build",
            ],
        );
    }
    std::fs::create_dir(repo.join("plugins/adds")).unwrap();
    std::fs::write(repo.join("plugins/adds/Cargo.toml"), "").unwrap();
    for words in commands {
        let complaint = refused(&skewless(repo, words), 3);
        says(&complaint, &["plugins/adds.wasm", "next: skewless plugin build plugins/adds\n"]);
    }
    let (above, name) = (repo.parent().unwrap(), repo.file_name().unwrap().to_str().unwrap());
    let complaint = refused(&skewless(above, &["check", name]), 3);
    says(&complaint, &[&format!("next: skewless plugin build {name}/plugins/adds\n")]);
}

#[test]
fn a_plugin_of_nearly_this_name_is_meant() {
    let repo = repo_that_adds(&DEFINITIONS.replace("plugins/adds.wasm", "plugins/add.wasm"), SUM);
    let complaint = refused(&skewless(repo.path(), &["check"]), 3);
    says(&complaint, &["plugins/add.wasm", "did you mean `plugins/adds.wasm`?"]);
    assert!(!complaint.contains("next: "), "{complaint}");
}

#[test]
fn what_a_plugin_lacks_may_be_in_its_newer_source() {
    let repo = repo_that_adds(&DEFINITIONS.replace("[adds.sum]", "[adds.sum, adds.product]"), SUM);
    let repo = repo.path();
    let complaint = refused(&skewless(repo, &["check"]), 3);
    says(&complaint, &["expected an output of transform `adds` (sum), came `product`"]);
    assert!(!complaint.contains("next: "), "no source is known\n{complaint}");
    std::fs::create_dir(repo.join("plugins/adds")).unwrap();
    std::fs::write(repo.join("plugins/adds/Cargo.toml"), "").unwrap();
    set_changed(&repo.join("plugins/adds.wasm"), 2_000);
    set_changed(&repo.join("plugins/adds/Cargo.toml"), 1_000);
    let complaint = refused(&skewless(repo, &["check"]), 3);
    assert!(!complaint.contains("next: "), "the source is older\n{complaint}");
    set_changed(&repo.join("plugins/adds/Cargo.toml"), 3_000);
    let next =
        "next: plugins/adds.wasm is older than its source: skewless plugin build plugins/adds\n";
    says(&refused(&skewless(repo, &["check"]), 3), &[next]);
    let more = DEFINITIONS.replace("{a: request.amount,", "{a: request.amount, c: request.amount,");
    std::fs::write(repo.join("features.yaml"), more).unwrap();
    says(&refused(&skewless(repo, &["check"]), 3), &["came `c`", next]);
    let wrong = DEFINITIONS.replace("float64}]\nt", "float46}]\nt");
    std::fs::write(repo.join("features.yaml"), wrong).unwrap();
    assert!(!refused(&skewless(repo, &["check"]), 3).contains("next: "));
}

#[test]
fn mistakes_are_told_with_what_was_not_done() {
    let repo = repo_that_adds(&DEFINITIONS.replace("adds.sum", "adds.product"), SUM);
    let backfill = ["backfill", "risk", "--spine", "data/orders.parquet", "--out", "out.parquet"];
    let commands: [(&[&str], &str); 4] = [
        (&["check"], ""),
        (&["load"], "; nothing was loaded"),
        (&backfill, "; nothing was written"),
        (&["serve", "--tcp", "127.0.0.1:0", "--http", ""], "; nothing is served"),
    ];
    for (words, undone) in commands {
        let complaint = refused(&skewless(repo.path(), words), 3);
        let last = complaint.lines().last().unwrap_or_default();
        assert_eq!(last, format!("1 mistake in the definitions in this folder{undone}"));
    }
}

#[test]
fn a_diff_says_which_of_its_folders_has_the_mistake() {
    let above = tempfile::tempdir().unwrap();
    let good = "entities: [{name: customer, keys: [{name: id, type: int64}]}]\n";
    let write = |folder: &str, text: &str| {
        std::fs::create_dir_all(above.path().join(folder)).unwrap();
        std::fs::write(above.path().join(folder).join("features.yaml"), text).unwrap();
    };
    for (bad, other) in [("before", "after"), ("after", "before")] {
        write(bad, &good.replace("int64", "int46"));
        write(other, good);
        let complaint = refused(&skewless(above.path(), &["diff", "before", "after"]), 3);
        let place = format!("{bad}/features.yaml:1:");
        says(&complaint, &[&place, &format!("1 mistake in the definitions in {bad}\n")]);
        assert!(!complaint.contains(&format!("mistake in the definitions in {other}")));
    }
}

#[test]
fn a_source_that_is_not_there_is_a_warning() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let warned = || {
        let output = skewless(repo, &["check"]);
        done(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!warned().contains("no file matches"));
    std::fs::remove_file(repo.join("data/customer_orders.parquet")).unwrap();
    let parts =
        ["warning: view customer_orders: ", "no file matches", "data/customer_orders.parquet"];
    says(&warned(), &parts);
}

#[test]
fn one_thing_is_not_told_as_many() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let checked = done(&skewless(repo.path(), &["check"]));
    says(
        &checked,
        &["1 entity, 1 view, 1 transform, 1 service: no mistakes", "service risk: 1 feature; "],
    );
}

#[test]
fn an_address_without_a_port_is_answered_with_the_usual_one() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let get: &[&str] = &["get", "risk", "customer_id=1", "-r", "amount=1"];
    for words in [get, &["load"]] {
        let complaint =
            refused(&skewless(repo.path(), &[words, &["--at", "localhost"]].concat()), 1);
        says(&complaint, &["`localhost` without a port", "next: try --at localhost:7667"]);
    }
}

#[test]
fn a_folder_that_is_no_crate_is_answered_with_the_crates_in_it() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let build = || refused(&skewless(repo, &["plugin", "build"]), 1);
    says(
        &build(),
        &["expected a plugin's source in ", "next: give the folder of a plugin's crate"],
    );
    std::fs::create_dir(repo.join("plugins/adds")).unwrap();
    std::fs::write(repo.join("plugins/adds/Cargo.toml"), "").unwrap();
    says(&build(), &["next: skewless plugin build plugins/adds\n"]);
}

#[test]
fn plugin_run_knows_parquet_by_its_content() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::copy(repo.join("data/orders.parquet"), repo.join("orders")).unwrap();
    let complaint = refused(&skewless(repo, &["plugin", "run", "plugins/adds.wasm", "orders"]), 1);
    says(&complaint, &["expected a column that is an input of the plugin, came ", "amount"]);
    let mut run = command(repo, &["plugin", "run", "plugins/adds.wasm"]);
    let orders = std::fs::File::open(repo.join("orders")).unwrap();
    let complaint = refused(&run.stdin(orders).output().unwrap(), 1);
    says(
        &complaint,
        &["expected JSON rows on standard input, came Parquet", "next: give the file"],
    );
    std::fs::write(repo.join("rows"), b"\xff\xfe").unwrap();
    let complaint = refused(&skewless(repo, &["plugin", "run", "plugins/adds.wasm", "rows"]), 1);
    says(&complaint, &["came no UTF-8 text", "next: give a JSON array of objects"]);
    let complaint = refused(&skewless(repo, &["plugin", "run", "plugins/adds.wasm", "none"]), 1);
    says(&complaint, &["can't read none", "next: give a .parquet file or one with JSON rows"]);
}

#[test]
fn serve_refuses_a_log_that_can_not_be_meant() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let serve = ["serve", "--tcp", "127.0.0.1:0", "--http", ""];
    let complaint =
        refused(&command(repo.path(), &serve).env("SKEWLESS_LOG", "debgu").output().unwrap(), 1);
    says(
        &complaint,
        &["SKEWLESS_LOG: expected error, warn, ", "(did you mean `debug`?)", "next: mend"],
    );
}

#[test]
fn a_damaged_store_says_what_to_do_and_a_store_in_use_something_else() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let store = repo.join(".skewless/store");
    let serve = ["serve", "--tcp", "127.0.0.1:0", "--http", ""];
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join("000009.sst"), "rows").unwrap();
    for words in [&["load"][..], &serve[..]] {
        let complaint = refused(&skewless(repo, words), 1);
        says(&complaint, &["corrupt store", "restore the folder from a copy"]);
        assert!(!complaint.contains("next: "), "{complaint}");
    }
    std::fs::remove_file(store.join("000009.sst")).unwrap();
    let sidecar = Sidecar::start(repo);
    for (words, next) in
        [(&["load"][..], "next: load into the sidecar"), (&serve[..], "next: stop the process")]
    {
        let complaint = refused(&skewless(repo, words), 1);
        says(&complaint, &["LOCK is held: another process has it open\n", next]);
    }
    sidecar.stop();
}

#[test]
fn data_that_does_not_fit_says_what_to_do() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::write(repo.join("text.parquet"), "text").unwrap();
    let backfill = |spine: &str| {
        refused(&skewless(repo, &["backfill", "risk", "--spine", spine, "--out", "out.parquet"]), 1)
    };
    says(
        &backfill("data/customer_orders.parquet"),
        &["no column `amount`", "next: write a column `amount`"],
    );
    says(&backfill("text.parquet"), &["can't be read as Parquet", "next: write the file again"]);
    says(&backfill("none/*.parquet"), &["no file matches", "next: mend the path"]);
    let wrong =
        DEFINITIONS.replace("{name: spent, type: float64}", "{name: spent, type: timestamp}");
    let wrong = wrong
        .replace("[adds.sum]", "[customer_orders.spent]")
        .replace("customer_orders.spent}}", "request.amount}}");
    std::fs::write(repo.join("features.yaml"), wrong).unwrap();
    let complaint = refused(&skewless(repo, &["load"]), 1);
    says(
        &complaint,
        &["column `spent`: expected timestamp", "next: write `spent` as timestamp, or declare it"],
    );
}

#[test]
fn a_wrong_address_says_what_was_expected_where_and_what_to_try() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let (_kept, other) = nobody();
    let sidecar = Sidecar::start_with(repo, &["--http", "127.0.0.1:0"]);
    let http = sidecar.http();
    let commands: [&[&str]; 2] = [&["get", "risk", "customer_id=1", "-r", "amount=1"], &["load"]];
    for words in commands {
        let complaint = refused(&skewless(repo, &[words, &["--at", http]].concat()), 1);
        says(
            &complaint,
            &["expected a sidecar's gRPC at", http, "HTTP/1", "next: ", "listen.tcp", "--at"],
        );
        let complaint = refused(&skewless(repo, &[words, &["--at", &other]].concat()), 1);
        says(
            &complaint,
            &["no sidecar answers at", &other, "refused", "next: ", "skewless serve", "--at"],
        );
    }
    sidecar.stop();
}

/// Something that is neither gRPC nor HTTP.
#[test]
fn a_server_of_something_else_is_no_sidecar() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let talk = std::thread::spawn(move || {
        // The command connects once to call, and once to see what it is.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 mail.example ESMTP\r\n").ok();
        }
    });
    let complaint = refused(&skewless(Path::new("."), &["get", "risk", "--at", &at]), 1);
    says(&complaint, &["expected a sidecar's gRPC at", &at, "came: ", "next: ", "--at"]);
    talk.join().unwrap();
}

#[test]
fn a_load_into_a_sidecar_with_older_definitions_says_to_reload_it() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let sidecar = Sidecar::start(repo);
    let load =
        |words: &[&str]| skewless(repo, &[&["load", "--at", "unix:sidecar.sock"], words].concat());
    done(&load(&[]));
    let typed = DEFINITIONS.replace(
        "[{name: spent, type: float64}]",
        "[{name: spent, type: float64}, {name: orders, type: int64}]",
    );
    let renamed = DEFINITIONS
        .replace("customer_orders\n", "orders\n")
        .replace("customer_orders.spent", "orders.spent");
    // It fits, but would be kept by another rule than the repo's.
    let kept =
        DEFINITIONS.replace("    entity: customer\n", "    entity: customer\n    ttl: 30d\n");
    for (definitions, view, what) in [
        (typed, "customer_orders", "has another version of it"),
        (kept, "customer_orders", "has another version of it"),
        (renamed, "orders", "has no such view"),
    ] {
        std::fs::write(repo.join("features.yaml"), definitions).unwrap();
        let complaint = refused(&load(&[view]), 1);
        says(
            &complaint,
            &[
                "nothing was loaded",
                "unix:sidecar.sock",
                view,
                what,
                "next: let it read this feature repo again",
                "kill -HUP",
            ],
        );
    }
    sidecar.stop();
}

#[test]
fn what_a_request_lacks_is_told_as_it_is_typed() {
    let definitions = DEFINITIONS.replace(
        "features: [adds.sum]}]",
        "features: [adds.sum]}, {name: stored, features: [customer_orders.spent]}]",
    );
    let repo = repo_that_adds(&definitions, SUM);
    let repo = repo.path();
    let sidecar = Sidecar::start(repo);
    let get =
        |words: &[&str]| skewless(repo, &[&["get", "--at", "unix:sidecar.sock"], words].concat());
    let asked: [(&[&str], &str, &str); 8] = [
        (
            &["risk", "customer_id=7", "amount=1"],
            "expected a key of risk, came `amount`",
            "next: `amount` is a request value: give it as --request amount=1\n",
        ),
        (
            &["risk", "-r", "customer_id=7"],
            "expected a request value of risk, came `customer_id`",
            "next: `customer_id` is a key: give it without --request, as customer_id=7\n",
        ),
        (
            &["risk", "customer_id=7"],
            "`amount` (float64) is missing",
            "next: add --request amount=VALUE\n",
        ),
        (
            &["risk", "-r", "amount=1"],
            "`customer_id` (int64) is missing",
            "next: add customer_id=VALUE, or --null customer_id\n",
        ),
        (
            &["risk", "customer_id=7", "--null", "amount"],
            "`amount` (float64), which is not nullable, came --null",
            "next: give --request amount=VALUE",
        ),
        (
            &["risk", "customer_id=7", "-r", "amount=1", "--null", "amuont"],
            "came `amuont`",
            "next: its keys are: customer_id; its request values are: amount\n",
        ),
        (
            &["stored", "customer_id=7", "-r", "amount=1"],
            "expected a request value of stored, came `amount`",
            "next: it has no request values\n",
        ),
        (
            &["rusk"],
            "did you mean `risk`?",
            "(NOT_FOUND)\n next: the sidecar's services are: risk, stored\n",
        ),
    ];
    for (words, what, next) in asked {
        says(&refused(&get(words), 1), &[what, next]);
    }
    done(&get(&["risk", "--null", "customer_id", "-r", "amount=1"]));

    // What is told of a service can be compared, wherever it is told.
    let json = done(&get(&["risk", "customer_id=7", "-r", "amount=1", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let fingerprint = json["provenance"]["service_fingerprint"].as_str().unwrap();
    let checked = done(&skewless(repo, &["check"]));
    let of_risk = checked.lines().skip_while(|line| !line.starts_with("service risk: ")).nth(1);
    assert!(of_risk.unwrap().contains(&format!("fingerprint {fingerprint}, ")), "{checked}");
    says(&checked, &["\nfingerprint of all definitions "]);
    sidecar.stop();
}

#[test]
fn a_path_without_its_scheme_is_answered_with_it() {
    let get = ["get", "risk", "--at", "/run/skewless.sock"];
    says(
        &refused(&skewless(Path::new("."), &get), 1),
        &["seems to be a path", "next: try --at unix:/run/skewless.sock\n"],
    );
}

#[test]
fn a_taken_address_is_told_with_the_one_flag_that_moves_it() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let serves: [(&[&str], &str); 2] = [
        (&["--tcp", &at, "--http", ""], "--tcp (listen.tcp in the configuration), or stop"),
        (
            &["--tcp", "127.0.0.1:0", "--http", &at],
            "--http (listen.http in the configuration), or stop",
        ),
    ];
    for (words, next) in serves {
        let complaint = refused(&skewless(repo.path(), &[&["serve"], words].concat()), 1);
        says(&complaint, &[&at, &format!("next: give another address with {next}")]);
    }
}

#[test]
fn a_store_where_none_can_be_says_what_was_expected() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    for (store, came) in [("features.yaml", "came a file"), ("features.yaml/below", "came Not a")] {
        let commands: [&[&str]; 2] = [&["load"], &["serve", "--tcp", "127.0.0.1:0", "--http", ""]];
        for words in commands {
            let words = [words, &["--store", store]].concat();
            let complaint = refused(&skewless(repo.path(), &words), 1);
            says(&complaint, &[store, "expected the folder of a store", came, "give another"]);
        }
    }
}

#[test]
fn a_sidecar_whose_admin_service_is_off_says_how_to_switch_it_on() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let sidecar = Sidecar::start_with(repo, &["--http", "", "--set", "listen.admin=off"]);
    let get = ["get", "risk", "customer_id=7", "-r", "amount=1", "--at", "unix:sidecar.sock"];
    let complaint = refused(&skewless(repo, &get), 1);
    says(&complaint, &["AdminService", "switched off", "listen.admin", "next: set", "`local`"]);
    assert!(!complaint.contains("unix:PATH"), "no address helps\n{complaint}");
    sidecar.stop();
}

/// `serve --tcp 0.0.0.0:7667`, as one does in a container.
#[test]
fn a_sidecar_that_listens_for_other_machines_is_asked_but_not_loaded() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::write(repo.join("keys.csv"), "customer_id,amount\n7,1\n").unwrap();
    let sidecar = Sidecar::start_with(repo, &["--http", "", "--set", "listen.tcp=0.0.0.0:0"]);
    let port = sidecar.address("tcp").strip_prefix("0.0.0.0:").unwrap();
    let at = format!("127.0.0.1:{port}");
    let run = |words: &[&str]| skewless(repo, &[words, &["--at", &at]].concat());
    let complaint = refused(&run(&["load", "customer_orders"]), 1);
    says(&complaint, &["listen.admin", "PERMISSION_DENIED", "next: ", "unix:PATH", "0.0.0.0"]);
    done(&skewless(repo, &["load", "customer_orders", "--at", "unix:sidecar.sock"]));
    let json = done(&run(&["get", "risk", "customer_id=7", "-r", "amount=1", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["rows"][0]["features"]["adds.sum"].is_f64(), "{json}");
    let bench = ["bench", "serve", "risk", "--keys", "keys.csv", "--rate", "50"];
    let brief = ["--duration", "200ms", "--warmup", "100ms", "--threads", "1", "--timeout", "60s"];
    says(&done(&run(&[&bench[..], &brief].concat())), &["offered", "achieved"]);
    sidecar.stop();
}

#[test]
fn plugin_run_fails_only_the_rows_that_fail() {
    let sum = "(if (f64.lt (local.get $a) (f64.const 0)) (then unreachable)) (f64.add (local.get $a) (local.get $b))";
    let repo = repo_that_adds(DEFINITIONS, sum);
    let run = |rows: &str| {
        let mut child = command(repo.path(), &["plugin", "run", "plugins/adds.wasm"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
        done(&child.wait_with_output().unwrap())
    };
    let said = run("{\"a\":1,\"b\":2}\n{\"a\":-1,\"b\":2}\n{\"a\":3,\"b\":4}\n{\"a\":5}\n");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        (lines[0], lines[2], lines[3]),
        ("{\"sum\":3.0}", "{\"sum\":7.0}", "{\"sum\":null}")
    );
    assert!(lines[1].starts_with("{\"error\":\"plugin trapped"), "{said}");
}

#[test]
fn a_limit_of_the_settings_holds_wherever_a_plugin_is_looked_at() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let wat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/adds.wat");
    let adds = std::fs::read_to_string(wat).unwrap();
    // A page more than the 64 MiB that a plugin may have unless configured.
    let large = adds.replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 1025)");
    assert_ne!(large, adds);
    std::fs::write(repo.join("plugins/adds.wasm"), wat::parse_str(large).unwrap()).unwrap();
    std::fs::write(repo.join("rows.json"), "{\"a\":1,\"b\":2}").unwrap();
    let more = ["--set", "engine.memory_bytes_max=134217728"];
    let commands: [(&[&str], i32); 4] = [
        (&["check"], 3),
        (&["diff", ".", "."], 3),
        (&["plugin", "inspect", "plugins/adds.wasm"], 1),
        (&["plugin", "run", "plugins/adds.wasm", "rows.json"], 1),
    ];
    for (words, code) in commands {
        says(&refused(&skewless(repo, words), code), &["memory_bytes_max"]);
        done(&skewless(repo, &[words, &more].concat()));
    }
}

/// The help says so for both kinds of rows.
#[test]
fn plugin_run_takes_a_missing_parquet_column_as_null_if_it_may_be() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let wat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/adds.wat");
    let adds = std::fs::read_to_string(wat).unwrap();
    let changed = |changes: &[(&str, &str)]| {
        let mut text = adds.clone();
        for (from, to) in changes {
            // The signature is a text of the module, so it has its quotes escaped.
            let [from, to] = [from, to].map(|part| part.replace('"', "\\\""));
            assert!(text.contains(&from), "{from}");
            text = text.replace(&from, &to);
        }
        std::fs::write(repo.join("plugins/adds.wasm"), wat::parse_str(text).unwrap()).unwrap();
    };
    let amount = (r#""name":"a""#, r#""name":"amount""#);
    let run = || skewless(repo, &["plugin", "run", "plugins/adds.wasm", "data/orders.parquet"]);
    changed(&[amount]);
    let said = done(&run());
    assert_eq!(said.lines().count(), 1_000);
    assert!(said.lines().all(|line| line == "{\"sum\":null}"), "{said}");
    let needed = r#""name":"b","type":"float64","nullable":false"#;
    changed(&[amount, (r#""name":"b","type":"float64","nullable":true"#, needed)]);
    says(
        &refused(&run(), 1),
        &["came none for `b`", "next: its inputs are amount (float64?), b (float64)"],
    );
    changed(&[(r#""name":"a""#, r#""name":"other""#)]);
    says(
        &refused(&run(), 1),
        &["expected a column that is an input", "next: its inputs are other, b"],
    );
}
