//! Each limit at its edge: reached it is accepted, one more is refused by name.

use skewless_batch::layout::{DESCRIPTOR_BYTES, HEADER_BYTES};
use skewless_batch::{
    BATCH_BYTES_MAX, BatchError, BatchView, COLUMNS_MAX, Column, ColumnView, EMBEDDING_DIM_MAX,
    Parts, ROWS_MAX, Type, encode, encode_iter, encode_vec, encoded_len,
};

#[test]
fn rows_max() {
    let mut column = Column::new(Type::Bool);
    (0..ROWS_MAX).for_each(|row| column.push_bool(row % 3 == 0));
    let bytes = encode_vec(ROWS_MAX, &[column.view()]);
    assert_eq!(BatchView::parse(&bytes).unwrap().rows(), ROWS_MAX);

    column.push_bool(true);
    let refused = BatchError::RowsLimit { found: ROWS_MAX + 1 };
    let views = [column.view()];
    let mut out = vec![0; encoded_len(ROWS_MAX + 1, &views)];
    assert_eq!(encode(ROWS_MAX + 1, &views, &mut out), Err(refused));
    let parts = Parts { values: views[0].values_bytes(), ..Parts::default() };
    assert_eq!(ColumnView::new(Type::Bool, ROWS_MAX + 1, parts).unwrap_err(), refused);
}

#[test]
fn columns_max() {
    let column = Column::new(Type::Int32);
    let views = vec![column.view(); COLUMNS_MAX + 1];
    let bytes = encode_vec(0, &views[1..]);
    assert_eq!(BatchView::parse(&bytes).unwrap().columns(), COLUMNS_MAX);
    let mut out = vec![0; encoded_len(0, &views)];
    let refused = Err(BatchError::ColumnsLimit { found: COLUMNS_MAX + 1 });
    assert_eq!(encode(0, &views, &mut out), refused);
}

#[test]
fn batch_bytes_max() {
    // 1024 times the same 1 MiB: counted, not written, so the test needs no gigabyte.
    let mut column = Column::new(Type::Binary);
    column.push_binary(&vec![1; 1 << 20]);
    let views = std::iter::repeat_n(column.view(), 1024);
    let expected = skewless_batch::encoded_len_iter(1, views.clone());
    assert!(expected > BATCH_BYTES_MAX);
    let refused = Err(BatchError::BytesLimit { found: expected });
    assert_eq!(encode_iter(1, views, &mut [0; 64]), refused);
}

#[test]
fn embedding_dim_max() {
    let mut column = Column::new(Type::Embedding(EMBEDDING_DIM_MAX));
    column.push_null();
    let bytes = encode_vec(1, &[column.view()]);
    let view = BatchView::parse(&bytes).unwrap().column(0);
    assert_eq!(view.values_bytes().len(), 4 * EMBEDDING_DIM_MAX as usize);
    for dim in [0, EMBEDDING_DIM_MAX + 1] {
        assert!(std::panic::catch_unwind(|| Column::new(Type::Embedding(dim))).is_err());
    }
}

#[test]
fn a_small_batch_cannot_name_its_bytes_many_times() {
    // Without the rule against overlap 4096 descriptors could each ask for a check of the same text.
    let mut column = Column::new(Type::Utf8);
    column.push_utf8(&"a".repeat(1000));
    let mut bytes = encode_vec(1, &[column.view(), column.view()]);
    let (first, second) = (HEADER_BYTES, HEADER_BYTES + DESCRIPTOR_BYTES);
    bytes.copy_within(first..second, second);
    let refused = BatchView::parse(&bytes).unwrap_err();
    assert!(matches!(refused, BatchError::Overlap { column: 1, .. }), "{refused}");
}
