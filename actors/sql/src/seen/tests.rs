//! What is counted, what is kept, and what it costs.

use backstop_core::error::FailureKind;

use super::*;

const OFF: Duration = Duration::ZERO;

fn run(stats: &StatementStats, rows: u64) {
    stats.begin("query").end(&Ok(rows), |rows| *rows);
}

fn seen() -> Seen {
    Seen::new(OFF, OFF)
}

#[test]
fn the_counts_of_all_lanes_are_summed_by_text_and_those_of_ended_lanes_stay() {
    let (seen, sql) = (seen(), Sql::from("SELECT 1"));
    let lanes: Vec<_> = (0..3).map(|_| seen.statement(&sql)).collect();
    lanes.iter().for_each(|lane| run(lane, 2));
    drop(lanes);
    let late = seen.statement(&"SELECT 1".to_owned().into());
    run(&late, 1);
    let failure = backstop_core::error::Failure::new(FailureKind::Conflict, "twice").with_code("23505");
    late.begin("execute").end(&Err::<u64, _>(failure), |rows| *rows);
    let all = seen.statements(10);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].calls(), all[0].rows, all[0].errors), (5, 7, 1));
    assert_eq!(all[0].last_error.as_deref(), Some("23505"));
    assert!(all[0].latency.total() >= all[0].max);
}

#[test]
fn a_run_that_is_dropped_is_counted_as_abandoned() {
    let seen = seen();
    let stats = seen.statement(&"SELECT 1".into());
    drop(stats.begin("query"));
    stats.begin("query").forget();
    let one = seen.statements(1).remove(0);
    assert_eq!((one.calls(), one.errors, one.last_error.as_deref()), (1, 1, Some("abandoned")));
}

#[test]
fn beyond_the_bound_the_oldest_texts_are_counted_together_and_no_run_is_lost() {
    let seen = seen();
    let hot = seen.statement(&"hot".into());
    let cold = seen.statement(&"cold".into());
    run(&cold, 1);
    for at in 0..3 * TEXTS_MAX {
        run(&seen.statement(&format!("text {at}").into()), 1);
        run(&hot, 1);
    }
    // its lane still knows it
    run(&cold, 1);
    let all = seen.statements(usize::MAX);
    assert!(all.len() <= TEXTS_MAX + 1, "{}", all.len());
    assert_eq!(all.iter().map(StatementSnapshot::calls).sum::<u64>(), 6 * TEXTS_MAX as u64 + 2);
    let calls = |text: &str| all.iter().find(|one| one.sql.as_str() == text).map(StatementSnapshot::calls);
    assert_eq!(calls("hot"), Some(3 * TEXTS_MAX as u64));
    assert_eq!(calls("cold"), None);
    assert!(calls(OTHERS).is_some_and(|calls| calls > TEXTS_MAX as u64));
}

#[test]
fn a_text_of_megabytes_is_cut() {
    let seen = seen();
    run(&seen.statement(&"ü".repeat(1 << 20).into()), 1);
    let text = seen.statements(1).remove(0).sql;
    assert!(text.as_str().len() < 9_000 && text.as_str().ends_with('…'));
}

#[tokio::test(start_paused = true)]
async fn a_query_is_slow_from_its_threshold_on_and_the_newest_come_first() {
    let seen = Seen::new(Duration::from_secs(1), OFF);
    let stats = seen.statement(&"SELECT sleep(?)".into());
    for ms in [999, 1_000, 3_000] {
        let run = stats.begin("query");
        tokio::time::advance(Duration::from_millis(ms)).await;
        run.end(&Ok(ms), |rows| *rows);
    }
    let slow = seen.slow_queries(10);
    let taken: Vec<_> = slow.iter().map(|query| (query.elapsed.as_millis(), query.rows)).collect();
    assert_eq!(taken, [(3_000, 3_000), (1_000, 1_000)]);
    assert_eq!(
        (slow[0].sql.as_str(), slow[0].operation, slow[0].error.is_none()),
        ("SELECT sleep(?)", "query", true)
    );
    assert_eq!(seen.slow_queries(1).len(), 1);
    let json = serde_json::to_value(&slow[0]).unwrap();
    assert_eq!((json["sql"].as_str(), json["elapsed_ms"].as_f64()), (Some("SELECT sleep(?)"), Some(3_000.0)));
}

#[tokio::test(start_paused = true)]
async fn slow_queries_are_kept_within_a_bound_and_none_where_the_threshold_is_off() {
    let (seen, off) = (Seen::new(Duration::from_millis(1), OFF), seen());
    for seen in [&seen, &off] {
        let stats = seen.statement(&"SELECT 1".into());
        for _ in 0..SLOW_KEPT + 7 {
            let run = stats.begin("query");
            tokio::time::advance(Duration::from_millis(2)).await;
            drop(run);
        }
    }
    assert_eq!(seen.slow_queries(usize::MAX).len(), SLOW_KEPT);
    assert_eq!(seen.slow_queries_total(), SLOW_KEPT as u64 + 7);
    assert_eq!(seen.slow_queries(1)[0].error.as_deref(), Some("abandoned"));
    assert_eq!(off.slow_queries_total(), 0);
}

#[test]
fn threads_that_share_counters_lose_none() {
    let seen = seen();
    let stats = seen.statement(&"SELECT 1".into());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1_000).for_each(|_| run(&stats, 3)));
        }
    });
    let one = seen.statements(1).remove(0);
    assert_eq!((one.calls(), one.rows), (4_000, 12_000));
}

/// `cargo test --release -p backstop-sql what_noting -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
#[allow(clippy::print_stdout, reason = "its figure is what it is for")]
fn what_noting_a_run_costs() {
    const RUNS: u32 = 10_000_000;
    let seen = Seen::new(SLOW_QUERY_THRESHOLD, LEAK_AFTER);
    let stats = seen.statement(&"SELECT 1".into());
    let started = clock::now();
    for _ in 0..RUNS {
        std::hint::black_box(clock::now());
    }
    let clock_alone = started.elapsed() / RUNS;
    let started = clock::now();
    for _ in 0..RUNS {
        std::hint::black_box(&stats).begin_at("query", started).end(&Ok(1), |rows| *rows);
    }
    let noted = started.elapsed() / RUNS;
    println!("noting takes {noted:?}, of which the clock takes {clock_alone:?}");
}
