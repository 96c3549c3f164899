//! A trace is made only if the caller's is sampled, and is bounded.

use super::*;

const SAMPLED: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn tracer(room: usize) -> (Tracer, mpsc::Receiver<Vec<Span>>, Counter) {
    let (queue, received) = mpsc::channel(room);
    let dropped = Counter::default();
    let tracer = Tracer::new(queue, Arc::default(), dropped.clone());
    (tracer, received, dropped)
}

#[test]
fn only_sampled_callers_are_traced() {
    let (tracer, mut received, _) = tracer(4);
    let not = SAMPLED.strip_suffix(b"01").unwrap();
    for parent in [None, Some(&b"nonsense"[..]), Some(&[not, b"00"].concat())] {
        assert!(tracer.begin("/validate", parent, Instant::now()).is_none());
    }
    let trace = tracer.begin("/validate", Some(SAMPLED), Instant::now());
    trace.expect("it is sampled").finish(200);
    let spans = received.try_recv().unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(
        spans[0].parent,
        [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]
    );
    assert!(spans[0].is_server && spans[0].end >= spans[0].begin && !spans[0].has_failed);
}

#[test]
fn expressions_are_below_their_policy_and_bounded() {
    let (tracer, mut received, _) = tracer(4);
    let mut trace = tracer
        .begin("/validate", Some(SAMPLED), Instant::now())
        .unwrap();
    trace.policy_begins("p", "b");
    for _ in 0..2 * MOST_SPANS {
        trace.expression_begins();
        trace.expression_ended(&"é".repeat(MAX_TEXT), 3, "no_error");
    }
    trace.policy_ended("deny", 6, true);
    trace.finish(500);
    let spans = received.try_recv().unwrap();
    assert_eq!(spans.len(), MOST_SPANS);
    let [review, policy, expression, ..] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!((policy.parent, expression.parent), (review.id, policy.id));
    assert_eq!(review.left_out as usize, MOST_SPANS + 2);
    assert!(review.has_failed);
    let text = &expression.attributes[0];
    assert_eq!(
        text,
        &(
            "portcullis.cel.expression",
            Attribute::Text("é".repeat(MAX_TEXT / 2))
        )
    );
}

#[test]
fn what_there_is_no_room_for_is_dropped_and_counted() {
    let (tracer, received, dropped) = tracer(1);
    for _ in 0..3 {
        let trace = tracer.begin("/validate", Some(SAMPLED), Instant::now());
        trace.unwrap().finish(200);
    }
    assert_eq!(dropped.get(), 2);
    drop(received);
}
