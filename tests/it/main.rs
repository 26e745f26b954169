//! Tests that need the outside world: processes that are killed, and real files.

mod crash;
