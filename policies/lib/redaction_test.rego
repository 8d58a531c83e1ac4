package tests.redaction

import data.scopegate.lib.redaction

test_a_place_is_replaced if {
	redaction.query("email", "-") == {"in": "query", "name": "email", "with": "-"}
	redaction.header("x-trace", "") == {"in": "header", "name": "x-trace", "with": ""}
	redaction.body("/customer/email", "-") == {"in": "body", "name": "/customer/email", "with": "-"}
}

test_a_place_is_removed_when_nothing_replaces_it if {
	redaction.query("email", null) == {"in": "query", "name": "email"}
}
