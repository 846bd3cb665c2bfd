//! The commands, one in each file: its arguments, and the function that runs it.

mod batch;
pub(crate) mod blame;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod connect;
mod context_entry;
mod contexts;
pub(crate) mod doctor;
mod dry_run;
pub(crate) mod explain;
pub(crate) mod export;
mod follow;
pub(crate) mod get;
pub(crate) mod history;
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
pub(crate) mod wait;
mod watch;
pub(crate) mod whoami;
