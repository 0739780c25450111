//! The pages, in a real Chromium and over plain HTTP. The browser comes from `scripts/services up browser`.

mod common;

mod pages {
    mod attacks;
    mod browser;
    mod http;
}
