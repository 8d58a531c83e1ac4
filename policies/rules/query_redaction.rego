# METADATA
# title: Calls do not carry e-mail addresses in the query
# description: Of whatever access; a caller can make a read count as a write, with ?_method=.
# schemas:
#   - input: schema.input
package scopegate.rules.query_redaction

import data.scopegate.lib.redaction

contributions contains {
	"action": "sanitize",
	"reason": "email_redacted",
	"redact": [redaction.query("email", "redacted")],
} if {
	input.request.query.email
}
