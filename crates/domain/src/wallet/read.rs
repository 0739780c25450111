//! What a wallet shows, and to whom; and its end.

use super::event::{Event, WalletClosed};
use super::history::Page;
use super::{UnknownWallet, Wallet};
use crate::{Command, Context, Effect};
use base::id::{OrganizerId, UserId};
use std::convert::Infallible;

/// Its user's points, for the user or the operator.
#[derive(Clone, Debug)]
pub struct Read;

/// Reads the wallet for an organizer, who must have had to do with this user.
#[derive(Clone, Debug)]
pub struct ReadAsOrganizer {
    pub organizer: OrganizerId,
}

/// The latest movements, the newest first.
#[derive(Clone, Debug)]
pub struct ReadStatement {
    /// For an organizer: those that are on its account.
    pub organizer: Option<OrganizerId>,
    /// Only entries before this version.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// Refused unless there is somebody who can pay.
#[derive(Clone, Debug)]
pub struct CheckOpen;

/// From the erasure of its user. Again without effect; of a wallet that was never opened, too.
#[derive(Clone, Debug)]
pub struct Close;

/// A user's points.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    pub user: UserId,
    pub points: u64,
    pub version: u64,
}

impl Wallet {
    fn shown(&self, effect: &Effect<'_, Wallet>) -> Balance {
        Balance { user: effect.id, points: self.0.balance, version: effect.version }
    }
}

impl Command for Read {
    type On = Wallet;
    type Answer = Balance;
    type Rejection = UnknownWallet;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<Vec<Event>, UnknownWallet> {
        wallet.opened().map(|_| vec![]).ok_or(UnknownWallet)
    }

    fn answer(&self, wallet: &Wallet, effect: &Effect<'_, Wallet>) -> Balance {
        wallet.shown(effect)
    }
}

impl Command for ReadAsOrganizer {
    type On = Wallet;
    type Answer = Balance;
    type Rejection = UnknownWallet;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<Vec<Event>, UnknownWallet> {
        let purse = wallet.opened().filter(|purse| purse.history.knows(self.organizer));
        purse.map(|_| vec![]).ok_or(UnknownWallet)
    }

    fn answer(&self, wallet: &Wallet, effect: &Effect<'_, Wallet>) -> Balance {
        wallet.shown(effect)
    }
}

impl Command for ReadStatement {
    type On = Wallet;
    type Answer = Page;
    type Rejection = UnknownWallet;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<Vec<Event>, UnknownWallet> {
        let knows = |organizer| wallet.0.history.knows(organizer);
        wallet.opened().filter(|_| self.organizer.is_none_or(knows)).map(|_| vec![]).ok_or(UnknownWallet)
    }

    fn answer(&self, wallet: &Wallet, _: &Effect<'_, Wallet>) -> Page {
        wallet.0.history.page(self.organizer, self.before, self.limit, wallet.0.balance)
    }
}

impl Command for CheckOpen {
    type On = Wallet;
    type Answer = ();
    type Rejection = UnknownWallet;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<Vec<Event>, UnknownWallet> {
        wallet.opened().filter(|purse| !purse.is_closed).map(|_| vec![]).ok_or(UnknownWallet)
    }

    fn answer(&self, _: &Wallet, _: &Effect<'_, Wallet>) {}
}

impl Command for Close {
    type On = Wallet;
    type Answer = ();
    type Rejection = Infallible;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<Vec<Event>, Infallible> {
        let open = wallet.opened().filter(|purse| !purse.is_closed);
        let closed = open.map(|purse| Event::WalletClosed(WalletClosed { balance: purse.balance }));
        Ok(closed.into_iter().collect())
    }

    fn answer(&self, _: &Wallet, _: &Effect<'_, Wallet>) {}
}
