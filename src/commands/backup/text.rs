//! What both commands write: how far they are.

use indicatif::{ProgressBar, ProgressStyle};

/// How far it is.
pub fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} position {human_pos}");
    ProgressBar::new_spinner().with_style(style.expect("the template is a constant that parses"))
}
