//! The compile cache: a sound entry is used, any other is compiled anew and replaced.

use std::collections::HashMap;
use std::sync::Mutex;

use skewless_catalog::InstancePolicy::Reset;
use skewless_engine::{CompileCache, DirCache, Engine, EngineConfig, Worker};

use crate::harness::{call, config, engine, wasm};

#[derive(Default)]
struct MemoryCache {
    entries: Mutex<HashMap<String, Vec<u8>>>,
    puts: Mutex<usize>,
}

impl CompileCache for MemoryCache {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.entries.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        *self.puts.lock().unwrap() += 1;
        self.entries.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
    }
}

impl MemoryCache {
    fn puts(&self) -> usize {
        *self.puts.lock().unwrap()
    }

    fn only_entry(&self) -> (String, Vec<u8>) {
        let entries = self.entries.lock().unwrap();
        assert_eq!(entries.len(), 1);
        entries.iter().next().map(|(key, entry)| (key.clone(), entry.clone())).unwrap()
    }

    fn replace(&self, key: &str, entry: Vec<u8>) {
        self.entries.lock().unwrap().insert(key.to_owned(), entry);
    }
}

/// Loads through the cache and runs: the sum of 1 and 2.
fn runs(engine: &Engine, name: &str, cache: &dyn CompileCache) -> f64 {
    let plugin = engine.load(&wasm(name), Some(cache)).unwrap();
    call(&mut Worker::new(engine), &plugin, Reset, &[(1.0, 2.0)]).unwrap()[0]
}

#[test]
fn the_second_load_compiles_nothing_in_both_lanes() {
    let engine = engine();
    for (name, answer) in [("keeps_state_in_a_global", 3.0), ("component_answers", 42.0)] {
        let cache = MemoryCache::default();
        assert_eq!((runs(&engine, name, &cache), cache.puts()), (answer, 1));
        assert_eq!((runs(&engine, name, &cache), cache.puts()), (answer, 1), "{name}");
        let other = Engine::new(config()).unwrap();
        assert_eq!(
            (runs(&other, name, &cache), cache.puts()),
            (answer, 1),
            "an equal engine shares"
        );
    }
}

#[test]
fn damaged_and_cut_entries_are_compiled_anew_and_replaced() {
    let engine = engine();
    let cache = MemoryCache::default();
    runs(&engine, "adds", &cache);
    let (key, sound) = cache.only_entry();
    let places =
        (0..48).chain((48..sound.len()).step_by(sound.len() / 40)).chain([sound.len() - 1]);
    let flipped = places.map(|at| {
        let mut entry = sound.clone();
        entry[at] ^= 0x10;
        entry
    });
    let cut =
        [0, 1, 8, 39, 40, 41, sound.len() / 2, sound.len() - 1].map(|len| sound[..len].to_vec());
    let long = [sound.clone(), vec![0]].concat();
    let mut puts = cache.puts();
    for entry in flipped.chain(cut).chain([long]) {
        cache.replace(&key, entry);
        assert_eq!(runs(&engine, "adds", &cache), 3.0);
        puts += 1;
        assert_eq!(cache.puts(), puts, "compiled anew");
        assert_eq!(cache.only_entry().1, sound, "replaced");
    }
}

#[test]
fn an_entry_of_another_plugin_is_not_taken_for_this_ones() {
    let engine = engine();
    let (mine, theirs) = (MemoryCache::default(), MemoryCache::default());
    runs(&engine, "adds", &mine);
    runs(&engine, "keeps_state_in_its_image", &theirs);
    let (key, _) = mine.only_entry();
    mine.replace(&key, theirs.only_entry().1);
    assert_eq!((runs(&engine, "adds", &mine), mine.puts()), (3.0, 2));
}

#[test]
fn an_engine_with_other_settings_has_other_keys() {
    let cache = MemoryCache::default();
    runs(&engine(), "adds", &cache);
    // The deadline is no setting of the compiler, the number of rows neither.
    runs(&Engine::new(EngineConfig { rows_max: 7, ..config() }).unwrap(), "adds", &cache);
    assert_eq!(cache.puts(), 1);
    let mut keys: Vec<_> = cache.entries.lock().unwrap().keys().cloned().collect();
    assert_eq!(keys.len(), 1);
    assert!(
        keys.pop().unwrap().starts_with(&skewless_catalog::Digest::of(&wasm("adds")).to_string())
    );
}

#[test]
fn a_folder_is_a_cache_across_engines_and_survives_vandalism() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("cache");
    for _ in 0..2 {
        let cache = DirCache::open(&dir).unwrap();
        assert_eq!(runs(&engine(), "adds", &cache), 3.0);
    }
    let file = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let sound = std::fs::read(&file).unwrap();
    let text = b"not machine code".to_vec();
    for bad in [vec![], text, sound[..sound.len() / 2].to_vec()] {
        std::fs::write(&file, bad).unwrap();
        assert_eq!(runs(&engine(), "adds", &DirCache::open(&dir).unwrap()), 3.0);
        assert_eq!(std::fs::read(&file).unwrap(), sound);
    }
}

#[test]
fn one_thread_compiles_to_the_same_bytes_under_the_same_key() {
    let many = Engine::new(config()).unwrap();
    let one = Engine::new(EngineConfig { parallel_compilation: false, ..config() }).unwrap();
    for name in ["keeps_state_in_a_global", "component_answers"] {
        let (by_many, by_one) = (MemoryCache::default(), MemoryCache::default());
        many.load(&wasm(name), Some(&by_many)).unwrap();
        one.load(&wasm(name), Some(&by_one)).unwrap();
        assert!(by_many.only_entry() == by_one.only_entry(), "{name}");
    }
}
