# METADATA
# title: What a sanitize contribution redacts
# description: A replacement of null removes the place.
package scopegate.lib.redaction

header(name, replacement) := place("header", name, replacement)

query(name, replacement) := place("query", name, replacement)

# A JSON pointer (RFC 6901) into the body.
body(pointer, replacement) := place("body", pointer, replacement)

place(kind, name, replacement) := {"in": kind, "name": name} if {
	replacement == null
} else := {"in": kind, "name": name, "with": replacement}
