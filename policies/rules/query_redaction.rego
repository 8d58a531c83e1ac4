# METADATA
# title: Reads do not carry e-mail addresses in the query
# schemas:
#   - input: schema.input
package scopegate.rules.query_redaction

import data.scopegate.lib.redaction

contributions contains {
	"action": "sanitize",
	"reason": "email_redacted",
	"redact": [redaction.query("email", "redacted")],
} if {
	input.request.access in {"read", "sensitive"}
	input.request.query.email
}
