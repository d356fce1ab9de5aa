//! What became of a unit, read from its events: what the owner decided, and what else counts still.
//!
//! Nothing here asks the ledger or the notes. That a unit's sources were away for a while undoes no
//! decision.

use std::collections::HashSet;
use std::path::Path;

use crate::domain::unit::State;
use crate::store::units::life::{self, UnitEvent};

/// Why a unit is in trial again whose sentences were found.
pub(super) const STANDS: &str = "its sentences still stand where they stood";

/// Why a unit is not contested any more.
pub(super) const FREED: &str = "nothing contradicts it any more";

/// Why a unit was contested before it became stale, where that was for what came of it: its sentences
/// standing where they stood does not speak against that.
pub(super) fn contested_by_use(events: &[UnitEvent]) -> Option<&str> {
    let mut before = events
        .iter()
        .rev()
        .skip_while(|event| event.after == State::Stale);
    let last = before.next()?;
    let by_use = last.after == State::Contested && !is_comparison(&last.reason);
    by_use.then_some(last.reason.as_str())
}

/// Was the owner's approval the last that was decided of a unit, before what it rests on changed, or was
/// gone for a while?
pub(super) fn was_approved(events: &[UnitEvent]) -> bool {
    decided_last(events).is_some_and(|event| event.after == State::Active)
}

/// The event by which the owner took a unit out of use and back into trial, where nothing else came of
/// it since.
pub(super) fn undone(events: &[UnitEvent]) -> Option<&UnitEvent> {
    decided_last(events).filter(|event| event.after == State::Shadow)
}

/// When the owner did that.
pub(in crate::flow::writeback) fn undone_ms(events: &[UnitEvent]) -> Option<i64> {
    let last = undone(events)?;
    let is_it = |event: &&UnitEvent| event.reason == decision(&last.reason);
    Some(events.iter().rev().find(is_it).unwrap_or(last).at_ms)
}

/// What the owner decided, where that was the last that came of a unit, but for what happened to its
/// sources.
fn decided_last(events: &[UnitEvent]) -> Option<&UnitEvent> {
    let away = |event: &UnitEvent| match event.after {
        State::Stale => true,
        State::Retired => event.reason.starts_with(life::GONE),
        State::Shadow => event.reason == STANDS,
        _ => false,
    };
    let last = events.iter().rev().find(|event| !away(event));
    last.filter(|event| event.reason.starts_with(life::BY_OWNER))
}

/// What was decided, of a reason that goes on with what happened since.
pub(super) fn decision(reason: &str) -> &str {
    reason.split("; ").next().unwrap_or(reason)
}

/// The events before the comparisons that contested a unit last.
pub(super) fn without_comparisons(events: &[UnitEvent]) -> &[UnitEvent] {
    let is_comparison =
        |event: &UnitEvent| event.after == State::Contested && is_comparison(&event.reason);
    let last = events.iter().rposition(|event| !is_comparison(event));
    &events[..last.map_or(0, |last| last + 1)]
}

/// Is it a file that contradicts a unit? It may have been forgotten since.
pub(super) fn is_comparison(reason: &str) -> bool {
    Path::new(reason).is_absolute() || reason == life::UNNAMED
}

/// What spoke against a unit before the owner approved it.
pub(super) fn settled(events: &[UnitEvent]) -> HashSet<String> {
    let approved = |event: &UnitEvent| {
        event.after == State::Active && event.reason.starts_with(life::BY_OWNER)
    };
    let before = events.iter().rposition(approved).unwrap_or(0);
    let contested = events[..before].iter();
    let contested = contested.filter(|event| event.after == State::Contested);
    contested.map(|event| event.reason.clone()).collect()
}

