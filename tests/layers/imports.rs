//! Which file of a crate uses which: read off the paths in its text, through modules and re-exports.
//!
//! A file uses another when it names something that is defined there. To declare a child, or to hand its names on with
//! `pub use`, is no use of it: otherwise every folder would be a circle. Tests may use anything and are left out.

use super::tokens::{Token, tokens, without_tests};
use std::collections::{BTreeMap, BTreeSet};

/// A module's names from the crate's root on.
type Path = Vec<String>;

/// For each file those that it uses, each with a path by which it does.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// What is defined here: types, functions, macros.
    items: BTreeSet<String>,
    /// Names that `use` brings in, with the paths that they stand for.
    bindings: BTreeMap<String, Path>,
    globs: Vec<Path>,
    /// Paths in the code, those of `use` included but not those of re-exported children.
    references: BTreeSet<Path>,
    /// Every name in the code outside of `use`.
    names: BTreeSet<String>,
    macros: BTreeSet<String>,
    macros_called: BTreeSet<String>,
}

/// The modules of one crate.
#[derive(Default)]
pub struct Crate {
    modules: BTreeMap<Path, Module>,
    /// Of declarations under `cfg(test)`.
    tests: BTreeSet<Path>,
}

const ITEMS: &[&str] = &["struct", "enum", "union", "trait", "fn", "type", "const", "static", "macro_rules"];

impl Crate {
    /// Of files by their path below `src`, and their text.
    pub fn read<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Crate {
        let mut read = Crate::default();
        for (file, text) in files {
            read.read_file(file, text);
        }
        let tests = std::mem::take(&mut read.tests);
        read.modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        read
    }

