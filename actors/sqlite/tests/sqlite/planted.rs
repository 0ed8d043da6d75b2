//! Known bugs are planted one by one; the suite of the SQL backends must see each of them.

use std::panic::catch_unwind;

use backstop_testkit::{
    planted::{self, Bug},
    sql,
};

use crate::support::Db;

#[test]
fn messages_that_hit_another_row_are_seen() {
    let checks: [fn(); 3] = [
        sql::every_condition_finds_its_rows::<Db>,
        sql::an_inserted_row_has_an_id_and_is_read_back_as_a_struct::<Db>,
        sql::updates_and_deletes_say_how_many_rows_they_touched::<Db>,
    ];
    for (at, check) in checks.into_iter().enumerate() {
        let planted = planted::plant(Bug::ValuesReversed);
        let ended = catch_unwind(check);
        drop(planted);
        assert!(ended.is_err(), "check {at} did not see the bug");
        // without it, the same check passes: it was the bug that it saw
        check();
    }
}
