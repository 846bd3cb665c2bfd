//! Pages of targets.

use super::*;

fn names(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|snapshot| &*snapshot.key.name).collect()
}

const MANAGED: Scope<'_> = Scope { all_targets: false, namespace: None };
const ALL: Scope<'_> = Scope { all_targets: true, namespace: None };

#[test]
fn a_page_holds_the_managed_targets_or_all() {
    let index = index();
    let page = |scope, after: Option<&TargetKey>, limit| index.state.lock().page(scope, after, limit);
    assert_eq!(names(&page(MANAGED, None, 10)), ["b", "c"]);
    let first = page(ALL, None, 3);
    assert_eq!(names(&first), ["a", "b", "c"]);
    let second = page(ALL, first.next.as_ref(), 3);
    assert_eq!((names(&second), second.next.as_ref()), (vec!["d"], None));
    assert_eq!(page(ALL, None, 4).next, None, "a page that ends with the last target has no next");
}

#[test]
fn one_hold_of_the_lock_examines_a_bounded_number_of_keys() {
    let index = Index::default();
    for number in 0..=MAX_EXAMINED {
        index.set_target(key(&format!("{number:04}")), Some(TargetState::default()));
    }
    let first = index.page(ALL, None);
    assert_eq!(first.entries.len(), MAX_EXAMINED);
    assert_eq!(index.page(ALL, first.next.as_ref()).entries.len(), 1);
    assert!(index.page(MANAGED, None).entries.is_empty());
}

#[test]
fn one_namespace_is_listed_by_itself() {
    let index = index();
    let [before, after] = ["shoo", "shop-2"].map(|namespace| TargetKey::new(namespace, "", "", "x").unwrap());
    for key in [&before, &after] {
        index.set_target(key.clone(), Some(TargetState::default()));
    }
    let shop = Scope { all_targets: true, namespace: Some("shop") };
    let page = |after: Option<&TargetKey>, limit| index.state.lock().page(shop, after, limit);
    let first = page(Some(&before), 2);
    assert_eq!((names(&first), first.next.as_ref()), (vec!["a", "b"], Some(&key("b"))));
    let second = page(first.next.as_ref(), 10);
    assert_eq!((names(&second), second.next.as_ref()), (vec!["c", "d"], None));
    assert!(page(Some(&after), 10).entries.is_empty());
}
