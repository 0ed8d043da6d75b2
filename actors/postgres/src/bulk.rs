//! Many rows into one table, by the quickest statement that takes them.
//!
//! | rows | statement |
//! |---|---|
//! | 1 | `INSERT … VALUES` |
//! | 2 to 999 | `INSERT … SELECT … FROM unnest(…)`: one array a column |
//! | 1,000 and more | `COPY … (FORMAT binary)` |
//!
//! Columns whose values unnest would take apart (arrays, records) go row by row, pipelined. A chunk with a value
//! that has no binary form of ours (a day as text, an interval) goes by unnest, and so does all of it where the
//! server refuses COPY (views, row-level security).
//!
//! COPY confirms its rows before a transaction of its own commits, and the driver listens no longer: a deferred
//! constraint would fail unheard. So COPY always runs between BEGIN and COMMIT.

mod copy;
mod cut;
mod statement;
mod text;
mod unnest;

use std::{borrow::Cow, ops::Range, sync::Arc};

use backstop_core::{
    call::CallContext,
    error::{Executed, Failure, Phase},
};
use backstop_sql::{
    BatchInsert, ChunkReport, Dialect, InsertReport,
    message::{Chunk, Chunks},
};
use tokio_postgres::Client;

use self::{cut::Way, text::Text};
pub(crate) use self::{
    cut::weight,
    statement::{push_array_type, push_target},
};
use crate::{
    error::{During, failure},
    naming::Naming,
    options::PostgresOptions,
    pooled,
};

/// From so many rows on, COPY is worth its BEGIN and COMMIT.
const COPY_ROWS: usize = 1_000;

/// Inserts the rows; the session must be outside of any transaction.
///
/// With [`Chunks::Together`] nothing takes effect before COMMIT, so [`CallContext::sending`] is called there, or
/// before the one statement that commits by itself. With [`Chunks::Independent`] a chunk that fails is told in the
/// report, and the others go on.
///
/// # Errors
/// What the batch or its first chunk fails with; the text names the rows of the chunk.
///
/// # Cancel safety
/// A future that is dropped leaves a transaction open or a statement running: the session must be closed, or
/// cancelled and rolled back, before it is used again.
pub(crate) async fn insert(
    client: &Client,
    message: &BatchInsert,
    call: &CallContext,
    session: &Session<'_>,
) -> Result<InsertReport, Failure> {
    message.check(Dialect::Postgres)?;
    if message.is_empty() {
        return Ok(InsertReport::default());
    }
    call.enter(Phase::Execute);
    let batch = Batch::describe(client, message, call, session).await?;
    let quickest = if message.len() >= COPY_ROWS { Way::Copy } else { Way::Unnest };
    match batch.run(quickest).await {
        Err(refused) if quickest == Way::Copy && copy::is_refused(&refused) => batch.run(Way::Unnest).await,
        ended => ended,
    }
}

/// What the batch may expect of its session.
pub(crate) struct Session<'a> {
    /// Statements have names that the session keeps.
    has_names: bool,
    begin: Cow<'a, str>,
}

impl Session<'_> {
    pub(crate) fn of(naming: &Naming, options: &PostgresOptions) -> Self {
        if naming.is_on() {
            return Self { has_names: true, begin: "BEGIN".into() };
        }
        let begin = format!("BEGIN READ WRITE{}", pooled::limits(options)).into();
        Self { has_names: false, begin }
    }
}

/// A batch whose columns the server has described.
struct Batch<'a> {
    client: &'a Client,
    message: &'a BatchInsert,
    call: &'a CallContext,
    session: &'a Session<'a>,
    /// One row by `VALUES`; its parameters are the columns.
    row: Text,
}

impl<'a> Batch<'a> {
    async fn describe(
        client: &'a Client,
        message: &'a BatchInsert,
        call: &'a CallContext,
        session: &'a Session<'a>,
    ) -> Result<Self, Failure> {
        let row = Text::describe(client, statement::row(message), session.has_names).await?;
        Ok(Self { client, message, call, session, row })
    }

    async fn run(&self, quickest: Way) -> Result<InsertReport, Failure> {
        let chunks = self.chunks(quickest).await?;
        match self.message.chunks() {
            Chunks::Together => self.together(&chunks).await,
            Chunks::Independent => self.independent(&chunks).await,
        }
    }

