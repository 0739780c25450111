//! Which accounts are in the log: what is kept beside it for each of them is checked against that.

use crate::aggregate_store::AggregateStore;
use base::id::{AccountId, Category};
use domain::account::Account;

/// The accounts in `states` that somebody has, and that `is_known` does not know. What is in the snapshot below is looked at
/// only where it is not known.
pub fn unknown_to(
    states: &[AggregateStore],
    is_known: &dyn Fn(AccountId) -> bool,
) -> Result<Vec<AccountId>, eventlog::Error> {
    let mut unknown = Vec::new();
    for (key, slot) in states.iter().flat_map(|states| states.slots::<Account>()) {
        if slot.state.is_live() && !is_known(AccountId(*key)) {
            unknown.push(AccountId(*key));
        }
    }
    let Some(base) = states.first().and_then(|states| states.base.clone()) else { return Ok(unknown) };
    for key in base.keys(Category::Account) {
        let key = key?;
        if is_known(AccountId(key)) || states.iter().any(|states| states.slots::<Account>().contains_key(&key)) {
            continue;
        }
        let mut below = AggregateStore::on(Some(base.clone()));
        if below.load::<Account>(key)?.is_some_and(|slot| slot.state.is_live()) {
            unknown.push(AccountId(key));
        }
    }
    Ok(unknown)
}
