//! A server that breaks the protocol: no panic, no memory without end, and the call ends.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, QueryAs},
};
use backstop_testkit::lane::OneLane;

use crate::{
    memory::Peak,
    rogue::{Rogue, Script, lying, message, notice, row},
    support::{End, lane, until},
};

const WITHIN: Duration = Duration::from_millis(800);

async fn client(rogue: &Rogue) -> OneLane<PostgresOptions> {
    let url = format!("postgres://app:secret@{}/db", rogue.address);
    OneLane::new(PostgresOptions::url(url).pool_size(2).max_overflow(0)).await
}

/// Reads under a script; whatever comes, it is an end in time, and the next read on an honest server works.
async fn survive(rogue: &Rogue, client: &OneLane<PostgresOptions>, what: &str, script: Script) -> End {
    let read = || QueryAs::<i64>::new("SELECT 7::int8");
    rogue.says(script);
    let (began, peak) = (clock::now(), Peak::begin());
    let end = client.ask_in(WITHIN, read()).await.unwrap_err();
    assert!(began.elapsed() < WITHIN + Duration::from_millis(300), "{what}: {:?}", began.elapsed());
    assert_ne!(end.executed(), Executed::Yes, "{what}");
    // what was in doubt is closed
    until("an empty pool", async || client.shared.snapshot().active == 0).await;
    assert!(peak.grown() < 200 << 20, "{what}: {} MiB", peak.grown() >> 20);
    rogue.says(Script::default());
    until("service", async || client.ask_in(WITHIN, read()).await.is_ok_and(|rows| rows == [7])).await;
    end
}

fn says_row(row: Vec<u8>) -> Script {
    Script { row: Some(row), ..Script::default() }
}

#[test]
fn pg14_answers_that_break_the_protocol_end_their_call_alone_and_cost_no_memory() {
    lane(async {
        let rogue = Rogue::start().await;
        let client = client(&rogue).await;
        let honest = [7_u64.to_be_bytes()];
        let cells = |count: usize| row(&vec![&honest[0][..]; count]);
        let rows: [(&str, Vec<u8>); 13] = [
            ("no cell", cells(0)),
            ("two cells", cells(2)),
            ("half a number", row(&[&[1, 2, 3]])),
            ("an empty number", row(&[&[]])),
            ("a cell longer than its row", message(b'D', &[0, 1, 0, 0, 1, 0, 7])),
            ("a cell of -7 bytes", message(b'D', &[0, 1, 0xff, 0xff, 0xff, 0xf9])),
            ("more cells than a row has", message(b'D', &[0xff, 0xff])),
            ("a length of 0", lying(b'D', 0, &[0, 1])),
            ("a length of 3", lying(b'D', 3, &[0, 1])),
            ("a negative length", lying(b'D', 0xffff_fff0, &[0; 64])),
            ("a message without a name", message(0xee, b"what")),
            ("garbage", (0..4_096_u32).map(|at| (at * 167 % 251).to_le_bytes()[0]).collect()),
            ("an answer to another question", [message(b'2', &[]), message(b'1', &[])].concat()),
        ];
        for (what, bytes) in rows {
            // a row that is all wrong is no partial success
            let end = survive(&rogue, &client, what, says_row(bytes)).await;
            if let End::Failed(failure) = end {
                assert_ne!(failure.kind(), FailureKind::Panicked, "{what}: {failure}");
            }
        }
        let prepared = [
            ("no description", message(b'1', &[])),
            (
                "more columns than are told",
                [message(b'1', &[]), message(b't', &[0, 0]), message(b'T', &[0xff, 0xff])].concat(),
            ),
            ("parameters that are not told", [message(b'1', &[]), message(b't', &[0x7f, 0xff])].concat()),
            ("an error without fields", message(b'E', &[0])),
            ("an error that does not end", message(b'E', b"SERROR")),
        ];
        for (what, bytes) in prepared {
            // each on a new connection, which has prepared nothing yet
            let fresh = self::client(&rogue).await;
            survive(&rogue, &fresh, what, Script { prepared: Some(bytes), ..Script::default() }).await;
        }
    });
}

