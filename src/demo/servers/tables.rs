//! The tables on a server, in its own words, and how they are read at the end.

use super::Engine;
use crate::demo::{Role, ledger::Counts};

/// How many accounts there are.
pub(in crate::demo) const ACCOUNTS: u64 = 16;

/// What each of them holds at first.
const OPENING: u64 = 1_000;

/// The same on both engines. Only `keyed` refuses a second row with the same number: elsewhere a write that was
/// repeated would show.
const SCHEMA: &str = "\
CREATE TABLE orders (op_id BIGINT NOT NULL, note VARCHAR(16) NOT NULL);
CREATE INDEX orders_op ON orders (op_id);
CREATE TABLE keyed (op_id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(16) NOT NULL);
CREATE TABLE moves (op_id BIGINT NOT NULL, source BIGINT NOT NULL, target BIGINT NOT NULL, amount BIGINT NOT NULL);
CREATE TABLE accounts (id BIGINT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL);
";

const OPS: &str =
    "SELECT op_id FROM orders UNION ALL SELECT op_id FROM keyed UNION ALL SELECT op_id FROM moves;";

/// Accounts whose balance is not what was moved to and from them.
const OFF: &str = "\
SELECT id FROM accounts WHERE balance <> 1000
 - (SELECT COALESCE(SUM(amount), 0) FROM moves WHERE source = accounts.id)
 + (SELECT COALESCE(SUM(amount), 0) FROM moves WHERE target = accounts.id);";

/// The statements of the callers, in the words of one engine.
#[derive(Debug)]
pub(in crate::demo) struct Tables {
    /// Repeats the caller's number.
    pub select: &'static str,
    /// Inserts an order; a repetition would be a second row.
    pub insert: &'static str,
    /// Inserts an order unless it is there.
    pub insert_keyed: &'static str,
}

/// The money on a server, as its own client program reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::demo) struct Money {
    /// All of it.
    pub sum: i64,
    /// Accounts whose balance does not follow from the moves.
    pub off: Vec<String>,
}

impl Money {
    /// What all accounts hold together, at any time.
    pub(in crate::demo) const TOTAL: i64 = (ACCOUNTS * OPENING).cast_signed();
}

impl Tables {
    /// The words of the engine behind a role.
    pub(in crate::demo) fn of(role: Role) -> &'static Self {
        match role {
            Role::Savings => &MARIADB,
            _ => &POSTGRES,
        }
    }

    /// Makes the tables and opens the accounts.
    ///
    /// # Errors
    /// What the server said.
    pub(super) fn create(&self, engine: &Engine) -> Result<(), String> {
        let accounts: Vec<_> = (0..ACCOUNTS).map(|id| format!("({id}, {OPENING})")).collect();
        engine.sql(&format!("{SCHEMA}INSERT INTO accounts VALUES {};", accounts.join(", "))).map(drop)
    }

    /// Credits an account out of nothing; a planted bug.
    pub(in crate::demo) const MINT: &str = "UPDATE accounts SET balance = balance + 1 WHERE id = 0;";

    /// Deletes a write behind the runtime's back; a planted bug.
    pub(in crate::demo) fn losing(op: u64) -> String {
        ["orders", "keyed", "moves"].map(|table| format!("DELETE FROM {table} WHERE op_id = {op};")).concat()
    }

    /// Has a write happen a second time; a planted bug.
    pub(in crate::demo) fn doubling(op: u64) -> String {
        format!("INSERT INTO orders (op_id, note) VALUES ({op}, 'again');")
    }

    /// Counts how often each write is there, and the money.
    ///
    /// # Errors
    /// What the server said, or an answer that is no number.
    pub(in crate::demo) fn read(engine: &Engine) -> Result<(Counts, Money), String> {
        let mut counts = Counts::new();
        for op in engine.sql(OPS)?.lines() {
            *counts.entry(number(op)?).or_default() += 1;
        }
        let sum = number(&engine.sql("SELECT SUM(balance) FROM accounts;")?)?;
        let off = engine.sql(OFF)?.lines().map(str::to_owned).collect();
        Ok((counts, Money { sum, off }))
    }
}

static POSTGRES: Tables = Tables {
    select: "SELECT CAST(? AS BIGINT) AS nonce, (SELECT count(*) FROM orders WHERE op_id = ?) AS found",
    insert: INSERT,
    insert_keyed: "INSERT INTO keyed (op_id, note) VALUES (?, ?) ON CONFLICT (op_id) DO NOTHING",
};

static MARIADB: Tables = Tables {
    select: "SELECT CAST(? AS SIGNED) AS nonce, (SELECT count(*) FROM orders WHERE op_id = ?) AS found",
    insert: INSERT,
    insert_keyed: "INSERT IGNORE INTO keyed (op_id, note) VALUES (?, ?)",
};

const INSERT: &str = "INSERT INTO orders (op_id, note) VALUES (?, ?)";

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("the server answered `{text}`, which is no number"))
}
