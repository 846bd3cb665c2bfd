//! What each value of the chart can be.

mod shared;

use serde_json::{Value, json};

use self::shared::{labels, peers};
use super::DIGITS;

/// The certificate of a CA.
const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBbzCCARWgAwIBAgIUb0zfD573gzUBbbxVogLiFNEMYDEwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwHhcNMjYxMTI5MTMwMDUyWhcNMzYxMTI2MTMwMDUyWjAN
MQswCQYDVQQDDAJjYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB13R61RObjL
AXSPP1K7oz6LboFcoI2HNQEi7S2DxkvojHlhDmpJWDEKuhTj4/Oa16GHGrjktINL
mkylQiGsNgSjUzBRMB0GA1UdDgQWBBQPOVYUL/2pH28uWmgYj8/RgUbrZTAfBgNV
HSMEGDAWgBQPOVYUL/2pH28uWmgYj8/RgUbrZTAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0gAMEUCICw6XA7CgYkRZ5e9Y5Ufpw+A7eYF53pYRJNpeE2qh3cL
AiEAnnWOXnVQgOEfnK8R1jGy9ZoykTr82iTz1if87w5yTAc=
-----END CERTIFICATE-----
";

/// A value of the chart.
pub(super) struct Choice {
    /// Such as `image.tag`.
    pub(super) path: &'static str,
    /// What it can be.
    pub(super) valid: Vec<Value>,
    /// What its schema refuses.
    pub(super) invalid: Vec<Value>,
}

/// Every value of the chart.
pub(super) fn choices() -> Vec<Choice> {
    let all =
        [pods(), containers(), scheduling(), certificates(), rights(), admission(), monitoring(), others()].concat();
    let list = |values: Value| values.as_array().cloned().unwrap_or_default();
    all.into_iter().map(|(path, valid, invalid)| Choice { path, valid: list(valid), invalid: list(invalid) }).collect()
}

