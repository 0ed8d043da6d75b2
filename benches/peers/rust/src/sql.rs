//! What the comparisons of SQL servers share: the rows, the pool's size, and Backstop's side.

mod hosted;

pub use self::hosted::{Hosted, assert_row};

/// The table that all contenders of a server use.
pub const TABLE: &str = "backstop_item";
/// Rows that are there from the start; row `n` holds the amount `n`.
pub const ROWS: i64 = 10_000;
/// Connections of every pool.
pub const POOL: usize = 16;
/// Backstop's last column.
pub const OPENED: &str = "connections opened";
/// How many callers there are unless asked otherwise.
pub const CALLERS: [usize; 4] = [1, 16, 64, 256];

/// The key of the row that the `turn`th operation reads.
pub fn key(turn: u64) -> i64 {
    (turn.wrapping_mul(7_919) % ROWS.unsigned_abs()) as i64 + 1
}
