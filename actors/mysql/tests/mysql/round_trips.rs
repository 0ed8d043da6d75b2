//! How many commands a call costs, by the server's own counters.

use std::collections::BTreeMap;

use backstop_core::backend::Backend as _;
use backstop_mysql::sql::{
    Execute, Isolation, Query, QueryAs, Request, Transaction, TxOptions,
    crud::{InsertOne, SelectOne, UpdateOne},
};
use backstop_testkit::server::{MariaDb, MariaDbSetup, Server};

use crate::support::{Db, lane};

/// The counters of commands that grew, those of this question left aside.
fn counters(server: &Server) -> BTreeMap<String, i64> {
    let text =
        server.sql("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Com\\_%' OR Variable_name = 'Questions';");
    let rows = text.unwrap();
    let rows = rows.lines().filter_map(|line| line.split_once(char::is_whitespace));
    rows.filter(|(name, _)| *name != "Com_show_status")
        .map(|(name, count)| (name.to_owned(), count.trim().parse().unwrap()))
        .collect()
}

/// Counts the commands of some calls, by kind.
async fn cost<F: Future<Output = ()>>(server: &Server, calls: F) -> Vec<(String, i64)> {
    // what the question itself costs
    let (first, second) = (counters(server), counters(server));
    let before = counters(server);
    calls.await;
    let after = counters(server);
    let grown = after.iter().map(|(name, count)| {
        let own = second[name] - first[name];
        (name.clone(), count - before[name] - own)
    });
    grown.filter(|(_, count)| *count != 0).collect()
}

fn named(counts: &[(&str, i64)]) -> Vec<(String, i64)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn warm(server: &Server) -> Db<'_> {
    let db = Db::on(server, |options| options).await;
    db.make_table();
    db.ask(InsertOne::new("t", (("id", 0), ("v", 0)))).await.unwrap();
    db
}

#[test]
fn a_call_whose_statement_is_known_costs_one_command() {
    let server = MariaDb::start(MariaDbSetup::default()).unwrap();
    lane(async {
        let db = warm(&server).await;
        let read = || QueryAs::<i64>::new("SELECT v FROM t WHERE id = ?").bind(0);
        let write = |id: i64| Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id);
        let select = || SelectOne::new("t", ("id", 0));
        let insert = |id: i64| InsertOne::new("t", (("id", id), ("v", id)));
        db.ask(read()).await.unwrap();
        db.ask(write(1)).await.unwrap();
        db.ask(select()).await.unwrap();
        let commands = cost(&server, async {
            for id in 2..12 {
                db.ask(read()).await.unwrap();
                db.ask(write(id)).await.unwrap();
                db.ask(select()).await.unwrap();
                db.ask(insert(id + 100)).await.unwrap();
            }
        });
        // `Questions` leaves the others out: to prepare, to close, to ping, to reset
        let expected = [("Com_insert", 20), ("Com_select", 20), ("Com_stmt_execute", 40), ("Questions", 40)];
        assert_eq!(commands.await, named(&expected));
        assert_eq!(db.lane.pool().created_total, 2);
    });
}

#[test]
fn a_write_that_may_be_undone_and_a_list_cost_two_commands_more_whatever_their_options() {
    let server = MariaDb::start(MariaDbSetup::default()).unwrap();
    lane(async {
        let db = warm(&server).await;
        let update = || UpdateOne::new("t", ("id", 0), [("v", 0)]);
        let options = TxOptions::new().isolation(Isolation::Serializable);
        let list =
            || Transaction::new().then(Request::new("UPDATE t SET v = 1 WHERE id = 0")).with_options(options);
        db.ask(update()).await.unwrap();
        db.ask(list()).await.unwrap();
        let commands = cost(&server, async {
            db.ask(update()).await.unwrap();
        });
        let expected = [
            ("Com_begin", 1),
            ("Com_commit", 1),
            ("Com_stmt_execute", 1),
            ("Com_update", 1),
            ("Questions", 3),
        ];
        assert_eq!(commands.await, named(&expected));
        let commands = cost(&server, async {
            db.ask(list()).await.unwrap();
        });
        // the isolation is part of the command that begins; the server counts its statements
        let expected = [
            ("Com_begin", 1),
            ("Com_commit", 1),
            ("Com_set_option", 1),
            ("Com_stmt_execute", 1),
            ("Com_update", 1),
            ("Questions", 4),
        ];
        assert_eq!(commands.await, named(&expected));
    });
}

#[test]
fn only_a_statement_that_leaves_something_in_its_session_costs_a_reset() {
    let server = MariaDb::start(MariaDbSetup::default()).unwrap();
    lane(async {
        let db = Db::on(&server, |options| options.pool_size(1).max_overflow(0)).await;
        let clean = || Query::new("SELECT 1");
        let soils = || Query::new("SELECT @v := 1");
        db.ask(clean()).await.unwrap();
        db.ask(clean()).await.unwrap();
        let commands = cost(&server, async {
            db.ask(clean()).await.unwrap();
        });
        assert_eq!(commands.await, named(&[("Com_select", 1), ("Com_stmt_execute", 1), ("Questions", 1)]));
        let commands = cost(&server, async {
            db.ask(soils()).await.unwrap();
            db.ask(clean()).await.unwrap();
        });
        // one to reset, one to set up with the mode of a reader, and what was prepared is prepared anew
        let expected = [
            ("Com_admin_commands", 1),
            ("Com_select", 2),
            ("Com_set_option", 2),
            ("Com_stmt_execute", 2),
            ("Com_stmt_prepare", 2),
            ("Questions", 5),
        ];
        assert_eq!(commands.await, named(&expected));
    });
}