/// The path, a list of valid values, and a list of invalid ones.
type Row = (&'static str, Value, Value);

fn pods() -> Vec<Row> {
    let recreate = json!({"type": "Recreate", "rollingUpdate": null});
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    vec![
        ("replicaCount", json!([0, 1, 1_000_000]), json!(["1", -1, 3_000_000_000_i64])),
        ("image.repository", json!(["R.example:5000/x/y_z", "[::1]:5000/x"]), json!(["", "x:1", "a b", "X"])),
        ("image.tag", json!(["123", "1.0"]), json!([1.0, "a b", "x:y"])),
        ("image.digest", json!([digest]), json!(["latest", "sha256:0"])),
        ("image.pullPolicy", json!(["Always", "Never"]), json!(["Sometimes"])),
        ("imagePullSecrets", json!([[{"name": "123"}]]), json!([["x"], [{"name": "A"}]])),
        ("global.imageRegistry", json!(["r.example", "r.example:5000/x/"]), json!([1, "https://r.example"])),
        ("global.imagePullSecrets", json!([["123", {"name": "x", "other": 1}]]), json!([[1], ["A"], [{"name": ""}]])),
        ("podLabels", json!([{"team": "1e3"}]), json!([{"a": "b "}, {"a b": "x"}, {"app.kubernetes.io/name": "x"}])),
        (
            "podAnnotations",
            json!([{"a": "123", "kubectl.kubernetes.io/default-container": "x"}]),
            json!([{"a": 1}, {"a b": "x"}, {"helm.sh/hook": "test"}]),
        ),
        ("podSecurityContext", json!([{"runAsUser": 1_000_650_000, "fsGroup": null}]), json!([[], {"runAsUser": -1}])),
        ("terminationGracePeriodSeconds", json!([0, 1_000_000]), json!([-1, "30", 1e19])),
        ("revisionHistoryLimit", json!([0, 1_000_000]), json!([-1, "3", 1.5])),
        (
            "strategy",
            json!([recreate, {"rollingUpdate": {"maxSurge": "50%"}}]),
            json!([{"type": "Never"}, {"type": "Recreate"}, {"rollingUpdate": {"maxSurge": "many"}}]),
        ),
        (
            "deploymentAnnotations",
            json!([{"a.B/c": "true"}]),
            json!([{"a": 1}, {"a b": "x"}, {"helm.sh/hook": "test"}]),
        ),
    ]
}

fn containers() -> Vec<Row> {
    let handlers = json!([{"httpGet": null, "exec": {"command": ["x"]}}, {"periodSeconds": 7}]);
    let no_handlers = json!([{"exec": {"command": ["x"]}}, {"periodSeconds": 0}, {"period": 1}]);
    vec![
        ("securityContext", json!([{"readOnlyRootFilesystem": false}]), json!(["x", {"capabilities": ["ALL"]}])),
        (
            "resources",
            json!([{"limits": {"cpu": 1}}, {"limits": {"memory": "1e9"}}]),
            json!([[], {"limits": {"cpu": "x"}}]),
        ),
        ("livenessProbe", handlers.clone(), no_handlers.clone()),
        ("startupProbe", handlers.clone(), no_handlers.clone()),
        ("readinessProbe", handlers, no_handlers),
        (
            "initContainers",
            json!([[{"name": DIGITS, "image": "example", "command": ["true"]}]]),
            json!([[{"name": "x"}], [{"name": "server", "image": "example"}], [{"image": "example"}]]),
        ),
        (
            "extraEnv",
            json!([[{"name": "X", "value": "123"}, {"name": "Y"}]]),
            json!([[{"name": "a=b"}], [{"name": "X", "value": 1}], [{"value": "1"}]]),
        ),
        ("extraVolumes", json!([[{"name": "123", "emptyDir": {}}]]), json!([[{"name": "A"}], [{"emptyDir": {}}]])),
        (
            "extraVolumeMounts",
            json!([[{"name": "clients", "mountPath": "/again"}]]),
            json!([[{"name": "clients"}], [{"name": "clients", "mountPath": "a:b"}]]),
        ),
    ]
}

fn scheduling() -> Vec<Row> {
    let spread = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["123"]}]}]}}});
    vec![
        ("priorityClassName", json!(["system-cluster-critical"]), json!(["A", "a..b"])),
        ("hostUsers", json!([true, false]), json!(["x"])),
        ("runtimeClassName", json!([DIGITS]), json!(["A", "a..b"])),
        ("nodeSelector", json!([{"a": "123", "b.c/d": ""}]), json!([{"a": 1}, {"a": "b c"}, {"a b": "c"}])),
        (
            "tolerations",
            json!([[{"operator": "Exists"}], [{"key": "a", "value": "123", "effect": "NoExecute"}]]),
            json!([{}, [{"operator": "Maybe"}], [{"kez": "a"}]]),
        ),
        ("affinity", json!([affinity]), json!([[], {"nodeAfinity": {}}])),
        ("topologySpreadConstraints", json!([[], [spread]]), json!([{}, [{}], [{"maxSkew": 0}]])),
        ("dnsPolicy", json!(["Default", "None"]), json!(["default"])),
        (
            "dnsConfig",
            json!([{"nameservers": ["10.0.0.10"], "options": [{"name": "ndots", "value": "1"}]}]),
            json!([{"nameservers": "10.0.0.10"}, {"nameserver": []}, {"options": [{"value": "1"}]}]),
        ),
    ]
}

fn certificates() -> Vec<Row> {
    vec![
        ("certificates.mode", json!(["managed", "certManager", "existingSecret"]), json!(["none", "certmanager"])),
        ("certificates.existingSecret", json!([DIGITS]), json!(["A", "a..b", 1])),
        ("certificates.keys", json!(["server", "tls"]), json!(["x"])),
        ("certificates.dnsNames", json!([["*.example.com", "10.0.0.1", "::1"]]), json!([["a b"], ["a,b"], "x"])),
        (
            "certificates.issuerRef",
            json!([{"kind": "ClusterIssuer", "name": DIGITS}]),
            json!([{"names": "x"}, {"kind": "ClusterIssuer"}]),
        ),
        ("certificates.clients.enabled", json!([false]), json!(["no"])),
        ("certificates.clients.autoApprove", json!([false]), json!([1])),
        ("certificates.clients.maxHours", json!([1, 8760]), json!([0, 8761, 1.5])),
        ("certificates.clients.notBefore", json!(["2026-01-01T00:00:00Z"]), json!(["yesterday", "2026-01-01"])),
        ("certificates.clients.caSecret", json!([DIGITS]), json!(["A"])),
        ("certificates.clients.reservedNames", json!([["system:x"]]), json!([["a,b"], [""]])),
        ("tests.certificateSecret", json!([DIGITS]), json!(["A"])),
    ]
}

