//! One statement that was checked: its text for the engine, its placeholders, its verb.

use std::sync::Arc;

use crate::{
    Dialect, Params, StatementError, Value,
    screen::{is_word, screen},
    tokenizer::{Kind, Token, Tokens, is_word as is_part_of_word},
};

/// A single statement that may be sent; parsing costs about a microsecond, so lanes keep it in a
/// [`Memo`](crate::memo::Memo).
#[derive(Clone, Debug)]
pub struct Statement {
    sql: Arc<str>,
    verb: Verb,
    style: Style,
    /// For each placeholder of the engine, the parameter that it takes.
    slots: Box<[usize]>,
    /// The names of the parameters; empty unless they are named.
    names: Box<[Box<str>]>,
    count: usize,
}

/// What a statement does, by its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// SELECT, VALUES, TABLE or SHOW.
    Select,
    /// WITH: reads or writes, its text alone does not say.
    With,
    /// EXPLAIN.
    Explain,
    /// INSERT or REPLACE.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// CREATE, ALTER, DROP and other changes of the schema.
    Schema,
    /// VACUUM.
    Vacuum,
    /// PRAGMA.
    Pragma,
    /// Anything else.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    None,
    Question,
    Numbered,
    Named,
}

impl Style {
    fn name(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Question => "`?`",
            Self::Numbered => "`$1`",
            Self::Named => "`:name`",
        }
    }
}

impl Statement {
    /// Checks a text and rewrites its placeholders for `dialect`.
    ///
    /// # Errors
    /// Refuses no statement, two statements, unterminated quotes, mixed placeholders, and statements that
    /// no backend lets through (transaction control, ATTACH, settings of the connection …).
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, StatementError> {
        if text.contains('\0') {
            // SQLite stops there, and would run what stands before it
            return Err(StatementError::Malformed("the text holds a NUL character"));
        }
        let tokens = Tokens::new(text, dialect).collect::<Result<Vec<_>, _>>()?;
        let tokens = one_statement(&tokens, dialect)?;
        screen(tokens, dialect)?;
        let style = style_of(tokens, dialect)?;
        let mut rewrite = Rewrite::new(text, dialect, style);
        for token in tokens {
            rewrite.token(token);
        }
        let verb = verb_of(tokens);
        let end = tokens.last().map_or(0, |token| token.at + token.text.len());
        rewrite.finish(end, verb)
    }

    /// Returns the text for the engine, without a final semicolon.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Says what the statement does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Counts the placeholders of the engine's text.
    #[must_use]
    pub fn placeholders(&self) -> usize {
        self.slots.len()
    }

    /// Finds the value of each placeholder, in the engine's order.
    ///
    /// # Errors
    /// [`StatementError::Missing`] and [`StatementError::Unused`] name the parameters.
    pub fn bind<'p>(&self, params: &'p Params) -> Result<Bound<'p>, StatementError> {
        match params {
            Params::Positional(values) if self.style != Style::Named => {
                if values.len() == self.count && self.slots.len() == self.count && self.in_order() {
                    return Ok(Bound::All(values.iter()));
                }
                self.bind_positional(values)
            }
            Params::Positional(values) if values.is_empty() => {
                Err(StatementError::Missing(list(self.names.iter().map(|name| format!(":{name}")))))
            }
            Params::Positional(_) => Err(StatementError::Missing(format!(
                "{}; the statement has names, so its parameters are given by name",
                list(self.names.iter().map(|name| format!(":{name}")))
            ))),
            Params::Named(values) => self.bind_named(values),
        }
    }

    /// Engines that number their placeholders take the parameters as they come.
    fn in_order(&self) -> bool {
        self.slots.iter().enumerate().all(|(at, slot)| at == *slot)
    }

    fn bind_positional<'p>(&self, values: &'p [Value]) -> Result<Bound<'p>, StatementError> {
        if values.len() < self.count {
            let missing = (values.len() + 1..=self.count).map(|number| format!("${number}"));
            return Err(StatementError::Missing(list(missing)));
        }
        if values.len() > self.count {
            let unused = (self.count + 1..=values.len()).map(|number| format!("${number}"));
            return Err(StatementError::Unused(list(unused)));
        }
        Ok(Bound::Some(self.slots.iter().map(|slot| &values[*slot]).collect::<Vec<_>>().into_iter()))
    }

    fn bind_named<'p>(&self, values: &'p [(Box<str>, Value)]) -> Result<Bound<'p>, StatementError> {
        let unused = values.iter().map(|(name, _)| name).filter(|name| !self.names.contains(name));
        let unused = list(unused.map(|name| format!(":{name}")));
        let find = |name: &str| values.iter().find(|(given, _)| **given == *name).map(|(_, value)| value);
        let missing = list(self.missing_by_name(&find));
        match (missing.is_empty(), unused.is_empty()) {
            (true, true) => {}
            (true, false) => return Err(StatementError::Unused(unused)),
            (false, true) => return Err(StatementError::Missing(missing)),
            (false, false) => return Err(StatementError::Missing(format!("{missing}; unused: {unused}"))),
        }
        let values = self.slots.iter().filter_map(|slot| find(&self.names[*slot]));
        Ok(Bound::Some(values.collect::<Vec<_>>().into_iter()))
    }

    fn missing_by_name<'p>(&self, find: &dyn Fn(&str) -> Option<&'p Value>) -> Vec<String> {
        if self.style == Style::Named {
            return self
                .names
                .iter()
                .filter(|name| find(name).is_none())
                .map(|name| format!(":{name}"))
                .collect();
        }
        (1..=self.count).map(|number| format!("${number}")).collect()
    }
}

