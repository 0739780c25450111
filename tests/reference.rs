//! The reference in `docs/reference` is generated from the code and compared with it. To write it anew:
//! `UPDATE_CONTRACTS=1 cargo test --test reference`.

mod reference_pages;

use reference_pages::{events, http, limits, metrics, problems, settings};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Holds a page against what the code says, or writes it.
#[track_caller]
fn page(name: &str, text: String) {
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/reference/{name} is not what the code says: UPDATE_CONTRACTS=1 cargo test --test reference"
    );
}

#[test]
fn http_is_what_the_handlers_say() {
    page("http.md", http::page());
}

#[test]
fn problems_are_those_of_the_code() {
    page("problems.md", problems::page());
}

#[test]
fn events_are_those_of_the_log() {
    page("events.md", events::page());
}

#[test]
fn settings_are_those_of_the_server() {
    page("settings.md", settings::page());
}

#[test]
fn limits_are_those_of_the_code() {
    page("limits.md", limits::page(&root()));
}

#[test]
fn metrics_are_those_of_the_server() {
    page("metrics.md", metrics::page());
}

/// Every page of the book is in its table of contents, and every relative link leads to a file that is there and, where
/// it names a heading, to that heading.
#[test]
fn no_link_is_broken() {
    let root = root();
    let mut pages = vec![root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("CHANGELOG.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let summary = fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
    let (mut wrong, mut links) = (Vec::new(), 0);
    for page in &pages {
        let shown = page.strip_prefix(&root).unwrap().display();
        let in_book = page.strip_prefix(root.join("docs")).ok().map(|path| path.to_string_lossy().into_owned());
        if in_book.is_some_and(|path| path != "SUMMARY.md" && !summary.contains(&format!("({path})"))) {
            wrong.push(format!("{shown} is not in docs/SUMMARY.md"));
        }
        let text = fs::read_to_string(page).unwrap();
        for target in targets(&text) {
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            if !path.exists() {
                wrong.push(format!("{shown}: there is no {target}"));
            } else if !heading.is_empty() && !has_heading(&path, heading) {
                wrong.push(format!("{shown}: {file} has no heading #{heading}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(links > 50, "only {links} links were found in {} pages", pages.len());
}

/// Where the links of a page lead that stay in the repository.
fn targets(text: &str) -> Vec<&str> {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        code ^= line.starts_with("```");
        !code && !line.starts_with("    ")
    });
    let found = lines.flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    found.filter(|target| !target.contains("://") && !target.contains(' ')).collect()
}

/// Whether a page has this heading, named as mdBook and GitHub name it.
fn has_heading(path: &Path, name: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let names = headings.map(|heading| {
        let plain = heading.to_lowercase().replace(' ', "-");
        plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    });
    names.into_iter().any(|found| found == name)
}