fn rights() -> Vec<Row> {
    let account = json!({"kind": "ServiceAccount", "name": DIGITS, "namespace": DIGITS});
    let group = json!({"kind": "Group", "name": "null", "apiGroup": "rbac.authorization.k8s.io"});
    let subjects = json!([[account], [group, {"kind": "User", "name": "a b"}]]);
    let others = json!([
        [{"kind": "Robot", "name": "x"}],
        [{"kind": "ServiceAccount", "name": "x"}],
        [{"kind": "Group", "name": "x", "apiGroup": "v1"}],
        [{"kind": "ServiceAccount", "name": "x", "namespace": "x", "apiGroup": "rbac.authorization.k8s.io"}],
    ]);
    vec![
        ("namespace", json!([DIGITS]), json!(["a.b", "A"])),
        (
            "targets",
            json!([
                [{"apiGroup": "123.example", "resource": "456"}],
                [{"apiGroup": "x.example", "resource": "a", "version": "v1alpha1", "replicasPath": ".spec.a.b-c"}]
            ]),
            json!([
                [{"apiGroup": "x"}],
                [{"apiGroup": "*", "resource": "pods"}],
                [{"apiGroup": "x", "resource": "a/scale"}],
                [{"apiGroup": "x", "resource": "a", "replicasPath": "spec.a"}],
                [{"apiGroup": "x", "resource": "a", "version": "*"}]
            ]),
        ),
        ("ownership", json!(["keep", "giveBack"]), json!(["take"])),
        ("fence.enabled", json!([true, false]), json!(["maybe"])),
        ("serviceAccount.create", json!([false]), json!(["x"])),
        ("serviceAccount.name", json!([DIGITS]), json!(["A", "a..b"])),
        ("serviceAccount.annotations", json!([{"a.B/c": "true"}]), json!([{"a": true}, {"a b": "x"}])),
        ("rbac.create", json!([false]), json!(["x"])),
        ("access.roles.create", json!([false]), json!(["x"])),
        ("access.viewers", subjects.clone(), others.clone()),
        ("access.editors", subjects.clone(), others.clone()),
        ("access.admins", subjects.clone(), others.clone()),
        ("access.connect", subjects.clone(), others.clone()),
        ("access.login", subjects, others),
    ]
}

fn admission() -> Vec<Row> {
    let selector = json!({"matchLabels": {"a.b/c": DIGITS}, "matchExpressions": [
        {"key": "d", "operator": "NotIn", "values": ["e", "true"]}, {"key": "f", "operator": "Exists"}]});
    let (peers, no_peers) = peers();
    vec![
        ("admission.mode", json!(["record", "warn", "guard", "off", false]), json!(["on", true])),
        ("admission.users", json!(["none", "name"]), json!(["hash"])),
        ("admission.exemptGroups", json!([["system:masters", "it's \"quoted\" <&>", DIGITS]]), json!([[1], [""]])),
        (
            "admission.namespaceSelector",
            json!([{"matchLabels": {"team": "true"}}, selector]),
            json!([{"matchLabel": {}}, {"matchExpressions": [{"key": "a", "operator": "Is"}]}, []]),
        ),
        ("admission.from", peers, no_peers),
        ("admission.caBundle", json!([CA]), json!(["x", 1])),
    ]
}

fn monitoring() -> Vec<Row> {
    let [labels, no_labels] = labels();
    let rules = json!([[{"sourceLabels": ["a"], "regex": "b|c", "action": "drop"}]]);
    let no_rules = json!([[{}], [{"source_labels": ["a"]}], [{"action": "remove"}]]);
    let token = json!({"credentials": {"name": DIGITS, "key": "token"}});
    let trust = json!({"serverName": "x", "ca": {"configMap": {"name": DIGITS, "key": "ca.crt"}}});
    vec![
        ("metrics.secure", json!([true]), json!(["x"])),
        ("metrics.authorization", json!([token]), json!([{"type": "x"}, {"credentials": {"name": "A", "key": "x"}}])),
        ("metrics.tlsConfig", json!([{"insecureSkipVerify": true}, trust]), json!([{"ca": {}}, {"serverNames": "x"}])),
        ("podMonitor.enabled", json!([true]), json!(["x"])),
        ("podMonitor.interval", json!(["30s", "1m30s"]), json!(["often", "1s1m"])),
        ("podMonitor.labels", labels.clone(), no_labels.clone()),
        ("podMonitor.relabelings", rules.clone(), no_rules.clone()),
        ("podMonitor.metricRelabelings", rules.clone(), no_rules.clone()),
        ("serviceMonitor.enabled", json!([true]), json!(["x"])),
        ("serviceMonitor.interval", json!(["30s", "1m30s"]), json!(["often", "1s1m"])),
        ("serviceMonitor.labels", labels.clone(), no_labels.clone()),
        ("serviceMonitor.relabelings", rules.clone(), no_rules.clone()),
        ("serviceMonitor.metricRelabelings", rules, no_rules),
        ("prometheusRule.enabled", json!([true]), json!(["x"])),
        ("prometheusRule.labels", labels.clone(), no_labels.clone()),
        ("prometheusRule.runbookUrl", json!(["", "https://example.com/alerts.md"]), json!(["a b", "x#y"])),
        ("prometheusRule.disabled", json!([["ReplicaCountManagerOtherServer"]]), json!([["Other"], "x", [1]])),
        ("prometheusRule.thresholds.correctionSeconds", json!([0.25, 4.5]), json!([0, -1, "1s", 5])),
        ("prometheusRule.thresholds.queueSeconds", json!([0.5, 60]), json!([0, "x"])),
        ("prometheusRule.thresholds.watchFailures", json!([0.001, 2]), json!([0, "x"])),
        ("prometheusRule.thresholds.apiServerErrors", json!([0.001, 1]), json!([0, 1.5, "5%"])),
        ("prometheusRule.thresholds.callErrors", json!([0.001, 1]), json!([0, 1.5, "5%"])),
        ("prometheusRule.thresholds.certificateHours", json!([0.5, 720]), json!([0, "1h"])),
        ("dashboard.enabled", json!([true]), json!(["x"])),
        ("dashboard.labels", labels, no_labels),
    ]
}

