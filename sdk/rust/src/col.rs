//! An argument of a column-wise transform: one whole input column, typed.

use core::marker::PhantomData;

use skewless_batch::ColumnView;

use crate::input::Input;

/// A column of `T`. `Col<'_, Option<T>>` says that the function deals with nulls; with `Col<'_, T>` the rows
/// with a null in it become null afterwards, whatever the function made of them.
#[derive(Clone, Copy)]
pub struct Col<'a, T> {
    view: ColumnView<'a>,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: Input<'a>> Col<'a, T> {
    /// Made by the attribute.
    #[doc(hidden)]
    #[must_use]
    pub fn new(view: ColumnView<'a>) -> Self {
        Col { view, of: PhantomData }
    }

    /// Rows, nulls included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.view.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.view.is_empty()
    }

    /// The value of a row; `None`: null, and `T` is no `Option`.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<T> {
        T::read(&T::reader(self.view), row)
    }

    /// The values row by row, as [`Col::get`] gives them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<T>> + Clone + use<'a, T> {
        let (rows, reader) = (self.view.len(), T::reader(self.view));
        (0..rows).map(move |row| T::read(&reader, row))
    }

    /// Everything about the column.
    #[must_use]
    pub fn view(&self) -> ColumnView<'a> {
        self.view
    }
}

impl<'a> Col<'a, f64> {
    /// All values as one slice, 0 in the rows of nulls: for loops that the compiler can vectorise. `None`
    /// only natively, if the batch happens not to be aligned.
    #[must_use]
    pub fn as_slice(&self) -> Option<&'a [f64]> {
        self.view.f64_slice()
    }
}

impl<'a> Col<'a, f32> {
    /// As for `f64`.
    #[must_use]
    pub fn as_slice(&self) -> Option<&'a [f32]> {
        self.view.f32_slice()
    }
}

impl<'a> Col<'a, i64> {
    /// As for `f64`.
    #[must_use]
    pub fn as_slice(&self) -> Option<&'a [i64]> {
        self.view.i64_slice()
    }
}
