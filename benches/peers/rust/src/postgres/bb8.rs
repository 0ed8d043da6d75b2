//! bb8-postgres; it has no cache of statements, so each connection prepares its two when it is opened.

use std::ops::{Deref, DerefMut};

use bb8::{ManageConnection, Pool};
use tokio_postgres::{Client, NoTls, Statement};

use super::table::{INSERT, SELECT, Table};
use crate::{
    contender::Contender,
    spread::{stealing, turn_on},
    sql::{POOL, key},
};

struct Manager(tokio_postgres::Config);

/// A connection with its statements.
struct Prepared {
    client: Client,
    select: Statement,
    insert: Statement,
}

impl Deref for Prepared {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Prepared {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl ManageConnection for Manager {
    type Connection = Prepared;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Prepared, Self::Error> {
        let (client, connection) = self.0.connect(NoTls).await?;
        tokio::spawn(connection);
        let (select, insert) = (client.prepare(SELECT).await?, client.prepare(INSERT).await?);
        Ok(Prepared { client, select, insert })
    }

    async fn is_valid(&self, _: &mut Prepared) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Prepared) -> bool {
        connection.is_closed()
    }
}

async fn pool(table: &Table) -> Pool<Manager> {
    let config = table.url.parse().unwrap();
    Pool::builder().max_size(POOL as u32).test_on_check_out(false).build(Manager(config)).await.unwrap()
}

/// Reads by key.
pub fn reads(name: &'static str, table: &Table) -> Contender {
    let runtime = stealing();
    let pool = runtime.block_on(pool(table));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let key = key(turn);
                    let client = pool.get().await.unwrap();
                    let row = client.query_one(&client.select, &[&key]).await.unwrap();
                    assert_eq!(row.get::<_, i64>(1), key);
                }
                caller
            }
        })
    })
}

/// Inserts, each committed by itself.
pub fn inserts(name: &'static str, table: &Table) -> Contender {
    let runtime = stealing();
    let pool = runtime.block_on(pool(table));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let client = pool.get().await.unwrap();
                    let inserted = client.execute(&client.insert, &[&"an item", &(turn as i64)]).await;
                    assert_eq!(inserted.unwrap(), 1);
                }
                caller
            }
        })
    })
}
