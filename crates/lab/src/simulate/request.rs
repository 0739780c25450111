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
    CreatePerformance(PerformanceId, Box<performance::Create>),
    SetSale(PerformanceId, performance::SetSale),
    ChangePerformance(PerformanceId, Box<performance::Change>),
    ChangeChart(PerformanceId, performance::ChangeChart),
    BlockSeats(PerformanceId, performance::Block),
    UnblockSeats(PerformanceId, performance::Unblock),
    BlockAreas(PerformanceId, performance::BlockAreas),
    CancelPerformance(PerformanceId, performance::CancelPerformance),
    ShowCancellation(PerformanceId, performance::ShowCancellation),
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
    CreateQueue(QueueId, queue::Create),
    DescribeQueue(QueueId, queue::Describe),
    ChangeQueue(QueueId, queue::Change),
    SetQueueState(QueueId, queue::SetState),
    Join(QueueId, queue::Join),
    Leave(QueueId, queue::Leave),
    Claim(QueueId, queue::Claim),
    Finish(QueueId, queue::Finish),
    FinishUser(QueueId, queue::FinishUser),
    BlockEntry(QueueId, queue::Block),
    RestoreEntry(QueueId, queue::Restore),
    Admit(QueueId, queue::Admit),
    AdmitNamed(QueueId, queue::AdmitNamed),
}
