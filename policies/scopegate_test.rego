package tests.scopegate

allow := {"action": "allow", "reason": "a"}

deny := {"action": "deny", "reason": "d", "detail": "too much"}

approve := {"action": "approval_needed", "reason": "p"}

redact(name) := {"action": "sanitize", "reason": "s", "redact": [{"in": "query", "name": name}]}

# What is ruled when rules contribute these.
ruled(contributions) := ruling if {
	ruling := data.scopegate.ruling with data.scopegate.rules as {"a": {"contributions": contributions}}
}

test_denied_when_no_rule_contributes if {
	ruled(set()) == {"action": "deny", "reason": "no_rule_allows"}
}

test_denied_when_there_are_no_rules if {
	ruling := data.scopegate.ruling with data.scopegate.rules as {}
	ruling == {"action": "deny", "reason": "no_rule_allows"}
}

test_stricter_action_goes_first if {
	ruled({allow}).action == "allow"
	ruled({allow, redact("x")}).action == "sanitize"
	ruled({allow, redact("x"), approve}).action == "approval_needed"
	ruled({allow, redact("x"), approve, deny}).action == "deny"
}

test_sanitize_allows_nothing_by_itself if {
	ruled({redact("x")}) == {"action": "deny", "reason": "no_rule_allows"}
}

test_rules_of_all_packages_count if {
	ruling := data.scopegate.ruling with data.scopegate.rules as {
		"a": {"contributions": {allow}},
		"b": {"contributions": {deny}},
	}
	ruling == {"action": "deny", "reason": "d", "detail": "too much"}
}

test_first_reason_is_given_and_every_detail if {
	other := {"action": "deny", "reason": "c", "detail": "too late"}
	ruled({deny, other}) == {"action": "deny", "reason": "c", "detail": "too late; too much"}
}

test_refusal_without_reason_is_a_refusal if {
	ruled({allow, {"action": "deny"}}) == {"action": "deny", "reason": "deny", "detail": ""}
	ruled({allow, {"action": "approval_needed"}}).action == "approval_needed"
}

test_headers_and_single_use_of_what_passes_are_joined if {
	one := {"action": "allow", "reason": "a", "headers": {"x-plan": "gold"}, "single_use": true}
	two := {"action": "allow", "reason": "b", "headers": {"x-region": "eu"}, "single_use": false}
	ruled({one, two}) == {
		"action": "allow",
		"reason": "b",
		"headers": {"x-plan": "gold", "x-region": "eu"},
		"single_use": true,
	}
}

test_denied_when_two_rules_set_one_header_differently if {
	one := {"action": "allow", "reason": "a", "headers": {"x-plan": "gold"}}
	two := {"action": "allow", "reason": "b", "headers": {"x-plan": "free"}}
	ruled({one, two}) == {"action": "deny", "reason": "headers_conflict"}
}

test_redactions_are_joined if {
	ruled({allow, redact("x"), redact("y")}).redact == [
		{"in": "query", "name": "x"},
		{"in": "query", "name": "y"},
	]
}

test_every_redaction_of_one_place_is_handed_on if {
	replace := {"action": "sanitize", "reason": "r", "redact": [{"in": "query", "name": "x", "with": "-"}]}
	ruled({allow, replace, redact("x")}).redact == [
		{"in": "query", "name": "x"},
		{"in": "query", "name": "x", "with": "-"},
	]
}

test_malformed_contribution_denies[name] if {
	some name, contribution in {
		"no object": "deny",
		"no action": {"reason": "x"},
		"unknown action": {"action": "deyn", "reason": "x"},
		"action of another type": {"action": ["deny"], "reason": "x"},
		"detail of another type": {"action": "deny", "reason": "x", "detail": 5},
		"headers of another type": {"action": "allow", "reason": "x", "headers": ["x-plan"]},
		"redact of another type": {"action": "sanitize", "reason": "x", "redact": "email"},
		"redact as a set": {"action": "sanitize", "reason": "x", "redact": {{"in": "query", "name": "x"}}},
	}
	ruled({allow, contribution}) == {"action": "deny", "reason": "contribution_malformed"}
}

test_member_that_nobody_knows_is_handed_on if {
	ruled({allow, {"action": "allow", "reason": "x", "header": {"x-plan": "gold"}}}).header == {"x-plan": "gold"}
	ruled({allow, {"action": "allow", "reason": "x", "redact": [5]}, {"action": "allow", "reason": "y", "redact": []}}).redact == [5]
	ruled({allow, redact("x"), {"action": "sanitize", "redact": [5]}}).redact == [5, {"in": "query", "name": "x"}]
}