    /// Cuts the rows, and prepares what the chunks share.
    async fn chunks(&self, quickest: Way) -> Result<Vec<Part>, Failure> {
        let cells = self.message.cut(0..self.message.len(), "".into());
        let cuts = cut::cut(cells.values(), self.row.params(), quickest);
        let mut unnest = None;
        if cuts.iter().any(|(way, _)| *way == Way::Unnest) {
            let text = statement::unnest(self.message, self.row.params());
            unnest = Some(Arc::new(Text::describe(self.client, text, self.session.has_names).await?));
        }
        let part = |(way, rows): (Way, Range<usize>)| {
            let plan = match (way, &unnest) {
                (Way::Copy, _) => Plan::Copy,
                (Way::Unnest, Some(text)) => Plan::Unnest(Arc::clone(text)),
                _ => Plan::Rows,
            };
            Part { plan, chunk: self.message.cut(rows, Arc::from("")) }
        };
        Ok(cuts.into_iter().map(part).collect())
    }

    /// All rows or none.
    async fn together(&self, parts: &[Part]) -> Result<InsertReport, Failure> {
        let mut report = InsertReport::default();
        if let [part] = parts
            && part.is_one_statement()
        {
            self.call.sending();
            let affected = self.send(part).await?;
            push(&mut report, part, Ok(affected));
            return Ok(report);
        }
        self.simple(&self.session.begin).await?;
        for part in parts {
            match self.send(part).await {
                Ok(affected) => push(&mut report, part, Ok(affected)),
                Err(failed) => return Err(self.undone(failed).await),
            }
        }
        self.call.sending();
        self.commit().await?;
        Ok(report)
    }

    /// Each chunk by itself.
    async fn independent(&self, parts: &[Part]) -> Result<InsertReport, Failure> {
        let mut report = InsertReport::default();
        self.call.sending();
        for part in parts {
            let ended = match () {
                () if self.client.is_closed() => Err(Failure::unavailable("the connection was lost before")),
                () if part.is_one_statement() => self.send(part).await,
                () => self.alone(part).await,
            };
            match ended {
                Err(refused) if report.chunks.is_empty() && copy::is_refused(&refused) => {
                    return Err(refused);
                }
                ended => push(&mut report, part, ended),
            }
        }
        Ok(report)
    }

    /// One chunk in a transaction of its own.
    async fn alone(&self, part: &Part) -> Result<u64, Failure> {
        self.simple(&self.session.begin).await?;
        match self.send(part).await {
            Ok(affected) => self.commit().await.map(|()| affected),
            Err(failed) => Err(self.undone(failed).await),
        }
    }

    /// Sends a chunk; a failure names its rows.
    async fn send(&self, part: &Part) -> Result<u64, Failure> {
        let sent = match &part.plan {
            Plan::Copy => copy::send(self.client, self.message, &part.chunk, self.row.params()).await,
            Plan::Unnest(text) => unnest::send(self.client, &part.chunk, text).await,
            Plan::Rows => unnest::rows(self.client, &part.chunk, &self.row).await,
        };
        sent.map_err(|failed| located(&failed, &part.chunk.rows))
    }

    async fn simple(&self, text: &str) -> Result<(), Failure> {
        let ended = self.client.batch_execute(text).await;
        // nothing has taken effect before COMMIT
        ended.map_err(|error| failure(error, During::Prepare, true))
    }

    async fn commit(&self) -> Result<(), Failure> {
        let ended = self.client.batch_execute("COMMIT").await;
        ended.map_err(|error| failure(error, During::Commit, true))
    }

    /// Rolls back; whatever the chunk ended with, COMMIT was never sent.
    async fn undone(&self, failed: Failure) -> Failure {
        // a session that cannot roll back is closed, which does the same
        let _ = self.client.batch_execute("ROLLBACK").await;
        failed.executed_is(Executed::No)
    }
}

/// Some rows and how they are sent.
struct Part {
    plan: Plan,
    chunk: Chunk,
}

impl Part {
    /// One statement commits by itself; COPY does too, but unheard.
    fn is_one_statement(&self) -> bool {
        match self.plan {
            Plan::Copy => false,
            Plan::Unnest(_) => true,
            Plan::Rows => self.chunk.rows.len() == 1,
        }
    }
}

enum Plan {
    Copy,
    Unnest(Arc<Text>),
    Rows,
}

fn push(report: &mut InsertReport, part: &Part, ended: Result<u64, Failure>) {
    let chunk = ChunkReport::new(&part.chunk, ended);
    report.affected += chunk.affected;
    report.chunks.push(chunk);
}

/// The same failure with the rows of its chunk in the text.
fn located(failed: &Failure, rows: &Range<usize>) -> Failure {
    let place = if rows.len() == 1 {
        format!("row {}", rows.start)
    } else {
        format!("rows {} to {}", rows.start, rows.end.saturating_sub(1))
    };
    failed.clone().with_message(format!("{place}: {}", failed.message()))
}

#[cfg(test)]
mod tests;
