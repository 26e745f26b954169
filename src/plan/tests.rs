//! What is planned, and why, in one statement per test.

mod autoscaled;
mod children;
mod contact;
mod contests;
mod drift;
mod gate;
mod health;
mod holds;
mod identity;
mod ignore;
mod later;
mod moves;
mod order;
mod policy;
mod properties;
mod proposed;
mod prune;
mod removal;
mod requests;
mod retry;
mod rollbacks;
mod settled;
mod transfer;
mod unapplied;
mod unrendered;
mod unseen;