    fn read_file(&mut self, file: &str, text: &str) {
        let own = module_path(file);
        let all = tokens(text);
        let (code, test_modules) = without_tests(&all);
        self.tests.extend(test_modules.into_iter().map(|name| child(&own, &name)));
        // The innermost module and the depth of braces at which it ends.
        let mut stack = vec![(own.clone(), 0)];
        self.modules.entry(own).or_default().file = file.to_owned();
        let (mut depth, mut at) = (0, 0);
        while let Some(token) = code.get(at) {
            let (path, level) = stack.last().expect("the file's own module stays").clone();
            // A module within the file has braces of its own.
            let level = if stack.len() > 1 { level + 1 } else { level };
            let module = self.modules.get_mut(&path).expect("made when it was entered");
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => {
                    depth -= 1;
                    if stack.len() > 1 && stack.last().is_some_and(|(_, end)| *end == depth) {
                        stack.pop();
                    }
                }
                Token::Name(word) if word == "mod" => {
                    if let Some(Token::Name(name)) = code.get(at + 1) {
                        module.children.insert(name.clone());
                        if code.get(at + 2) == Some(&Token::Sign('{')) {
                            let inner = child(&path, name);
                            self.modules.entry(inner.clone()).or_default().file = file.to_owned();
                            stack.push((inner, depth));
                            depth += 1;
                        }
                        at += 2;
                    }
                }
                Token::Name(word) if word == "use" => {
                    let before = at.checked_sub(1).map(|before| &code[before]);
                    let handed_on = before
                        .is_some_and(|before| *before == Token::Sign(')') || *before == Token::Name("pub".into()));
                    at = module.read_use(&code, at + 1, handed_on);
                }
                Token::Name(word) => {
                    // A function within braces is a method, which no `use` names.
                    let is_method = word == "fn" && depth > level;
                    if ITEMS.contains(&word.as_str()) && !is_method {
                        let name = code[at + 1..].iter().find_map(|token| match token {
                            Token::Name(name) => Some(name),
                            _ => None,
                        });
                        if word == "macro_rules" {
                            module.macros.extend(name.cloned());
                        }
                        module.items.extend(name.cloned());
                    }
                    at = module.read_path(&code, at);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Draws who uses whom.
    pub fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        let macros: BTreeMap<&str, &str> = self
            .modules
            .values()
            .flat_map(|module| module.macros.iter().map(|name| (name.as_str(), module.file.as_str())))
            .collect();
        for (path, module) in &self.modules {
            let uses = graph.entry(module.file.clone()).or_default();
            let mut add = |file: &str, by: &Path| {
                if file != module.file {
                    uses.entry(file.to_owned()).or_insert_with(|| by.join("::"));
                }
            };
            for reference in &module.references {
                if let Some(file) = self.file_of(path, reference, 0) {
                    add(file, reference);
                }
            }
            for (name, to) in &module.bindings {
                if module.names.contains(name)
                    && let Some(file) = self.file_of(path, to, 0)
                {
                    add(file, to);
                }
            }
            for glob in &module.globs {
                for name in &module.names {
                    if let Some(file) = self.in_glob(path, glob, std::slice::from_ref(name), 0) {
                        add(file, &child(glob, name));
                    }
                }
            }
            for name in &module.macros_called {
                if !module.bindings.contains_key(name)
                    && let Some(file) = macros.get(name.as_str())
                {
                    add(file, &vec![format!("{name}!")]);
                }
            }
        }
        graph
    }

    /// The file that defines what `path` names, seen from `from`; none of other crates' things, and of bare modules.
    fn file_of(&self, from: &[String], path: &[String], depth: usize) -> Option<&str> {
        let mut at = from.to_vec();
        let mut rest = path;
        let mut anchored = false;
        while let [first, after @ ..] = rest {
            match first.as_str() {
                "crate" => at = Path::new(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            (rest, anchored) = (after, true);
        }
        self.walk(at, rest, anchored, depth)
    }

    fn walk(&self, mut at: Path, mut rest: &[String], mut anchored: bool, depth: usize) -> Option<&str> {
        // Names that stand for each other, as `use self::x` in a circle would, end here.
        if depth > 16 {
            return None;
        }
        while let [first, after @ ..] = rest {
            let module = self.modules.get(&at)?;
            if module.children.contains(first) {
                at.push(first.clone());
                (rest, anchored) = (after, true);
                continue;
            }
            if let Some(to) = module.bindings.get(first)
                && to.first() != Some(first)
            {
                return self.file_of(&at, &[to, after].concat(), depth + 1);
            }
            let globbed = || module.globs.iter().find_map(|glob| self.in_glob(&at, glob, rest, depth + 1));
            let here = module.items.contains(first);
            let found = if here { None } else { globbed() };
            // What a macro makes has no definition that can be read: it is of the module that was named.
            return found.or((here || anchored).then_some(module.file.as_str()));
        }
        None
    }

    /// The same of a name that may come out of `use glob::*`.
    fn in_glob(&self, from: &[String], glob: &[String], rest: &[String], depth: usize) -> Option<&str> {
        let target = self.module_of(from, glob)?;
        let module = self.modules.get(&target)?;
        let first = rest.first()?;
        let known = module.items.contains(first)
            || module.bindings.contains_key(first)
            || module.children.contains(first) && rest.len() > 1;
        if known { self.walk(target, rest, true, depth + 1) } else { None }
    }

    /// The module that a path names, without re-exports.
    fn module_of(&self, from: &[String], path: &[String]) -> Option<Path> {
        let mut at = from.to_vec();
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => at = Path::new(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => {
                    let module = self.modules.get(&at)?;
                    if module.children.contains(name) {
                        at.push(name.clone());
                    } else {
                        let to = module.bindings.get(name).filter(|to| index == 0 && to.first() != Some(name))?;
                        at = self.module_of(&at, to)?;
                    }
                }
            }
        }
        Some(at)
    }
}

impl Module {
    /// Reads a declaration up to its semicolon, and gives the semicolon's place.
    fn read_use(&mut self, code: &[Token], at: usize, handed_on: bool) -> usize {
        let end = code[at..].iter().position(|token| *token == Token::Sign(';')).map_or(code.len(), |end| at + end);
        let mut leaves = Vec::new();
        read_tree(&code[at..end], &Path::new(), &mut leaves);
        for (path, name) in leaves {
            let of_child = handed_on && {
                let first = path.iter().find(|name| *name != "self");
                first.is_some_and(|first| self.children.contains(first))
            };
            match name.as_str() {
                "*" => self.globs.push(path),
                _ => {
                    if !of_child {
                        self.references.insert(path.clone());
                    }
                    self.bindings.insert(name, path);
                }
            }
        }
        end
    }

    /// Reads a path, or a single name, and gives the place of its last part.
    fn read_path(&mut self, code: &[Token], mut at: usize) -> usize {
        let follows = at.checked_sub(1).is_some_and(|before| matches!(code[before], Token::Sign('.') | Token::PathSep));
        let mut path = Path::new();
        while let Some(Token::Name(name)) = code.get(at) {
            path.push(name.clone());
            if code.get(at + 1) != Some(&Token::PathSep) || !matches!(code.get(at + 2), Some(Token::Name(_))) {
                break;
            }
            at += 2;
        }
        if follows {
            return at;
        }
        self.names.insert(path[0].clone());
        if path.len() > 1 {
            self.references.insert(path);
        } else if code.get(at + 1) == Some(&Token::Sign('!')) && code.get(at + 2) != Some(&Token::Sign('=')) {
            self.macros_called.insert(path.remove(0));
        }
        at
    }
}

/// The leaves of `a::{b, c as d, e::*}`: each path, and the name that it gets.
fn read_tree(tree: &[Token], before: &Path, leaves: &mut Vec<(Path, String)>) {
    let (mut path, mut name, mut at) = (before.clone(), None, 0);
    while let Some(token) = tree.get(at) {
        match token {
            Token::Name(word) if word == "as" => {
                if let Some(Token::Name(other)) = tree.get(at + 1) {
                    name = Some(other.clone());
                }
                at += 1;
            }
            Token::Name(word) if word == "self" && path.len() > before.len() => {}
            Token::Name(word) if word == "self" && !before.is_empty() => name = before.last().cloned(),
            Token::Name(word) => {
                path.push(word.clone());
                name = Some(word.clone());
            }
            Token::Sign('*') => name = Some("*".into()),
            Token::Sign('{') => {
                let mut depth = 0;
                let mut start = at + 1;
                while let Some(inner) = tree.get(at) {
                    match inner {
                        Token::Sign('{') => depth += 1,
                        Token::Sign('}') => depth -= 1,
                        Token::Sign(',') if depth == 1 => {
                            read_tree(&tree[start..at], &path, leaves);
                            start = at + 1;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        return read_tree(&tree[start..at], &path, leaves);
                    }
                    at += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    leaves.extend(name.map(|name| (path, name)));
}

/// `a/mod.rs` and `a.rs` are `a`.
fn module_path(file: &str) -> Path {
    let stem = file.trim_end_matches(".rs");
    let mut path: Path = stem.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

fn child(of: &[String], name: &str) -> Path {
    let mut path = of.to_vec();
    path.push(name.to_owned());
    path
}

/// Files of which each reaches each other.
pub struct Knot {
    pub files: Vec<String>,
    /// A circle among them, with its first file at the end again.
    pub shortest: Vec<String>,
}

/// Every knot of a graph. A graph without circles has none.
pub fn circles(graph: &Graph) -> Vec<Knot> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for start in graph.keys() {
        if seen.contains(start.as_str()) {
            continue;
        }
        let reached = reach(graph, start);
        let knot: Vec<&str> =
            reached.keys().filter(|file| reach(graph, file).contains_key(start.as_str())).copied().collect();
        seen.extend(knot.iter().copied());
        if let Some(shortest) = knot.iter().map(|file| back_to(graph, file)).min_by_key(Vec::len) {
            found.push(Knot { files: knot.into_iter().map(str::to_owned).collect(), shortest });
        }
    }
    found
}

/// Every file that can be reached from `start`, with the one before it on a shortest way.
fn reach<'a>(graph: &'a Graph, start: &str) -> BTreeMap<&'a str, &'a str> {
    let (start, _) = graph.get_key_value(start).expect("only files of the graph are asked about");
    let mut before = BTreeMap::new();
    let mut next = std::collections::VecDeque::from([start.as_str()]);
    while let Some(file) = next.pop_front() {
        for to in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if !before.contains_key(to.as_str()) {
                before.insert(to.as_str(), file);
                next.push_back(to);
            }
        }
    }
    before
}

/// The way from a file back to itself.
fn back_to(graph: &Graph, start: &str) -> Vec<String> {
    let before = reach(graph, start);
    let mut circle = vec![start.to_owned()];
    let mut at = before[start];
    while at != start {
        circle.push(at.to_owned());
        at = before[at];
    }
    circle.push(start.to_owned());
    circle.reverse();
    circle
}

/// The reader itself: the files of a crate in one text each, and who uses whom.
#[test]
fn uses_are_read_off_the_text() {
    type Pairs = &'static [(&'static str, &'static str)];
    let table: [(Pairs, Pairs); 13] = [
        // To declare a child and to hand its names on is no use of it.
        (&[("lib.rs", "mod a; pub use a::A; pub use self::a::B;"), ("a.rs", "pub struct A; pub struct B;")], &[]),
        (&[("lib.rs", "mod a; pub use a::A; fn f(_: A) {}"), ("a.rs", "pub struct A;")], &[("lib.rs", "a.rs")]),
        // A re-export is seen through.
        (
            &[
                ("lib.rs", "mod a; mod b;"),
                ("a/mod.rs", "mod c; pub use c::C;"),
                ("a/c.rs", "pub struct C;"),
                ("b.rs", "use crate::a::C;"),
            ],
            &[("b.rs", "a/c.rs")],
        ),
        (
            &[
                ("lib.rs", "mod a; mod b;"),
                ("a/mod.rs", "mod c; pub use c::*;"),
                ("a/c.rs", "pub struct C;"),
                ("b.rs", "use super::a; fn f(_: a::C) {}"),
            ],
            &[("b.rs", "a/c.rs")],
        ),
        // A module that is named and not used further is no file's.
        (&[("lib.rs", "mod a; mod b;"), ("a.rs", "fn f() {}"), ("b.rs", "use crate::a;")], &[]),
        (
            &[("lib.rs", "mod a; mod b;"), ("a.rs", "fn f() {}"), ("b.rs", "use crate::a as c; fn g() { c::f() }")],
            &[("b.rs", "a.rs")],
        ),
        (
            &[("lib.rs", "mod a; mod b;"), ("a.rs", ""), ("b.rs", "use crate::{a::{self, x as y}, a::z};")],
            &[("b.rs", "a.rs")],
        ),
        (&[("lib.rs", "mod a; fn f() {}"), ("a.rs", "use super::*; fn g() { f() }")], &[("a.rs", "lib.rs")]),
        (&[("lib.rs", "mod a; fn f() {}"), ("a.rs", "use super::*; fn g() {}")], &[]),
        (
            &[("lib.rs", "mod a; mod b;"), ("a.rs", "macro_rules! m { () => { $crate::b::f() } }"), ("b.rs", "m! {}")],
            &[("a.rs", "b.rs"), ("b.rs", "a.rs")],
        ),
        (
            &[
                ("lib.rs", "mod a; fn f() {}"),
                ("a.rs", "mod inner { fn g() { super::super::f(); super::h() } } fn h() {}"),
            ],
            &[("a.rs", "lib.rs")],
        ),
        // Tests, comments and texts use nothing.
        (
            &[
                ("lib.rs", "mod a; fn f() {}"),
                ("a.rs", "// crate::f\n const T: &str = r#\"crate::f\"#; #[cfg(test)] mod tests { use crate::f; }"),
            ],
            &[],
        ),
        (
            &[
                ("lib.rs", "#[cfg(test)]\nmod a; fn f() {}"),
                ("a.rs", "use crate::f; mod b;"),
                ("a/b.rs", "use crate::f;"),
            ],
            &[],
        ),
    ];
    for (files, expected) in table {
        let graph = Crate::read(files.iter().copied()).graph();
        let found = graph.iter().flat_map(|(file, uses)| uses.keys().map(move |to| (file.as_str(), to.as_str())));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{files:?}");
    }
}

#[test]
fn circles_are_found() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (file, to) in edges {
            graph.entry((*file).into()).or_default().insert((*to).into(), String::new());
            graph.entry((*to).into()).or_default();
        }
        graph
    };
    assert!(circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    let found = circles(&graph(&[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "b"), ("y", "z"), ("z", "y")]));
    let knots: Vec<(Vec<&str>, usize)> =
        found.iter().map(|knot| (knot.files.iter().map(String::as_str).collect(), knot.shortest.len())).collect();
    assert_eq!(knots, [(vec!["a", "b", "c"], 3), (vec!["y", "z"], 3)]);
}