fn others() -> Vec<Row> {
    let [labels, no_labels] = labels();
    let (peers, no_peers) = peers();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}});
    let text = "{{ if .Values.rbac.create }}{apiVersion: v1, kind: ConfigMap, metadata: {name: x-y}}{{ end }}";
    vec![
        ("enabled", json!([true]), json!(["x"])),
        ("nameOverride", json!(["123", "true", "x"]), json!(["X", "x-"])),
        ("fullnameOverride", json!(["null", "x1e3", "a".repeat(63)]), json!(["123", "x_y", "a".repeat(64)])),
        ("namespaceOverride", json!([DIGITS]), json!(["a.b", "A"])),
        ("commonLabels", labels, no_labels),
        (
            "commonAnnotations",
            json!([{"a.B/c": "true", "d": ""}]),
            json!([{"a": true}, {"a b": "x"}, {"meta.helm.sh/release-name": "x"}]),
        ),
        ("crds.enabled", json!([false]), json!([0])),
        ("maxReplicas", json!([0, 2_000_000_000]), json!([-1, 3_000_000_000_i64])),
        ("logLevel", json!(["warn", "info,kube=debug"]), json!(["verbose", "info,kube"])),
        ("logFormat", json!(["json", "text"]), json!(["xml"])),
        ("service.type", json!(["NodePort", "LoadBalancer"]), json!(["ExternalName"])),
        (
            "service.annotations",
            json!([{"example.com/load-balancer": "internal"}]),
            json!([{"a": 1}, {"replica-count-manager.io/ca-configmap": "x"}]),
        ),
        ("service.ipFamilyPolicy", json!(["SingleStack", "PreferDualStack"]), json!(["DualStack"])),
        ("service.ipFamilies", json!([["IPv4"]]), json!([["IPv5"], ["IPv4", "IPv4"], "IPv4"])),
        ("service.grpc.port", json!([443, 8081]), json!([70_000, 0])),
        ("service.http.port", json!([443, 8080]), json!([70_000, "x"])),
        ("flowSchema.enabled", json!([true]), json!(["x"])),
        ("flowSchema.concurrencyShares", json!([1, 1000]), json!([-1, 0, 1001])),
        ("pdb.enabled", json!([false]), json!(["x"])),
        ("pdb.minAvailable", json!([1, 10_000_000, "50%"]), json!(["half", "200%", -1])),
        ("pdb.maxUnavailable", json!([0, 10_000_000, "100%"]), json!(["1", "101%", 1.5])),
        ("networkPolicy.enabled", json!([true]), json!(["x"])),
        ("networkPolicy.grpcFrom", peers.clone(), no_peers.clone()),
        ("networkPolicy.metricsFrom", peers.clone(), no_peers),
        (
            "networkPolicy.egress",
            json!([[{}], [{"ports": [{"port": 443}], "to": peers[0]}]]),
            json!([[{"from": []}], [{"to": [{}]}]]),
        ),
        ("extraObjects", json!([[], [object, text]]), json!([[1], [{"kind": "ConfigMap"}]])),
    ]
}
