//! Backends around a backend that keep names and bytes.
