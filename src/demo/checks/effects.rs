//! Checks of effects: what callers were told against what the ledgers hold.

use std::collections::HashSet;

use backstop_core::error::Executed;

use super::{Check, Rule, Wrong, each_role, ops};
use crate::demo::{
    Role,
    books::{Effect, Told},
    ledger::Ledgers,
    servers::Money,
};

pub(super) fn acknowledged(ledgers: &Ledgers, told: &[Told]) -> Check {
    let (mut wrong, mut count) = (Wrong::default(), 0_u64);
    for told in told.iter().filter(|told| told.executed == Executed::Yes) {
        for op in ops(told) {
            count += 1;
            if ledgers.count(told.role, op) == 0 {
                wrong.add_of(told.role, || {
                    format!("write {op} to {} was acknowledged and is not there", told.role.name())
                });
            }
        }
    }
    Check::of(Rule::AckedExist, wrong, format!("{count} acknowledged writes, all of them there"))
}

pub(super) fn absent(ledgers: &Ledgers, told: &[Told]) -> Check {
    let (mut wrong, mut count) = (Wrong::default(), 0_u64);
    for told in told.iter().filter(|told| told.executed == Executed::No) {
        for op in ops(told) {
            count += 1;
            if ledgers.count(told.role, op) > 0 {
                wrong.add_of(told.role, || {
                    format!("write {op} to {} was reported as not executed and is there", told.role.name())
                });
            }
        }
    }
    Check::of(
        Rule::NoMeansAbsent,
        wrong,
        format!("{count} writes reported as not executed, none of them there"),
    )
}

pub(super) fn nothing_twice(ledgers: &Ledgers) -> Check {
    let (mut wrong, mut count) = (Wrong::default(), 0_u64);
    for role in each_role() {
        for (op, times) in ledgers.entries(role) {
            count += 1;
            if times > 1 {
                wrong.add_of(role, || format!("write {op} to {} is there {times} times", role.name()));
            }
        }
    }
    Check::of(Rule::NothingTwice, wrong, format!("{count} entries in the ledgers, each there once"))
}

pub(super) fn no_strangers(ledgers: &Ledgers, told: &[Told]) -> Check {
    let known: HashSet<(Role, u64)> =
        told.iter().flat_map(|told| ops(told).map(|op| (told.role, op))).collect();
    let (mut wrong, mut count) = (Wrong::default(), 0_u64);
    for role in each_role() {
        for (op, _) in ledgers.entries(role) {
            count += 1;
            if !known.contains(&(role, op)) {
                wrong.add_of(role, || {
                    format!("entry {op} of {} belongs to no message that ended", role.name())
                });
            }
        }
    }
    Check::of(
        Rule::NoStrangers,
        wrong,
        format!("{count} entries in the ledgers, each of a message that ended"),
    )
}

pub(super) fn whole(ledgers: &Ledgers, told: &[Told]) -> Check {
    let (mut wrong, mut count) = (Wrong::default(), 0_u64);
    for told in told {
        let Effect::Pair(one, other) = told.effect else { continue };
        count += 1;
        if ledgers.count(told.role, one) != ledgers.count(told.role, other) {
            wrong.add_of(told.role, || {
                format!("of writes {one} and {other}, one transaction, only one is there")
            });
        }
    }
    Check::of(Rule::Whole, wrong, format!("{count} transactions, each there as a whole or not at all"))
}

pub(super) fn money_kept(ledgers: &Ledgers) -> Check {
    let mut wrong = Wrong::default();
    for (role, money) in &ledgers.money {
        let name = role.name();
        if money.sum != Money::TOTAL {
            wrong.add_of(*role, || format!("{name}: accounts hold {}, not {}", money.sum, Money::TOTAL));
        }
        for account in &money.off {
            wrong.add_of(*role, || format!("{name}: account {account} is not what was moved to and from it"));
        }
    }
    let names: Vec<_> = ledgers.money.iter().map(|(role, _)| role.name()).collect();
    let (total, names) = (Money::TOTAL, names.join(" and "));
    Check::of(Rule::MoneyKept, wrong, format!("{names}: {total} each, every account as its moves say"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn ledger(entries: &[(u64, u32)]) -> Ledgers {
        let mut ledgers = Ledgers::default();
        ledgers.set(Role::Orders, HashMap::from_iter(entries.iter().copied()));
        ledgers
    }

    fn told(op: u64, executed: Executed) -> Told {
        Told { role: Role::Orders, effect: Effect::Write(op), executed }
    }

    #[test]
    fn an_acknowledged_write_must_be_there() {
        let told = [told(1, Executed::Yes), told(2, Executed::Unknown), told(3, Executed::No)];
        assert!(acknowledged(&ledger(&[(1, 1)]), &told).ok);
        let check = acknowledged(&ledger(&[(2, 1)]), &told);
        assert!(!check.ok && check.detail.contains("write 1 to orders"), "{}", check.detail);
    }

    #[test]
    fn what_was_not_executed_must_be_absent() {
        let told = [told(1, Executed::No), told(2, Executed::Unknown)];
        assert!(absent(&ledger(&[(2, 1)]), &told).ok);
        assert!(!absent(&ledger(&[(1, 1)]), &told).ok);
    }

    #[test]
    fn nothing_is_there_twice_or_unasked() {
        assert!(nothing_twice(&ledger(&[(1, 1), (2, 1)])).ok);
        assert!(!nothing_twice(&ledger(&[(1, 2)])).ok);
        assert!(no_strangers(&ledger(&[(1, 1)]), &[told(1, Executed::Unknown)]).ok);
        assert!(!no_strangers(&ledger(&[(9, 1)]), &[told(1, Executed::Unknown)]).ok);
    }

    #[test]
    fn half_a_transaction_is_caught_whatever_its_caller_was_told() {
        let pair = Told { role: Role::Orders, effect: Effect::Pair(1, 2), executed: Executed::Unknown };
        assert!(whole(&ledger(&[]), &[pair]).ok);
        assert!(whole(&ledger(&[(1, 1), (2, 1)]), &[pair]).ok);
        assert!(!whole(&ledger(&[(2, 1)]), &[pair]).ok);
    }

    #[test]
    fn money_that_is_made_or_lost_is_caught_and_so_is_money_on_the_wrong_account() {
        let kept = |sum, off: &[&str]| {
            let off = off.iter().map(|&account| account.to_owned()).collect();
            let mut ledgers = Ledgers::default();
            ledgers.money.push((Role::Payments, Money { sum, off }));
            money_kept(&ledgers).ok
        };
        assert!(kept(Money::TOTAL, &[]));
        assert!(!kept(Money::TOTAL + 1, &[]) && !kept(Money::TOTAL - 1, &[]));
        assert!(!kept(Money::TOTAL, &["3", "4"]));
    }

    #[test]
    fn a_failed_check_names_the_first_examples_and_counts_the_rest() {
        let told: Vec<_> = (1..=5).map(|op| told(op, Executed::Yes)).collect();
        let check = acknowledged(&ledger(&[]), &told);
        assert!(check.detail.contains("write 3") && check.detail.ends_with("and 2 more"), "{}", check.detail);
    }
}
