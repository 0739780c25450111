//! What the simulated crowd asks for.

use base::id::{AccountId, PerformanceId, QueueId, UserId};
use domain::performance::{self, Extend, Hold, HoldForBuyer};
use domain::process::purchase::{Cancel, Pay};
use domain::process::sign_up::{Create, OpenWallet};
use domain::wallet::{Adjust, Charge};
use domain::{account, queue};

/// A request, addressed. The same one may be sent again.
#[derive(Clone, Debug)]
pub enum Request {
    Performance(PerformanceId, performance::Command),
    Hold(PerformanceId, Hold),
    HoldForBuyer(PerformanceId, HoldForBuyer),
    Pay(Pay),
    Cancel(Cancel),
    Extend(Extend),
    OpenWallet(UserId, OpenWallet),
    Charge(UserId, Charge),
    Adjust(UserId, Adjust),
    SignUp(AccountId, Create),
    SignIn(AccountId),
    ReadAccount(AccountId),
    EndSession(AccountId, account::EndSession),
    EndSessions(AccountId, account::EndSessions),
    Erase(AccountId, account::Erase),
    Queue(QueueId, queue::Command),
}
