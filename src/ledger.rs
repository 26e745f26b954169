//! The ledger: a totally ordered, hash-linked sequence of events and the blobs they name.

pub mod event;
