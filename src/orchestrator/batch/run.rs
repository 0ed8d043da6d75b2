//! Runs a planned batch on the caller's thread.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use backstop_core::{
    call::Deadline,
    clock,
    error::{CallError, Executed, Failure, FailureKind, Phase, Rejection, RejectionReason},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;

use super::{
    Batch, BatchError, BatchLimits, BatchReport, End, ItemReport, Mode, OnError, Skipped,
    plan::{Node, plan},
    reference::Resolver,
};
use crate::orchestrator::{Directory, call};

/// Checks a batch, runs it, and reports every operation.
pub(crate) async fn run(
    directory: Arc<Directory>,
    batch: Batch,
    limits: BatchLimits,
) -> Result<BatchReport, BatchError> {
    let (mode, on_error, asked) = (batch.mode, batch.on_error, batch.timeout);
    let at_once = batch.max_concurrency.unwrap_or(Batch::CONCURRENCY).min(limits.concurrency).max(1);
    let nodes = plan(batch, &limits)?;
    let started = clock::now();
    let timeout = asked.map_or(limits.timeout, |timeout| timeout.min(limits.timeout));
    let deadline = Deadline::at(started + timeout);
    let results = match mode {
        Mode::Independent => Progress::new(nodes, on_error, limits).run(&directory, at_once, deadline).await,
        // All arrows lead back, so the first one that is free is always the next in order.
        Mode::Sequential => Progress::new(nodes, OnError::Stop, limits).run(&directory, 1, deadline).await,
        Mode::Atomic => atomic(&directory, nodes, asked.map(|_| timeout)).await?,
    };
    Ok(BatchReport { mode, results, elapsed: clock::now().saturating_duration_since(started) })
}

/// Who has ended, who may begin, who waits.
struct Progress {
    nodes: Vec<Node>,
    positions: HashMap<String, usize>,
    dependants: Vec<Vec<usize>>,
    missing: Vec<usize>,
    free: BTreeSet<usize>,
    ends: Vec<Option<(End, Duration)>>,
    on_error: OnError,
    stopped_after: Option<usize>,
    limits: BatchLimits,
}

impl Progress {
    fn new(nodes: Vec<Node>, on_error: OnError, limits: BatchLimits) -> Self {
        let mut dependants = vec![Vec::new(); nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            node.needs.iter().for_each(|needed| dependants[*needed].push(at));
        }
        let missing: Vec<_> = nodes.iter().map(|node| node.needs.len()).collect();
        Self {
            positions: nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect(),
            free: (0..nodes.len()).filter(|at| missing[*at] == 0).collect(),
            ends: nodes.iter().map(|_| None).collect(),
            dependants,
            missing,
            nodes,
            on_error,
            stopped_after: None,
            limits,
        }
    }

