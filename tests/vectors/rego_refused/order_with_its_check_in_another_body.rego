package team.rules

small(amount) if {
	is_number(amount)
	amount < 1000
}

small(amount) if amount >= 0 # refused: an order of values that need not be numbers: check them with is_number
