//! Configuration files in, a valid configuration or every mistake out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::parse::of_environment;
use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("conf.toml"), &[])
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).unwrap_err().mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn values_reach_their_places() {
    let text = "repo_dir = \".\"\n[listen]\ntcp = \"[::1]:0\"\nunix = \"s.sock\"\nhttp = \"\"\nadmin = \"everywhere\"\n\
                [limits]\nrows_max = 1_0\nheader_bytes_max = 0x800\n[store]\nsync = true\n[engine]\ndeadline_ticks = 7\n";
    let config = parse(text).unwrap();
    assert_eq!(config.listen.tcp, Some("[::1]:0".parse().unwrap()));
    assert_eq!(config.listen.unix, Some("s.sock".into()));
    assert_eq!(config.listen.http, None);
    assert_eq!(config.listen.admin, Reach::Everywhere);
    assert_eq!((config.limits.rows_max, config.limits.header_bytes_max), (10, 2_048));
    assert!(config.store.sync);
    assert_eq!(config.engine.deadline_ticks, 7);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = Config::parse("store_dir = \"data\"\n", Path::new("src/conf.toml"), &[]).unwrap();
    assert_eq!(config.store_dir, Path::new("src/data"));
    assert_eq!(config.cache_dir, Path::new("src/.skewless/cache"));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let text = "repo_dir = \"nowhere\"\n[listen]\ntcp = \"localhost\"\nadmin = \"all\"\n[limits]\nrows_mx = 1\nrows_max = 0\n\
                columns_max = \"many\"\ndeadline_ms = 70_000\n[store]\nsync = 1\ncache_bytes = 1\nhot_bytes = 1\n[engine]\ndeadline_ticks = 0\n";
    let expected = [
        "conf.toml:3: listen.tcp: expected an address and port such as 127.0.0.1:7667 or [::1]:7667, came `localhost`",
        "conf.toml:4: listen.admin: expected off, local or everywhere, came `all`",
        "conf.toml:6: expected a known key, came `limits.rows_mx` (did you mean `limits.rows_max`?)",
        "conf.toml:7: limits.rows_max: expected a whole number from 1 to 1048576, came 0",
        "conf.toml:8: limits.columns_max: expected a whole number from 1 to 4096, came the string `many`",
        "conf.toml:11: store.sync: expected true or false, came the integer `1`",
        "conf.toml: store: expected cache_bytes of at least 1048576, came 1",
        "conf.toml: store: expected hot_bytes of at least 1048576, or 0 for none, came 1",
        "conf.toml: engine.deadline_ticks: expected at least 2, as the first may be cut short",
        "conf.toml: limits.deadline_ms: expected at most limits.deadline_ms_max (60000), came 70000",
        "conf.toml: repo_dir: expected a folder with definitions, came nowhere, which is none",
    ];
    assert_eq!(mistakes(text), expected);
}

#[test]
fn a_value_of_a_wrong_type_is_shown_as_far_as_it_is_of_use() {
    let told = |key: &str, value: &str| {
        let wrong = [Override::from_flag(&format!("{key}={value}")).unwrap()];
        let error = Config::parse("", Path::new(""), &wrong).unwrap_err();
        error.mistakes[0].message.rsplit_once(", ").unwrap().1.to_owned()
    };
    let (shown, longer) = ("y".repeat(64), "y".repeat(65));
    for (key, value, expected) in [
        ("store.sync", "yes", "came the string `yes`"),
        ("store.sync", "0x10", "came the integer `0x10`"),
        ("limits.rows_max", "1.5", "came the float `1.5`"),
        ("limits.rows_max", "true", "came the boolean `true`"),
        ("repo_dir", "2026-01-01", "came the datetime `2026-01-01`"),
        ("repo_dir", "[1]", "came a value of type array"),
        ("store.sync", shown.as_str(), format!("came the string `{shown}`").as_str()),
        ("store.sync", longer.as_str(), format!("came the string `{shown}..`").as_str()),
        ("listen.admin", longer.as_str(), format!("came `{shown}..`").as_str()),
    ] {
        assert_eq!(told(key, value), expected);
    }
}

#[test]
fn broken_syntax_has_its_line_too() {
    let found = mistakes("repo_dir = \".\"\n[limits\n");
    assert!(found[0].starts_with("conf.toml:2: "), "{found:?}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let found = mistakes("[listen]\ntcp = \"\"\n[limits]\ningest_rows_max = 70_000\n");
    let expected = [
        "conf.toml: listen: expected an address in tcp or unix, came none",
        "conf.toml: limits.ingest_rows_max: expected at most store.batch_rows_max (65536), came 70000",
    ];
    assert_eq!(found, expected);
    let long = format!("[listen]\nunix = \"{}\"\n", "x".repeat(101));
    assert_eq!(
        mistakes(&long),
        ["conf.toml: listen.unix: expected a path of at most 100 bytes, came 101"]
    );
}

#[test]
fn a_mistake_without_a_file_begins_with_the_setting() {
    let file = [Override::new("--repo", "repo_dir", "Cargo.toml")];
    let error = Config::parse("", Path::new(""), &file).unwrap_err();
    assert_eq!(
        error.mistakes[0].to_string(),
        "repo_dir: expected a folder with definitions, came Cargo.toml, which is a file: give the folder it is in"
    );
}

