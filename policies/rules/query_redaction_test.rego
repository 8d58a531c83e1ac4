package tests.query_redaction

import data.scopegate.rules.query_redaction

request(access, query) := {"request": {"access": access, "query": query}}

test_email_is_redacted_whatever_the_access[access] if {
	some access in ["read", "sensitive", "write"]
	query_redaction.contributions == {{
		"action": "sanitize",
		"reason": "email_redacted",
		"redact": [{"in": "query", "name": "email", "with": "redacted"}],
	}} with input as request(access, {"email": ["a@b.example"]})
}

test_nothing_is_redacted_without_an_email if {
	query_redaction.contributions == set() with input as request("read", {"e": ["a@b.example"]})
	query_redaction.contributions == set() with input as request("read", {})
}
