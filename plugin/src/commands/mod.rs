//! The commands, one in each file: its arguments, and the function that runs it.

pub(crate) mod adopt;
mod batch;
mod choice;
pub(crate) mod config;
mod connect;
mod consent;
mod context_entry;
mod dry_run;
pub(crate) mod export;
pub(crate) mod get;
mod journal;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod options;
mod preview;
mod read;
mod selection;
pub(crate) mod set;
pub(crate) mod undo;
pub(crate) mod unset;
pub(crate) mod version;
mod wait;
pub(crate) mod whoami;
mod write;
