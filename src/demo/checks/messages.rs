//! Checks of messages: each has one end, in time, at its own caller, and both sides count the same.

use super::{Check, Evidence, Rule, Wrong, each_role};
use crate::demo::chronicle::millis;

pub(super) fn one_fate(evidence: &Evidence<'_>) -> Check {
    let (mut wrong, mut asked) = (Wrong::default(), 0);
    for role in each_role() {
        let account = evidence.books.account(role);
        let ended = account.fates.total();
        asked += account.asked;
        if account.asked != ended {
            wrong.add(|| format!("{}: {} messages asked, {ended} ended", role.name(), account.asked));
        }
    }
    Check::of(Rule::OneFate, wrong, format!("{asked} messages asked, each ended once"))
}

pub(super) fn counts_agree(evidence: &Evidence<'_>) -> Check {
    let (mut wrong, mut total) = (Wrong::default(), 0);
    for (role, counts) in each_role().zip(evidence.counts) {
        let (name, account) = (role.name(), evidence.books.account(role));
        total += counts.asked;
        if counts.asked != account.asked {
            wrong.add(|| {
                format!("{name}: callers asked {}, the runtime counted {}", account.asked, counts.asked)
            });
        }
        let (refused, abandoned, ended) = (counts.refused, counts.abandoned, counts.ended);
        if counts.asked != refused + abandoned + ended + counts.in_flight {
            let sum = format!("{ended} ended, {refused} refused, {abandoned} abandoned");
            wrong
                .add(|| format!("{name}: {} asked, but {sum}, {} under way", counts.asked, counts.in_flight));
        }
        if counts.in_flight != 0 {
            wrong.add(|| {
                format!("{name}: {} still under way after the last caller was done", counts.in_flight)
            });
        }
        // an answer may be ready at the moment in which its caller goes away
        let (told, most) = (account.fates.ok, account.fates.ok + account.fates.cancelled);
        if !(told..=most).contains(&counts.ok) {
            wrong.add(|| format!("{name}: callers got {told} replies, the runtime counted {}", counts.ok));
        }
    }
    if evidence.chronicle.missed_events() {
        wrong.add(|| "events were dropped before they were read".into());
    }
    Check::of(
        Rule::CountsAgree,
        wrong,
        format!("{total} messages in the runtime's own counters, the same as the callers'"),
    )
}

pub(super) fn right_caller(evidence: &Evidence<'_>) -> Check {
    let (mut wrong, mut ok) = (Wrong::default(), 0);
    for role in each_role() {
        let account = evidence.books.account(role);
        ok += account.fates.ok;
        if account.mismatched > 0 {
            wrong.add(|| format!("{}: {} answers to another message", role.name(), account.mismatched));
        }
    }
    Check::of(Rule::RightCaller, wrong, format!("{ok} replies, each with its own number or the right count"))
}

pub(super) fn in_time(evidence: &Evidence<'_>) -> Check {
    let (late, worst) = evidence.books.late(evidence.pulse);
    let mut wrong = Wrong::default();
    if late > 0 {
        wrong.add(|| {
            format!("{late} messages ended too late, the worst {} ms after its deadline", millis(worst))
        });
    }
    Check::of(Rule::InTime, wrong, "no message ended more than 250 ms after its deadline".into())
}

pub(super) fn nothing_failed(evidence: &Evidence<'_>) -> Check {
    let mut wrong = Wrong::default();
    for role in each_role() {
        let fates = evidence.books.account(role).fates;
        if fates.trouble() > 0 {
            let (rejected, failed) = (&fates.rejected, &fates.failures);
            wrong.add(|| format!("{}: rejected {rejected:?}, failed {failed:?}", role.name()));
        }
    }
    Check::of(Rule::NothingFailed, wrong, "no message was refused and none failed".into())
}
