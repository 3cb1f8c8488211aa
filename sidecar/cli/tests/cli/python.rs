//! The example of a model server in Python, followed as docs/serving.md says: its stubs made, and the sidecar asked over
//! TCP and over its Unix socket. Its answers are those of our own client, to the last bit, and those on the page.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skewless_catalog::Digest;

use crate::{Sidecar, done, skewless};

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Asks a sidecar of the template's repo, on TCP and on `sidecar.sock` in `repo`.
pub(crate) fn asks_what_our_own_client_asks(repo: &Path, sidecar: &Sidecar) {
    let checkout = Path::new(CHECKOUT).canonicalize().unwrap();
    let page = std::fs::read_to_string(checkout.join("docs/serving.md")).unwrap();
    let (lines, shown) = (block(&page, "sh"), block(&page, "text"));
    let lines: Vec<&str> = lines.lines().collect();
    let [enter, make, install, stubs, ask] = lines[..] else { panic!("five lines: {lines:?}") };
    // Its folder elsewhere, so that no stubs come into the checkout.
    let above = tempfile::tempdir().unwrap();
    let folder = enter.strip_prefix("cd ").unwrap();
    let (example, here) = (checkout.join(folder), above.path().join(folder));
    std::fs::create_dir_all(&here).unwrap();
    std::fs::copy(example.join("ask.py"), here.join("ask.py")).unwrap();
    symlink(checkout.join("proto"), above.path().join("proto")).unwrap();
    let environment = environment(&example.join("requirements.txt"), &[make, install]);
    symlink(environment, here.join("venv")).unwrap();
    said(stubs, &here);

    let words = ["customer_id=7", "customer_id=8", "customer_id=99", "--json"];
    let amounts = ["-r", "amount=120", "-r", "amount=15.5", "-r", "amount=40"];
    let at = ["--at", "unix:sidecar.sock"];
    let ours = skewless(repo, &[&["get", "order_risk"], &words[..], &amounts, &at].concat());
    let ours: Value = serde_json::from_str(&done(&ours)).unwrap();
    assert!(ours["rows"][0]["features"]["basket.ratio"].is_f64(), "nothing to compare: {ours}");
    let socket = format!("unix:{}", repo.join("sidecar.sock").display());
    for address in [sidecar.address("tcp"), socket.as_str()] {
        let ask = ask.replace("127.0.0.1:7667", address);
        // Longer than its own deadline: the machine may be busy.
        let told = said(&format!("{ask} --deadline-ms 60000"), &here);
        // How old the values are changes from day to day.
        let lasting = |text: &str| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lasting(&told), lasting(shown), "not as docs/serving.md has it");
        same(&told, &ours);
    }
}

/// What the example printed is what our client printed, number by number.
fn same(told: &str, ours: &Value) {
    let part = |name: &str| -> Value {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        serde_json::from_str(line.unwrap_or_else(|| panic!("no {name} in\n{told}"))).unwrap()
    };
    let (names, rows, statuses, ages) =
        (part("names"), part("rows"), part("statuses"), part("ages_s"));
    let names: Vec<&str> = names.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let ours = ours["rows"].as_array().unwrap();
    assert_eq!((rows.as_array().unwrap().len(), names.len()), (ours.len(), 6));
    for (row, ours) in ours.iter().enumerate() {
        for (at, name) in names.iter().enumerate() {
            // A float's shortest text is its own alone, and both are read exactly.
            let (told, value) = (&rows[row][at], &ours["features"][name]);
            assert_eq!(told.to_string(), value.to_string(), "{name} of row {row}");
            let status = ours["missing"].get(name).and_then(Value::as_str).unwrap_or("PRESENT");
            assert_eq!(statuses[row][at], status, "{name} of row {row}");
        }
        let (age, time) = (&ages["customer_orders"][row], &ours["event_times"]["customer_orders"]);
        assert_eq!(age.is_null(), time.is_null(), "row {row}");
        assert!(age.is_null() || age.as_f64().unwrap() > 0.0, "row {row}: {age}");
    }
}

/// The page's first block of a language.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The example's Python environment, made by the page's lines once for all runs, and anew when its requirements or the
/// interpreter change. It is kept where `./dev` keeps what takes long, as it comes over the network.
fn environment(requirements: &Path, lines: &[&str]) -> PathBuf {
    let mut seen = std::fs::read(requirements).unwrap();
    seen.extend(said("python3 --version", Path::new(".")).into_bytes());
    seen.extend(lines.concat().into_bytes());
    let var =
        |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap().join(".cache");
    let cache = var("SKEWLESS_CACHE_DIR")
        .unwrap_or_else(|| var("XDG_CACHE_HOME").unwrap_or_else(home).join("skewless"));
    std::fs::create_dir_all(&cache).unwrap();
    let cache = cache.canonicalize().unwrap();
    let lock = std::fs::File::create(cache.join("python.lock")).unwrap();
    lock.lock().unwrap();
    let folder = cache.join(format!("python-{}", &Digest::of(&seen).to_string()[..12]));
    // Written last: without it a run was ended half way.
    let whole = folder.join("whole");
    if !whole.exists() {
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(requirements, folder.join("requirements.txt")).unwrap();
        for line in lines {
            said(line, &folder);
        }
        std::fs::write(whole, "").unwrap();
    }
    folder.join("venv")
}

/// Runs a line of the page; gives what it printed.
fn said(line: &str, folder: &Path) -> String {
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{line}\n{told}\nexpected Python with its venv module, and for the first run a package index: `./dev test` \
         installs python3-venv"
    );
    String::from_utf8(output.stdout).unwrap()
}
