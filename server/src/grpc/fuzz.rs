//! Fuzz targets: every text in a request, and every request.

mod calls;
mod requests;

use std::sync::Arc;

use super::{convert, page, selector::Selector, validate};
use crate::{
    index::{KindState, TargetSnapshot},
    resources::{Labels, ReplicaCount, TargetKey, fixtures::full_replica_count},
};

const NAMES: [&str; 6] = ["shop", "apps", "argoproj.io", "Deployment", "ReplicaCount", "replica-count-manager.io"];

#[test]
fn no_selector_makes_the_parser_panic() {
    let seeds = ["", "app", "!app", "app=web,tier!=db", "env in (a, b),tier notin (x)", "example.com/app == web"];
    fuzz::target("label selector").seeds(seeds).words(["in", "notin", "(", ")", ",", "=", "==", "!=", "!"]).text(
        |text| {
            let Ok(selector) = text.parse::<Selector>() else { return false };
            let labels = Labels::from(&[("app".to_owned(), "web".to_owned())].into());
            // A target that does not exist matches the empty selector only.
            let _ = (selector.matches(Some(&labels)), selector.matches(Some(&Default::default())));
            assert_eq!(selector.matches(None), selector == Selector::default());
            true
        },
    );
}

#[test]
fn every_page_token_leads_back_to_itself() {
    let seeds = ["shop/Deployment/apps/web", "a/Rollout/argoproj.io/b", "///"];
    fuzz::target("page token").seeds(seeds).words(NAMES).words(["/"]).text(|text| match page::parse_token(text) {
        Ok(Some(key)) => {
            assert_eq!(page::token(&key), text);
            true
        }
        Ok(None) => text.is_empty(),
        Err(_) => false,
    });
}

#[test]
fn a_resource_version_is_a_number_above_0() {
    fuzz::target("resource version").seeds(["1", "42", "123456789", "18446744073709551615"]).text(|text| {
        match validate::min_resource_version(text) {
            Ok(Some(version)) => {
                assert!(version > 0 && text.trim_start_matches(['+', '0']) == version.to_string());
                true
            }
            Ok(None) => text.is_empty(),
            Err(_) => false,
        }
    });
}

#[test]
fn the_name_of_every_replica_count_is_one_that_kubernetes_accepts() {
    let seeds = ["shop||| web", "shop|apps|StatefulSet|db", "shop|argoproj.io|Rollout|web.v1-2"];
    fuzz::target("target key").seeds(seeds.map(|seed| seed.replace(' ', ""))).words(NAMES).words(["|", ".", "-"]).text(
        |text| {
            let mut parts = text.splitn(4, '|');
            let [namespace, group, kind, name] = [(); 4].map(|()| parts.next().unwrap_or_default());
            let Ok(key) = TargetKey::new(namespace, group, kind, name) else { return false };
            assert!(key.replica_count_name().len() <= 253, "{key}");
            let again = TargetKey::new(&key.namespace, &key.kind.group, &key.kind.kind, &key.name);
            assert_eq!(again, Ok(key));
            true
        },
    );
}

#[test]
fn every_stored_replica_count_can_be_converted() {
    let seed = serde_json::to_vec(&full_replica_count()).unwrap();
    let words = ["null", "-9999-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "argocd.argoproj.io/tracking-id"];
    let now = "2026-01-01T12:00:00Z".parse().unwrap();
    fuzz::target("ReplicaCount to be converted").seeds([seed]).words(words).bytes(|input| {
        let Ok(count) = serde_json::from_slice::<ReplicaCount>(input) else { return false };
        let count = Some(Arc::new(count.into()));
        let key = TargetKey::new("shop", "", "", "web").unwrap();
        let snapshot = TargetSnapshot {
            key,
            count,
            target: None,
            kind: KindState::default(),
            autoscaler: None,
            at: now,
            replaced: None,
        };
        let message = convert::replica_count(&snapshot, now);
        let times =
            message.changes.iter().filter_map(|change| change.at).chain(message.last_drift.and_then(|it| it.at));
        assert!(times.into_iter().all(|time| (0..1_000_000_000).contains(&time.nanos)));
        true
    });
}
