package tests.scopes

import data.scopegate.lib.scopes

test_a_scope_is_held_by_name_or_by_star if {
	scopes.holds("read", "data", "x:y") with input.agent.scopes as ["read:data:x:y"]
	scopes.holds("read", "data", "x:y") with input.agent.scopes as ["read:data:*"]
}

test_a_scope_is_not_held_by_another[held] if {
	some held in ["write:data:x", "read:other:x", "read:data:y", "read:*:x", "*:data:x", "read:data:x*", "read:data"]
	not scopes.holds("read", "data", "x") with input.agent.scopes as [held]
}

test_a_star_is_held_by_a_star_only if {
	not scopes.holds("read", "data", "*") with input.agent.scopes as ["read:data:x"]
}

test_nothing_is_held_without_scopes[name] if {
	some name, held in {"none": [], "null": null, "text": "read:data:*"}
	not scopes.holds("read", "data", "x") with input.agent.scopes as held
}
