//! Reads the ledgers once the runtime has stopped: each from outside, by means of its own.

use std::sync::Arc;

use backstop_core::error::Executed;
use tokio::task::JoinHandle;

use super::{
    Bug, Role, StartError,
    books::Effect,
    ledger::{self, Counts, Ledgers},
    servers::{Engine, Money, Tables},
    stage::Stage,
};

/// Reads what was executed, from outside; the planted bugs of this kind strike just before.
///
/// # Errors
/// When a ledger cannot be read.
pub(super) async fn read(stage: &Stage) -> Result<Ledgers, StartError> {
    let log = stage.upstream().stop().await.map_err(StartError::Upstream)?;
    let (file, spoilt) = (stage.file.clone(), order_to_lose(stage, Role::Orders));
    let read = tokio::task::spawn_blocking(move || {
        if let Some(op) = spoilt {
            ledger::delete_order(&file, op)?;
        }
        ledger::read_file(&file)
    });
    let (orders, integrity) = read.await??;
    let mut ledgers = Ledgers::new(integrity);
    ledgers.set(Role::Orders, orders);
    ledgers.set(Role::Pricing, log.counts());
    ledgers.set(Role::Worker, stage.desk.counts());
    let readings: Vec<_> =
        stage.servers.running().map(|(role, engine)| (role, read_server(stage, role, engine))).collect();
    for (role, reading) in readings {
        let read = reading.await?;
        let (counts, money) =
            read.map_err(|reason| StartError::ServerLedger { server: role.server(), reason })?;
        ledgers.set(role, counts);
        ledgers.money.push((role, money));
    }
    Ok(ledgers)
}

/// Kills a server once more, starts it again and reads what it has kept; on a thread of its own.
fn read_server(
    stage: &Stage,
    role: Role,
    engine: &Arc<Engine>,
) -> JoinHandle<Result<(Counts, Money), String>> {
    let spoil = match stage.options.bug {
        Some(Bug::MintMoney) => Some(Tables::MINT.to_owned()),
        Some(Bug::DoubleWrite) => acknowledged_write(stage, role).map(Tables::doubling),
        _ => order_to_lose(stage, role).map(Tables::losing),
    };
    let engine = Arc::clone(engine);
    tokio::task::spawn_blocking(move || {
        engine.kill()?;
        engine.restart()?;
        if let Some(statements) = spoil {
            engine.sql(&statements)?;
        }
        Tables::read(&engine)
    })
}

/// The order that a planted bug deletes.
fn order_to_lose(stage: &Stage, role: Role) -> Option<u64> {
    let bug = stage.options.bug?;
    let told = stage.books.told();
    let mut acknowledged = told.iter().filter(|told| told.role == role && told.executed == Executed::Yes);
    acknowledged.find_map(|told| match (bug, told.effect) {
        (Bug::LoseAck, Effect::Write(op)) | (Bug::TearTransaction, Effect::Pair(_, op)) => Some(op),
        _ => None,
    })
}

/// A write that was acknowledged, for a planted bug to repeat.
fn acknowledged_write(stage: &Stage, role: Role) -> Option<u64> {
    stage.books.told().iter().find_map(|told| match told.effect {
        Effect::Write(op) if told.role == role && told.executed == Executed::Yes => Some(op),
        _ => None,
    })
}
