package tests.numbers

import data.scopegate.lib.numbers

not_numbers := {
	"null": null,
	"true": true,
	"false": false,
	"text": "5",
	"array": [5],
	"object": {"5": 5},
	"too large": 9007199254740992,
	"too small": -9007199254740992,
}

test_numbers_compare_as_numbers if {
	numbers.at_most(5, 5)
	numbers.at_most(-5, 5)
	not numbers.at_most(5.1, 5)
	numbers.at_least(5, 5)
	not numbers.at_least(4.9, 5)
	numbers.above(5.1, 5)
	not numbers.above(5, 5)
	numbers.within(5, 1, 9)
	not numbers.within(0, 1, 9)
	not numbers.within(10, 1, 9)
}

test_what_is_no_sound_number_compares_with_nothing[name] if {
	some name, value in not_numbers
	not numbers.at_most(value, 5)
	not numbers.at_least(value, -5)
	not numbers.above(value, -5)
	not numbers.within(value, -5, 5)
}

test_nothing_compares_with_a_limit_that_is_no_number[name] if {
	some name, limit in object.remove(not_numbers, ["too large", "too small"])
	not numbers.at_most(0, limit)
	not numbers.at_least(0, limit)
	not numbers.above(0, limit)
	not numbers.within(0, limit, 5)
	not numbers.within(0, -5, limit)
}
