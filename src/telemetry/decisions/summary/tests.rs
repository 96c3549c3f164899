//! What a log says is counted as it was, whatever order its lines have and whoever wrote them.

use super::*;

const TIME: &str = "2026-01-02T03:04:05Z";

fn record(uid: &str, policy: &str, actions: (&'static str, &'static str)) -> Record {
    Record {
        api_version: API_VERSION.into(),
        kind: KIND.into(),
        time: TIME.to_owned(),
        request_uid: uid.to_owned(),
        user: "ann".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        policy: policy.to_owned(),
        policy_kind: "validating".into(),
        action: actions.0.into(),
        would_be: actions.1.into(),
        error: "no_error".into(),
        message: "web is wrong".to_owned(),
        ..Record::default()
    }
}

fn line(record: &Record) -> String {
    serde_json::to_string(record).unwrap() + "\n"
}

const TRIAL: (&str, &str) = ("audit", "deny");

fn summary(log: &str, filter: Filter) -> Summary {
    let mut summary = Summary::new(filter);
    summary.add(log.as_bytes()).unwrap();
    summary
}

fn since(time: &str) -> Filter {
    Filter {
        since: Some(time.parse().unwrap()),
        ..Filter::default()
    }
}

fn only(summary: &Summary) -> &PolicySummary {
    assert_eq!(summary.policies.len(), 1);
    summary.policies.values().next().unwrap()
}

