//! The kit as an author uses it, natively: types, nulls, errors, columns, signatures, and the compiler's
//! words for mistakes. The same plugins as guests are the end-to-end harness's matter.

mod bytes;
mod columns;
mod compile_fail;
mod golden;
mod matrix;
mod rows;
mod signature;
