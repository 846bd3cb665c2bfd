//! The flags of the components: they run on loopback, in the cluster's folder, with the short intervals of a test.

use crate::cluster_files::{ClusterFiles, flag};
use crate::component::Component;
use crate::{egress, kwok};

/// The flags of a component.
pub(crate) fn of(component: Component, files: &ClusterFiles) -> Vec<String> {
    match component {
        Component::Etcd => etcd(files),
        Component::ApiServer => api_server(files),
        Component::ControllerManager => controller_manager(files),
        Component::Scheduler => client("scheduler", files.scheduler, files),
        Component::Kwok => kwok::arguments(files),
    }
}

fn etcd(files: &ClusterFiles) -> Vec<String> {
    let clients = format!("http://127.0.0.1:{}", files.etcd);
    let peers = format!("http://127.0.0.1:{}", files.etcd_peer);
    vec![
        flag("data-dir", &files.folder.join("etcd")),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ]
}

fn api_server(files: &ClusterFiles) -> Vec<String> {
    vec![
        format!("--etcd-servers=http://127.0.0.1:{}", files.etcd),
        format!("--secure-port={}", files.api_server),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        // Kubernetes refuses loopback addresses in endpoints, and nothing here uses the Service of the API server.
        "--endpoint-reconciler-type=none".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        flag("egress-selector-config-file", &egress::configuration_file(files)),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        flag("service-account-key-file", &files.pki("service-accounts.pub")),
        flag("service-account-signing-key-file", &files.pki("service-accounts.key")),
        flag("tls-cert-file", &files.pki("api-server.crt")),
        flag("tls-private-key-file", &files.pki("api-server.key")),
        flag("client-ca-file", &files.pki("cluster.crt")),
        flag("kubelet-client-certificate", &files.pki("kubelet-client.crt")),
        flag("kubelet-client-key", &files.pki("kubelet-client.key")),
        flag("kubelet-certificate-authority", &files.pki("cluster.crt")),
        "--kubelet-preferred-address-types=InternalIP".into(),
        flag("requestheader-client-ca-file", &files.pki("front-proxy.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        flag("proxy-client-cert-file", &files.pki("front-proxy-client.crt")),
        flag("proxy-client-key-file", &files.pki("front-proxy-client.key")),
        // High limits, so that tests measure the programs and not the limits that protect a production API server.
        "--max-requests-inflight=2000".into(),
        "--max-mutating-requests-inflight=1000".into(),
    ]
}

fn controller_manager(files: &ClusterFiles) -> Vec<String> {
    let mut arguments = client("controller-manager", files.controller_manager, files);
    arguments.extend([
        // Otherwise all controllers share one account, whose rights are not sufficient for most of them.
        "--use-service-account-credentials=true".into(),
        flag("service-account-private-key-file", &files.pki("service-accounts.key")),
        flag("root-ca-file", &files.pki("cluster.crt")),
        flag("cluster-signing-cert-file", &files.pki("cluster.crt")),
        flag("cluster-signing-key-file", &files.pki("cluster.key")),
        // The default is a folder outside of the cluster's folder.
        flag("flex-volume-plugin-dir", &files.folder.join("flex")),
    ]);
    arguments
}

/// The flags that the controller manager and the scheduler share. With their default rate limits, a pod would take
/// seconds.
fn client(user: &str, port: u16, files: &ClusterFiles) -> Vec<String> {
    let kubeconfig = files.kubeconfig(user);
    vec![
        flag("kubeconfig", &kubeconfig),
        flag("authentication-kubeconfig", &kubeconfig),
        flag("authorization-kubeconfig", &kubeconfig),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        "--leader-elect=false".into(),
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
    ]
}
