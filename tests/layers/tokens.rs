//! Rust's text cut into what tells who uses whom: names, `::` and signs. Comments, texts and tests are left out.

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    Name(String),
    PathSep,
    Sign(char),
}

/// Cuts a text. What stands in a text literal comes out as one sign: `"`.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                while i < chars.len() && !(at(i) == '*' && at(i + 1) == '/') {
                    i += 1;
                }
                i += 2;
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                found.push(Token::Sign('"'));
            }
            'r' if at(i + 1) == '"' || at(i + 1) == '#' && (at(i + 2) == '"' || at(i + 2) == '#') => {
                let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                i += hashes + 2;
                let ends = |i: usize| at(i) == '"' && (1..=hashes).all(|hash| at(i + hash) == '#');
                while i < chars.len() && !ends(i) {
                    i += 1;
                }
                i += hashes + 1;
                found.push(Token::Sign('"'));
            }
            // A character, or the name of a lifetime.
            '\'' => {
                if at(i + 1) == '\\' {
                    i += 3;
                    while i < chars.len() && at(i) != '\'' {
                        i += 1;
                    }
                    i += 1;
                } else if at(i + 2) == '\'' {
                    i += 3;
                } else {
                    i += 1;
                    while is_name(at(i)) {
                        i += 1;
                    }
                }
            }
            ':' if at(i + 1) == ':' => {
                found.push(Token::PathSep);
                i += 2;
            }
            c if is_name(c) => {
                let start = i;
                while is_name(at(i)) {
                    i += 1;
                }
                // `b"…"`: the literal follows.
                let name: String = chars[start..i].iter().collect();
                if !(at(i) == '"' && name == "b") {
                    found.push(Token::Name(name));
                }
            }
            c if c.is_whitespace() => i += 1,
            c => {
                found.push(Token::Sign(c));
                i += 1;
            }
        }
    }
    found
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
