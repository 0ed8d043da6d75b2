//! The messages that name a table in place of a text.

use backstop_sql::{
    Dialect,
    crud::{CrudEngine, Shapes},
};

use crate::MySql;

impl CrudEngine for MySql {
    const DIALECT: Dialect = Dialect::MySql;

    fn shapes(&self) -> &Shapes {
        self.crud_shapes()
    }
}

backstop_sql::serve_crud!(MySql);
