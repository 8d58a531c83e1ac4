# METADATA
# title: The one ruling on a call
# description: |
#   Every package data.scopegate.rules.<name> contributes. Deny goes before approval_needed, that
#   before sanitize, that before allow, and nothing passes that no rule allows: sanitize narrows
#   what another rule allows. What a contribution to a passing call says is handed on whole, so
#   that a member which nobody understands is refused and not dropped.
package scopegate

default ruling := {"action": "deny", "reason": "no_rule_allows"}

ruling := {"action": "deny", "reason": "contribution_malformed"} if {
	count(actions) != count(contributions)
} else := refusal("deny") if {
	"deny" in actions
} else := refusal("approval_needed") if {
	"approval_needed" in actions
} else := {"action": "deny", "reason": "headers_conflict"} if {
	some contribution in contributions
	some name, value in contribution.headers
	passing.headers[name] != value
} else := object.union(passing, {"action": "sanitize"}) if {
	{action | some action in actions} == {"allow", "sanitize"}
} else := passing if {
	{action | some action in actions} == {"allow"}
}

contributions contains contribution if {
	some name
	contribution := data.scopegate.rules[name].contributions[_]
}

actions := [contribution.action |
	some contribution in contributions
	contribution.action in {"allow", "approval_needed", "deny", "sanitize"}
	is_string(object.get(contribution, "detail", ""))
	is_object(object.get(contribution, "headers", {}))
	is_array(object.get(contribution, "redact", []))
]

# The first of several in the order of the alphabet: every engine names the same one.
refusal(action) := {"action": action, "reason": min(reasons), "detail": concat("; ", details)} if {
	chosen := {contribution | some contribution in contributions; contribution.action == action}
	reasons := {object.get(contribution, "reason", action) | some contribution in chosen}
	details := {object.get(contribution, "detail", "") | some contribution in chosen}
}

passing := object.union_n(array.concat([contribution | some contribution in contributions], [single_use, redact]))

default single_use := {}

single_use := {"single_use": true} if {
	some contribution in contributions
	contribution.single_use
}

default redact := {}

redact := {"redact": [redaction | some redaction in redactions]} if count(redactions) > 0

redactions contains redaction if {
	some contribution in contributions
	some redaction in contribution.redact
}
