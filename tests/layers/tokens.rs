//! Rust's text cut into what tells who uses whom: names, `::` and signs. Comments, literals and tests are left out.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    Name(String),
    PathSep,
    Sign(char),
}

/// Cuts a text. A literal comes out as one sign: `"`.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    flatten(text.parse().expect("the compiler reads it, too"), &mut found);
    found
}

fn flatten(stream: TokenStream, found: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Ident(name) => found.push(Token::Name(name.to_string())),
            TokenTree::Literal(_) => found.push(Token::Sign('"')),
            // The name of a lifetime follows.
            TokenTree::Punct(sign) if sign.as_char() == '\'' => drop(trees.next()),
            TokenTree::Punct(sign) => {
                let is_first = sign.as_char() == ':' && sign.spacing() == Spacing::Joint;
                let is_path = |next: &TokenTree| matches!(next, TokenTree::Punct(next) if next.as_char() == ':');
                match is_first && trees.next_if(is_path).is_some() {
                    true => found.push(Token::PathSep),
                    false => found.push(Token::Sign(sign.as_char())),
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => unreachable!("no text has a group without brackets"),
                };
                found.push(Token::Sign(open));
                flatten(group.stream(), found);
                found.push(Token::Sign(close));
            }
        }
    }
}

/// The same without what stands under `cfg(test)`, and the modules that are declared there.
pub fn without_tests(all: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut code, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < all.len() {
        let starts = all[at..].starts_with(&[Token::Sign('#'), Token::Sign('[')]);
        let cfg = starts && all.get(at + 2) == Some(&Token::Name("cfg".into()));
        let end = if starts { closing(all, at + 1) } else { at };
        let cut = &all[at..=end.min(all.len() - 1)];
        let negated = cut.contains(&Token::Name("not".into()));
        if !(cfg && cut.contains(&Token::Name("test".into())) && !negated) {
            code.push(all[at].clone());
            at += 1;
            continue;
        }
        let mut start = end + 1;
        while all[start..].starts_with(&[Token::Sign('#'), Token::Sign('[')]) {
            start = closing(all, start + 1) + 1;
        }
        if let Some(Token::Name(word)) = all.get(start).filter(|word| **word != Token::Name("pub".into()))
            && word == "mod"
            && let Some(Token::Name(name)) = all.get(start + 1)
        {
            modules.push(name.clone());
        }
        at = item_end(all, start) + 1;
    }
    (code, modules)
}

/// Where an item, a statement or a field ends.
fn item_end(all: &[Token], start: usize) -> usize {
    let is_use = all[start..].iter().take(5).any(|token| *token == Token::Name("use".into()));
    let mut at = start;
    while let Some(token) = all.get(at) {
        match token {
            Token::Sign(';' | ',') => return at,
            Token::Sign('{') if !is_use => return closing(all, at),
            Token::Sign('(' | '[' | '{') => at = closing(all, at),
            Token::Sign(')' | ']' | '}') => return at - 1,
            _ => {}
        }
        at += 1;
    }
    all.len()
}

/// The bracket that closes the one at `at`.
fn closing(all: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in all.iter().enumerate().skip(at) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    all.len()
}
