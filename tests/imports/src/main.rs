//! Finds circles of imports between the files of a crate: `make imports` runs it.
//!
//! A file imports another one if a `use` or a path in it ends at an item of the other file, wherever that item is
//! re-exported. Declaring or re-exporting a child is no import. Code for tests does not count.

mod crate_files;
mod paths;

use std::{collections::HashMap, env, path::Path, process::ExitCode};

use anyhow::{Context, Result, ensure};
use petgraph::{algo::tarjan_scc, graph::DiGraph};

use crate_files::{Crate, Module};

fn main() -> Result<ExitCode> {
    let roots: Vec<String> = env::args().skip(1).collect();
    ensure!(!roots.is_empty(), "name the main files of crates, such as server/src/lib.rs");
    let mut code = ExitCode::SUCCESS;
    for root in roots {
        let files = Crate::read(Path::new(&root)).with_context(|| format!("failed to read {root}"))?;
        let circles = circles(&files);
        println!("{root}: {} files, {} circles of imports", files.modules.len(), circles.len());
        for circle in circles {
            code = ExitCode::FAILURE;
            println!("  {}", circle.join(" <-> "));
        }
    }
    Ok(code)
}

/// The files that import each other, circle by circle.
fn circles(files: &Crate) -> Vec<Vec<String>> {
    let mut graph = DiGraph::<&Module, ()>::new();
    let nodes: HashMap<&Module, _> = files.modules.keys().map(|module| (module, graph.add_node(module))).collect();
    for (module, file) in &files.modules {
        for import in &file.imports {
            if let Some(imported) = files.resolve(module, import).filter(|imported| imported != module) {
                graph.update_edge(nodes[module], nodes[&imported], ());
            }
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1);
    circles.map(|circle| circle.into_iter().map(|node| graph[node].join("::")).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of files, each with its module and its code.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let modules = files.iter().map(|(module, code)| {
            let module: Module = module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            (module, paths::read(code).unwrap())
        });
        let mut circles = circles(&Crate { modules: modules.collect() });
        circles.iter_mut().for_each(|circle| circle.sort());
        circles
    }

    #[test]
    fn circles_are_found_through_re_exports_and_paths_but_not_through_tests() {
        let circle = vec![vec!["a".to_owned(), "b".to_owned()]];
        for (name, files, expected) in [
            ("one way", vec![("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "pub struct B;")], vec![]),
            ("both ways", vec![("a", "use crate::b::B;"), ("b", "use super::a::{A, self};")], circle.clone()),
            ("by a path", vec![("a", "use super::b::B;"), ("b", "fn f() { crate::a::g() }")], circle.clone()),
            (
                "by a re-export of the parent",
                vec![("", "pub use a::A; pub use b::B;"), ("a", "use crate::B;"), ("b", "use crate::{A};")],
                circle,
            ),
            ("a parent's own item", vec![("", "pub use a::A; pub struct R;"), ("a", "use crate::R;")], vec![]),
            ("in tests", vec![("a", "use crate::b::B;"), ("b", "#[cfg(test)] mod tests { use crate::a::A; }")], vec![]),
        ] {
            assert_eq!(circles_of(&files), expected, "{name}");
        }
    }
}
