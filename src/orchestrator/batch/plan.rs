//! Checks a batch and finds out who waits for whom, before anything runs.

use std::collections::HashMap;

use super::{
    Batch, BatchError, BatchItem, BatchLimits, Mode,
    reference::{self, Wrong},
};
use crate::orchestrator::near::near;

/// One operation with those it waits for.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) item: BatchItem,
    /// Positions, each once.
    pub(super) needs: Vec<usize>,
    /// Whether the arguments hold references.
    pub(super) refers: bool,
}

/// Turns a batch into a graph without rings; in the modes with an order, all arrows lead back.
pub(super) fn plan(batch: Batch, limits: &BatchLimits) -> Result<Vec<Node>, BatchError> {
    let count = batch.operations.len();
    if count > limits.items {
        return Err(BatchError::TooMany { count, max: limits.items });
    }
    if batch.max_concurrency == Some(0) {
        return Err(BatchError::NoConcurrency);
    }
    let ids = ids(&batch.operations)?;
    let positions: HashMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let mut nodes = Vec::with_capacity(count);
    for (at, item) in batch.operations.into_iter().enumerate() {
        let referred = references(&ids[at], &item, limits)?;
        let refers = !referred.is_empty();
        let mut needs = Vec::new();
        for id in item.depends_on.iter().chain(&referred) {
            needs.push(position(id, at, &ids, &positions)?);
        }
        needs.sort_unstable();
        needs.dedup();
        nodes.push(Node { id: ids[at].clone(), item, needs, refers });
    }
    match batch.mode {
        Mode::Independent => without_rings(&nodes)?,
        Mode::Sequential | Mode::Atomic => in_order(&nodes)?,
    }
    if batch.mode == Mode::Atomic {
        one_transaction(&nodes)?;
    }
    Ok(nodes)
}

fn ids(items: &[BatchItem]) -> Result<Vec<String>, BatchError> {
    let mut ids: Vec<String> = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let id = item.id.clone().unwrap_or_else(|| position.to_string());
        if id.is_empty() || id.chars().count() > 64 || id.chars().any(char::is_control) {
            return Err(BatchError::BadId { position });
        }
        ids.push(id);
    }
    let mut seen = std::collections::HashSet::new();
    match ids.iter().find(|id| !seen.insert(id.as_str())) {
        Some(id) => Err(BatchError::DuplicateId { id: id.clone() }),
        None => Ok(ids),
    }
}

fn references(id: &str, item: &BatchItem, limits: &BatchLimits) -> Result<Vec<String>, BatchError> {
    let mut referred = Vec::new();
    match reference::collect(&item.arguments, limits.depth, &mut referred) {
        Ok(()) => Ok(referred),
        Err(Wrong::TooDeep) => Err(BatchError::TooDeep { id: id.into(), max: limits.depth }),
        Err(Wrong::BadReference(reference)) => Err(BatchError::BadReference { id: id.into(), reference }),
    }
}

fn position(
    needed: &str,
    at: usize,
    ids: &[String],
    positions: &HashMap<&str, usize>,
) -> Result<usize, BatchError> {
    match positions.get(needed) {
        Some(found) if *found == at => Err(BatchError::DependsOnItself { id: ids[at].clone() }),
        Some(found) => Ok(*found),
        None => Err(BatchError::UnknownId {
            id: ids[at].clone(),
            unknown: needed.chars().take(64).collect(),
            near: near(needed, ids.iter().map(String::as_str)).first().map(|&id| id.into()),
        }),
    }
}

fn in_order(nodes: &[Node]) -> Result<(), BatchError> {
    for (at, node) in nodes.iter().enumerate() {
        if let Some(later) = node.needs.iter().find(|needed| **needed > at) {
            return Err(BatchError::OutOfOrder { id: node.id.clone(), later: nodes[*later].id.clone() });
        }
    }
    Ok(())
}

fn one_transaction(nodes: &[Node]) -> Result<(), BatchError> {
    let Some(first) = nodes.first() else { return Ok(()) };
    let refuse = |offends: &dyn Fn(&Node) -> bool, reason: String| {
        let ids: Vec<_> = nodes.iter().filter(|node| offends(node)).map(|node| node.id.clone()).collect();
        if ids.is_empty() { Ok(()) } else { Err(BatchError::NotAtomic { ids, reason }) }
    };
    let backend = &first.item.backend;
    refuse(
        &|node| node.item.backend != *backend,
        format!("all operations must be on one backend, here `{backend}`"),
    )?;
    refuse(&|node| node.refers, "a transaction has no results to refer to before it ends".into())?;
    refuse(&|node| node.item.timeout.is_some(), "a transaction has one timeout; set it on the batch".into())
}

fn without_rings(nodes: &[Node]) -> Result<(), BatchError> {
    let mut missing: Vec<usize> = nodes.iter().map(|node| node.needs.len()).collect();
    let mut dependants = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        node.needs.iter().for_each(|needed| dependants[*needed].push(at));
    }
    let mut free: Vec<usize> = (0..nodes.len()).filter(|at| missing[*at] == 0).collect();
    while let Some(at) = free.pop() {
        for dependant in &dependants[at] {
            missing[*dependant] -= 1;
            if missing[*dependant] == 0 {
                free.push(*dependant);
            }
        }
    }
    match (0..nodes.len()).find(|at| missing[*at] > 0) {
        Some(stuck) => Err(BatchError::Cycle { ids: ring(nodes, &missing, stuck) }),
        None => Ok(()),
    }
}

/// Follows the arrows from an operation that never becomes free until one comes again.
fn ring(nodes: &[Node], missing: &[usize], start: usize) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = start;
    while !path.contains(&at) {
        path.push(at);
        let Some(next) = nodes[at].needs.iter().find(|needed| missing[**needed] > 0) else { break };
        at = *next;
    }
    let from = path.iter().position(|seen| *seen == at).unwrap_or(0);
    path[from..].iter().map(|at| nodes[*at].id.clone()).collect()
}
