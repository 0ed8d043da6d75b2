//! Cuts a statement into the tokens that decide where placeholders are and where it ends.
//!
//! It is no parser: it knows just enough of each engine's lexical rules that a `?` in a string, a comment,
//! a quoted identifier, a cast or an array slice is never taken for a placeholder. It assumes the engines'
//! defaults, which the backends set: `standard_conforming_strings` on PostgreSQL, neither `ANSI_QUOTES` nor
//! `NO_BACKSLASH_ESCAPES` on MySQL.

use crate::{Dialect, StatementError};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a plain identifier.
    Word,
    /// A number.
    Number,
    /// A string or a dollar quote.
    String,
    /// A quoted identifier.
    Quoted,
    /// `?`
    Question,
    /// `$1`, or `?1` on SQLite.
    Numbered(usize),
    /// `:name`; on SQLite also `@name` and `$name`. The name starts after the first byte.
    Named,
    /// The end of a statement.
    Semicolon,
    /// Anything else, one or two bytes.
    Operator,
}

/// One token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
    /// The byte where it starts.
    pub at: usize,
}

/// Yields the tokens of a text, without white space and comments.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The brackets that are open, on PostgreSQL.
    brackets: Vec<Bracket>,
    /// What the last token was, where an array may follow.
    last: Last,
    dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    /// `ARRAY[…]`: a list.
    List,
    /// `a[…]`: an element or a slice, where a colon may stand between two bounds.
    Subscript,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The word ARRAY.
    Array,
    /// Something that has a value, so that a colon after it parts the bounds of a slice.
    Operand,
    /// `[`
    Open,
    Other,
}

