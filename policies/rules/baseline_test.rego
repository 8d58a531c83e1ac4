package tests.baseline

import data.scopegate.rules.baseline

test_every_access_is_allowed[access] if {
	some access in ["read", "sensitive", "write"]
	baseline.contributions == {{"action": "allow", "reason": "scope_covers"}} with input.request.access as access
}

test_nothing_is_allowed_when_access_is_unknown[name] if {
	some name, access in {"another": "reed", "null": null, "list": ["read"], "empty": ""}
	baseline.contributions == set() with input.request.access as access
}

test_nothing_is_allowed_when_access_is_missing if {
	baseline.contributions == set() with input as {}
}