#[test]
fn pg14_greetings_that_break_the_protocol_are_refused_in_time() {
    lane(async {
        let rogue = Rogue::start().await;
        let rounds = |count: &str| {
            // its nonce cannot begin with ours, and the number of rounds is looked at first or never used
            let first = format!("r=nonce,s=c2FsdA==,i={count}");
            let sasl = message(b'R', b"\x00\x00\x00\x0aSCRAM-SHA-256\0\0");
            [sasl, message(b'R', &[&[0, 0, 0, 11], first.as_bytes()].concat())].concat()
        };
        let greetings: [(&str, Vec<u8>); 8] = [
            ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(20)),
            ("a login of 2^31 rounds", rounds("2147483648")),
            ("a login of 2^32 - 1 rounds", rounds("4294967295")),
            ("no way to log in", message(b'R', b"\x00\x00\x00\x0aNONE\0\0")),
            ("an unknown way to log in", message(b'R', &[0, 0, 0, 99])),
            ("half a message", lying(b'R', 4_000, &[0, 0])),
            ("a row", row(&[b"7"])),
            ("nothing", Vec::new()),
        ];
        for (what, bytes) in greetings {
            let client = client(&rogue).await;
            rogue.says(Script { greeting: Some(bytes), ..Script::default() });
            let (began, peak) = (clock::now(), Peak::begin());
            let end = client.ask_in(WITHIN, Execute::new("INSERT INTO t VALUES (1)")).await.unwrap_err();
            assert_eq!(end.executed(), Executed::No, "{what}: {end:?}");
            assert!(began.elapsed() < WITHIN + Duration::from_millis(300), "{what}: {:?}", began.elapsed());
            assert!(peak.grown() < 100 << 20, "{what}: {} MiB", peak.grown() >> 20);
            until("an empty pool", async || client.shared.snapshot().connections == 0).await;
        }
    });
}

#[test]
fn pg14_an_answer_without_end_is_left_at_its_bound() {
    lane(async {
        let rogue = Rogue::start().await;
        let client = client(&rogue).await;
        // each is sent as fast as it is taken
        let part = vec![b'x'; 64 << 10];
        let endless = [
            ("notices", Vec::new(), notice(8_000)),
            ("rows", Vec::new(), row(&[&7_u64.to_be_bytes()]).repeat(1_000)),
            ("one row of 2 GiB", lying(b'D', 0x7fff_ffff, &[0, 1, 0x7f, 0xff, 0xff, 0x00]), part.clone()),
            ("one notice of 1 GiB", lying(b'N', 0x3fff_ffff, b"M"), part),
        ];
        for (what, head, tail) in endless {
            let says = if head.is_empty() { row(&[&7_u64.to_be_bytes()]) } else { head };
            let script = Script { row: Some(says), endless: Some(tail), ..Script::default() };
            let read = || QueryAs::<i64>::new("SELECT 7::int8");
            rogue.says(script);
            let (began, peak) = (clock::now(), Peak::begin());
            let ended = client.ask_in(WITHIN, read()).await;
            assert!(began.elapsed() < WITHIN + Duration::from_millis(400), "{what}: {:?}", began.elapsed());
            until("an empty pool", async || client.shared.snapshot().active == 0).await;
            println!("{what}: {ended:?}, {} MiB, {:?}", peak.grown() >> 20, began.elapsed());
            assert!(ended.is_err(), "{what}");
            assert!(peak.grown() < 200 << 20, "{what}: {} MiB", peak.grown() >> 20);
            rogue.says(Script::default());
            until("service", async || client.ask_in(WITHIN, read()).await.is_ok_and(|rows| rows == [7]))
                .await;
        }
    });
}
