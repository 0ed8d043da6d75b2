//! The messages that name a table in place of a text.

use backstop_sql::{
    Dialect,
    crud::{CrudEngine, Shapes},
};

use crate::Postgres;

impl CrudEngine for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;

    fn shapes(&self) -> &Shapes {
        self.crud_shapes()
    }
}

backstop_sql::serve_crud!(Postgres);
