//! The example that a new policy begins as: objects say who owns them. It is about nothing but
//! `metadata`, and so true of every kind.

use super::Form;
use super::kind::Kind;

/// Returns the text of the policy, which has the name of its file.
pub(super) fn policy(kind: &Kind, form: Form) -> String {
    let (front_matter, patch) = match form {
        Form::Validating => ("", ""),
        Form::Mutating => (MUTATING_SETTINGS, PATCH),
    };
    let Kind { pattern, kind, .. } = kind;
    format!(
        "// Say here why the policy is there: what goes wrong, and for whom, if it is broken. This example
// wants to know whom to ask about an object.
//
// ---
// severity: medium            # info, low, medium, high or critical
// category: ownership
// match:
//   resources: [{pattern}]
//   operations: [CREATE, UPDATE]
// action: deny                # or warn, or audit
// settings:
//   label: owner
{front_matter}// ---

// @when it is not being deleted
!has(object.metadata.deletionTimestamp)

// @let owner
object.metadata.?labels[?settings.label].orValue('')

// @require somebody owns it
variables.owner != ''
// @message
'{kind} ' + object.metadata.?name.orValue('') + ' has no label ' + settings.label
{patch}"
    )
}

const MUTATING_SETTINGS: &str = "//   nobody: unknown
// mutate: false               # true lets it change objects
";

const PATCH: &str = "
// @patch
variables.owner != '' ? []
  : has(object.metadata.labels)
    ? [JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey(settings.label),
        value: settings.nobody}]
    : [JSONPatch{op: 'add', path: '/metadata/labels', value: {settings.label: settings.nobody}}]
";

/// Returns the text of its tests.
pub(super) fn tests(kind: &Kind, form: Form) -> String {
    let patched = match form {
        Form::Validating => "",
        Form::Mutating => PATCHED,
    };
    let Kind {
        api_version, kind, ..
    } = kind;
    format!(
        "# Each case is the object `base` with something changed, and what becomes of it.
base:
  apiVersion: {api_version}
  kind: {kind}
  metadata:
    name: example
    labels: {{owner: team-a}}
cases:
  - name: what somebody owns is admitted
    expect: admit
  - name: what nobody owns is denied
    remove: [metadata.labels]
    expect: {{deny: {kind} example has no label owner}}
  - name: the label is a setting
    settings: {{label: team}}
    expect: {{deny: {kind} example has no label team}}
  - name: what is being deleted is left alone
    remove: [metadata.labels]
    set: {{metadata.deletionTimestamp: '2026-01-01T00:00:00Z'}}
    expect: skip
{patched}"
    )
}

const PATCHED: &str = "  - name: what has no labels gets one
    remove: [metadata.labels]
    expect: {object: {metadata: {labels: {owner: unknown}}}}
  - name: what has others keeps them
    remove: [metadata.labels.owner]
    set: {metadata.labels.app: example}
    expect: {object: {metadata: {labels: {app: example, owner: unknown}}}}
  - name: what somebody owns is not changed
    expect: {patch: []}
";
