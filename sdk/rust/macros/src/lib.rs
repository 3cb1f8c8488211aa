//! The transform attribute of the plugin author's kit.
