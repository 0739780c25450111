//! Sends what the crowd asks for, each with how its answer is judged.

use super::request::Request;
use super::world::{Crowd, World};
use domain::account;
use domain::command::stream_of;
use domain::performance::{Hold, HoldForBuyer};
use domain::process::sign_up::SignIn;
use domain::wallet::{Adjust, Charge};

impl World {
    /// Sends a request; its answer will be judged.
    pub(super) fn send(&mut self, request: Request) {
        match request {
            Request::CreatePerformance(id, create) => self.ask(id, *create, unjudged),
            Request::SetSale(id, set) => self.ask(id, set, unjudged),
            Request::ChangePerformance(id, change) => self.ask(id, *change, unjudged),
            Request::ChangeChart(id, change) => self.ask(id, change, unjudged),
            Request::BlockSeats(id, block) => self.ask(id, block, unjudged),
            Request::UnblockSeats(id, unblock) => self.ask(id, unblock, unjudged),
            Request::BlockAreas(id, block) => self.ask(id, block, unjudged),
            Request::CancelPerformance(id, cancel) => self.ask(id, cancel, unjudged),
            Request::ShowCancellation(id, show) => self.ask(id, show, unjudged),
            Request::Hold(id, hold) => {
                let (stream, user, repeat) = (stream_of::<Hold>(id), hold.user, hold.repeat);
                self.ask(id, hold, move |crowd, held| crowd.buyers.held(stream, user, repeat, held.view.id));
            }
            Request::HoldForBuyer(id, hold) => {
                let (stream, user, repeat) = (stream_of::<HoldForBuyer>(id), hold.user, hold.repeat);
                self.ask(id, hold, move |crowd, held| crowd.buyers.held(stream, user, repeat, held.view.id));
            }
            Request::Pay(pay) => {
                let id = pay.reservation;
                self.ask(id.performance(), pay, move |crowd, view| crowd.buyers.paid(id, view.state));
            }
            Request::Cancel(cancel) => {
                let id = cancel.reservation;
                self.ask(id.performance(), cancel, move |crowd, view| crowd.buyers.cancelled(id, view.state));
            }
            Request::Extend(extend) => self.ask(extend.reservation.performance(), extend, unjudged),
            Request::OpenWallet(user, open) => self.ask(user, open, unjudged),
            Request::Charge(user, charge) => {
                let key = (stream_of::<Charge>(user), user, charge.repeat.key);
                self.ask(user, charge, move |crowd, moved| crowd.buyers.promise(key, moved.movement.id));
            }
            Request::Adjust(user, adjust) => {
                let key = (stream_of::<Adjust>(user), user, adjust.repeat.key);
                self.ask(user, adjust, move |crowd, moved| crowd.buyers.promise(key, moved.movement.id));
            }
            Request::SignUp(id, create) => self.ask(id, create, move |crowd, found| crowd.buyers.met(id, found.user)),
            Request::SignIn(id) => self.ask(id, SignIn, move |crowd, found| crowd.buyers.met(id, found.user)),
            Request::ReadAccount(id) => {
                self.ask(id, account::Read, move |crowd, found| crowd.buyers.met(id, found.user))
            }
            Request::EndSession(id, end) => self.ask(id, end, move |crowd, found| crowd.buyers.met(id, found.user)),
            Request::EndSessions(id, end) => self.ask(id, end, move |crowd, found| crowd.buyers.met(id, found.user)),
            Request::Erase(id, erase) => {
                let user = erase.user;
                self.ask(id, erase, move |crowd, ()| {
                    crowd.buyers.erased(user);
                    Ok(())
                });
            }
            Request::Join(id, join) => {
                let person = join.person.clone();
                self.ask(id, join, move |crowd, joined| crowd.queues.joined(id, &person, &joined));
            }
            Request::Admit(id, admit) => {
                let key = admit.repeat;
                self.ask(id, admit, move |crowd, let_in| {
                    key.map_or(Ok(()), |key| crowd.queues.let_in(id, key, let_in.admitted))
                });
            }
            Request::CreateQueue(id, create) => self.ask(id, create, unjudged),
            Request::DescribeQueue(id, describe) => self.ask(id, describe, unjudged),
            Request::ChangeQueue(id, change) => self.ask(id, change, unjudged),
            Request::SetQueueState(id, set) => self.ask(id, set, unjudged),
            Request::Leave(id, leave) => self.ask(id, leave, unjudged),
            Request::Claim(id, claim) => self.ask(id, claim, unjudged),
            Request::Finish(id, finish) => self.ask(id, finish, unjudged),
            Request::FinishUser(id, finish) => self.ask(id, finish, unjudged),
            Request::BlockEntry(id, block) => self.ask(id, block, unjudged),
            Request::RestoreEntry(id, restore) => self.ask(id, restore, unjudged),
            Request::AdmitNamed(id, admit) => self.ask(id, admit, unjudged),
        }
    }
}

/// Compared with nothing.
fn unjudged<A>(_: &mut Crowd, _: A) -> Result<(), String> {
    Ok(())
}
