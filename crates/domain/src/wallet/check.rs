//! Whether a wallet is consistent.

use super::Wallet;

impl Wallet {
    /// About how much there is to look at.
    pub(super) fn parts(&self) -> usize {
        self.0.repeats.len() + self.0.spends.len() + self.0.history.len()
    }

    pub(super) fn check_lists(&self) {
        let repeats = self.0.repeats.iter().map(|repeated| repeated.repeat.key);
        assert!(repeats.is_sorted_by(|one, next| one < next), "requests of the last 24 h are sorted by key, each once");
        let spends = self.0.spends.iter().map(|spend| spend.reservation);
        assert!(spends.is_sorted_by(|one, next| one < next), "spends are sorted by reservation, each once");
        self.0.history.check(self.0.balance);
    }
}
