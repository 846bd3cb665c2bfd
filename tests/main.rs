//! The end-to-end tests: the real programs on a real control plane.
//!
//! Most tests share one cluster with one server, and each has its own namespace. Tests that break things start a
//! cluster of their own. All clusters end with this process, however it ends.
//!
//! The modules are in the order of topics: admission, enforcement, the gRPC services, the plugin, certificates and login,
//! the chart, the release, operation, failures, fuzzing.

// Admission: webhooks name users, warn, and keep counts that are held.
mod admission;

// Enforcement: drifts are corrected, whichever tool causes them.
mod admission_changes;
mod autoscalers;
mod conditions;
mod core_group;
mod custom_resources;
mod enforcement;
mod event_names;
mod helm;
mod history;
mod kubectl_apply;
mod managed_by_tools;
mod ownership_rights;
mod remedies;
mod removed_counts;
mod rollouts;

// The gRPC services.
mod authorization;
mod call_costs;
mod crd;
mod deployments_service;
mod protobuf;
mod replicas_service;
mod request_validation;
mod unset_restore;

// The plugin.
mod config_export;
mod config_import;
mod krew;
mod kubeconfigs;
mod plugin;
mod plugin_address;
mod plugin_admission;
mod plugin_adopt;
mod plugin_blame;
mod plugin_bulk;
mod plugin_commands;
mod plugin_completion;
mod plugin_contexts;
mod plugin_doctor;
mod plugin_errors;
mod plugin_explain;
mod plugin_history;
mod plugin_impersonation;
mod plugin_kinds;
mod plugin_stored;
mod plugin_terminal;
mod plugin_transcript;
mod plugin_trust;
mod plugin_undo;
mod plugin_wait;
mod plugin_watch;
mod recordings;
mod transcript;

// Certificates and login.
mod certificate_rights;
mod certificate_secret;
mod certificates_command;
mod client_certificates;
mod login;
mod login_approval;
mod managed_certificates;
mod openssl_certificates;
mod revocation;
mod tls;

// The chart.
mod chart;
mod chart_defaults;
mod chart_install;
mod chart_metrics;
mod chart_rights;
mod chart_roles;
mod chart_values;
mod chart_webhooks;
mod examples;

// The release and the workflows.
mod released;
mod skew;
mod workflows;

// Operation.
mod alerts;
mod demo_kept;
mod leader;
mod lifecycle;
mod logs;
mod metrics;
mod secure_metrics;
mod upgrades;

// Failures, overload and long runs.
mod agreement;
mod api_server_outages;
mod api_server_pace;
mod api_server_requests;
mod broken_api_server;
mod connection_floods;
mod connection_memory;
mod crash_recovery;
mod endurance;
mod hostile_tenant;
mod http2_floods;
mod kinds;
mod lanes;
mod limits;
mod plain_port;
mod transport_limits;
mod unreadable_objects;
mod unreadable_replica_counts;

// Fuzzing.
mod fuzz;
