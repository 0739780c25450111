//! The pages of the reference, each made of what the code says about itself.

pub mod events;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod problems;
pub mod settings;

/// The first lines of every page.
fn head(title: &str, what: &str) -> String {
    format!("# {title}\n\n<!-- Generated: UPDATE_CONTRACTS=1 cargo test --test reference -->\n\n{what}\n")
}

/// Text for a cell of a table: one line, and no bar that would end the cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
