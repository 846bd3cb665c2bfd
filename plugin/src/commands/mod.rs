//! The commands, one in each file: its arguments, and the function that runs it.

mod batch;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod connect;
mod context_entry;
mod dry_run;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod options;
mod read;
mod selection;
pub(crate) mod set;
mod stored;
pub(crate) mod unset;
pub(crate) mod version;
mod wait;
pub(crate) mod whoami;
