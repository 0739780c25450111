//! The gate: its route, the proxies that ask it, and the checkers that ask nobody, each started for real.

mod common;
mod gates {
    mod browser;
    mod checkers;
    mod guide;
    mod keys;
    mod process;
    mod proxies;
    mod route;
    mod shop;
    mod tokens;
}
