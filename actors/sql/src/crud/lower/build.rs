//! Builds the text of a shape by the engine's own rules, with numbers in place of the values.

use sea_query::{
    Alias, BinOper, Condition, DeleteStatement, Expr, ExprTrait as _, InsertStatement, MysqlQueryBuilder,
    OnConflict, Order as Direction, PostgresQueryBuilder, QueryStatementWriter, SelectStatement,
    SqliteQueryBuilder, TableRef, UpdateStatement, extension::postgres::PgFunc,
};

use crate::{
    Dialect, StatementError, TableName,
    crud::{
        Filter, Record,
        draft::{Order, Page, filled},
        filter::{Comparison, Node},
    },
};

pub(super) type Built = (String, Vec<sea_query::Value>);

/// Builds one text.
pub(super) struct Build<'a> {
    pub(super) table: &'a TableName,
    pub(super) dialect: Dialect,
    /// How many values were asked for.
    pub(super) marks: usize,
}

impl Build<'_> {
    pub(super) fn select(
        &mut self,
        columns: &[Box<str>],
        filter: &Filter,
        order: &[Order],
        page: Page,
    ) -> Built {
        let mut select = SelectStatement::new();
        select.from(self.table());
        if columns.is_empty() {
            select.column(sea_query::Asterisk);
        }
        for column in columns {
            select.column(self.column(column));
        }
        select.cond_where(self.condition(&filter.0));
        for Order { column, descending } in order {
            let direction = if *descending { Direction::Desc } else { Direction::Asc };
            select.order_by(self.column(column), direction);
        }
        if let Page::Window { .. } = page {
            select.limit(self.number());
            select.offset(self.number());
        }
        let (mut sql, values) = self.written(&select);
        if let Page::First = page {
            // not a value: a planner that knows it picks a better plan
            sql.push_str(" LIMIT 1");
        }
        (sql, values)
    }

    pub(super) fn count(&mut self, filter: &Filter) -> Built {
        let mut select = SelectStatement::new();
        select.expr_as(Expr::col(sea_query::Asterisk).count(), "count").from(self.table());
        select.cond_where(self.condition(&filter.0));
        self.written(&select)
    }

    pub(super) fn exists(&mut self, filter: &Filter) -> Built {
        let mut inner = SelectStatement::new();
        inner.expr(Expr::cust("1")).from(self.table()).cond_where(self.condition(&filter.0));
        let mut select = SelectStatement::new();
        select.expr_as(Expr::exists(inner), "exists");
        self.written(&select)
    }

    pub(super) fn insert(
        &mut self,
        record: &Record,
        id: Option<&str>,
        conflict: Option<OnConflict>,
    ) -> Result<Built, StatementError> {
        let mut insert = InsertStatement::new();
        insert.into_table(self.table());
        if record.is_empty() {
            insert.or_default_values();
        } else {
            insert.columns(aliases(record.columns()));
            let marks: Vec<Expr> = record.columns().iter().map(|_| self.mark()).collect();
            let wrong = |error: sea_query::error::Error| StatementError::Message(error.to_string());
            insert.values(marks).map_err(wrong)?;
        }
        if let Some(conflict) = conflict {
            insert.on_conflict(conflict);
        }
        // MySQL has no RETURNING; its id comes with the reply
        if let Some(id) = id.filter(|_| self.dialect != Dialect::MySql) {
            insert.returning_col(self.column(id));
        }
        Ok(self.written(&insert))
    }

    pub(super) fn conflict(
        &self,
        record: &Record,
        keys: &[Box<str>],
        update: Option<&[Box<str>]>,
    ) -> OnConflict {
        let mut conflict = OnConflict::columns(aliases(keys));
        let changed: Vec<Alias> = match update {
            Some(update) => aliases(update).collect(),
            None => aliases(record.columns().iter().filter(|name| !keys.contains(name))).collect(),
        };
        if changed.is_empty() {
            // MySQL says it by setting a key to itself
            conflict.do_nothing_on(aliases(keys));
        } else {
            conflict.update_columns(changed);
        }
        conflict
    }

    pub(super) fn update(&mut self, record: &Record, filter: &Filter) -> Built {
        let mut update = UpdateStatement::new();
        update.table(self.table());
        for column in record.columns() {
            update.value(Alias::new(&**column), self.mark());
        }
        update.cond_where(self.condition(&filter.0));
        self.written(&update)
    }

    pub(super) fn delete(&mut self, filter: &Filter) -> Built {
        let mut delete = DeleteStatement::new();
        delete.from_table(self.table()).cond_where(self.condition(&filter.0));
        self.written(&delete)
    }

    fn condition(&mut self, node: &Node) -> Condition {
        let leaf = match node {
            Node::All(nodes) => {
                return nodes.iter().fold(Condition::all(), |all, node| all.add(self.condition(node)));
            }
            Node::Any(nodes) => {
                return nodes.iter().fold(Condition::any(), |any, node| any.add(self.condition(node)));
            }
            Node::Not(node) => return self.condition(node).not(),
            Node::Always => return Condition::all(),
            Node::Never => Expr::cust("1 = 0"),
            Node::Compare { column, by, .. } => self.expr(column).binary(operator(*by), self.mark()),
            Node::Among { column, .. } if self.dialect == Dialect::Postgres => {
                self.expr(column).eq(PgFunc::any(self.mark()))
            }
            Node::Among { column, values } => {
                let marks: Vec<Expr> = (0..filled(values.len())).map(|_| self.mark()).collect();
                self.expr(column).is_in(marks)
            }
            Node::Between { column, .. } => {
                let (low, high) = (self.mark(), self.mark());
                self.expr(column).between(low, high)
            }
            Node::Like { column, .. } => {
                let escape = Expr::Constant(sea_query::Value::Char(Some('\\')));
                self.expr(column).binary(BinOper::Like, self.mark().binary(BinOper::Escape, escape))
            }
            Node::IsNull { column } => self.expr(column).is_null(),
        };
        Condition::all().add(leaf)
    }

    fn table(&self) -> TableRef {
        let name = Alias::new(self.table.name());
        match self.table.schema() {
            None => name.into(),
            Some(schema) => (Alias::new(schema), name).into(),
        }
    }

    /// A column with its table: SQLite reads a lone quoted name that it does not know as a text. The schema is not
    /// part of it, because every engine calls the one table of a statement by its name.
    fn column(&self, name: &str) -> (Alias, Alias) {
        (Alias::new(self.table.name()), Alias::new(name))
    }

    fn expr(&self, name: &str) -> Expr {
        Expr::col(self.column(name))
    }

    /// Stands for the next value.
    fn mark(&mut self) -> Expr {
        Expr::value(i64::try_from(self.number()).unwrap_or(i64::MAX))
    }

    fn number(&mut self) -> u64 {
        let mark = self.marks;
        self.marks += 1;
        mark as u64
    }

    fn written(&self, statement: &impl QueryStatementWriter) -> Built {
        let (sql, values) = match self.dialect {
            Dialect::Sqlite => statement.build(SqliteQueryBuilder),
            Dialect::Postgres => statement.build(PostgresQueryBuilder),
            Dialect::MySql => statement.build(MysqlQueryBuilder),
        };
        (sql, values.0)
    }
}

fn aliases<'n>(names: impl IntoIterator<Item = &'n Box<str>>) -> impl Iterator<Item = Alias> {
    names.into_iter().map(|name| Alias::new(&**name))
}

fn operator(by: Comparison) -> BinOper {
    match by {
        Comparison::Equal => BinOper::Equal,
        Comparison::NotEqual => BinOper::NotEqual,
        Comparison::Less => BinOper::SmallerThan,
        Comparison::LessOrEqual => BinOper::SmallerThanOrEqual,
        Comparison::Greater => BinOper::GreaterThan,
        Comparison::GreaterOrEqual => BinOper::GreaterThanOrEqual,
    }
}