    async fn run(mut self, directory: &Directory, at_once: usize, deadline: Deadline) -> Vec<ItemReport> {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < at_once
                && let Some(next) = self.next()
            {
                let item = &mut self.nodes[next].item;
                let arguments = std::mem::take(&mut item.arguments);
                match self.resolve(next, arguments) {
                    Ok(arguments) => running.push(self.call(directory, next, arguments, deadline)),
                    Err(rejection) => self.settle(next, End::Error(rejection.into()), Duration::ZERO),
                }
            }
            let Some((ended, result, elapsed)) = running.next().await else { break };
            self.settle(ended, result.map_or_else(End::Error, End::Ok), elapsed);
        }
        drop(running);
        self.report()
    }

    fn next(&mut self) -> Option<usize> {
        if self.stopped_after.is_some() { None } else { self.free.pop_first() }
    }

    fn call<'a>(
        &self,
        directory: &'a Directory,
        at: usize,
        arguments: Value,
        deadline: Deadline,
    ) -> impl Future<Output = (usize, Result<Value, CallError>, Duration)> + use<'a> {
        let item = &self.nodes[at].item;
        let (backend, operation, timeout) = (item.backend.clone(), item.operation.clone(), item.timeout);
        async move {
            let started = clock::now();
            let result =
                call::by_deadline(directory, &backend, &operation, arguments, timeout, deadline).await;
            (at, result, clock::now().saturating_duration_since(started))
        }
    }

    fn resolve(&self, at: usize, arguments: Value) -> Result<Value, Rejection> {
        if !self.nodes[at].refers {
            return Ok(arguments);
        }
        let result_of = |id: &str| match self.ends[*self.positions.get(id)?].as_ref()? {
            (End::Ok(value), _) => Some(value),
            _ => None,
        };
        let resolved = Resolver { result_of, bytes: self.limits.bytes }.resolve(arguments, self.limits.depth);
        resolved.map_err(|text| Rejection::invalid(self.nodes[at].item.backend.as_str(), text))
    }

    fn settle(&mut self, at: usize, end: End, elapsed: Duration) {
        let ok = matches!(end, End::Ok(_));
        self.ends[at] = Some((end, elapsed));
        if ok {
            for dependant in &self.dependants[at] {
                self.missing[*dependant] -= 1;
                if self.missing[*dependant] == 0 && self.ends[*dependant].is_none() {
                    self.free.insert(*dependant);
                }
            }
            return;
        }
        self.block_dependants_of(at);
        if self.on_error == OnError::Stop {
            self.stopped_after.get_or_insert(at);
        }
    }

    fn block_dependants_of(&mut self, failed: usize) {
        let blocked = || End::Skipped(Skipped::BlockedBy(self.nodes[failed].id.clone()));
        let mut blocking = vec![failed];
        while let Some(at) = blocking.pop() {
            for dependant in &self.dependants[at] {
                if self.ends[*dependant].is_none() {
                    self.ends[*dependant] = Some((blocked(), Duration::ZERO));
                    blocking.push(*dependant);
                }
            }
        }
    }

    fn report(self) -> Vec<ItemReport> {
        let after = self.stopped_after.map_or_else(String::new, |at| self.nodes[at].id.clone());
        let stopped = || (End::Skipped(Skipped::StoppedAfter(after.clone())), Duration::ZERO);
        let ends = self.ends.into_iter().map(|end| end.unwrap_or_else(stopped));
        self.nodes.into_iter().zip(ends).map(|(node, (end, elapsed))| node.report(end, elapsed)).collect()
    }
}

impl Node {
    fn report(self, end: End, elapsed: Duration) -> ItemReport {
        ItemReport { id: self.id, backend: self.item.backend, operation: self.item.operation, end, elapsed }
    }
}

/// Runs all operations in one transaction; they share one end.
async fn atomic(
    directory: &Directory,
    mut nodes: Vec<Node>,
    timeout: Option<Duration>,
) -> Result<Vec<ItemReport>, BatchError> {
    let Some(first) = nodes.first() else { return Ok(Vec::new()) };
    let backend = directory.named(&first.item.backend)?;
    let list =
        nodes.iter_mut().map(|node| (node.item.operation.clone(), std::mem::take(&mut node.item.arguments)));
    let started = clock::now();
    let result = call::contained(&*backend, |backend| backend.atomic(list.collect(), timeout)).await;
    let elapsed = clock::now().saturating_duration_since(started);
    let count = nodes.len();
    let ends = match result
        .and_then(|reply| split(reply, count).map_err(|failure| backend.guard().stamped(failure).into()))
    {
        Ok(values) => values.into_iter().map(End::Ok).collect(),
        Err(CallError::Rejected(rejection)) if matches!(rejection.reason(), RejectionReason::Invalid(_)) => {
            let ids = nodes.into_iter().map(|node| node.id).collect();
            return Err(BatchError::NotAtomic { ids, reason: rejection.to_string() });
        }
        Err(error) => vec![End::Error(error); count],
    };
    Ok(nodes.into_iter().zip(ends).map(|(node, end)| node.report(end, elapsed)).collect())
}

/// Takes the reply of a transaction apart: one value for each operation.
fn split(reply: Value, count: usize) -> Result<Vec<Value>, Failure> {
    match reply {
        Value::Array(values) if values.len() == count => Ok(values),
        _ => Err(Failure::new(FailureKind::Decode, "the reply has not one entry for each operation")
            .in_phase(Phase::Decode)
            .executed_is(Executed::Yes)),
    }
}
