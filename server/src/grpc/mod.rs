//! The gRPC services: `replicas.v1.ReplicasService`, its translation `proto.DeploymentsService`, health and reflection.
//!
//! # Layout
//!
//! * [`serve()`]: puts the services together and serves them, within limits
//! * `call_limits`, `answer`, `deadline`, `lists`, `reflection`, `refusal`: the bounds of calls, of their requests and of their answers,
//!   and the refusals beyond them
//! * `service`: `ReplicasService`, which only delegates to the RPCs: `list`, `get`, `set`, `unset`, `watch`, `server_info`
//! * `deployments`: `DeploymentsService`, which translates to the same RPCs
//! * [`health`]: whether the services serve
//! * `backend`: what the RPCs share
//! * `validate`, `filter`, `selector`, `page`: from requests to domain types
//! * `caller`, `action`, `authorizer`, `reviews`, `denial`: whether RBAC allows the caller an action
//! * `conflicts`: checks for others who decide about a count
//! * `writer`: the writes of Set and Unset
//! * `convert`, `error`: from domain types to responses

mod action;
mod answer;
mod authorizer;
mod backend;
mod call_limits;
mod caller;
mod conflicts;
mod convert;
mod deadline;
mod denial;
mod deployments;
mod error;
mod filter;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fuzz;
mod get;
pub(crate) mod health;
mod list;
mod lists;
mod page;
mod reflection;
mod refusal;
mod reviews;
mod selector;
mod serve;
mod server_info;
mod service;
mod set;
mod unset;
mod validate;
mod watch;
mod writer;

pub(crate) use self::{
    authorizer::Authorizer,
    serve::{Context, serve},
};
