//! The tests of behaviour: the real programs on a real control plane.
//!
//! Most share one cluster with one server, and have a namespace each; those that break things start a cluster of their
//! own. Whatever happens to this process, its clusters end with it.

mod alerts;
mod authorization;
mod autoscalers;
mod certificate_rights;
mod certificate_secret;
mod certificates;
mod chart;
mod chart_install;
mod chart_rights;
mod client_certificates;
mod config_import;
mod crd;
mod custom_resources;
mod deployments;
mod endurance;
mod enforcement;
mod faults;
mod floods;
mod fuzz;
mod helm;
mod kept_counts;
mod krew;
mod kubectl_apply;
mod leader;
mod lifecycle;
mod limits;
mod login;
mod login_approval;
mod logs;
mod managed_certificates;
mod managed_chart;
mod metrics;
mod openssl_certificates;
mod outages;
mod ownership_rights;
mod pace;
mod plugin;
mod plugin_errors;
mod protobuf;
mod refusals;
mod replicas;
mod tls;
mod upgrades;