/// The state that a unit goes back to after these events, and why: what the owner decided goes on.
pub(super) fn before_contested(events: &[UnitEvent]) -> (State, String) {
    let last = events.last().map_or(State::Shadow, |event| event.after);
    let decided = decided_last(events);
    let state = match decided.map_or(last, |event| event.after) {
        State::Active => State::Active,
        _ => State::Shadow,
    };
    let why = match decided {
        Some(event) => format!("{}; {FREED}", decision(&event.reason)),
        None => FREED.to_owned(),
    };
    (state, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(after: State, reason: &str) -> UnitEvent {
        UnitEvent {
            before: None,
            after,
            reason: reason.into(),
            at_ms: 0,
        }
    }

    #[test]
    fn an_approval_counts_until_something_else_is_decided() {
        let check = |since: &[(State, &str)], expected: bool| {
            let mut events = vec![event(State::Active, "the owner approved it")];
            events.extend(since.iter().map(|(after, why)| event(*after, why)));
            assert_eq!(was_approved(&events), expected, "{since:?}");
        };
        let stale = (State::Stale, "what it rests on changed");
        check(&[], true);
        check(&[stale], true);
        check(&[stale, (State::Retired, life::GONE), stale], true);
        check(&[stale, (State::Retired, life::REJECTED), stale], false);
        check(&[(State::Shadow, "of no second source"), stale], false);
        check(&[(State::Active, "its answer was called good")], false);
    }

    #[test]
    fn what_was_contested_for_what_came_of_it_stays_contested() {
        let check = |events: &[(State, &str)], expected: Option<&str>| {
            let events: Vec<UnitEvent> = events.iter().map(|(s, why)| event(*s, why)).collect();
            assert_eq!(contested_by_use(&events), expected);
        };
        let asked = (State::Contested, "its question was asked again");
        let stale = (State::Stale, "what it rests on changed");
        check(&[asked, stale], Some(asked.1));
        check(&[asked, stale, stale], Some(asked.1));
        check(&[asked, (State::Shadow, STANDS), stale], None);
        check(
            &[
                (State::Contested, "/notes/b.md: one says 4, the other 5"),
                stale,
            ],
            None,
        );
        check(&[(State::Contested, life::UNNAMED), stale], None);
        check(&[stale], None);
    }

    #[test]
    fn what_the_owner_undid_stays_so_until_something_else_comes_of_it() {
        let check = |since: &[(State, &str)], expected: Option<i64>| {
            let mut events = vec![event(State::Shadow, "the owner undid it")];
            events[0].at_ms = 7;
            events.extend(since.iter().map(|(after, why)| event(*after, why)));
            assert_eq!(undone_ms(&events), expected, "{since:?}");
        };
        let stale = (State::Stale, "what it rests on changed");
        let lie = (State::Contested, "/notes/b.md: one says 4, the other 5");
        let stands = "the owner undid it; its sentences still stand where they stood";
        let freed = "the owner undid it; nothing contradicts it any more";
        check(&[], Some(7));
        check(&[stale], Some(7));
        check(&[stale, (State::Shadow, stands)], Some(7));
        check(&[lie, (State::Shadow, freed)], Some(7));
        check(&[(State::Active, "the owner approved it")], None);
        check(&[(State::Shadow, "its answer was called good")], None);
    }

    #[test]
    fn what_nothing_contradicts_any_more_is_what_it_was() {
        let approved = (State::Active, "the owner approved it");
        let used = (
            State::Active,
            "another question is answered with what it says",
        );
        let undone = (State::Shadow, "the owner undid it");
        let lie = (State::Contested, "/notes/b.md: one says 4, the other 5");
        let other = (State::Contested, "/notes/c.md: one says 4, the other 6");
        let stale = (State::Stale, "what it rests on changed");
        let check = |events: &[(State, &str)], state: State, why: &str| {
            let events: Vec<UnitEvent> = events.iter().map(|(s, why)| event(*s, why)).collect();
            let found = before_contested(without_comparisons(&events));
            assert_eq!(found, (state, why.to_owned()), "{events:?}");
        };
        let (active, shadow) = (State::Active, State::Shadow);
        check(&[lie], shadow, FREED);
        check(&[used, lie], active, FREED);
        check(&[used, lie, other], active, FREED);
        let freed = "the owner approved it; nothing contradicts it any more";
        check(&[approved, lie], active, freed);
        check(&[approved, lie, (active, freed), other], active, freed);
        check(&[approved, stale, (shadow, STANDS), lie], active, freed);
        check(&[used, stale, (shadow, STANDS), lie], shadow, FREED);
        let undid = "the owner undid it; nothing contradicts it any more";
        check(&[used, undone, lie], shadow, undid);
    }

    #[test]
    fn what_the_owner_knew_is_settled() {
        let mut events = vec![
            event(State::Contested, "b.md: one says 4, the other 5"),
            event(State::Active, "the owner approved it"),
            event(State::Contested, "c.md: one says 4, the other 6"),
        ];
        let known = HashSet::from(["b.md: one says 4, the other 5".to_owned()]);
        assert_eq!(settled(&events), known);
        events.remove(1);
        assert!(settled(&events).is_empty());
    }
}
