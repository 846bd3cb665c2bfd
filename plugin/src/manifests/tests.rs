use super::*;

pub(super) const DOCUMENTS: &str = "\
apiVersion: replica-count-manager.io/v1
kind: ReplicaCount
metadata:
  name: deployment.web
  namespace: shop
  labels: {app: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  replicas: 3
  reason: usual
  override:
    replicas: 10
    until: 2026-11-23T18:00:00Z
    thenUnset: true
status: {desired: 10}
---
apiVersion: replica-count-manager.io/v1
kind: ReplicaCount
metadata: {name: rollout.argoproj.io.web}
spec:
  scaleTargetRef: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: web}
  replicas: 0
  originalReplicas: 2
";

fn target(namespace: &str, group: &str, kind: &str) -> Target {
    let [namespace, group, kind, name] = [namespace, group, kind, "web"].map(str::to_owned);
    Target { namespace, group, kind, name }
}

fn refusal(text: &str) -> String {
    parse("x.yaml", text).unwrap_err().to_string()
}

#[test]
fn documents_and_lists_hold_targets_and_their_specs() {
    let read = parse("x.yaml", DOCUMENTS).unwrap();
    let until = "2026-11-23T18:00:00Z".parse().unwrap();
    let over = Override { replicas: 10, until, reason: String::new(), then_unset: true };
    let expected = [
        Manifest {
            target: target("shop", "apps", "Deployment"),
            spec: Spec { replicas: 3, original_replicas: None, reason: "usual".to_owned(), override_: Some(over) },
        },
        Manifest { target: target("", "argoproj.io", "Rollout"), spec: Spec::default() },
    ];
    assert_eq!(read, expected);
    let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(DOCUMENTS).unwrap();
    for kind in ["List", "ReplicaCountList"] {
        let list = serde_json::json!({"apiVersion": "v1", "kind": kind, "items": documents}).to_string();
        assert_eq!(parse("x.json", &list).unwrap(), expected, "{kind}");
    }
    let core = DOCUMENTS.replace("apps/v1", "v1");
    assert_eq!(parse("x.yaml", &core).unwrap()[0].target.group, CORE_GROUP);
}

#[test]
fn what_is_no_list_of_replica_counts_is_refused() {
    for (name, text, part) in [
        ("nothing", String::new(), "x.yaml holds no ReplicaCounts"),
        (
            "another kind",
            DOCUMENTS.replace("kind: ReplicaCount", "kind: Other"),
            "is no ReplicaCount: Other deployment",
        ),
        ("another group", DOCUMENTS.replace("replica-count-manager.io", "x.io"), "is no ReplicaCount"),
        ("a typing error", DOCUMENTS.replace("reason:", "raeson:"), "holds no ReplicaCounts that can be read"),
        ("no count", DOCUMENTS.replace("  replicas: 0\n", ""), "holds no ReplicaCounts that can be read"),
        (
            "a negative count",
            DOCUMENTS.replace("replicas: 3", "replicas: -3"),
            "deployment.web in x.yaml has a negative",
        ),
        (
            "a negative override",
            DOCUMENTS.replace("replicas: 10", "replicas: -10"),
            "deployment.web in x.yaml has a negative count",
        ),
        ("no spec", "apiVersion: replica-count-manager.io/v1\nkind: ReplicaCount".to_owned(), "has no spec"),
        ("a list in a list", "{kind: List, items: [{kind: List, items: []}]}".to_owned(), "is no ReplicaCount: List"),
    ] {
        assert!(refusal(&text).contains(part), "{name}: {}", refusal(&text));
    }
    let many = vec![DOCUMENTS; MAX_OBJECTS / 2 + 1].join("---\n");
    assert!(parse("x.yaml", &many).is_err(), "there are too many");
    let half = vec![DOCUMENTS; MAX_OBJECTS / 2].join("---\n");
    assert_eq!(parse("x.yaml", &half).unwrap().len(), MAX_OBJECTS);
}

#[test]
fn each_target_is_once_in_its_namespace() {
    let place = |text: &str, given| {
        let mut read = parse("x.yaml", text).unwrap();
        place(Path::new("x.yaml"), &mut read, given, given.unwrap_or("default")).map(|()| read)
    };
    let placed = place(DOCUMENTS, None).unwrap();
    assert_eq!(placed.iter().map(|it| it.target.namespace.as_str()).collect::<Vec<_>>(), ["shop", "default"]);
    assert!(place(DOCUMENTS, Some("shop")).is_ok());
    let other = place(DOCUMENTS, Some("other")).unwrap_err();
    assert!(other.to_string().contains("is of the namespace shop, not of other"), "{other}");
    let twice = place(&[DOCUMENTS, DOCUMENTS].join("---\n"), None).unwrap_err();
    assert!(twice.to_string().contains("deployment.apps/web in namespace shop is twice in x.yaml"), "{twice}");
}