#[test]
fn requests_are_counted_once_for_each_policy_and_outcome() {
    let mut log = String::new();
    for at in 0..3 {
        let uid = at.to_string();
        log.push_str(&line(&record(&uid, "a", TRIAL)));
        log.push_str(&line(&record(&uid, "a", TRIAL)));
        log.push_str(&line(&record(&uid, "b", ("deny", "deny"))));
    }
    log.push_str("no record\n{}\n");
    let summary = summary(&log, Filter::default());
    assert_eq!((summary.decisions, summary.unreadable), (9, 2));
    assert!(summary.would_break());
    insta::assert_snapshot!(summary.human(), @r"
    9 decisions from 2026-01-02T03:04:05Z to 2026-01-02T03:04:05Z

    a (validating): requests 3 would be denied
      by          3  ann
      about       3   shop/web
      why         6  web is wrong

    b (validating): requests 3 denied
      by          3  ann
      about       3   shop/web
      why         3  web is wrong

    2 lines are no decisions
    ");
}

#[test]
fn the_records_of_a_request_may_lie_among_those_of_others() {
    let uids = ["1", "2", "1", "3", "2", "1"];
    let log: String = uids.map(|uid| line(&record(uid, "a", TRIAL))).concat();
    let summary = summary(&log, Filter::default());
    let policy = only(&summary);
    assert_eq!(policy.requests.would_be_denied, 3);
    assert_eq!(policy.users.shown()[0].count, 3);
    assert_eq!(policy.messages.shown()[0].count, 6);
}

#[test]
fn what_may_be_counted_again_is_said() {
    let mut summary = Summary {
        seen: Seen::of(10),
        ..Summary::default()
    };
    let uids = (0..11).map(|at| at.to_string());
    for uid in uids.chain(["9".to_owned()]) {
        summary
            .add(line(&record(&uid, "a", TRIAL)).as_bytes())
            .unwrap();
    }
    let said = "at most 1 request may be counted more than once: more than 10 others lie between";
    assert_eq!(only(&summary).requests.would_be_denied, 11);
    assert!(!summary.human().contains("more than once"));
    summary
        .add(line(&record("0", "a", TRIAL)).as_bytes())
        .unwrap();
    assert_eq!(only(&summary).requests.would_be_denied, 12);
    assert!(summary.human().contains(said), "{}", summary.human());
}

#[test]
fn what_nobody_asked_for_is_left_out_and_said() {
    let mut other = record("1", "b", TRIAL);
    other.namespace = "prod".to_owned();
    let log =
        line(&record("1", "a", TRIAL)).repeat(3) + &line(&other) + "{\"apiVersion\": \"portcu";
    let left_out = |older, others| LeftOut { older, others };
    let nothing = summary(&log, since("2026-01-02T03:04:06Z"));
    assert_eq!(nothing.decisions, 0);
    assert_eq!(nothing.left_out, left_out(4, 0));
    assert_eq!(
        nothing.human(),
        "no decisions; left out: 4 older\n\n1 line is no decision\n"
    );
    assert_eq!(summary(&log, since(TIME)).decisions, 4);
    assert_eq!(
        summary(&log, since("2026-01-02T05:04:05+02:00")).decisions,
        4
    );

    let named = |policies: &[&str], namespaces: &[&str]| Filter {
        policies: policies.iter().map(|it| (*it).to_owned()).collect(),
        namespaces: namespaces.iter().map(|it| (*it).to_owned()).collect(),
        since: None,
    };
    let said = summary(&log, named(&["B", "c"], &[]));
    assert_eq!((said.decisions, said.left_out), (1, left_out(0, 3)));
    assert_eq!(only(&said).policy, "b");
    assert_eq!(said.not_met().collect::<Vec<_>>(), ["c"]);
    assert!(
        said.human()
            .contains("; left out: 3 of other policies or namespaces\n"),
        "{}",
        said.human()
    );
    let said = summary(&log, named(&[], &["shop"]));
    assert_eq!((said.decisions, said.left_out), (3, left_out(0, 1)));
    assert_eq!(said.not_met().count(), 0);
}

#[test]
fn requests_that_store_nothing_are_counted_apart_and_break_nothing() {
    let mut dry = record("1", "a", TRIAL);
    dry.dry_run = true;
    let said = summary(&line(&dry), Filter::default());
    assert!(!said.would_break());
    insta::assert_snapshot!(said.human(), @r"
    1 decision from 2026-01-02T03:04:05Z to 2026-01-02T03:04:05Z

    a (validating): requests none
      dry run: 1 would be denied
    ");
    let said = summary(
        &(line(&dry) + &line(&record("2", "a", TRIAL))),
        Filter::default(),
    );
    assert!(said.would_break());
    assert_eq!(only(&said).requests.would_be_denied, 1);
    assert_eq!(only(&said).users.shown()[0].count, 1);
}

#[test]
fn times_are_compared_as_times() {
    let mut log = String::new();
    for time in [
        "2026-01-02T03:04:05.05Z",
        "2026-01-02T08:04:05+05:00",
        "2026-01-02T03:04:05.5Z",
    ] {
        let mut record = record(time, "a", TRIAL);
        record.time = time.to_owned();
        log.push_str(&line(&record));
    }
    let said = summary(&log, Filter::default()).human();
    let head = "3 decisions from 2026-01-02T03:04:05Z to 2026-01-02T03:04:05.5Z\n";
    assert!(said.starts_with(head), "{said}");
}

#[test]
fn who_is_frequent_is_told_wherever_in_the_log() {
    let mut log = String::new();
    for at in 0..6000 {
        let mut record = record(&at.to_string(), "a", TRIAL);
        record.user = match at {
            0..1000 => format!("once-{at}"),
            _ => "ci-bot".to_owned(),
        };
        log.push_str(&line(&record));
    }
    let said = summary(&log, Filter::default()).human();
    assert!(said.contains("  by      ≥5000  ci-bot\n"), "{said}");
    assert!(said.contains("  (others)\n"), "{said}");
}

#[test]
fn what_is_no_record_of_this_version_is_no_decision() {
    let whole = record("1", "a", TRIAL);
    let change = |change: fn(&mut Record)| {
        let mut record = record("1", "a", TRIAL);
        change(&mut record);
        line(&record)
    };
    let log = [
        line(&whole),
        change(|it| it.api_version = "portcullis.dev/v2".into()),
        change(|it| it.api_version = "other/v1".into()),
        change(|it| it.kind = "Other".into()),
        change(|it| it.time = "then".to_owned()),
        change(|it| it.request_uid.clear()),
        change(|it| it.policy.clear()),
    ];
    let said = summary(&log.concat(), Filter::default());
    assert_eq!((said.decisions, said.unreadable), (1, 6));
}

#[test]
fn what_others_wrote_does_nothing_to_a_terminal() {
    let mut bad = record("1", "p\u{1b}[31m\u{202e}", TRIAL);
    bad.policy_kind = "k\u{9b}1m".to_owned().into();
    bad.user = "u\u{1b}]0;x\u{7}".to_owned();
    bad.message = "m\u{202e}\nsecond\r".to_owned();
    let said = summary(&line(&bad), Filter::default()).human();
    let is_dangerous = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.contains(is_dangerous), "{said:?}");
    assert_eq!(said.lines().count(), 6, "{said}");
}

#[test]
fn policies_names_and_lines_are_bounded() {
    let mut log = String::new();
    for at in 0..2 * MOST_POLICIES {
        let mut record = record("1", &format!("{at}-{}", "x".repeat(1000)), TRIAL);
        record.message = format!("{at}{}", "y".repeat(5000));
        log.push_str(&line(&record));
    }
    let said = summary(&log, Filter::default());
    assert_eq!(said.policies.len(), MOST_POLICIES + 1);
    let others = &said.policies[&(OTHERS.to_owned(), String::new())];
    assert_eq!(others.requests.would_be_denied, MOST_POLICIES as u64);
    assert!(said.human().contains("the others are counted together"));
    assert!(said.human().len() < MOST_POLICIES * 2500);

    // A record inside a line that is too long is none.
    let inside = line(&record("1", "a", TRIAL));
    let long = "x".repeat(MAX_LINE as usize) + &inside;
    let said = summary(&(long + &inside), Filter::default());
    assert_eq!((said.decisions, said.unreadable), (1, 1));
}
