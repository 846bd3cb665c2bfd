//! Objects by the keys of their targets.

use std::{
    collections::{
        BTreeMap,
        btree_map::{Entry, Range},
    },
    ops::Bound,
    sync::Arc,
};

use crate::resources::{GroupKind, TargetKey};

/// Objects by the keys of their targets, in the order of the keys. Those of one kind are found without a look at the
/// others.
pub(super) struct Objects<V> {
    all: BTreeMap<TargetKey, V>,
    /// How many objects of each kind each namespace has. The namespace comes first in the order of keys, so the keys of
    /// one kind are apart.
    places: BTreeMap<(GroupKind, Arc<str>), usize>,
}

impl<V> Default for Objects<V> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), places: BTreeMap::new() }
    }
}

impl<V> Objects<V> {
    /// The object of a target.
    pub(super) fn get(&self, key: &TargetKey) -> Option<&V> {
        self.all.get(key)
    }

    /// Whether a target has an object.
    pub(super) fn contains(&self, key: &TargetKey) -> bool {
        self.all.contains_key(key)
    }

    /// Stores the object of a target. Returns the one before.
    pub(super) fn insert(&mut self, key: TargetKey, object: V) -> Option<V> {
        match self.all.entry(key) {
            Entry::Occupied(mut known) => Some(known.insert(object)),
            Entry::Vacant(vacant) => {
                let TargetKey { namespace, kind, .. } = vacant.key();
                *self.places.entry((kind.clone(), namespace.clone())).or_default() += 1;
                vacant.insert(object);
                None
            }
        }
    }

    /// Removes the object of a target, and returns it.
    pub(super) fn remove(&mut self, key: &TargetKey) -> Option<V> {
        let removed = self.all.remove(key)?;
        let place = (key.kind.clone(), key.namespace.clone());
        if let Some(number) = self.places.get_mut(&place) {
            *number -= 1;
            if *number == 0 {
                self.places.remove(&place);
            }
        }
        Some(removed)
    }

    /// Removes the objects of a kind, and returns them.
    pub(super) fn remove_kind(&mut self, kind: &GroupKind) -> Vec<(TargetKey, V)> {
        let keys: Vec<_> = self.keys_of(kind).cloned().collect();
        keys.into_iter().filter_map(|key| self.remove(&key).map(|object| (key, object))).collect()
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &TargetKey> {
        self.all.keys()
    }

    /// The objects from a key on.
    pub(super) fn starting_at(&self, start: Bound<&TargetKey>) -> Range<'_, TargetKey, V> {
        self.all.range::<TargetKey, _>((start, Bound::Unbounded))
    }

    /// Whether a kind has objects.
    pub(super) fn has_kind(&self, kind: &GroupKind) -> bool {
        self.namespaces_of(kind).next().is_some()
    }

    /// The keys of the objects of a kind.
    pub(super) fn keys_of<'a>(&'a self, kind: &'a GroupKind) -> impl Iterator<Item = &'a TargetKey> {
        self.namespaces_of(kind).flat_map(move |namespace| {
            let first = TargetKey { namespace: namespace.clone(), kind: kind.clone(), name: Arc::default() };
            let keys = self.all.range(first..).map(|(key, _)| key);
            keys.take_while(move |key| key.kind == *kind && key.namespace == *namespace)
        })
    }

    /// The namespaces that have objects of a kind.
    fn namespaces_of<'a>(&'a self, kind: &'a GroupKind) -> impl Iterator<Item = &'a Arc<str>> {
        let first: (GroupKind, Arc<str>) = (kind.clone(), Arc::default());
        let places = self.places.range(first..).map(|(place, _)| place);
        places.take_while(move |(of, _)| of == kind).map(|(_, namespace)| namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_kind_are_known_as_they_come_and_go() {
        let key = |namespace: &str, kind: &str, name: &str| TargetKey::new(namespace, "apps", kind, name).unwrap();
        let names = |objects: &Objects<i32>, kind: &str| -> Vec<_> {
            let kind = key("any", kind, "x").kind;
            let keys: Vec<_> = objects.keys_of(&kind).map(|key| format!("{}/{}", key.namespace, key.name)).collect();
            assert_eq!(objects.has_kind(&kind), !keys.is_empty());
            keys
        };
        let mut objects = Objects::default();
        for (number, (namespace, kind, name)) in (0..).zip([
            ("shop", "Deployment", "web"),
            ("shop", "Deployment", "db"),
            ("shop", "StatefulSet", "db"),
            ("bank", "Deployment", "web"),
            ("shop", "Deploymentx", "web"),
        ]) {
            assert_eq!(objects.insert(key(namespace, kind, name), number), None);
        }
        assert_eq!(objects.insert(key("shop", "Deployment", "web"), 7), Some(0), "it replaces the one before");
        assert_eq!(names(&objects, "Deployment"), ["bank/web", "shop/db", "shop/web"]);
        assert_eq!(names(&objects, "StatefulSet"), ["shop/db"]);
        assert!(names(&objects, "Deploy").is_empty() && names(&objects, "ReplicaSet").is_empty());

        assert_eq!(objects.remove(&key("shop", "Deployment", "web")), Some(7));
        assert_eq!(objects.remove(&key("shop", "Deployment", "web")), None, "it is gone");
        assert_eq!(names(&objects, "Deployment"), ["bank/web", "shop/db"]);
        let removed = objects.remove_kind(&key("any", "Deployment", "x").kind);
        assert_eq!(removed, [(key("bank", "Deployment", "web"), 3), (key("shop", "Deployment", "db"), 1)]);
        assert!(names(&objects, "Deployment").is_empty());
        assert_eq!(objects.keys().count(), 2);
        assert_eq!(objects.places.len(), 2, "nothing is kept of a kind that is gone");
    }
}