#[test]
fn overrides_win_over_the_file_and_name_their_origin() {
    let overrides = [
        Override::from_flag("limits.rows_max=5").unwrap(),
        Override::from_flag("listen.tcp = 127.0.0.1:0").unwrap(),
        Override::new("--store", "store_dir", "a \"b\""),
    ];
    let config =
        Config::parse("[limits]\nrows_max = 9\n", Path::new("conf.toml"), &overrides).unwrap();
    assert_eq!(config.limits.rows_max, 5);
    assert_eq!(config.listen.tcp, Some("127.0.0.1:0".parse().unwrap()));
    assert_eq!(config.store_dir, Path::new("a \"b\""));
    let wrong = [Override::from_flag("limits.rows_max=x").unwrap()];
    let error = Config::parse("", Path::new("conf.toml"), &wrong).unwrap_err();
    let message = "limits.rows_max: expected a whole number from 1 to 1048576, came the string `x`";
    assert_eq!(error.mistakes[0].to_string(), format!("--set limits.rows_max: {message}"));
    assert!(Override::from_flag("nonsense").is_err());
}

#[test]
fn environment_variables_need_two_underscores() {
    let variables = [
        ("SKEWLESS_PORT", "tcp://10.0.0.1"),
        ("SKEWLESS__LIMITS__ROWS_MAX", "3"),
        ("PATH", "/bin"),
    ];
    let found = of_environment(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let expected = Override {
        origin: "SKEWLESS__LIMITS__ROWS_MAX".into(),
        key: "limits.rows_max".into(),
        value: "3".into(),
    };
    assert_eq!(found, [expected]);
}

#[test]
fn variables_that_read_like_settings_but_are_none_are_refused_all_at_once() {
    let refused = |names: &[&str]| {
        let variables = names.iter().map(|name| ((*name).to_owned(), "1".to_owned()));
        let parsed = Config::parse("", Path::new(""), &of_environment(variables));
        let mistakes = parsed.err().map(|error| error.mistakes).unwrap_or_default();
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let told = |name: &str, meant: &str| {
        format!(
            "{name}: expected two underscores before each part of a setting's variable, came one ({meant})"
        )
    };
    let rows_max = "did you mean `SKEWLESS__LIMITS__ROWS_MAX`?";
    assert_eq!(
        refused(&[
            "SKEWLESS_LIMITS_ROWS_MAX",
            "SKEWLESS_LIMITS_ROW_MAX",
            "SKEWLESS_LIMITS__ROWS_MAX",
            "SKEWLESS_STORE_DIR",
            "SKEWLESS_REPO_DIR",
            "SKEWLESS_STORE",
            "SKEWLESS_ENGINE_ANYTHING",
            "SKEWLESS__LIMITS_ROWS_MAX",
        ]),
        [
            told(
                "SKEWLESS_ENGINE_ANYTHING",
                "`limits.rows_max` is `SKEWLESS__LIMITS__ROWS_MAX`"
            ),
            told("SKEWLESS_LIMITS_ROWS_MAX", rows_max),
            told("SKEWLESS_LIMITS_ROW_MAX", rows_max),
            told("SKEWLESS_LIMITS__ROWS_MAX", rows_max),
            told("SKEWLESS_REPO_DIR", "did you mean `SKEWLESS__REPO_DIR`?"),
            told("SKEWLESS_STORE", "`limits.rows_max` is `SKEWLESS__LIMITS__ROWS_MAX`"),
            told("SKEWLESS_STORE_DIR", "did you mean `SKEWLESS__STORE_DIR`?"),
            "SKEWLESS__LIMITS_ROWS_MAX: expected a known key, came `limits_rows_max` (did you mean `limits.rows_max`?)".to_owned(),
        ]
    );
    // What is read and isn't a setting, nearly.
    let near = |name: &str, meant: &str| {
        format!(
            "{name}: expected a variable that is read, came one that isn't (did you mean `{meant}`?)"
        )
    };
    assert_eq!(
        refused(&[
            "SKEWLESS_CONFG",
            "SKEWLESS_LOGG",
            "SKEWLESS_ATT",
            "SKEWLESS__LOG",
            "SKEWLESS_LIMTS_ROWS_MAX",
            "SKEWLESS_STOR_DIR",
        ]),
        [
            near("SKEWLESS_ATT", "SKEWLESS_AT"),
            near("SKEWLESS_CONFG", "SKEWLESS_CONFIG"),
            near("SKEWLESS_LIMTS_ROWS_MAX", "SKEWLESS__LIMITS__ROWS_MAX"),
            near("SKEWLESS_LOGG", "SKEWLESS_LOG"),
            near("SKEWLESS_STOR_DIR", "SKEWLESS__STORE_DIR"),
            near("SKEWLESS__LOG", "SKEWLESS_LOG"),
        ]
    );
    // What others read, and what Kubernetes sets for services called skewless and skewless-store.
    let others = [
        "SKEWLESS_AT",
        "SKEWLESS_BLESS",
        "SKEWLESS_CACHE_DIR",
        "SKEWLESS_CONFIG",
        "SKEWLESS_LOG",
        "SKEWLESS_LOG_SERVICE_HOST",
        "SKEWLESS_LOGS_PORT",
        "SKEWLESS_PEER_FEAST",
        "SKEWLESS_PORT",
        "SKEWLESS_SEED",
        "SKEWLESS_SERVICE_HOST",
        "SKEWLESS_STORE_SERVICE_HOST",
        "SKEWLESS_STORE_SERVICE_PORT_GRPC",
        "SKEWLESS_STORE_PORT",
        "SKEWLESS_STORE_PORT_7667_TCP_ADDR",
    ];
    assert_eq!(refused(&others), Vec::<String>::new());
}

#[test]
fn admin_and_ingest_are_local_unless_said_otherwise() {
    let listen = Listen::default();
    assert!(listen.admin.allows(true) && !listen.admin.allows(false));
    assert!(listen.ingest.allows(true) && !listen.ingest.allows(false));
    assert!(Reach::Everywhere.allows(false) && !Reach::Off.allows(true));
}
