//! Definitions to checked plans; pure: no I/O, no clock.
