//! Open episodes.
