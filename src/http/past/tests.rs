use futures::poll;

use crate::http::tests::state;
use crate::query::fixture::Story;

/// Goal: worlds are folded one at a time also when whoever asked is gone meanwhile, and what was
/// folded then is there for the next one.
#[tokio::test]
async fn a_fold_whose_asker_is_gone_keeps_its_turn() {
    let story = Story::told();
    let seq = story.ledger.head();
    let state = state(story);
    let mut asked = Box::pin(state.world_at(seq));
    let _: std::task::Poll<_> = poll!(&mut asked);
    drop(asked);
    let _turn = state.past.turn.acquire().await.unwrap();
    assert!(state.past.find(seq).is_some());
}
