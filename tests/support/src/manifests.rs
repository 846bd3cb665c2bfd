//! Builders for manifests.

/// A Deployment, StatefulSet or ReplicaSet. Its image does not exist: kwok only simulates its pods.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    kind: &'static str,
    name: &'a str,
    replicas: Option<String>,
    revision: Option<String>,
    has_pods: bool,
}

impl<'a> Workload<'a> {
    /// A Deployment.
    pub const fn deployment(name: &'a str) -> Self {
        Self::new("Deployment", name)
    }

    /// A StatefulSet.
    pub const fn stateful_set(name: &'a str) -> Self {
        Self::new("StatefulSet", name)
    }

    /// A ReplicaSet that no Deployment controls.
    pub const fn replica_set(name: &'a str) -> Self {
        Self::new("ReplicaSet", name)
    }

    const fn new(kind: &'static str, name: &'a str) -> Self {
        Self { kind, name, replicas: None, revision: None, has_pods: true }
    }

    /// Sets `spec.replicas`, which is absent by default.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = Some(format!("replicas: {replicas}"));
        self
    }

    /// Sets the annotation `revision` of the pod template.
    #[must_use]
    pub fn revision(mut self, revision: &str) -> Self {
        self.revision = Some(format!("{revision:?}"));
        self
    }

    /// Replaces the two values by actions of a Helm template.
    pub(crate) fn template(mut self, replicas: &str, revision: &str) -> Self {
        self.replicas = Some(replicas.to_owned());
        self.revision = Some(revision.to_owned());
        self
    }

    /// Pauses a Deployment so that it gets no pods, for tests that change its count many times.
    #[must_use]
    pub const fn without_pods(mut self) -> Self {
        self.has_pods = false;
        self
    }

    /// The manifest in YAML.
    pub fn manifest(&self) -> String {
        let Self { kind, name, .. } = self;
        let replicas = self.replicas.as_deref().unwrap_or_default();
        let paused = if self.has_pods { "" } else { "paused: true" };
        let service = if *kind == "StatefulSet" { format!("serviceName: {name}") } else { String::new() };
        let annotations = self
            .revision
            .as_ref()
            .map(|revision| format!(", annotations: {{revision: {revision}}}"))
            .unwrap_or_default();
        format!(
            "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  {paused}
  {replicas}
  {service}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}{annotations}}}
    spec: {{containers: [{{name: main, image: example}}]}}
"
        )
    }
}

/// A ReplicaCount.
#[derive(Clone, Debug)]
pub struct ReplicaCountManifest<'a> {
    name: String,
    api_version: &'a str,
    kind: &'a str,
    target: &'a str,
    replicas: i64,
}

impl<'a> ReplicaCountManifest<'a> {
    /// The ReplicaCount of a Deployment.
    pub fn deployment(target: &'a str) -> Self {
        Self { name: format!("deployment.{target}"), api_version: "apps/v1", kind: "Deployment", target, replicas: 1 }
    }

    /// Sets another name than the one that the target requires.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets the apiVersion and the kind of the target.
    #[must_use]
    pub const fn of_kind(mut self, api_version: &'a str, kind: &'a str) -> Self {
        (self.api_version, self.kind) = (api_version, kind);
        self
    }

    /// Sets `spec.replicas`, which is 1 by default.
    #[must_use]
    pub fn replicas(mut self, replicas: impl Into<i64>) -> Self {
        self.replicas = replicas.into();
        self
    }

    /// The manifest in YAML.
    pub fn manifest(&self) -> String {
        let Self { name, api_version, kind, target, replicas } = self;
        format!(
            "apiVersion: replica-count-manager.io/v1
kind: ReplicaCount
metadata: {{name: {name}}}
spec: {{scaleTargetRef: {{apiVersion: {api_version}, kind: {kind}, name: {target}}}, replicas: {replicas}}}
"
        )
    }
}

/// One YAML document for each name.
pub fn all(names: &[String], manifest: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| manifest(name) + "---\n").collect()
}

/// Numbered names with a prefix: `web-0`, `web-1` and so on.
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}-{index}")).collect()
}
