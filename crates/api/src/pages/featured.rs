//! What `/` names besides what every server has.

use super::html::escaped;
use std::sync::OnceLock;

/// Queues and performances of a demo. Each is a path and its label.
#[derive(Default)]
pub struct Featured(OnceLock<Vec<(String, String)>>);

impl Featured {
    /// Once, when the server has made them.
    pub fn set(&self, links: Vec<(String, String)>) {
        self.0.get_or_init(|| links);
    }

    /// As list items.
    pub fn html(&self) -> String {
        let links = self.0.get().map(Vec::as_slice).unwrap_or_default();
        let link = |(path, label): &(String, String)| {
            format!("<li><a href=\"{}\">{}</a></li>\n", escaped(path), escaped(label))
        };
        links.iter().map(link).collect()
    }
}
