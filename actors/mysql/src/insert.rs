//! Many rows into one table: few statements, each below what the server takes.

use std::{ops::Range, sync::Arc};

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure, FailureKind},
};
use backstop_sql::{
    BatchInsert, ChunkReport, Dialect, InsertReport, StatementError, TxOptions,
    message::{Chunk, Chunks},
    seen::StatementStats,
};
use mysql_async::Value as Wire;

use crate::{
    MySql,
    pool::Lease,
    run::{self, Purpose},
    session::Mode,
    transaction::{begin, commit, roll_back},
    value,
};

/// Room in a command beside the values of its rows.
const HEAD: usize = 4 << 10;

/// A chunk with its values as the driver sends them.
struct Bound {
    chunk: Chunk,
    values: Vec<Wire>,
    width: usize,
}

impl Bound {
    fn new(chunk: Chunk) -> Result<Self, StatementError> {
        let width = chunk.values().len() / chunk.rows.len().max(1);
        let values = chunk.values().iter().enumerate();
        let first = chunk.rows.start;
        let values = values.map(|(at, value)| {
            value::parameter(value, at % width + 1)
                .map_err(|error| StatementError::Value(format!("row {}: {error}", first + at / width)))
        });
        Ok(Self { values: values.collect::<Result<_, _>>()?, width, chunk })
    }

    /// Cuts the chunk into runs of rows that fit into a command of `packet` bytes.
    fn pieces(&self, packet: usize) -> Result<Vec<Range<usize>>, Failure> {
        let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, HEAD + self.chunk.sql.len());
        let head = bytes;
        for row in 0..self.chunk.rows.len() {
            let weight: usize = self.values[row * self.width..(row + 1) * self.width]
                .iter()
                .map(|v| 2 + value::weight(v))
                .sum();
            if head + weight > packet {
                let number = self.chunk.rows.start + row;
                let text = format!(
                    "row {number} of {weight} bytes exceeds the server's max_allowed_packet of {packet}"
                );
                return Err(Failure::new(FailureKind::TooLarge, text).executed_is(Executed::No));
            }
            if bytes + weight > packet {
                pieces.push(start..row);
                (start, bytes) = (row, head);
            }
            bytes += weight;
        }
        pieces.push(start..self.chunk.rows.len());
        Ok(pieces)
    }

    /// The text for `rows` rows: that of the chunk with groups of placeholders cut off its end.
    fn text(&self, rows: usize) -> &str {
        // `(?,?)` and `, ` before each group but the first
        let group = 2 * self.width + 3;
        let cut = (self.chunk.rows.len() - rows) * group;
        &self.chunk.sql[..self.chunk.sql.len() - cut]
    }

    /// Inserts the chunk piece by piece.
    async fn insert(
        &self,
        lease: &mut Lease,
        pieces: &[Range<usize>],
        purpose: Purpose,
        call: &CallContext,
    ) -> Result<u64, Failure> {
        let mut affected = 0;
        for piece in pieces {
            let values = &self.values[piece.start * self.width..piece.end * self.width];
            let prepared = run::prepare(lease, self.text(piece.len()), values, purpose.then).await?;
            affected += run::insert(lease, prepared, values.to_vec(), purpose, call).await?;
        }
        Ok(affected)
    }

    /// Inserts the chunk so that all of its rows take effect or none.
    async fn insert_alone(&self, lease: &mut Lease, call: &CallContext) -> Result<u64, Failure> {
        let pieces = self.pieces(lease.packet())?;
        if pieces.len() == 1 {
            return self.insert(lease, &pieces, Purpose::COMMIT, call).await;
        }
        begin(lease, TxOptions::default()).await?;
        let inserted = self.insert(lease, &pieces, Purpose::WITHIN, call).await;
        finish(lease, inserted, call).await
    }
}

async fn finish<T>(lease: &mut Lease, result: Result<T, Failure>, call: &CallContext) -> Result<T, Failure> {
    match result {
        Ok(value) => commit(lease, call).await.map(|()| value),
        Err(failure) => {
            roll_back(lease).await;
            Err(failure.executed_is(Executed::No))
        }
    }
}