/// The values of a statement's placeholders, in the engine's order.
#[derive(Clone, Debug)]
pub enum Bound<'p> {
    /// They are the parameters as they were given; nothing was copied.
    All(std::slice::Iter<'p, Value>),
    /// They were picked one by one.
    Some(std::vec::IntoIter<&'p Value>),
}

impl<'p> Iterator for Bound<'p> {
    type Item = &'p Value;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::All(values) => values.next(),
            Self::Some(values) => values.next(),
        }
    }
}

/// Names the parameters of an error; there may be thousands, and the first ones say enough.
fn list(items: impl IntoIterator<Item = String>) -> String {
    const SHOWN: usize = 20;
    let mut items = items.into_iter();
    let mut shown = items.by_ref().take(SHOWN).collect::<Vec<_>>().join(", ");
    match items.count() {
        0 => {}
        more => shown.push_str(&format!(" and {more} more")),
    }
    shown
}

/// Cuts final semicolons off and refuses what is not one statement.
fn one_statement<'t, 'a>(
    tokens: &'t [Token<'a>],
    dialect: Dialect,
) -> Result<&'t [Token<'a>], StatementError> {
    let end = tokens.iter().rposition(|token| token.kind != Kind::Semicolon).map_or(0, |last| last + 1);
    let tokens = &tokens[..end];
    if tokens.is_empty() {
        return Err(StatementError::Empty);
    }
    if dialect != Dialect::Postgres && creates_trigger(tokens) {
        // the body of a trigger holds semicolons; the first END right after one closes it
        let closed =
            tokens.windows(2).position(|pair| pair[0].kind == Kind::Semicolon && is_word(&pair[1], "end"));
        let Some(closed) = closed else { return Ok(tokens) };
        return match tokens.get(closed + 2) {
            None => Ok(tokens),
            Some(next) => Err(StatementError::Multiple { at: next.at }),
        };
    }
    match tokens.iter().position(|token| token.kind == Kind::Semicolon) {
        None => Ok(tokens),
        Some(at) => Err(StatementError::Multiple { at: tokens.get(at + 1).map_or(0, |token| token.at) }),
    }
}

