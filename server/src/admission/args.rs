//! The settings of the webhooks.

use std::net::{IpAddr, SocketAddr};

use anyhow::ensure;
use clap::Args;

use crate::{
    reviews::{AdmissionMode, UserNames},
    runtime::pod::PodArgs,
};

/// What the server does when a count is changed, and where the API server finds it.
#[derive(Args, Clone, Debug)]
pub struct AdmissionArgs {
    /// What the webhooks do when a count is changed; with off there are none
    #[arg(long, env, default_value = "off", value_name = "MODE")]
    pub(crate) admission_mode: AdmissionMode,

    /// Whether the status, Events and the log say who changed a count
    #[arg(long, env, default_value = "name", value_name = "USERS")]
    pub(crate) admission_users: UserNames,

    /// Address of the webhooks; [::] listens on IPv4 as well
    #[arg(long, env, default_value = "[::]:8443", value_name = "IP:PORT")]
    pub(crate) admission_address: SocketAddr,

    /// Service of the webhooks, which has no selector, and name of its EndpointSlice, which the leader writes
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) admission_service: String,

    /// Name of the configurations of the webhooks
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) admission_configuration: String,

    /// Account of this server: what it writes for users of the gRPC API is their change
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "USER")]
    pub(crate) admission_account: String,

    /// Groups whose members are neither warned nor kept from changing a count; in the variable, one on each line
    #[arg(long, env, value_delimiter = '\n', value_name = "GROUP")]
    pub(crate) admission_exempt_groups: Vec<String>,

    /// Address of this pod, for the EndpointSlice
    #[arg(long, env, value_name = "IP")]
    pub(crate) pod_ip: Option<IpAddr>,
}

impl AdmissionArgs {
    /// Checks that there is all that the webhooks need. Returns the pod's address, or `None` if there are no webhooks.
    ///
    /// # Errors
    ///
    /// Names what is missing.
    pub(crate) fn check(&self, pod: &PodArgs) -> Result<Option<IpAddr>, anyhow::Error> {
        if !self.admission_mode.is_on() {
            return Ok(None);
        }
        let (mode, pod_ip) = (self.admission_mode.label(), self.pod_ip.map(|ip| ip.to_string()).unwrap_or_default());
        for (name, value) in [
            ("ADMISSION_SERVICE", &self.admission_service),
            ("ADMISSION_CONFIGURATION", &self.admission_configuration),
            ("ADMISSION_ACCOUNT", &self.admission_account),
            ("POD_NAMESPACE", &pod.pod_namespace),
            ("POD_NAME", &pod.pod_name),
            ("POD_IP", &pod_ip),
        ] {
            ensure!(!value.is_empty(), "ADMISSION_MODE={mode} needs {name}");
        }
        Ok(self.pod_ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_is_missing_is_named() {
        let complete = AdmissionArgs {
            admission_mode: AdmissionMode::Record,
            admission_users: UserNames::Name,
            admission_address: ([127, 0, 0, 1], 0).into(),
            admission_service: "rcm-admission".into(),
            admission_configuration: "rcm-rcm-admission".into(),
            admission_account: "system:serviceaccount:rcm:rcm".into(),
            admission_exempt_groups: Vec::new(),
            pod_ip: Some([10, 0, 0, 1].into()),
        };
        let pod = PodArgs { pod_name: "a".into(), pod_namespace: "rcm".into(), ..PodArgs::default() };
        assert_eq!(complete.check(&pod).unwrap(), complete.pod_ip);
        for (args, pod, named) in [
            (AdmissionArgs { admission_service: String::new(), ..complete.clone() }, &pod, "ADMISSION_SERVICE"),
            (
                AdmissionArgs { admission_configuration: String::new(), ..complete.clone() },
                &pod,
                "ADMISSION_CONFIGURATION",
            ),
            (AdmissionArgs { admission_account: String::new(), ..complete.clone() }, &pod, "ADMISSION_ACCOUNT"),
            (AdmissionArgs { pod_ip: None, ..complete.clone() }, &pod, "POD_IP"),
            (complete.clone(), &PodArgs::default(), "POD_NAMESPACE"),
        ] {
            assert!(args.check(pod).unwrap_err().to_string().ends_with(named), "{named}");
            let off = AdmissionArgs { admission_mode: AdmissionMode::Off, ..args };
            assert_eq!(off.check(pod).unwrap(), None, "{named}");
        }
    }
}
