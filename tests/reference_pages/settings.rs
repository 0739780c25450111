use super::head;
use config::{Preset, SETTINGS};
use std::fmt::Write;

pub fn page() -> String {
    let mut text = head(
        "Settings",
        "Every setting of `onsale serve`: in the file that `--config` names, as a variable of the environment, or as a flag; the \
         later one wins. What is marked *reload* changes on SIGHUP, the rest at the next start. `onsale config` prints what \
         comes out and where each value is from. [Configuration](../guides/configure.md) explains how files are read.",
    );
    let mut table = "";
    for setting in SETTINGS {
        if setting.table != table {
            table = setting.table;
            writeln!(text, "\n## {table}").unwrap();
        }
        writeln!(text, "\n### {}\n", setting.path()).unwrap();
        for paragraph in setting.paragraphs() {
            writeln!(text, "{}.\n", paragraph.trim_end_matches('.').replace('<', "&lt;")).unwrap();
        }
        let default = match (setting.preset(), setting.preset) {
            (Some(raw), _) => format!("default `{raw}`"),
            (None, Preset::Nothing("")) => "not set by default".into(),
            (None, Preset::Nothing(what)) => format!("not set by default: {what}"),
            (None, _) => unreachable!("every other preset is a value"),
        };
        let reload = if setting.reload { "; *reload*" } else { "" };
        if setting.flag_only {
            writeln!(text, "`--{}`; a flag only.", setting.flag()).unwrap();
        } else {
            let names = format!("`{}`, `--{}`", setting.variable(), setting.flag());
            writeln!(text, "{names}; {}; {default}{reload}.", setting.takes()).unwrap();
        }
    }
    text
}
