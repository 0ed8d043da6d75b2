//! Short reads beside a slow statement: what it does to their tail.

use std::{rc::Rc, time::Duration};

use backstop_postgres::Postgres;
use backstop_sql::Query;
use tokio::time::{Instant, sleep_until};

use super::{backstop, deadpool, table};
use crate::{
    contender::{Caller, Contender},
    options::Options,
    rounds,
    spread::{stealing, turn_on},
    sql::{Hosted, OPENED, key},
    table as output,
};

/// The slow statement; it occupies its connection and no processor.
const SLOW: &str = "SELECT 1 FROM pg_sleep(0.2)";
/// From the start of one slow statement to the next.
const PERIOD: Duration = Duration::from_millis(300);
/// Callers that read by key.
const READERS: [usize; 1] = [32];
/// How often each of them reads, where the load is to be the same for all.
const PACE: Duration = Duration::from_millis(2);
/// A turn holds several slow statements.
const MEASURED: Duration = Duration::from_secs(3);

/// Runs the comparison and prints its table.
pub fn run(options: &Options) {
    let table = table::Table::create(&super::url(options));
    let backstop = backstop::hosted(&table, 2);
    let peer = deadpool::pool(&table);
    let options = Options { measured: options.measured.max(MEASURED), ..options.clone() };
    for (pace, load) in [(None, "as fast as they can"), (Some(PACE), "each every 2 ms")] {
        let title = format!("PostgreSQL point reads, {load}, beside a statement of 200 ms every 300 ms");
        if !options.wants(&title) {
            continue;
        }
        let mut contenders = vec![
            beside_deadpool("deadpool-postgres", peer.clone(), false, pace),
            on_backstop("Backstop", &backstop, false, pace),
            beside_deadpool("deadpool-postgres, slow", peer.clone(), true, pace),
            on_backstop("Backstop, slow", &backstop, true, pace),
        ];
        let lines = rounds::run(&options, super::EVERY, &options.callers(&READERS), &mut contenders);
        output::show(&options, &title, &["deadpool-postgres, slow"], &lines, Some(OPENED));
    }
}

/// Waits for the next place of a reader in its pace.
async fn pause(pace: Option<Duration>, next: &mut Instant, caller: &mut Caller) {
    let Some(pace) = pace else { return };
    *next = (*next + pace).max(Instant::now());
    sleep_until(*next).await;
    caller.begin();
}

/// Caller 0 runs the slow statements, if there are to be any, and the others read.
fn is_slow(slow: bool, caller: &Caller) -> bool {
    slow && caller.number() == 0
}

fn beside_deadpool(
    name: &'static str,
    pool: deadpool_postgres::Pool,
    slow: bool,
    pace: Option<Duration>,
) -> Contender {
    let runtime = stealing();
    Contender::new(name, move |readers, watch| {
        turn_on(&runtime, readers + usize::from(slow), watch, |mut caller| {
            let pool = pool.clone();
            async move {
                let mut next = Instant::now();
                while is_slow(slow, &caller) && !caller.is_over() {
                    let client = pool.get().await.unwrap();
                    let select = client.prepare_cached(SLOW).await.unwrap();
                    assert_eq!(client.query(&select, &[]).await.unwrap().len(), 1);
                    drop(client);
                    next += PERIOD;
                    sleep_until(next).await;
                }
                while let Some(turn) = caller.next() {
                    pause(pace, &mut next, &mut caller).await;
                    deadpool::read(&pool, key(turn)).await;
                }
                caller
            }
        })
    })
}

fn on_backstop(
    name: &'static str,
    hosted: &Rc<Hosted<Postgres>>,
    slow: bool,
    pace: Option<Duration>,
) -> Contender {
    let hosted = Rc::clone(hosted);
    Contender::new(name, move |readers, watch| {
        hosted.turn(readers + usize::from(slow), watch, move |backend, mut caller| async move {
            let mut next = Instant::now();
            while is_slow(slow, &caller) && !caller.is_over() {
                assert_eq!(backend.ask(Query::new(SLOW)).await.unwrap().len(), 1);
                next += PERIOD;
                sleep_until(next).await;
            }
            while let Some(turn) = caller.next() {
                pause(pace, &mut next, &mut caller).await;
                let key = key(turn);
                let rows = backend.ask(Query::new(table::SELECT).bind(key)).await.unwrap();
                crate::sql::assert_row(&rows, key);
            }
            caller
        })
    })
}
