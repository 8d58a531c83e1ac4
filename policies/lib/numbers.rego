# METADATA
# title: Comparisons that only numbers pass
# description: |
#   Rego orders values of every type (null < false < 0 < "" < []), so that `amount <= 1000` is true
#   for null. These are undefined for whatever is not a number, and for a number beyond 2^53 - 1,
#   which programs read differently (RFC 7493, section 2.2).
package scopegate.lib.numbers

largest := 9007199254740991

within(number, low, high) if {
	is_number(number)
	is_number(low)
	is_number(high)
	number >= low
	number <= high
}

at_most(number, limit) if within(number, 0 - largest, limit)

at_least(number, limit) if within(number, limit, largest)

above(number, limit) if {
	within(number, limit, largest)
	number != limit
}
