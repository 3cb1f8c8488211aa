//! Tests of `sort.rs`: order, budget, pieces.

use arrow::array::{AsArray, BinaryArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::progress::Silent;

const MIB: usize = 1 << 20;

fn job(folder: &tempfile::TempDir) -> Arc<Job> {
    let path = folder.path().join("spill");
    Job::new(&path, u64::MAX, Arc::default(), CancelFlag::new(), Arc::new(Silent)).expect("a job")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("order", DataType::Binary, false),
        Field::new("text", DataType::Utf8, true),
    ]))
}

fn batch(keys: &[u64], text: usize) -> RecordBatch {
    let order = BinaryArray::from_iter_values(keys.iter().map(|key| key.to_be_bytes()));
    let texts =
        StringArray::from_iter_values(keys.iter().map(|key| format!("{}{key}", "0".repeat(text))));
    RecordBatch::try_new(schema(), vec![Arc::new(order), Arc::new(texts)]).expect("columns fit")
}

fn shuffled(rows: u64) -> Vec<u64> {
    (0..rows).map(|row| row * 7919 % rows).collect()
}

fn sort(
    job: &Job,
    budget_bytes: usize,
    keys: &[u64],
    text: usize,
) -> Result<Vec<u64>, OfflineError> {
    let batches: Vec<_> = keys.chunks(500).map(|keys| Ok(batch(keys, text))).collect();
    let spec = SortSpec {
        what: "numbers".to_owned(),
        schema: schema(),
        budget_bytes,
        batch_rows: batch_rows(budget_bytes, text + 8),
    };
    let mut sorted = job.sort(spec, futures::stream::iter(batches).boxed())?;
    let mut out = Vec::new();
    while let Some(batch) = job.next(&mut sorted)? {
        let texts = batch.column(1).as_string::<i32>();
        for (order, text) in batch.column(0).as_binary::<i32>().iter().zip(texts) {
            let key = u64::from_be_bytes(order.expect("a key").try_into().expect("8 bytes"));
            assert_eq!(text.expect("a text").parse(), Ok(key), "rows stay together");
            out.push(key);
        }
    }
    Ok(out)
}

#[test]
fn rows_come_sorted_whether_they_fit_in_memory_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = shuffled(100_003);
    let expected: Vec<u64> = (0..100_003).collect();
    let roomy = job(&folder);
    assert_eq!(sort(&roomy, 512 * MIB, &keys, 100).expect("sorted"), expected);
    assert_eq!(roomy.stats().spill_files, 0);
    drop(roomy);
    let tight = job(&folder);
    assert_eq!(sort(&tight, 2 * MIB, &keys, 100).expect("sorted"), expected);
    let stats = tight.stats();
    assert!(stats.spill_files > 1 && stats.spilled_bytes > 10 << 20, "{stats:?}");
    assert!(stats.peak_bytes <= 2 << 20, "{stats:?}");
    drop(tight);
    assert!(!folder.path().join("spill").exists());
}

#[test]
fn a_row_larger_than_the_budget_is_an_error_that_says_which_sort() {
    let folder = tempfile::tempdir().expect("a folder");
    let job = job(&folder);
    let came = sort(&job, MIB, &[2, 1], 4 * MIB);
    let Err(OfflineError::OutOfMemory { what, limit, .. }) = came else { panic!("{came:?}") };
    assert_eq!((what.as_str(), limit), ("numbers", 1 << 20));
}

#[test]
fn an_error_of_the_input_comes_out_as_it_went_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let job = job(&folder);
    let error = OfflineError::NoFiles { pattern: "x".to_owned() };
    let input = vec![Ok(batch(&[1], 1)), Err(job.fail(error))];
    let spec =
        SortSpec { what: String::new(), schema: schema(), budget_bytes: MIB, batch_rows: 10 };
    let mut sorted = job.sort(spec, futures::stream::iter(input).boxed()).expect("a sort");
    let came = job.next(&mut sorted);
    assert!(matches!(&came, Err(OfflineError::NoFiles { pattern }) if pattern == "x"), "{came:?}");
}

#[test]
fn pieces_are_small_and_whole_together() {
    let keys: Vec<u64> = (0..1000).collect();
    let all = batch(&keys, 1000);
    let parts = pieces(all.clone(), 100_000).expect("cut");
    assert!(parts.len() > 5 && parts.iter().all(|part| part.get_array_memory_size() <= 100_000));
    let joined = arrow::compute::concat_batches(&schema(), &parts).expect("joined");
    assert_eq!(joined, all);
    assert_eq!(pieces(batch(&[1], 1000), 1).expect("cut").len(), 1);
}

#[test]
fn a_spill_folder_in_use_is_not_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = job(&folder);
    let path = folder.path().join("spill");
    let second = Job::new(&path, u64::MAX, Arc::default(), CancelFlag::new(), Arc::new(Silent));
    assert!(matches!(second, Err(OfflineError::SpillBusy { .. })));
    drop(first);
    assert!(Job::new(&path, u64::MAX, Arc::default(), CancelFlag::new(), Arc::new(Silent)).is_ok());
}

#[test]
fn a_spill_folder_with_somebody_s_files_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("spill");
    std::fs::create_dir_all(path.join("mine")).expect("made");
    std::fs::create_dir_all(path.join("datafusion-1")).expect("made");
    let refused = Job::new(&path, u64::MAX, Arc::default(), CancelFlag::new(), Arc::new(Silent));
    assert!(matches!(refused, Err(OfflineError::SpillTaken { came, .. }) if came == "mine"));
    assert!(path.join("mine").exists() && path.join("datafusion-1").exists());
    assert!(!path.join("lock").exists());
}