impl<'a> Tokens<'a> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, brackets: Vec::new(), last: Last::Other, dialect }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Moves past white space and comments.
    fn skip_blank(&mut self) -> Result<(), StatementError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                // vertical tabs are white space for PostgreSQL and MySQL; a keyword must not hide behind one
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                // SQLite takes a byte order mark for white space
                (0xef, 0xbb) if self.dialect == Dialect::Sqlite && self.peek(2) == 0xbf => self.at += 3,
                (b'-', b'-') if self.starts_dash_comment() => self.skip_line(),
                (b'#', _) if self.dialect == Dialect::MySql => self.skip_line(),
                (b'/', b'*') => self.skip_block()?,
                _ => return Ok(()),
            }
        }
    }

    /// MySQL reads `--1` as a double minus.
    fn starts_dash_comment(&self) -> bool {
        self.dialect != Dialect::MySql || self.peek(2) <= b' '
    }

    /// PostgreSQL ends a line at a carriage return too, and what follows must not be taken for a comment.
    fn skip_line(&mut self) {
        let ends = |byte: u8| byte == b'\n' || byte == b'\r' && self.dialect == Dialect::Postgres;
        let length = self.bytes[self.at..].iter().position(|byte| ends(*byte));
        self.at = length.map_or(self.bytes.len(), |length| self.at + length);
    }

    fn skip_block(&mut self) -> Result<(), StatementError> {
        let start = self.at;
        let executes = self.peek(2) == b'!' || self.peek(2) == b'M' && self.peek(3) == b'!';
        if self.dialect == Dialect::MySql && executes {
            return Err(StatementError::Malformed(
                "a comment that MySQL or MariaDB executes (/*!, /*M!) is refused",
            ));
        }
        let mut depth = 1_usize;
        self.at += 2;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'*', b'/') => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (b'/', b'*') if self.dialect == Dialect::Postgres => {
                    self.at += 2;
                    depth += 1;
                }
                _ => self.at += 1,
            }
        }
        Err(StatementError::Unterminated { what: "comment", at: start })
    }

    /// Moves past a quoted text whose quote is doubled to stand for itself.
    fn skip_quoted(&mut self, quote: u8, what: &'static str, backslash: bool) -> Result<(), StatementError> {
        let start = self.at;
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if byte == b'\\' && backslash {
                self.at += 2;
            } else if byte != quote {
                self.at += 1;
            } else if self.peek(1) == quote && quote != b']' {
                self.at += 2;
            } else {
                self.at += 1;
                return Ok(());
            }
        }
        Err(StatementError::Unterminated { what, at: start })
    }

    /// Moves past `E'…'`, and past the strings on further lines that PostgreSQL reads as its continuation.
    fn skip_escaped(&mut self) -> Result<(), StatementError> {
        self.at += 1;
        loop {
            self.skip_quoted(b'\'', "string", true)?;
            let end = self.at;
            let mut is_new_line = false;
            loop {
                match (self.peek(0), self.peek(1)) {
                    (b' ' | b'\t' | 0x0b | 0x0c, _) => self.at += 1,
                    (b'\n' | b'\r', _) => {
                        is_new_line = true;
                        self.at += 1;
                    }
                    (b'-', b'-') => self.skip_line(),
                    _ => break,
                }
            }
            if !(is_new_line && self.peek(0) == b'\'') {
                self.at = end;
                return Ok(());
            }
        }
    }

    fn skip_word(&mut self) {
        while is_word(self.peek(0)) || self.peek(0) == b'$' {
            self.at += 1;
        }
    }

    /// Moves past digits and what may be part of a number, such as `0x1F` or `1.5e3`.
    fn skip_number(&mut self) {
        while is_word(self.peek(0)) || self.peek(0) == b'.' {
            self.at += 1;
        }
    }

    /// Reads `$1`, `$name`, `$tag$ … $tag$`.
    fn dollar(&mut self) -> Result<Kind, StatementError> {
        if self.peek(1).is_ascii_digit() {
            return self.numbered();
        }
        let start = self.at;
        self.at += 1;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        if self.dialect == Dialect::Postgres && self.peek(0) == b'$' {
            self.at += 1;
            let tag = &self.text[start..self.at];
            return match self.text[self.at..].find(tag) {
                Some(length) => {
                    self.at += length + tag.len();
                    Ok(Kind::String)
                }
                None => Err(StatementError::Unterminated { what: "dollar quote", at: start }),
            };
        }
        let named = self.dialect == Dialect::Sqlite && self.at > start + 1;
        Ok(if named { Kind::Named } else { Kind::Operator })
    }

    fn numbered(&mut self) -> Result<Kind, StatementError> {
        let start = self.at + 1;
        self.at = start;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        match self.text[start..self.at].parse() {
            Ok(number @ 1..=65_535) => Ok(Kind::Numbered(number)),
            _ => Err(StatementError::Malformed("the number of a placeholder must be 1 to 65535")),
        }
    }

    fn colon(&mut self) -> Kind {
        match self.peek(1) {
            b':' | b'=' => {
                self.at += 2;
                Kind::Operator
            }
            // in an array slice `a[1:n]` or `a[:n]` the name is a column
            next if starts_word(next) && !self.is_slice() => {
                self.at += 1;
                while is_word(self.peek(0)) {
                    self.at += 1;
                }
                Kind::Named
            }
            _ => self.operator(),
        }
    }

    /// Says whether a colon here parts the bounds of an array's slice.
    fn is_slice(&self) -> bool {
        self.brackets.last() == Some(&Bracket::Subscript) && matches!(self.last, Last::Operand | Last::Open)
    }

    fn at_sign(&mut self) -> Kind {
        self.at += 1;
        if self.dialect == Dialect::Postgres && self.peek(0) == b'?' {
            // the operator `@?` of JSON paths
            return self.operator();
        }
        if self.dialect != Dialect::Sqlite || !is_word(self.peek(0)) {
            return Kind::Operator;
        }
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        Kind::Named
    }

    fn question(&mut self) -> Result<Kind, StatementError> {
        match (self.dialect, self.peek(1)) {
            (Dialect::Sqlite, next) if next.is_ascii_digit() => self.numbered(),
            // `?||` and `?&&` are a placeholder and an operator
            (Dialect::Postgres, next @ (b'|' | b'&')) if self.peek(2) != next => {
                self.at += 2;
                Ok(Kind::Operator)
            }
            (Dialect::Postgres, b'?') => {
                self.at += 2;
                Ok(Kind::Operator)
            }
            _ => {
                self.at += 1;
                Ok(Kind::Question)
            }
        }
    }

    fn operator(&mut self) -> Kind {
        self.at += 1;
        Kind::Operator
    }

    fn bracket(&mut self) -> Result<Kind, StatementError> {
        match self.dialect {
            Dialect::Sqlite => self.skip_quoted(b']', "quoted identifier", false).map(|()| Kind::Quoted),
            Dialect::MySql => Ok(self.operator()),
            Dialect::Postgres => {
                let in_list = self.brackets.last() == Some(&Bracket::List);
                let is_list = self.last == Last::Array || in_list && self.last != Last::Operand;
                self.brackets.push(if is_list { Bracket::List } else { Bracket::Subscript });
                Ok(self.operator())
            }
        }
    }

    /// Remembers what was read, for the brackets and colons after it.
    fn note(&mut self, kind: Kind, text: &str) {
        self.last = match kind {
            Kind::Word if text.eq_ignore_ascii_case("array") => Last::Array,
            Kind::Operator if text == "[" => Last::Open,
            Kind::Operator | Kind::Semicolon if !matches!(text, "]" | ")") => Last::Other,
            _ => Last::Operand,
        };
    }

    fn token(&mut self) -> Result<Kind, StatementError> {
        let my_sql = self.dialect == Dialect::MySql;
        match self.peek(0) {
            0 => Err(StatementError::Malformed("the text holds a NUL character")),
            b'\'' => self.skip_quoted(b'\'', "string", my_sql).map(|()| Kind::String),
            b'"' if my_sql => self.skip_quoted(b'"', "string", true).map(|()| Kind::String),
            b'"' => self.skip_quoted(b'"', "quoted identifier", false).map(|()| Kind::Quoted),
            b'`' if self.dialect != Dialect::Postgres => {
                self.skip_quoted(b'`', "quoted identifier", false).map(|()| Kind::Quoted)
            }
            b'[' => self.bracket(),
            b']' => {
                self.brackets.pop();
                Ok(self.operator())
            }
            b'e' | b'E' if self.dialect == Dialect::Postgres && self.peek(1) == b'\'' => {
                self.skip_escaped().map(|()| Kind::String)
            }
            b'$' => self.dollar(),
            b'?' => self.question(),
            b':' => Ok(self.colon()),
            b'@' => Ok(self.at_sign()),
            b';' => {
                self.at += 1;
                Ok(Kind::Semicolon)
            }
            byte if byte.is_ascii_digit() => {
                self.skip_number();
                Ok(Kind::Number)
            }
            byte if starts_word(byte) => {
                self.skip_word();
                Ok(Kind::Word)
            }
            _ => Ok(self.operator()),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Result<Token<'a>, StatementError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.skip_blank() {
            self.at = self.bytes.len();
            return Some(Err(error));
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        match self.token() {
            Ok(kind) => {
                let text = &self.text[start..self.at];
                self.note(kind, text);
                Some(Ok(Token { kind, text, at: start }))
            }
            Err(error) => {
                self.at = self.bytes.len();
                Some(Err(error))
            }
        }
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Says whether a byte may stand inside a plain identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit()
}
