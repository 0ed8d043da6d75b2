//! The messages that name a table in place of a text.

use backstop_sql::{
    Dialect,
    crud::{CrudEngine, Shapes},
};

use crate::Sqlite;

impl CrudEngine for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;

    fn shapes(&self) -> &Shapes {
        self.crud_shapes()
    }
}

backstop_sql::serve_crud!(Sqlite);
