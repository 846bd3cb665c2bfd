//! The paths in a file: what it imports, what it re-exports, and its child modules.

use std::collections::HashMap;

use syn::{
    Attribute, Item, ItemMod, ItemUse, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// What a file says about its place among others.
#[derive(Default)]
pub(crate) struct File {
    /// The child modules that have files of their own.
    pub(crate) children: Vec<String>,
    /// The paths that its code uses.
    pub(crate) imports: Vec<Vec<String>>,
    /// The names that it re-exports, each with the path that it has inside.
    pub(crate) reexports: HashMap<String, Vec<String>>,
    /// How many modules without a file of their own surround what is being read.
    depth: usize,
}

/// Reads a file's code.
pub(crate) fn read(code: &str) -> syn::Result<File> {
    let mut file = File::default();
    file.visit_file(&syn::parse_file(code)?);
    Ok(file)
}

impl File {
    fn add(&mut self, path: Vec<String>) {
        // A path within an inner module starts as many levels deeper.
        let levels = path.iter().take_while(|name| *name == "super").count();
        match path.first().map(String::as_str) {
            Some("super") if levels <= self.depth => {}
            Some("super") => self.imports.push(path[self.depth..].to_vec()),
            Some("crate" | "self") => self.imports.push(path),
            _ => {}
        }
    }
}

impl Visit<'_> for File {
    fn visit_item(&mut self, item: &Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &ItemMod) {
        if module.content.is_none() {
            return self.children.push(module.ident.to_string());
        }
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        for (name, path) in leaves(&item.tree) {
            match item.vis {
                Visibility::Inherited => self.add(path),
                _ => drop(self.reexports.insert(name, path)),
            }
        }
    }

    fn visit_visibility(&mut self, _: &Visibility) {
        // `pub(super)` is no import.
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item has an attribute such as `#[cfg(test)]` or `#[cfg(all(test, unix))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string().contains("test"),
        _ => false,
    })
}

/// The names that a `use` brings in, each with its path.
fn leaves(tree: &UseTree) -> Vec<(String, Vec<String>)> {
    let within = |name: &syn::Ident, tree: &UseTree| {
        let prefix = name.to_string();
        let below = leaves(tree).into_iter();
        below
            .map(|(name, path)| match &*name {
                "self" => (prefix.clone(), vec![prefix.clone()]),
                _ => (name, [vec![prefix.clone()], path].concat()),
            })
            .collect()
    };
    match tree {
        UseTree::Path(path) => within(&path.ident, &path.tree),
        UseTree::Name(name) => vec![(name.ident.to_string(), vec![name.ident.to_string()])],
        UseTree::Rename(rename) => vec![(rename.rename.to_string(), vec![rename.ident.to_string()])],
        UseTree::Glob(_) => vec![("*".to_owned(), Vec::new())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}