fn creates_trigger(tokens: &[Token<'_>]) -> bool {
    let tokens = match tokens {
        [explain, rest @ ..] if is_word(explain, "explain") => rest,
        all => all,
    };
    let mut head = tokens.iter().take_while(|token| token.kind != Kind::Semicolon);
    matches!(tokens, [create, rest @ ..] if is_word(create, "create")
        && rest.iter().take(2).any(|token| is_word(token, "trigger")))
        && head.any(|token| is_word(token, "begin"))
}

fn style_of(tokens: &[Token<'_>], dialect: Dialect) -> Result<Style, StatementError> {
    let mut style = Style::None;
    for token in tokens {
        let next = match token.kind {
            Kind::Question => Style::Question,
            Kind::Numbered(_) => Style::Numbered,
            Kind::Named => Style::Named,
            _ => continue,
        };
        // on PostgreSQL `?` is an operator beside other placeholders
        match (style, next) {
            (Style::None, _) => style = next,
            (Style::Question, Style::Numbered | Style::Named) if dialect == Dialect::Postgres => style = next,
            (Style::Numbered | Style::Named, Style::Question) if dialect == Dialect::Postgres => {}
            (one, other) if one != other => {
                return Err(StatementError::MixedStyles(one.name(), other.name()));
            }
            _ => {}
        }
    }
    Ok(style)
}

fn verb_of(tokens: &[Token<'_>]) -> Verb {
    let first = tokens.iter().find(|token| token.text != "(");
    let Some(first) = first.filter(|token| token.kind == Kind::Word) else { return Verb::Other };
    match first.text.to_ascii_lowercase().as_str() {
        "select" | "values" | "table" | "show" => Verb::Select,
        "with" => Verb::With,
        "explain" => Verb::Explain,
        "insert" | "replace" => Verb::Insert,
        "update" => Verb::Update,
        "delete" => Verb::Delete,
        "create" | "alter" | "drop" | "truncate" | "reindex" | "analyze" => Verb::Schema,
        "vacuum" => Verb::Vacuum,
        "pragma" => Verb::Pragma,
        _ => Verb::Other,
    }
}

/// Copies a text while its placeholders are replaced.
struct Rewrite<'a> {
    text: &'a str,
    dialect: Dialect,
    style: Style,
    out: String,
    copied: usize,
    slots: Vec<usize>,
    names: Vec<Box<str>>,
    used: Vec<bool>,
}

impl<'a> Rewrite<'a> {
    fn new(text: &'a str, dialect: Dialect, style: Style) -> Self {
        let (slots, names, used) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            text,
            dialect,
            style,
            out: String::with_capacity(text.len() + 8),
            copied: 0,
            slots,
            names,
            used,
        }
    }

    fn token(&mut self, token: &Token<'_>) {
        let parameter = match (token.kind, self.style) {
            (Kind::Question, Style::Question) => self.used.len(),
            (Kind::Numbered(number), _) => number - 1,
            (Kind::Named, _) => self.name(&token.text[1..]),
            // `??` stands for PostgreSQL's operator `?`
            (Kind::Operator, Style::Question) if token.text == "??" => {
                self.copy(token, "?");
                return;
            }
            _ => return,
        };
        if self.used.len() <= parameter {
            self.used.resize(parameter + 1, false);
        }
        self.used[parameter] = true;
        self.placeholder(token, parameter);
    }

    fn name(&mut self, name: &str) -> usize {
        self.names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        })
    }

    fn placeholder(&mut self, token: &Token<'_>, parameter: usize) {
        let number = if self.dialect == Dialect::MySql {
            self.slots.push(parameter);
            self.slots.len()
        } else {
            // numbered engines take each parameter once, however often it is used
            parameter + 1
        };
        let mut placeholder = String::new();
        let joins = |byte: Option<&u8>| {
            self.dialect == Dialect::Postgres
                && byte.is_some_and(|byte| is_part_of_word(*byte) || *byte == b'$')
        };
        let (before, after) = self.text.as_bytes().split_at(token.at);
        // `LIMIT:n` must not become the name `LIMIT$1`, nor `?1` the placeholder `$11`
        if joins(before.last()) {
            placeholder.push(' ');
        }
        self.dialect.push_placeholder(&mut placeholder, number);
        if joins(after.get(token.text.len())) {
            placeholder.push(' ');
        }
        self.copy(token, &placeholder);
    }

    fn copy(&mut self, token: &Token<'_>, replacement: &str) {
        self.out.push_str(&self.text[self.copied..token.at]);
        self.out.push_str(replacement);
        self.copied = token.at + token.text.len();
    }

    fn finish(mut self, end: usize, verb: Verb) -> Result<Statement, StatementError> {
        let unused = self.used.iter().enumerate().filter(|(_, used)| !**used);
        let unused = list(unused.map(|(at, _)| format!("${}", at + 1)));
        if !unused.is_empty() {
            return Err(StatementError::Unused(unused));
        }
        let count = self.used.len();
        if self.dialect != Dialect::MySql {
            self.slots = (0..count).collect();
        }
        let limit = self.dialect.bind_limit();
        if self.slots.len() > limit {
            return Err(StatementError::TooMany { count: self.slots.len(), limit });
        }
        self.out.push_str(&self.text[self.copied..end]);
        let start = self.out.len() - self.out.trim_start().len();
        Ok(Statement {
            sql: self.out[start..].into(),
            verb,
            style: self.style,
            slots: self.slots.into(),
            names: self.names.into(),
            count,
        })
    }
}

#[cfg(test)]
mod tests;
