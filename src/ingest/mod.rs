//! Where records come from.

pub mod files;
