//! The plugin author's kit: transform attribute, export glue, native test runner.
