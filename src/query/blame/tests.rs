//! Blame against a recomputation that shares no code with it, and case by case.

mod claims;
mod commits;
mod ends;
mod heals;
mod ledger;
mod properties;
mod restored;
mod set_back;
mod shapes;