impl MySql {
    /// What happens to the statements of a batch, under one text.
    fn batch_stats(&self, message: &BatchInsert) -> Arc<StatementStats> {
        self.pool.core().seen.statement(&message.summary())
    }

    async fn together(&self, bound: &[Bound], call: &CallContext) -> Result<InsertReport, Failure> {
        let mut lease = self.pool.acquire("batch_insert", Some(Mode::ReadWrite), call).await?;
        let mut pieces = Vec::with_capacity(bound.len());
        for chunk in bound {
            pieces.push(chunk.pieces(lease.packet())?);
        }
        let alone = pieces.len() == 1 && pieces[0].len() == 1;
        let purpose = if alone { Purpose::COMMIT } else { Purpose::WITHIN };
        if !alone {
            begin(&mut lease, TxOptions::default()).await?;
        }
        let all = async {
            let mut report = InsertReport::default();
            for (chunk, pieces) in bound.iter().zip(&pieces) {
                let affected = chunk.insert(&mut lease, pieces, purpose, call).await?;
                report.affected += affected;
                report.chunks.push(ChunkReport::new(&chunk.chunk, Ok(affected)));
            }
            Ok(report)
        };
        let result = all.await;
        if alone { result } else { finish(&mut lease, result, call).await }
    }

    async fn independent(&self, bound: &[Bound], call: &CallContext) -> Result<InsertReport, Failure> {
        let mut report = InsertReport::default();
        for chunk in bound {
            let result = match self.pool.acquire("batch_insert", Some(Mode::ReadWrite), call).await {
                Ok(mut lease) => chunk.insert_alone(&mut lease, call).await,
                Err(failure) => Err(failure),
            };
            report.affected += result.as_ref().copied().unwrap_or(0);
            report.chunks.push(ChunkReport::new(&chunk.chunk, result));
        }
        Ok(report)
    }
}

impl Serve<BatchInsert> for MySql {
    async fn serve(&self, message: &BatchInsert, call: &CallContext) -> Result<InsertReport, Failure> {
        let bound =
            message.plan(Dialect::MySql)?.into_iter().map(Bound::new).collect::<Result<Vec<_>, _>>()?;
        if bound.is_empty() {
            return Ok(InsertReport::default());
        }
        let stats = self.batch_stats(message);
        let noted = stats.begin("batch_insert");
        let report = match message.chunks() {
            Chunks::Together => self.together(&bound, call).await,
            Chunks::Independent => self.independent(&bound, call).await,
        };
        noted.end(&report, |report| report.affected);
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(rows: usize, bytes: usize) -> Bound {
        let rows = (0..rows).map(|_| ("x".repeat(bytes), 7));
        let plan = BatchInsert::new("t", ["a", "b"]).rows(rows).plan(Dialect::MySql).unwrap();
        Bound::new(plan.into_iter().next().unwrap()).unwrap()
    }

    #[test]
    fn a_shorter_text_has_as_many_groups_as_rows() {
        let bound = bound(5, 1);
        assert_eq!(bound.text(5), &*bound.chunk.sql);
        assert_eq!(bound.text(2), "INSERT INTO `t` (`a`, `b`) VALUES (?,?), (?,?)");
        assert_eq!(bound.text(1), "INSERT INTO `t` (`a`, `b`) VALUES (?,?)");
    }

    #[test]
    fn pieces_cover_every_row_and_stay_below_the_limit() {
        let bound = bound(100, 1_000);
        let pieces = bound.pieces(20_000).unwrap();
        assert!(pieces.len() > 5, "{pieces:?}");
        assert_eq!(pieces.iter().map(ExactSizeIterator::len).sum::<usize>(), 100);
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(pieces.iter().all(|piece| piece.len() * 1_000 < 20_000 - HEAD));
        assert_eq!(bound.pieces(64 << 20).unwrap().len(), 1);
    }

    #[test]
    fn a_row_that_never_fits_is_named() {
        let failure = bound(1, 100_000).pieces(50_000).unwrap_err();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::TooLarge, Executed::No));
        assert!(failure.message().starts_with("row 0 of 1000"), "{failure}");
    }
}
