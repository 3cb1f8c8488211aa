//! Tests of sealed entries and of the folder that keeps them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn an_entry_opens_only_whole_and_under_its_own_key() {
    let entry = seal("key", b"machine code");
    assert_eq!(open("key", &entry), Some(&b"machine code"[..]));
    assert_eq!(open("other", &entry), None, "another key");
    for len in 0..entry.len() {
        assert_eq!(open("key", &entry[..len]), None, "cut to {len}");
    }
    for at in 0..entry.len() {
        for bit in 0..8 {
            let mut flipped = entry.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(open("key", &flipped), None, "bit {bit} of byte {at} flipped");
        }
    }
    assert_eq!(open("key", &[&entry[..], b"x"].concat()), None, "longer");
}

#[test]
fn keys_tell_plugins_and_engines_apart_and_are_file_names() {
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    assert_ne!(key(&a, &a), key(&b, &a));
    assert_ne!(key(&a, &a), key(&a, &b));
    assert!(key(&a, &b).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
}

#[test]
fn a_folder_keeps_entries_for_its_owner_only_and_leaves_no_parts() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/b");
    let cache = DirCache::open(&dir).unwrap();
    assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(cache.get("key"), None);
    cache.put("key", b"one");
    cache.put("key", b"two");
    assert_eq!(cache.get("key").as_deref(), Some(&b"two"[..]));
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["key.cwasm"]);
    assert_eq!(std::fs::metadata(dir.join("key.cwasm")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(DirCache::open(&dir).unwrap().get("key").as_deref(), Some(&b"two"[..]));
}

#[test]
fn a_folder_others_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o770, 0o702] {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let error = DirCache::open(dir.path()).unwrap_err();
        assert!(
            matches!(error, DirCacheError::Writable { mode: came, .. } if came == mode),
            "{error}"
        );
    }
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    DirCache::open(dir.path()).unwrap();
}

#[test]
fn a_file_in_the_folders_place_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(DirCache::open(&file), Err(DirCacheError::Io { .. })));
}

#[test]
fn caches_opened_at_once_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| drop(DirCache::open(&folder).unwrap())));
        }
    });
}
