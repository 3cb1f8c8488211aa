//! The skewless command.
