//! The gate fails when it must, says what to do, and keeps its file.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn machine(rustc: &str) -> Machine {
    Machine::from([("rustc".to_owned(), rustc.to_owned())])
}

fn baseline() -> Baseline {
    let entry = |instructions| Entry { instructions, reason: "as \"first\" \\ counted".to_owned() };
    let paths = [("decode", entry(10_000)), ("encode", entry(20_000))];
    let paths = paths.map(|(path, entry)| (path.to_owned(), entry));
    Baseline { machine: machine("1.95.0"), paths: paths.into() }
}

fn counts(decode: u64, encode: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([("decode".to_owned(), decode), ("encode".to_owned(), encode)])
}

fn verdicts(counts: &BTreeMap<String, u64>) -> Vec<Verdict> {
    baseline().judge(counts).iter().map(|judged| judged.verdict).collect()
}

#[test]
fn a_path_may_move_by_three_percent_and_no_more() {
    use Verdict::{Fallen, Kept, Risen};
    for (decode, encode, expected) in [
        (10_000, 20_000, [Kept, Kept]),
        (10_300, 19_400, [Kept, Kept]),
        (10_301, 20_000, [Risen, Kept]),
        (10_500, 20_000, [Risen, Kept]),
        (10_000, 19_399, [Kept, Fallen]),
    ] {
        assert_eq!(verdicts(&counts(decode, encode)), expected, "{decode} {encode}");
    }
}

#[test]
fn a_complaint_names_the_path_and_asks_for_the_reason() {
    assert_eq!(complaint(&baseline().judge(&counts(10_000, 20_000))), None);
    for (decode, encode, path, word) in [
        (10_500, 20_000, "decode", "more than 3 % more"),
        (10_000, 10_000, "encode", "tighten the baseline"),
    ] {
        let text = complaint(&baseline().judge(&counts(decode, encode))).unwrap();
        assert!(text.starts_with(path) && text.contains(word), "{text}");
        assert!(text.contains("reason") && text.contains(WRITE), "{text}");
    }
}

#[test]
fn paths_that_are_new_or_gone_are_complained_of() {
    let counts = BTreeMap::from([("decode".to_owned(), 10_000), ("store".to_owned(), 1)]);
    let text = complaint(&baseline().judge(&counts)).unwrap();
    assert!(text.contains("store: are not in") && text.contains("encode: are in"), "{text}");
}

#[test]
fn a_file_is_read_as_it_was_written() {
    assert_eq!(Baseline::parse(&baseline().text()).unwrap(), baseline());
}

#[test]
fn a_count_without_a_reason_is_refused() {
    for entry in ["instructions = 1", "instructions = 1\nreason = \" \"", "reason = \"why\""] {
        let error = Baseline::parse(&format!("[paths.\"a/b\"]\n{entry}\n")).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("path a/b") && error.contains("expected"), "{error}");
    }
    let error = baseline().renewed(&machine("1.95.0"), &counts(1, 1), " ").unwrap_err();
    assert!(error.to_string().contains("expected a reason"), "{error}");
}

#[test]
fn renewing_changes_what_has_moved_and_gives_only_that_the_reason() {
    let new = baseline().renewed(&machine("1.95.0"), &counts(10_100, 30_000), "dearer").unwrap();
    assert_eq!(new.paths["decode"], baseline().paths["decode"]);
    assert_eq!(new.paths["encode"], Entry { instructions: 30_000, reason: "dearer".to_owned() });
    assert_eq!(complaint(&new.judge(&counts(10_100, 30_000))), None);
}

#[test]
fn another_compiler_is_named_and_renews_everything() {
    assert!(baseline().other_machine(&machine("1.95.0")).is_empty());
    let differs = baseline().other_machine(&machine("1.96.0"));
    assert!(differs.len() == 1 && differs[0].contains("1.95.0") && differs[0].contains("1.96.0"));
    let new = baseline().renewed(&machine("1.96.0"), &counts(10_001, 20_000), "1.96").unwrap();
    assert_eq!(new.machine, machine("1.96.0"));
    assert_eq!(new.paths["decode"], Entry { instructions: 10_001, reason: "1.96".to_owned() });
}

#[test]
fn the_total_of_a_profile_is_read_and_nothing_counted_is_an_error() {
    assert_eq!(total("events: Ir\nsummary: 12\nfn=x\n1 12\ntotals: 12\n").unwrap(), 12);
    assert_eq!(total("events: Ir\nsummary: 12\n").unwrap(), 12);
    assert!(total("summary: 0\n").unwrap_err().to_string().contains("marker"));
    assert!(total("events: Ir\n").is_err());
}

#[test]
fn the_committed_baseline_can_be_read_and_has_a_reason_for_every_count() {
    let text = std::fs::read_to_string(BASELINE);
    let text = text.unwrap_or_else(|error| panic!("{BASELINE}, which {WRITE} makes: {error}"));
    let baseline = Baseline::parse(&text).unwrap();
    assert!(baseline.paths.len() >= 15 && baseline.machine.contains_key("rustc"));
}
