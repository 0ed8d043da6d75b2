//! Known bugs are planted one by one on the lane's thread; a test of this crate must see each of them.

use std::panic::catch_unwind;

use backstop_testkit::planted::{self, Bug};

use crate::{merges, pipes};

/// Runs `test` with the bug: it must fail, in these words. Without it, it passes by itself elsewhere.
fn is_seen(bug: Bug, test: fn(), words: &str) {
    let planted = planted::plant(bug);
    let ended = catch_unwind(test);
    drop(planted);
    let said = ended.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_shared_connection_that_is_given_back_early_is_seen() {
    is_seen(
        Bug::PipeGivenBackEarly,
        pipes::a_statement_that_all_its_readers_left_is_stopped_at_the_server,
        "waited for the end of the sleep",
    );
}

#[test]
fn replies_of_other_messages_are_seen() {
    is_seen(
        Bug::RepliesRotated,
        merges::each_look_up_has_its_own_row_and_a_key_that_is_not_there_has_none,
        "left == right",
    );
}
