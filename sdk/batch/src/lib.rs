//! Columnar batches and their byte layout: one definition for host and guest.
