package tests.amounts

import data.scopegate.rules.amounts

transfer(arguments) := {
	"agent": {"tenant": "acme"},
	"tool": {"method": "tools/call", "name": "transfer", "arguments": arguments},
}

limits := {"transfer": {"default": 1000, "tenants": {"acme": 50}}}

# What the rule says of an amount, under the default limit of 1000.
said(amount) := contributions if {
	call := object.union(transfer({"amount": amount}), {"agent": {"tenant": "other"}})
	contributions := amounts.contributions with input as call with data.limits as limits
}

denied := {{"action": "deny", "reason": "amount_invalid"}}

held := {{"action": "approval_needed", "reason": "amount_over_limit"}}

allowed := {{"action": "allow", "reason": "amount_within_limit"}}

test_amount_up_to_the_limit_is_allowed[name] if {
	some name, amount in {"zero": 0, "fraction": 0.01, "some": 999, "limit": 1000, "as a float": 1000.0}
	said(amount) == allowed
}

test_amount_above_the_limit_is_held[name] if {
	some name, amount in {"just": 1000.01, "one": 1001, "much": 1e9, "largest": 9007199254740991}
	said(amount) == held
}

test_amount_that_is_no_sound_number_is_denied[name] if {
	some name, amount in {
		"null": null,
		"true": true,
		"false": false,
		"text": "10",
		"empty text": "",
		"negative": -5,
		"just negative": -0.01,
		"array": [10],
		"empty array": [],
		"object": {"amount": 10},
		"empty object": {},
		"too large": 9007199254740992,
		"far too large": 1e300,
	}
	said(amount) == denied
}

test_missing_amount_is_denied if {
	amounts.contributions == denied with input as transfer({}) with data.limits as limits
	amounts.contributions == denied with input as transfer({"Amount": 5}) with data.limits as limits
}

test_limit_of_the_tenant_counts if {
	amounts.contributions == allowed with input as transfer({"amount": 50}) with data.limits as limits
	amounts.contributions == held with input as transfer({"amount": 51}) with data.limits as limits
}

test_every_amount_is_denied_when_the_limit_is_no_number[name] if {
	some name, limit in {"text": "1000", "null": null, "negative": -1, "array": [1000]}
	broken := {"transfer": {"default": limit, "tenants": {}}}
	amounts.contributions == denied with input as transfer({"amount": 5}) with data.limits as broken
}

test_every_amount_is_denied_when_there_are_no_limits if {
	amounts.contributions == denied with input as transfer({"amount": 5}) with data.limits as {}
}

test_other_calls_are_none_of_its_business[name] if {
	some name, tool in {
		"another tool": {"method": "tools/call", "name": "lookup", "arguments": {"amount": 5000}},
		"another method": {"method": "prompts/get", "name": "transfer", "arguments": {"amount": 5000}},
		"no tool": null,
	}
	amounts.contributions == set() with input as {"agent": {"tenant": "acme"}, "tool": tool}
}
